#pragma once

#include <vector>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/program/library.h"

namespace pto::wsp::kernels {

/// Memory of a result of a library call.
class ResultMemory {
public:
    /// TypeCheckError at `at` when the destination is memory of another shape or type, or has
    /// several elements in one place. `kernel` is named in errors.
    ResultMemory(const char *kernel, const Destination &destination, const Shape &shape,
                 DType dtype, const Loc &at);

    /// Takes memory beside the destination when `input` overlaps it; an input that is the
    /// destination may stay when `may_be_same`.
    void keep_off(const TensorView &input, bool may_be_same);
    /// Where the kernel writes.
    const TensorView &view() const { return beside_ ? *beside_ : out_; }
    /// True when `input` is where the kernel writes.
    bool is(const TensorView &input) const;
    /// Copies what was written beside the destination and gives the destination.
    TensorView finish() const;

private:
    TensorView out_;
    std::optional<TensorView> beside_;
};

/// Sets all elements to 0.
void fill_with_zeros(const TensorView &view);
/// [begin, end) of dimension `dim`.
TensorView narrowed(TensorView view, size_t dim, int64_t begin, int64_t end);

}  // namespace pto::wsp::kernels
