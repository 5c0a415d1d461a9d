#pragma once

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// Looks for checks of tasks (see RunTimeCheck) that are sure to fail with the data that the
/// workload has, as where an axis has become longer than a tensor: those of linear indices of loops
/// whose sizes are known, under no branch. ExecutionError at the line of the first one, naming the
/// tensor, the axis, its size and what is allowed. What depends on branches, slots and elements of
/// tables is left to the run.
void check_sizes(const Workload &workload);

}  // namespace pto::wsp::workload
