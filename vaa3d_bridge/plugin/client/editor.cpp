#include "editor.h"

#include "errors.h"

namespace dineuro {
namespace {

constexpr double kAnswerTime = 60;             // seconds for all pieces of an answer
constexpr std::size_t kMostAnswer = 1u << 27;  // bytes of an answer

}  // namespace

Editor::Editor(std::string address, std::optional<Keys> keys, std::string name, std::string job,
               Cancelled cancelled)
    : address_(address),
      job_(std::move(job)),
      door_(std::move(address), std::move(keys), std::move(name), std::move(cancelled)) {}

Edited Editor::record() { return whole({"EDITS", {{"what", "edits"}}}); }

Edited Editor::tree() { return whole({"EDITS", {{"what", "tree"}}}); }

Edited Editor::edit(const Json& operation, std::uint64_t revision) {
    // What is no UTF-8 is replaced, as in headers.
    const std::string body = operation.dump(-1, ' ', true, Json::error_handler_t::replace);
    try {
        return whole({"EDIT", {{"revision", revision}}, body});
    } catch (...) {
        // ZeroMQ's thread may still read the text.
        door_.close();
        open_ = false;
        throw;
    }
}

// All pieces of an answer. After another edit they are asked for anew.
Edited Editor::whole(const Message& first) {
    deadline_ = Deadline(kAnswerTime);
    const std::string what = first.header.value("what", "edits");
    Message question = first;
    Edited edited;
    try {
        for (;;) {
            const Message piece = answer(question);
            const auto number = [&](const char* name) {
                return piece.header[name].get<std::uint64_t>();
            };
            if (edited.content.empty()) edited.revision = number("revision");
            const auto total = number("nbytes"), end = number("offset") + piece.payload.size();
            if (number("revision") != edited.revision) {
                edited.content.clear();
            } else if (number("offset") != edited.content.size() || piece.payload.empty() ||
                       end > total || total > kMostAnswer) {
                throw Error("bad_request", address_ + ": a piece of the edits is invalid");
            } else {
                edited.content += piece.payload;
                if (end == total) return edited;
            }
            question = {"EDITS", {{"what", what}, {"offset", edited.content.size()}}};
        }
    } catch (const Json::exception& error) {
        throw Error("bad_request", address_ + ": an answer is malformed: " + error.what());
    } catch (const zmq::error_t& error) {
        throw Error("server_gone", address_ + ": " + error.what());
    }
}

// The answer to one question, which is repeated over a new connection if the old one is lost.
Message Editor::answer(const Message& question) {
    Message sent = question;
    sent.header["job"] = job_;
    sent.header["request"] = "e" + std::to_string(++asked_);
    for (int tries = kTries; tries > 0; --tries) {
        try {
            if (!open_) door_.open(deadline_);
            open_ = true;
            if (!door_.welcome().value("edits", false))
                throw Error("no_edits", address_ + ": this server takes no corrected trees here");
            const auto most = door_.welcome()["chunk_bytes"].get<std::uint64_t>();
            if (sent.payload.size() > most)
                throw Error("too_large",
                            address_ + ": the tree has " + std::to_string(sent.payload.size()) +
                                " bytes, this server accepts at most " + std::to_string(most));
            door_.say(sent);
            return heard(sent.header["request"]);
        } catch (const Lost&) {
            open_ = false;
        }
    }
    throw Error("server_gone", address_ + ": the server no longer answers");
}

Message Editor::heard(const std::string& request) {
    for (;;) {
        Message message = door_.hear(deadline_);
        if (message.header.value("request", request) != request) continue;
        if (message.type == "ERROR") {
            // After HELLO this code means that HELLO must be repeated.
            if (message.header["code"] == "unauthorized") throw Lost();
            raise(message, address_);
        }
        if (message.type == "EDITED") return message;
    }
}

}  // namespace dineuro
