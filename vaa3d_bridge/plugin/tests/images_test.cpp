// Vaa3D's images and trees, and the client's.
#include <doctest/doctest.h>

#include "../vaa3d/images.h"
#include "../vaa3d/trees.h"
#include "client/errors.h"

namespace {

struct Box : View3DControl {
    int shown, low, high;
    Box(int s, int l, int h) : shown(s), low(l), high(h) {}
    int dataDim1() const override { return shown; }
    int dataDim2() const override { return shown; }
    int dataDim3() const override { return shown; }
    int xCut0() const override { return low; }
    int xCut1() const override { return high; }
    int yCut0() const override { return low; }
    int yCut1() const override { return high; }
    int zCut0() const override { return low; }
    int zCut1() const override { return high; }
};

void fill(Image4DSimple& image, V3DLONG c, ImagePixelType type) {
    image.setData(new unsigned char[static_cast<std::size_t>(4 * 3 * 2 * c * 4)](), 4, 3, 2, c,
                  type);
}

LocationSimple landmark(float x, float y, float z) {
    LocationSimple made;
    made.x = x, made.y = y, made.z = z;
    return made;
}

}  // namespace

TEST_CASE("a channel is where it lies, and is not copied") {
    Image4DSimple image;
    fill(image, 3, V3D_UINT16);
    const dineuro::Volume volume = channelOf(image, 2);
    CHECK(volume.shape == std::array<std::uint64_t, 4>{1, 2, 3, 4});
    CHECK(volume.dtype == "uint16");
    CHECK(volume.nbytes() == 48);
    CHECK(volume.samples == image.getRawData() + 48);
    CHECK_THROWS_WITH_AS(channelOf(image, 4), "channel 4: the image has 3", dineuro::Error);
    CHECK_THROWS_AS(channelOf(image, 0), dineuro::Error);
    Image4DSimple empty;
    CHECK_THROWS_AS(channelOf(empty, 1), dineuro::Error);
}

TEST_CASE("landmarks count from 1") {
    Image4DSimple image;
    fill(image, 1, V3D_UINT8);
    CHECK(rootOf(landmark(1, 2, 2), image) == dineuro::Json{0.0, 1.0, 1.0});
    CHECK(rootOf(landmark(4, 3, 2), image) == dineuro::Json{3.0, 2.0, 1.0});
    CHECK_THROWS_AS(rootOf(landmark(5.5f, 1, 1), image), dineuro::Error);
    CHECK_THROWS_AS(rootOf(landmark(-1, 1, 1), image), dineuro::Error);
    CHECK_THROWS_AS(rootOf(landmark(NAN, 1, 1), image), dineuro::Error);
}

TEST_CASE("a landmark outside is named as Vaa3D counts") {
    Image4DSimple image;
    fill(image, 1, V3D_UINT8);
    CHECK_THROWS_WITH_AS(rootOf(landmark(5, 1, 1), image),
                         doctest::Contains("the landmark (5, 1, 1) lies outside the image"),
                         dineuro::Error);
    const dineuro::Json roi = {1, 0, 0, 3, 3, 2};
    CHECK(rootOf(landmark(2, 1, 1), image, roi) == dineuro::Json{1.0, 0.0, 0.0});
    CHECK(rootOf(landmark(3, 1, 1), image, roi) == dineuro::Json{2.0, 0.0, 0.0});
    for (const float x : {1.0f, 4.0f})
        CHECK_THROWS_WITH_AS(rootOf(landmark(x, 1, 1), image, roi),
                             doctest::Contains("which has the voxels 2 to 3 along x"),
                             dineuro::Error);
}

TEST_CASE("slices of a window that shows channels as slices are those of the file") {
    dineuro::Json params = {{"root", {5.0, 6.0, 7.0}}, {"roi", {0, 0, 3, 9, 9, 8}}};
    divideDepth(params, 1);
    CHECK(params["root"][2] == 7);
    divideDepth(params, 2);
    CHECK(params["root"] == dineuro::Json{5.0, 6.0, 3});
    CHECK(params["roi"] == dineuro::Json{0, 0, 1, 9, 9, 4});
}

TEST_CASE("a place to proofread is no soma") {
    LandmarkList landmarks;
    CHECK(somaOf(landmarks) == nullptr);
    for (const char* name : {"1 join", "12 segment", "3 branch", "4 end"}) {
        landmarks << landmark(1, 1, 1);
        landmarks.last().name = name;
    }
    CHECK(somaOf(landmarks) == nullptr);
    landmarks << landmark(2, 3, 1);
    landmarks.last().name = "my soma";
    REQUIRE(somaOf(landmarks));
    CHECK(somaOf(landmarks)->x == 2);
}

TEST_CASE("the cut box has both of its ends") {
    Image4DSimple image;
    image.setData(new unsigned char[1000](), 10, 10, 10, 1, V3D_UINT8);
    CHECK(cutBoxOf(Box(10, 2, 4), image) == dineuro::Json{2, 2, 2, 5, 5, 5});
    CHECK(cutBoxOf(Box(10, 0, 9), image) == dineuro::Json{0, 0, 0, 10, 10, 10});
    // The 3D window shows every second voxel.
    CHECK(cutBoxOf(Box(5, 1, 2), image) == dineuro::Json{2, 2, 2, 6, 6, 6});
    CHECK_THROWS_AS(cutBoxOf(Box(10, 5, 4), image), dineuro::Error);
}

TEST_CASE("a voxel size of 1 is none") {
    Image4DSimple image;
    CHECK(spacingOf(image).empty());
    image.setRezZ(2);
    CHECK(spacingOf(image) == std::vector<double>{1, 1, 2});
}

TEST_CASE("types change between segments, not within") {
    using dineuro::Node;
    // A soma with one neurite: it gets a twin, and the twin one more to be a fork.
    const NeuronTree one = neuronTreeOf({{1, 1, 5, 5, 5, 3, -1}, {2, 3, 6, 5, 5, 1, 1}}, "a");
    REQUIRE(one.listNeuron.size() == 4);
    CHECK(one.listNeuron[1].pn == 1);
    CHECK(one.listNeuron[1].type == 1);
    CHECK(one.listNeuron[2].pn == one.listNeuron[1].n);
    CHECK(one.listNeuron[3].pn == one.listNeuron[1].n);
    CHECK(one.hashNeuron[static_cast<int>(one.listNeuron[3].n)] == 3);
    // With two neurites the twin is a fork already.
    const NeuronTree two =
        neuronTreeOf({{1, 1, 5, 5, 5, 3, -1}, {2, 3, 6, 5, 5, 1, 1}, {3, 3, 4, 5, 5, 1, 1}}, "a");
    CHECK(two.listNeuron.size() == 4);
    // One type: nothing is added.
    const NeuronTree same = neuronTreeOf({{1, 3, 5, 5, 5, 3, -1}, {2, 3, 6, 5, 5, 1, 1}}, "a");
    CHECK(same.listNeuron.size() == 2);
    CHECK(same.listNeuron[1].x == 6);
    CHECK(same.listNeuron[1].r == 1);
}

TEST_CASE("segments have the colour of their confidence") {
    using dineuro::Node;
    const std::vector<Node> nodes = {{1, 1, 0, 0, 0, 3, -1}, {2, 3, 1, 0, 0, 1, 1},
                                     {3, 3, 2, 0, 0, 1, 2},  {4, 3, 3, 1, 0, 1, 3},
                                     {5, 3, 3, -1, 0, 1, 3}, {6, 3, 4, -1, 0, 1, 5}};
    const auto segment = [](long start, long end, double confidence) {
        return dineuro::Json{{"start", start}, {"end", end}, {"confidence", confidence}};
    };
    const dineuro::Json report = {
        {"segments", {segment(1, 3, 0.95), segment(3, 4, 0.3), segment(3, 6, 0.7)}}};
    std::vector<int> types;
    const Grades grades = gradesOf(nodes, report);
    for (const Node& node : gradedNodes(nodes, grades)) types.push_back(node.type);
    CHECK(types == std::vector<int>{1, 7, 7, 2, 6, 6});
    CHECK(gradedNodes(nodes, gradesOf(nodes, dineuro::Json::object()))[3].type == 3);
    // The drawn tree has level and features, also at the second node of the soma.
    const NeuronTree tree = neuronTreeOf(nodes, "a", grades);
    REQUIRE(tree.listNeuron.size() == 8);
    std::vector<long> levels, segments;
    for (const auto& node : tree.listNeuron) {
        levels.push_back(node.level);
        segments.push_back(node.seg_id);
    }
    CHECK(segments == std::vector<long>{-1, -1, -1, 0, 0, 1, 2, 2});
    CHECK(levels == std::vector<long>{0, 0, 0, 0, 0, 1, 1, 1});
    CHECK(tree.listNeuron[5].fea_val == QList<float>{0.3f, 1, 1, 0, 1});
    const std::string text =
        eswcText("# a\n# n type x y z radius parent\n1 1 0 0 0 3 -1\n4 3 3 1 0 1 3\n", grades);
    CHECK(text ==
          "# a\n# n type x y z radius parent seg_id level mode timestamp teraflyindex confidence "
          "probability contrast gap_share tortuosity\n"
          "1 1 0 0 0 3 -1 -1 0 0 0 0 1 1 1 0 1\n4 3 3 1 0 1 3 1 1 0 0 0 0.3 1 1 0 1\n");
    // A circle of parents ends, too.
    const std::vector<Node> circle = {{1, 3, 0, 0, 0, 1, 2}, {2, 3, 0, 0, 0, 1, 1}};
    CHECK(gradedNodes(circle, gradesOf(circle, {{"segments", {segment(9, 1, 0.95)}}}))[0].type ==
          7);
}

TEST_CASE("a tree is added to what was traced before") {
    const NeuronTree one = neuronTreeOf({{1, 3, 5, 5, 5, 3, -1}, {7, 3, 6, 5, 5, 1, 1}}, "a");
    const NeuronTree both = joinedTrees(one, one);
    REQUIRE(both.listNeuron.size() == 4);
    CHECK(both.listNeuron[1].pn == 1);
    CHECK(both.listNeuron[2].n == 8);
    CHECK(both.listNeuron[2].pn == -1);
    CHECK(both.listNeuron[3].pn == 8);
    CHECK(both.hashNeuron[14] == 3);
    CHECK(both.color.a == 0);
}

TEST_CASE("a mask of another size is refused") {
    Image4DSimple image, mask;
    fill(image, 1, V3D_UINT8);
    dineuro::Result result;
    result.maskShape = {1, 2, 3, 4};
    result.mask.reset(new unsigned char[24]());
    fillMask(mask, result, &image);
    CHECK(mask.getXDim() == 4);
    CHECK(mask.getZDim() == 2);
    result.maskShape = {1, 2, 3, 5};
    CHECK_THROWS_AS(fillMask(mask, result, &image), dineuro::Error);
    // A file may have another size than the window, and brings its voxel size.
    result.report["settings"]["spacing_um_xyz"] = {0.5, 0.5, 2.0};
    fillMask(mask, result, nullptr);
    CHECK(mask.getXDim() == 5);
    CHECK(mask.getRezZ() == 2);
}
