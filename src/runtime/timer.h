#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>
#include <vector>

#include "runtime/job.h"

namespace pto::wsp::runtime {

/// Hands out jobs at given times, from a thread of its own that starts with the first of them.
///
/// Protocol: the times are a heap under one mutex; the thread sleeps until the earliest and is
/// notified when an earlier one comes. Jobs are handed out without the mutex.
class Timer {
public:
    using Clock = std::chrono::steady_clock;

    /// `deliver(job, worker)` hands out a job, for any worker where that is -1.
    explicit Timer(std::function<void(Job &, int)> deliver) : deliver_(std::move(deliver)) {}
    /// Ends the thread; jobs whose time has not come are dropped.
    ~Timer();
    Timer(const Timer &) = delete;
    Timer &operator=(const Timer &) = delete;

    /// Hands out `job` at `time`, or at once when no thread can be started. From any thread.
    void add(Job &job, int worker, Clock::time_point time);
    /// Calls `call` at `time`, on the timer's thread. False when no thread can be started.
    bool add(std::function<void()> call, Clock::time_point time);

private:
    struct Entry {
        Clock::time_point time;
        Job *job;
        int worker;
        std::function<void()> call;  ///< where there is no job
        bool operator>(const Entry &other) const { return time > other.time; }
    };

    bool start();
    void run();

    std::function<void(Job &, int)> deliver_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> entries_;
    bool stop_ = false;
    std::thread thread_;
};

}  // namespace pto::wsp::runtime
