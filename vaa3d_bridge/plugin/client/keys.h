// CURVE keys as `dineuro keys curve` writes them.
#pragma once

#include <string>

namespace dineuro {

// What a client needs to be let in: Z85 texts of 40 signs.
struct Keys {
    std::string server;
    std::string publicKey;
    std::string secretKey;

    // Reads NAME.key_secret and server.key (ZPL, as pyzmq and CZMQ write them).
    // Throws Error("bad_key") naming the file and the reason.
    static Keys load(const std::string& secretFile, const std::string& serverFile);
};

// The value of a key in a ZPL text, e.g. "public-key"; empty where there is none.
std::string zplValue(const std::string& text, const std::string& name);

}  // namespace dineuro
