// Conversions between Vaa3D's images, landmarks and boxes and the client's types.
#pragma once

#include <vector>

#include <v3d_interface.h>

#include "client/client.h"

// One channel, counted from 1. The image owns its samples. Throws dineuro::Error.
dineuro::Volume channelOf(Image4DSimple& image, int channel);

// The first landmark that may be the soma, or null. The places to proofread, which a .marker file
// of a result brings back as landmarks, are none.
const LocationSimple* somaOf(const LandmarkList& landmarks);

// A landmark counts voxels from 1, and a server counts from 0.
dineuro::Json placeOf(const LocationSimple& landmark);

// The root of a landmark. `roi` is null or x0, y0, z0, x1, y1, z1.
// Throws dineuro::Error if the landmark lies outside the image or the roi.
dineuro::Json rootOf(const LocationSimple& landmark, const Image4DSimple& image,
                     const dineuro::Json& roi = nullptr);

// Divide the z of a root or a region, if the window has several slices for each of the file's.
void divideDepth(dineuro::Json& params, int slicesPerSlice);

// The visible box of the 3D window, as half-open voxels x0, y0, z0, x1, y1, z1.
dineuro::Json cutBoxOf(const View3DControl& view, const Image4DSimple& image);

// The voxel size of the image, as x, y, z. It is empty if it is Vaa3D's default of 1.
std::vector<double> spacingOf(const Image4DSimple& image);

// Move the samples of the mask into an image. `like` is the image that was sent, which has the same
// size; null if a file was sent.
void fillMask(Image4DSimple& image, dineuro::Result& result, const Image4DSimple* like);
