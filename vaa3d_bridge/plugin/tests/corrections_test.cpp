// Trees that were edited in Vaa3D, as the server gets them.
#include <doctest/doctest.h>

#include "../vaa3d/corrections.h"
#include "../vaa3d/trees.h"
#include "client/errors.h"

namespace {

using dineuro::Node;

// A soma with two branches, one of which forks; types and thirds of voxels as the server has them.
const std::vector<Node> kPresent = {{1, 1, 10, 10, 5, 4, -1},    {2, 3, 12.333, 10, 5, 1, 1},
                                    {3, 3, 14.667, 10, 5, 1, 2}, {4, 3, 17, 12, 5.125, 0.7, 3},
                                    {5, 3, 19, 14, 5, 0.5, 4},   {6, 2, 17, 8, 5, 0.6, 3},
                                    {7, 2, 19, 6, 5, 0.5, 6},    {8, 3, 10, 12.5, 5, 1.25, 1}};

NeuronSWC swc(V3DLONG n, const Node& node, V3DLONG parent) {
    NeuronSWC made;
    made.n = n, made.type = node.type, made.pn = parent;
    made.x = static_cast<float>(node.x), made.y = static_cast<float>(node.y);
    made.z = static_cast<float>(node.z), made.r = static_cast<float>(node.radius);
    return made;
}

// A segment behind those that are there, as getSWC gives it.
void segment(NeuronTree& tree, const std::vector<Node>& nodes) {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
        const V3DLONG n = tree.listNeuron.size() + 1;
        tree.listNeuron.append(swc(n, nodes[i], i == 0 ? -1 : n - 1));
    }
}

const Node& at(long id) { return kPresent[static_cast<std::size_t>(id) - 1]; }

// The segments of the whole tree; in Vaa3D the soma has the type of its segment.
NeuronTree drawn() {
    NeuronTree tree;
    Node soma = at(1);
    soma.type = 3;
    segment(tree, {soma, at(2), at(3)});
    segment(tree, {at(3), at(4), at(5)});
    segment(tree, {at(3), at(6), at(7)});
    segment(tree, {soma, at(8)});
    return tree;
}

std::string why(const NeuronTree& tree) {
    try {
        correctionOf(tree, kPresent, Drawing());
    } catch (const dineuro::Error& error) {
        return error.what();
    }
    return "";
}

const Node* find(const Correction& made, double x, double y) {
    for (const Node& node : made.nodes)
        if (node.x == x && node.y == y) return &node;
    return nullptr;
}

Node parentOf(const Correction& made, const Node* node) {
    return made.nodes.at(static_cast<std::size_t>(node->parent) - 1);
}

}  // namespace

TEST_CASE("unlinked segments are the server's tree again") {
    const Correction made = correctionOf(drawn(), kPresent, Drawing());
    CHECK(!made.differs);
    CHECK(made.kept == 8);
    CHECK(made.pieces == 1);
    CHECK(made.nodes.front().type == 1);
    CHECK(dineuro::swcText(made.nodes).find("2 3 12.333 10.000 5.000 1.000 1\n") !=
          std::string::npos);
}

TEST_CASE("segments that run the other way are the same tree") {
    NeuronTree tree;
    segment(tree, {at(5), at(4), at(3)});
    segment(tree, {at(7), at(6), at(3)});
    segment(tree, {at(3), at(2), at(1), at(8)});
    CHECK(!correctionOf(tree, kPresent, Drawing()).differs);
}

TEST_CASE("a branch that is gone, and a drawn one") {
    NeuronTree tree;
    segment(tree, {at(1), at(2), at(3), at(4), at(5)});
    segment(tree, {at(1), at(8)});
    // It begins beside node 3, and not on it.
    segment(tree, {{0, 4, 15.5, 10.5, 5, 1, 0}, {0, 4, 18.25, 9, 5, 1, 0}});
    const Correction made = correctionOf(tree, kPresent, Drawing());
    CHECK(made.differs);
    CHECK(made.kept == 6);
    CHECK(made.removed == 2);
    CHECK(made.added == 2);
    CHECK(made.pieces == 1);
    const Node* branch = find(made, 15.5, 10.5);
    REQUIRE(branch);
    CHECK(branch->type == 4);
    CHECK(made.linked == 1);
    CHECK(parentOf(made, branch).x == 14.667);
    CHECK(parentOf(made, find(made, 18.25, 9)).x == 15.5);
    CHECK(made.hasDrawnNear(18, 9, 5));
    CHECK(!made.hasDrawnNear(10, 10, 5));
}

TEST_CASE("a drawn branch may begin between two nodes, or far away") {
    const std::vector<Node> sparse = {{1, 1, 0, 0, 0, 1, -1}, {2, 3, 20, 0, 0, 1, 1}};
    for (const double away : {1.5, 3.0}) {
        NeuronTree tree;
        segment(tree, sparse);
        segment(tree, {{0, 3, 12, away, 0, 1, 0}, {0, 3, 12, 9, 0, 1, 0}});
        const Correction made = correctionOf(tree, sparse, Drawing());
        CHECK(made.pieces == (away < 2 ? 1 : 2));
        if (away < 2) CHECK(parentOf(made, find(made, 12, away)).x == 20);
    }
}

TEST_CASE("what was cut stays apart") {
    NeuronTree tree;
    segment(tree, {at(1), at(2), at(3), at(4), at(5)});
    segment(tree, {at(6), at(7)});
    segment(tree, {at(1), at(8)});
    const Correction made = correctionOf(tree, kPresent, Drawing());
    CHECK(made.differs);
    CHECK(made.pieces == 2);
    CHECK(made.removed == 0);
    CHECK(find(made, 17, 8)->parent == -1);
    CHECK(made.nodes.front().x == 10);
}

TEST_CASE("only types that the user changed are taken") {
    NeuronTree tree = drawn();
    Drawing drawing;
    for (auto& node : tree.listNeuron) {
        node.type = node.type == 2 ? 6 : 7;  // grades
        drawing.types[placeOf(node)].insert(node.type);
    }
    drawing.byConfidence = true;
    CHECK(!correctionOf(tree, kPresent, drawing).differs);
    for (auto& node : tree.listNeuron)
        if (node.type == 6) node.type = 4;
    segment(tree, {{0, 7, 19, 5, 5, 1, 0}, {0, 7, 20, 3, 5, 1, 0}});
    const Correction made = correctionOf(tree, kPresent, drawing);
    CHECK(made.differs);
    CHECK(find(made, 17, 8)->type == 4);
    CHECK(find(made, 19, 6)->type == 4);
    CHECK(find(made, 14.667, 10)->type == 3);
    // A new node has the type of the neurite beside it, because 7 is a grade here.
    CHECK(find(made, 20, 3)->type == 2);
    // Of a tree that was loaded from its file nothing is known but the server's types.
    Drawing loaded;
    const Correction other = correctionOf(tree, kPresent, loaded);
    CHECK(find(other, 17, 8)->type == 4);
    CHECK(other.nodes.front().type == 1);
}

TEST_CASE("a radius that was changed") {
    NeuronTree tree = drawn();
    tree.listNeuron.last().r = 2.5f;
    const Correction made = correctionOf(tree, kPresent, Drawing());
    CHECK(made.differs);
    CHECK(find(made, 10, 12.5)->radius == 2.5);
    CHECK(made.kept == 8);
}

TEST_CASE("slices of another channel lie between those of the tree") {
    Drawing drawing;
    drawing.step = 2;
    drawing.channel = 2;
    NeuronTree tree = drawn();
    for (auto& node : tree.listNeuron) node.z = static_cast<float>(drawing.windowZ(node.z));
    CHECK(!correctionOf(tree, kPresent, drawing).differs);
}

TEST_CASE("other neurons of the image are not sent") {
    NeuronTree tree = drawn();
    segment(tree, {{0, 3, 40, 40, 5, 1, 0}, {0, 3, 42, 40, 5, 1, 0}});
    CHECK(correctionOf(tree, kPresent, Drawing()).pieces == 2);
    Drawing drawing;
    drawing.others = {placeOf(40, 40, 5), placeOf(42, 40, 5)};
    CHECK(!correctionOf(tree, kPresent, drawing).differs);
    const NeuronTree others = othersOf(tree, drawing);
    REQUIRE(others.listNeuron.size() == 2);
    CHECK(others.listNeuron[0].pn == -1);
    CHECK(others.listNeuron[1].pn == others.listNeuron[0].n);
    CHECK(othersOf(tree, Drawing()).listNeuron.isEmpty());
}

TEST_CASE("a tree that cannot be one is refused with its place") {
    NeuronTree loop = drawn();
    segment(loop, {at(7), {0, 3, 19, 10, 5, 1, 0}, at(5)});
    CHECK(why(loop).find("has a loop at the node (19.0, 1") != std::string::npos);
    // The same segment twice is none.
    NeuronTree twice = drawn();
    segment(twice, {at(3), at(4), at(5)});
    CHECK(why(twice).empty());
    NeuronTree wrong = drawn();
    wrong.listNeuron[3].x = NAN;
    CHECK(why(wrong).find("not finite") != std::string::npos);
    CHECK(why(NeuronTree()) == "the image has no tree");
}

TEST_CASE("what the plugin draws comes back as the same tree") {
    const NeuronTree tree = neuronTreeOf(kPresent, "x");
    REQUIRE(tree.listNeuron.size() > 8);
    CHECK(!correctionOf(tree, kPresent, Drawing()).differs);
}
