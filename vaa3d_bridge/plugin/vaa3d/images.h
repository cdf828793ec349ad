// Conversions between Vaa3D's images, landmarks, boxes and trees and the client's types.
#pragma once

#include <vector>

#include <v3d_interface.h>

#include "client/client.h"
#include "client/swc.h"

// One channel, counted from 1. The image owns its samples. Throws dineuro::Error.
dineuro::Volume channelOf(Image4DSimple& image, int channel);

// The root of a landmark: landmarks count voxels from 1, and a server counts from 0.
// Throws dineuro::Error if the landmark lies outside the image.
dineuro::Json rootOf(const LocationSimple& landmark, const Image4DSimple& image);

// The visible box of the 3D window, as half-open voxels x0, y0, z0, x1, y1, z1.
dineuro::Json cutBoxOf(const View3DControl& view, const Image4DSimple& image);

// The voxel size of the image, as x, y, z. It is empty if it is Vaa3D's default of 1.
std::vector<double> spacingOf(const Image4DSimple& image);

// A tree for Vaa3D. setSWC gives a segment, from fork to fork, the type of most of its nodes, so
// the node of a soma would lose its type. A node at which the type changes therefore gets a twin at
// the same place, and a second twin if it is not a fork. The types then change between segments.
NeuronTree neuronTreeOf(const std::vector<dineuro::Node>& nodes, const QString& name);

// Move the samples of the mask into an image.
void fillMask(Image4DSimple& image, dineuro::Result& result, const Image4DSimple& like);
