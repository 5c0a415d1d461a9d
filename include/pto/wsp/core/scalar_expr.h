#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "pto/wsp/core/affine.h"

namespace pto::wsp {

/// The run-time integers that expressions name: what a run gets besides its tensors.
struct RunData {
    using Values = std::shared_ptr<const std::vector<int64_t>>;
    std::map<std::string, int64_t> symbols;
    std::map<std::string, Values> tables;  ///< never null
};

/// Slots of a run: integers that its tasks leave for what follows them.
inline constexpr int slot_words = 256;

/// A run-time integer expression: keys of dispatch and streams, `valid` sizes, predicates, sizes of
/// axes. Immutable. Its leaves are constants, variables, `symbol(n)` (an integer of the run),
/// `slot(3)` (one that a task has left) and `load(lengths, b)` (an element of a table); a key of a
/// schedule may also have `param(n)` and `param(0)`, a scalar argument and a subscript of the task
/// that it is asked of.
/// Division and remainder round towards minus infinity as Python's do; booleans are 0
/// and 1; `& | ^` take the bits of the two's complement, shifts by less than 0 or more than 63 are
/// errors. Prints as `(b % 4)` and parses back; `ScalarExpr::parse("b % 4")` is what a schedule
/// file holds. The syntax is Python's: `+ - * // % & | ^ << >>`, comparisons (not chained), `and or
/// not`, and the calls `min(a, b)`, `max(a, b)`, `select(condition, a, b)`, `u64(a)` (an error
/// below 0). Nothing here recurses into an expression, so it may be as deep as it has operations:
/// at most `max_operations`, shared operands counted each time. Generated code takes fewer levels,
/// see `lower/expand.h`.
class ScalarExpr {
public:
    enum class Op {
        Const,
        Var,
        Add,
        Sub,
        Mul,
        FloorDiv,
        Mod,
        BitAnd,
        BitOr,
        BitXor,
        ShiftLeft,
        ShiftRight,
        Min,
        Max,
        Eq,  ///< from here to Not: truth values
        Ne,
        Lt,
        Le,
        Gt,
        Ge,
        And,
        Or,
        Not,
        Select,
        CastU64,
        Symbol,
        Slot,
        Load,
        Param,
    };

    /// Operations, constants and variables in all. A text has at most that many brackets, calls and
    /// signs within each other.
    static constexpr int max_operations = 100000;

    ScalarExpr(int64_t value = 0);  // NOLINT: integers are expressions
    /// CompileError when `name` is no identifier or a word of the syntax (`and`, `or`, `not`).
    static ScalarExpr variable(const std::string &name);
    /// CompileError as of `variable`.
    static ScalarExpr symbol(const std::string &name);
    /// CompileError unless 0 <= slot < slot_words.
    static ScalarExpr slot(int64_t slot);
    /// Element `index` of a table; CompileError as of `variable`.
    static ScalarExpr load(const std::string &table, ScalarExpr index);
    /// The task's argument for its kernel's scalar parameter `name`; CompileError as of `variable`.
    static ScalarExpr param(const std::string &name);
    /// The task's subscript number `index`, 0 of `b` in `attn[b, h]`; CompileError unless >= 0.
    static ScalarExpr param(int64_t index);
    /// CompileError when `op` takes another number of operands (Not: 1, CastU64: 1, Select: 3,
    /// others: 2) or is one of the leaves or Load, and when the expression becomes too large.
    static ScalarExpr make(Op op, std::vector<ScalarExpr> operands);
    /// The sum of the terms of `affine`, then its constant.
    static ScalarExpr from(const Affine &affine);

    Op op() const { return node_->op; }
    /// Of a Const or Slot; of a Param its index, -1 when it has a name.
    int64_t value() const { return node_->value; }
    /// Of a Var, Symbol or Load; of a Param, unless it has an index.
    const std::string &name() const { return node_->name; }
    const std::vector<ScalarExpr> &operands() const { return node_->operands; }
    /// Operations within each other, 1 of a leaf.
    int depth() const { return node_->depth; }
    /// The same for expressions that share their memory, for tables of what is known of them.
    const void *identity() const { return node_.get(); }

    /// Names of all variables that occur, and params as they print: `param(n)`.
    std::set<std::string> variables() const;
    /// Names of all symbols, or of all tables, that occur.
    std::set<std::string> names(Op op) const;
    /// True when a Symbol, Slot or Load occurs: the value depends on the run.
    bool is_dynamic() const;
    /// True for comparisons, `and`, `or`, `not`, and what `select`, `min`, `max` and `u64` choose
    /// of these and of 0 and 1: the value is 0 or 1.
    bool is_truth() const;
    /// Numbers of all slots that occur.
    std::set<int64_t> slots() const;
    bool has_slots() const { return !slots().empty(); }
    /// Symbols and tables called by other names, where there is one.
    ScalarExpr rename(const std::map<std::string, std::string> &symbols,
                      const std::map<std::string, std::string> &tables) const;
    /// Each leaf replaced by `value(leaf)`. CompileError as in `make`.
    ScalarExpr with_leaves(const std::function<ScalarExpr(const ScalarExpr &)> &value) const;
    /// Each variable replaced by its value, or kept when there is none. CompileError as in `make`.
    ScalarExpr substitute(const std::map<std::string, ScalarExpr> &values) const;
    /// ExecutionError on division by zero, shifts outside 0...63 and results outside 64 bits,
    /// CompileError on a missing variable. `and`, `or` and `select` evaluate only the operands that
    /// they need, so `n != 0 and a // n > 1` is safe; `and` and `or` give 0 or 1.
    /// Symbols and tables come from `data`, slots from `slots` (slot_words of them): CompileError
    /// when one is missing and for a Param, ExecutionError for an element that a table does not
    /// have.
    int64_t evaluate(const std::map<std::string, int64_t> &values, const RunData *data = nullptr,
                     const int64_t *slots = nullptr) const;
    /// The affine form when it is one: sums, differences, and products with a constant factor.
    /// CompileError when a coefficient leaves 64 bits.
    std::optional<Affine> as_affine() const;
    /// Of this expression and of all that it is made of, by `identity`.
    using AffineForms = std::unordered_map<const void *, std::optional<Affine>>;
    AffineForms affine_forms() const;

    std::string str() const;
    /// Reads one expression; stops at what does not continue it. IRConversionError at the place,
    /// also when the expression becomes too large.
    static ScalarExpr parse(TextReader &reader);
    /// Reads the whole of `text`.
    static ScalarExpr parse(std::string_view text, const std::string &origin = "expression");
    /// Same structure.
    bool operator==(const ScalarExpr &other) const;

private:
    struct Node {
        Op op = Op::Const;
        int64_t value = 0;
        std::string name;
        std::vector<ScalarExpr> operands;
        int depth = 1;
        int operations = 1;

        Node() = default;
        Node(const Node &) = default;
        Node &operator=(const Node &) = delete;
        /// Lets go of deep operands one after another.
        ~Node();
    };

    static ScalarExpr leaf(Op op, std::string name, int64_t value);
    static ScalarExpr combine(Op op, std::vector<ScalarExpr> operands);

    explicit ScalarExpr(std::shared_ptr<const Node> node) : node_(std::move(node)) {}

    /// `visit(node, results of its operands)` once for each distinct node, operands first: the
    /// results by identity.
    template <class Result, class Visit>
    std::unordered_map<const void *, Result> fold_all(Visit visit) const;
    /// The result of this node.
    template <class Result, class Visit> Result fold(Visit visit) const;

    std::shared_ptr<const Node> node_;
};

}  // namespace pto::wsp
