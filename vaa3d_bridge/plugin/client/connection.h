// One connection to a server: HELLO, heartbeats, CURVE, and a wait that the user can cancel.
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

// The attempts to connect before a client gives up.
inline constexpr int kTries = 5;

// Called at least ten times a second during a wait.
using Cancelled = std::function<bool()>;

// The server was silent for four heartbeats, or does not know this connection any more. The remedy
// is a new connection and ATTACH.
class Lost : public std::exception {};

// A point in time, or none.
class Deadline {
public:
    // Seconds from now; 0 or less is no deadline.
    explicit Deadline(double seconds = 0);
    // The milliseconds left, at most `most`. Throws Error("time_limit") if none are left.
    int left(int most) const;

private:
    std::optional<std::chrono::steady_clock::time_point> at_;
};

class Connection {
public:
    // Connects later, in `open`. HELLO sends `client` to the server.
    Connection(std::string address, std::optional<Keys> keys, std::string client,
               Cancelled cancelled);
    // On return, ZeroMQ's thread no longer uses any borrowed memory.
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // Connect or reconnect, and wait for WELCOME, which `welcome` returns from then on.
    // Throws Error("server_gone") without an answer within ten seconds.
    void open(const Deadline& deadline);
    // The header of WELCOME.
    const Json& welcome() const { return welcome_; }

    // Send a message without blocking. The payload is borrowed: it must not change until the
    // connection is closed or the server has answered. Throws Lost.
    void say(const Message& message);
    // Receive the next message other than PONG, and send PING meanwhile. Its payload is valid until
    // the next call. Throws Lost, Error("cancelled"), Error("time_limit").
    Message hear(const Deadline& deadline);

    // Ignore a cancel from now on, so that CANCEL itself can be sent.
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

// Throws the Error of an ERROR or a REJECT.
[[noreturn]] void raise(const Message& message, const std::string& address);

}  // namespace dineuro
