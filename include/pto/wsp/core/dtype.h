#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "pto/wsp/support/loc.h"

namespace pto::wsp {

/// The twelve element types a user names, and the mask that comparisons make (`where` takes it;
/// it cannot be stored).
enum class DType : uint8_t { F16, BF16, F32, F64, I8, I16, I32, I64, U8, U16, U32, U64, Mask };

/// What the bits of an element mean.
enum class DTypeKind : uint8_t { Float, Signed, Unsigned, Mask };

/// One row of the table of element types.
struct DTypeInfo {
    DType dtype;
    const char *name;        ///< `f32`: in texts and signatures
    const char *user_name;   ///< `F32`: the enumerator as a user writes it
    const char *numpy_name;  ///< `float32`; bf16 is stored as `uint16`
    int bytes;
    DTypeKind kind;
};

/// The whole table, in the order of the enumerators.
std::span<const DTypeInfo> dtypes();
/// The row of `dtype`.
const DTypeInfo &info(DType dtype);
inline std::string name(DType dtype) {
    return info(dtype).name;
}
inline int size_bytes(DType dtype) {
    return info(dtype).bytes;
}
inline bool is_float(DType dtype) {
    return info(dtype).kind == DTypeKind::Float;
}
inline bool is_integer(DType dtype) {
    return info(dtype).kind == DTypeKind::Signed || info(dtype).kind == DTypeKind::Unsigned;
}
/// `f32` -> F32; CompileError at `at` that lists the names otherwise.
DType parse_dtype(std::string_view name, const Loc &at = {});

/// Whether the integer type `dtype` has `value`.
bool fits_integer(DType dtype, int64_t value);
bool fits_integer(DType dtype, double value);

/// The type of `a op b`: same in, same out; F16/BF16 with F32 -> F32; F16 with BF16 -> F32;
/// integers with a float -> that float; integers of two kinds as NumPy promotes them (I64 with U64
/// -> F64). TypeCheckError for Mask with anything but Mask.
DType promote(DType a, DType b);

/// `value` as an integer type, as NumPy has it on x86-64: cut towards zero to I32, or to I64 for
/// types of 64 bits; what does not fit, and NaN, is the smallest of these; then the low bits, sign-
/// or zero-extended. For U32 and U64 the upper half of the range fits too, and what is above is 0.
int64_t cut_to(DType dtype, double value);
/// The low bits of `value` that `dtype` has, sign- or zero-extended.
int64_t wrap_to(DType dtype, int64_t value);

/// IEEE conversions, round to nearest even, NaN kept quiet. Used by the reference evaluator.
float half_to_float(uint16_t bits);
uint16_t float_to_half(float value);
float bfloat_to_float(uint16_t bits);
uint16_t float_to_bfloat(float value);
/// `value` rounded once to `dtype` (floats), or cut to it (integers), or 1 when not zero (Mask).
/// 64-bit integers past 2^53 are as exact as the double is.
double round_to(DType dtype, double value);
/// The 64-bit word that carries a scalar to a kernel (core/abi.h).
int64_t scalar_word(DType dtype, double value);

}  // namespace pto::wsp
