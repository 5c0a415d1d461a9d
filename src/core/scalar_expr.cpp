#include "pto/wsp/core/scalar_expr.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <unordered_set>
#include <variant>

#include "pto/wsp/support/error.h"
#include "scalar_op.h"

namespace pto::wsp {

namespace {

bool is_reserved(const std::string &name) {
    return name == "and" || name == "or" || name == "not";
}

[[noreturn]] void overflow(int64_t a, ScalarExpr::Op op, int64_t b) {
    throw ExecutionError({}, "integer overflow: " + std::to_string(a) + " " + scalar_op(op).symbol +
                                 " " + std::to_string(b) + " does not fit 64 bits");
}

int64_t floor_divide(ScalarExpr::Op op, int64_t a, int64_t b) {
    if (b == 0) {
        throw ExecutionError({}, "division by zero: " + std::to_string(a) + " " +
                                     scalar_op(op).symbol + " 0");
    }
    if (b == -1) {
        // The machine's division traps for -2^63 and -1, also when only the remainder is wanted.
        int64_t negated = 0;
        if (op == ScalarExpr::Op::FloorDiv && __builtin_sub_overflow(0, a, &negated)) {
            overflow(a, op, b);
        }
        return op == ScalarExpr::Op::FloorDiv ? negated : 0;
    }
    int64_t quotient = a / b;
    int64_t remainder = a % b;
    bool round_down = remainder != 0 && (remainder < 0) != (b < 0);
    if (op == ScalarExpr::Op::FloorDiv) {
        return quotient - (round_down ? 1 : 0);
    }
    return remainder + (round_down ? b : 0);
}

int64_t shift(ScalarExpr::Op op, int64_t a, int64_t count) {
    if (count < 0 || count > 63) {
        throw ExecutionError({}, "shift by " + std::to_string(count) + ", allowed is 0...63");
    }
    if (op == ScalarExpr::Op::ShiftRight) {
        return a >> count;
    }
    const auto result = static_cast<int64_t>(static_cast<uint64_t>(a) << count);
    if (result >> count != a) {
        overflow(a, op, count);
    }
    return result;
}

int64_t apply_binary(ScalarExpr::Op op, int64_t a, int64_t b) {
    using Op = ScalarExpr::Op;
    int64_t result = 0;
    bool overflowed = false;
    switch (op) {
    case Op::Add:
        overflowed = __builtin_add_overflow(a, b, &result);
        break;
    case Op::Sub:
        overflowed = __builtin_sub_overflow(a, b, &result);
        break;
    case Op::Mul:
        overflowed = __builtin_mul_overflow(a, b, &result);
        break;
    case Op::FloorDiv:
    case Op::Mod:
        return floor_divide(op, a, b);
    case Op::BitAnd:
        return a & b;
    case Op::BitOr:
        return a | b;
    case Op::BitXor:
        return a ^ b;
    case Op::ShiftLeft:
    case Op::ShiftRight:
        return shift(op, a, b);
    case Op::Min:
        return std::min(a, b);
    case Op::Max:
        return std::max(a, b);
    case Op::Eq:
        return a == b ? 1 : 0;
    case Op::Ne:
        return a != b ? 1 : 0;
    case Op::Lt:
        return a < b ? 1 : 0;
    case Op::Le:
        return a <= b ? 1 : 0;
    case Op::Gt:
        return a > b ? 1 : 0;
    case Op::Ge:
        return a >= b ? 1 : 0;
    case Op::And:
        return a != 0 && b != 0 ? 1 : 0;
    case Op::Or:
        return a != 0 || b != 0 ? 1 : 0;
    default:
        throw InternalError("ScalarExpr::evaluate", "not a binary operation");
    }
    if (overflowed) {
        overflow(a, op, b);
    }
    return result;
}

}  // namespace

ScalarExpr::Node::~Node() {
    // Small ones end in the ordinary way, also after the thread's own variables have ended.
    constexpr int shallow = 100;
    if (depth <= shallow) {
        return;
    }
    thread_local std::vector<ScalarExpr> pending;
    thread_local bool releasing = false;
    std::ranges::move(operands, std::back_inserter(pending));
    if (releasing) {
        return;
    }
    releasing = true;
    while (!pending.empty()) {
        const ScalarExpr last = std::move(pending.back());
        pending.pop_back();
    }
    releasing = false;
}

ScalarExpr::ScalarExpr(int64_t value) {
    auto node = std::make_shared<Node>();
    node->value = value;
    node_ = std::move(node);
}

ScalarExpr ScalarExpr::leaf(Op op, std::string name, int64_t value) {
    const bool has_number = op == Op::Slot || (op == Op::Param && value >= 0);
    if (!has_number && (!is_identifier(name) || is_reserved(name))) {
        throw CompileError({}, "not a variable name: " + quoted(name));
    }
    auto node = std::make_shared<Node>();
    node->op = op;
    node->name = std::move(name);
    node->value = value;
    return ScalarExpr(std::move(node));
}

ScalarExpr ScalarExpr::variable(const std::string &name) {
    return leaf(Op::Var, name, 0);
}

ScalarExpr ScalarExpr::symbol(const std::string &name) {
    return leaf(Op::Symbol, name, 0);
}

ScalarExpr ScalarExpr::slot(int64_t slot) {
    if (slot < 0 || slot >= slot_words) {
        throw CompileError({}, "slot " + std::to_string(slot) + " is not in 0..." +
                                   std::to_string(slot_words - 1));
    }
    return leaf(Op::Slot, "", slot);
}

ScalarExpr ScalarExpr::param(const std::string &name) {
    return leaf(Op::Param, name, -1);
}

ScalarExpr ScalarExpr::param(int64_t index) {
    if (index < 0) {
        throw CompileError({}, "param " + std::to_string(index) + " is not 0 or more");
    }
    return leaf(Op::Param, "", index);
}

ScalarExpr ScalarExpr::load(const std::string &table, ScalarExpr index) {
    (void)leaf(Op::Symbol, table, 0);
    ScalarExpr made = combine(Op::Load, {std::move(index)});
    auto node = std::make_shared<Node>(*made.node_);
    node->name = table;
    return ScalarExpr(std::move(node));
}

ScalarExpr ScalarExpr::make(Op op, std::vector<ScalarExpr> operands) {
    size_t arity = static_cast<size_t>(scalar_op(op).arity);
    if (arity == 0 || op == Op::Load || operands.size() != arity) {
        throw CompileError({}, "'" + std::string(scalar_op(op).symbol) + "' takes " +
                                   std::to_string(arity) + " operands, got " +
                                   std::to_string(operands.size()));
    }
    return combine(op, std::move(operands));
}

ScalarExpr ScalarExpr::combine(Op op, std::vector<ScalarExpr> operands) {
    auto node = std::make_shared<Node>();
    node->op = op;
    for (const ScalarExpr &operand : operands) {
        node->depth = std::max(node->depth, operand.node_->depth + 1);
        node->operations += operand.node_->operations;
    }
    if (node->operations > max_operations) {
        throw CompileError({}, "expression has " + std::to_string(node->operations) +
                                   " operations, must be at most " +
                                   std::to_string(max_operations));
    }
    node->operands = std::move(operands);
    return ScalarExpr(std::move(node));
}

ScalarExpr ScalarExpr::from(const Affine &affine) {
    std::optional<ScalarExpr> sum;
    for (const auto &[name, coefficient] : affine.terms()) {
        ScalarExpr term = variable(name);
        if (coefficient != 1) {
            term = make(Op::Mul, {coefficient, term});
        }
        sum = sum ? make(Op::Add, {*sum, term}) : term;
    }
    if (!sum) {
        return affine.constant();
    }
    return affine.constant() == 0 ? *sum : make(Op::Add, {*sum, affine.constant()});
}

template <class Result, class Visit>
std::unordered_map<const void *, Result> ScalarExpr::fold_all(Visit visit) const {
    std::unordered_map<const void *, Result> results;
    std::vector<const ScalarExpr *> pending = {this};
    while (!pending.empty()) {
        const ScalarExpr *expr = pending.back();
        bool ready = true;
        for (const ScalarExpr &operand : expr->operands()) {
            if (!results.contains(operand.identity())) {
                pending.push_back(&operand);
                ready = false;
            }
        }
        if (!ready) {
            continue;
        }
        pending.pop_back();
        if (results.contains(expr->identity())) {
            continue;
        }
        std::vector<Result> operands;
        for (const ScalarExpr &operand : expr->operands()) {
            operands.push_back(results.at(operand.identity()));
        }
        results.emplace(expr->identity(), visit(*expr, std::move(operands)));
    }
    return results;
}

template <class Result, class Visit> Result ScalarExpr::fold(Visit visit) const {
    return fold_all<Result>(std::move(visit)).at(identity());
}

std::set<std::string> ScalarExpr::variables() const {
    std::set<std::string> names;
    fold<std::monostate>([&](const ScalarExpr &expr, const auto &) {
        if (expr.op() == Op::Var) {
            names.insert(expr.name());
        } else if (expr.op() == Op::Param) {
            names.insert(expr.str());
        }
        return std::monostate();
    });
    return names;
}

std::set<std::string> ScalarExpr::names(Op op) const {
    std::set<std::string> names;
    fold<std::monostate>([&](const ScalarExpr &expr, const auto &) {
        if (expr.op() == op) {
            names.insert(expr.name());
        }
        return std::monostate();
    });
    return names;
}

std::set<int64_t> ScalarExpr::slots() const {
    std::set<int64_t> found;
    fold<std::monostate>([&](const ScalarExpr &expr, const auto &) {
        if (expr.op() == Op::Slot) {
            found.insert(expr.value());
        }
        return std::monostate();
    });
    return found;
}

bool ScalarExpr::is_dynamic() const {
    return has_slots() || !names(Op::Symbol).empty() || !names(Op::Load).empty();
}

bool ScalarExpr::is_truth() const {
    std::vector<const ScalarExpr *> pending = {this};
    std::unordered_set<const void *> seen;
    while (!pending.empty()) {
        const ScalarExpr &expr = *pending.back();
        pending.pop_back();
        const bool is_comparison = expr.op() >= Op::Eq && expr.op() <= Op::Not;
        const bool is_bit = expr.op() == Op::Const && (expr.value() == 0 || expr.value() == 1);
        if (is_comparison || (is_bit && &expr != this) || !seen.insert(expr.identity()).second) {
            continue;
        }
        const bool chooses = expr.op() == Op::Select || expr.op() == Op::Min ||
                             expr.op() == Op::Max || expr.op() == Op::CastU64;
        if (!chooses) {
            return false;
        }
        const size_t first = expr.op() == Op::Select ? 1 : 0;
        for (size_t i = first; i < expr.operands().size(); ++i) {
            pending.push_back(&expr.operands()[i]);
        }
    }
    return true;
}

ScalarExpr ScalarExpr::rename(const std::map<std::string, std::string> &symbols,
                              const std::map<std::string, std::string> &tables) const {
    return fold<ScalarExpr>([&](const ScalarExpr &expr, std::vector<ScalarExpr> operands) {
        const std::map<std::string, std::string> &to = expr.op() == Op::Load ? tables : symbols;
        const auto found = has_name(expr.op()) ? to.find(expr.name()) : to.end();
        const std::string &name = found == to.end() ? expr.name() : found->second;
        if (expr.op() == Op::Symbol) {
            return symbol(name);
        }
        if (expr.op() == Op::Load) {
            return load(name, operands[0]);
        }
        return operands.empty() ? expr : combine(expr.op(), std::move(operands));
    });
}

ScalarExpr ScalarExpr::substitute(const std::map<std::string, ScalarExpr> &values) const {
    return with_leaves([&](const ScalarExpr &expr) {
        const auto value = expr.op() == Op::Var ? values.find(expr.name()) : values.end();
        return value == values.end() ? expr : value->second;
    });
}

ScalarExpr
ScalarExpr::with_leaves(const std::function<ScalarExpr(const ScalarExpr &)> &value) const {
    return fold<ScalarExpr>([&](const ScalarExpr &expr, std::vector<ScalarExpr> operands) {
        if (operands.empty()) {
            return value(expr);
        }
        bool changed = false;
        for (size_t i = 0; i < operands.size(); ++i) {
            changed |= operands[i].node_ != expr.operands()[i].node_;
        }
        if (!changed) {
            return expr;
        }
        return expr.op() == Op::Load ? load(expr.name(), operands[0])
                                     : combine(expr.op(), std::move(operands));
    });
}

namespace {

int64_t symbol_value(const std::string &name, const RunData *data) {
    const auto found = data == nullptr ? decltype(data->symbols.end()){} : data->symbols.find(name);
    if (data == nullptr || found == data->symbols.end()) {
        throw CompileError({}, "symbol '" + name + "' has no value");
    }
    return found->second;
}

int64_t slot_value(int64_t slot, const int64_t *slots) {
    if (slots == nullptr) {
        throw CompileError({}, "slot(" + std::to_string(slot) +
                                   ") has a value only while the program runs");
    }
    return slots[slot];
}

int64_t element(const std::string &table, int64_t index, const RunData *data) {
    const auto found = data == nullptr ? decltype(data->tables.end()){} : data->tables.find(table);
    if (data == nullptr || found == data->tables.end()) {
        throw CompileError({}, "table '" + table + "' has no values");
    }
    const std::vector<int64_t> &values = *found->second;
    if (index < 0 || index >= static_cast<int64_t>(values.size())) {
        throw ExecutionError({}, "index " + std::to_string(index) + " of " + table +
                                     ", which has " + std::to_string(values.size()) + " values");
    }
    return values[static_cast<size_t>(index)];
}

int64_t checked_u64(int64_t value) {
    if (value < 0) {
        throw ExecutionError({}, "u64(" + std::to_string(value) + ") is below 0");
    }
    return value;
}

}  // namespace

int64_t ScalarExpr::evaluate(const std::map<std::string, int64_t> &values, const RunData *data,
                             const int64_t *slots) const {
    std::unordered_map<const Node *, int64_t> results;
    auto known = [&](const ScalarExpr &expr) -> const int64_t * {
        auto found = results.find(expr.node_.get());
        return found == results.end() ? nullptr : &found->second;
    };
    std::vector<const ScalarExpr *> pending = {this};
    auto wait_for = [&](const ScalarExpr &expr) { pending.push_back(&expr); };

    while (!pending.empty()) {
        const ScalarExpr &expr = *pending.back();
        const std::vector<ScalarExpr> &operands = expr.operands();
        std::optional<int64_t> result;
        if (expr.op() == Op::Const) {
            result = expr.value();
        } else if (expr.op() == Op::Var) {
            auto value = values.find(expr.name());
            if (value == values.end()) {
                throw CompileError({}, "no value for '" + expr.name() + "'");
            }
            result = value->second;
        } else if (expr.op() == Op::Symbol) {
            result = symbol_value(expr.name(), data);
        } else if (expr.op() == Op::Slot) {
            result = slot_value(expr.value(), slots);
        } else if (expr.op() == Op::Param) {
            throw CompileError({}, expr.str() + " has a value only in keys of schedules");
        } else if (const int64_t *first = known(operands[0]); first == nullptr) {
            wait_for(operands[0]);
        } else if (expr.op() == Op::Not) {
            result = *first == 0 ? 1 : 0;
        } else if (expr.op() == Op::CastU64) {
            result = checked_u64(*first);
        } else if (expr.op() == Op::Load) {
            result = element(expr.name(), *first, data);
        } else if ((expr.op() == Op::And && *first == 0) || (expr.op() == Op::Or && *first != 0)) {
            result = expr.op() == Op::Or ? 1 : 0;
        } else {
            const ScalarExpr &other = operands[expr.op() == Op::Select && *first == 0 ? 2 : 1];
            if (const int64_t *second = known(other); second == nullptr) {
                wait_for(other);
            } else {
                result =
                    expr.op() == Op::Select ? *second : apply_binary(expr.op(), *first, *second);
            }
        }
        if (result) {
            pending.pop_back();
            results.emplace(expr.node_.get(), *result);
        }
    }
    return results.at(node_.get());
}

std::optional<Affine> ScalarExpr::as_affine() const {
    return affine_forms().at(identity());
}

ScalarExpr::AffineForms ScalarExpr::affine_forms() const {
    using Form = std::optional<Affine>;
    return fold_all<Form>([](const ScalarExpr &expr, const std::vector<Form> &operands) -> Form {
        if (expr.op() == Op::Const) {
            return Affine(expr.value());
        }
        if (expr.op() == Op::Var) {
            return Affine::variable(expr.name());
        }
        if (operands.size() != 2 || !operands[0] || !operands[1]) {
            return std::nullopt;
        }
        const Affine &a = *operands[0];
        const Affine &b = *operands[1];
        switch (expr.op()) {
        case Op::Add:
            return a + b;
        case Op::Sub:
            return a - b;
        case Op::Mul:
            if (a.is_constant() || b.is_constant()) {
                return a.is_constant() ? b * a.constant() : a * b.constant();
            }
            return std::nullopt;
        default:
            return std::nullopt;
        }
    });
}

std::string ScalarExpr::str() const {
    using Piece = std::variant<const ScalarExpr *, std::string>;
    std::string text;
    std::vector<Piece> pending = {this};
    while (!pending.empty()) {
        Piece piece = std::move(pending.back());
        pending.pop_back();
        if (const auto *literal = std::get_if<std::string>(&piece)) {
            text += *literal;
            continue;
        }
        const ScalarExpr &expr = *std::get<const ScalarExpr *>(piece);
        const ScalarOp &row = scalar_op(expr.op());
        const std::vector<ScalarExpr> &operands = expr.operands();
        if (expr.op() == Op::Const) {
            text += std::to_string(expr.value());
        } else if (expr.op() == Op::Var) {
            text += expr.name();
        } else if (row.is_call) {
            text += std::string(row.symbol) + "(";
            if (!expr.name().empty()) {
                text += expr.name() + (operands.empty() ? "" : ", ");
            } else if (operands.empty()) {
                text += std::to_string(expr.value());
            }
            pending.emplace_back(")");
            for (size_t i = operands.size(); i-- > 0;) {
                pending.emplace_back(&operands[i]);
                if (i > 0) {
                    pending.emplace_back(", ");
                }
            }
        } else if (operands.size() == 1) {
            text += "(" + std::string(row.symbol) + " ";
            pending.emplace_back(")");
            pending.emplace_back(&operands[0]);
        } else {
            text += "(";
            pending.emplace_back(")");
            pending.emplace_back(&operands[1]);
            pending.emplace_back(" " + std::string(row.symbol) + " ");
            pending.emplace_back(&operands[0]);
        }
    }
    return text;
}

bool ScalarExpr::operator==(const ScalarExpr &other) const {
    std::vector<std::pair<const ScalarExpr *, const ScalarExpr *>> pending = {{this, &other}};
    // Pairs found or assumed equal, so that shared operands are compared once.
    std::unordered_map<const Node *, std::unordered_set<const Node *>> seen;
    while (!pending.empty()) {
        auto [a, b] = pending.back();
        pending.pop_back();
        if (a->node_ == b->node_ || !seen[a->node_.get()].insert(b->node_.get()).second) {
            continue;
        }
        if (a->op() != b->op() || a->value() != b->value() || a->name() != b->name()) {
            return false;
        }
        for (size_t i = 0; i < a->operands().size(); ++i) {
            pending.emplace_back(&a->operands()[i], &b->operands()[i]);
        }
    }
    return true;
}

}  // namespace pto::wsp
