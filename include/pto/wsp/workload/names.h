#pragma once

#include <set>
#include <string>
#include <vector>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// Loop variables around a place in a workload, outermost first.
using LoopPath = std::vector<const LoopVar *>;

/// The loop variable that a user means by `name`: its id or any of its names; the innermost wins.
/// Null when there is none.
const LoopVar *find_variable(const std::string &name, const LoopPath &path);

/// All names that `find_variable` knows, outermost variable first, each once.
std::vector<std::string> known_names(const LoopPath &path);

/// A key of a schedule as `task`, with the loops of `path` around it, answers it: every name
/// replaced by the id of the loop variable it means, `param(n)` by the argument for the parameter
/// `n`, `param(0)` by the first subscript. ScheduleError at `at` for a name that is not known, a
/// subscript that the task does not have and an argument that is no integer, with those that are.
ScalarExpr resolve_key(const ScalarExpr &key, const TaskNode &task, const LoopPath &path,
                       const Loc &at);

/// Calls `visit(node, path)` for every node with the loops around it, in program order.
void for_each_node(const Node &root,
                   const std::function<void(const Node &node, const LoopPath &path)> &visit);

/// Ids of the loop variables that `node` itself, not what is in it, depends on.
std::set<std::string> variables_of(const Node &node);
/// Whether `node` itself depends on slots, which are set in program order.
bool uses_slots(const Node &node);

/// TypeCheckError at `at` when something below `root` uses a loop variable that no loop around it
/// has.
void check_scopes(const Node &root, const Loc &at);

/// Calls `visit(task, path, node)` for every task node with the loops around it, in program order.
void for_each_task(
    const Node &root,
    const std::function<void(const TaskNode &task, const LoopPath &path, const Node &node)> &visit);

}  // namespace pto::wsp::workload
