// The list of the places to proofread: it leads from one to the next, and keeps the decisions.
#pragma once

#include <QDialog>

#include <v3d_interface.h>

#include "doubts.h"

class QLabel;
class QListWidget;

// The dialog stays open beside Vaa3D's windows, so that the user can look and edit meanwhile.
class DoubtsDialog : public QDialog {
    Q_OBJECT

public:
    // `step` is the number of the window's slices for each slice of the tree.
    // Throws dineuro::Error if the file cannot be read.
    DoubtsDialog(V3DPluginCallback2& callback, v3dhandle window, const QString& doubtsFile,
                 int step);

    // Shows all of the 3D window again.
    ~DoubtsDialog() override;

private:
    void go(int row);
    void decide(const QString& decision);
    void addLandmarks();
    void showRow(int row);
    bool isOpen() const;
    void cut(const Doubt* around);

    V3DPluginCallback2& callback_;
    v3dhandle window_;
    QString file_;
    int step_;
    QList<Doubt> doubts_;
    QListWidget* list_;
    QLabel* state_;
};
