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

/// Two BF16 words as one of 32 bits, `low` in the lower half.
Halide::Expr bfloat_pair(const Halide::Expr &low, const Halide::Expr &high);
/// `sum` + the products of the lower and of the upper halves of two pairs. Where the machine has
/// one instruction for it, subnormal factors and sums count as zero.
Halide::Expr bfloat_dot(const Halide::Expr &sum, const Halide::Expr &a, const Halide::Expr &b);

/// `value`, of which optimisers know nothing any more: neither that it is finite, which sums and
/// products promise, nor how it was computed. Costs no instruction.
Halide::Expr opaque(const Halide::Expr &value);
/// `value`, a term or factor of a sum that may be reordered, which promises that nothing is NaN:
/// opaque unless it was loaded, so that sqrt(x) sqrt(x) does not become x.
Halide::Expr opaque_term(const Halide::Expr &value);

/// Whether x86 code for `target` may round to BF16 and multiply pairs of it.
bool has_bfloat_instructions(const Halide::Target &target);

/// `statement` with the calls above written out: as the machine's own instructions where `target`
/// has them, else as integer arithmetic with the same results, bit for bit.
Halide::Internal::Stmt write_conversions(const Halide::Internal::Stmt &statement,
                                         const Halide::Target &target);

}  // namespace pto::wsp::lower
