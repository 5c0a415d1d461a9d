#pragma once

#include <Halide.h>

namespace pto::wsp::lower {

/// Between f32 and the 16-bit words of F16 and BF16. Rounding is to nearest, ties to even; a NaN
/// keeps its sign and the high bits of its payload and becomes quiet; subnormals are kept.
///
/// Calls of no function: `write_conversions` writes them out for one machine. Until then they can
/// be vectorized, and no optimiser knows what they do.
Halide::Expr half_value(const Halide::Expr &bits);
Halide::Expr half_bits(const Halide::Expr &value);
Halide::Expr bfloat_value(const Halide::Expr &bits);
Halide::Expr bfloat_bits(const Halide::Expr &value);

/// `statement` with the calls above written out: as the machine's own instructions where `target`
/// has them, else as integer arithmetic with the same results, bit for bit.
Halide::Internal::Stmt write_conversions(const Halide::Internal::Stmt &statement,
                                         const Halide::Target &target);

}  // namespace pto::wsp::lower
