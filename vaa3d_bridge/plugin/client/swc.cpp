#include "swc.h"

#include <cmath>
#include <iomanip>
#include <locale>
#include <sstream>
#include <string>
#include <unordered_set>

#include "errors.h"

namespace dineuro {
namespace {

[[noreturn]] void refuse(std::size_t line, const std::string& why) {
    throw Error("bad_tree", "the tree's line " + std::to_string(line) + ": " + why);
}

Node nodeOf(const std::string& line, std::size_t row) {
    std::istringstream words(line);
    // The decimal sign is a point in every locale.
    words.imbue(std::locale::classic());
    Node node{};
    words >> node.id >> node.type >> node.x >> node.y >> node.z >> node.radius >> node.parent;
    if (!words) refuse(row, "is not a node: id, type, x, y, z, radius, parent");
    if (!std::isfinite(node.x + node.y + node.z + node.radius))
        refuse(row, "has a number that is not finite");
    return node;
}

}  // namespace

std::vector<Node> parseSwc(std::string_view text) {
    std::vector<Node> nodes;
    std::unordered_set<long> ids;
    std::size_t row = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\n', at), text.size());
        const std::string line(text.substr(at, end - at));
        at = end + 1;
        ++row;
        const auto first = line.find_first_not_of(" \t\r");
        if (first == std::string::npos || line[first] == '#') continue;
        nodes.push_back(nodeOf(line, row));
        if (!ids.insert(nodes.back().id).second) refuse(row, "repeats an id");
    }
    for (const Node& node : nodes)
        if (node.parent != -1 && !ids.count(node.parent))
            throw Error("bad_tree", "the tree's node " + std::to_string(node.id) +
                                        " has a parent that does not exist");
    return nodes;
}

std::string swcText(const std::vector<Node>& nodes) {
    std::ostringstream text;
    // The decimal sign is a point in every locale.
    text.imbue(std::locale::classic());
    text << std::fixed << std::setprecision(3);
    const auto number = [](double value) { return std::round(1000 * value) / 1000 + 0.0; };
    for (const Node& node : nodes)
        text << node.id << ' ' << node.type << ' ' << number(node.x) << ' ' << number(node.y) << ' '
             << number(node.z) << ' ' << number(node.radius) << ' ' << node.parent << '\n';
    return text.str();
}

}  // namespace dineuro
