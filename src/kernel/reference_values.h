#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "reference.h"

/// What the reference semantics of several rows read and write elements with.
namespace pto::wsp::kernel {

/// The element, of a row or column that is the only one for any index.
inline double real_at(const RefTile &tile, int64_t r, int64_t c) {
    r = tile.rows() == 1 ? 0 : r;
    c = tile.columns() == 1 ? 0 : c;
    if (tile.dtype == DType::U64) {
        return static_cast<double>(static_cast<uint64_t>(tile.integer(r, c)));
    }
    return is_integer(tile.dtype) ? static_cast<double>(tile.integer(r, c)) : tile.real(r, c);
}

/// The same of an integer tile.
inline int64_t integer_at(const RefTile &tile, int64_t r, int64_t c) {
    r = tile.rows() == 1 ? 0 : r;
    c = tile.columns() == 1 ? 0 : c;
    return tile.integer(r, c);
}

/// The element as a number of the float type `to`, rounded once.
double real_as(DType to, const RefTile &tile, int64_t r, int64_t c);

/// Moves U64, which is kept as its bits, to where int64 has the same order; others stay.
inline int64_t ordered(DType dtype, int64_t value) {
    return dtype == DType::U64 ? value ^ INT64_MIN : value;
}

/// Wrapping arithmetic in 64 bits; the evaluator wraps to the type's width.
inline int64_t wrap(uint64_t value) {
    return static_cast<int64_t>(value);
}
inline uint64_t bits(int64_t value) {
    return static_cast<uint64_t>(value);
}

/// As NumPy has them: NaN where one is NaN.
inline double larger(double a, double b) {
    return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::quiet_NaN()
                                          : std::max(a, b);
}
inline double smaller(double a, double b) {
    return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::quiet_NaN()
                                          : std::min(a, b);
}

inline RefTile transposed(const RefTile &x) {
    RefTile tile;
    tile.dtype = x.dtype;
    tile.real = x.real.transpose();
    tile.integer = x.integer.transpose();
    return tile;
}

}  // namespace pto::wsp::kernel
