#include "workload/structure.h"

#include <algorithm>

#include "workload/node_visit.h"

namespace pto::wsp::workload {

namespace {

bool any_child(const Node &node, const std::function<bool(const Node &)> &test) {
    bool found = false;
    for_each_child(node, [&](const NodePtr &child) { found = found || test(*child); });
    return found;
}

bool all_children(const Node &node, const std::function<bool(const Node &)> &test) {
    return !any_child(node, [&](const Node &child) { return !test(child); });
}

bool never_runs(const Node &node) {
    const auto *loop = std::get_if<LoopNode>(&node.kind);
    return loop != nullptr && loop->variable.axis.constant() == 0;
}

}  // namespace

bool is_site(const Node &node) {
    return std::holds_alternative<TaskNode>(node.kind) ||
           std::holds_alternative<SlotNode>(node.kind);
}

bool uses_channel(const Node &node) {
    return std::holds_alternative<SendNode>(node.kind) ||
           std::holds_alternative<ConsumeNode>(node.kind) ||
           std::holds_alternative<CloseNode>(node.kind);
}

bool has_channels(const Node &node) {
    return uses_channel(node) || std::holds_alternative<NetNode>(node.kind) ||
           any_child(node, [](const Node &child) { return has_channels(child); });
}

bool has_net(const Node &node) {
    return std::holds_alternative<NetNode>(node.kind) ||
           any_child(node, [](const Node &child) { return has_net(child); });
}

bool is_empty(const Node &node) {
    return !is_site(node) && !uses_channel(node) && !std::holds_alternative<EventNode>(node.kind) &&
           (never_runs(node) ||
            all_children(node, [](const Node &child) { return is_empty(child); }));
}

size_t site_count(const Node &node) {
    if (is_site(node)) {
        return 1;
    }
    size_t count = 0;
    if (!never_runs(node)) {
        for_each_child(node, [&](const NodePtr &child) { count += site_count(*child); });
    }
    return count;
}

bool is_chain(const Node &node) {
    if (is_empty(node)) {
        return true;
    }
    if (const auto *loop = std::get_if<LoopNode>(&node.kind);
        loop != nullptr && !loop->sequential && loop->variable.axis.constant() != 1) {
        return false;
    }
    if (const auto *group = std::get_if<GroupNode>(&node.kind); group && !group->sequential) {
        const auto parts = std::ranges::count_if(
            group->children, [](const NodePtr &child) { return !is_empty(*child); });
        if (parts > 1) {
            return false;
        }
    }
    if (const auto *net = std::get_if<NetNode>(&node.kind); net && net->processes.size() > 1) {
        return false;
    }
    return all_children(node, [](const Node &child) { return is_chain(child); });
}

bool surely_makes_task(const Node &node) {
    if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
        return loop->variable.axis.constant().value_or(0) > 0 && surely_makes_task(*loop->body);
    }
    if (std::holds_alternative<ConsumeNode>(node.kind)) {
        return false;
    }
    if (const auto *send = std::get_if<SendNode>(&node.kind)) {
        return send->result < 0;
    }
    if (const auto *branch = std::get_if<BranchNode>(&node.kind)) {
        return branch->otherwise != nullptr &&
               all_children(node, [](const Node &child) { return surely_makes_task(child); });
    }
    return std::holds_alternative<TaskNode>(node.kind) ||
           any_child(node, [](const Node &child) { return surely_makes_task(child); });
}

bool has_parallel_loop(const Node &node) {
    if (never_runs(node)) {
        return false;
    }
    const auto *loop = std::get_if<LoopNode>(&node.kind);
    return (loop != nullptr && !loop->sequential && loop->variable.axis.constant() != 1) ||
           any_child(node, [](const Node &child) { return has_parallel_loop(child); });
}

}  // namespace pto::wsp::workload
