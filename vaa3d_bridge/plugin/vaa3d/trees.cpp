#include "trees.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace {

NeuronSWC swcOf(const dineuro::Node& node, const Grade* grade) {
    NeuronSWC swc;
    swc.n = node.id;
    swc.type = node.type;
    swc.x = static_cast<float>(node.x);
    swc.y = static_cast<float>(node.y);
    swc.z = static_cast<float>(node.z);
    swc.r = static_cast<float>(node.radius);
    swc.pn = node.parent;
    if (!grade) return swc;
    swc.seg_id = grade->segment;
    swc.level = grade->level;
    for (const double value : {grade->confidence, grade->probability, grade->contrast,
                               grade->gapShare, grade->tortuosity})
        swc.fea_val.append(static_cast<float>(value));
    return swc;
}

// The nodes with the twins that `neuronTreeOf` describes.
std::vector<dineuro::Node> withTwins(const std::vector<dineuro::Node>& nodes) {
    std::unordered_map<long, const dineuro::Node*> byId;
    std::unordered_map<long, int> children;
    std::unordered_map<long, long> twin;
    long last = 0;
    for (const auto& node : nodes) {
        byId[node.id] = &node;
        ++children[node.parent];
        last = std::max(last, node.id);
    }
    for (const auto& node : nodes) {
        const auto parent = byId.find(node.parent);
        if (parent != byId.end() && parent->second->type != node.type && !twin.count(node.parent))
            twin[node.parent] = ++last;
    }
    std::vector<dineuro::Node> result;
    for (dineuro::Node node : nodes) {
        const auto ofParent = twin.find(node.parent);
        if (ofParent != twin.end()) node.parent = ofParent->second;
        result.push_back(node);
        const auto own = twin.find(node.id);
        if (own == twin.end()) continue;
        node.parent = node.id;
        node.id = own->second;
        result.push_back(node);
        if (children[node.parent] > 1) continue;
        node.parent = node.id;
        node.id = ++last;
        result.push_back(node);
    }
    return result;
}

void add(NeuronTree& tree, NeuronSWC node) {
    tree.hashNeuron.insert(static_cast<int>(node.n), static_cast<int>(tree.listNeuron.size()));
    tree.listNeuron.append(node);
}

}  // namespace

NeuronTree neuronTreeOf(const std::vector<dineuro::Node>& nodes, const QString& name,
                        const Grades& grades) {
    NeuronTree tree;
    std::unordered_set<long> own;
    for (const auto& node : nodes) own.insert(node.id);
    Grade grade;
    for (const auto& node : withTwins(nodes)) {
        // A twin follows its node, and has the same grade.
        const auto found = grades.find(node.id);
        if (own.count(node.id)) grade = found == grades.end() ? Grade() : found->second;
        add(tree, swcOf(node, grades.empty() ? nullptr : &grade));
    }
    tree.name = name;
    // A 3D window replaces a tree by one of the same file.
    tree.file = name;
    tree.n = 1;
    tree.on = true;
    // Without a colour of its own a tree is coloured by type.
    tree.color.r = tree.color.g = tree.color.b = tree.color.a = 0;
    return tree;
}

NeuronTree joinedTrees(const NeuronTree& first, const NeuronTree& second) {
    NeuronTree tree = second;
    tree.listNeuron.clear();
    tree.hashNeuron.clear();
    V3DLONG last = 0;
    for (const NeuronSWC& node : first.listNeuron) {
        last = std::max(last, node.n);
        add(tree, node);
    }
    for (NeuronSWC node : second.listNeuron) {
        node.n += last;
        if (node.pn >= 0) node.pn += last;
        add(tree, node);
    }
    return tree;
}
