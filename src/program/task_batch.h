#pragma once

#include <cstdint>
#include <functional>

#include "pto/wsp/core/abi.h"
#include "pto/wsp/support/loc.h"

namespace pto::wsp {

/// Calls of one kernel that are independent of each other.
struct TaskBatch {
    /// Most slots that a kernel of a batch takes.
    static constexpr int most_slots = 64;

    const char *name = "";  ///< of the kernel, for errors
    abi::KernelFn function = nullptr;
    int64_t tasks = 0;
    /// Estimated time of all of them on one core.
    double work_ns = 0;
    /// Writes the arguments of a task and says whether it is to be run. Called on any thread; must
    /// not throw.
    std::function<bool(int64_t task, int64_t *slots)> bind;
};

/// Runs them all: on the calling thread when that is done sooner than others are woken, otherwise
/// on the process's workers. KernelError at `at` when one fails. `while_waiting`, when there is
/// one, is called now and then; what it throws cancels what has not started and is passed on.
void run_tasks(const TaskBatch &batch, const std::function<void()> &while_waiting, const Loc &at);

}  // namespace pto::wsp
