// Vaa3D's images, landmarks, boxes and trees, and what the client knows of them.
#pragma once

#include <vector>

#include <v3d_interface.h>

#include "client/client.h"
#include "client/swc.h"

// One channel, counted from 1; its samples stay the image's. Throws dineuro::Error.
dineuro::Volume channelOf(Image4DSimple& image, int channel);

// Landmarks count voxels from 1, a server from 0. Throws dineuro::Error for one outside the image.
dineuro::Json rootOf(const LocationSimple& landmark, const Image4DSimple& image);

// The box that is not cut away in the 3D window, as half-open voxels x0, y0, z0, x1, y1, z1.
dineuro::Json cutBoxOf(const View3DControl& view, const Image4DSimple& image);

// The voxel size that the image knows, as x, y, z; empty where it is Vaa3D's default of 1.
std::vector<double> spacingOf(const Image4DSimple& image);

// A tree for Vaa3D. setSWC gives a segment, from fork to fork, the type of most of its nodes: a
// soma node would be lost among its neurites'. Where the type changes the node gets a twin at the
// same place, and where that is no fork another one: the types then change between segments.
NeuronTree neuronTreeOf(const std::vector<dineuro::Node>& nodes, const QString& name);

// The mask as an image of its own; the samples change hands.
void fillMask(Image4DSimple& image, dineuro::Result& result, const Image4DSimple& like);
