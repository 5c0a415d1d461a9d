#include "pto/wsp/workload/workload.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "pto/wsp/workload/names.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

namespace {

/// Past every call node.
const Node &without_calls(const Node &node) {
    const auto *call = std::get_if<CallNode>(&node.kind);
    return call == nullptr ? node : without_calls(*call->body);
}

[[noreturn]] void throw_too_many_tasks(const Loc &at) {
    throw CompileError(at, "the number of tasks passes 2^63", {}, "use smaller axes");
}

/// Walks tasks in program order with the indices of the loops around them.
class Enumerator {
public:
    explicit Enumerator(const std::function<bool(const Task &)> &visit) : visit_(visit) {}

    /// False when `visit` asked to stop.
    bool walk(const Node &node) {
        return std::visit(Overloaded{
                              [&](const TaskNode &task) { return walk_task(task); },
                              [&](const LoopNode &loop) { return walk_loop(loop); },
                              [&](const GroupNode &group) {
                                  return std::ranges::all_of(
                                      group.children,
                                      [&](const NodePtr &child) { return walk(*child); });
                              },
                              [&](const CallNode &call) { return walk(*call.body); },
                          },
                          node.kind);
    }

private:
    bool walk_task(const TaskNode &task) {
        task_.node = &task;
        task_.params.clear();
        for (const ScalarExpr &axis : task.axes) {
            task_.params.push_back(axis.evaluate(values_));
        }
        const bool more = visit_(task_);
        task_.id++;
        return more;
    }

    bool walk_loop(const LoopNode &loop) {
        if (is_empty(*loop.body)) {
            return true;
        }
        const std::string &id = loop.variable.id;
        task_.indices.emplace_back(&loop.variable, 0);
        bool more = true;
        for (int64_t i = 0; more && i < loop.variable.axis.size; ++i) {
            task_.indices.back().second = i;
            values_[id] = i;
            more = walk(*loop.body);
        }
        task_.indices.pop_back();
        return more;
    }

    bool is_empty(const Node &node) {
        const auto known = empty_.find(&node);
        if (known != empty_.end()) {
            return known->second;
        }
        const bool empty = std::visit(
            Overloaded{
                [](const TaskNode &) { return false; },
                [&](const LoopNode &loop) {
                    return loop.variable.axis.size <= 0 || is_empty(*loop.body);
                },
                [&](const GroupNode &group) {
                    return std::ranges::all_of(
                        group.children, [&](const NodePtr &child) { return is_empty(*child); });
                },
                [&](const CallNode &call) { return is_empty(*call.body); },
            },
            node.kind);
        empty_.emplace(&node, empty);
        return empty;
    }

    const std::function<bool(const Task &)> &visit_;
    Task task_;
    std::map<std::string, int64_t> values_;
    std::unordered_map<const Node *, bool> empty_;
};

/// Names of the kernels below a node, each once, in program order.
std::vector<std::string> kernel_names(const Node &node) {
    std::vector<std::string> result;
    for_each_task(node, [&](const TaskNode &task, const LoopPath &, const Node &) {
        if (std::ranges::find(result, task.kernel->name) == result.end()) {
            result.push_back(task.kernel->name);
        }
    });
    return result;
}

}  // namespace

std::string Axis::str() const {
    return "Dense[" + std::to_string(size) + "]";
}

int64_t Task::get(const std::string &axis, const Loc &at) const {
    LoopPath path;
    for (const auto &[variable, index] : indices) {
        path.push_back(variable);
    }
    const LoopVar *found = find_variable(axis, path);
    if (found == nullptr) {
        throw_unknown_axis(axis, known_names(path), at);
    }
    return indices[static_cast<size_t>(std::ranges::find(path, found) - path.begin())].second;
}

int64_t task_count(const Node &node) {
    return std::visit(Overloaded{
                          [](const TaskNode &) -> int64_t { return 1; },
                          [&](const LoopNode &loop) {
                              int64_t count = 0;
                              if (loop.variable.axis.size > 0 &&
                                  __builtin_mul_overflow(loop.variable.axis.size,
                                                         task_count(*loop.body), &count)) {
                                  throw_too_many_tasks(node.at);
                              }
                              return count;
                          },
                          [&](const GroupNode &group) {
                              int64_t count = 0;
                              for (const NodePtr &child : group.children) {
                                  if (__builtin_add_overflow(count, task_count(*child), &count)) {
                                      throw_too_many_tasks(node.at);
                                  }
                              }
                              return count;
                          },
                          [](const CallNode &call) { return task_count(*call.body); },
                      },
                      node.kind);
}

std::string Workload::type_str() const {
    std::vector<std::string> axes;
    bool sequential = false;
    const Node *node = &without_calls(*root);
    while (const auto *loop = std::get_if<LoopNode>(&node->kind)) {
        axes.push_back(loop->variable.axis.str());
        sequential |= loop->sequential;
        node = &without_calls(*loop->body);
    }
    std::string work = join(kernel_names(*node));
    std::string order = sequential ? "Sequential" : "Independent";
    if (const auto *group = std::get_if<GroupNode>(&node->kind)) {
        work = std::string(group->sequential ? "sequential(" : "combine(") + work + ")";
        order = sequential || group->sequential ? "Sequential" : "Combined";
    }
    const std::string grid = axes.empty() ? "" : join(axes, " × ") + ", ";
    return "Workload[" + grid + work + ", " + order + "]";
}

std::string Workload::kind() const {
    return std::visit(
        Overloaded{
            [](const TaskNode &) { return std::string("task"); },
            [](const LoopNode &loop) { return std::string(loop.sequential ? "seq" : "parallel"); },
            [](const GroupNode &group) {
                return std::string(group.sequential ? "sequential" : "combine");
            },
            [](const CallNode &) -> std::string {
                throw InternalError("workload", "a call node is left");
            },
        },
        without_calls(*root).kind);
}

int64_t Workload::task_count() const {
    return workload::task_count(*root);
}

void Workload::enumerate(const std::function<bool(const Task &)> &visit) const {
    Enumerator(visit).walk(*root);
}

std::vector<TensorPtr> Workload::tensors() const {
    std::vector<TensorPtr> result;
    std::unordered_set<const Tensor *> seen;
    for_each_task(*root, [&](const TaskNode &task, const LoopPath &, const Node &) {
        for (const TaskArgument &argument : task.arguments) {
            const auto *region = std::get_if<Region>(&argument.value);
            if (region != nullptr && seen.insert(region->tensor.get()).second) {
                result.push_back(region->tensor);
            }
        }
    });
    return result;
}

std::vector<KernelPtr> Workload::kernels() const {
    std::vector<KernelPtr> result;
    std::unordered_set<const Kernel *> seen;
    for_each_task(*root, [&](const TaskNode &task, const LoopPath &, const Node &) {
        if (seen.insert(task.kernel.get()).second) {
            result.push_back(task.kernel);
        }
    });
    return result;
}

}  // namespace pto::wsp::workload
