#pragma once

#include <vector>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// For each tensor the number of its storage: tensors of one number are connected by overlapping
/// memory, those of two share none. Numbers count up in order of first appearance. A tensor without
/// memory is alone.
std::vector<int> storage_numbers(const std::vector<TensorPtr> &tensors);

/// True when no two index tuples of the view are one element.
bool is_injective(const TensorView &view);

}  // namespace pto::wsp::workload
