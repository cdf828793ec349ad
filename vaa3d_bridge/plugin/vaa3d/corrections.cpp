#include "corrections.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "client/errors.h"

namespace {

constexpr double kTouch = 2;  // voxels between the end of a drawn branch and its neurite
constexpr double kNear = 5;   // voxels
constexpr int kSoma = 1;

using Nodes = std::vector<dineuro::Node>;

[[noreturn]] void noTree(const std::string& why) { throw dineuro::Error("bad_tree", why); }

std::string wordsOf(const dineuro::Node& node) {
    const auto number = [](double value) { return QString::number(value, 'f', 1).toStdString(); };
    return "(" + number(node.x) + ", " + number(node.y) + ", " + number(node.z) + ")";
}

Place windowPlace(const dineuro::Node& node, const Drawing& drawing) {
    return placeOf(node.x, node.y, drawing.windowZ(node.z));
}

double distance(const dineuro::Node& a, const dineuro::Node& b) {
    return std::hypot(a.x - b.x, a.y - b.y, a.z - b.z);
}

double distanceToLine(const dineuro::Node& place, const dineuro::Node& a, const dineuro::Node& b) {
    const double x = b.x - a.x, y = b.y - a.y, z = b.z - a.z;
    const double square = x * x + y * y + z * z;
    const double along = (place.x - a.x) * x + (place.y - a.y) * y + (place.z - a.z) * z;
    const double share = square > 0 ? std::clamp(along / square, 0.0, 1.0) : 0;
    return std::hypot(place.x - a.x - share * x, place.y - a.y - share * y,
                      place.z - a.z - share * z);
}

std::map<Place, const dineuro::Node*> byPlace(const Nodes& nodes) {
    std::map<Place, const dineuro::Node*> found;
    for (const auto& node : nodes) found.emplace(placeOf(node), &node);
    return found;
}

// All nodes of a window, one at each place, and their links.
class Graph {
public:
    struct Spot {
        dineuro::Node node;
        const dineuro::Node* present;         // the server's node at this place
        std::map<int, int> types = {};        // of the copies, and their number
        std::vector<std::size_t> links = {};  // to other nodes
        bool begins = false;                  // whether a segment begins here
    };

    Graph(const NeuronTree& window, const Nodes& present, const Drawing& drawing) {
        const auto known = byPlace(present);
        std::map<Place, std::size_t> index;
        std::unordered_map<V3DLONG, std::size_t> byId;
        for (const NeuronSWC& swc : window.listNeuron) {
            const dineuro::Node node = nodeOf(swc, drawing);
            const Place at = placeOf(node);
            const auto found = known.find(at);
            if (found == known.end() && drawing.others.count(windowPlace(node, drawing))) continue;
            const auto [entry, isNew] = index.emplace(at, spots.size());
            if (isNew) spots.push_back({node, found == known.end() ? nullptr : found->second});
            Spot& spot = spots[entry->second];
            ++spot.types[swc.type];
            spot.begins = spot.begins || swc.pn < 0;
            byId[swc.n] = entry->second;
        }
        above_.resize(spots.size());
        std::iota(above_.begin(), above_.end(), std::size_t{0});
        std::set<std::pair<std::size_t, std::size_t>> pairs;
        for (const NeuronSWC& swc : window.listNeuron) {
            const auto lower = byId.find(swc.n), upper = byId.find(swc.pn);
            if (swc.pn < 0 || lower == byId.end() || upper == byId.end()) continue;
            const auto pair = std::minmax(lower->second, upper->second);
            if (pair.first != pair.second && pairs.insert(pair).second)
                link(pair.first, pair.second);
        }
        if (spots.empty()) noTree("the image has no tree");
        linkEnds();
    }

    std::vector<Spot> spots;
    int linked = 0;  // drawn ends

    std::size_t pieceOf(std::size_t at) {
        while (above_[at] != at) at = above_[at] = above_[above_[at]];
        return at;
    }

private:
    static dineuro::Node nodeOf(const NeuronSWC& swc, const Drawing& drawing) {
        const auto wide = [](float value) { return static_cast<double>(value); };
        dineuro::Node node{
            0, swc.type, wide(swc.x), wide(swc.y), drawing.treeZ(wide(swc.z)), wide(swc.r), -1};
        if (!std::isfinite(node.x + node.y + node.z + node.radius))
            noTree("a node of the tree has a value that is not finite");
        return node;
    }

    void link(std::size_t a, std::size_t b) {
        if (pieceOf(a) == pieceOf(b))
            noTree("the tree has a loop at the node " + wordsOf(spots[a].node) +
                   ": delete one of its segments");
        spots[a].links.push_back(b);
        spots[b].links.push_back(a);
        above_[pieceOf(a)] = pieceOf(b);
    }

    // A branch that the user drew often ends beside the neurite and not on it.
    void linkEnds() {
        std::set<std::size_t> rooted;
        for (std::size_t at = 0; at < spots.size(); ++at)
            if (spots[at].present) rooted.insert(pieceOf(at));
        for (std::size_t end = 0; end < spots.size(); ++end) {
            if (spots[end].present || spots[end].links.size() > 1 || rooted.count(pieceOf(end)))
                continue;
            const auto nearest = touched(end);
            if (!nearest) continue;
            const bool joins = rooted.count(pieceOf(*nearest)) > 0;
            link(end, *nearest);
            ++linked;
            if (joins) rooted.insert(pieceOf(end));
        }
    }

    // The node of another piece whose link, or which itself, a node touches.
    std::optional<std::size_t> touched(std::size_t end) {
        std::optional<std::size_t> nearest;
        double least = INFINITY;
        const dineuro::Node& place = spots[end].node;
        const auto look = [&](std::size_t at, std::size_t other) {
            const dineuro::Node &a = spots[at].node, &b = spots[other].node;
            const double away = distanceToLine(place, a, b);
            if (away >= least || away > std::max(kTouch, std::max(a.radius, b.radius))) return;
            least = away;
            nearest = distance(place, a) <= distance(place, b) ? at : other;
        };
        for (std::size_t at = 0; at < spots.size(); ++at) {
            if (pieceOf(at) == pieceOf(end)) continue;
            look(at, at);
            for (const std::size_t other : spots[at].links)
                if (other > at) look(at, other);
        }
        return nearest;
    }

    std::vector<std::size_t> above_;  // of a forest that tells the pieces apart
};

// The nearest neurite of the server: the type of a new node where types are grades.
int typeOfNearest(const dineuro::Node& node, const Nodes& present) {
    int type = node.type;
    double least = INFINITY;
    for (const auto& other : present)
        if (const double away = distance(node, other); other.type != kSoma && away < least)
            least = away, type = other.type;
    return type;
}

int commonest(const std::map<int, int>& types) {
    return std::max_element(types.begin(), types.end(),
                            [](const auto& a, const auto& b) { return a.second < b.second; })
        ->first;
}

int typeOf(const Graph::Spot& spot, const Nodes& present, const Drawing& drawing) {
    if (!spot.present)
        return drawing.byConfidence ? typeOfNearest(spot.node, present) : commonest(spot.types);
    const auto drawn = drawing.types.find(windowPlace(spot.node, drawing));
    if (drawn != drawing.types.end()) {
        // At a fork every segment has a copy, and one segment's type alone does not change it.
        const bool kept = std::any_of(spot.types.begin(), spot.types.end(), [&](const auto& type) {
            return drawn->second.count(type.first);
        });
        return kept ? spot.present->type : commonest(spot.types);
    }
    const bool same = spot.present->type == kSoma || spot.types.count(spot.present->type);
    return same ? spot.present->type : commonest(spot.types);
}

dineuro::Node finished(const Graph::Spot& spot, const Nodes& present, const Drawing& drawing) {
    dineuro::Node node = spot.present ? *spot.present : spot.node;
    node.type = typeOf(spot, present, drawing);
    if (spot.present && std::abs(spot.node.radius - node.radius) > 0.001)
        node.radius = spot.node.radius;
    return node;
}

// The roots of all pieces: those of the server, or where a segment begins.
std::vector<std::size_t> rootsOf(Graph& graph) {
    const auto rank = [&](std::size_t at) {
        const Graph::Spot& spot = graph.spots[at];
        if (spot.present && spot.present->parent < 0) return 0;
        return spot.begins ? (spot.links.size() < 2 ? 1 : 2) : 3;
    };
    std::map<std::size_t, std::size_t> best;
    for (std::size_t at = 0; at < graph.spots.size(); ++at) {
        const auto [entry, isNew] = best.emplace(graph.pieceOf(at), at);
        if (!isNew && rank(at) < rank(entry->second)) entry->second = at;
    }
    std::vector<std::size_t> roots;
    for (const auto& [piece, root] : best) roots.push_back(root);
    std::sort(roots.begin(), roots.end(), [&](std::size_t a, std::size_t b) {
        return std::make_pair(rank(a), a) < std::make_pair(rank(b), b);
    });
    return roots;
}

// Whether the server's tree has this node, with the same parent.
bool isSame(const dineuro::Node& node, const dineuro::Node* parent,
            const std::map<Place, const dineuro::Node*>& known,
            const std::unordered_map<long, const dineuro::Node*>& byId) {
    const auto found = known.find(placeOf(node));
    if (found == known.end()) return false;
    const dineuro::Node& other = *found->second;
    if (other.type != node.type || other.radius != node.radius) return false;
    const auto above = byId.find(other.parent);
    if (!parent || above == byId.end()) return !parent && above == byId.end();
    return placeOf(*parent) == placeOf(*above->second);
}

}  // namespace

Place placeOf(double x, double y, double z) {
    return {std::llround(1000 * x), std::llround(1000 * y), std::llround(1000 * z)};
}

Place placeOf(const dineuro::Node& node) { return placeOf(node.x, node.y, node.z); }

Place placeOf(const NeuronSWC& node) {
    return placeOf(static_cast<double>(node.x), static_cast<double>(node.y),
                   static_cast<double>(node.z));
}

Correction correctionOf(const NeuronTree& window, const Nodes& present, const Drawing& drawing) {
    Graph graph(window, present, drawing);
    const auto known = byPlace(present);
    std::unordered_map<long, const dineuro::Node*> byId;
    for (const auto& node : present) byId[node.id] = &node;
    Correction made;
    made.linked = graph.linked;
    std::vector<std::pair<std::size_t, long>> left;  // nodes, and the ids of their parents
    std::vector<bool> seen(graph.spots.size());
    made.nodes.reserve(graph.spots.size());
    for (const std::size_t root : rootsOf(graph)) {
        ++made.pieces;
        left.emplace_back(root, -1);
        while (!left.empty()) {
            const auto [at, parent] = left.back();
            left.pop_back();
            seen[at] = true;
            const Graph::Spot& spot = graph.spots[at];
            dineuro::Node node = finished(spot, present, drawing);
            node.id = static_cast<long>(made.nodes.size()) + 1;
            node.parent = parent;
            const dineuro::Node* above =
                parent < 0 ? nullptr : &made.nodes[static_cast<std::size_t>(parent) - 1];
            made.differs = made.differs || !isSame(node, above, known, byId);
            ++(spot.present ? made.kept : made.added);
            if (!spot.present) made.drawn.insert(node.id);
            made.nodes.push_back(node);
            for (auto next = spot.links.rbegin(); next != spot.links.rend(); ++next)
                if (!seen[*next]) left.emplace_back(*next, node.id);
        }
    }
    made.removed = static_cast<int>(known.size()) - made.kept;
    made.differs = made.differs || made.removed > 0;
    return made;
}

bool Correction::hasDrawnNear(double x, double y, double z) const {
    const dineuro::Node place{0, 0, x, y, z, 0, -1};
    return std::any_of(nodes.begin(), nodes.end(), [&](const dineuro::Node& node) {
        return drawn.count(node.id) && distance(node, place) < kNear;
    });
}

NeuronTree othersOf(const NeuronTree& window, const Drawing& drawing) {
    NeuronTree tree = window;
    tree.listNeuron.clear();
    tree.hashNeuron.clear();
    std::set<V3DLONG> ids;
    for (NeuronSWC node : window.listNeuron) {
        if (!drawing.others.count(placeOf(node))) continue;
        if (!ids.count(node.pn)) node.pn = -1;
        ids.insert(node.n);
        tree.hashNeuron.insert(static_cast<int>(node.n), static_cast<int>(tree.listNeuron.size()));
        tree.listNeuron.append(node);
    }
    return tree;
}
