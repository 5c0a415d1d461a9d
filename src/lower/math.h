#pragma once

#include <Halide.h>

namespace pto::wsp::lower {

/// `select` that keeps NaN and infinities: floats are chosen by their bits, because optimisers may
/// assume of a choice between floats that neither is one.
Halide::Expr choose(const Halide::Expr &condition, const Halide::Expr &yes, const Halide::Expr &no);

/// e^x for any f32: exact limits at ±inf, NaN kept, subnormal results kept. Worst error 2 ulp.
/// Method: n = round(x / ln 2) by adding 1.5 * 2^23, r = x - n ln 2 (ln 2 in two parts, Cody and
/// Waite), fitted polynomial of degree 6 in r, scaled by 2^n in two steps so that subnormal results
/// are rounded once.
Halide::Expr exp_f32(const Halide::Expr &x);

/// e^x for x <= 0 or NaN, as softmax needs it: results below 2^-126 are 0. Worst error 5 ulp.
Halide::Expr exp_nonpositive_f32(const Halide::Expr &x);

/// Natural logarithm of any f32: log(0) = -inf, log(x < 0) = NaN, subnormals exact to 2 ulp.
/// x = 2^e m with m in [sqrt(1/2), sqrt(2)), log m by the polynomial of Cephes' logf (Moshier).
Halide::Expr log_f32(const Halide::Expr &x);

/// tanh of any f32 to 3 ulp: odd polynomial of Cephes' tanhf (Moshier) below 0.625,
/// 1 - 2 / (e^2x + 1) above.
Halide::Expr tanh_f32(const Halide::Expr &x);

/// 1 / (1 + e^-x) of any f32 to 5 ulp, as e^x / (1 + e^x) below 0 so that small results do not
/// vanish.
Halide::Expr sigmoid_f32(const Halide::Expr &x);

}  // namespace pto::wsp::lower
