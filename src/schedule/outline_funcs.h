#pragma once

#include <vector>

#include "pto/wsp/kernel/program.h"
#include "pto/wsp/schedule/outline.h"

namespace pto::wsp::schedule {

/// Appends to `outline` the Funcs of `region`, in the order in which they are made: those of
/// `nodes`, which are in program order, then of its stores and outputs. Needs the outline's names.
void list_funcs(const kernel::TileProgram &program, const Region &region,
                const std::vector<int> &nodes, Outline &outline);

}  // namespace pto::wsp::schedule
