// The CURVE keys that `dineuro keys curve` writes.
#pragma once

#include <string>

namespace dineuro {

// The keys of a client: Z85 texts of 40 characters.
struct Keys {
    std::string server;
    std::string publicKey;
    std::string secretKey;

    // Reads NAME.key_secret and server.key (ZPL, as pyzmq and CZMQ write them).
    // Throws Error("bad_key") with the file and the reason.
    static Keys load(const std::string& secretFile, const std::string& serverFile);
};

// The value of a key in a ZPL text, for example "public-key"; empty if the text has none.
std::string zplValue(const std::string& text, const std::string& name);

}  // namespace dineuro
