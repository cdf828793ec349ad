// SWC and keys as texts.
#include <doctest/doctest.h>

#include <clocale>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "client/errors.h"
#include "client/keys.h"
#include "client/swc.h"

#include "client/tiff.h"

using namespace dineuro;

namespace {

std::string word(std::uint64_t value, int size) {
    std::string bytes;
    for (int i = 0; i < size; ++i) bytes += static_cast<char>(value >> 8 * i);
    return bytes;
}

// A little-endian TIFF of pages of 3 x 2 bytes, whose samples count on from 0.
std::string smallTiff(int pages, const std::string& text) {
    std::string bytes = "II*" + word(0, 5);
    std::size_t link = 4;
    unsigned char next = 0;
    for (int page = 0; page < pages; ++page) {
        const auto strip = bytes.size();
        for (int i = 0; i < 6; ++i) bytes += static_cast<char>(next++);
        const auto description = bytes.size();
        bytes += text + std::string(2, '\0');
        bytes.replace(link, 4, word(bytes.size(), 4));
        const std::uint64_t tags[][4] = {{256, 4, 1, 3},
                                         {257, 3, 1, 2},
                                         {258, 3, 1, 8},
                                         {262, 3, 1, 0},
                                         {270, 2, text.size() + 1, description},
                                         {273, 4, 1, strip},
                                         {278, 3, 1, 2},
                                         {279, 4, 1, 6}};
        bytes += word(std::size(tags), 2);
        for (const auto& tag : tags)
            bytes += word(tag[0], 2) + word(tag[1], 2) + word(tag[2], 4) + word(tag[3], 4);
        link = bytes.size();
        bytes += word(0, 4);
    }
    return bytes;
}

}  // namespace

TEST_CASE("what the pages of a TIFF say") {
    const std::string bytes = smallTiff(4, "ImageJ=1.54f\nimages=4\nchannels=2\n");
    const auto facts = tiffFacts(bytes);
    REQUIRE(facts);
    CHECK(facts->width == 3);
    CHECK(facts->height == 2);
    CHECK(facts->pages == 4);
    CHECK(facts->channels == 2);
    CHECK(facts->bits == 8);
    CHECK(facts->whiteIsZero);
    CHECK(facts->complete);
    CHECK_FALSE(facts->compressed);
    CHECK(facts->sample(0, 0, 0) == 0);
    CHECK(facts->sample(3, 1, 2) == 23);
    CHECK(facts->sample(9, 9, 9) == 0);
    // OME-XML names the channels, too; other texts name none.
    CHECK(tiffFacts(smallTiff(4, "<OME><Pixels SizeC=\"2\"/></OME>"))->channels == 2);
    CHECK(tiffFacts(smallTiff(4, "a picture"))->channels == 1);
    // A cut file is no whole one, and other files are none.
    CHECK_FALSE(tiffFacts(std::string_view(bytes).substr(0, bytes.size() / 2))->complete);
    CHECK_FALSE(tiffFacts("").has_value());
    CHECK_FALSE(tiffFacts("raw_image_stack_by_hpeng").has_value());
    // Pages in a circle end.
    std::string circle = smallTiff(1, "");
    circle.replace(circle.size() - 4, 4, circle.substr(4, 4));
    CHECK_FALSE(tiffFacts(circle)->complete);
}

TEST_CASE("an SWC's nodes") {
    const auto nodes = parseSwc("# made by DINeuro\r\n\n1 1 1.5 2 3 4.25 -1\r\n2 3 -1 0 1e1 1 1");
    REQUIRE(nodes.size() == 2);
    CHECK(nodes[0].x == 1.5);
    CHECK(nodes[0].radius == 4.25);
    CHECK(nodes[0].type == 1);
    CHECK(nodes[0].parent == -1);
    CHECK(nodes[1].z == 10);
    CHECK(nodes[1].parent == 1);
    CHECK(parseSwc("").empty());
    CHECK(parseSwc("# nothing\n").empty());
}

TEST_CASE("a line that is no node is named") {
    CHECK_THROWS_WITH_AS(parseSwc("1 1 1 1 1 1 -1\n2 3 x 1 1 1 1\n"),
                         "the tree's line 2: is not a node: id, type, x, y, z, radius, parent",
                         Error);
    CHECK_THROWS_AS(parseSwc("1 1 1 1 1 1"), Error);
    CHECK_THROWS_AS(parseSwc("1 1 1e999 1 1 1 -1"), Error);
    CHECK_THROWS_WITH_AS(parseSwc("1 1 1 1 1 1 7"),
                         "the tree's node 1 has a parent that does not exist", Error);
    CHECK_THROWS_AS(parseSwc("1 1 1 1 1 1 -1\n1 1 1 1 1 1 -1"), Error);
}

TEST_CASE("a decimal point is a point in every language") {
    const std::string before = std::setlocale(LC_ALL, nullptr);
    if (std::setlocale(LC_ALL, "de_DE.UTF-8")) CHECK(parseSwc("1 1 1.5 2 3 4 -1")[0].x == 1.5);
    std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("keys are read from ZPL") {
    const std::string zpl =
        "#   a comment with public-key = \"no\"\nmetadata\ncurve\n    public-key = \"abc\"\n"
        "    secret-key = 'de f'\n    odd-key\n    open-key = \"abc\n";
    CHECK(zplValue(zpl, "public-key") == "abc");
    CHECK(zplValue(zpl, "secret-key") == "de f");
    CHECK(zplValue(zpl, "odd-key").empty());
    CHECK(zplValue(zpl, "open-key").empty());
    CHECK(zplValue(zpl, "no-key").empty());
}

TEST_CASE("a key file without a key is named") {
    const auto folder = std::filesystem::temp_directory_path();
    const std::string place = (folder / "dineuro-client-test.key").string();
    std::ofstream(place) << "metadata\n";
    CHECK_THROWS_WITH_AS(Keys::load(place, place), (place + ": contains no public-key").c_str(),
                         Error);
    std::remove(place.c_str());
    CHECK_THROWS_WITH_AS(Keys::load(place, place), (place + ": cannot be read").c_str(), Error);
}
