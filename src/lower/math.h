#pragma once

#include <Halide.h>

namespace pto::wsp::lower {

/// `select` that keeps NaN and infinities: floats are chosen by their bits, because optimisers may
/// assume of a choice between floats that neither is one.
Halide::Expr choose(const Halide::Expr &condition, const Halide::Expr &yes, const Halide::Expr &no);

/// Functions of f32 and f64. Those of f32 are our own polynomials, with the worst error stated and
/// tested over all of f32, subnormals, infinities and NaN included; they count on fused
/// multiply-adds. Those of f64 call the C library (below 1 ulp). F16 and BF16 are f32 here, so
/// theirs are rounded once more: where the function takes `digits`, the significant bits that are
/// kept then, its relative error is up to 2.9e-6 for `bf16_digits`, and its result
/// need only be right in F16's range for `f16_digits`.
namespace math {

inline constexpr int f32_digits = 24;
inline constexpr int f16_digits = 11;
inline constexpr int bf16_digits = 8;

/// e^x: exact limits at +-inf, NaN kept, subnormal results kept. Worst error 5 ulp, growing with
/// |x|: 2.5 ulp up to 10.
/// Method: n = round(x / ln 2) by adding 1.5 * 2^23, r = x - n ln 2, fitted polynomial of degree 5
/// in r, scaled by 2^n in two steps so that subnormal results are rounded once.
Halide::Expr exp(const Halide::Expr &x, int digits = f32_digits);

/// e^x for x <= 0 or NaN, as softmax needs it: results of f32 below 2^-126 may be 0. Worst error
/// 5 ulp.
Halide::Expr exp_nonpositive(const Halide::Expr &x, int digits = f32_digits);

/// Natural logarithm: log(0) = -inf, log(x < 0) = NaN, subnormals exact to 2 ulp.
/// x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m by the polynomial of Cephes' logf (Moshier).
Halide::Expr log(const Halide::Expr &x);

/// tanh to 3 ulp: odd polynomial of Cephes' tanhf (Moshier) below 0.625, 1 - 2 / (e^2x + 1) above.
Halide::Expr tanh(const Halide::Expr &x);

/// 1 / (1 + e^-x) to 4 ulp, subnormal results included: divisor and quotient are scaled.
Halide::Expr sigmoid(const Halide::Expr &x, int digits = f32_digits);

/// x / (1 + e^-x) to 5 ulp, subnormal results included.
Halide::Expr silu(const Halide::Expr &x, int digits = f32_digits);

/// Sine and cosine to 1 ulp for every x; NaN at infinities. x / 2 pi modulo 1 is computed exactly
/// to 64 bits from the 24 bits of x and 96 bits of 1 / 2 pi (Payne and Hanek, "Radian reduction for
/// trigonometric functions", 1983), the rest by fitted polynomials on [-pi/4, pi/4] in float64.
Halide::Expr sin(const Halide::Expr &x);
Halide::Expr cos(const Halide::Expr &x);

/// The error function to 1 ulp, in float64: an odd polynomial below 0.75, else
/// 1 - t R(t) e^-x^2 with t = 1 / (1 + 0.3 |x|) (the form of Abramowitz and Stegun 7.1.26) and R
/// fitted to 2.2e-9.
Halide::Expr erf(const Halide::Expr &x);

/// x (1 + erf(x / sqrt 2)) / 2 to 1 ulp, of f64 to 4, by the complement for x < 0 so that small
/// results keep their digits.
Halide::Expr gelu(const Halide::Expr &x);

}  // namespace math

}  // namespace pto::wsp::lower
