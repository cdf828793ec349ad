#include "client.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <thread>

#include "errors.h"

namespace dineuro {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kPatience =
    300;  // seconds for which the client repeats a request to a full server
constexpr std::uint64_t kMostPart = std::uint64_t{1} << 40;

std::string randomName() {
    std::random_device random;
    static const char digits[] = "0123456789abcdef";
    std::string name;
    for (int i = 0; i < 32; ++i) name += digits[random() % 16];
    return name;
}

bool isLater(const std::string& code) {
    return code == "queue_full" || code == "quota" || code == "try_later" || code == "stopping";
}

// Whether a server that answers with this code may accept the bytes of the file instead.
bool isOfPath(const std::string& code) {
    return code == "forbidden" || code == "not_found" || code == "conflict";
}

// One job, from SUBMIT to the last chunk of its result.
class Run {
public:
    Run(const std::string& address, std::optional<Keys> keys, const std::string& name,
        const Volume& volume, const Job& job, const Progress& progress, const Cancelled& cancelled)
        : address_(address),
          volume_(volume),
          job_(job),
          progress_(progress),
          cancelled_(cancelled),
          deadline_(job.deadline),
          door_(address, std::move(keys), name, cancelled) {}

    Result result() {
        const auto until = Clock::now() + std::chrono::duration<double>(kPatience);
        int tries = kTries;
        for (bool open = true;;) {
            try {
                if (open) {
                    tell("connect", 0, 0);
                    door_.open(deadline_);
                }
                return once();
            } catch (const Lost&) {
                if (--tries == 0)
                    throw Error("server_gone", address_ + ": the server no longer answers");
                open = true;
            } catch (const Error& error) {
                const auto wait = std::chrono::seconds(error.retryAfter());
                if (!isLater(error.code()) || Clock::now() + wait > until) {
                    stop();
                    throw;
                }
                tell("wait", 0, 0);
                rest(error.retryAfter());
                transfer_.clear();
                // The server may have dropped a client that was silent during the wait.
                open = true;
            } catch (const Json::exception& error) {
                throw Error("bad_request", address_ + ": an answer is malformed: " + error.what());
            } catch (const zmq::error_t& error) {
                throw Error("server_gone", address_ + ": " + error.what());
            }
        }
    }

private:
    void tell(const std::string& stage, std::uint64_t done, std::uint64_t total) const {
        if (progress_) progress_(stage, done, total);
    }

    Result once() {
        if (id_.empty()) send();
        if (done_.is_null()) {
            door_.say({"ATTACH", {{"job", id_}}});
            done_ = wait({"RESULT"}).header;
        }
        return collect();
    }

    // Send or resume the upload, until the job has its id.
    void send() {
        if (!volume_.path.empty() && !pathRefused_ && door_.welcome().value("by_path", false)) {
            try {
                door_.say(
                    submission({{"path", volume_.path}, {"fingerprint", volume_.fingerprint}}));
                begin(wait({"QUEUED"}));
                byPath_ = true;
                return;
            } catch (const Error& error) {
                if (!isOfPath(error.code())) throw;
            }
            pathRefused_ = true;
        }
        upload();
    }

    void begin(const Message& queued) {
        id_ = queued.header["job"].get<std::string>();
        reused_ = queued.header["reused"].get<bool>();
    }

    void upload() {
        const auto limit = door_.welcome()["max_bytes"].get<std::uint64_t>();
        if (volume_.nbytes() > limit)
            throw Error("too_large",
                        address_ + ": the volume has " + std::to_string(volume_.nbytes()) +
                            " bytes, this server accepts at most " + std::to_string(limit));
        Message answer;
        if (transfer_.empty()) {
            door_.say(submission(volume()));
            answer = wait({"ACCEPT", "QUEUED"});
        } else {
            answer = resumed();
        }
        if (answer.type == "ACCEPT") {
            transfer_ = answer.header["transfer"].get<std::string>();
            chunks(answer.header["next"].get<std::uint64_t>(),
                   answer.header["credit"].get<std::int64_t>());
            answer = wait({"QUEUED"});
        }
        begin(answer);
    }

    // Resume an upload, or repeat it if the server dropped it.
    Message resumed() {
        try {
            door_.say({"ATTACH", {{"transfer", transfer_}}});
            return wait({"ACCEPT", "QUEUED"});
        } catch (const Error& error) {
            if (error.code() != "not_found") throw;
        }
        transfer_.clear();
        door_.say(submission(volume()));
        return wait({"ACCEPT", "QUEUED"});
    }

    // The SUBMIT of an input.
    Message submission(Json input) const {
        input["request"] = request_;
        input["kind"] = job_.kind;
        input["params"] = job_.params;
        input["params"]["name"] = job_.name;
        input["reuse"] = job_.reuse;
        return {"SUBMIT", input};
    }

    Json volume() const {
        Json form = {{"format", "raw"}, {"shape", volume_.shape}, {"dtype", volume_.dtype}};
        if (volume_.fileBytes) form = {{"format", "file"}};
        return {{"nbytes", volume_.nbytes()}, {"volume", form}};
    }

    void chunks(std::uint64_t seq, std::int64_t credit) {
        const auto size = door_.welcome()["chunk_bytes"].get<std::uint64_t>();
        const std::string_view all(static_cast<const char*>(volume_.samples), volume_.nbytes());
        if (size == 0) throw Error("bad_request", address_ + ": announces empty chunks");
        for (; seq < (all.size() + size - 1) / size; ++seq) {
            while (credit <= 0) credit += wait({"CREDIT"}).header["n"].get<std::int64_t>();
            const auto piece = all.substr(seq * size, size);
            door_.say({"CHUNK", {{"transfer", transfer_}, {"seq", seq}}, piece});
            --credit;
            tell("upload", seq * size + piece.size(), all.size());
        }
    }

    // Fetch every part. Bytes from an earlier connection are kept.
    Result collect() {
        const Json& parts = done_["parts"];
        Result result;
        result.job = id_;
        result.reused = done_["reused"].get<bool>() || reused_;
        result.byPath = byPath_;
        text(parts, "swc", result.swc);
        text(parts, "doubts", result.doubts);
        std::string report;
        text(parts, "report", report);
        result.report = Json::parse(report.empty() ? "{}" : report, nullptr, false);
        if (job_.mask) collectMask(parts, result);
        return result;
    }

    void collectMask(const Json& parts, Result& result) {
        const Json mask = parts.value("mask", Json::object());
        if (!mask.contains("shape") || !mask["shape"].is_array() || mask["shape"].size() != 4)
            throw Error("bad_request", address_ + ": the answer has no mask");
        std::uint64_t voxels = 1;
        for (std::size_t i = 0; i < 4; ++i) {
            result.maskShape[i] = mask["shape"][i].get<std::uint64_t>();
            if (result.maskShape[i] == 0 || result.maskShape[i] > kMostPart / voxels)
                throw Error("bad_request", address_ + ": the size of the mask is invalid");
            voxels *= result.maskShape[i];
        }
        if (voxels != sizeOf(parts, "mask"))
            throw Error("bad_request", address_ + ": the size of the mask is invalid");
        if (!mask_) mask_.reset(new unsigned char[voxels]);
        fetch("mask", voxels, got_["mask"], mask_.get());
        result.mask = std::move(mask_);
    }

    std::uint64_t sizeOf(const Json& parts, const std::string& part) const {
        const Json& size = parts[part].value("nbytes", Json());
        if (!size.is_number_unsigned() || size.get<std::uint64_t>() > kMostPart)
            throw Error("bad_request", address_ + ": the size of " + part + " is invalid");
        return size.get<std::uint64_t>();
    }

    void text(const Json& parts, const std::string& part, std::string& into) {
        if (!parts.contains(part)) return;
        std::string& kept = texts_[part];
        kept.resize(sizeOf(parts, part));
        fetch(part, kept.size(), got_[part], reinterpret_cast<unsigned char*>(kept.data()));
        into = kept;
    }

    // Fetch a part, with as many chunks under way as the server allows.
    void fetch(const std::string& part, std::uint64_t nbytes, std::uint64_t& got,
               unsigned char* into) {
        const auto size = door_.welcome()["chunk_bytes"].get<std::uint64_t>();
        const auto credit = door_.welcome()["credit"].get<std::uint64_t>();
        for (std::uint64_t asked = got; got < nbytes;) {
            for (; asked < nbytes && asked - got < std::max<std::uint64_t>(credit, 1) * size;
                 asked += size)
                door_.say(
                    {"FETCH", {{"job", id_}, {"part", part}, {"offset", asked}, {"nbytes", size}}});
            const Message chunk = wait({"CHUNK"});
            if (chunk.header.value("part", "") != part) continue;
            if (chunk.header.value("offset", nbytes) != got) continue;
            if (chunk.payload.size() > nbytes - got || chunk.payload.empty())
                throw Error("bad_request", address_ + ": a chunk of " + part + " is invalid");
            std::memcpy(into + got, chunk.payload.data(), chunk.payload.size());
            got += chunk.payload.size();
            if (part == "mask") tell("download", got, nbytes);
        }
    }

    // Wait for a message of one of these types, and report progress meanwhile.
    Message wait(std::initializer_list<std::string_view> types) {
        for (;;) {
            Message message = door_.hear(deadline_);
            if (!isOurs(message.header)) continue;
            if (message.type == "PROGRESS") report(message.header);
            if (message.type == "CANCELLED")
                throw Error("cancelled", address_ + ": the job was cancelled on the server");
            if (message.type == "REJECT" || message.type == "ERROR") {
                // After HELLO this code means that HELLO must be repeated.
                if (message.header["code"] == "unauthorized") throw Lost();
                raise(message, address_);
            }
            if (std::find(types.begin(), types.end(), message.type) != types.end()) return message;
        }
    }

    void report(const Json& header) const {
        if (header.contains("stage"))
            tell(header["stage"], header.value("done", std::uint64_t{0}),
                 header.value("total", std::uint64_t{0}));
        else if (header["state"] == "queued")
            tell("queued", 0, 0);
    }

    bool isOurs(const Json& header) const {
        const auto fits = [&](const char* name, const std::string& ours) {
            return ours.empty() || header.value(name, ours) == ours;
        };
        return fits("request", request_) && fits("transfer", transfer_) && fits("job", id_);
    }

    void rest(int seconds) const {
        const auto until = Clock::now() + std::chrono::seconds(seconds);
        while (Clock::now() < until) {
            if (cancelled_ && cancelled_()) throw Error("cancelled", "the job was cancelled");
            std::this_thread::sleep_for(std::chrono::milliseconds(deadline_.left(100)));
        }
    }

    // Cancel the job on the server, and wait a moment for the confirmation.
    void stop() {
        if (!done_.is_null() || (id_.empty() && transfer_.empty())) return;
        const auto name = id_.empty() ? "transfer" : "job";
        try {
            door_.ignoreCancel();
            door_.say({"CANCEL", {{name, id_.empty() ? transfer_ : id_}}});
            const Deadline soon(1.0);
            while (door_.hear(soon).type != "CANCELLED") continue;
        } catch (const std::exception&) {
            return;  // the error that ended the job matters more than that of its cancel
        }
    }

    const std::string& address_;
    const Volume& volume_;
    const Job& job_;
    const Progress& progress_;
    const Cancelled& cancelled_;
    Deadline deadline_;
    Connection door_;
    const std::string request_ = randomName();
    std::string transfer_, id_;
    bool pathRefused_ = false, byPath_ = false;
    bool reused_ = false;
    Json done_;
    std::map<std::string, std::uint64_t> got_;
    std::map<std::string, std::string> texts_;
    std::unique_ptr<unsigned char[]> mask_;
};

}  // namespace

std::uint64_t Volume::nbytes() const {
    if (fileBytes) return fileBytes;
    const std::uint64_t sample = dtype == "float32" ? 4 : dtype == "uint16" ? 2 : 1;
    return shape[0] * shape[1] * shape[2] * shape[3] * sample;
}

Client::Client(std::string address, std::optional<Keys> keys, std::string name)
    : address_(std::move(address)), keys_(std::move(keys)), name_(std::move(name)) {}

ServerInfo Client::server(Cancelled cancelled) const {
    Connection door(address_, keys_, name_, std::move(cancelled));
    door.open(Deadline());
    const Json& welcome = door.welcome();
    ServerInfo info;
    info.version = welcome["server"].get<std::string>();
    for (const Json& model : welcome["models"])
        if (model.is_string()) info.models.push_back(model.get<std::string>());
    for (const Json& device : welcome.value("devices", Json::array()))
        if (device.is_string()) info.devices.push_back(device.get<std::string>());
    info.waiting = welcome.value("waiting", std::uint64_t{0});
    info.maxBytes = welcome["max_bytes"].get<std::uint64_t>();
    info.byPath = welcome.value("by_path", false);
    return info;
}

Result Client::run(const Volume& volume, const Job& job, const Progress& progress,
                   Cancelled cancelled) const {
    if (!volume.samples || volume.nbytes() == 0)
        throw Error("bad_volume", "the image has no voxels");
    return Run(address_, keys_, name_, volume, job, progress, cancelled).result();
}

Editor Client::editor(const std::string& job, Cancelled cancelled) const {
    return Editor(address_, keys_, name_, job, std::move(cancelled));
}

}  // namespace dineuro
