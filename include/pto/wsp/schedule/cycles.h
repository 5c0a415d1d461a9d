#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "pto/wsp/kernel/cycles.h"
#include "pto/wsp/schedule/tasks.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::schedule {

/// The symbol of a workload that says how many cycles a token takes to its receiver; 0 without it.
inline constexpr const char *channel_latency_symbol = "__pto_wsp_channel_latency_cycles";

/// The tile program that runs for a kernel, as it was traced; never null.
using ProgramOf = std::function<const kernel::TileProgram &(const workload::KernelPtr &)>;

/// What the body of a task has added with `pto::cpu_sim::add_cycles`, in the last run; or why that
/// is not known. `number` is the task's in program order; none: of a process.
using AddedBy =
    std::function<kernel::Cycles(const workload::TaskNode &task, std::optional<int64_t> number)>;

/// The task part of the virtual-cycle model: a deterministic pass over the tasks in program order,
/// whatever order they really run in. A model, not a measurement: no data dependences, no
/// overheads.
///
/// State: `avail[w] = 0` a worker, one `issue_time = 0`, end times in flight, `rr = 0`.
///
/// ```
/// advance(t):  issue_time = max(issue_time, t); pop end times in flight <= issue_time
/// issue(dur, w, ready):
///     advance(ready)
///     while window > 0 and in flight >= window: advance(earliest end in flight)
///     start = max(avail[w], issue_time); end = start + dur; avail[w] = end; push end; return end
/// ```
///
/// Workers: the lanes of the dispatch policy if it has any, else the streams, else 1. Without a
/// policy all tasks are worker 0's; round robin and work stealing take `rr++ % workers`, affinity
/// and dispatch_by `key % workers`, hash the FNV-1a of its keys `% workers`.
/// In parallel loops and groups every child has the same `ready` and the whole is done with the
/// last; in sequential ones a child is ready when the one before is done. The answer is done(root).
///
/// Each process of a net has a clock of its own that its tasks advance, and is no worker's. A token
/// carries the clock of its sender; receive: `clock = max(clock, token + latency)`; send i into a
/// channel of depth C > 0: `clock = max(clock, time at which token i - C was taken)`; C = 0: the
/// sender's clock becomes the receiver's. Of several consumers of a channel the one with the
/// smallest clock gets the token. The net is done with the last of its processes.
///
/// Slots have the values that SlotValues gives with `views`; without them the cycles are unknown.
/// Without `added_by` bodies add nothing. `window` is the number of tasks that may be in flight, 0:
/// any number. Holds no more than the tasks in a window. CompileError past 2^63 cycles.
kernel::Cycles total_cycles(const workload::Workload &workload, const TaskSchedule &schedule,
                            const ProgramOf &program_of, int64_t window = 0,
                            const std::vector<TensorView> &views = {},
                            const AddedBy &added_by = {});

/// The kernel part of the model for every task, in program order: appended to `durations`.
kernel::Cycles task_cycles(const workload::Workload &workload, const ProgramOf &program_of,
                           std::vector<int64_t> &durations,
                           const std::vector<TensorView> &views = {}, const AddedBy &added_by = {});

}  // namespace pto::wsp::schedule
