#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pto/wsp/core/affine.h"

namespace pto::wsp {

/// A run-time integer expression: keys of dispatch and streams, `valid` sizes, predicates.
/// Immutable. Division and remainder round towards minus infinity as Python's do; booleans are 0
/// and 1. Prints as `(b % 4)` and parses back; `ScalarExpr::parse("b % 4")` is what a schedule
/// file holds.
class ScalarExpr {
public:
    enum class Op {
        Const, Var, Add, Sub, Mul, FloorDiv, Mod, Min, Max,
        Eq, Ne, Lt, Le, Gt, Ge, And, Or, Not, Select,
    };

    ScalarExpr(int64_t value = 0);  // NOLINT: integers are expressions
    static ScalarExpr variable(const std::string &name);
    static ScalarExpr make(Op op, std::vector<ScalarExpr> operands);
    static ScalarExpr from(const Affine &affine);

    Op op() const { return node_->op; }
    int64_t value() const { return node_->value; }          ///< of a Const
    const std::string &name() const { return node_->name; } ///< of a Var
    const std::vector<ScalarExpr> &operands() const { return node_->operands; }

    std::set<std::string> variables() const;
    ScalarExpr substitute(const std::map<std::string, ScalarExpr> &values) const;
    /// ExecutionError on division by zero, CompileError on a missing variable.
    int64_t evaluate(const std::map<std::string, int64_t> &values) const;
    /// The affine form when it is one.
    std::optional<Affine> as_affine() const;

    std::string str() const;
    static ScalarExpr parse(TextReader &reader);
    static ScalarExpr parse(std::string_view text, const std::string &origin = "expression");
    bool operator==(const ScalarExpr &other) const { return str() == other.str(); }

private:
    struct Node {
        Op op = Op::Const;
        int64_t value = 0;
        std::string name;
        std::vector<ScalarExpr> operands;
    };
    std::shared_ptr<const Node> node_;
};

}  // namespace pto::wsp
