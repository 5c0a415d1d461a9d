#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// A layout that is linear over F2: a map from the index of an element (row-major in `shape`) to
/// its place, both read as vectors of bits, with place(a ^ b) = place(a) ^ place(b). Every extent,
/// stride and block is a power of two; orders, blocks, broadcasts and XOR swizzles are all such
/// maps, and so are their compositions.
class LinearLayout {
public:
    /// The map whose column i, `bases[i]`, is the place of index 2^i. CompileError at `at` unless
    /// there is one basis for each bit of `shape`, all below `places`, and extents and `places` are
    /// powers of two with at most 2^62 elements.
    LinearLayout(Shape shape, std::vector<int64_t> bases, int64_t places,
                 const Loc &at = Loc::here());

    /// i -> i.
    static LinearLayout identity(int64_t size, const Loc &at = Loc::here());
    /// Last coordinate fastest; the identity on the elements of `shape`.
    static LinearLayout row_major(const Shape &shape, const Loc &at = Loc::here());
    /// First coordinate fastest.
    static LinearLayout col_major(const Shape &shape, const Loc &at = Loc::here());
    /// The sum of coordinate x stride. CompileError unless each stride is 0 or a power of two, and
    /// no two dimensions share a bit of the place (their sum would carry).
    static LinearLayout from_strides(const Shape &shape, const Shape &strides,
                                     const Loc &at = Loc::here());
    /// i -> i * stride.
    static LinearLayout strided(int64_t size, int64_t stride, const Loc &at = Loc::here());
    /// Blocks of extents `block` one after another, row-major inside and among each other.
    /// CompileError unless each block extent divides that of `shape`.
    static LinearLayout blocked(const Shape &shape, const Shape &block,
                                const Loc &at = Loc::here());
    /// i -> i ^ (((i >> shift) mod 2^bits of units) << base): units of 2^base elements, moved by
    /// the `bits` bits that lie `shift` bits above the unit's own. With `shift >= bits` it is its
    /// own inverse. CompileError unless shift >= 1 and base + shift + bits fit the size.
    static LinearLayout swizzle(int64_t size, int bits, int base, int shift,
                                const Loc &at = Loc::here());

    /// First `inner`, then this: place(i) = this(inner(i)). CompileError unless `inner` has no more
    /// places than this has elements.
    LinearLayout compose(const LinearLayout &inner, const Loc &at = Loc::here()) const;
    /// The place of an index in [0, size()), or of coordinates; CompileError when out of range.
    int64_t apply(int64_t index, const Loc &at = Loc::here()) const;
    int64_t apply(const Shape &coordinates, const Loc &at = Loc::here()) const;

    /// Dimension of the image.
    int rank() const;
    /// A basis of the indices that go to place 0, ascending; empty when injective.
    std::vector<int64_t> kernel() const;
    bool is_injective() const { return rank() == static_cast<int>(bases_.size()); }
    bool is_surjective() const;
    /// The layout from place to index. CompileError unless it is bijective.
    LinearLayout inverse(const Loc &at = Loc::here()) const;

    const Shape &shape() const { return shape_; }
    const std::vector<int64_t> &bases() const { return bases_; }
    int64_t size() const { return int64_t{1} << bases_.size(); }  ///< number of indices
    int64_t places() const { return places_; }
    /// `LinearLayout([4, 8] -> 32: 1 2 4 8 16)`
    std::string str() const;
    bool operator==(const LinearLayout &) const = default;

private:
    Shape shape_;
    std::vector<int64_t> bases_;
    int64_t places_ = 1;
};

}  // namespace pto::wsp
