#include "workload/rewrite_graph.h"

#include <algorithm>

#include "pto/wsp/rewrite/engine.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/rules.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

using rewrite::no_node;
using rewrite::NodeId;

WorkloadGraph::WorkloadGraph(NodePtr root) : root_(std::move(root)) {
    add(root_);
    for (NodeId node = 0; node < size(); ++node) {
        for (NodeId operand : item(node).operands) {
            items_[static_cast<size_t>(operand)].user = node;
        }
    }
}

namespace {

TreeOp op_of(const Node &node) {
    return std::visit(
        Overloaded{
            [](const TaskNode &) { return TreeOp::Task; },
            [](const SlotNode &) { return TreeOp::Slot; },
            [](const LoopNode &loop) {
                return loop.depth > 0    ? TreeOp::Pipe
                       : loop.sequential ? TreeOp::Sequential
                                         : TreeOp::Parallel;
            },
            [](const GroupNode &g) { return g.sequential ? TreeOp::InOrder : TreeOp::Combine; },
            [](const CallNode &) { return TreeOp::Call; },
            [](const BranchNode &) { return TreeOp::Branch; },
            [](const NetNode &) { return TreeOp::Net; },
            [](const SendNode &) { return TreeOp::Channel; },
            [](const ConsumeNode &) { return TreeOp::Channel; },
            [](const CloseNode &) { return TreeOp::Channel; },
            [](const EventNode &) { return TreeOp::Event; },
        },
        node.kind);
}

}  // namespace

NodeId WorkloadGraph::add(const NodePtr &node) {
    Item item;
    item.op = op_of(*node);
    item.made_by = node;
    if (const auto *group = std::get_if<GroupNode>(&node->kind)) {
        item.operands = {
            add_list(node, group->sequential ? TreeOp::Then : TreeOp::And, group->children)};
    } else {
        for_each_child(*node, [&](const NodePtr &child) { item.operands.push_back(add(child)); });
    }
    items_.push_back(std::move(item));
    return size() - 1;
}

NodeId WorkloadGraph::add_list(const NodePtr &group, TreeOp op,
                               const std::vector<NodePtr> &children) {
    items_.push_back({TreeOp::End, {}, group, no_node});
    NodeId rest = size() - 1;
    for (size_t i = children.size(); i-- > 0;) {
        NodeId statement = add(children[i]);
        items_.push_back({op, {statement, rest}, group, no_node});
        rest = size() - 1;
    }
    return rest;
}

const AccessTable &WorkloadGraph::accesses() const {
    if (accesses_ == nullptr) {
        accesses_ = std::make_unique<AccessTable>(*root_);
    }
    return *accesses_;
}

const Site *WorkloadGraph::site(NodeId task) const {
    return accesses().find(*tree(task));
}

std::vector<NodeId> WorkloadGraph::loops_around(NodeId node) const {
    std::vector<NodeId> loops;
    for (NodeId user = item(node).user; user != no_node; user = item(user).user) {
        if (std::holds_alternative<LoopNode>(item(user).made_by->kind)) {
            loops.insert(loops.begin(), user);
        }
    }
    return loops;
}

std::string WorkloadGraph::text(NodeId node) const {
    switch (item(node).op) {
    case TreeOp::Task: {
        std::vector<std::string> axes;
        for (const ScalarExpr &axis : task(node).axes) {
            axes.push_back(axis.str());
        }
        return task(node).kernel->name + (axes.empty() ? "" : "[" + join(axes) + "]");
    }
    case TreeOp::Parallel:
    case TreeOp::Sequential:
    case TreeOp::Pipe: {
        const LoopVar &variable = loop(node).variable;
        const char *how[] = {"P(", "P.seq(", "P.pipe("};
        return how[static_cast<int>(item(node).op) - static_cast<int>(TreeOp::Parallel)] +
               variable.id + ": " + variable.axis.str() + ")";
    }
    case TreeOp::And:
    case TreeOp::Then:
        return text(item(node).operands[0]);
    case TreeOp::End:
        return "nothing";
    case TreeOp::Call:
        return "a call of " + std::get<CallNode>(item(node).made_by->kind).name;
    case TreeOp::Slot:
        return "slot " + std::to_string(std::get<SlotNode>(item(node).made_by->kind).slot);
    case TreeOp::Combine:
        return "combine";
    case TreeOp::InOrder:
        return "sequential";
    case TreeOp::Branch:
        return "when";
    case TreeOp::Net:
        return "a net of processes";
    case TreeOp::Channel:
        return "a send or consume";
    case TreeOp::Event:
        return "a record or synchronize";
    }
    throw InternalError("workload rules", "an operation has no text");
}

std::shared_ptr<const rewrite::Graph> WorkloadGraph::rebuild(const Replace &replace) const {
    return std::make_shared<WorkloadGraph>(Rebuild(*this).run(replace));
}

NodePtr WorkloadGraph::Rebuild::run(const Replace &replace) {
    for (NodeId node = 0; node < old_.size(); ++node) {
        NodeId other = replace(node, *this);
        map_.push_back(other == no_node ? copy(node) : other);
    }
    return made(map_.back()).tree;
}

NodeId WorkloadGraph::Rebuild::copy(NodeId old) {
    std::span<const NodeId> operands = old_.operands(old);
    switch (old_.tree_op(old)) {
    case TreeOp::Combine:
    case TreeOp::InOrder:
        return group(old, (*this)(operands[0]));
    case TreeOp::And:
    case TreeOp::Then:
        return list((*this)(operands[0]), (*this)(operands[1]));
    case TreeOp::End:
        return end();
    default: {
        size_t next = 0;
        Node node = with_children(
            *old_.tree(old), [&](const NodePtr &) { return made((*this)(operands[next++])).tree; });
        return add({std::make_shared<const Node>(std::move(node))});
    }
    }
}

NodeId WorkloadGraph::Rebuild::add(Made made) {
    made_.push_back(std::move(made));
    return static_cast<NodeId>(made_.size()) - 1;
}

NodeId WorkloadGraph::Rebuild::task(TaskNode task, const Loc &at) {
    return add({std::make_shared<const Node>(Node{std::move(task), at})});
}

NodeId WorkloadGraph::Rebuild::loop(NodeId like, NodeId body) {
    LoopNode loop = old_.loop(like);
    loop.body = made(body).tree;
    return add({std::make_shared<const Node>(Node{std::move(loop), old_.where(like)})});
}

NodeId WorkloadGraph::Rebuild::loop(NodeId like, NodeId body, int64_t size) {
    LoopNode loop = old_.loop(like);
    loop.variable.axis.size = size;
    loop.body = made(body).tree;
    return add({std::make_shared<const Node>(Node{std::move(loop), old_.where(like)})});
}

NodeId WorkloadGraph::Rebuild::group(NodeId like, NodeId list) {
    GroupNode group = std::get<GroupNode>(old_.tree(like)->kind);
    group.children.clear();
    for (; made(list).rest != no_node; list = made(list).rest) {
        group.children.push_back(made(made(list).statement).tree);
    }
    return add({std::make_shared<const Node>(Node{std::move(group), old_.where(like)})});
}

NodeId WorkloadGraph::Rebuild::list(NodeId statement, NodeId rest) {
    return add({nullptr, statement, rest});
}

NodeId WorkloadGraph::Rebuild::end() {
    return add({});
}

NodeId WorkloadGraph::Rebuild::append(NodeId list, NodeId rest) {
    std::vector<NodeId> statements;
    for (; made(list).rest != no_node; list = made(list).rest) {
        statements.push_back(made(list).statement);
    }
    for (size_t i = statements.size(); i-- > 0;) {
        rest = this->list(statements[i], rest);
    }
    return rest;
}

namespace {

struct NamedTable {
    const char *name;
    const rewrite::Table &(*rules)();
};

constexpr NamedTable tables[] = {
    {"flatten", flatten_rules},         {"dead", dead_rules}, {"hoist", hoist_rules},
    {"interchange", interchange_rules}, {"fuse", fuse_rules}, {"merge", merge_rules},
};

}  // namespace

std::vector<std::string> workload_tables() {
    std::vector<std::string> names;
    for (const NamedTable &table : tables) {
        names.emplace_back(table.name);
    }
    return names;
}

Workload rewrite_workload(const Workload &workload, std::string_view name, Reasons *reasons,
                          const Loc &at) {
    const auto *found = std::ranges::find(tables, name, &NamedTable::name);
    if (found == std::end(tables)) {
        throw ScheduleError(at, "unknown table of rules " + quoted(std::string(name)), {},
                            "tables: " + join(workload_tables()));
    }
    // The other tables take program order for the order in which data is seen.
    if (workload.has_channels() && name != std::string_view("flatten")) {
        throw ScheduleError(at,
                            "the rules " + quoted(std::string(name)) +
                                " do not apply to a workload with processes: order between them "
                                "comes from tokens",
                            {}, "apply them to the parts that the processes are made of");
    }
    if (!workload.events().empty() && name != std::string_view("flatten")) {
        throw ScheduleError(at,
                            "the rules " + quoted(std::string(name)) +
                                " do not apply to a workload with events: what is before and what "
                                "after them would change",
                            {}, "apply them to the parts between the events");
    }
    Workload result = workload;
    auto graph = rewrite::apply_rules(found->rules(),
                                      std::make_shared<WorkloadGraph>(workload.root), reasons);
    result.root = static_cast<const WorkloadGraph &>(*graph).root();
    return result;
}

}  // namespace pto::wsp::workload
