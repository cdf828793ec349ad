// The edits of a tree: asked for in pieces, made, and refused.
#include <doctest/doctest.h>

#include "client/client.h"
#include "client/errors.h"
#include "fake_server.h"

using namespace dineuro;

namespace {

// A server with one edited tree, whose answers have three bytes each; a test changes a step.
struct Desk {
    std::string record = "{\"revision\":4}";
    std::uint64_t revision = 4;
    int edits = 0;
    bool editable = true;
    std::string operation;
    std::function<bool(const Message&, const FakeServer::Say&)> before = [](auto&, auto&) {
        return false;
    };

    void operator()(const Message& message, const FakeServer::Say& say) {
        if (message.type == "HELLO") {
            Message welcome = FakeServer::welcome();
            welcome.header["edits"] = editable;
            say(welcome);
        }
        if (message.type == "PING") say({"PONG"});
        if (before(message, say)) return;
        if (message.type == "EDIT") {
            ++edits;
            operation = message.payload;
            if (message.header["revision"] != revision) {
                say({"ERROR",
                     {{"request", message.header["request"]},
                      {"job", "j"},
                      {"code", "outdated"},
                      {"detail", "the tree has another revision"}}});
                return;
            }
            ++revision;
            say(piece(message, 0));
        }
        if (message.type == "EDITS") say(piece(message, message.header.value("offset", 0u)));
    }

    Message piece(const Message& question, std::size_t at) const {
        return {"EDITED",
                {{"request", question.header["request"]},
                 {"job", question.header["job"]},
                 {"revision", revision},
                 {"offset", at},
                 {"nbytes", record.size()}},
                std::string_view(record).substr(at, 3)};
    }
};

std::string refusalOf(Editor editor) {
    try {
        editor.record();
    } catch (const Error& error) {
        return error.code();
    }
    return "";
}

}  // namespace

TEST_CASE("the record of the edits comes in pieces") {
    Desk desk;
    FakeServer server(std::ref(desk));
    const Edited edited = Client(server.address).editor("j").record();
    CHECK(edited.content == desk.record);
    CHECK(edited.revision == 4);
}

TEST_CASE("an edit between two pieces begins the answer anew") {
    Desk desk;
    int asked = 0;
    desk.before = [&](const Message& message, const FakeServer::Say&) {
        if (message.type == "EDITS" && ++asked == 2) {
            desk.revision = 5;
            desk.record = "{\"revision\":5,\"longer\":true}";
        }
        return false;
    };
    FakeServer server(std::ref(desk));
    const Edited edited = Client(server.address).editor("j").tree();
    CHECK(edited.content == desk.record);
    CHECK(edited.revision == 5);
}

TEST_CASE("an edit names its revision, and is refused for another one") {
    Desk desk;
    FakeServer server(std::ref(desk));
    Editor editor = Client(server.address).editor("j");
    CHECK(editor.edit({{"op", "undo"}}, 4).revision == 5);
    CHECK(desk.operation == "{\"op\":\"undo\"}");
    CHECK_THROWS_WITH_AS(editor.edit({{"op", "undo"}}, 4),
                         (server.address + ": the tree has another revision").c_str(), Error);
    CHECK(editor.record().revision == 5);
}

TEST_CASE("an edit that was lost on the way back is not made twice") {
    Desk desk;
    desk.before = [&](const Message& message, const FakeServer::Say& say) {
        if (message.type != "EDIT" || desk.edits > 0) return false;
        ++desk.edits;
        ++desk.revision;
        say({"ERROR", {{"code", "unauthorized"}, {"detail", "send HELLO"}}});
        return true;
    };
    FakeServer server(std::ref(desk));
    Editor editor = Client(server.address).editor("j");
    CHECK_THROWS_AS(editor.edit({{"op", "undo"}}, 4), Error);
    CHECK(desk.edits == 2);
    CHECK(desk.revision == 5);
    CHECK(server.hellos == 2);
}

TEST_CASE("a server that edits nothing, and a tree that is too large") {
    Desk desk;
    FakeServer server(std::ref(desk));
    Editor editor = Client(server.address).editor("j");
    const Json large = {{"op", "replace"}, {"tree", std::string(1000, '1')}};
    CHECK_THROWS_WITH_AS(
        editor.edit(large, 4),
        (server.address + ": the tree has 1026 bytes, this server accepts at most 1000").c_str(),
        Error);
    CHECK(desk.edits == 0);
    Desk old;
    old.editable = false;
    FakeServer other(std::ref(old));
    CHECK(refusalOf(Client(other.address).editor("j")) == "no_edits");
}

TEST_CASE("pieces that cannot be true are refused") {
    const std::vector<Json> lies = {
        {{"nbytes", 2}}, {{"offset", 1}}, {{"nbytes", std::uint64_t{1} << 40}}, {{"revision", -1}}};
    for (const Json& lie : lies) {
        CAPTURE(lie.dump());
        Desk desk;
        desk.before = [&](const Message& message, const FakeServer::Say& say) {
            if (message.type != "EDITS") return false;
            Message piece = desk.piece(message, 0);
            piece.header.update(lie);
            say(piece);
            return true;
        };
        FakeServer server(std::ref(desk));
        std::string code;
        try {
            Client(server.address).editor("j").record();
        } catch (const Error& error) {
            code = error.code();
        }
        CHECK(code == "bad_request");
    }
}
