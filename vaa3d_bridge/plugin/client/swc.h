// The nodes of an SWC text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dineuro {

// One line of an SWC: x, y, z and radius in voxels from 0. `parent` is an id, or -1 for a root.
struct Node {
    long id;
    int type;
    double x, y, z, radius;
    long parent;
};

// The nodes of a text, in its order. Throws Error("bad_tree") for a malformed line, a second use of
// an id, or a missing parent. The message has the number of the line.
std::vector<Node> parseSwc(std::string_view text);

// The lines of nodes, with at most three decimals.
std::string swcText(const std::vector<Node>& nodes);

}  // namespace dineuro
