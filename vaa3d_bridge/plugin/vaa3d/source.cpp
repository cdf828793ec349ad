#include "source.h"

#include <QCryptographicHash>
#include <QFileInfo>

#include "client/errors.h"

namespace {

constexpr std::uint64_t kSampled = 4096;  // voxels

bool isTiff(const QString& name) {
    const QString suffix = QFileInfo(name).suffix().toLower();
    return suffix == "tif" || suffix == "tiff";
}

std::string_view mapped(QFile& file) {
    if (!file.open(QIODevice::ReadOnly)) return {};
    const uchar* bytes = file.map(0, file.size());
    if (!bytes) return {};
    return {reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(file.size())};
}

// What Vaa3D does to a TIFF of this kind; empty if it reads it well.
QString misreading(const dineuro::TiffFacts& facts) {
    if (!facts.complete) return "The file is damaged, and Vaa3D shows only a part of it.";
    if (facts.samplesPerPixel != 1) return "Vaa3D does not read colour TIFFs well.";
    if (facts.bits == 16) return "Vaa3D misreads 16-bit TIFFs.";
    if (facts.bits != 8) return QString("Vaa3D misreads %1-bit TIFFs.").arg(facts.bits);
    if (facts.channels > 1)
        return QString("Vaa3D shows the %1 channels of the file as slices.").arg(facts.channels);
    if (facts.whiteIsZero) return "0 is white in the file, and Vaa3D shows it inverted.";
    return {};
}

}  // namespace

SourceFile::SourceFile(const QString& name, Image4DSimple& image) : file_(name) {
    if (!isTiff(name)) return;
    const std::string_view bytes = mapped(file_);
    facts_ = dineuro::tiffFacts(bytes);
    if (facts_) compare(image);
}

void SourceFile::compare(Image4DSimple& image) {
    const auto size = [](V3DLONG n) { return static_cast<std::uint64_t>(n); };
    const bool fits =
        size(image.getXDim()) == facts_->width && size(image.getYDim()) == facts_->height &&
        (size(image.getZDim() * image.getCDim()) == facts_->pages || !facts_->complete);
    reason_ = misreading(*facts_);
    if (!fits) {
        reason_ = "The image has another size than its file.";
    } else if (!reason_.isEmpty()) {
        better_ = true;
    } else if (facts_->compressed) {
        reason_ =
            "The file is compressed and was not compared with the image. The image has lost the voxel size.";
    } else {
        better_ = isSampledIn(image);
        reason_ = better_ ? "The file has the same voxels, and the voxel size."
                          : "The image was changed after it was opened.";
    }
}

// Vaa3D flips the rows of most TIFFs.
bool SourceFile::isSampledIn(Image4DSimple& image) const {
    if (image.getDatatype() != V3D_UINT8) return false;
    const auto area = facts_->width * facts_->height;
    const auto total = area * facts_->pages;
    // A step that shares no factor with the size would be best; an odd one next to it is enough.
    const auto step = std::max<std::uint64_t>(total / kSampled, 1) | 1;
    bool flipped = true, straight = true;
    for (std::uint64_t at = 0; at < total; at += step) {
        const auto page = at / area, y = at % area / facts_->width, x = at % facts_->width;
        const unsigned char sample = facts_->sample(page, y, x);
        const auto row = [&](std::uint64_t from) {
            return image.getRawData()[page * area + from * facts_->width + x];
        };
        flipped = flipped && row(facts_->height - 1 - y) == sample;
        straight = straight && row(y) == sample;
    }
    return flipped || straight;
}

int SourceFile::slicesPerSlice(const Image4DSimple& image) const {
    return facts_ && image.getCDim() == 1 ? channels() : 1;
}

namespace {

// As docs/protocol.md defines it: it tells whether the server has the same file under a path.
std::string fingerprintOf(std::string_view bytes) {
    constexpr std::uint64_t whole = 1048576, piece = 65536, pieces = 16;
    QCryptographicHash hash(QCryptographicHash::Sha256);
    const auto add = [&hash](std::string_view part) {
        hash.addData(QByteArray::fromRawData(part.data(), static_cast<int>(part.size())));
    };
    add(std::to_string(bytes.size()) + "\n");
    if (bytes.size() <= whole) add(bytes);
    for (std::uint64_t i = 0; bytes.size() > whole && i < pieces; ++i)
        add(bytes.substr(i * (bytes.size() - piece) / (pieces - 1), piece));
    return hash.result().toHex().toStdString();
}

}  // namespace

FileUpload::FileUpload(const QString& name) : file_(name) {
    const std::string_view bytes = mapped(file_);
    if (bytes.empty())
        throw dineuro::Error("file_access", (name + ": cannot be read, or is empty").toStdString());
    volume_.samples = bytes.data();
    volume_.fileBytes = bytes.size();
    volume_.path = QFileInfo(name).canonicalFilePath().toStdString();
    volume_.fingerprint = fingerprintOf(bytes);
}

bool isReadByServer(const QString& name) {
    static const QStringList known = {"tif", "tiff", "lsm", "stk", "v3draw", "v3dpbd"};
    return known.contains(QFileInfo(name).suffix().toLower());
}
