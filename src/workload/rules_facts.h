#pragma once

#include <string>
#include <vector>

#include "workload/rewrite_graph.h"

/// What the rules over workloads ask.
namespace pto::wsp::workload {

/// The same elements, none left out.
bool same_whole_region(const Region &a, const Region &b);

/// Whether the kernel of `task` is a tile program that prints nothing: it does nothing but to write
/// its tiles, the same whenever it reads the same.
bool only_writes_tiles(const TaskNode &task);
/// The same of the captured task.
TreeRule::Predicate only_writes_tiles(std::string capture);

/// Whether `later` writes, whole and without reading it, all that `task` writes.
bool overwrites_all(const TaskNode &later, const TaskNode &task);

/// The sites below `node`.
std::vector<const Site *> sites_below(const WorkloadGraph &graph, rewrite::NodeId node);

/// Whether `reader` may read an element that `writer` writes, both in the same iteration of the
/// loops around both and in any of the others.
bool reads_from(const Site &reader, const Site &writer);

}  // namespace pto::wsp::workload
