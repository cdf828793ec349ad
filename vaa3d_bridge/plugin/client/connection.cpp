#include "connection.h"

#include <algorithm>
#include <cmath>

#include "errors.h"

namespace dineuro {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kWelcome = 10;  // the longest wait for the first answer, in seconds
constexpr int kLook = 100;       // milliseconds between two checks for a cancel

double since(Clock::time_point moment) {
    return std::chrono::duration<double>(Clock::now() - moment).count();
}

void keep(void*, void*) {}  // the owner frees a borrowed payload

}  // namespace

Deadline::Deadline(double seconds) {
    if (seconds > 0)
        at_ = Clock::now() + std::chrono::milliseconds(static_cast<long>(seconds * 1000));
}

int Deadline::left(int most) const {
    if (!at_) return most;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*at_ - Clock::now()).count();
    if (left <= 0) throw Error("time_limit", "the server did not finish within the time limit");
    return static_cast<int>(std::min<long>(left, most));
}

Connection::Connection(std::string address, std::optional<Keys> keys, std::string client,
                       Cancelled cancelled)
    : address_(std::move(address)),
      keys_(std::move(keys)),
      client_(std::move(client)),
      cancelled_(std::move(cancelled)) {}

Connection::~Connection() { close(); }

void Connection::close() {
    socket_.reset();
    // A context ends only when its thread has returned every message. No thread reads borrowed
    // memory after that.
    context_.reset();
    frames_.clear();
}

void Connection::open(const Deadline& deadline) {
    close();
    context_.emplace(1);
    socket_.emplace(*context_, zmq::socket_type::dealer);
    socket_->set(zmq::sockopt::linger, 0);
    try {
        if (keys_) {
            socket_->set(zmq::sockopt::curve_serverkey, keys_->server);
            socket_->set(zmq::sockopt::curve_publickey, keys_->publicKey);
            socket_->set(zmq::sockopt::curve_secretkey, keys_->secretKey);
        }
    } catch (const zmq::error_t&) {
        throw Error("bad_key", "the key files contain no CURVE keys");
    }
    try {
        socket_->connect(address_);
    } catch (const zmq::error_t& error) {
        throw Error("server_gone",
                    address_ + ": is not an address (tcp://HOST:PORT): " + error.what());
    }
    heartbeat_ = kWelcome;
    const Deadline patience(deadline.left(static_cast<int>(kWelcome * 1000)) / 1000.0);
    try {
        say({"HELLO", {{"protocol", kProtocol}, {"client", client_}}});
        for (;;) {
            Message message = hear(patience);
            if (message.type == "ERROR") raise(message, address_);
            if (message.type != "WELCOME") continue;
            welcome_ = std::move(message.header);
            heartbeat_ = std::max(0.05, welcome_["heartbeat_s"].get<double>());
            return;
        }
    } catch (const Lost&) {
    } catch (const Error& error) {
        if (error.code() != "time_limit") throw;
    }
    close();
    deadline.left(1);
    throw Error("server_gone", address_ + ": does not answer, or " +
                                   (keys_ ? "does not know the key" : "requires a key"));
}

void Connection::say(const Message& message) {
    Frames frames = encode(message);
    said_ = Clock::now();
    const auto more = zmq::send_flags::sndmore | zmq::send_flags::dontwait;
    const bool pays = hasPayload(message.type);
    // After a refused handshake the socket has no outgoing pipe, and a blocking send never returns.
    if (!socket_ || !socket_->send(zmq::buffer(frames.magic), more)) throw Lost();
    socket_->send(zmq::buffer(frames.type), more);
    socket_->send(zmq::buffer(frames.header), pays ? more : zmq::send_flags::dontwait);
    if (!pays) return;
    zmq::message_t borrowed(const_cast<char*>(message.payload.data()), message.payload.size(), keep,
                            nullptr);
    socket_->send(borrowed, zmq::send_flags::dontwait);
}

Message Connection::hear(const Deadline& deadline) {
    const auto began = Clock::now();
    auto heard = began;
    for (;;) {
        if (cancelled_ && cancelled_()) throw Error("cancelled", "the job was cancelled");
        if (waitForFrames(deadline.left(kLook))) {
            Message message = receive();
            if (message.type != "PONG") return message;
            heard = Clock::now();
        }
        const bool shut = !(socket_->get(zmq::sockopt::events) & ZMQ_POLLOUT);
        if (shut || since(heard) > kLostAfter * heartbeat_) throw Lost();
        if (since(said_) > heartbeat_) say({"PING"});
    }
}

bool Connection::waitForFrames(int milliseconds) {
    zmq::pollitem_t item{socket_->handle(), 0, ZMQ_POLLIN, 0};
    try {
        return zmq::poll(&item, 1, std::chrono::milliseconds(milliseconds)) > 0;
    } catch (const zmq::error_t& error) {
        if (error.num() == EINTR) return false;
        throw;
    }
}

Message Connection::receive() {
    std::size_t count = 0;
    bool more = true;
    std::vector<std::string_view> views;
    while (more) {
        // The frames of the previous message are reused, which saves allocations.
        if (count == frames_.size()) frames_.emplace_back();
        if (!socket_->recv(frames_[count], zmq::recv_flags::none)) throw Lost();
        more = frames_[count].more();
        ++count;
        if (count > 8) throw Lost();  // such a peer does not use DNP1
    }
    for (std::size_t i = 0; i < count; ++i) views.push_back(frames_[i].to_string_view());
    try {
        return decode(views);
    } catch (const Error& error) {
        throw Error(error.code(), address_ + ": sent a malformed message: " + error.what());
    }
}

void raise(const Message& message, const std::string& address) {
    const std::string code = message.header.value("code", "internal");
    std::string detail = address + ": " + message.header.value("detail", "no reason");
    // The server's log has the same id.
    if (message.header.contains("id") && code == "internal")
        detail += " [" + message.header["id"].get<std::string>() + "]";
    throw Error(code, detail, static_cast<int>(message.header.value("retry_after", 0)));
}

}  // namespace dineuro
