// The class that Vaa3D loads.
#pragma once

#include <QObject>

#include <v3d_interface.h>

class DineuroPlugin : public QObject, public V3DPluginInterface2_1 {
    Q_OBJECT
    Q_INTERFACES(V3DPluginInterface2_1)
    Q_PLUGIN_METADATA(IID "com.janelia.v3d.V3DPluginInterface/2.1")

public:
    float getPluginVersion() const override { return 0.1f; }
    QStringList menulist() const override;
    void domenu(const QString& menu, V3DPluginCallback2& callback, QWidget* parent) override;
    QStringList funclist() const override;
    // Returns whether every input was traced. A failed input writes no file.
    bool dofunc(const QString& func, const V3DPluginArgList& input, V3DPluginArgList& output,
                V3DPluginCallback2& callback, QWidget* parent) override;
};
