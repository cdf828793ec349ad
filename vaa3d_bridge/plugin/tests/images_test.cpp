// Vaa3D's images and trees, and the client's.
#include <doctest/doctest.h>

#include "../vaa3d/images.h"
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

TEST_CASE("a mask of another size is refused") {
    Image4DSimple image, mask;
    fill(image, 1, V3D_UINT8);
    dineuro::Result result;
    result.maskShape = {1, 2, 3, 4};
    result.mask.reset(new unsigned char[24]());
    fillMask(mask, result, image);
    CHECK(mask.getXDim() == 4);
    CHECK(mask.getZDim() == 2);
    result.maskShape = {1, 2, 3, 5};
    CHECK_THROWS_AS(fillMask(mask, result, image), dineuro::Error);
}
