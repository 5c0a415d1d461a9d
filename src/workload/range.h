#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "pto/wsp/core/affine.h"
#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/workload/names.h"

namespace pto::wsp::workload {

/// Wide enough for a product of two 64-bit values and sums of a few of them.
using Wide = __int128;

/// Number of values of each loop variable, by id, at most; it takes 0 ... size - 1. Variables that
/// may be any integer are not in it.
using Sizes = std::map<std::string, int64_t>;

Sizes sizes_of(const LoopPath &path);

/// All values from `low` to `high`, both included.
struct Range {
    Wide low = 0;
    Wide high = 0;
    bool operator==(const Range &) const = default;
};

Range operator+(const Range &a, const Range &b);
Range operator*(const Range &a, Wide factor);

/// What a variable of unknown size may be: as large as no tensor is.
inline constexpr Range any_value{-(Wide{1} << 48), Wide{1} << 48};

/// What is in both; empty (low > high) when nothing is.
Range intersection(const Range &a, const Range &b);

/// The range of `expr` over all loop variables, exact where all sizes are; sizes are > 0.
Range range_of(const Affine &expr, const Sizes &sizes);

/// A range that holds every value of `base + expr`, or nothing when none is known. Exact for affine
/// expressions and for minima and maxima of them.
std::optional<Range> range_of_sum(const Affine &base, const ScalarExpr &expr, const Sizes &sizes);
/// An operand with which an operation has no value: a divisor that may be 0, a shift count that may
/// be outside 0...63.
struct UnsafeOperand {
    const ScalarExpr *operand = nullptr;
    std::string text;  ///< `the divisor i may be 0`
    std::string hint;
};
/// The first in `expr`, but for what `and`, `or` and `select` evaluate only sometimes.
std::optional<UnsafeOperand> unsafe_operand(const ScalarExpr &expr, const Sizes &sizes);

/// Decimal, also past 64 bits.
std::string wide_text(Wide value);

/// Non-negative greatest common divisor; gcd(0, x) = |x|.
Wide wide_gcd(Wide a, Wide b);
/// a / b rounded towards minus and plus infinity; b > 0.
Wide floor_div(Wide a, Wide b);
Wide ceil_div(Wide a, Wide b);

}  // namespace pto::wsp::workload
