#include "pto/wsp/workload/names.h"

#include <algorithm>
#include <iterator>

#include "pto/wsp/core/scalar_text.h"
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

namespace {

[[noreturn]] void throw_no_param(const ScalarExpr &param, const TaskNode &task,
                                 const std::string &text, const Loc &at) {
    std::vector<std::string> known;
    for (size_t i = 0; i < task.axes.size(); ++i) {
        known.push_back(std::to_string(i) + " (" + shown(task.axes[i]) + ")");
    }
    for (size_t i = 0; i < task.arguments.size(); ++i) {
        const kernel::Param &known_param = task.kernel->params[i];
        if (std::holds_alternative<ScalarExpr>(task.arguments[i].value) &&
            is_integer(known_param.type.dtype)) {
            known.push_back(known_param.name);
        }
    }
    throw ScheduleError(at, param.str() + ": " + text, {},
                        known.empty() ? "a task of " + task.kernel->name +
                                            " has neither subscripts nor integer arguments"
                                      : "params of " + task.kernel->name + ": " + join(known));
}

ScalarExpr value_of_param(const ScalarExpr &param, const TaskNode &task, const Loc &at) {
    const std::string of = " of kernel " + quoted(task.kernel->name);
    if (param.name().empty()) {
        if (param.value() >= static_cast<int64_t>(task.axes.size())) {
            throw_no_param(
                param, task,
                "a task" + of + " has " + std::to_string(task.axes.size()) + " subscripts", at);
        }
        return task.axes[static_cast<size_t>(param.value())];
    }
    const std::vector<kernel::Param> &params = task.kernel->params;
    const auto found = std::ranges::find(params, param.name(), &kernel::Param::name);
    if (found == params.end()) {
        throw_no_param(param, task, "no parameter" + of + " is called " + param.name(), at);
    }
    const TaskArgument &argument = task.arguments[static_cast<size_t>(found - params.begin())];
    const auto *value = std::get_if<ScalarExpr>(&argument.value);
    if (value != nullptr && is_integer(found->type.dtype)) {
        return *value;
    }
    const std::string is = std::holds_alternative<Region>(argument.value) ? "a tile"
                           : is_integer(found->type.dtype)
                               ? "given a number past signed 64 bits"
                               : std::string("of type ") + info(found->type.dtype).user_name;
    throw_no_param(param, task, "parameter " + param.name() + of + " is " + is + ", no integer",
                   at);
}

}  // namespace

ScalarExpr resolve_key(const ScalarExpr &key, const TaskNode &task, const LoopPath &path,
                       const Loc &at) {
    return key.with_leaves([&](const ScalarExpr &leaf) {
        if (leaf.op() == ScalarExpr::Op::Param) {
            return value_of_param(leaf, task, at);
        }
        if (leaf.op() != ScalarExpr::Op::Var) {
            return leaf;
        }
        const LoopVar *variable = find_variable(leaf.name(), path);
        if (variable == nullptr) {
            throw_unknown_axis(leaf.name(), known_names(path), at);
        }
        return ScalarExpr::variable(variable->id);
    });
}

std::string scope_hint(const std::string &name, const LoopPath &path, const std::string &what) {
    // Only params print with a bracket.
    if (name.ends_with(")")) {
        return "a param is what a task is called with: it is for keys of a schedule, which are "
               "asked of tasks (dispatch, stream_by, priority, pools, deps)";
    }
    std::vector<std::string> known;
    std::ranges::transform(path, std::back_inserter(known), &LoopVar::id);
    return known.empty() ? "no loop is around " + what : "loops around it: " + join(known);
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
