#include "pto/wsp/workload/check_sizes.h"

#include <algorithm>

#include "workload/range.h"

namespace pto::wsp::workload {

namespace {

class SizeCheck {
public:
    explicit SizeCheck(const RunData &data) : data_(data) {}

    void walk(const Node &node) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            check(task->checks);
        } else if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
            check(slot->checks);
        } else if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
            walk_loop(*loop);
        } else if (std::holds_alternative<GroupNode>(node.kind) ||
                   std::holds_alternative<CallNode>(node.kind)) {
            for_each_child(node, [&](const NodePtr &child) { walk(*child); });
        }
    }

private:
    /// The value where the run's data alone decides it.
    std::optional<int64_t> known(const ScalarExpr &expr) const {
        if (!expr.variables().empty() || expr.has_slots()) {
            return std::nullopt;
        }
        try {
            return expr.evaluate({}, &data_);
        } catch (const PtoError &) {
            return std::nullopt;  // the run says so, at its line
        }
    }

    void walk_loop(const LoopNode &loop) {
        const LoopVar &variable = loop.variable;
        const auto size = variable.value ? std::optional<int64_t>(1) : known(variable.axis.size);
        if (!size || *size <= 0) {
            return;
        }
        if (!variable.value) {
            sizes_[variable.id] = *size;
        }
        path_.push_back(&variable);
        walk(*loop.body);
        path_.pop_back();
        sizes_.erase(variable.id);
    }

    void check(const std::vector<RunTimeCheck> &checks) const {
        for (const RunTimeCheck &check : checks) {
            const auto form = check.value.as_affine();
            const bool exact = form && std::ranges::all_of(form->terms(), [&](const auto &term) {
                                   return sizes_.contains(term.first);
                               });
            if (exact) {
                const Range values = range_of(*form, sizes_);
                if (values.low < check.low || values.high > check.high) {
                    fail(check, *form, values.low < check.low ? values.low : values.high);
                }
            }
        }
    }

    [[noreturn]] void fail(const RunTimeCheck &check, const Affine &form, Wide value) const {
        std::vector<Note> notes;
        for (const LoopVar *variable : path_) {
            if (form.coefficient(variable->id) != 0) {
                notes.push_back({variable->at, variable->id + " runs over " + variable->axis.str() +
                                                   ", whose size is " +
                                                   std::to_string(sizes_.at(variable->id))});
            }
        }
        throw ExecutionError(check.at,
                             check.text + " is " + wide_text(value) + ", allowed is " +
                                 std::to_string(check.low) + "..." + std::to_string(check.high),
                             notes);
    }

    const RunData &data_;
    Sizes sizes_;
    LoopPath path_;
};

}  // namespace

void check_sizes(const Workload &workload) {
    SizeCheck(workload.data).walk(*workload.root);
}

}  // namespace pto::wsp::workload
