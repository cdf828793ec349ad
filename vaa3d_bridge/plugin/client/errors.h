// Errors, with the code words of docs/protocol.md.
#pragma once

#include <stdexcept>
#include <string>

namespace dineuro {

// A failure with a sentence for a person. `code` is one of the protocol's codes, or one of the
// client's own: "cancelled", "server_gone", "time_limit", "bad_key", "bad_tree", "no_edits".
class Error : public std::runtime_error {
public:
    Error(std::string code, const std::string& detail, int retryAfter = 0)
        : std::runtime_error(detail), code_(std::move(code)), retryAfter_(retryAfter) {}

    const std::string& code() const { return code_; }
    // The seconds after which a repetition can help; 0 if it cannot.
    int retryAfter() const { return retryAfter_; }

private:
    std::string code_;
    int retryAfter_;
};

}  // namespace dineuro
