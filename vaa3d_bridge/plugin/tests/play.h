// What a good server does with one job; a test changes a step.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "fake_server.h"

using namespace dineuro;
using Say = FakeServer::Say;

inline const std::string kSwc = "1 1 0 0 0 1 -1\n";

struct Play {
    std::string uploaded;
    std::map<std::string, int> heard;
    Json submitted;
    // Called first; true where the step was the test's own.
    std::function<bool(const Message&, const Say&)> before = [](auto&, auto&) { return false; };

    void operator()(const Message& message, const Say& say) {
        const Json& header = message.header;
        ++heard[message.type];
        if (before(message, say)) return;
        if (message.type == "HELLO") say(FakeServer::welcome());
        if (message.type == "PING") say({"PONG"});
        if (message.type == "SUBMIT") {
            submitted = header;
            say(accept(0));
        }
        if (message.type == "CHUNK") {
            uploaded += message.payload;
            say({"CREDIT", {{"transfer", "t"}, {"n", 1}}});
            if (uploaded.size() == submitted["nbytes"])
                say({"QUEUED",
                     {{"request", submitted["request"]}, {"job", "j"}, {"reused", false}}});
        }
        if (message.type == "ATTACH" && header.contains("job")) say(result());
        if (message.type == "CANCEL") say({"CANCELLED", header});
        if (message.type == "FETCH") {
            const std::string whole = part(header["part"]);
            const auto at = header["offset"].get<std::size_t>();
            say({"CHUNK",
                 {{"job", "j"}, {"part", header["part"]}, {"offset", at}},
                 std::string_view(whole).substr(at, header["nbytes"].get<std::size_t>())});
        }
    }

    Message accept(std::size_t next) const {
        return {
            "ACCEPT",
            {{"request", submitted["request"]}, {"transfer", "t"}, {"next", next}, {"credit", 2}}};
    }

    std::string part(const std::string& name) const {
        return name == "swc" ? kSwc : name == "mask" ? mask() : "{\"length\": 7}";
    }

    // Of 1 x 5 x 20 x 30 voxels: three pieces.
    static std::string mask() {
        std::string all(3000, '\0');
        for (std::size_t i = 0; i < all.size(); i += 7) all[i] = '\xff';
        return all;
    }

    static Message result() {
        return {"RESULT",
                {{"job", "j"},
                 {"reused", false},
                 {"parts",
                  {{"swc", {{"nbytes", kSwc.size()}}},
                   {"report", {{"nbytes", 13}}},
                   {"mask", {{"nbytes", 3000}, {"shape", {1, 5, 20, 30}}, {"dtype", "uint8"}}}}}}};
    }
};
