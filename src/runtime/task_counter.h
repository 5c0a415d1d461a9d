#pragma once

#include <atomic>
#include <cstdint>

namespace pto::wsp::runtime {

/// What pto_wsp_count_task has counted on the calling thread so far.
int64_t counted_tasks();

/// While it lives, pto_wsp_count_task ends the code that calls it on this thread, as `halide_error`
/// does, once `is_cancelled` is set.
class CancelPoint {
public:
    explicit CancelPoint(const std::atomic<bool> &is_cancelled);
    ~CancelPoint();
    CancelPoint(const CancelPoint &) = delete;
    CancelPoint &operator=(const CancelPoint &) = delete;

    /// Whether that has happened since the last call.
    bool take_ended();
};

}  // namespace pto::wsp::runtime
