#include "pto/wsp/workload/workload.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "pto/wsp/workload/kinds.h"
#include "pto/wsp/workload/names.h"
#include "workload/net_walk.h"
#include "workload/node_visit.h"
#include "workload/structure.h"

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
    Enumerator(const RunData &data, const std::function<bool(const Task &)> &visit)
        : data_(data), visit_(visit) {}

    /// False when `visit` asked to stop.
    bool walk(const Node &node) {
        return std::visit(
            Overloaded{
                [&](const TaskNode &task) { return walk_task(task); },
                [&](const LoopNode &loop) { return walk_loop(loop); },
                [&](const GroupNode &group) {
                    return std::ranges::all_of(group.children,
                                               [&](const NodePtr &child) { return walk(*child); });
                },
                [&](const CallNode &call) { return walk(*call.body); },
                [&](const BranchNode &branch) { return walk_branch(branch); },
                [](const SlotNode &) { return true; },
                [](const EventNode &) { return true; },
                [&](const NetNode &net) { return walk_net(net); },
                // A part, outside of a net: what it would do with any token.
                [&](const auto &) -> bool {
                    throw CompileError(node.at, "tasks that wait for tokens cannot be counted here",
                                       {},
                                       "count those of the whole: connect(processes, channels)");
                },
            },
            node.kind);
    }

private:
    int64_t value_of(const ScalarExpr &expr) const { return expr.evaluate(values_, &data_); }

    bool walk_task(const TaskNode &task) {
        task_.node = &task;
        task_.params.clear();
        for (const ScalarExpr &axis : task.axes) {
            task_.params.push_back(value_of(axis));
        }
        const bool more = visit_(task_);
        task_.id++;
        return more;
    }

    bool walk_net(const NetNode &net) {
        const auto outer = task_.indices;
        const bool more = NetWalk(net, data_, values_, task_.indices)
                              .run([&](const ProcessWalk &process, const TaskNode &task,
                                       const Node &) -> std::optional<int64_t> {
                                  task_.indices = process.indices();
                                  values_.swap(process.values());
                                  const bool next = walk_task(task);
                                  values_.swap(process.values());
                                  return next ? std::optional<int64_t>(0) : std::nullopt;
                              })
                              .has_value();
        task_.indices = outer;
        return more;
    }

    bool walk_branch(const BranchNode &branch) {
        const Node *body =
            taken_body(branch, [this](const ScalarExpr &expr) { return value_of(expr); });
        return body == nullptr || walk(*body);
    }

    bool walk_loop(const LoopNode &loop) {
        if (makes_nothing(*loop.body)) {
            return true;
        }
        const LoopVar &variable = loop.variable;
        const int64_t size = value_of(variable.axis.size);
        task_.indices.emplace_back(&variable, 0);
        bool more = true;
        for (int64_t i = 0; more && i < size; ++i) {
            const int64_t value = variable.value ? value_of(*variable.value) : i;
            task_.indices.back().second = value;
            values_[variable.id] = value;
            more = walk(*loop.body);
        }
        task_.indices.pop_back();
        return more;
    }

    bool makes_nothing(const Node &node) {
        const auto [known, added] = empty_.try_emplace(&node, false);
        if (added) {
            known->second = is_empty(node);
        }
        return known->second;
    }

    const RunData &data_;
    const std::function<bool(const Task &)> &visit_;
    Task task_;
    std::map<std::string, int64_t> values_;
    std::unordered_map<const Node *, bool> empty_;
};

/// `node` without the calls around it, and without variables that only stand for an expression.
const Node &statement(const Node &node) {
    const Node &inner = without_calls(node);
    const auto *loop = std::get_if<LoopNode>(&inner.kind);
    return loop != nullptr && loop->variable.value ? statement(*loop->body) : inner;
}

/// The last word of the type of a workload that is this loop; empty for a parallel one.
std::string loop_kind(const Node &loop) {
    const std::string kind = kind_of(loop);
    return kind == "pipe"  ? "Pipeline"
           : kind == "sel" ? "Selected"
           : kind == "seq" ? "Sequential"
                           : "";
}

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

std::optional<int64_t> constant_task_count(const Node &node) {
    if (std::holds_alternative<TaskNode>(node.kind)) {
        return 1;
    }
    if (std::holds_alternative<BranchNode>(node.kind) && !is_empty(node)) {
        return std::nullopt;
    }
    const auto *send = std::get_if<SendNode>(&node.kind);
    if (std::holds_alternative<ConsumeNode>(node.kind) || (send != nullptr && send->result >= 0)) {
        return std::nullopt;
    }
    std::optional<int64_t> count = 0;
    for_each_child(node, [&](const NodePtr &child) {
        const std::optional<int64_t> inside = count ? constant_task_count(*child) : std::nullopt;
        if (!inside) {
            count.reset();
        } else if (__builtin_add_overflow(*count, *inside, &*count)) {
            throw_too_many_tasks(node.at);
        }
    });
    if (const auto *loop = std::get_if<LoopNode>(&node.kind); loop != nullptr && count != 0) {
        const std::optional<int64_t> size = loop->variable.axis.constant();
        if (size == 0) {
            return 0;
        }
        if (!size || !count) {
            return std::nullopt;
        }
        if (__builtin_mul_overflow(*size, *count, &*count)) {
            throw_too_many_tasks(node.at);
        }
    }
    return count;
}

std::string Workload::type_str() const {
    std::vector<std::string> axes;
    std::string loops;
    const Node *node = &statement(*root);
    while (const auto *loop = std::get_if<LoopNode>(&node->kind)) {
        axes.push_back(loop->variable.axis.type_str());
        const std::string kind = loop_kind(*node);
        loops = kind.empty() ? loops : kind;
        node = &statement(*loop->body);
    }
    std::string work = join(kernel_names(*node));
    std::string order = loops.empty() ? "Independent" : loops;
    if (const auto *group = std::get_if<GroupNode>(&node->kind)) {
        work = std::string(group->sequential ? "sequential(" : "combine(") + work + ")";
        const char *kind = group->sequential ? "Sequential" : "Combined";
        order = loops.empty() || group->sequential ? kind : loops;
    } else if (std::holds_alternative<BranchNode>(node->kind)) {
        work = "when(" + work + ")";
        order = "Conditional";
    } else if (const auto *net = std::get_if<NetNode>(&node->kind)) {
        std::vector<std::string> names;
        std::ranges::transform(net->processes, std::back_inserter(names), &NetNode::Process::name);
        work = "net(" + join(names) + ")";
        order = "Processes";
    } else if (uses_channel(*node)) {
        order = "Process";
    }
    const std::string grid = axes.empty() ? "" : join(axes, " × ") + ", ";
    return "Workload[" + grid + work + ", " + order + "]";
}

std::string Workload::kind() const {
    return kind_of(statement(*root));
}

int64_t Workload::task_count() const {
    if (const std::optional<int64_t> count = constant_task_count(*root)) {
        return *count;
    }
    int64_t count = 0;
    enumerate([&](const Task &) {
        count++;
        return true;
    });
    return count;
}

void Workload::enumerate(const std::function<bool(const Task &)> &visit) const {
    Enumerator(data, visit).walk(*root);
}

namespace {

void for_each_expression_below(const Node &root, const std::function<void(ScalarExpr &)> &visit) {
    for_each_node(root, [&](const Node &node, const LoopPath &) {
        // Of the node's own expressions only: its children are shared.
        Node copy = node;
        for_each_expression(copy, visit);
    });
}

std::set<std::string> names_below(const Node &root, ScalarExpr::Op op) {
    std::set<std::string> result;
    for_each_expression_below(root, [&](const ScalarExpr &expr) { result.merge(expr.names(op)); });
    return result;
}

}  // namespace

std::set<std::string> Workload::symbols() const {
    return names_below(*root, ScalarExpr::Op::Symbol);
}

std::set<std::string> Workload::tables() const {
    return names_below(*root, ScalarExpr::Op::Load);
}

bool Workload::uses_slots() const {
    bool found = false;
    for_each_node(*root, [&](const Node &node, const LoopPath &) {
        found |= std::holds_alternative<SlotNode>(node.kind);
    });
    for_each_expression_below(*root, [&](const ScalarExpr &expr) { found |= expr.has_slots(); });
    return found;
}

bool Workload::has_channels() const {
    return workload::has_channels(*root);
}

std::vector<ChannelPtr> Workload::channels() const {
    std::vector<ChannelPtr> result;
    const auto add = [&](const ChannelPtr &channel) {
        if (std::ranges::find(result, channel) == result.end()) {
            result.push_back(channel);
        }
    };
    for_each_node(*root, [&](const Node &node, const LoopPath &) {
        std::visit(
            Overloaded{
                [](const auto &) {},
                [&](const SendNode &send) { add(send.channel); },
                [&](const ConsumeNode &consume) { std::ranges::for_each(consume.channels, add); },
                [&](const CloseNode &close) { add(close.channel); },
                [&](const NetNode &net) {
                    for (const NetNode::Process &process : net.processes) {
                        std::ranges::for_each(process.consumes, add);
                        std::ranges::for_each(process.produces, add);
                    }
                },
            },
            node.kind);
    });
    return result;
}

std::vector<EventPtr> Workload::events() const {
    std::vector<EventPtr> result;
    for_each_node(*root, [&](const Node &node, const LoopPath &) {
        const auto *used = std::get_if<EventNode>(&node.kind);
        if (used != nullptr && std::ranges::find(result, used->event) == result.end()) {
            result.push_back(used->event);
        }
    });
    return result;
}

std::vector<TensorPtr> Workload::tensors() const {
    std::vector<TensorPtr> result;
    std::unordered_set<const Tensor *> seen;
    const auto add = [&](const auto &value) {
        const auto *region = std::get_if<Region>(&value);
        if (region != nullptr && seen.insert(region->tensor.get()).second) {
            result.push_back(region->tensor);
        }
    };
    for_each_node(*root, [&](const Node &node, const LoopPath &) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            for (const TaskArgument &argument : task->arguments) {
                add(argument.value);
            }
        } else if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
            add(slot->value);
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
