// TIFF as Vaa3D reads it, with its faults.
#pragma once

#include <memory>

#include <QString>

#include <v3d_interface.h>

// Every page is a slice of one channel, and the voxel size is lost. 8-bit pages are flipped, and
// inverted where 0 is white. 16-bit samples come out wrong. 32-bit samples are taken for bytes.
// A truncated file is one slice. nullptr where Vaa3D reads nothing or crashes, as for colour.
std::unique_ptr<Image4DSimple> readTiff(const QString& file);
