// A server of a few lines that does what a test tells it: answers, lies, falls silent.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <zmq.hpp>

#include "client/errors.h"
#include "client/protocol.h"

class FakeServer {
public:
    using Say = std::function<void(const dineuro::Message&)>;
    using Hear = std::function<void(const dineuro::Message&, const Say&)>;

    explicit FakeServer(Hear hear) : door_(context_, zmq::socket_type::router), hear_(hear) {
        door_.set(zmq::sockopt::linger, 0);
        door_.bind("tcp://127.0.0.1:*");
        address = door_.get(zmq::sockopt::last_endpoint);
        thread_ = std::thread([this] { loop(); });
    }

    ~FakeServer() {
        over_ = true;
        thread_.join();
    }

    std::string address;
    std::atomic<int> hellos{0};

    static dineuro::Message welcome() {
        return {"WELCOME",
                {{"protocol", 1},
                 {"server", "0.1.0"},
                 {"max_bytes", 1000000},
                 {"chunk_bytes", 1000},
                 {"credit", 2},
                 {"heartbeat_s", 0.1},
                 {"idle_s", 1},
                 {"models", {"dineuro-s1"}},
                 {"devices", {"cpu"}},
                 {"waiting", 3}}};
    }

private:
    void loop() {
        while (!over_) {
            zmq::pollitem_t item{door_.handle(), 0, ZMQ_POLLIN, 0};
            if (zmq::poll(&item, 1, std::chrono::milliseconds(10)) == 0) continue;
            std::vector<std::string> frames;
            zmq::message_t frame;
            do {
                (void)door_.recv(frame, zmq::recv_flags::none);
                frames.push_back(frame.to_string());
            } while (frame.more());
            const std::string who = frames[0];
            const std::vector<std::string_view> views(frames.begin() + 1, frames.end());
            const dineuro::Message message = dineuro::decode(views);
            hellos += message.type == "HELLO";
            hear_(message, [&](const dineuro::Message& answer) { send(who, answer); });
        }
    }

    void send(const std::string& who, const dineuro::Message& message) {
        const dineuro::Frames frames = dineuro::encode(message);
        std::vector<std::string> all{who, frames.magic, frames.type, frames.header};
        if (dineuro::hasPayload(message.type)) all.emplace_back(message.payload);
        for (std::size_t i = 0; i < all.size(); ++i)
            (void)door_.send(zmq::buffer(all[i]),
                             i + 1 < all.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }

    zmq::context_t context_{1};
    zmq::socket_t door_;
    Hear hear_;
    std::atomic<bool> over_{false};
    std::thread thread_;
};
