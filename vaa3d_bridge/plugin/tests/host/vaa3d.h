// What of Vaa3D a plugin sees: windows with images, landmarks, trees and a 3D view.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <QMainWindow>
#include <QMdiArea>
#include <QMdiSubWindow>

#include <v3d_interface.h>

// The program's main window, which a callback hands out.
class MainWindow : public QMainWindow {};

// The cut box of a 3D window, both ends in it.
class View : public View3DControl {
public:
    std::array<int, 6> cut{};    // x0, x1, y0, y1, z0, z1
    std::array<int, 3> shown{};  // how many voxels the 3D window has
    int dataDim1() const override { return shown[0]; }
    int dataDim2() const override { return shown[1]; }
    int dataDim3() const override { return shown[2]; }
    int xCut0() const override { return cut[0]; }
    int xCut1() const override { return cut[1]; }
    int yCut0() const override { return cut[2]; }
    int yCut1() const override { return cut[3]; }
    int zCut0() const override { return cut[4]; }
    int zCut1() const override { return cut[5]; }
    void setXCut0(int at) override { cut[0] = at; }
    void setXCut1(int at) override { cut[1] = at; }
    void setYCut0(int at) override { cut[2] = at; }
    void setYCut1(int at) override { cut[3] = at; }
    void setZCut0(int at) override { cut[4] = at; }
    void setZCut1(int at) override { cut[5] = at; }
};

class Planes : public TriviewControl {
public:
    std::array<V3DLONG, 3> focus{};
    void getFocusLocation(V3DLONG& x, V3DLONG& y, V3DLONG& z) const override {
        x = focus[0], y = focus[1], z = focus[2];
    }
    void setFocusLocation(V3DLONG x, V3DLONG y, V3DLONG z) override { focus = {x, y, z}; }
};

struct Window {
    QMdiSubWindow* frame;
    Image4DSimple image;
    LandmarkList landmarks;
    Planes planes;
    NeuronTree tree;
    QList<QList<NeuronSWC>> segments;  // what Vaa3D keeps of the tree
    std::unique_ptr<View> view;        // there while the 3D window is open
    int updates = 0, pushes = 0;
};

// An image as Vaa3D reads it, a .v3draw file or a TIFF; nullptr where it is none.
std::unique_ptr<Image4DSimple> readImage(const QString& file);
bool writeRaw(Image4DSimple& image, const QString& file);

class Vaa3D : public QObject, public V3DPluginCallback2 {
public:
    std::vector<std::unique_ptr<Window>> windows;  // in the order in which they were opened

    Vaa3D();
    void activate(Window& window) { area_->setActiveSubWindow(window.frame); }
    // The window that is shown in front; null without a window.
    Window* front();

    bool callPluginFunc(const QString&, const QString&, const V3DPluginArgList&,
                        V3DPluginArgList&) override {
        return false;
    }
    // The order of the windows follows their use, not their age.
    v3dhandleList getImageWindowList() const override;
    v3dhandle currentImageWindow() override { return front(); }
    v3dhandle curHiddenSelectedWindow() override { return front(); }
    v3dhandle newImageWindow(QString name) override;
    void updateImageWindow(v3dhandle window, bool) override;
    QString getImageName(v3dhandle window) const override;
    void setImageName(v3dhandle window, QString name) override;
    Image4DSimple* getImage(v3dhandle window) override;
    bool setImage(v3dhandle window, Image4DSimple* image) override;
    bool setImageTest(v3dhandle, Image4DSimple*, unsigned char*) override { return false; }
    LandmarkList getLandmark(v3dhandle window) override;
    bool setLandmark(v3dhandle window, LandmarkList& landmarks) override;
    ROIList getROI(v3dhandle) override { return {}; }
    bool setROI(v3dhandle, ROIList&) override { return false; }
    // Segments that are not linked: every segment has its own copy of a fork.
    NeuronTree getSWC(v3dhandle window) override;
    // Gives each segment the type of most of its nodes, as Vaa3D does.
    bool setSWC(v3dhandle window, NeuronTree& tree) override;
#ifdef DINEURO_STUB_MASTER
    bool setSWC(v3dhandle, V_NeuronSWC_list, bool) override { return false; }
#endif
    Image4DSimple* loadImage(char* file) override;
    Image4DSimple* loadImage(char*, V3DLONG) override { return nullptr; }
    bool saveImage(Image4DSimple* image, char* file) override;
    V3D_GlobalSetting getGlobalSetting() override { return {}; }
    bool setGlobalSetting(V3D_GlobalSetting&) override { return false; }
    void open3DWindow(v3dhandle window) override;
    void close3DWindow(v3dhandle) override {}
    void openROI3DWindow(v3dhandle) override {}
    void closeROI3DWindow(v3dhandle) override {}
    void pushObjectIn3DWindow(v3dhandle window) override;
    void pushImageIn3DWindow(v3dhandle) override {}
    int pushTimepointIn3DWindow(v3dhandle, int) override { return 0; }
    bool screenShot3DWindow(v3dhandle, QString) override { return false; }
    bool screenShotROI3DWindow(v3dhandle, QString) override { return false; }
    View3DControl* getView3DControl(v3dhandle window) override;
    View3DControl* getLocalView3DControl(v3dhandle) override { return nullptr; }
    TriviewControl* getTriviewControl(v3dhandle window) override;
    MainWindow* getVaa3DMainWindow() override { return &main_; }
    QList<V3dR_MainWindow*> getListAll3DViewers() override { return {}; }

    // When a dialog closes, the first image becomes the current one again.
    bool eventFilter(QObject* object, QEvent* event) override;

private:
    MainWindow main_;
    QMdiArea* area_;
};
