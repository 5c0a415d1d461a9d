#pragma once

#include <vector>

#include "pto/wsp/workload/dependence.h"

namespace pto::wsp::workload {

/// ScheduleError at `rules.at` unless all dependences of data follow from the given edges, the
/// sequences and the lanes: the text names the two tasks of one that does not. Of more tasks than
/// `max_graph_tasks`, or of tasks that a run decides, that is not known, which is an error too.
void check_edges_cover(const Workload &workload, const std::vector<LaneRule> &lanes,
                       const OrderRules &rules);

}  // namespace pto::wsp::workload
