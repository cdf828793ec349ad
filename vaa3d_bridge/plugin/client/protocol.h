// DNP1 as bytes: messages as frames, without sockets. docs/protocol.md is the authority, and
// tests/support/golden/dnp1.json has every message byte by byte.
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
// A peer that is silent for this number of heartbeats counts as disconnected.
inline constexpr int kLostAfter = 4;

// Whether messages of a type have a payload: CHUNK, EDIT and EDITED.
bool hasPayload(std::string_view type);

// One message. Its payload is borrowed from the creator of the message.
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

// The frames of a message, byte for byte as the Python implementation encodes it.
// Throws Error("bad_request") if the type does not allow the header.
Frames encode(const Message& message);

// The message of frames. Its payload is a view of the last frame.
// Throws Error("bad_request") with the reason if the frames are not a message.
Message decode(const std::vector<std::string_view>& frames);

}  // namespace dineuro
