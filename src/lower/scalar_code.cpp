#include "scalar_code.h"

#include <functional>

#include "pto/wsp/support/error.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Handle;
using Halide::Int;

Expr i64(int64_t value) {
    return make_const(Int(64), value);
}

Expr variable(const std::string &name) {
    return Variable::make(Int(64), name);
}

Expr word(const std::string &memory, int index) {
    return Load::make(Int(64), memory, index, {}, {}, const_true(), ModulusRemainder());
}

Stmt set_word(const std::string &memory, int index, const Expr &value) {
    return Store::make(memory, value, index, {}, const_true(), ModulusRemainder());
}

namespace {

/// `value`, of which `function` makes sure when the program runs that it can be an operand.
Expr checked(const std::string &function, const Expr &value) {
    return Call::make(Int(64), function, {value}, Call::Extern);
}

/// A divisor; Halide would give 0 for 0.
Expr divisor(const ScalarExpr &value, const Expr &code) {
    const bool is_workers =
        value.op() == ScalarExpr::Op::Var && value.name() == workload::workers_variable;
    const bool is_safe = is_workers || (is_const(code) && !is_const_zero(code));
    return is_safe ? code : checked("pto_wsp_checked_divisor", code);
}

/// Halide's division leaves a remainder of at least 0; Python's has the divisor's sign.
/// The operands have names, or nested divisions would grow exponentially.
Expr with_names(const Expr &a, const Expr &b,
                const std::function<Expr(const Expr &a, const Expr &b)> &body) {
    if (is_const(b)) {
        Expr named = variable("division.of");
        return Let::make("division.of", a, body(named, b));
    }
    return Let::make(
        "division.of", a,
        Let::make("division.by", b, body(variable("division.of"), variable("division.by"))));
}

Expr floor_div(const Expr &a, const Expr &b) {
    return with_names(a, b, [](const Expr &x, const Expr &by) {
        return is_positive_const(by) ? x / by : select(by < 0 && x % by != 0, x / by - 1, x / by);
    });
}

Expr floor_mod(const Expr &a, const Expr &b) {
    return with_names(a, b, [](const Expr &x, const Expr &by) {
        return is_positive_const(by) ? x % by : select(by < 0 && x % by != 0, x % by + by, x % by);
    });
}

Expr truth(const Expr &condition) {
    return Halide::cast<int64_t>(condition);
}

Expr either(const Expr &condition, const Expr &a, const Expr &b) {
    return Call::make(Int(64), Call::if_then_else, {condition, a, b}, Call::PureIntrinsic);
}

Expr leaf(const ScalarCode &code, const ScalarExpr &value) {
    using Op = ScalarExpr::Op;
    switch (value.op()) {
    case Op::Const:
        return i64(value.value());
    case Op::Symbol:
        return word("bindings", code.loops->run_symbols.at(value.name()));
    case Op::Slot:
        if (code.first_slot < 0) {
            throw InternalError("expand", "there are no slots for " + value.str());
        }
        return word("frame", code.first_slot + static_cast<int>(value.value()));
    default:
        return value.name() == workload::workers_variable
                   ? word("bindings", code.loops->workers_binding)
                   : variable(value.name());
    }
}

Expr element(const ScalarCode &code, const ScalarExpr &value, const Expr &index) {
    const int first = code.loops->run_tables.at(value.name());
    return Call::make(Int(64), "pto_wsp_table_element",
                      {reinterpret(Handle(), word("bindings", first)), word("bindings", first + 1),
                       index, StringImm::make(value.name())},
                      Call::Extern);
}

}  // namespace

Expr ScalarCode::operator()(const ScalarExpr &value) const {
    using Op = ScalarExpr::Op;
    std::vector<Expr> x;
    for (const ScalarExpr &operand : value.operands()) {
        x.push_back((*this)(operand));
    }
    switch (value.op()) {
    case Op::Const:
    case Op::Var:
    case Op::Symbol:
    case Op::Slot:
        return leaf(*this, value);
    case Op::Param:
        throw InternalError("expand", value.str() + " is left in a key");
    case Op::Load:
        return element(*this, value, x[0]);
    case Op::CastU64:
        return checked("pto_wsp_checked_u64", x[0]);
    case Op::Add:
        return x[0] + x[1];
    case Op::Sub:
        return x[0] - x[1];
    case Op::Mul:
        return x[0] * x[1];
    case Op::FloorDiv:
        return floor_div(x[0], divisor(value.operands()[1], x[1]));
    case Op::Mod:
        return floor_mod(x[0], divisor(value.operands()[1], x[1]));
    case Op::BitAnd:
        return x[0] & x[1];
    case Op::BitOr:
        return x[0] | x[1];
    case Op::BitXor:
        return x[0] ^ x[1];
    case Op::ShiftLeft:
        return x[0] << checked("pto_wsp_checked_shift", x[1]);
    case Op::ShiftRight:
        return x[0] >> checked("pto_wsp_checked_shift", x[1]);
    case Op::Min:
        return Halide::min(x[0], x[1]);
    case Op::Max:
        return Halide::max(x[0], x[1]);
    case Op::Eq:
        return truth(x[0] == x[1]);
    case Op::Ne:
        return truth(x[0] != x[1]);
    case Op::Lt:
        return truth(x[0] < x[1]);
    case Op::Le:
        return truth(x[0] <= x[1]);
    case Op::Gt:
        return truth(x[0] > x[1]);
    case Op::Ge:
        return truth(x[0] >= x[1]);
    case Op::And:
        return either(x[0] != 0, truth(x[1] != 0), i64(0));
    case Op::Or:
        return either(x[0] != 0, i64(1), truth(x[1] != 0));
    case Op::Not:
        return truth(x[0] == 0);
    case Op::Select:
        return either(x[0] != 0, x[1], x[2]);
    }
    throw InternalError("expand", "an expression has no code: " + value.str());
}

}  // namespace pto::wsp::lower
