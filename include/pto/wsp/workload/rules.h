#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pto/wsp/support/reason.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// The tables of rules over workloads:
///
/// - `flatten`: a `combine` in a `combine`, a `sequential` in a `sequential`, calls that are such,
///   and groups of one are gone.
/// - `dead`: statements that make no task, and tasks whose results are overwritten before anything
///   reads them, are gone.
/// - `hoist`: the first task of a loop, when each iteration does the same with it, runs once before
///   the loop.
/// - `interchange`: a sequential loop around a parallel one whose iterations share nothing becomes
///   a parallel loop of sequential ones: chains that need no tracking.
/// - `fuse`: two tasks, one after the other, of which the second alone reads a tile that the first
///   writes, become one task; the tile is written as before and not read again.
/// - `merge`: two small tasks, one after the other, that share nothing that is written become one,
///   and so do neighbouring iterations of a parallel loop of one such task, unless the workload
///   needs no tracking, so that they run in chunks already.
///
/// The workload computes the same, to the last bit. Tasks are fewer, and kernels others, after
/// `hoist`, `dead`, `fuse` and `merge`; program order is another after `interchange`.
std::vector<std::string> workload_tables();

/// Applies the rules of the table `name` until none fires. Adds to `reasons` what fired and what
/// nearly did, and why it did not. ScheduleError at `at` for an unknown name, with those there are.
Workload rewrite_workload(const Workload &workload, std::string_view name,
                          Reasons *reasons = nullptr, const Loc &at = Loc::here());

}  // namespace pto::wsp::workload
