// SWC text to nodes.
#pragma once

#include <string_view>
#include <vector>

namespace dineuro {

// One line of an SWC: x, y, z and radius in voxels from 0; parent is an id, -1 at a root.
struct Node {
    long id;
    int type;
    double x, y, z, radius;
    long parent;
};

// The nodes of a text, in its order. Throws Error("bad_tree") with the line's number for a line
// that is none, an id given twice, or a parent that does not exist.
std::vector<Node> parseSwc(std::string_view text);

}  // namespace dineuro
