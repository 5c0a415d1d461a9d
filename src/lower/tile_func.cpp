#include "tile_func.h"

#include <algorithm>
#include <cmath>

#include "math.h"
#include "narrow_floats.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::lower {

using Halide::Expr;

Expr Symbols::variable(const std::string &name, Halide::Type type) {
    auto it = params_.find(name);
    if (it == params_.end()) {
        it = params_.emplace(name, Halide::Param<>(type, name)).first;
    }
    return it->second;
}

Expr Symbols::operator()(const Affine &affine) {
    Expr sum = static_cast<int32_t>(affine.constant());
    for (const auto &[name, coefficient] : affine.terms()) {
        sum = sum + variable(name) * static_cast<int32_t>(coefficient);
    }
    return Halide::Internal::simplify(sum);
}

std::string halide_name(std::string name) {
    std::replace(name.begin(), name.end(), '.', '_');
    return name;
}

Halide::Func Definition::make(const std::string &suffix) {
    Halide::Func func(halide_name(name + suffix));
    funcs[name + suffix] = func;
    return func;
}

void Definition::elementwise(const std::function<Expr(const std::vector<Expr> &)> &element) {
    std::vector<Expr> values;
    for (const TileFunc &operand : operands) {
        values.push_back(operand.at(row, column));
    }
    result.func = make();
    result.func(column, row) = rounded(type.dtype, element(values));
}

bool Definition::flag(const std::string &attribute) const {
    return kernel::has_flag(node.attributes, attribute.c_str());
}

Halide::Type inner_type(DType dtype) {
    switch (dtype) {
    case DType::F16:
    case DType::BF16:
        return Halide::Float(32);
    case DType::Mask:
        return Halide::Bool();
    default:
        return memory_type(dtype);
    }
}

Halide::Type memory_type(DType dtype) {
    const int bits = 8 * size_bytes(dtype);
    switch (info(dtype).kind) {
    case DTypeKind::Float:
        return bits == 16 ? Halide::UInt(16) : Halide::Float(bits);
    case DTypeKind::Signed:
        return Halide::Int(bits);
    default:
        return Halide::UInt(bits);
    }
}

Halide::Type scratch_type(DType dtype) {
    return dtype == DType::Mask ? Halide::UInt(8) : inner_type(dtype);
}

namespace {

/// A float64 as the float32 next to it towards zero whose last bit is set when it is not exact:
/// rounding that to a narrower type gives what rounding the float64 gives (rounding to odd; Boldo
/// and Melquiond, "Emulation of FMA and correctly rounded sums", 2008).
Expr to_odd(const Expr &value) {
    Expr nearest = Halide::strict_float(Halide::cast<float>(value));
    Expr back = Halide::strict_float(Halide::cast<double>(nearest));
    Expr past = Halide::strict_float(Halide::abs(back) > Halide::abs(value));
    Expr inexact = Halide::strict_float(back < value) || Halide::strict_float(back > value);
    Expr bits = Halide::reinterpret<uint32_t>(nearest);
    Expr odd = Halide::select(past, bits - Expr(1u), bits) | Expr(1u);
    return choose(inexact, Halide::reinterpret<float>(odd), nearest);
}

/// An integer of 32 or 64 bits as a float64 that rounds to what the integer itself rounds to. From
/// 2^53 on its low bits become one (see to_odd), so that the conversion is exact.
Expr integer_to_odd(const Expr &value) {
    if (value.type().bits() <= 32) {
        return Halide::cast<double>(value);
    }
    auto constant = [&](int64_t number) {
        return Halide::Internal::make_const(value.type(), number);
    };
    const Expr low = constant(0x7ff);
    Expr odd = Halide::select((value & low) != constant(0), constant(0x800), constant(0));
    Expr kept = (value & ~low) | odd;
    Expr exact = value < constant(int64_t{1} << 53);
    if (value.type().is_int()) {
        exact = exact && value > constant(-(int64_t{1} << 53));
    }
    return Halide::cast<double>(Halide::select(exact, value, kept));
}

/// See `cut_to` in core/dtype.h.
Expr cut(DType to, const Expr &value) {
    Halide::Type type = inner_type(to);
    Halide::Type wide = Halide::Int(std::max(type.bits(), 32));
    Expr limit = Halide::Internal::make_const(value.type(), std::ldexp(1.0, wide.bits() - 1));
    auto cut_to_wide = [&](const Expr &x) {
        Expr inside = Halide::strict_float(x >= -limit) && Halide::strict_float(x < limit);
        Expr zero = Halide::Internal::make_zero(value.type());
        return Halide::select(inside, Halide::cast(wide, choose(inside, x, zero)), wide.min());
    };
    Expr whole = cut_to_wide(value);
    if (type == wide.with_code(Halide::Type::UInt)) {
        // The upper half of the range: moved down, and its highest bit set again.
        Expr upper = cut_to_wide(Halide::strict_float(value - limit)) ^ wide.min();
        // Not `>=`, which the x86 backend turns into !(value < limit), true for NaN.
        Expr above = Halide::strict_float(value > limit) || Halide::strict_float(value == limit);
        whole = Halide::select(above, upper, whole);
    }
    return Halide::cast(type, whole);
}

}  // namespace

Expr rounded(DType dtype, const Expr &value) {
    if (dtype != DType::F16 && dtype != DType::BF16) {
        return value;
    }
    Expr single = value.type().bits() == 64 ? to_odd(value) : value;
    return dtype == DType::F16 ? half_value(half_bits(single)) : bfloat_value(bfloat_bits(single));
}

Expr from_memory(DType dtype, const Expr &stored) {
    if (dtype == DType::BF16) {
        return bfloat_value(stored);
    }
    if (dtype == DType::F16) {
        return half_value(stored);
    }
    return stored.type() == inner_type(dtype) ? stored : Halide::cast(inner_type(dtype), stored);
}

Expr to_memory(DType dtype, const Expr &value) {
    if (dtype == DType::BF16) {
        return bfloat_bits(value);
    }
    if (dtype == DType::F16) {
        return half_bits(value);
    }
    return value.type() == memory_type(dtype) ? value : Halide::cast(memory_type(dtype), value);
}

Expr converted(DType from, DType to, const Expr &value) {
    if (from == to) {
        return value;
    }
    if (to == DType::Mask) {
        return value != Halide::cast(value.type(), 0);
    }
    if (is_float(from) && is_integer(to)) {
        return cut(to, value);
    }
    if (from == DType::F64 && (to == DType::F16 || to == DType::BF16)) {
        return rounded(to, value);
    }
    if (to == DType::BF16 && is_integer(from) && size_bytes(from) >= 4) {
        return rounded(to, integer_to_odd(value));
    }
    Expr cast = Halide::strict_float(Halide::cast(inner_type(to), value));
    // The cast promises that a float is no NaN.
    return rounded(to, is_float(from) && value.type() != cast.type() ? opaque(cast) : cast);
}

Expr scalar_word(DType dtype, const Expr &integer) {
    Expr value = converted(DType::I64, dtype, integer);
    return Halide::cast<int64_t>(
        value.type().is_float()
            ? Halide::reinterpret(value.type().with_code(Halide::Type::UInt), value)
            : value);
}

Expr from_word(Halide::Type type, const Expr &word) {
    if (!type.is_float()) {
        return Halide::cast(type, word);
    }
    return Halide::reinterpret(type, Halide::cast(type.with_code(Halide::Type::UInt), word));
}

}  // namespace pto::wsp::lower
