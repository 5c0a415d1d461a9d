#include "pto/wsp/workload/slots.h"

#include <set>

#include "pto/wsp/workload/names.h"
#include "workload/access.h"

namespace pto::wsp::workload {

SlotValues::SlotValues(const Workload &workload, const std::vector<TensorView> &views)
    : data_(workload.data), words_(slot_words, 0) {
    if (!workload.uses_slots()) {
        return;
    }
    const std::vector<TensorPtr> tensors = workload.tensors();
    for (size_t i = 0; i < tensors.size(); ++i) {
        tensors_[tensors[i].get()].view = views.empty() ? tensors[i]->view : views[i];
    }
    for (const TensorMemory &memory : AccessTable(*workload.root).memory()) {
        tensors_[memory.tensor.get()].written = memory.written;
    }
}

void SlotValues::fill(const Node &node, const std::map<std::string, int64_t> &values) {
    const auto &slot = std::get<SlotNode>(node.kind);
    int64_t &word = words_[static_cast<size_t>(slot.slot)];
    if (const auto *expr = std::get_if<ScalarExpr>(&slot.value)) {
        word = expr->evaluate(values, &data_, words());
        return;
    }
    const auto &region = std::get<Region>(slot.value);
    const auto &[view, written] = tensors_.at(region.tensor.get());
    if (written) {
        throw CompileError(node.at, "slot " + std::to_string(slot.slot) + " is filled with " +
                                        region.str() +
                                        ", which tasks write: it is known while the program runs");
    }
    int64_t place = 0;
    for (size_t d = 0; d < region.offsets.size(); ++d) {
        const int64_t i = region.offsets[d].evaluate(values);
        if (i < 0 || i >= view.shape[d]) {
            throw ExecutionError(node.at, region.str() + ": the index of dimension " +
                                              std::to_string(d) + " is " + std::to_string(i) +
                                              ", allowed is 0..." +
                                              std::to_string(view.shape[d] - 1));
        }
        place += i * view.strides[d];
    }
    const auto value = integer_at(
        static_cast<const char *>(view.data) + place * size_bytes(view.dtype), view.dtype);
    if (!value) {
        throw ExecutionError(node.at, region.str() + ": the element passes 2^63");
    }
    word = *value;
}

Reasons unfilled_slots(const Workload &workload) {
    Reasons reasons;
    std::set<int64_t> known;
    for_each_node(*workload.root, [&](const Node &node, const LoopPath &) {
        // Of the node's own expressions only: its children are shared.
        Node copy = node;
        for_each_expression(copy, [&](const ScalarExpr &expr) {
            for (const int64_t slot : expr.slots()) {
                if (known.insert(slot).second) {
                    reasons.push_back({"slot " + std::to_string(slot), false,
                                       "it is read before anything fills it: it is 0", node.at,
                                       true});
                }
            }
        });
        if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
            known.insert(slot->slot);
        } else if (const auto *send = std::get_if<SendNode>(&node.kind)) {
            known.insert(send->result);
        }
    });
    return reasons;
}

}  // namespace pto::wsp::workload
