#pragma once

#include "pto/wsp/kernel/program.h"
#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/schedule/tasks.h"

namespace pto::wsp {

/// Gives a graph what its schedule says about ready tasks and the window. `tasks` is the number of
/// tasks where it is known.
void apply_rules(const schedule::TaskSchedule &schedule, std::optional<int64_t> tasks,
                 runtime::DynamicGraph &graph);

/// Gives a place of tasks its pool, its weight and the slots of its rank and pool, which follow the
/// `argument_slots` of its arguments. ScheduleError at `at` when a task alone is more than a window
/// of bytes holds.
void apply_rules(const schedule::TaskSchedule &schedule, const workload::TrackedSite &site,
                 const kernel::TileProgram &program, int argument_slots, const Loc &at,
                 runtime::TaskSite &place);

}  // namespace pto::wsp
