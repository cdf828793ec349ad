// Work off the GUI's thread, that can be cancelled and waited for.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <optional>
#include <thread>

#include "client/connection.h"

template <class Value>
class Task {
public:
    // The work looks at the function it is given to know whether it is to end.
    explicit Task(std::function<Value(dineuro::Cancelled)> work)
        : thread_([this, work = std::move(work)] {
              try {
                  value_.emplace(work([this] { return cancelled_.load(); }));
              } catch (...) {
                  error_ = std::current_exception();
              }
              over_ = true;
          }) {}

    // Cancels, and waits until nothing of the caller's is used any more.
    ~Task() {
        cancel();
        thread_.join();
    }

    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    void cancel() { cancelled_ = true; }
    bool over() const { return over_; }

    // What came of it, or what was thrown. Only once it is over.
    Value take() {
        if (error_) std::rethrow_exception(error_);
        return std::move(*value_);
    }

private:
    std::atomic<bool> cancelled_{false};
    std::atomic<bool> over_{false};
    std::optional<Value> value_;
    std::exception_ptr error_;
    std::thread thread_;  // the last member: the others are there when it begins
};
