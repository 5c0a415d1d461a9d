#include "pto/wsp/workload/kinds.h"

#include <algorithm>
#include <array>

#include "pto/wsp/support/error.h"

namespace pto::wsp::workload {

namespace {

/// A kind, and which nodes are of it, unless they are of one before.
struct KindRow {
    const char *name;
    bool (*is)(const Node &node);
};

template <class Kind> bool is(const Node &node) {
    return std::holds_alternative<Kind>(node.kind);
}

/// Whether it is a loop for which `holds`.
bool is_loop(const Node &node, bool (*holds)(const LoopNode &loop)) {
    const auto *loop = std::get_if<LoopNode>(&node.kind);
    return loop != nullptr && holds(*loop);
}

bool selects(const LoopNode &loop) {
    const auto *inner = std::get_if<LoopNode>(&loop.body->kind);
    return loop.variable.hidden && inner != nullptr && inner->variable.value &&
           inner->variable.value->op() == ScalarExpr::Op::Load;
}

bool is_value(const Node &node) {
    return is_loop(node, [](const LoopNode &loop) { return loop.variable.value.has_value(); });
}

bool is_pipe(const Node &node) {
    return is_loop(node, [](const LoopNode &loop) { return loop.depth > 0; });
}

bool is_sequential_loop(const Node &node) {
    return is_loop(node, [](const LoopNode &loop) { return loop.sequential; });
}

bool is_sequential_group(const Node &node) {
    const auto *group = std::get_if<GroupNode>(&node.kind);
    return group != nullptr && group->sequential;
}

bool is_record(const Node &node) {
    const auto *event = std::get_if<EventNode>(&node.kind);
    return event != nullptr && event->records;
}

constexpr std::array<KindRow, 17> table = {{
    {"task", is<TaskNode>},
    {"value", is_value},
    {"pipe", is_pipe},
    {"sel", [](const Node &node) { return is_loop(node, selects); }},
    {"seq", is_sequential_loop},
    {"parallel", is<LoopNode>},
    {"sequential", is_sequential_group},
    {"combine", is<GroupNode>},
    {"call", is<CallNode>},
    {"when", is<BranchNode>},
    {"slot", is<SlotNode>},
    {"net", is<NetNode>},
    {"send", is<SendNode>},
    {"consume", is<ConsumeNode>},
    {"close", is<CloseNode>},
    {"record", is_record},
    {"synchronize", is<EventNode>},
}};

}  // namespace

const char *kind_of(const Node &node) {
    const auto found =
        std::ranges::find_if(table, [&](const KindRow &row) { return row.is(node); });
    if (found == table.end()) {
        throw InternalError("workload", "a node is of no kind");
    }
    return found->name;
}

std::span<const char *const> node_kinds() {
    static const auto names = [] {
        std::array<const char *, table.size()> all{};
        std::ranges::transform(table, all.begin(), &KindRow::name);
        return all;
    }();
    return names;
}

}  // namespace pto::wsp::workload
