// DNP1 as bytes: messages as frames. Knows no sockets; docs/protocol.md is the authority, and
// tests/golden/dnp1.json has every message byte by byte.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

namespace dineuro {

using Json = nlohmann::json;

inline constexpr int kProtocol = 1;
inline constexpr std::string_view kMagic = "DNP1";
inline constexpr std::size_t kHeaderBytes = 65536;
// Who has been silent for so many heartbeats is gone.
inline constexpr int kLostAfter = 4;

// One message. The payload (of a CHUNK alone) is borrowed: whoever made the message owns its bytes.
struct Message {
    std::string type;
    Json header = Json::object();
    std::string_view payload = {};
};

// The frames before the payload.
struct Frames {
    std::string magic;
    std::string type;
    std::string header;
};

// The frames of a message, byte for byte what the Python side makes of it.
// Throws Error("bad_request") for a header that its type does not allow.
Frames encode(const Message& message);

// The message that frames stand for; its payload lies in the last frame.
// Throws Error("bad_request") with the reason for anything that is no message.
Message decode(const std::vector<std::string_view>& frames);

}  // namespace dineuro
