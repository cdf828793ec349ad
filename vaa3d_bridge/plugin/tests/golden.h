// The golden messages that the Python tests use too.
#pragma once

#include <fstream>
#include <string>
#include <vector>

#include "client/protocol.h"

inline std::string bytesOf(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
        bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return bytes;
}

inline dineuro::Json golden() {
    std::ifstream file(GOLDEN);
    return dineuro::Json::parse(file);
}

inline std::vector<std::string> framesOf(const dineuro::Json& entry) {
    std::vector<std::string> frames;
    for (const auto& frame : entry["frames"]) frames.push_back(bytesOf(frame));
    return frames;
}

inline std::vector<std::string_view> viewsOf(const std::vector<std::string>& frames) {
    return {frames.begin(), frames.end()};
}
