#pragma once

#include <vector>

#include "pto/wsp/workload/dependence.h"

namespace pto::wsp::workload {

/// ScheduleError at `rules.at` for a given edge that orders no two tasks. Where tasks are ordered
/// by edges alone and these are not trusted, also unless all dependences of data follow from the
/// edges, the sequences and the lanes: the text names the two tasks of one that does not. Of more
/// tasks than `max_graph_tasks`, or of tasks that a run decides, that is not known, which is an
/// error then.
void check_edges(const Workload &workload, const std::vector<LaneRule> &lanes,
                 const OrderRules &rules);

}  // namespace pto::wsp::workload
