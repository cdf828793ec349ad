// A server's work from C++: a volume goes out, a tree, a mask and a report come back.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connection.h"

namespace dineuro {

// Samples in memory as Vaa3D holds them: little-endian, x runs fastest, then y, z and the channel.
struct Volume {
    const void* samples = nullptr;            // borrowed until the call returns
    std::array<std::uint64_t, 4> shape = {};  // C, Z, Y, X
    std::string dtype = "uint8";              // "uint8", "uint16", "float32"

    std::uint64_t nbytes() const;
};

struct Job {
    std::string kind = "trace";    // or "enhance", without a tree
    std::string name = "volume";   // of the image, for the results
    Json params = Json::object();  // the server's, see docs/protocol.md
    bool reuse = true;             // whether the server's store may answer
    bool mask = true;              // whether the mask is to be fetched
    double deadline = 0;           // seconds for all together; 0 is never
};

// Stages are "upload", "queued", the server's own, "wait" (it is full) and "download"; done of
// total, 0 where that is not known.
using Progress =
    std::function<void(const std::string& stage, std::uint64_t done, std::uint64_t total)>;

struct Result {
    std::string job;      // its id on the server
    bool reused = false;  // whether the store had the answer
    std::string swc;      // text; empty without a tree
    std::string doubts;   // a .marker file's text
    Json report;
    // 0 and 255; made with new[], as Vaa3D's images want it. Null where it was not to be fetched.
    std::unique_ptr<unsigned char[]> mask;
    std::array<std::uint64_t, 4> maskShape = {};
};

struct ServerInfo {
    std::string version;
    std::vector<std::string> models;  // the default one first
    std::vector<std::string> devices;
    std::uint64_t waiting = 0;   // jobs
    std::uint64_t maxBytes = 0;  // of a volume
};

class Client {
public:
    // address: tcp://HOST:PORT. keys: where the server asks for them.
    explicit Client(std::string address, std::optional<Keys> keys = std::nullopt,
                    std::string name = "dineuro-cpp");

    // Who is there. Throws Error.
    ServerInfo server(Cancelled cancelled = {}) const;

    // Do a job, over as many connections as it takes. The volume is not copied. Once `cancelled`
    // says so the server is told, and Error("cancelled") is thrown within about a second.
    // Throws Error with the address and the server's reason.
    Result run(const Volume& volume, const Job& job, const Progress& progress = {},
               Cancelled cancelled = {}) const;

private:
    std::string address_;
    std::optional<Keys> keys_;
    std::string name_;
};

}  // namespace dineuro
