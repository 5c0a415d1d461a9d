#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>

namespace pto::wsp::runtime {

/// Longer than that is for ever too; it keeps deadlines inside the clock's range.
inline constexpr std::chrono::hours longest_wait{24 * 365};

/// Waits until `done()` or the timeout has passed; false on timeout. None means for ever.
template <typename Done>
bool wait_until(std::condition_variable &changed, std::unique_lock<std::mutex> &lock,
                std::optional<std::chrono::nanoseconds> timeout, Done &&done) {
    if (!timeout || *timeout > longest_wait) {
        changed.wait(lock, done);
        return true;
    }
    return changed.wait_for(lock, *timeout, done);
}

}  // namespace pto::wsp::runtime
