#pragma once

#include <cstdint>

namespace pto::wsp::backend::cpu {

/// Conversions that code generators call and that the compiler's support library lacks; all round
/// to nearest, ties to even, and keep NaN.
///
/// On x86-64 a `half` or `bfloat` travels in the low 16 bits of a vector register, where a `float`
/// result lives too: a `float` below stands for those bits.

/// `__truncsfbf2`
float bfloat_from_float(float value);
/// `__truncdfbf2`, in one rounding.
float bfloat_from_double(double value);
/// `__gnu_h2f_ieee`
float float_from_half(uint16_t half);
/// `__gnu_f2h_ieee`
uint16_t half_from_float(float value);

}  // namespace pto::wsp::backend::cpu
