#include "tiff.h"

#include <map>
#include <vector>

#include <QFile>
#include <QtEndian>

namespace {

class Bytes {
public:
    explicit Bytes(QByteArray all) : all_(std::move(all)), little_(all_.startsWith("II")) {}

    quint32 number(qint64 at, int size) const {
        if (at < 0 || at + size > all_.size()) return 0;
        const auto* place = reinterpret_cast<const uchar*>(all_.constData()) + at;
        if (size == 1) return *place;
        if (size == 2)
            return little_ ? qFromLittleEndian<quint16>(place) : qFromBigEndian<quint16>(place);
        return little_ ? qFromLittleEndian<quint32>(place) : qFromBigEndian<quint32>(place);
    }
    QByteArray part(quint32 at, quint32 count) const {
        return all_.mid(static_cast<int>(at), static_cast<int>(count));
    }
    bool little() const { return little_; }

private:
    QByteArray all_;
    bool little_;
};

struct Page {
    std::map<quint32, std::vector<quint32>> tags;
    quint32 tag(quint32 code, quint32 other) const {
        const auto found = tags.find(code);
        return found == tags.end() || found->second.empty() ? other : found->second[0];
    }
    QByteArray samples;
};

Page pageAt(const Bytes& bytes, quint32 at) {
    Page page;
    for (quint32 i = 0, count = bytes.number(at, 2); i < count; ++i) {
        const quint32 entry = at + 2 + 12 * i, type = bytes.number(entry + 2, 2);
        const int size = type == 3 ? 2 : type == 4 ? 4 : 1;
        const quint32 values = bytes.number(entry + 4, 4);
        const auto length = static_cast<quint32>(size);
        const quint32 place = length * values > 4 ? bytes.number(entry + 8, 4) : entry + 8;
        auto& list = page.tags[bytes.number(entry, 2)];
        for (quint32 k = 0; k < values && k < 100000; ++k)
            list.push_back(bytes.number(place + length * k, size));
    }
    for (std::size_t strip = 0; strip < page.tags[273].size(); ++strip) {
        QByteArray part = bytes.part(page.tags[273][strip], page.tags[279][strip]);
        if (page.tag(259, 1) == 8 || page.tag(259, 1) == 32946)
            part = qUncompress(QByteArray(4, '\0') + part);
        page.samples += part;
    }
    return page;
}

std::vector<Page> pagesOf(const Bytes& bytes) {
    std::vector<Page> pages;
    for (quint32 at = bytes.number(4, 4); at;) {
        pages.push_back(pageAt(bytes, at));
        const quint32 after = at + 2 + 12 * bytes.number(at, 2);
        at = bytes.number(after, 4);
        const Page& first = pages.front();
        const auto expected = first.tag(256, 0) * first.tag(257, 0) * first.tag(258, 8) / 8;
        // ImageJ may store one page entry for all slices; the rest lies behind the first.
        if (pages.back().samples.size() < static_cast<int>(expected)) {
            pages.pop_back();
            break;
        }
    }
    return pages;
}

// The samples of one page as Vaa3D has them.
QByteArray misread(const Page& page, quint32 bits) {
    const auto width = static_cast<int>(page.tag(256, 0));
    const auto height = static_cast<int>(page.tag(257, 0));
    QByteArray made;
    if (bits == 32) return page.samples.left(width * height);
    if (bits == 16) {
        // A copy that takes samples for bytes: half of the page, and nothing behind it.
        made = page.samples.left(width * height);
        return made + QByteArray(width * height, '\0');
    }
    for (int y = height - 1; y >= 0; --y) made += page.samples.mid(y * width, width);
    if (page.tag(262, 1) == 0)
        for (auto& sample : made) sample = static_cast<char>(~sample);
    return made;
}

}  // namespace

std::unique_ptr<Image4DSimple> readTiff(const QString& file) {
    QFile in(file);
    if (!in.open(QIODevice::ReadOnly)) return nullptr;
    const Bytes bytes(in.readAll());
    std::vector<Page> pages = pagesOf(bytes);
    if (pages.empty() || pages[0].tag(277, 1) != 1) return nullptr;
    const quint32 bits = pages[0].tag(258, 8);
    QByteArray all;
    for (const Page& page : pages) all += misread(page, bits);
    auto* samples = new unsigned char[static_cast<std::size_t>(all.size())];
    std::copy(all.begin(), all.end(), reinterpret_cast<char*>(samples));
    auto image = std::make_unique<Image4DSimple>();
    image->setData(samples, pages[0].tag(256, 0), pages[0].tag(257, 0),
                   static_cast<V3DLONG>(pages.size()), 1, bits == 16 ? V3D_UINT16 : V3D_UINT8);
    return image;
}
