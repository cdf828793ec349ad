// DNP1 as bytes: what Python writes is read and written alike.
#include <doctest/doctest.h>

#include "client/errors.h"
#include "golden.h"

using namespace dineuro;

TEST_CASE("golden messages are written and read byte by byte") {
    const Json document = golden();
    REQUIRE(document["good"].size() > 15);
    REQUIRE(document["edits"].size() > 5);
    Json all = document["good"];
    all.insert(all.end(), document["edits"].begin(), document["edits"].end());
    for (const Json& entry : all) {
        CAPTURE(entry["name"].get<std::string>());
        const auto frames = framesOf(entry);
        const std::string payload = bytesOf(entry["payload"]);
        const Message read = decode(viewsOf(frames));
        CHECK(read.type == entry["type"].get<std::string>());
        CHECK(read.header == entry["header"]);
        CHECK(read.payload == payload);
        const Frames written = encode({entry["type"], entry["header"], payload});
        CHECK(written.magic == frames[0]);
        CHECK(written.type == frames[1]);
        CHECK(written.header == frames[2]);
    }
}

TEST_CASE("what is no message is refused with the reason that Python gives") {
    const Json document = golden();
    REQUIRE(document["bad"].size() > 10);
    for (const Json& entry : document["bad"]) {
        CAPTURE(entry["name"].get<std::string>());
        const auto frames = framesOf(entry);
        std::string why;
        try {
            decode(viewsOf(frames));
        } catch (const Error& error) {
            CHECK(error.code() == "bad_request");
            why = error.what();
        }
        CHECK(why.find(entry["says"].get<std::string>()) != std::string::npos);
    }
}

TEST_CASE("a header beyond all measure is neither read nor written") {
    const std::string header = "{" + std::string(kHeaderBytes, ' ') + "}";
    CHECK_THROWS_WITH_AS(decode({"DNP1", "PING", header}),
                         "PING: the header has more than 65536 bytes", Error);
    CHECK_THROWS_AS(encode({"HELLO", {{"protocol", 1}, {"client", std::string(70000, 'x')}}}),
                    Error);
}

TEST_CASE("numbers that Python would refuse are refused") {
    for (const char* number : {"4611686018427387904", "-4611686018427387904", "1.5", "1e400"}) {
        CAPTURE(number);
        const std::string header = "{\"protocol\":" + std::string(number) + "}";
        CHECK_THROWS_AS(decode({"DNP1", "HELLO", header}), Error);
    }
    CHECK(decode({"DNP1", "HELLO", "{\"protocol\":4611686018427387903}"}).type == "HELLO");
}

TEST_CASE("a name that is no UTF-8 does not break the message") {
    const Frames frames = encode({"HELLO", {{"protocol", 1}, {"client", "caf\xe9"}}});
    CHECK(frames.header == "{\"client\":\"caf\\ufffd\",\"protocol\":1}");
}
