// What of Vaa3D a plugin sees: windows with images, landmarks, trees and a 3D view.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include <v3d_interface.h>

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
};

struct Window {
    QString name;
    Image4DSimple image;
    LandmarkList landmarks;
    NeuronTree tree;
    std::unique_ptr<View> view;  // there while the 3D window is open
    int updates = 0, pushes = 0;
};

// A .v3draw file; nullptr where it is none.
std::unique_ptr<Image4DSimple> readRaw(const QString& file);
bool writeRaw(Image4DSimple& image, const QString& file);

class Vaa3D : public V3DPluginCallback2 {
public:
    std::vector<std::unique_ptr<Window>> windows;
    Window* current = nullptr;

    v3dhandleList getImageWindowList() const override;
    v3dhandle currentImageWindow() override { return current; }
    v3dhandle newImageWindow(QString name) override;
    void updateImageWindow(v3dhandle window, bool) override;
    QString getImageName(v3dhandle window) const override;
    void setImageName(v3dhandle window, QString name) override;
    Image4DSimple* getImage(v3dhandle window) override;
    bool setImage(v3dhandle window, Image4DSimple* image) override;
    LandmarkList getLandmark(v3dhandle window) override;
    bool setLandmark(v3dhandle window, LandmarkList& landmarks) override;
    NeuronTree getSWC(v3dhandle window) override;
    // Gives each segment the type of most of its nodes, as Vaa3D does.
    bool setSWC(v3dhandle window, NeuronTree& tree) override;
    Image4DSimple* loadImage(char* file) override;
    bool saveImage(Image4DSimple* image, char* file) override;
    void open3DWindow(v3dhandle window) override;
    void pushObjectIn3DWindow(v3dhandle window) override;
    View3DControl* getView3DControl(v3dhandle window) override;
};
