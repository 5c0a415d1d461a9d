#include "tile_func.h"

#include <algorithm>

#include "math.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::lower {

using Halide::Expr;

Expr Symbols::variable(const std::string &name) {
    auto it = params_.find(name);
    if (it == params_.end()) {
        it = params_.emplace(name, Halide::Param<int32_t>(name)).first;
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
    if (dtype == DType::Mask) {
        return Halide::Bool();
    }
    return is_float(dtype) ? Halide::Float(32) : Halide::Int(32);
}

Halide::Type memory_type(DType dtype) {
    switch (dtype) {
    case DType::F16:
        return Halide::Float(16);
    case DType::BF16:
        return Halide::UInt(16);
    case DType::F32:
        return Halide::Float(32);
    case DType::I32:
        return Halide::Int(32);
    case DType::Mask:
        return Halide::UInt(8);
    default:
        throw InternalError("lower", "no code for elements of " + pto::wsp::name(dtype));
    }
}

namespace {

/// Bits of bf16, round to nearest even; a NaN keeps its sign and becomes quiet.
Expr bfloat_bits(const Expr &value) {
    Expr bits = Halide::reinterpret<uint32_t>(value);
    Expr nearest = (bits + Expr(0x7fffu) + ((bits >> 16) & Expr(1u))) >> 16;
    Expr quiet = (bits >> 16) | Expr(0x40u);
    return Halide::cast<uint16_t>(Halide::select(Halide::is_nan(value), quiet, nearest));
}

// The casts between f32 and f16 promise that there are no NaN and no infinities, also in strict
// code, so what is not finite takes a way of its own.

Expr half_value(const Expr &half) {
    Expr bits = Halide::cast<uint32_t>(Halide::reinterpret<uint16_t>(half));
    Expr special =
        ((bits & Expr(0x8000u)) << 16) | Expr(0x7f800000u) | ((bits & Expr(0x3ffu)) << 13);
    return choose((bits & Expr(0x7c00u)) == Expr(0x7c00u), Halide::reinterpret<float>(special),
                  Halide::cast<float>(half));
}

/// Round to nearest even; a NaN keeps its sign and becomes quiet.
Expr half_of(const Expr &value) {
    Expr bits = Halide::reinterpret<uint32_t>(value);
    Expr magnitude = bits & Expr(0x7fffffffu);
    Expr special = ((bits >> 16) & Expr(0x8000u)) |
                   Halide::select(magnitude > Expr(0x7f800000u), Expr(0x7e00u), Expr(0x7c00u));
    // From 65520 on the nearest is infinity.
    return choose(magnitude >= Expr(0x477ff000u),
                  Halide::reinterpret(Halide::Float(16), Halide::cast<uint16_t>(special)),
                  Halide::cast(Halide::Float(16), value));
}

Expr bfloat_value(const Expr &bits) {
    return Halide::reinterpret<float>(Halide::cast<uint32_t>(bits) << 16);
}

}  // namespace

Expr rounded(DType dtype, const Expr &value) {
    if (dtype == DType::F16) {
        return half_value(half_of(value));
    }
    if (dtype == DType::BF16) {
        return bfloat_value(bfloat_bits(value));
    }
    return value;
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
        return half_of(value);
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
    if (from == DType::Mask || is_integer(from) || is_float(to)) {
        return rounded(to, Halide::cast(inner_type(to), value));
    }
    // Out of range is the smallest integer, as x86 and NumPy on it have it.
    Expr inside = Halide::strict_float(value >= -2147483648.0f && value < 2147483648.0f);
    return Halide::select(inside, Halide::cast<int32_t>(Halide::select(inside, value, 0.0f)),
                          Expr(INT32_MIN));
}

}  // namespace pto::wsp::lower
