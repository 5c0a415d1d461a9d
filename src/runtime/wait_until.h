#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

namespace pto::wsp::runtime {

/// Waits until `done()` or the timeout has passed; false on timeout. None means for ever.
template <typename Done>
bool wait_until(std::condition_variable &changed, std::unique_lock<std::mutex> &lock,
                std::optional<std::chrono::nanoseconds> timeout, Done &&done) {
    // Longer than that is for ever too; it keeps the deadline inside the clock's range.
    constexpr std::chrono::hours longest{24 * 365};
    if (!timeout || *timeout > longest) {
        changed.wait(lock, done);
        return true;
    }
    return changed.wait_for(lock, *timeout, done);
}

}  // namespace pto::wsp::runtime
