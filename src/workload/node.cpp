#include <algorithm>
#include <array>

#include "pto/wsp/workload/workload.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

namespace {

/// The places of a node's children, in program order.
template <class NodeType, class Visit> void visit_places(NodeType &node, Visit visit) {
    std::visit(
        Overloaded{
            [](auto &) {},
            [&](std::conditional_t<std::is_const_v<NodeType>, const LoopNode, LoopNode> &loop) {
                visit(loop.body);
            },
            [&](std::conditional_t<std::is_const_v<NodeType>, const GroupNode, GroupNode> &group) {
                for (auto &child : group.children) {
                    visit(child);
                }
            },
            [&](std::conditional_t<std::is_const_v<NodeType>, const CallNode, CallNode> &call) {
                visit(call.body);
            },
            [&](std::conditional_t<std::is_const_v<NodeType>, const SendNode, SendNode> &send) {
                visit(send.body);
            },
            [&](std::conditional_t<std::is_const_v<NodeType>, const ConsumeNode, ConsumeNode>
                    &consume) { visit(consume.body); },
            [&](std::conditional_t<std::is_const_v<NodeType>, const NetNode, NetNode> &net) {
                for (auto &process : net.processes) {
                    visit(process.body);
                }
            },
            [&](std::conditional_t<std::is_const_v<NodeType>, const BranchNode, BranchNode>
                    &branch) {
                for (auto &each : branch.cases) {
                    visit(each.body);
                }
                if (branch.otherwise != nullptr) {
                    visit(branch.otherwise);
                }
            },
        },
        node.kind);
}

void visit_region(Region &region, const std::function<void(ScalarExpr &)> &visit) {
    for (auto *size : {&region.valid_rows, &region.valid_columns}) {
        if (*size) {
            visit(**size);
        }
    }
}

void visit_checks(std::vector<RunTimeCheck> &checks,
                  const std::function<void(ScalarExpr &)> &visit) {
    for (RunTimeCheck &check : checks) {
        visit(check.value);
    }
}

void visit_task(TaskNode &task, const std::function<void(ScalarExpr &)> &visit) {
    std::ranges::for_each(task.axes, visit);
    for (TaskArgument &argument : task.arguments) {
        if (auto *expr = std::get_if<ScalarExpr>(&argument.value)) {
            visit(*expr);
        } else if (auto *region = std::get_if<Region>(&argument.value)) {
            visit_region(*region, visit);
        }
    }
    visit_checks(task.checks, visit);
}

}  // namespace

LoopVar token_variable(std::string id, std::vector<std::string> names, bool counter, Loc at) {
    LoopVar variable;
    const ScalarExpr self = ScalarExpr::variable(id);
    variable.id = std::move(id);
    variable.names = std::move(names);
    variable.axis.kind = Axis::Kind::DenseDyn;
    variable.axis.size = counter ? self : ScalarExpr(1);
    if (!counter) {
        variable.value = self;
    }
    variable.hidden = variable.names.empty();
    variable.token = true;
    variable.at = std::move(at);
    return variable;
}

namespace {

/// Of either kind of node.
template <class Variable, class NodeType>
std::vector<Variable *> variables_of_node(NodeType &node) {
    std::vector<Variable *> result;
    if (auto *loop = std::get_if<LoopNode>(&node.kind)) {
        result.push_back(&loop->variable);
    } else if (auto *send = std::get_if<SendNode>(&node.kind)) {
        result.push_back(&send->number);
    } else if (auto *consume = std::get_if<ConsumeNode>(&node.kind)) {
        result = {&consume->number, &consume->which};
        for (auto &value : consume->values) {
            result.push_back(&value);
        }
    }
    return result;
}

}  // namespace

std::vector<const LoopVar *> variables_in(const Node &node) {
    return variables_of_node<const LoopVar>(node);
}

std::vector<LoopVar *> variables_in(Node &node) {
    return variables_of_node<LoopVar>(node);
}

bool is_sent_call(const SendNode &send) {
    const Node *node = send.body.get();
    while (const auto *loop = std::get_if<LoopNode>(&node->kind)) {
        if (!loop->variable.value) {
            return false;
        }
        node = loop->body.get();
    }
    return std::holds_alternative<TaskNode>(node->kind);
}

const TaskNode &sent_task(const SendNode &send) {
    const Node *node = send.body.get();
    while (const auto *loop = std::get_if<LoopNode>(&node->kind)) {
        node = loop->body.get();
    }
    return std::get<TaskNode>(node->kind);
}

std::vector<ScalarExpr> token_values(const SendNode &send) {
    const TaskNode &task = sent_task(send);
    return task.axes.empty() ? std::vector<ScalarExpr>{ScalarExpr::variable(send.number.id)}
                             : task.axes;
}

void for_each_child(const Node &node, const std::function<void(const NodePtr &)> &visit) {
    visit_places(node, visit);
}

int nesting(const Node &root) {
    int deepest = 0;
    std::vector<std::pair<const Node *, int>> pending{{&root, 1}};
    while (!pending.empty()) {
        const auto [node, level] = pending.back();
        pending.pop_back();
        deepest = std::max(deepest, level);
        for_each_child(*node, [&, inside = level + 1](const NodePtr &child) {
            pending.emplace_back(child.get(), inside);
        });
    }
    return deepest;
}

const Node *taken_body(const BranchNode &branch,
                       const std::function<int64_t(const ScalarExpr &)> &value) {
    for (const BranchNode::Case &each : branch.cases) {
        if (value(each.predicate) != 0) {
            return each.body.get();
        }
    }
    return branch.otherwise.get();
}

Node with_children(const Node &node, const std::function<NodePtr(const NodePtr &)> &change) {
    Node result = node;
    visit_places(result, [&](NodePtr &child) { child = change(child); });
    return result;
}

void for_each_expression(Node &node, const std::function<void(ScalarExpr &)> &visit) {
    std::visit(Overloaded{
                   [](auto &) {},
                   [&](TaskNode &task) { visit_task(task, visit); },
                   [&](LoopNode &loop) {
                       visit(loop.variable.axis.size);
                       if (loop.variable.value) {
                           visit(*loop.variable.value);
                       }
                   },
                   [&](BranchNode &branch) {
                       for (BranchNode::Case &each : branch.cases) {
                           visit(each.predicate);
                       }
                   },
                   [&](SlotNode &slot) {
                       if (auto *expr = std::get_if<ScalarExpr>(&slot.value)) {
                           visit(*expr);
                       }
                       visit_checks(slot.checks, visit);
                   },
               },
               node.kind);
}

namespace {

constexpr std::array<std::pair<Axis::Kind, const char *>, 4> kinds{
    {{Axis::Kind::Dense, "Dense"},
     {Axis::Kind::DenseDyn, "DenseDyn"},
     {Axis::Kind::Ragged, "Ragged"},
     {Axis::Kind::Sparse, "Sparse"}}};

}  // namespace

const char *name(Axis::Kind kind) {
    return std::ranges::find(kinds, kind, &std::pair<Axis::Kind, const char *>::first)->second;
}

std::optional<Axis::Kind> parse_axis_kind(std::string_view text) {
    for (const auto &[kind, name] : kinds) {
        if (text == name) {
            return kind;
        }
    }
    return std::nullopt;
}

std::optional<int64_t> Axis::constant() const {
    if (size.op() == ScalarExpr::Op::Const) {
        return std::max<int64_t>(size.value(), 0);
    }
    return std::nullopt;
}

std::string Axis::type_str() const {
    return kind == Kind::Dense ? str() : workload::name(kind);
}

std::string Axis::str() const {
    return std::string(workload::name(kind)) + "[" + size.str() + "]";
}

}  // namespace pto::wsp::workload
