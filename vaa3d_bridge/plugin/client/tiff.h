// What the pages of a TIFF say, as far as it matters to a program that may have misread them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace dineuro {

struct TiffFacts {
    std::uint64_t width = 0, height = 0;
    std::uint64_t pages = 0;     // slices times channels
    std::uint64_t channels = 1;  // as ImageJ's text or OME-XML says
    int bits = 0;                // of a sample
    int samplesPerPixel = 1;     // 3 is a colour picture
    bool whiteIsZero = false;
    bool compressed = false;
    bool complete = true;  // whether the file holds all of its pages

    // The 8-bit sample of an uncompressed page. 0 if the file does not hold it.
    unsigned char sample(std::uint64_t page, std::uint64_t y, std::uint64_t x) const;

    struct Page {
        std::vector<std::uint64_t> strips;  // their places in the file
        std::uint64_t rowsPerStrip = 0;
    };
    std::vector<Page> table;
    std::string_view bytes;
};

// The facts of a TIFF or BigTIFF, whose bytes must outlive them. None if they are not a TIFF.
std::optional<TiffFacts> tiffFacts(std::string_view bytes);

}  // namespace dineuro
