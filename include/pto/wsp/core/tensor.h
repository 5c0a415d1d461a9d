#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/core/dtype.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// Extents (or strides) of each dimension, outermost first.
using Shape = std::vector<int64_t>;

/// `[4, 8, 512, 64]`
std::string shape_text(const Shape &shape);
/// Number of elements; CompileError past 2^63 and for a negative extent.
int64_t element_count(const Shape &shape);
/// Element strides of a C-contiguous array.
Shape contiguous_strides(const Shape &shape);

/// A strided view of memory in NumPy order: any strides (also zero and negative), in elements.
/// Owns nothing but keeps `owner` alive.
struct TensorView {
    void *data = nullptr;  ///< element [0, ..., 0]
    DType dtype = DType::F32;
    Shape shape;
    Shape strides;  ///< in elements
    std::shared_ptr<void> owner;

    int rank() const { return static_cast<int>(shape.size()); }
    int64_t nbytes() const { return element_count(shape) * size_bytes(dtype); }
    /// In C order without gaps; dimensions of extent 1 may have any stride.
    bool is_contiguous() const;
    /// Bytes from `data`: lowest touched and one past the highest touched; {0, 0} when empty.
    std::pair<int64_t, int64_t> byte_extent() const;
    /// View with the first dimension fixed; TypeCheckError `at` when out of range.
    TensorView index(int64_t i, const Loc &at) const;
    /// View of [begin, end) of the first dimension; TypeCheckError `at` unless
    /// 0 <= begin <= end <= extent.
    TensorView slice(int64_t begin, int64_t end, const Loc &at) const;
};

/// The integer at `element`; none when it passes 2^63 or the type is none of integers.
std::optional<int64_t> integer_at(const void *element, DType dtype);

/// Zeros, C-contiguous, 64-byte aligned. CompileError for an impossible shape or for Mask,
/// ExecutionError when memory is exhausted.
TensorView allocate_tensor(const Shape &shape, DType dtype);

}  // namespace pto::wsp
