#pragma once

#include <functional>
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

/// Whether accesses of tasks of `a` and `b` in that relation, of those pairs that count, may have
/// an element in common.
bool any_meeting(const Site &a, const Site &b, const Relation &relation,
                 const std::function<bool(const DataAccess &, const DataAccess &)> &counts);

/// Whether `reader` may read an element that `writer` writes, in tasks of that relation.
bool reads_from(const Site &reader, const Site &writer, const Relation &relation);
/// The same of tasks in the same iteration of the loops around both.
bool reads_from(const Site &reader, const Site &writer);

}  // namespace pto::wsp::workload
