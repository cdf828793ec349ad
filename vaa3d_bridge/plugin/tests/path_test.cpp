// A file that the server may read itself: what is asked, and what is sent otherwise.
#include <doctest/doctest.h>

#include "client/client.h"
#include "client/errors.h"
#include "play.h"

namespace {

// Of a file that both machines may have.
Volume fileOf(const std::string& bytes) {
    Volume file;
    file.samples = bytes.data();
    file.fileBytes = bytes.size();
    file.path = "/data/cell.tif";
    file.fingerprint = "f1";
    return file;
}

}  // namespace

TEST_CASE("a server that reads the file itself gets no byte of it") {
    Play play;
    play.before = [&play](const Message& message, const Say& say) {
        if (message.type == "HELLO") {
            Message welcome = FakeServer::welcome();
            welcome.header["by_path"] = true;
            say(welcome);
        } else if (message.type == "SUBMIT") {
            play.submitted = message.header;
            say({"QUEUED",
                 {{"request", message.header["request"]}, {"job", "j"}, {"reused", false}}});
        } else {
            return false;
        }
        return true;
    };
    FakeServer server(std::ref(play));
    const std::string bytes(2500, 'x');
    const Volume volume = fileOf(bytes);
    const Result result = Client(server.address).run(volume, Job());
    CHECK(result.byPath);
    CHECK(result.swc == kSwc);
    CHECK(play.submitted["path"] == "/data/cell.tif");
    CHECK(play.submitted["fingerprint"] == "f1");
    CHECK(!play.submitted.contains("nbytes"));
    CHECK(play.heard["CHUNK"] == 0);
    CHECK(Client(server.address).server().byPath);
}

TEST_CASE("a server that does not read this path gets the bytes") {
    for (const char* code : {"forbidden", "not_found", "conflict", "bad_parameter"}) {
        Play play;
        play.before = [&play, code](const Message& message, const Say& say) {
            if (message.type == "HELLO") {
                Message welcome = FakeServer::welcome();
                welcome.header["by_path"] = true;
                say(welcome);
                return true;
            }
            if (message.type != "SUBMIT" || !message.header.contains("path")) return false;
            say({"ERROR",
                 {{"request", message.header["request"]}, {"code", code}, {"detail", "no"}}});
            return true;
        };
        FakeServer server(std::ref(play));
        const std::string bytes(2500, 'x');
        const Volume volume = fileOf(bytes);
        if (std::string(code) == "bad_parameter") {
            CHECK_THROWS_AS(Client(server.address).run(volume, Job()), Error);
            continue;
        }
        const Result result = Client(server.address).run(volume, Job());
        CHECK(!result.byPath);
        CHECK(play.uploaded == bytes);
        CHECK(play.heard["SUBMIT"] == 2);
    }
}

TEST_CASE("an earlier server is not asked for a path") {
    Play play;
    FakeServer server(std::ref(play));
    const std::string bytes(2500, 'x');
    CHECK(!Client(server.address).run(fileOf(bytes), Job()).byPath);
    CHECK(!play.submitted.contains("path"));
    CHECK(play.uploaded == bytes);
}
