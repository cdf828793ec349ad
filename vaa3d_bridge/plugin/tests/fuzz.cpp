// Random bytes on all that reads: golden messages changed at random, through the decoder, and texts
// through the readers of SWC and keys. Anything but an Error is a failure; run it under sanitizers.
//
//     fuzz [INPUTS] [SEED]
#include <cstdio>
#include <cstdlib>
#include <random>

#include "client/errors.h"
#include "client/keys.h"
#include "client/swc.h"
#include "client/tiff.h"
#include "golden.h"

using namespace dineuro;

namespace {

std::mt19937_64 random_;

std::size_t below(std::size_t n) { return n ? random_() % n : 0; }

std::string changed(std::string bytes) {
    static const std::string signs = "{}[]\":,0123456789.eE+-truefalsn\\u\n \xff\x00";
    for (std::size_t edits = 1 + below(6); edits; --edits) {
        const std::size_t at = below(bytes.size() + 1);
        const char sign = below(2) ? signs[below(signs.size())] : static_cast<char>(random_());
        switch (below(5)) {
            case 0: bytes.insert(at, 1, sign); break;
            case 1: bytes.erase(at, 1 + below(8)); break;
            case 2:
                if (at < bytes.size()) bytes[at] = sign;
                break;
            case 3: bytes.insert(at, bytes.substr(below(bytes.size()), below(40))); break;
            default: bytes.insert(at, below(200), sign);
        }
    }
    return bytes;
}

bool decodes(const std::vector<std::string>& frames) {
    try {
        const Message message = decode(viewsOf(frames));
        // What was taken can be said again, and means the same.
        const Frames again = encode(message);
        if (decode(hasPayload(message.type)
                       ? std::vector<std::string_view>{again.magic, again.type, again.header, ""}
                       : std::vector<std::string_view>{again.magic, again.type, again.header})
                .type != message.type)
            std::abort();
        return true;
    } catch (const Error&) {
        return false;
    }
}

}  // namespace

int main(int count, char** words) {
    const long inputs = count > 1 ? std::atol(words[1]) : 1000000;
    random_.seed(count > 2 ? std::strtoull(words[2], nullptr, 10) : 1);
    std::vector<std::vector<std::string>> seeds;
    const Json document = golden();
    for (const char* list : {"good", "bad", "edits"})
        for (const Json& entry : document[list]) seeds.push_back(framesOf(entry));
    const std::string swc = "# x\n1 1 1.5 2 3 4.25 -1\n2 3 1 0 10 1 1\n3 3 1 0 11 1 2\n";
    const std::string zpl = "curve\n    public-key = \"abc\"\n    secret-key = \"def\"\n";
    const std::string tiff(
        "II*\0\10\0\0\0\3\0\0\1\3\0\1\0\0\0\2\0\0\0\1\1\3\0\1\0\0\0\2\0\0\0"
        "\21\1\4\0\1\0\0\0\10\0\0\0\0\0\0\0",
        50);
    long good = 0;
    for (long i = 0; i < inputs; ++i) {
        auto frames = seeds[below(seeds.size())];
        switch (below(12)) {
            case 0: frames.erase(frames.begin() + static_cast<long>(below(frames.size()))); break;
            case 1: frames.push_back(changed("")); break;
            default:
                for (std::size_t n = 1 + below(2); n; --n) {
                    auto& frame = frames[below(8) ? 2 % frames.size() : below(frames.size())];
                    frame = changed(frame);
                }
        }
        good += decodes(frames);
        if (i % 16 == 0) {
            try {
                parseSwc(changed(swc));
            } catch (const Error&) {
            }
            zplValue(changed(zpl), "secret-key");
            const std::string bytes = changed(tiff);
            if (const auto facts = tiffFacts(bytes)) facts->sample(below(9), below(9), below(9));
        }
    }
    std::printf("%ld inputs, %ld of them messages\n", inputs, good);
    // All refused, or all taken, would mean that nothing was tried.
    return good > inputs / 100 && good < inputs * 9 / 10 ? 0 : 1;
}
