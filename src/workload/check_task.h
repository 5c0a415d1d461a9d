#pragma once

#include <string>
#include <vector>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/names.h"

namespace pto::wsp::workload {

/// `kernel[axes](arguments)` inside the loops of `path`, as a task node with its arguments in
/// parameter order. Throws as `Builder::task` says. What depends on the run, or on a predicate
/// around (`is_conditional`), becomes checks of the task.
TaskNode check_task(const KernelPtr &kernel, std::vector<ScalarExpr> axes,
                    const std::vector<Argument> &arguments, const LoopPath &path,
                    bool is_conditional, const Loc &at);

/// `slot_load_u64(slot, element)` inside the loops of `path`. Throws as `Builder::load_slot` says.
SlotNode check_slot_load(int slot, const Region &element, const LoopPath &path, bool is_conditional,
                         const Loc &at);

}  // namespace pto::wsp::workload
