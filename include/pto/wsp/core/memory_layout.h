#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/core/linear_layout.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// Units of 2^base elements whose number is changed by XOR with `bits` bits that lie `shift` bits
/// above; see `LinearLayout::swizzle`. No bits: none.
struct Swizzle {
    int bits = 0;
    int base = 0;
    int shift = 1;

    /// The place of `place`.
    int64_t apply(int64_t place) const;
    std::string str() const;  ///< `(2, 0, 2)`
    bool operator==(const Swizzle &) const = default;
};

/// How elements of a tensor lie in memory: coordinates times strides, then a swizzle, then `pack`
/// elements in one unit of storage. A value; each function gives a new one.
struct MemLayout {
    Shape strides;           ///< in elements
    std::vector<int> order;  ///< dimensions, slowest first
    std::optional<Swizzle> swizzle;
    int64_t pack = 1;            ///< elements in one unit of storage
    std::optional<Shape> shape;  ///< where it is known

    /// CompileError at `at` for a negative stride, an order that is no permutation or contradicts
    /// the strides, a swizzle with negative parts or shift 0, pack < 1, a shape of another rank.
    /// Without `order`, by descending stride.
    static MemLayout make(Shape strides, std::optional<std::vector<int>> order = {},
                          std::optional<Swizzle> swizzle = {}, int64_t pack = 1,
                          std::optional<Shape> shape = {}, const Loc &at = Loc::here());
    /// Last dimension contiguous.
    static MemLayout row_major(const Shape &shape, const Loc &at = Loc::here());
    /// First dimension contiguous.
    static MemLayout col_major(const Shape &shape, const Loc &at = Loc::here());

    int rank() const { return static_cast<int>(strides.size()); }
    /// The dimensions in another order, as `np.transpose(array, permutation)` has them.
    MemLayout permute(const std::vector<int> &permutation, const Loc &at = Loc::here()) const;
    /// First this, then `outer` on its places: place(c) = outer(place of c, read as a row-major
    /// index of `outer`'s shape). Both shapes must be known, unless `outer` has one dimension.
    /// CompileError where the result has no strides, or where this one swizzles or packs.
    MemLayout compose(const MemLayout &outer, const Loc &at = Loc::here()) const;
    /// The same memory seen as tiles: dimensions (d / tile[d]...) and then (d mod tile[d]...).
    /// CompileError unless each tile extent divides a known shape.
    MemLayout tile(const Shape &tile, const Loc &at = Loc::here()) const;
    /// Elements from the start to the element at `coordinates`; CompileError when it is not inside
    /// a known shape.
    int64_t place(const Shape &coordinates, const Loc &at = Loc::here()) const;
    /// The same layout over bits; CompileError unless the shape is known and everything a power of
    /// two.
    LinearLayout linear(const Loc &at = Loc::here()) const;

    /// `MemLayout((64, 1), order=(0, 1), swizzle=(2, 0, 2), pack=2, shape=(8, 64))`, parts that are
    /// as without them left out.
    std::string str() const;
    bool operator==(const MemLayout &) const = default;
};

}  // namespace pto::wsp
