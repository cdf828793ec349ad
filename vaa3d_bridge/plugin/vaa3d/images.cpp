#include "images.h"

#include <algorithm>

#include <QRegularExpression>

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

const LocationSimple* somaOf(const LandmarkList& landmarks) {
    static const QRegularExpression doubt("^\\d+ (join|end|branch|segment)$");
    for (const LocationSimple& landmark : landmarks)
        if (!doubt.match(QString::fromStdString(landmark.name)).hasMatch()) return &landmark;
    return nullptr;
}

dineuro::Json placeOf(const LocationSimple& landmark) {
    return {std::max(landmark.x - 1.0, 0.0), std::max(landmark.y - 1.0, 0.0),
            std::max(landmark.z - 1.0, 0.0)};
}

dineuro::Json rootOf(const LocationSimple& landmark, const Image4DSimple& image,
                     const dineuro::Json& roi) {
    const double at[] = {landmark.x - 1.0, landmark.y - 1.0, landmark.z - 1.0};
    const V3DLONG size[] = {image.getXDim(), image.getYDim(), image.getZDim()};
    const QString place = QString("the landmark (%1, %2, %3) ")
                              .arg(static_cast<double>(landmark.x))
                              .arg(static_cast<double>(landmark.y))
                              .arg(static_cast<double>(landmark.z));
    const auto refuse = [&](const QString& where) {
        throw dineuro::Error(
            "bad_parameter",
            (place + where + ": move or delete it, or choose automatic detection of the root")
                .toStdString());
    };
    for (std::size_t axis = 0; axis < 3; ++axis) {
        if (!(at[axis] > -1 && at[axis] < static_cast<double>(size[axis])))
            refuse("lies outside the image");
        if (roi.is_null()) continue;
        const double low = roi[axis], high = roi[axis + 3];
        // Like landmarks, the message counts voxels from 1, and both ends are inside.
        if (!(at[axis] > low - 0.5 && at[axis] < high))
            refuse(QString("lies outside the region, which has the voxels %1 to %2 along %3")
                       .arg(low + 1)
                       .arg(high)
                       .arg(QChar("xyz"[axis])));
    }
    return placeOf(landmark);
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

void divideDepth(dineuro::Json& params, int slicesPerSlice) {
    if (slicesPerSlice == 1) return;
    const auto divide = [&](dineuro::Json& value, int rounding) {
        value = (value.get<long>() + rounding) / slicesPerSlice;
    };
    if (params.contains("root")) divide(params["root"][2], 0);
    if (!params.contains("roi")) return;
    divide(params["roi"][2], 0);
    divide(params["roi"][5], slicesPerSlice - 1);
}

void fillMask(Image4DSimple& image, dineuro::Result& result, const Image4DSimple* like) {
    const auto size = [&](std::size_t axis) {
        return static_cast<V3DLONG>(result.maskShape[axis]);
    };
    if (like && (size(0) != 1 || size(1) != like->getZDim() || size(2) != like->getYDim() ||
                 size(3) != like->getXDim()))
        throw dineuro::Error("bad_request",
                             "the size of the server's mask differs from the image's");
    image.setData(result.mask.release(), size(3), size(2), size(1), 1, V3D_UINT8);
    const dineuro::Json::json_pointer place("/settings/spacing_um_xyz");
    if (!result.report.is_object() || !result.report.contains(place)) return;
    const dineuro::Json& spacing = result.report[place];
    if (!spacing.is_array() || spacing.size() != 3) return;
    image.setRezX(spacing[0]);
    image.setRezY(spacing[1]);
    image.setRezZ(spacing[2]);
}
