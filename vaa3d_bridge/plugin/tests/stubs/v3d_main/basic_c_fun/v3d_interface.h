// A stand-in for Vaa3D's header of this name, for the tests: the same classes, and their methods in
// the same order, so that a wrong order shows in the tests as it does in Vaa3D. Types that the
// plugin does not use are replaced by others of the same kind.
//
// DINEURO_STUB_MASTER: the table of v3d_external's master, which has a second setSWC. Without it
// the table is that of the branch QT6_NEW, in which every later function is one place earlier.
#pragma once

#include <QtCore>

#include "basic_4dimage.h"
#include "basic_landmark.h"
#include "basic_surf_objs.h"
#include "basic_triview.h"
#include "basic_view3d.h"
#include "v3d_message.h"

class MainWindow;
class QWidget;
class V3dR_MainWindow;
struct V_NeuronSWC_list {};
struct V3D_GlobalSetting {};

typedef void* v3dhandle;
typedef QList<LocationSimple> LandmarkList;
typedef QList<QPoint> ROIList;
typedef QList<v3dhandle> v3dhandleList;

struct V3DPluginArgItem {
    QString type;
    void* p;
};
typedef QList<V3DPluginArgItem> V3DPluginArgList;

class V3DPluginCallback {
public:
    virtual ~V3DPluginCallback() = default;
    virtual bool callPluginFunc(const QString& plugin, const QString& func,
                                const V3DPluginArgList& input, V3DPluginArgList& output) = 0;
    virtual v3dhandleList getImageWindowList() const = 0;
    virtual v3dhandle currentImageWindow() = 0;
    virtual v3dhandle curHiddenSelectedWindow() = 0;
    virtual v3dhandle newImageWindow(QString name = "new_image") = 0;
    virtual void updateImageWindow(v3dhandle window, bool forceMinMax = false) = 0;
    virtual QString getImageName(v3dhandle window) const = 0;
    virtual void setImageName(v3dhandle window, QString name) = 0;
    virtual Image4DSimple* getImage(v3dhandle window) = 0;
    virtual bool setImage(v3dhandle window, Image4DSimple* image) = 0;
    virtual bool setImageTest(v3dhandle window, Image4DSimple* image, unsigned char* a) = 0;
    virtual LandmarkList getLandmark(v3dhandle window) = 0;
    virtual bool setLandmark(v3dhandle window, LandmarkList& landmarks) = 0;
    virtual ROIList getROI(v3dhandle window) = 0;
    virtual bool setROI(v3dhandle window, ROIList& roi) = 0;
    virtual NeuronTree getSWC(v3dhandle window) = 0;
    virtual bool setSWC(v3dhandle window, NeuronTree& tree) = 0;
#ifdef DINEURO_STUB_MASTER
    virtual bool setSWC(v3dhandle window, V_NeuronSWC_list segments, bool collaborate = false) = 0;
#endif
    virtual Image4DSimple* loadImage(char* file) = 0;
    virtual Image4DSimple* loadImage(char* file, V3DLONG slice) = 0;
    virtual bool saveImage(Image4DSimple* image, char* file) = 0;
    virtual V3D_GlobalSetting getGlobalSetting() = 0;
    virtual bool setGlobalSetting(V3D_GlobalSetting& setting) = 0;
    virtual void open3DWindow(v3dhandle window) = 0;
    virtual void close3DWindow(v3dhandle window) = 0;
    virtual void openROI3DWindow(v3dhandle window) = 0;
    virtual void closeROI3DWindow(v3dhandle window) = 0;
    virtual void pushObjectIn3DWindow(v3dhandle window) = 0;
    virtual void pushImageIn3DWindow(v3dhandle window) = 0;
    virtual int pushTimepointIn3DWindow(v3dhandle window, int timepoint) = 0;
    virtual bool screenShot3DWindow(v3dhandle window, QString file) = 0;
    virtual bool screenShotROI3DWindow(v3dhandle window, QString file) = 0;
};

class V3DPluginCallback2 : public V3DPluginCallback {
public:
    virtual View3DControl* getView3DControl(v3dhandle window) = 0;
    virtual View3DControl* getLocalView3DControl(v3dhandle window) = 0;
    virtual TriviewControl* getTriviewControl(v3dhandle window) = 0;
    virtual MainWindow* getVaa3DMainWindow() = 0;
    virtual QList<V3dR_MainWindow*> getListAll3DViewers() = 0;
};

class V3DPluginInterface2 {
public:
    virtual ~V3DPluginInterface2() = default;
    virtual QStringList menulist() const = 0;
    virtual void domenu(const QString& menu, V3DPluginCallback2& callback, QWidget* parent) = 0;
    virtual QStringList funclist() const = 0;
    virtual bool dofunc(const QString& func, const V3DPluginArgList& input,
                        V3DPluginArgList& output, V3DPluginCallback2& callback,
                        QWidget* parent) = 0;
};

class V3DPluginInterface2_1 : public V3DPluginInterface2 {
public:
    virtual float getPluginVersion() const = 0;
};

QT_BEGIN_NAMESPACE
Q_DECLARE_INTERFACE(V3DPluginInterface2_1, "com.janelia.v3d.V3DPluginInterface/2.1")
QT_END_NAMESPACE
