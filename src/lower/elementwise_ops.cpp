#include <cmath>
#include <limits>

#include "ops.h"
#include "pto/wsp/support/error.h"

/// Rows of the lowering table that work element by element.
namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;

Expr infinity(Halide::Type type, int sign) {
    return make_const(type, sign * std::numeric_limits<double>::infinity());
}

Expr divided(const Expr &a, const Expr &b) {
    // Halide refuses to divide by what it sees to be zero. LLVM removes the difference, which is b
    // also where b is -0.0.
    Expr divisor =
        Call::make(b.type(), Call::strict_sub, {b, make_zero(b.type())}, Call::PureIntrinsic);
    return Call::make(a.type(), Call::strict_div, {a, divisor}, Call::PureIntrinsic);
}

namespace {

/// The larger and the smaller; NaN if either is.
Expr maximum(const Expr &a, const Expr &b) {
    return a.type().is_float() ? choose(Halide::is_nan(a) || strict(a > b), a, b)
                               : Halide::max(a, b);
}

Expr minimum(const Expr &a, const Expr &b) {
    return a.type().is_float() ? choose(Halide::is_nan(a) || strict(a < b), a, b)
                               : Halide::min(a, b);
}

bool is_f(const Expr &x) {
    return x.type().is_float();
}

/// Signed integers wrap: computed on the unsigned type of the same width. The simplifier sees
/// through casts there and back and compares sums of int32 as if they could not overflow, so tiles
/// go by their bits; scalars, of which places are made, stay open to it.
template <typename F> Expr wrapping(const Definition &d, const Expr &a, const Expr &b, F f) {
    if (is_f(a)) {
        return strict(f(a, b));
    }
    Expr bits = f(as_unsigned(a), as_unsigned(b));
    return d.type.is_scalar() ? Halide::cast(a.type(), bits) : Halide::reinterpret(a.type(), bits);
}

Expr sign_bit(const Expr &x) {
    return make_const(x.type().with_code(Halide::Type::UInt), 1) << (x.type().bits() - 1);
}

Expr negated(const Expr &x) {
    if (is_f(x)) {
        return Halide::reinterpret(x.type(), float_bits(x) ^ sign_bit(x));
    }
    return Halide::cast(x.type(),
                        make_zero(x.type().with_code(Halide::Type::UInt)) - as_unsigned(x));
}

Expr absolute(const Expr &x) {
    if (is_f(x)) {
        return Halide::reinterpret(x.type(), float_bits(x) & ~sign_bit(x));
    }
    return x.type().is_uint() ? x : Halide::select(x < 0, negated(x), x);
}

/// Operand `i` converted to the result's type first, as NumPy promotes.
Expr promoted(const Definition &d, const std::vector<Expr> &x, size_t i) {
    return converted(d.operand_types[i].dtype, d.type.dtype, x[i]);
}

/// The operands of a comparison in their common type. U64 and an integer with sign have none that
/// is exact, so that NumPy compares them apart: by the bits where the sign does not decide.
class Compared {
public:
    Compared(const Definition &d, const std::vector<Expr> &x, size_t a, size_t b) {
        DType left = d.operand_types[a].dtype;
        DType right = d.operand_types[b].dtype;
        DType common = promote(left, right);
        if (common == DType::F64 && is_integer(left) && is_integer(right)) {
            common = DType::U64;
            a_negative_ = is_negative(x[a]);
            b_negative_ = is_negative(x[b]);
        }
        a_ = converted(left, common, x[a]);
        b_ = converted(right, common, x[b]);
    }

    Expr less() const { return a_negative_ || (!b_negative_ && strict(a_ < b_)); }
    Expr equal() const { return !a_negative_ && !b_negative_ && strict(a_ == b_); }
    /// The x86 backend turns a <= b into !(b < a), which holds for NaN.
    Expr at_most() const {
        return is_f(a_) ? less() || equal() : a_negative_ || (!b_negative_ && a_ <= b_);
    }

private:
    static Expr is_negative(const Expr &x) {
        return x.type().is_int() ? x < make_zero(x.type()) : const_false();
    }

    Expr a_, b_;
    Expr a_negative_ = const_false();
    Expr b_negative_ = const_false();
};

Expr constant_value(const Definition &d) {
    const kernel::Attribute &value = d.node.attributes.at("value");
    Halide::Type type = inner_type(d.type.dtype);
    if (is_integer(d.type.dtype)) {
        return make_const(type, std::get<int64_t>(value));
    }
    double number = std::holds_alternative<int64_t>(value)
                        ? static_cast<double>(std::get<int64_t>(value))
                        : std::get<double>(value);
    double rounded = round_to(d.type.dtype, number);
    // Halide takes -0.0 and 0.0 for one constant.
    return rounded == 0.0 && std::signbit(rounded)
               ? Halide::reinterpret(type, sign_bit(make_zero(type)))
               : make_const(type, rounded);
}

/// floor(a / b) of integers; 0 when b is 0, as NumPy has it, and the lowest / -1 wraps.
Expr floor_div(const Expr &a, const Expr &b) {
    Expr zero = make_zero(b.type());
    Expr one = make_one(b.type());
    Expr by_zero = b == zero;
    if (b.type().is_uint()) {
        return Halide::select(by_zero, zero, a / Halide::select(by_zero, one, b));
    }
    Expr minus = b == make_const(b.type(), -1);
    // Halide's division of integers is Euclidean; it differs from floor for b < 0.
    Expr divisor = Halide::select(by_zero || minus, one, b);
    Expr quotient = a / divisor;
    Expr floored = Halide::select(divisor < zero && a % divisor != zero, quotient - one, quotient);
    return Halide::select(by_zero, zero, minus, negated(a), floored);
}

/// a - b floor_div(a, b); 0 when b is 0.
Expr floor_mod(const Expr &a, const Expr &b) {
    Expr product = as_unsigned(floor_div(a, b)) * as_unsigned(b);
    Expr rest = Halide::cast(a.type(), as_unsigned(a) - product);
    return Halide::select(b == make_zero(b.type()), make_zero(b.type()), rest);
}

/// Significant bits of the result's type, as the functions of math.h take them.
int digits(const Definition &d) {
    return d.type.dtype == DType::F16    ? math::f16_digits
           : d.type.dtype == DType::BF16 ? math::bf16_digits
                                         : math::f32_digits;
}

/// Kept where no sum with a row overflows; no tile has so many columns.
Expr bounded_offset(const Expr &offset) {
    constexpr int32_t far = 1 << 30;
    return Halide::clamp(offset, -far, far);
}

}  // namespace

PTO_WSP_ELEMENT(Constant, constant_value(d))
PTO_WSP_ELEMENT(Add, wrapping(d, promoted(d, x, 0), promoted(d, x, 1),
                              [](Expr a, Expr b) { return a + b; }))
PTO_WSP_ELEMENT(Sub, wrapping(d, promoted(d, x, 0), promoted(d, x, 1),
                              [](Expr a, Expr b) { return a - b; }))
PTO_WSP_ELEMENT(Mul, wrapping(d, promoted(d, x, 0), promoted(d, x, 1),
                              [](Expr a, Expr b) { return a * b; }))
PTO_WSP_ELEMENT(Div, divided(promoted(d, x, 0), promoted(d, x, 1)))
PTO_WSP_ELEMENT(FloorDiv, floor_div(promoted(d, x, 0), promoted(d, x, 1)))
PTO_WSP_ELEMENT(Mod, floor_mod(promoted(d, x, 0), promoted(d, x, 1)))
PTO_WSP_ELEMENT(Maximum, maximum(promoted(d, x, 0), promoted(d, x, 1)))
PTO_WSP_ELEMENT(Minimum, minimum(promoted(d, x, 0), promoted(d, x, 1)))
PTO_WSP_ELEMENT(Neg, negated(x[0]))
PTO_WSP_ELEMENT(Abs, absolute(x[0]))
PTO_WSP_ELEMENT(Exp, d.flag("nonpositive") ? math::exp_nonpositive(x[0], digits(d))
                                           : math::exp(x[0], digits(d)))
PTO_WSP_ELEMENT(Log, math::log(x[0]))
PTO_WSP_ELEMENT(Sqrt, strict(Halide::sqrt(x[0])))
PTO_WSP_ELEMENT(Rsqrt, divided(make_one(x[0].type()), strict(Halide::sqrt(x[0]))))
PTO_WSP_ELEMENT(Tanh, math::tanh(x[0]))
PTO_WSP_ELEMENT(Sin, math::sin(x[0]))
PTO_WSP_ELEMENT(Cos, math::cos(x[0]))
PTO_WSP_ELEMENT(Erf, math::erf(x[0]))
PTO_WSP_ELEMENT(Sigmoid, math::sigmoid(x[0], digits(d)))
PTO_WSP_ELEMENT(Silu, math::silu(x[0], digits(d)))
PTO_WSP_ELEMENT(Gelu, math::gelu(x[0]))
PTO_WSP_ELEMENT(Relu, maximum(x[0], Halide::cast(x[0].type(), 0)))
PTO_WSP_ELEMENT(Cast, converted(d.operand_types[0].dtype, d.type.dtype, x[0]))
PTO_WSP_ELEMENT(Where, choose(x[0], converted(d.operand_types[1].dtype, d.type.dtype, x[1]),
                              converted(d.operand_types[2].dtype, d.type.dtype, x[2])))
PTO_WSP_ELEMENT(Lt, Compared(d, x, 0, 1).less())
PTO_WSP_ELEMENT(Le, Compared(d, x, 0, 1).at_most())
PTO_WSP_ELEMENT(Gt, Compared(d, x, 1, 0).less())
PTO_WSP_ELEMENT(Ge, Compared(d, x, 1, 0).at_most())
PTO_WSP_ELEMENT(Eq, Compared(d, x, 0, 1).equal())
PTO_WSP_ELEMENT(Ne, !Compared(d, x, 0, 1).equal())
PTO_WSP_ELEMENT(Broadcast, x[0])
PTO_WSP_ELEMENT(RowIndex, Halide::cast<int32_t>(d.row))
PTO_WSP_ELEMENT(ColumnIndex, Halide::cast<int32_t>(d.column))
PTO_WSP_ELEMENT(IotaU32, Halide::cast<uint32_t>(d.column))
PTO_WSP_ELEMENT(CausalMask,
                choose(d.column <= d.row + (x.size() > 1 ? bounded_offset(x[1]) : Expr(0)), x[0],
                       infinity(x[0].type(), -1)))

}  // namespace pto::wsp::lower
