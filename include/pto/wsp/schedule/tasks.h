#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/schedule/policy.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"
#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::schedule {

/// The task-level schedule: data, immutable; each combinator returns a new one.
class TaskSchedule {
public:
    TaskSchedule() = default;
    TaskSchedule(std::initializer_list<Policy> policies);

    /// The same with `policy` as its part; what it had there is replaced.
    TaskSchedule with(Policy policy) const;
    /// The same with all parts that `later` has.
    TaskSchedule merged(const TaskSchedule &later) const;

    bool empty() const { return parts_.empty(); }
    /// Null when it has no such part.
    const Policy *find(Part part) const;
    const std::map<Part, Policy> &parts() const { return parts_; }

    /// The number of streams, 0 for none.
    int64_t streams() const;
    /// Tasks of the window, where it counts tasks and what comes next waits; 0 for another or none.
    int64_t window() const;
    /// True for `trace=TracePolicy.cycles()`.
    bool traces_cycles() const;

    /// `[["dispatch", {"policy": "round_robin", "lanes": 4}], ["streams", {"count": 2}],
    /// ["stream_by", {"key": "(h % 2)"}], ["task_graph", {"window": {"policy": "stall", "size":
    /// 8192, "unit": "tasks"}}]]`.
    Json json() const;
    /// ScheduleError naming `origin` for anything that `json()` does not make: an unknown step,
    /// policy or argument (with a suggestion), a step given twice, a value that does not fit.
    static TaskSchedule parse(const Json &json, const std::string &origin);
    /// `dispatch(round_robin(4)), streams(2), stream_by("(h % 2)"), task_graph(ready=fifo())`;
    /// empty for no step.
    std::string str() const;
    bool operator==(const TaskSchedule &) const = default;

private:
    std::map<Part, Policy> parts_;
};

/// Throws ScheduleError at `at` unless every name in a key of the policy is one of a loop around
/// each task that the key is asked of (the error lists the known ones), and every kernel that it
/// names is called.
void check_policy(const Policy &policy, const workload::Workload &workload,
                  const Loc &at = Loc::here());

/// Throws ScheduleError at `at` unless the schedule can be applied to the workload: as
/// `check_policy` of each part, and no two of them contradict each other (the hint says what to do
/// instead).
void check_task_schedule(const TaskSchedule &schedule, const workload::Workload &workload,
                         const Loc &at = Loc::here());

/// Bytes of the tiles that a task is called with.
int64_t argument_bytes(const workload::TaskNode &task);

/// The lanes that the schedule asks for, as the dependence analysis takes them. Streams without a
/// key take the tasks in turn.
std::vector<workload::LaneRule> lane_rules(const TaskSchedule &schedule, const Loc &at = {});

/// Which dependences there are, what ranks ready tasks, and why tasks are taken one by one, where
/// they are. `workers` is the number of workers.
workload::OrderRules order_rules(const TaskSchedule &schedule, int workers, const Loc &at = {});

}  // namespace pto::wsp::schedule
