#pragma once

#include "pto/wsp/schedule/tasks.h"

namespace pto::wsp::schedule {

/// ScheduleError at `at` when two parts of the schedule contradict each other, or one of them the
/// workload. The hint says what to do instead.
void check_contradictions(const TaskSchedule &schedule, const workload::Workload &workload,
                          const Loc &at);

}  // namespace pto::wsp::schedule
