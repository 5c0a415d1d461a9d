#pragma once

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// True when the node makes no task.
bool is_empty(const Node &node);

/// Number of task places below `node`, those in empty loops left out.
size_t site_count(const Node &node);

/// True when the structure alone puts all tasks below `node` in one order: a task, or sequential
/// loops and groups of such.
bool is_chain(const Node &node);

/// True when there is a parallel loop of two iterations or more below `node`.
bool has_parallel_loop(const Node &node);

}  // namespace pto::wsp::workload
