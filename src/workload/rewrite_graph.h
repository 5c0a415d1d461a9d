#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/rewrite/rule.h"
#include "pto/wsp/workload/workload.h"
#include "workload/access.h"

namespace pto::wsp::workload {

/// Operations of a workload for the rewrite engine. The statements of a group are a list: `And` in
/// a `combine`, `Then` in a `sequential`, of a statement and the rest of the list, to `End`.
enum class TreeOp {
    Task,
    Slot,
    Parallel,    ///< loop: body
    Sequential,  ///< loop: body
    Pipe,        ///< loop: body
    Combine,     ///< group: list
    InOrder,     ///< group: list
    And,         ///< list: statement, rest
    Then,        ///< list: statement, rest
    End,         ///< list
    Call,        ///< body
    Branch,      ///< bodies of the cases and, last, of the rest
    Net,         ///< bodies of the processes
    Channel,     ///< something done to channels: body, where there is one
    Event,
};

/// A workload as the rewrite engine sees it. Nodes are numbered so that operands come before their
/// users; the last one is the root.
class WorkloadGraph final : public rewrite::Graph {
public:
    class Rebuild;
    using NodeId = rewrite::NodeId;

    explicit WorkloadGraph(NodePtr root);

    const NodePtr &root() const { return root_; }
    TreeOp tree_op(NodeId node) const { return item(node).op; }
    /// Of a Task.
    const TaskNode &task(NodeId node) const { return std::get<TaskNode>(item(node).made_by->kind); }
    /// Of a loop.
    const LoopNode &loop(NodeId node) const { return std::get<LoopNode>(item(node).made_by->kind); }
    /// The part of the workload that `node` is; of a list the group.
    const NodePtr &tree(NodeId node) const { return item(node).made_by; }
    /// All tasks with what they touch; made when first needed.
    const AccessTable &accesses() const;
    /// The site of a Task in `accesses`; null inside loops without iterations.
    const Site *site(NodeId task) const;
    /// The loops around `node`, outermost first.
    std::vector<NodeId> loops_around(NodeId node) const;

    NodeId size() const override { return static_cast<NodeId>(items_.size()); }
    rewrite::OpId op(NodeId node) const override { return static_cast<int>(item(node).op); }
    std::span<const NodeId> operands(NodeId node) const override { return item(node).operands; }
    int uses(NodeId) const override { return 1; }
    std::optional<double> constant(NodeId) const override { return std::nullopt; }
    Loc where(NodeId node) const override { return item(node).made_by->at; }
    /// `attn[b, h]`, `P(b: Dense[4])`, `combine`.
    std::string text(NodeId node) const override;
    std::shared_ptr<const rewrite::Graph> rebuild(const Replace &replace) const override;

private:
    struct Item {
        TreeOp op = TreeOp::End;
        std::vector<NodeId> operands;
        NodePtr made_by;  ///< of list items: the group
        NodeId user = rewrite::no_node;
    };

    const Item &item(NodeId node) const { return items_[static_cast<size_t>(node)]; }
    NodeId add(const NodePtr &node);
    NodeId add_list(const NodePtr &group, TreeOp op, const std::vector<NodePtr> &children);

    NodePtr root_;
    std::vector<Item> items_;
    mutable std::unique_ptr<AccessTable> accesses_;
};

/// Builds the next tree from the leaves up.
class WorkloadGraph::Rebuild final : public rewrite::Rebuild {
public:
    explicit Rebuild(const WorkloadGraph &old) : old_(old) {}

    const WorkloadGraph &old() const { return old_; }
    NodeId operator()(NodeId old) override { return map_[static_cast<size_t>(old)]; }

    NodeId task(TaskNode task, const Loc &at);
    /// The loop that `like` was, over another body.
    NodeId loop(NodeId like, NodeId body);
    /// The same with another number of iterations.
    NodeId loop(NodeId like, NodeId body, int64_t size);
    /// A group of the kind that `like` was.
    NodeId group(NodeId like, NodeId list);
    /// A statement before the rest of a list.
    NodeId list(NodeId statement, NodeId rest);
    NodeId end();
    /// The statements of `list`, then those of `rest`.
    NodeId append(NodeId list, NodeId rest);

    /// The tree, every node for which `replace` gives another replaced.
    NodePtr run(const Replace &replace);

private:
    /// A tree; or a list, of its first statement and the rest of it, both no_node at its end.
    struct Made {
        NodePtr tree;
        NodeId statement = rewrite::no_node;
        NodeId rest = rewrite::no_node;
    };

    NodeId add(Made made);
    NodeId copy(NodeId old);
    const Made &made(NodeId node) const { return made_[static_cast<size_t>(node)]; }

    const WorkloadGraph &old_;
    std::vector<NodeId> map_;
    std::vector<Made> made_;
};

using TreeRule = rewrite::RuleFor<WorkloadGraph>;
using TreeRebuild = WorkloadGraph::Rebuild;

/// The tables, in the order of `workload_tables`.
const rewrite::Table &flatten_rules();
const rewrite::Table &dead_rules();
const rewrite::Table &hoist_rules();
const rewrite::Table &interchange_rules();
const rewrite::Table &fuse_rules();
const rewrite::Table &merge_rules();

namespace pattern {

using rewrite::any;
using rewrite::either;
using rewrite::Match;
using rewrite::Pattern;

inline Pattern of(TreeOp op, std::vector<Pattern> operands) {
    return rewrite::op(static_cast<rewrite::OpId>(op), std::move(operands));
}
inline Pattern task(const std::string &name) {
    return of(TreeOp::Task, {}).as(name);
}
/// A statement of either kind of list, and the rest.
inline Pattern statement(const Pattern &first, const Pattern &rest) {
    return either({of(TreeOp::And, {first, rest}), of(TreeOp::Then, {first, rest})});
}

}  // namespace pattern

}  // namespace pto::wsp::workload
