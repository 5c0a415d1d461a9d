#pragma once

#include <cstdint>
#include <vector>

#include "pto/wsp/core/tensor.h"

namespace pto::wsp::workload {

/// Common coordinates of views that share memory: a box of a view is a box in the frame, and two
/// boxes share an element exactly when they meet in the frame. Columns of one matrix that are
/// captured as three tensors have one.
struct Frame {
    /// False: no such coordinates are known; every access counts as the whole memory.
    bool exact = false;
    int rank = 0;
    /// One a view: for each dimension its dimension of the frame (-1: it has one place only), and
    /// where its element [0, ..., 0] lies.
    struct Placement {
        std::vector<int> dims;
        std::vector<int64_t> origin;
    };
    std::vector<Placement> placements;
};

/// The frame of `views`. Views that are the same have their own coordinates if no two of these are
/// one element; different ones have those of their strides, if each stride divides the next larger
/// one and no view crosses a stride of another.
Frame frame_of(const std::vector<const TensorView *> &views);

}  // namespace pto::wsp::workload
