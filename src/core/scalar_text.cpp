#include "pto/wsp/core/scalar_text.h"

#include <vector>

namespace pto::wsp {

namespace {

/// A variable that no user can name.
constexpr const char *left_out = "left_out$";

/// The outermost `levels` of `expr`.
ScalarExpr outside_of(const ScalarExpr &expr, int levels) {
    if (expr.operands().empty()) {
        return expr;
    }
    if (levels == 0) {
        return ScalarExpr::variable(left_out);
    }
    std::vector<ScalarExpr> operands;
    for (const ScalarExpr &operand : expr.operands()) {
        operands.push_back(outside_of(operand, levels - 1));
    }
    return expr.op() == ScalarExpr::Op::Load ? ScalarExpr::load(expr.name(), operands[0])
                                             : ScalarExpr::make(expr.op(), std::move(operands));
}

}  // namespace

std::string shown(const ScalarExpr &expr) {
    constexpr size_t most = 200;
    constexpr int levels = 4;
    std::string text = expr.str();
    if (text.size() <= most) {
        return text;
    }
    text = outside_of(expr, levels).str();
    const std::string name = left_out;
    for (size_t i = 0; (i = text.find(name, i)) != std::string::npos; i += 3) {
        text.replace(i, name.size(), "...");
    }
    return text + " (" + std::to_string(expr.depth()) + " levels deep)";
}

}  // namespace pto::wsp
