#include "scalar_op.h"

#include <array>

namespace pto::wsp {

namespace {

using Op = ScalarExpr::Op;

constexpr std::array<ScalarOp, 29> table = {{
    {Op::Const, "constant", 0, 0, false},
    {Op::Var, "variable", 0, 0, false},
    {Op::Add, "+", 2, 9, false},
    {Op::Sub, "-", 2, 9, false},
    {Op::Mul, "*", 2, 10, false},
    {Op::FloorDiv, "//", 2, 10, false},
    {Op::Mod, "%", 2, 10, false},
    {Op::BitAnd, "&", 2, 7, false},
    {Op::BitOr, "|", 2, 5, false},
    {Op::BitXor, "^", 2, 6, false},
    {Op::ShiftLeft, "<<", 2, 8, false},
    {Op::ShiftRight, ">>", 2, 8, false},
    {Op::Min, "min", 2, 0, true},
    {Op::Max, "max", 2, 0, true},
    {Op::Eq, "==", 2, comparison_precedence, false},
    {Op::Ne, "!=", 2, comparison_precedence, false},
    {Op::Lt, "<", 2, comparison_precedence, false},
    {Op::Le, "<=", 2, comparison_precedence, false},
    {Op::Gt, ">", 2, comparison_precedence, false},
    {Op::Ge, ">=", 2, comparison_precedence, false},
    {Op::And, "and", 2, 2, false},
    {Op::Or, "or", 2, or_precedence, false},
    {Op::Not, "not", 1, not_precedence, false},
    {Op::Select, "select", 3, 0, true},
    {Op::CastU64, "u64", 1, 0, true},
    {Op::Symbol, "symbol", 0, 0, true},
    {Op::Slot, "slot", 0, 0, true},
    {Op::Load, "load", 1, 0, true},
    {Op::Param, "param", 0, 0, true},
}};

constexpr bool in_enumerator_order() {
    for (size_t i = 0; i < table.size(); ++i) {
        if (static_cast<size_t>(table[i].op) != i) {
            return false;
        }
    }
    return true;
}
static_assert(in_enumerator_order(), "scalar_op() indexes the table by enumerator");

}  // namespace

const ScalarOp &scalar_op(ScalarExpr::Op op) {
    return table[static_cast<size_t>(op)];
}

const ScalarOp *find_scalar_op(std::string_view symbol, bool is_call) {
    for (const ScalarOp &row : table) {
        bool fits = is_call ? row.is_call : row.arity == 2 && !row.is_call;
        if (fits && symbol == row.symbol) {
            return &row;
        }
    }
    return nullptr;
}

}  // namespace pto::wsp
