#include "keys.h"

#include <fstream>
#include <sstream>

#include "errors.h"

namespace dineuro {
namespace {

constexpr std::size_t kKeySigns = 40;  // 32 bytes in Z85
constexpr std::size_t kFileBytes = 65536;

std::string textOf(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw Error("bad_key", file + ": cannot be read");
    std::string text(kFileBytes, '\0');
    stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(stream.gcount()));
    return text;
}

std::string keyOf(const std::string& file, const std::string& text, const std::string& name) {
    std::string key = zplValue(text, name);
    if (key.size() != kKeySigns) throw Error("bad_key", file + ": contains no " + name);
    return key;
}

}  // namespace

std::string zplValue(const std::string& text, const std::string& name) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        const auto start = line.find_first_not_of(" \t");
        if (start == std::string::npos || line.compare(start, name.size(), name) != 0) continue;
        const auto equals = line.find_first_not_of(" \t", start + name.size());
        if (equals == std::string::npos || line[equals] != '=') continue;
        const auto open = line.find_first_of("\"'", equals);
        if (open == std::string::npos) return {};
        const auto close = line.find(line[open], open + 1);
        return close == std::string::npos ? "" : line.substr(open + 1, close - open - 1);
    }
    return {};
}

Keys Keys::load(const std::string& secretFile, const std::string& serverFile) {
    const std::string own = textOf(secretFile);
    return {keyOf(serverFile, textOf(serverFile), "public-key"),
            keyOf(secretFile, own, "public-key"), keyOf(secretFile, own, "secret-key")};
}

}  // namespace dineuro
