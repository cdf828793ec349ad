// Trees for Vaa3D.
#pragma once

#include <vector>

#include <v3d_interface.h>

#include "client/client.h"
#include "client/swc.h"
#include "grades.h"

// A tree for Vaa3D, which colours it by type. setSWC gives a segment, from fork to fork, the type
// of most of its nodes, so the node of a soma would lose its type. A node at which the type changes
// therefore gets a twin at the same place, and a second twin if it is not a fork. The types then
// change between segments. The grades become the level and the feature values of ESWC.
NeuronTree neuronTreeOf(const std::vector<dineuro::Node>& nodes, const QString& name,
                        const Grades& grades = {});

// Both trees as one. The ids of the second continue those of the first.
NeuronTree joinedTrees(const NeuronTree& first, const NeuronTree& second);
