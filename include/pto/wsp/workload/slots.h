#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pto/wsp/support/reason.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// Slots of a workload that is walked in program order without being run. Values that
/// `slot_set_u64` gives are known, and elements of tensors that no task writes.
class SlotValues {
public:
    /// `views` are the data of `workload.tensors()`; none: that of the tensors themselves.
    explicit SlotValues(const Workload &workload, const std::vector<TensorView> &views = {});

    /// Does what the SlotNode `node` does where loop variables have these values. CompileError at
    /// its line for an element that tasks write, ExecutionError for one outside of its tensor.
    void fill(const Node &node, const std::map<std::string, int64_t> &values);
    /// For ScalarExpr::evaluate.
    const int64_t *words() const { return words_.data(); }

private:
    struct Data {
        TensorView view;
        bool written = false;
    };

    RunData data_;
    std::map<const Tensor *, Data> tensors_;
    std::vector<int64_t> words_;
};

/// Slots that are read before anything in program order fills them, where they are 0: hardly that
/// was meant. One reason for each, at the line that reads.
Reasons unfilled_slots(const Workload &workload);

}  // namespace pto::wsp::workload
