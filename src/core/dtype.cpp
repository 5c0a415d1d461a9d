#include "pto/wsp/core/dtype.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

constexpr std::array<DTypeInfo, 13> table = {{
    {DType::F16, "f16", "F16", "float16", 2, DTypeKind::Float},
    {DType::BF16, "bf16", "BF16", "uint16", 2, DTypeKind::Float},
    {DType::F32, "f32", "F32", "float32", 4, DTypeKind::Float},
    {DType::F64, "f64", "F64", "float64", 8, DTypeKind::Float},
    {DType::I8, "i8", "I8", "int8", 1, DTypeKind::Signed},
    {DType::I16, "i16", "I16", "int16", 2, DTypeKind::Signed},
    {DType::I32, "i32", "I32", "int32", 4, DTypeKind::Signed},
    {DType::I64, "i64", "I64", "int64", 8, DTypeKind::Signed},
    {DType::U8, "u8", "U8", "uint8", 1, DTypeKind::Unsigned},
    {DType::U16, "u16", "U16", "uint16", 2, DTypeKind::Unsigned},
    {DType::U32, "u32", "U32", "uint32", 4, DTypeKind::Unsigned},
    {DType::U64, "u64", "U64", "uint64", 8, DTypeKind::Unsigned},
    {DType::Mask, "mask", "Mask", "bool", 1, DTypeKind::Mask},
}};

constexpr bool in_enumerator_order() {
    for (size_t i = 0; i < table.size(); ++i) {
        if (static_cast<size_t>(table[i].dtype) != i) {
            return false;
        }
    }
    return true;
}
static_assert(in_enumerator_order(), "info() indexes the table by enumerator");

DType integer_of(DTypeKind kind, int bytes) {
    for (const DTypeInfo &row : table) {
        if (row.kind == kind && row.bytes == bytes) {
            return row.dtype;
        }
    }
    throw InternalError("promote", "no integer of " + std::to_string(bytes) + " bytes");
}

DType promote_floats(DType a, DType b) {
    bool narrow = size_bytes(a) == 2 && size_bytes(b) == 2;
    return narrow ? DType::F32 : (size_bytes(a) > size_bytes(b) ? a : b);
}

DType promote_integers(DType a, DType b) {
    if (info(a).kind == info(b).kind) {
        return size_bytes(a) > size_bytes(b) ? a : b;
    }
    DType with_sign = info(a).kind == DTypeKind::Signed ? a : b;
    DType without = with_sign == a ? b : a;
    // A signed type holds an unsigned one only when it is wider.
    int bytes = std::max(size_bytes(with_sign), 2 * size_bytes(without));
    return bytes > 8 ? DType::F64 : integer_of(DTypeKind::Signed, bytes);
}

/// Rounds to `digits` significant bits, no finer than 2^`least_exponent`; infinite from
/// 2^`end_exponent` on.
double round_float(double value, int digits, int least_exponent, int end_exponent) {
    if (value == 0 || !std::isfinite(value)) {
        return value;
    }
    int unit = std::max(std::ilogb(value) + 1 - digits, least_exponent);
    double rounded = std::ldexp(std::nearbyint(std::ldexp(value, -unit)), unit);
    bool too_large = std::fabs(rounded) >= std::ldexp(1.0, end_exponent);
    return too_large ? std::copysign(std::numeric_limits<double>::infinity(), value) : rounded;
}

int64_t cut(double value, int bits) {
    double limit = std::ldexp(1.0, bits - 1);
    bool inside = value >= -limit && value < limit;
    return static_cast<int64_t>(inside ? value : -limit);
}

}  // namespace

std::span<const DTypeInfo> dtypes() {
    return table;
}

const DTypeInfo &info(DType dtype) {
    return table[static_cast<size_t>(dtype)];
}

DType parse_dtype(std::string_view name, const Loc &at) {
    std::vector<std::string> names;
    for (const DTypeInfo &row : table) {
        if (name == row.name || name == row.user_name) {
            return row.dtype;
        }
        names.emplace_back(row.name);
    }
    std::string nearest = nearest_name(name, names);
    throw CompileError(at, "unknown dtype " + quoted(name), {},
                       (nearest.empty() ? "" : "did you mean " + nearest + "? ") +
                           std::string("known are ") + join(names));
}

bool fits_integer(DType dtype, int64_t value) {
    int bits = 8 * size_bytes(dtype);
    if (info(dtype).kind == DTypeKind::Unsigned) {
        return value >= 0 && (bits == 64 || value >> bits == 0);
    }
    return bits == 64 || (value >= -(int64_t{1} << (bits - 1)) && value < int64_t{1} << (bits - 1));
}

bool fits_integer(DType dtype, double value) {
    bool has_sign = info(dtype).kind == DTypeKind::Signed;
    double end = std::ldexp(1.0, 8 * size_bytes(dtype) - (has_sign ? 1 : 0));
    return value == std::trunc(value) && value >= (has_sign ? -end : 0) && value < end;
}

DType promote(DType a, DType b) {
    if (a == b) {
        return a;
    }
    if (a == DType::Mask || b == DType::Mask) {
        throw TypeCheckError({}, "no common type of " + name(a) + " and " + name(b), {},
                             "a mask is taken by where(mask, a, b) only");
    }
    if (is_float(a) && is_float(b)) {
        return promote_floats(a, b);
    }
    if (is_float(a) != is_float(b)) {
        return is_float(a) ? a : b;
    }
    return promote_integers(a, b);
}

float half_to_float(uint16_t bits) {
    uint32_t sign = static_cast<uint32_t>(bits & 0x8000) << 16;
    uint32_t exponent = (bits >> 10) & 0x1f;
    uint32_t fraction = bits & 0x3ff;
    if (exponent == 0x1f) {
        uint32_t quiet = fraction == 0 ? 0 : 0x400000;
        return std::bit_cast<float>(sign | 0x7f800000 | quiet | (fraction << 13));
    }
    if (exponent == 0) {
        float magnitude = std::ldexp(static_cast<float>(fraction), -24);
        return sign != 0 ? -magnitude : magnitude;
    }
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
}

uint16_t float_to_half(float value) {
    auto bits = std::bit_cast<uint32_t>(value);
    uint32_t sign = (bits >> 16) & 0x8000;
    uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return static_cast<uint16_t>(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
    }
    // From 2^16 on; rounding carries the values from 65520 up to the same pattern.
    if (magnitude >= 0x47800000) {
        return static_cast<uint16_t>(sign | 0x7c00);
    }
    uint32_t exponent = magnitude >> 23;
    if (exponent < 102) {
        return static_cast<uint16_t>(sign);
    }
    bool normal = exponent >= 113;
    uint32_t shift = normal ? 13 : 126 - exponent;
    uint32_t kept = normal ? magnitude - (112u << 23) : (magnitude & 0x7fffff) | 0x800000;
    uint32_t result = kept >> shift;
    uint32_t rest = kept & ((1u << shift) - 1);
    uint32_t half = 1u << (shift - 1);
    // A carry out of the fraction is the next exponent, which is what rounding up means.
    result += rest > half || (rest == half && (result & 1) != 0) ? 1 : 0;
    return static_cast<uint16_t>(sign | result);
}

float bfloat_to_float(uint16_t bits) {
    auto wide = static_cast<uint32_t>(bits) << 16;
    bool is_nan = (wide & 0x7fffffff) > 0x7f800000;
    return std::bit_cast<float>(is_nan ? wide | 0x400000 : wide);
}

uint16_t float_to_bfloat(float value) {
    auto bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return static_cast<uint16_t>((bits >> 16) | 0x40);
    }
    uint32_t to_even = 0x7fff + ((bits >> 16) & 1);
    return static_cast<uint16_t>((bits + to_even) >> 16);
}

double round_to(DType dtype, double value) {
    switch (dtype) {
    case DType::F64:
        return value;
    case DType::F32:
        return round_float(value, 24, -149, 128);
    case DType::F16:
        return round_float(value, 11, -24, 16);
    case DType::BF16:
        return round_float(value, 8, -133, 128);
    case DType::Mask:
        return value != 0 ? 1 : 0;
    default: {
        int64_t cut = cut_to(dtype, value);
        return dtype == DType::U64 ? static_cast<double>(static_cast<uint64_t>(cut))
                                   : static_cast<double>(cut);
    }
    }
}

int64_t wrap_to(DType dtype, int64_t value) {
    int shift = 64 - 8 * size_bytes(dtype);
    uint64_t high = static_cast<uint64_t>(value) << shift;
    return info(dtype).kind == DTypeKind::Signed ? static_cast<int64_t>(high) >> shift
                                                 : static_cast<int64_t>(high >> shift);
}

int64_t cut_to(DType dtype, double value) {
    const int bits = size_bytes(dtype) == 8 ? 64 : 32;
    const double upper = std::ldexp(1.0, bits - 1);
    if ((dtype == DType::U32 || dtype == DType::U64) && value >= upper) {
        return wrap_to(dtype, cut(value - upper, bits) ^ cut(-upper, bits));
    }
    return wrap_to(dtype, cut(value, bits));
}

int64_t scalar_word(DType dtype, double value) {
    if (is_integer(dtype)) {
        return cut_to(dtype, value);
    }
    double rounded = round_to(dtype, value);
    return dtype == DType::F64 ? std::bit_cast<int64_t>(rounded)
                               : std::bit_cast<uint32_t>(static_cast<float>(rounded));
}

}  // namespace pto::wsp
