#pragma once

#include <cstdint>
#include <string>

#include "pto/wsp/core/dtype.h"

namespace pto::wsp::kernel {

/// The worst error of an operation's results against exact arithmetic on its operands, in units of
/// the last place (ulp) of the result's type. Integers are always exact, as NumPy has them. F16 and
/// BF16 compute in F32 and round once, so that they are at most the next number to the nearest.
struct Accuracy {
    enum class Kind : uint8_t {
        Unstated,  ///< no row of the table may have it
        Exact,     ///< NumPy's bits: nothing is rounded
        Rounded,   ///< the nearest number, ties to even
        Ulps,      ///< `ulps` of the result's type
        Sum,       ///< n terms in any order: n ulp of the sum of their magnitudes
        Product,   ///< as Sum over the k products of each element, contracted or not
        Row,       ///< a row of n columns is normalised: n + `ulps`
    };
    Kind kind = Kind::Unstated;
    int f32_ulps = 0;
    int f64_ulps = 0;

    /// Worst error in ulp for elements of `dtype`, besides that of terms: 0 for Exact, Rounded, Sum
    /// and Product.
    int ulps(DType dtype) const;
    /// In words, for elements of `dtype`: `exact`, `correctly rounded`, `<= 2 ulp`.
    std::string str(DType dtype) const;
};

/// What a row of the table may say.
namespace accuracy {

/// Accuracy::Kind::Exact.
inline constexpr Accuracy exact{Accuracy::Kind::Exact, 0, 0};
/// Accuracy::Kind::Rounded.
inline constexpr Accuracy rounded{Accuracy::Kind::Rounded, 0, 0};
/// Accuracy::Kind::Sum.
inline constexpr Accuracy sum{Accuracy::Kind::Sum, 0, 0};
/// Accuracy::Kind::Product.
inline constexpr Accuracy product{Accuracy::Kind::Product, 0, 0};
/// Accuracy::Kind::Ulps, for results of F32 and of F64.
constexpr Accuracy ulps(int f32, int f64) {
    return {Accuracy::Kind::Ulps, f32, f64};
}
/// Accuracy::Kind::Row, for results of F32 and of F64.
constexpr Accuracy row(int f32, int f64) {
    return {Accuracy::Kind::Row, f32, f64};
}

}  // namespace accuracy

}  // namespace pto::wsp::kernel
