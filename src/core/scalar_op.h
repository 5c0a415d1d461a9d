#pragma once

#include "pto/wsp/core/scalar_expr.h"

namespace pto::wsp {

/// How an operation of ScalarExpr is written.
struct ScalarOp {
    ScalarExpr::Op op;
    const char *symbol;  ///< the operator or the name of the call
    int arity;           ///< operands; 0 for leaves
    int precedence;      ///< of an operator, higher binds tighter; 0 otherwise
    bool is_call;        ///< written `min(a, b)`
};

/// Binding of operators, as in Python.
inline constexpr int or_precedence = 1;
inline constexpr int not_precedence = 3;
inline constexpr int comparison_precedence = 4;
inline constexpr int sign_precedence = 11;

/// True when the operation has a name of its own besides its operands, written first.
inline bool has_name(ScalarExpr::Op op) {
    return op == ScalarExpr::Op::Symbol || op == ScalarExpr::Op::Load;
}
/// The row of `op`.
const ScalarOp &scalar_op(ScalarExpr::Op op);
/// The row of the binary operator or call written `symbol`, or null.
const ScalarOp *find_scalar_op(std::string_view symbol, bool is_call);

}  // namespace pto::wsp
