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
        if (variable->names.empty() && !variable->hidden) {
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

void for_each_node(const Node &root,
                   const std::function<void(const Node &, const LoopPath &)> &visit) {
    LoopPath path;
    // Null: the end of the variable that came last.
    std::vector<const Node *> pending{&root};
    std::vector<const Node *> children;
    while (!pending.empty()) {
        const Node *node = pending.back();
        pending.pop_back();
        if (node == nullptr) {
            path.pop_back();
            continue;
        }
        visit(*node, path);
        for (const LoopVar *variable : variables_in(*node)) {
            path.push_back(variable);
            pending.push_back(nullptr);
        }
        children.clear();
        for_each_child(*node, [&](const NodePtr &child) { children.push_back(child.get()); });
        pending.insert(pending.end(), children.rbegin(), children.rend());
    }
}

void for_each_task(
    const Node &root,
    const std::function<void(const TaskNode &, const LoopPath &, const Node &)> &visit) {
    for_each_node(root, [&](const Node &node, const LoopPath &path) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            visit(*task, path, node);
        }
    });
}

std::set<std::string> variables_of(const Node &node) {
    std::set<std::string> names;
    Node copy = node;
    for_each_expression(copy, [&](ScalarExpr &expr) { names.merge(expr.variables()); });
    auto add_region = [&](const Region &region) {
        for (const Affine &offset : region.offsets) {
            for (const auto &[name, coefficient] : offset.terms()) {
                names.insert(name);
            }
        }
    };
    if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
        for (const TaskArgument &argument : task->arguments) {
            if (const auto *region = std::get_if<Region>(&argument.value)) {
                add_region(*region);
            }
        }
    }
    if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
        if (const auto *region = std::get_if<Region>(&slot->value)) {
            add_region(*region);
        }
    }
    return names;
}

bool uses_slots(const Node &node) {
    bool found = false;
    Node copy = node;
    for_each_expression(copy, [&](ScalarExpr &expr) { found = found || expr.has_slots(); });
    return found;
}

void check_scopes(const Node &root, const Loc &at) {
    for_each_node(root, [&](const Node &node, const LoopPath &path) {
        for (const std::string &name : variables_of(node)) {
            if (std::ranges::find(path, name, &LoopVar::id) == path.end()) {
                const auto *task = std::get_if<TaskNode>(&node.kind);
                throw TypeCheckError(at, (task ? "task " + task->kernel->name : "a statement") +
                                             " uses " + quoted(name) +
                                             ", and no loop around it has that variable");
            }
        }
    });
}

}  // namespace pto::wsp::workload
