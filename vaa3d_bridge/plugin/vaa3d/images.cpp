#include "images.h"

#include <algorithm>
#include <unordered_map>

#include "client/errors.h"

namespace {

const char* dtypeOf(ImagePixelType type) {
    switch (type) {
        case V3D_UINT8: return "uint8";
        case V3D_UINT16: return "uint16";
        case V3D_FLOAT32: return "float32";
        default: throw dineuro::Error("bad_volume", "the type of the image's samples is unknown");
    }
}

// Cut planes count the voxels of the 3D window, which shows a large image with fewer voxels.
long scaled(int cut, int shown, V3DLONG whole) {
    const double factor = shown > 0 ? static_cast<double>(whole) / shown : 1.0;
    return std::clamp(static_cast<long>(cut * factor), 0L, static_cast<long>(whole));
}

NeuronSWC swcOf(const dineuro::Node& node) {
    NeuronSWC swc;
    swc.n = node.id;
    swc.type = node.type;
    swc.x = static_cast<float>(node.x);
    swc.y = static_cast<float>(node.y);
    swc.z = static_cast<float>(node.z);
    swc.r = static_cast<float>(node.radius);
    swc.pn = node.parent;
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

}  // namespace

dineuro::Volume channelOf(Image4DSimple& image, int channel) {
    if (!image.valid()) throw dineuro::Error("bad_volume", "the image has no voxels");
    const auto channels = image.getCDim();
    if (channel < 1 || channel > channels)
        throw dineuro::Error("bad_parameter", "channel " + std::to_string(channel) +
                                                  ": the image has " + std::to_string(channels));
    const auto size = [](V3DLONG n) { return static_cast<std::uint64_t>(n); };
    dineuro::Volume volume;
    volume.dtype = dtypeOf(image.getDatatype());
    volume.shape = {1, size(image.getZDim()), size(image.getYDim()), size(image.getXDim())};
    volume.samples = image.getRawData() + size(channel - 1) * volume.nbytes();
    return volume;
}

dineuro::Json rootOf(const LocationSimple& landmark, const Image4DSimple& image) {
    const double at[] = {landmark.x - 1.0, landmark.y - 1.0, landmark.z - 1.0};
    const V3DLONG size[] = {image.getXDim(), image.getYDim(), image.getZDim()};
    for (int axis = 0; axis < 3; ++axis)
        if (!(at[axis] > -1 && at[axis] < static_cast<double>(size[axis])))
            throw dineuro::Error("bad_parameter",
                                 "the first landmark lies outside the image: move or delete it, or "
                                 "choose automatic detection of the root");
    return {std::max(at[0], 0.0), std::max(at[1], 0.0), std::max(at[2], 0.0)};
}

dineuro::Json cutBoxOf(const View3DControl& view, const Image4DSimple& image) {
    const int low[] = {view.xCut0(), view.yCut0(), view.zCut0()};
    const int high[] = {view.xCut1(), view.yCut1(), view.zCut1()};
    const int shown[] = {view.dataDim1(), view.dataDim2(), view.dataDim3()};
    const V3DLONG size[] = {image.getXDim(), image.getYDim(), image.getZDim()};
    dineuro::Json box = dineuro::Json::array({0, 0, 0, 0, 0, 0});
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const long from = scaled(low[axis], shown[axis], size[axis]);
        const long to = scaled(high[axis] + 1, shown[axis], size[axis]);
        if (from >= to) throw dineuro::Error("bad_parameter", "the 3D cut box is empty");
        box[axis] = from;
        box[axis + 3] = to;
    }
    return box;
}

std::vector<double> spacingOf(const Image4DSimple& image) {
    const std::vector<double> size = {image.getRezX(), image.getRezY(), image.getRezZ()};
    const bool isSet = std::all_of(size.begin(), size.end(), [](double v) { return v > 0; }) &&
                       std::any_of(size.begin(), size.end(), [](double v) { return v != 1; });
    return isSet ? size : std::vector<double>{};
}

NeuronTree neuronTreeOf(const std::vector<dineuro::Node>& nodes, const QString& name) {
    NeuronTree tree;
    for (const auto& node : withTwins(nodes)) {
        tree.hashNeuron.insert(static_cast<int>(node.id), static_cast<int>(tree.listNeuron.size()));
        tree.listNeuron.append(swcOf(node));
    }
    tree.name = name;
    tree.n = 1;
    tree.on = true;
    tree.editable = false;
    return tree;
}

void fillMask(Image4DSimple& image, dineuro::Result& result, const Image4DSimple& like) {
    const auto& shape = result.maskShape;
    const V3DLONG x = like.getXDim(), y = like.getYDim(), z = like.getZDim();
    const std::array<std::uint64_t, 4> expected = {1, static_cast<std::uint64_t>(z),
                                                   static_cast<std::uint64_t>(y),
                                                   static_cast<std::uint64_t>(x)};
    if (shape != expected)
        throw dineuro::Error("bad_request",
                             "the size of the server's mask differs from the image's");
    image.setData(result.mask.release(), x, y, z, 1, V3D_UINT8);
    image.setRezX(like.getRezX());
    image.setRezY(like.getRezY());
    image.setRezZ(like.getRezZ());
}
