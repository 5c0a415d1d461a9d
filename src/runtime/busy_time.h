#pragma once

#include <atomic>
#include <cstdint>

#include "runtime/ticks.h"

namespace pto::wsp::runtime {

/// The time in which a worker was running. Written by it alone, read by any thread.
///
/// Protocol. While the worker runs, `change_` is the moment at which it began, less what it had run
/// before; while it does not, it is minus what it has run, minus one. So one word tells both, and a
/// reader needs no other.
class BusyTime {
public:
    void add(bool running) {
        const int64_t now = ::pto::wsp::runtime::ticks();
        const int64_t change = change_.load(std::memory_order_relaxed);
        change_.store(running ? now + change + 1 : change - now - 1, std::memory_order_relaxed);
    }

    int64_t ticks() const {
        const int64_t change = change_.load(std::memory_order_relaxed);
        return change < 0 ? -change - 1 : ::pto::wsp::runtime::ticks() - change;
    }

private:
    std::atomic<int64_t> change_ = -1;
};

}  // namespace pto::wsp::runtime
