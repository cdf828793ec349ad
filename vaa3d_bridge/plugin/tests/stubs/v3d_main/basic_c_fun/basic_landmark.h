// A stand-in for Vaa3D's header of this name, for the tests. Landmarks count voxels from 1.
#pragma once

#include <string>

#include "color_xyz.h"
#include "v3d_basicdatatype.h"

struct LocationSimple {
    float x = 0, y = 0, z = 0, radius = 5;
    std::string name, comments;
    int category = 0;
    RGBA8 color{255, 0, 0, 255};
    bool on = true;

    LocationSimple() = default;
    LocationSimple(float xx, float yy, float zz) : x(xx), y(yy), z(zz) {}
};
