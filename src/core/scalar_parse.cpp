#include <optional>

#include "scalar_op.h"

#include "pto/wsp/support/error.h"

namespace pto::wsp {

namespace {

using Op = ScalarExpr::Op;

/// Precedence climbing over one expression. What waits for an operand is on a stack of its own, so
/// that no text overflows the program's.
class Parser {
public:
    explicit Parser(TextReader &reader) : reader_(reader) {}

    ScalarExpr expression() {
        while (true) {
            std::optional<ScalarExpr> value = begin_operand();
            while (value) {
                if (takes_operator(*value)) {
                    break;
                }
                if (pending_.empty()) {
                    return *value;
                }
                value = complete(std::move(*value));
            }
        }
    }

private:
    /// What waits for an operand.
    struct Pending {
        enum class Kind { Bracket, Call, Binary, Not, Minus, Plus };
        Kind kind = Kind::Bracket;
        int least_precedence = or_precedence;  ///< of operators inside the operand
        const ScalarOp *row = nullptr;         ///< of a Call or Binary
        std::optional<std::string> name;       ///< of a Load
        std::vector<ScalarExpr> operands;      ///< read so far
    };
    /// Above that of all operators: a sign takes no more than what is right behind it.
    static constexpr int no_operator = sign_precedence + 1;

    void wait(Pending pending) {
        if (pending_.size() >= static_cast<size_t>(ScalarExpr::max_operations)) {
            throw IRConversionError(reader_.loc(), "expression nests deeper than " +
                                                       std::to_string(ScalarExpr::max_operations));
        }
        pending_.push_back(std::move(pending));
    }

    int least_precedence() const {
        return pending_.empty() ? or_precedence : pending_.back().least_precedence;
    }

    /// True when an operator follows that takes `left`, which waits for its right side then.
    bool takes_operator(const ScalarExpr &left) {
        const ScalarOp *row = next_operator();
        if (row == nullptr || row->precedence < least_precedence()) {
            return false;
        }
        reader_.next();
        wait({Pending::Kind::Binary, row->precedence + 1, row, {}, {left}});
        return true;
    }

    /// Gives what waited last its operand; none when it waits for another.
    std::optional<ScalarExpr> complete(ScalarExpr value) {
        Pending &last = pending_.back();
        if (last.kind == Pending::Kind::Call) {
            last.operands.push_back(std::move(value));
            if (static_cast<int>(last.operands.size()) < last.row->arity) {
                reader_.expect(",");
                return std::nullopt;
            }
        }
        const Pending done = std::move(last);
        pending_.pop_back();
        switch (done.kind) {
        case Pending::Kind::Bracket:
            reader_.expect(")");
            return value;
        case Pending::Kind::Call:
            reader_.expect(")");
            return done.name ? named(*done.row, *done.name, 0, done.operands)
                             : make(done.row->op, done.operands);
        case Pending::Kind::Binary:
            value = make(done.row->op, {done.operands[0], std::move(value)});
            if (done.row->precedence == comparison_precedence) {
                refuse_chain();
            }
            return value;
        case Pending::Kind::Not:
            return make(Op::Not, {std::move(value)});
        case Pending::Kind::Minus:
            return make(Op::Sub, {0, std::move(value)});
        case Pending::Kind::Plus:
            return value;
        }
        throw InternalError("parse-expression", "an unknown kind waits");
    }

    ScalarExpr make(Op op, std::vector<ScalarExpr> operands) const {
        try {
            return ScalarExpr::make(op, std::move(operands));
        } catch (const CompileError &error) {
            throw IRConversionError(reader_.loc(), error.text());
        }
    }

    /// `symbol(n)`, `slot(3)`, `load(lengths, b)`, `param(n)`, `param(0)`: a name or a number.
    ScalarExpr named(const ScalarOp &row, const std::string &name, int64_t number,
                     const std::vector<ScalarExpr> &operands) const {
        try {
            if (row.op == Op::Slot) {
                return ScalarExpr::slot(number);
            }
            if (row.op == Op::Param) {
                return name.empty() ? ScalarExpr::param(number) : ScalarExpr::param(name);
            }
            return row.op == Op::Symbol ? ScalarExpr::symbol(name)
                                        : ScalarExpr::load(name, operands[0]);
        } catch (const CompileError &error) {
            throw IRConversionError(reader_.loc(), error.text());
        }
    }

    const ScalarOp *next_operator() const {
        const Token &token = reader_.peek();
        bool is_word =
            token.kind == Token::Kind::Punctuation || token.kind == Token::Kind::Identifier;
        return is_word ? find_scalar_op(token.text, false) : nullptr;
    }

    /// Python reads `a < b < c` as `a < b and b < c`; reading it as `(a < b) < c` would be a trap.
    void refuse_chain() const {
        const ScalarOp *row = next_operator();
        if (row != nullptr && row->precedence == comparison_precedence) {
            throw IRConversionError(reader_.loc(), "comparisons cannot be chained", {},
                                    "write a < b and b < c");
        }
    }

    /// An operand without operands of its own; none when its beginning waits for one.
    std::optional<ScalarExpr> begin_operand() {
        if (reader_.is_next("not")) {
            if (least_precedence() > not_precedence) {
                reader_.fail("an operand");
            }
            reader_.next();
            wait({Pending::Kind::Not, not_precedence, nullptr, {}, {}});
            return std::nullopt;
        }
        const bool is_number = reader_.peek().kind == Token::Kind::Integer;
        if (is_number || (reader_.is_next("-") && reader_.peek(1).kind == Token::Kind::Integer)) {
            return reader_.integer();
        }
        if (reader_.accept("-")) {
            wait({Pending::Kind::Minus, no_operator, nullptr, {}, {}});
            return std::nullopt;
        }
        if (reader_.accept("+")) {
            wait({Pending::Kind::Plus, no_operator, nullptr, {}, {}});
            return std::nullopt;
        }
        if (reader_.accept("(")) {
            wait({});
            return std::nullopt;
        }
        if (reader_.peek().kind != Token::Kind::Identifier || next_operator() != nullptr) {
            reader_.fail("an operand");
        }
        if (reader_.is_next("(", 1)) {
            return begin_call();
        }
        return ScalarExpr::variable(reader_.identifier());
    }

    std::optional<ScalarExpr> begin_call() {
        const ScalarOp *row = find_scalar_op(reader_.peek().text, true);
        if (row == nullptr) {
            throw IRConversionError(reader_.loc(), "unknown function '" + reader_.peek().text + "'",
                                    {},
                                    "known are min, max, select, u64, symbol, slot, load, param");
        }
        reader_.next();
        reader_.expect("(");
        std::optional<std::string> name;
        const bool is_param = row->op == Op::Param;
        if (has_name(row->op) || (is_param && reader_.peek().kind == Token::Kind::Identifier)) {
            name = reader_.identifier();
            if (row->arity > 0) {
                reader_.expect(",");
            }
        }
        if (row->arity > 0) {
            wait({Pending::Kind::Call, or_precedence, row, std::move(name), {}});
            return std::nullopt;
        }
        const bool has_number = row->op == Op::Slot || (is_param && !name);
        const int64_t number = has_number ? reader_.integer() : 0;
        reader_.expect(")");
        return named(*row, name.value_or(""), number, {});
    }

    TextReader &reader_;
    std::vector<Pending> pending_;
};

}  // namespace

ScalarExpr ScalarExpr::parse(TextReader &reader) {
    return Parser(reader).expression();
}

ScalarExpr ScalarExpr::parse(std::string_view text, const std::string &origin) {
    TextReader reader(text, origin);
    ScalarExpr expr = parse(reader);
    if (!reader.at_end()) {
        reader.fail("the end of the expression");
    }
    return expr;
}

}  // namespace pto::wsp
