// The C++ client of a server: it sends a volume and returns a tree, a mask and a report.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connection.h"
#include "editor.h"

namespace dineuro {

// Samples in memory, in Vaa3D's order: little-endian, x varies fastest, then y, z and channel. Or
// the bytes of a file, whose format is that of the job's name.
struct Volume {
    const void* samples = nullptr;            // borrowed until the call returns
    std::array<std::uint64_t, 4> shape = {};  // C, Z, Y, X
    std::string dtype = "uint8";              // "uint8", "uint16", "float32"
    std::uint64_t fileBytes = 0;              // of a file, which needs no shape and no dtype
    // The absolute path of the file in UTF-8, and its fingerprint (docs/protocol.md). A server that
    // has the same file under this path reads it itself. Empty: the bytes are always sent.
    std::string path = {}, fingerprint = {};

    std::uint64_t nbytes() const;
};

struct Job {
    std::string kind = "trace";    // or "enhance", which gives no tree
    std::string name = "volume";   // the name of the image, for the results
    Json params = Json::object();  // the parameters, see docs/protocol.md
    bool reuse = true;             // whether a stored result may be the answer
    bool mask = true;              // whether the client fetches the mask
    double deadline = 0;           // seconds for the whole job; 0 is no limit
};

// The stages are "connect", "upload", "queued", those of the server, "wait" (the server is full)
// and "download". `total` is 0 if it is unknown.
using Progress =
    std::function<void(const std::string& stage, std::uint64_t done, std::uint64_t total)>;

struct Result {
    std::string job;      // the id of the job on the server
    bool reused = false;  // whether the result was stored before
    bool byPath = false;  // whether the server read the file itself
    std::string swc;      // text; empty without a tree
    std::string doubts;   // the text of a .marker file
    Json report;
    // Values 0 and 255. Vaa3D's images require memory from new[]. Null if it was not fetched.
    std::unique_ptr<unsigned char[]> mask;
    std::array<std::uint64_t, 4> maskShape = {};
};

struct ServerInfo {
    std::string version;
    std::vector<std::string> models;  // the default first
    std::vector<std::string> devices;
    std::uint64_t waiting = 0;   // jobs
    std::uint64_t maxBytes = 0;  // of a volume
    bool byPath = false;         // whether it reads files by their path
};

class Client {
public:
    // address: tcp://HOST:PORT. keys: for a server that requires them.
    explicit Client(std::string address, std::optional<Keys> keys = std::nullopt,
                    std::string name = "dineuro-cpp");

    // Ask the server for its description. Throws Error.
    ServerInfo server(Cancelled cancelled = {}) const;

    // Run a job, over several connections if necessary. The volume is not copied. When `cancelled`
    // returns true, the client cancels the job on the server, and throws Error("cancelled") within
    // about a second. Throws Error with the address and the server's reason.
    Result run(const Volume& volume, const Job& job, const Progress& progress = {},
               Cancelled cancelled = {}) const;

    // The edits of the tree of a done job.
    Editor editor(const std::string& job, Cancelled cancelled = {}) const;

private:
    std::string address_;
    std::optional<Keys> keys_;
    std::string name_;
};

}  // namespace dineuro
