#pragma once

#include <vector>

#include "pto/wsp/workload/dependence.h"
#include "workload/access.h"

namespace pto::wsp::workload {

/// Everything tracked: grids of cells for the storages in which tasks may conflict, for sequential
/// scopes and for lanes; every task with its boxes of cells; joins.
///
/// A sequential scope (a `P.seq` loop, a `sequential` group) has one cell for each combination of
/// the indices of the parallel loops around it. Tasks of its items read the cell, and a join that
/// writes it is submitted between two items. Items that are chains need no join: each of their
/// tasks reads and writes the cell. A given edge has cells too: tasks before it write theirs, those
/// after it read it.
TrackedPlan plan_tracked(const NodePtr &root, const AccessTable &table,
                         const std::vector<LaneRule> &lanes, const OrderRules &rules);

}  // namespace pto::wsp::workload
