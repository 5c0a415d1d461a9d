#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"
#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::schedule {

/// Which logical serial lane ("AICPU") a task is dispatched to. Tasks of a lane complete in program
/// order, one at a time.
struct Dispatch {
    enum class Policy { RoundRobin, Affinity };
    Policy policy = Policy::RoundRobin;
    int64_t lanes = 0;   ///< round robin: how many; affinity: 0
    ScalarExpr key = 0;  ///< affinity: over loop variable names; lane = worker = key mod workers
    bool operator==(const Dispatch &) const = default;
};

/// The task-level schedule: data, immutable; each combinator returns a new one.
struct TaskSchedule {
    std::optional<Dispatch> dispatch;
    int64_t streams = 0;                   ///< 0: none
    std::optional<ScalarExpr> stream_key;  ///< stream = key mod streams; FIFO within a stream
    /// Most tasks that are submitted and unfinished at a time; what comes next waits ("stall"). 0:
    /// the runtime's own window.
    int64_t window = 0;

    /// `[["dispatch", {"policy": "round_robin", "lanes": 4}], ["streams", {"count": 2}],
    /// ["stream_by", {"key": "(h % 2)"}], ["task_graph", {"window": 8192}]]`; affinity is
    /// `{"policy": "affinity", "key": "b"}`.
    Json json() const;
    /// ScheduleError naming `origin` for anything that `json()` does not make: an unknown step or
    /// key (with a suggestion), a step given twice, a count below 1, a key that is no expression.
    static TaskSchedule parse(const Json &json, const std::string &origin);
    /// `dispatch(round_robin(4)), streams(2), stream_by((h % 2))`; empty for no step.
    std::string str() const;
    bool operator==(const TaskSchedule &) const = default;
};

/// Throws ScheduleError at `at` unless the schedule can be applied to the workload: counts are at
/// least 1, `stream_by` comes with `streams`, and every name in a key is one of a loop around each
/// task (the error lists the known ones).
void check_task_schedule(const TaskSchedule &schedule, const workload::Workload &workload,
                         const Loc &at = Loc::here());

/// The lanes that the schedule asks for, as the dependence analysis takes them. Streams without a
/// key take the tasks in turn.
std::vector<workload::LaneRule> lane_rules(const TaskSchedule &schedule, const Loc &at = {});

}  // namespace pto::wsp::schedule
