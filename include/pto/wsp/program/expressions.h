#pragma once

#include <concepts>
#include <string>
#include <type_traits>

#include "pto/wsp/core/affine.h"
#include "pto/wsp/core/scalar_expr.h"

namespace pto::wsp {

/// A loop variable, or an affine expression of some: `b`, `i + 1`, `2 * i`.
using AxisVar = Affine;

/// What is known when the program runs. Dims of tiles are affine expressions of Symbols; as an
/// argument of a task or the size of an axis one stands for the value that `Program::set_symbols`,
/// `set_symbol_f32` or `set_symbol_ptr` gives it.
class Symbol : public Affine {
public:
    explicit Symbol(const std::string &name) : Affine(Affine::variable(name)) {}
};

/// An integer that is no truth value.
template <class T>
concept IntegerLike = std::integral<T> && !std::same_as<T, bool>;
/// What scalar expressions are made of beside integers.
template <class T>
concept ExpressionLike = std::derived_from<T, Affine> || std::same_as<T, ScalarExpr>;
/// Operands of an operator of expressions; one of the two is no integer.
template <class A, class B>
concept ExpressionOperands = (ExpressionLike<A> || IntegerLike<A>)&&(
    ExpressionLike<B> || IntegerLike<B>)&&(ExpressionLike<A> || ExpressionLike<B>);
/// Operands of `+`, `-` and `*` whose result is not affine.
template <class A, class B>
concept ScalarOperands = ExpressionOperands<A, B> &&
    (std::same_as<A, ScalarExpr> || std::same_as<B, ScalarExpr>);

/// A run-time expression of an integer, of loop variables, or the expression itself.
template <class T>
requires(ExpressionLike<T> || IntegerLike<T>) ScalarExpr as_expr(const T &value) {
    if constexpr (std::same_as<T, Symbol>) {
        return ScalarExpr::symbol(value.terms().begin()->first);
    } else if constexpr (std::derived_from<T, Affine>) {
        return ScalarExpr::from(value);
    } else {
        return ScalarExpr(value);
    }
}

/// The loop variable called `name`, in keys of `dispatch` and `stream_by`.
inline ScalarExpr axis(const std::string &name) {
    return ScalarExpr::variable(name);
}

/// In keys of schedules: the integer that the task is called with for its kernel's scalar parameter
/// `name`. A task without one is a ScheduleError; anywhere else it is a CompileError.
inline ScalarExpr task_param(const std::string &name) {
    return ScalarExpr::param(name);
}
/// In keys of schedules: subscript number `index` of the task, 0 of `b` in `attn[b, h]`.
inline ScalarExpr task_param(int64_t index) {
    return ScalarExpr::param(index);
}

/// Affine with the integer on the left.
template <IntegerLike T> Affine operator*(T factor, const Affine &value) {
    return value * static_cast<int64_t>(factor);
}
template <IntegerLike T> Affine operator+(T constant, const Affine &value) {
    return value + Affine(static_cast<int64_t>(constant));
}
template <IntegerLike T> Affine operator-(T constant, const Affine &value) {
    return Affine(static_cast<int64_t>(constant)) - value;
}

#define PTO_WSP_EXPRESSION(function, operands, op)                                                 \
    template <class A, class B>                                                                    \
    requires(operands<A, B>) ScalarExpr function(const A &a, const B &b) {                         \
        return ScalarExpr::make(ScalarExpr::Op::op, {as_expr(a), as_expr(b)});                     \
    }

PTO_WSP_EXPRESSION(operator+, ScalarOperands, Add)
PTO_WSP_EXPRESSION(operator-, ScalarOperands, Sub)
PTO_WSP_EXPRESSION(operator*, ScalarOperands, Mul)
/// The remainder, which has the sign of `b`, as in Python.
PTO_WSP_EXPRESSION(operator%, ExpressionOperands, Mod)
/// The quotient, rounded towards minus infinity.
PTO_WSP_EXPRESSION(floordiv, ExpressionOperands, FloorDiv)
/// Of the bits of 64-bit integers.
PTO_WSP_EXPRESSION(operator&, ExpressionOperands, BitAnd)
PTO_WSP_EXPRESSION(operator|, ExpressionOperands, BitOr)
PTO_WSP_EXPRESSION(operator^, ExpressionOperands, BitXor)
/// By 0...63 bits; the run ends with an error otherwise.
PTO_WSP_EXPRESSION(operator<<, ExpressionOperands, ShiftLeft)
PTO_WSP_EXPRESSION(operator>>, ExpressionOperands, ShiftRight)
PTO_WSP_EXPRESSION(min, ExpressionOperands, Min)
PTO_WSP_EXPRESSION(max, ExpressionOperands, Max)

// `==` compares what expressions are made of, so these have names.
PTO_WSP_EXPRESSION(equal, ExpressionOperands, Eq)
PTO_WSP_EXPRESSION(not_equal, ExpressionOperands, Ne)
PTO_WSP_EXPRESSION(operator<, ExpressionOperands, Lt)
PTO_WSP_EXPRESSION(operator<=, ExpressionOperands, Le)
PTO_WSP_EXPRESSION(operator>, ExpressionOperands, Gt)
PTO_WSP_EXPRESSION(operator>=, ExpressionOperands, Ge)
/// The right side is evaluated where the left one leaves it open.
PTO_WSP_EXPRESSION(operator&&, ScalarOperands, And)
PTO_WSP_EXPRESSION(operator||, ScalarOperands, Or)

#undef PTO_WSP_EXPRESSION

/// 1 where `a` is 0, else 0.
inline ScalarExpr operator!(const ScalarExpr &a) {
    return ScalarExpr::make(ScalarExpr::Op::Not, {a});
}
/// `a` where the condition is not 0, else `b`; only that one is evaluated.
template <class A, class B>
requires((ExpressionLike<A> || IntegerLike<A>)&&(ExpressionLike<B> || IntegerLike<B>)) ScalarExpr
    select(const ScalarExpr &condition, const A &a, const B &b) {
    return ScalarExpr::make(ScalarExpr::Op::Select, {condition, as_expr(a), as_expr(b)});
}

}  // namespace pto::wsp
