// The edits of one job's tree on a server.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "connection.h"

namespace dineuro {

// A text of the server, and the revision of the tree that it is about.
struct Edited {
    std::uint64_t revision = 0;
    std::string content;
};

// Reads and edits the tree, over several connections if necessary. Every function throws Error:
// "no_edits" from a server that edits no trees over ZeroMQ, "not_found" without the job,
// "cancelled", and the server's own errors.
class Editor {
public:
    // Connects at the first question.
    Editor(std::string address, std::optional<Keys> keys, std::string name, std::string job,
           Cancelled cancelled);

    // The record of the edits, JSON as docs/operating.md describes it.
    Edited record();
    // The edited tree in voxels as SWC, with the ids that edits use.
    Edited tree();
    // Make an edit, which is on the server's disk on return. `revision` is the one that it is based
    // on. Returns the record of the edits. Throws Error("outdated") if the tree has another
    // revision. That may be this very edit, if the connection was lost after it.
    Edited edit(const Json& operation, std::uint64_t revision);

private:
    Edited whole(const Message& first);
    Message answer(const Message& question);
    Message heard(const std::string& request);

    std::string address_;
    std::string job_;
    Connection door_;
    bool open_ = false;
    std::uint64_t asked_ = 0;
    Deadline deadline_;
};

}  // namespace dineuro
