#include "workload/renamer.h"

#include <utility>

#include "workload/node_visit.h"

namespace pto::wsp::workload {

Renamer::Renamer(std::function<std::string(const std::string &)> fresh, Names symbols, Names tables,
                 int &tasks)
    : fresh_(std::move(fresh)), symbols_(std::move(symbols)), tables_(std::move(tables)),
      tasks_(tasks) {}

NodePtr Renamer::rename(const NodePtr &node) {
    Node result = *node;
    for_each_expression(result, [&](ScalarExpr &expr) {
        expr = expr.rename(symbols_, tables_).substitute(scalar_);
    });
    rename_regions(result);
    rename_marks(result);
    for (LoopVar *variable : variables_in(result)) {
        const std::string old = variable->id;
        variable->id = fresh_(old);
        if (variable->token) {
            *variable =
                token_variable(variable->id, variable->names, !variable->value, variable->at);
        }
        // No loop has the id of one around it: what is outside of this one does not ask for it.
        affine_.insert_or_assign(old, Affine::variable(variable->id));
        scalar_.insert_or_assign(old, ScalarExpr::variable(variable->id));
    }
    result = with_children(result, [&](const NodePtr &child) { return rename(child); });
    return std::make_shared<const Node>(std::move(result));
}

void Renamer::rename_regions(Node &node) const {
    if (auto *task = std::get_if<TaskNode>(&node.kind)) {
        for (TaskArgument &argument : task->arguments) {
            if (auto *region = std::get_if<Region>(&argument.value)) {
                rename_region(*region);
            }
        }
    } else if (auto *slot = std::get_if<SlotNode>(&node.kind)) {
        if (auto *region = std::get_if<Region>(&slot->value)) {
            rename_region(*region);
        }
    }
}

void Renamer::rename_marks(Node &node) {
    if (auto *task = std::get_if<TaskNode>(&node.kind)) {
        const int mark = tasks_++;
        if (task->mark >= 0) {
            marks_[task->mark] = mark;
        }
        task->mark = mark;
    } else if (auto *event = std::get_if<EventNode>(&node.kind); event && event->after) {
        for (int &mark : *event->after) {
            mark = marks_.at(mark);
        }
    }
}

void Renamer::rename_region(Region &region) const {
    for (Affine &offset : region.offsets) {
        offset = offset.substitute(affine_);
    }
    for (Region::Bound &bound : region.bounds) {
        bound.offset = bound.offset.substitute(affine_);
    }
}

}  // namespace pto::wsp::workload
