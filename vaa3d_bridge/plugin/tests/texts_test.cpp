// SWC and keys as texts.
#include <doctest/doctest.h>

#include <clocale>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "client/errors.h"
#include "client/keys.h"
#include "client/swc.h"

using namespace dineuro;

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
