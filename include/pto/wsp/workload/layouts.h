#pragma once

#include <vector>

#include "pto/wsp/core/layout.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// A tile argument and how it is distributed.
struct DistributedArgument {
    int param = 0;  ///< of the kernel
    Region region;
    TensorLayout layout;  ///< of all dimensions of the tensor, or of those that the region keeps
};

/// Joins the distributions of the dimensions that meet in a call of `kernel`: rows and columns that
/// an operation of the kernel pairs, and dimensions that the same loop variables index.
/// LayoutIncompatibleError at `at` naming both arguments when one is S(i) and the other S(j),
/// i != j. Of a kernel that is declared only, or written in C++, just the indexed ones are known.
void check_layouts(const Kernel &kernel, const std::vector<DistributedArgument> &arguments,
                   const Loc &at = Loc::here());

}  // namespace pto::wsp::workload
