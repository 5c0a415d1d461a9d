#include "pto/wsp/workload/names.h"

#include <algorithm>

#include "pto/wsp/support/text.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

const LoopVar *find_variable(const std::string &name, const LoopPath &path) {
    for (size_t i = path.size(); i-- > 0;) {
        const LoopVar &variable = *path[i];
        if (variable.id == name ||
            std::ranges::find(variable.names, name) != variable.names.end()) {
            return &variable;
        }
    }
    return nullptr;
}

std::vector<std::string> known_names(const LoopPath &path) {
    std::vector<std::string> result;
    const auto add = [&](const std::string &name) {
        if (std::ranges::find(result, name) == result.end()) {
            result.push_back(name);
        }
    };
    for (const LoopVar *variable : path) {
        std::ranges::for_each(variable->names, add);
        if (variable->names.empty()) {
            add(variable->id);
        }
    }
    return result;
}

ScalarExpr resolve_key(const ScalarExpr &key, const LoopPath &path, const Loc &at) {
    std::map<std::string, ScalarExpr> ids;
    for (const std::string &name : key.variables()) {
        const LoopVar *variable = find_variable(name, path);
        if (variable == nullptr) {
            throw_unknown_axis(name, known_names(path), at);
        }
        ids.emplace(name, ScalarExpr::variable(variable->id));
    }
    return key.substitute(ids);
}

void throw_unknown_axis(const std::string &name, const std::vector<std::string> &known,
                        const Loc &at) {
    const std::string nearest = nearest_name(name, known);
    std::string hint = known.empty() ? "no loop is around this task" : "known: " + join(known);
    if (!nearest.empty()) {
        hint = "did you mean " + nearest + "? " + hint;
    }
    throw ScheduleError(at, "unknown axis name " + quoted(name), {}, hint);
}

namespace {

void visit_tasks(
    const Node &node, LoopPath &path,
    const std::function<void(const TaskNode &, const LoopPath &, const Node &)> &visit) {
    std::visit(Overloaded{
                   [&](const TaskNode &task) { visit(task, path, node); },
                   [&](const LoopNode &loop) {
                       path.push_back(&loop.variable);
                       visit_tasks(*loop.body, path, visit);
                       path.pop_back();
                   },
                   [&](const GroupNode &group) {
                       for (const NodePtr &child : group.children) {
                           visit_tasks(*child, path, visit);
                       }
                   },
                   [&](const CallNode &call) { visit_tasks(*call.body, path, visit); },
               },
               node.kind);
}

}  // namespace

void for_each_task(
    const Node &root,
    const std::function<void(const TaskNode &, const LoopPath &, const Node &)> &visit) {
    LoopPath path;
    visit_tasks(root, path, visit);
}

}  // namespace pto::wsp::workload
