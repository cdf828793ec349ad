// Trees for Vaa3D.
#pragma once

#include <vector>

#include <v3d_interface.h>

#include "client/client.h"
#include "client/swc.h"

// A tree for Vaa3D, which colours it by type. setSWC gives a segment, from fork to fork, the type
// of most of its nodes, so the node of a soma would lose its type. A node at which the type changes
// therefore gets a twin at the same place, and a second twin if it is not a fork. The types then
// change between segments.
NeuronTree neuronTreeOf(const std::vector<dineuro::Node>& nodes, const QString& name);

// The nodes with types that Vaa3D shows in green (sure), yellow and red (in doubt), by the
// confidence of their segments in the report. The root keeps its type.
std::vector<dineuro::Node> gradedNodes(std::vector<dineuro::Node> nodes,
                                       const dineuro::Json& report);

// Both trees as one. The ids of the second continue those of the first.
NeuronTree joinedTrees(const NeuronTree& first, const NeuronTree& second);
