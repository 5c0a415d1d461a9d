#pragma once

#include <string>
#include <vector>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/names.h"

namespace pto::wsp::workload {

/// `kernel[axes](arguments)` inside the loops of `path`, as a task node with its arguments in
/// parameter order. Throws as `Builder::task` says.
TaskNode check_task(const KernelPtr &kernel, std::vector<ScalarExpr> axes,
                    const std::vector<Argument> &arguments, const LoopPath &path, const Loc &at);

}  // namespace pto::wsp::workload
