#include "tiff.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>

namespace dineuro {
namespace {

constexpr std::uint64_t kMostValues = 1000000;  // of a tag, and the strips of all pages

enum Tag : std::uint64_t {
    kWidth = 256,
    kHeight = 257,
    kBits = 258,
    kCompression = 259,
    kPhotometric = 262,
    kDescription = 270,
    kStrips = 273,
    kSamples = 277,
    kRows = 278,
    kCounts = 279,
    kTiles = 324,
};

constexpr auto kCut = ~std::uint64_t{0};

// Numbers of a file, in its byte order and with the sizes of its kind.
class Reader {
public:
    explicit Reader(std::string_view bytes)
        : bytes_(bytes), little_(bytes[0] == 'I'), big_(number(2, 2) == 43) {}

    bool isTiff() const { return big_ || number(2, 2) == 42; }
    std::uint64_t firstPage() const { return big_ ? number(8, 8) : number(4, 4); }

    std::uint64_t number(std::uint64_t at, std::uint64_t size) const {
        if (at > bytes_.size() || size > bytes_.size() - at) return 0;
        std::uint64_t value = 0;
        for (std::uint64_t i = 0; i < size; ++i) {
            const auto place = at + (little_ ? size - 1 - i : i);
            value = value << 8 | static_cast<unsigned char>(bytes_[place]);
        }
        return value;
    }

    // The place of the next page, or kCut if the file ends within this one; fills the tags of the
    // one at `at`.
    std::uint64_t page(std::uint64_t at, std::map<std::uint64_t, std::vector<std::uint64_t>>& tags,
                       std::string_view& description) const {
        const std::uint64_t count = number(at, big_ ? 8 : 2), first = at + (big_ ? 8 : 2);
        const std::uint64_t entry = big_ ? 20 : 12, word = big_ ? 8 : 4;
        if (count > bytes_.size() / entry || first + count * entry + word > bytes_.size())
            return kCut;
        const auto entries = std::min<std::uint64_t>(count, 4096);
        for (std::uint64_t place = first; place < first + entries * entry; place += entry) {
            const std::uint64_t type = number(place + 2, 2), values = number(place + 4, word);
            const std::uint64_t size = type == 3 ? 2 : type == 4 ? 4 : type == 16 ? 8 : 1;
            std::uint64_t data = place + 4 + word;
            if (values > word / size) data = number(data, word);
            const std::uint64_t code = number(place, 2);
            if (code == kDescription && data < bytes_.size())
                description = bytes_.substr(data, std::min<std::uint64_t>(values, 1u << 20));
            auto& numbers = tags[code];
            const bool isList = code == kStrips || code == kCounts || code == kTiles;
            for (std::uint64_t i = 0; i < std::min(values, isList ? kMostValues : 1); ++i) {
                if (data + i * size >= bytes_.size()) break;
                numbers.push_back(number(data + i * size, size));
            }
        }
        return number(first + count * entry, word);
    }

private:
    std::string_view bytes_;
    bool little_;
    bool big_;
};

// The number that follows a word of ImageJ's text ("channels=") or of OME-XML ("SizeC=\"").
std::uint64_t after(std::string_view within, std::string_view word) {
    const auto at = within.find(word);
    if (at == std::string_view::npos) return 0;
    return std::strtoull(std::string(within.substr(at + word.size(), 12)).c_str(), nullptr, 10);
}

}  // namespace

std::optional<TiffFacts> tiffFacts(std::string_view bytes) {
    if (bytes.size() < 16 || (bytes.substr(0, 2) != "II" && bytes.substr(0, 2) != "MM")) return {};
    const Reader reader(bytes);
    if (!reader.isTiff()) return {};
    TiffFacts facts;
    facts.bytes = bytes;
    std::string_view words;
    std::uint64_t strips = 0;
    for (std::uint64_t at = reader.firstPage(); at != 0;) {
        // A page has a size in the file, so more pages than that form a circle.
        if (at >= bytes.size() || facts.table.size() > bytes.size() / 12 ||
            strips > 10 * kMostValues) {
            facts.complete = false;
            break;
        }
        std::map<std::uint64_t, std::vector<std::uint64_t>> tags;
        std::string_view description;
        at = reader.page(at, tags, description);
        const auto one = [&](std::uint64_t code, std::uint64_t other) {
            return tags[code].empty() ? other : tags[code][0];
        };
        if (facts.table.empty()) {
            words = description;
            facts.width = one(kWidth, 0);
            facts.height = one(kHeight, 0);
            facts.bits = static_cast<int>(one(kBits, 1));
            facts.samplesPerPixel = static_cast<int>(one(kSamples, 1));
            facts.whiteIsZero = one(kPhotometric, 1) == 0;
            facts.compressed = one(kCompression, 1) != 1 || !tags[kTiles].empty();
        }
        strips += tags[kStrips].size();
        facts.table.push_back({tags[kStrips], one(kRows, facts.height)});
        const auto& counts = tags[kCounts];
        for (std::size_t i = 0; i < std::min(counts.size(), tags[kStrips].size()); ++i)
            if (counts[i] > bytes.size() || tags[kStrips][i] > bytes.size() - counts[i])
                facts.complete = false;
    }
    if (facts.table.empty() || facts.width == 0 || facts.height == 0) return {};
    facts.pages = facts.table.size();
    const bool isImageJ = words.substr(0, 7) == "ImageJ=";
    facts.channels =
        std::max<std::uint64_t>(after(words, isImageJ ? "\nchannels=" : "SizeC=\""), 1);
    const std::uint64_t images = isImageJ ? after(words, "\nimages=") : 0;
    // Above 4 GiB ImageJ writes one page, and the other slices lie behind it.
    const bool isBehind = facts.pages == 1 && images > 1 && !facts.table[0].strips.empty();
    if (isBehind) facts.pages = images;
    const auto bytesOfPage =
        facts.width * facts.height * static_cast<std::uint64_t>(facts.bits) / 8;
    if (images > facts.pages ||
        (isBehind && bytesOfPage > (bytes.size() - facts.table[0].strips[0]) / images))
        facts.complete = false;
    return facts;
}

unsigned char TiffFacts::sample(std::uint64_t page, std::uint64_t y, std::uint64_t x) const {
    const Page& at = table[std::min<std::uint64_t>(page, table.size() - 1)];
    const std::uint64_t rows = std::max<std::uint64_t>(at.rowsPerStrip, 1);
    if (y / rows >= at.strips.size()) return 0;
    std::uint64_t place = at.strips[y / rows] + y % rows * width + x;
    if (page >= table.size()) place += (page - table.size() + 1) * width * height;
    return place < bytes.size() ? static_cast<unsigned char>(bytes[place]) : 0;
}

}  // namespace dineuro
