// Work on a thread of its own, with cancel and wait.
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
    // The work calls its argument to learn whether it must end.
    explicit Task(std::function<Value(dineuro::Cancelled)> work)
        : thread_([this, work = std::move(work)] {
              try {
                  value_.emplace(work([this] { return cancelled_.load(); }));
              } catch (...) {
                  error_ = std::current_exception();
              }
              over_ = true;
          }) {}

    // Cancels, and waits until the work no longer uses the caller's objects.
    ~Task() {
        cancel();
        thread_.join();
    }

    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    void cancel() { cancelled_ = true; }
    bool over() const { return over_; }

    // The value or the exception of the work. Call it once, after `over`.
    Value take() {
        if (error_) std::rethrow_exception(error_);
        return std::move(*value_);
    }

private:
    std::atomic<bool> cancelled_{false};
    std::atomic<bool> over_{false};
    std::optional<Value> value_;
    std::exception_ptr error_;
    std::thread thread_;  // the last member, because the thread uses the others
};
