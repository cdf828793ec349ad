// How fast a volume leaves the image's memory, and how much memory that takes.
//
//     throughput sink               a server that throws away what comes; prints its address
//     throughput send ADDRESS MIB   an upload; prints seconds and by how many MiB the peak grew
//     throughput socket MIB         the same bytes through a plain socket; prints seconds
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "client/client.h"
#include "client/errors.h"
#include "fake_server.h"

using namespace dineuro;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;
constexpr std::size_t kPiece = 2 * kMiB;

double since(Clock::time_point began) {
    return std::chrono::duration<double>(Clock::now() - began).count();
}

// The most memory this process has had (KiB).
long peak() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);)
        if (line.rfind("VmHWM:", 0) == 0) return std::atol(line.c_str() + 6);
    return 0;
}

// An image's worth of memory that is really there.
std::vector<char> image(std::size_t mib) {
    std::vector<char> bytes(mib * kMiB);
    for (std::size_t i = 0; i < bytes.size(); i += 512) bytes[i] = static_cast<char>(i >> 9);
    return bytes;
}

int sink() {
    zmq::context_t context;
    zmq::socket_t door(context, zmq::socket_type::router);
    door.bind("tcp://127.0.0.1:*");
    std::printf("%s\n", door.get(zmq::sockopt::last_endpoint).c_str());
    std::fflush(stdout);
    std::uint64_t left = 0;
    std::string request;
    const auto say = [&](zmq::message_t& who, const Message& message) {
        const Frames frames = encode(message);
        (void)door.send(zmq::buffer(who.data(), who.size()), zmq::send_flags::sndmore);
        (void)door.send(zmq::buffer(frames.magic), zmq::send_flags::sndmore);
        (void)door.send(zmq::buffer(frames.type), zmq::send_flags::sndmore);
        (void)door.send(zmq::buffer(frames.header), zmq::send_flags::none);
    };
    for (zmq::message_t frames[5];;) {
        std::vector<std::string_view> views;
        int count = 0;
        do (void)door.recv(frames[count]);
        while (frames[count++].more() && count < 5);
        for (int i = 1; i < count; ++i) views.push_back(frames[i].to_string_view());
        const Message message = decode(views);
        if (message.type == "HELLO") {
            Message welcome = FakeServer::welcome();
            welcome.header["max_bytes"] = std::uint64_t{1} << 40;
            welcome.header["chunk_bytes"] = kPiece;
            welcome.header["credit"] = 8;
            welcome.header["heartbeat_s"] = 5;
            say(frames[0], welcome);
        } else if (message.type == "SUBMIT") {
            left = message.header["nbytes"];
            request = message.header["request"];
            say(frames[0],
                {"ACCEPT", {{"request", request}, {"transfer", "t"}, {"next", 0}, {"credit", 8}}});
        } else if (message.type == "CHUNK") {
            left -= message.payload.size();
            say(frames[0], {"CREDIT", {{"transfer", "t"}, {"n", 1}}});
            if (!left)
                say(frames[0], {"QUEUED", {{"request", request}, {"job", "j"}, {"reused", false}}});
        } else if (message.type == "ATTACH") {
            say(frames[0], {"PROGRESS", {{"job", "j"}, {"state", "queued"}}});
        } else if (message.type == "CANCEL") {
            say(frames[0], {"CANCELLED", {{"job", "j"}}});
        }
    }
}

int send(const std::string& address, std::size_t mib) {
    const auto bytes = image(mib);
    const long before = peak();
    double seconds = 0;
    bool there = false;
    Job job;
    job.params = {{"enhancer", "none"}};
    job.reuse = false;
    Clock::time_point began;
    // The time is that from the first chunk until the server has the whole of it and has said so.
    const auto progress = [&](const std::string& stage, std::uint64_t done, std::uint64_t) {
        if (stage == "upload" && done <= kPiece) began = Clock::now();
        if (stage != "upload" && !there) {
            there = true;
            seconds = since(began);
        }
    };
    try {
        Client(address).run({bytes.data(), {1, mib, 1024, 1024}, "uint8"}, job, progress,
                            [&] { return there; });
    } catch (const Error& error) {
        if (error.code() != "cancelled") return std::fprintf(stderr, "%s\n", error.what()), 1;
    }
    std::printf("%.4f %.1f\n", seconds, static_cast<double>(peak() - before) / 1024);
    return 0;
}

int plainSocket(std::size_t mib) {
    const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof place;
    if (::bind(listener, reinterpret_cast<sockaddr*>(&place), size) || ::listen(listener, 1) ||
        ::getsockname(listener, reinterpret_cast<sockaddr*>(&place), &size))
        return 1;
    if (::fork() == 0) {
        const int end = ::accept(listener, nullptr, nullptr);
        std::vector<char> into(kPiece);
        for (std::size_t got = 0; got < mib * kMiB;) {
            const auto n = ::recv(end, into.data(), into.size(), 0);
            if (n <= 0) ::_exit(1);
            got += static_cast<std::size_t>(n);
        }
        ::_exit(::send(end, "!", 1, 0) != 1);
    }
    const auto bytes = image(mib);
    const int end = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(end, reinterpret_cast<sockaddr*>(&place), size)) return 1;
    const auto began = Clock::now();
    for (std::size_t at = 0; at < bytes.size();) {
        const auto n = ::send(end, bytes.data() + at, std::min(kPiece, bytes.size() - at), 0);
        if (n <= 0) return 1;
        at += static_cast<std::size_t>(n);
    }
    char answer;
    if (::recv(end, &answer, 1, 0) != 1) return 1;
    std::printf("%.4f\n", since(began));
    ::wait(nullptr);
    return 0;
}

}  // namespace

int main(int count, char** words) {
    const std::string what = count > 1 ? words[1] : "";
    if (what == "sink") return sink();
    if (what == "send" && count == 4) return send(words[2], std::strtoul(words[3], nullptr, 10));
    if (what == "socket" && count == 3) return plainSocket(std::strtoul(words[2], nullptr, 10));
    return std::fprintf(stderr, "throughput sink | send ADDRESS MIB | socket MIB\n"), 2;
}
