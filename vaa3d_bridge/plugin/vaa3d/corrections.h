// The tree that a user corrected in Vaa3D, as the server takes it.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <v3d_interface.h>

#include "client/swc.h"

// A place in thousandths of a voxel, because SWC files have no more decimals.
using Place = std::array<long long, 3>;
Place placeOf(double x, double y, double z);
Place placeOf(const dineuro::Node& node);
Place placeOf(const NeuronSWC& node);

// What the plugin drew in a window. Its places are those of the window.
struct Drawing {
    int step = 1,
        channel = 1;  // the window's slices for each slice of the tree, and the tree's own
    bool byConfidence = false;             // whether the types are grades
    std::map<Place, std::set<int>> types;  // as Vaa3D gave them back; empty if that is not known
    std::set<Place> others;                // of neurons that are not the tree

    double treeZ(double windowZ) const { return (windowZ - (channel - 1)) / step; }
    double windowZ(double treeZ) const { return treeZ * step + channel - 1; }
};

struct Correction {
    std::vector<dineuro::Node> nodes;      // in voxels of the tree, parents first
    int kept = 0, added = 0, removed = 0;  // nodes
    int linked = 0;                        // ends of drawn branches that were linked
    int pieces = 0;                        // trees that are not linked to each other
    std::set<long> drawn;                  // the ids of the added nodes
    bool differs = false;                  // from the server's tree

    // Whether the user drew something near a place in voxels of the tree.
    bool hasDrawnNear(double x, double y, double z) const;
};

// The tree of a window, which differs from the server's tree `present` by what the user changed.
// Vaa3D gives a tree as segments that are not linked, each with its own copy of a fork. Nodes at
// one place are therefore one node, and the roots are those of the server. The end of a new branch
// is linked to the neurite that it nearly touches. Vaa3D gives a whole segment one type, so a type
// is taken only where the user changed it. Throws dineuro::Error("bad_tree") for a loop, a value
// that is not finite, or no node.
Correction correctionOf(const NeuronTree& window, const std::vector<dineuro::Node>& present,
                        const Drawing& drawing);

// The neurons of the window that are not the tree.
NeuronTree othersOf(const NeuronTree& window, const Drawing& drawing);
