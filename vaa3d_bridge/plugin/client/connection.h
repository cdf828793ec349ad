// One connection to a server: HELLO, heartbeats, CURVE, and a wait that can be cancelled.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <zmq.hpp>

#include "keys.h"
#include "protocol.h"

namespace dineuro {

// Looked at at least ten times a second while waiting.
using Cancelled = std::function<bool()>;

// Nothing was heard for four heartbeats, or the server knows this connection no more: connect anew,
// and ATTACH.
class Lost : public std::exception {};

// A moment that may never come.
class Deadline {
public:
    // Seconds from now; 0 or less is never.
    explicit Deadline(double seconds = 0);
    // Milliseconds to wait, at most so many. Throws Error("time_limit") where none are left.
    int left(int most) const;

private:
    std::optional<std::chrono::steady_clock::time_point> at_;
};

class Connection {
public:
    // Nothing is done yet. `client` is told to the server.
    Connection(std::string address, std::optional<Keys> keys, std::string client,
               Cancelled cancelled);
    // All that was borrowed is free when this returns: ZeroMQ's own thread has let go of it.
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Connect (anew) and be welcomed; what WELCOME said is in `welcome` from then on.
    // Throws Error("server_gone") where nobody answers within ten seconds.
    void open(const Deadline& deadline);
    // From what WELCOME said.
    const Json& welcome() const { return welcome_; }

    // Never waits. The payload is borrowed and must stay as it is until the connection is closed or
    // the server has answered. Throws Lost.
    void say(const Message& message);
    // The next message but PONG; says PING meanwhile. Its payload is valid until the next call.
    // Throws Lost, Error("cancelled"), Error("time_limit").
    Message hear(const Deadline& deadline);

    // A cancel is to be said, not to be thrown again.
    void ignoreCancel() { cancelled_ = {}; }

    void close();

private:
    bool waitForFrames(int milliseconds);
    Message receive();

    std::string address_;
    std::optional<Keys> keys_;
    std::string client_;
    Cancelled cancelled_;
    std::optional<zmq::context_t> context_;
    std::optional<zmq::socket_t> socket_;
    std::vector<zmq::message_t> frames_;
    Json welcome_ = Json::object();
    double heartbeat_ = 0;
    std::chrono::steady_clock::time_point said_;
};

// What an ERROR or a REJECT says.
[[noreturn]] void raise(const Message& message, const std::string& address);

}  // namespace dineuro
