// What can go wrong, with the words of docs/protocol.md for it.
#pragma once

#include <stdexcept>
#include <string>

namespace dineuro {

// A failure with a sentence for a person. `code` is one of the protocol's, or one of a client's
// own: "cancelled", "server_gone", "time_limit", "bad_key", "bad_tree".
class Error : public std::runtime_error {
public:
    Error(std::string code, const std::string& detail, int retryAfter = 0)
        : std::runtime_error(detail), code_(std::move(code)), retryAfter_(retryAfter) {}

    const std::string& code() const { return code_; }
    // Seconds after which trying again can help; 0 where it cannot.
    int retryAfter() const { return retryAfter_; }

private:
    std::string code_;
    int retryAfter_;
};

}  // namespace dineuro
