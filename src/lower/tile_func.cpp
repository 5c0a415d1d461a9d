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

/// An integer as a double that rounds to any narrower float as the integer itself does: bits that a
/// double has not are one, the last that it has.
Expr in_double(const Expr &integer) {
    if (integer.type().bits() < 64) {
        return Halide::cast<double>(integer);
    }
    auto number = [&](int64_t value) {
        return Halide::Internal::make_const(integer.type(), value);
    };
    const Expr rest = number((1 << 11) - 1);
    Expr odd = (integer & ~rest) |
               Halide::select((integer & rest) != number(0), rest + number(1), number(0));
    Expr exact = integer < number(int64_t{1} << 53);
    if (integer.type().is_int()) {
        exact = exact && integer > number(-(int64_t{1} << 53));
    }
    return Halide::cast<double>(Halide::select(exact, integer, odd));
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
    if (from == DType::F64 && inner_type(to) == Halide::Float(32)) {
        return to == DType::F32 ? Halide::strict_float(Halide::cast<float>(value))
                                : rounded(to, value);
    }
    // F32 would be a rounding in between; what F16 has and F32 has not is infinite.
    if (is_integer(from) && to == DType::BF16 && value.type().bits() >= 32) {
        return rounded(to, in_double(value));
    }
    return rounded(to, Halide::cast(inner_type(to), value));
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
