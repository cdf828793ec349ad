// The client against a server that does what it is told.
#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <numeric>

#include "client/client.h"
#include "client/errors.h"
#include "play.h"

namespace {

struct Stack {
    std::vector<unsigned char> samples = std::vector<unsigned char>(6000);
    Volume volume;
    Stack() {
        std::iota(samples.begin(), samples.end(), static_cast<unsigned char>(0));
        volume = {samples.data(), {1, 5, 20, 30}, "uint16"};
    }
    std::string bytes() const { return {samples.begin(), samples.end()}; }
};

std::string codeOf(const std::function<void()>& work, std::string* why = nullptr) {
    try {
        work();
    } catch (const Error& error) {
        if (why) *why = error.what();
        return error.code();
    }
    return "";
}

double seconds(const std::function<void()>& work) {
    const auto began = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

}  // namespace

TEST_CASE("a job from its volume to its result") {
    Play play;
    FakeServer server(std::ref(play));
    Stack stack;
    Job job;
    job.name = "cell";
    job.params = {{"channel", 1}};
    std::map<std::string, std::uint64_t> stages;
    const Result result =
        Client(server.address)
            .run(stack.volume, job,
                 [&](const std::string& stage, std::uint64_t done, std::uint64_t) {
                     if (stage != "connect") CHECK(done > stages[stage]);
                     stages[stage] = done;
                 });
    CHECK(play.uploaded == stack.bytes());
    CHECK(play.submitted["params"] == Json{{"channel", 1}, {"name", "cell"}});
    CHECK(play.submitted["volume"]["shape"] == Json{1, 5, 20, 30});
    CHECK(play.submitted["volume"]["dtype"] == "uint16");
    CHECK(result.job == "j");
    CHECK(result.swc == kSwc);
    CHECK(result.report["length"] == 7);
    CHECK(result.maskShape == std::array<std::uint64_t, 4>{1, 5, 20, 30});
    CHECK(std::string(result.mask.get(), result.mask.get() + 3000) == Play::mask());
    CHECK(stages.count("connect") == 1);
    CHECK(stages["upload"] == 6000);
    CHECK(stages["download"] == 3000);
    CHECK(server.hellos == 1);
}

TEST_CASE("a file is sent as it is") {
    Play play;
    FakeServer server(std::ref(play));
    Stack stack;
    Volume file;
    file.samples = stack.samples.data();
    file.fileBytes = 6000;
    CHECK(Client(server.address).run(file, Job()).swc == kSwc);
    CHECK(play.uploaded == stack.bytes());
    CHECK(play.submitted["volume"] == Json{{"format", "file"}});
    CHECK(play.submitted["nbytes"] == 6000);
}

TEST_CASE("a mask that nobody wants is not fetched") {
    Play play;
    FakeServer server(std::ref(play));
    Stack stack;
    Job job;
    job.mask = false;
    const Result result = Client(server.address).run(stack.volume, job);
    CHECK(result.swc == kSwc);
    CHECK(result.mask == nullptr);
    CHECK(play.heard["FETCH"] == 2);
}

TEST_CASE("what a server says of itself") {
    Play play;
    FakeServer server(std::ref(play));
    const ServerInfo info = Client(server.address).server();
    CHECK(info.version == "0.1.0");
    CHECK(info.models == std::vector<std::string>{"dineuro-s1"});
    CHECK(info.devices == std::vector<std::string>{"cpu"});
    CHECK(info.waiting == 3);
    CHECK(info.maxBytes == 1000000);
}

TEST_CASE("an upload that was cut off goes on where it ended") {
    Play play;
    bool cut = false;
    play.before = [&](const Message& message, const Say& say) {
        if (cut && message.type == "ATTACH" && message.header.contains("transfer")) {
            say(play.accept(3));
            return true;
        }
        // What was already under way when the connection was cut is lost.
        if (cut && message.type == "CHUNK" && play.heard["HELLO"] == 1) return true;
        if (!cut && message.type == "CHUNK" && message.header["seq"] == 3) {
            cut = true;
            say({"ERROR", {{"code", "unauthorized"}, {"detail", "HELLO comes first"}}});
            return true;
        }
        return false;
    };
    FakeServer server(std::ref(play));
    Stack stack;
    CHECK(Client(server.address).run(stack.volume, Job()).swc == kSwc);
    CHECK(play.uploaded == stack.bytes());
    CHECK(server.hellos == 2);
    CHECK(play.heard["SUBMIT"] == 1);
}

TEST_CASE("an upload that was given up is begun anew under the same request") {
    Play play;
    int submits = 0;
    std::string request;
    play.before = [&](const Message& message, const Say& say) {
        if (message.type == "SUBMIT") {
            if (++submits == 1) request = message.header["request"];
            CHECK(message.header["request"] == request);
            play.uploaded.clear();
        }
        if (submits == 1 && message.type == "CHUNK") {
            say({"ERROR", {{"code", "unauthorized"}, {"detail", "HELLO comes first"}}});
            return true;
        }
        if (message.type == "ATTACH" && message.header.contains("transfer")) {
            say({"ERROR", {{"code", "not_found"}, {"detail", "given up"}, {"transfer", "t"}}});
            return true;
        }
        return false;
    };
    FakeServer server(std::ref(play));
    Stack stack;
    CHECK(Client(server.address).run(stack.volume, Job()).swc == kSwc);
    CHECK(play.uploaded == stack.bytes());
    CHECK(submits == 2);
}

TEST_CASE("a server that falls silent in the middle of a result is asked anew for the rest") {
    Play play;
    bool silent = false;
    std::size_t again = 0;
    play.before = [&](const Message& message, const Say&) {
        if (message.type == "HELLO") silent = false;
        if (message.type == "FETCH" && message.header["part"] == "mask" &&
            message.header["offset"] == 1000 && play.heard["HELLO"] == 1)
            silent = true;
        if (message.type == "FETCH" && play.heard["HELLO"] == 2 && !again)
            again = message.header["offset"].get<std::size_t>();
        return silent;
    };
    FakeServer server(std::ref(play));
    Stack stack;
    const Result result = Client(server.address).run(stack.volume, Job());
    CHECK(std::string(result.mask.get(), result.mask.get() + 3000) == Play::mask());
    CHECK(again == 1000);
}

TEST_CASE("a server that never answers is given up") {
    FakeServer server([](const Message&, const Say&) {});
    Job job;
    job.deadline = 0.3;
    Stack stack;
    std::string code;
    CHECK(seconds([&] { code = codeOf([&] { Client(server.address).run(stack.volume, job); }); }) <
          2);
    CHECK(code == "time_limit");
}

TEST_CASE("a server that dies in the middle is given up after some tries") {
    Play play;
    play.before = [&](const Message& message, const Say&) { return message.type != "HELLO"; };
    FakeServer server(std::ref(play));
    Stack stack;
    std::string why;
    CHECK(codeOf([&] { Client(server.address).run(stack.volume, Job()); }, &why) == "server_gone");
    CHECK(why == server.address + ": the server no longer answers");
    CHECK(server.hellos == 5);
}

TEST_CASE("nobody listens") {
    Job job;
    job.deadline = 0.5;
    Stack stack;
    CHECK(codeOf([&] { Client("tcp://127.0.0.1:9").run(stack.volume, job); }) == "time_limit");
    std::string why;
    CHECK(codeOf([&] { Client("lab:5599").server(); }, &why) == "server_gone");
    CHECK(why.find("lab:5599: is not an address") == 0);
}

TEST_CASE("a cancel is told to the server, and does not wait") {
    Play play;
    play.before = [](const Message& message, const Say&) { return message.type == "ATTACH"; };
    FakeServer server(std::ref(play));
    Stack stack;
    const auto began = std::chrono::steady_clock::now();
    const auto cancelled = [&] {
        return std::chrono::steady_clock::now() - began > std::chrono::milliseconds(300);
    };
    std::string code;
    CHECK(seconds([&] {
              code =
                  codeOf([&] { Client(server.address).run(stack.volume, Job(), {}, cancelled); });
          }) < 1);
    CHECK(code == "cancelled");
    CHECK(play.heard["CANCEL"] == 1);
}

TEST_CASE("a full server is asked again, a refusal is told") {
    Play play;
    int submits = 0;
    play.before = [&](const Message& message, const Say& say) {
        if (message.type != "SUBMIT" || ++submits > 1) return false;
        say({"REJECT",
             {{"request", message.header["request"]},
              {"code", "queue_full"},
              {"detail", "the queue is full"},
              {"retry_after", 1}}});
        return true;
    };
    FakeServer server(std::ref(play));
    Stack stack;
    bool waited = false;
    const auto progress = [&](const std::string& stage, auto...) { waited |= stage == "wait"; };
    CHECK(Client(server.address).run(stack.volume, Job(), progress).swc == kSwc);
    CHECK(waited);

    Play refuses;
    refuses.before = [&](const Message& message, const Say& say) {
        if (message.type != "SUBMIT") return false;
        say({"REJECT",
             {{"request", message.header["request"]},
              {"code", "bad_parameter"},
              {"detail", "channel 4: there are 3"}}});
        return true;
    };
    FakeServer other(std::ref(refuses));
    std::string why;
    CHECK(codeOf([&] { Client(other.address).run(stack.volume, Job()); }, &why) == "bad_parameter");
    CHECK(why == other.address + ": channel 4: there are 3");
}

TEST_CASE("another version is told") {
    FakeServer server([](const Message&, const Say& say) {
        say({"ERROR", {{"code", "bad_request"}, {"detail", "this server speaks DNP2, not 1"}}});
    });
    std::string why;
    CHECK(codeOf([&] { Client(server.address).server(); }, &why) == "bad_request");
    CHECK(why.find("speaks DNP2") != std::string::npos);
}

TEST_CASE("a volume beyond the server's limit is not sent") {
    Play play;
    FakeServer server(std::ref(play));
    std::vector<unsigned char> big(1000001);
    std::string why;
    CHECK(codeOf(
              [&] {
                  Client(server.address).run({big.data(), {1, 1, 1, big.size()}, "uint8"}, Job());
              },
              &why) == "too_large");
    CHECK(play.heard["SUBMIT"] == 0);
    CHECK(codeOf([&] { Client(server.address).run(Volume(), Job()); }) == "bad_volume");
}

TEST_CASE("an answer that lies is refused") {
    const std::vector<Json> lies = {
        {{"report", {{"nbytes", 13}}}},
        {{"mask", {{"nbytes", 3000}, {"shape", {1, 5, 20, 31}}}}},
        {{"mask", {{"nbytes", 3000}, {"shape", {1, 5, 20}}}}},
        {{"mask", {{"nbytes", -3000}, {"shape", {1, 5, 20, -30}}}}},
        {{"mask", {{"nbytes", 0}, {"shape", {1, 5, 20, 0}}}}},
        {{"mask", {{"nbytes", 3000}, {"shape", {4294967296, 4294967296, 1, 3000}}}}},
        {{"mask", {{"nbytes", 3000}, {"shape", {"a", 5, 20, 30}}}}},
        {{"mask", 3}},
        {{"swc", {{"nbytes", std::uint64_t{1} << 50}}}},
    };
    for (const Json& parts : lies) {
        CAPTURE(parts.dump());
        Play play;
        play.before = [&](const Message& message, const Say& say) {
            if (message.type != "ATTACH") return false;
            say({"RESULT", {{"job", "j"}, {"reused", false}, {"parts", parts}}});
            return true;
        };
        FakeServer server(std::ref(play));
        Stack stack;
        CHECK(codeOf([&] { Client(server.address).run(stack.volume, Job()); }) == "bad_request");
    }
}

TEST_CASE("a piece that is longer than the part is refused") {
    Play play;
    const std::string much(4000, 'x');
    play.before = [&](const Message& message, const Say& say) {
        if (message.type != "FETCH") return false;
        say({"CHUNK", {{"job", "j"}, {"part", message.header["part"]}, {"offset", 0}}, much});
        return true;
    };
    FakeServer server(std::ref(play));
    Stack stack;
    CHECK(codeOf([&] { Client(server.address).run(stack.volume, Job()); }) == "bad_request");
}
