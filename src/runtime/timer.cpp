#include "runtime/timer.h"

#include <pthread.h>

#include <system_error>

#include "runtime/blocked_signals.h"

namespace pto::wsp::runtime {

Timer::~Timer() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
        changed_.notify_one();
    }
    if (thread_.joinable()) {
        thread_.join();
    }
}

void Timer::add(Job &job, int worker, Clock::time_point time) {
    {
        std::lock_guard lock(mutex_);
        if (thread_.joinable() || start()) {
            entries_.push({time, &job, worker, {}});
            if (entries_.top().job == &job) {
                changed_.notify_one();
            }
            return;
        }
    }
    deliver_(job, worker);
}

bool Timer::add(std::function<void()> call, Clock::time_point time) {
    std::lock_guard lock(mutex_);
    if (!thread_.joinable() && !start()) {
        return false;
    }
    entries_.push({time, nullptr, -1, std::move(call)});
    changed_.notify_one();
    return true;
}

bool Timer::start() {
    try {
        const BlockedSignals blocked;
        thread_ = std::thread([this] {
            pthread_setname_np(pthread_self(), "pto_wsp/timer");
            run();
        });
        return true;
    } catch (const std::system_error &) {
        return false;
    }
}

void Timer::run() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
        if (entries_.empty()) {
            changed_.wait(lock);
            continue;
        }
        const Entry next = entries_.top();
        if (Clock::now() < next.time) {
            changed_.wait_until(lock, next.time);
            continue;
        }
        entries_.pop();
        lock.unlock();
        if (next.job != nullptr) {
            deliver_(*next.job, next.worker);
        } else {
            next.call();
        }
        lock.lock();
    }
}

}  // namespace pto::wsp::runtime
