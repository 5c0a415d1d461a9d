#include <optional>

#include "scalar_op.h"

#include "pto/wsp/support/error.h"

namespace pto::wsp {

namespace {

using Op = ScalarExpr::Op;

/// Precedence climbing over one expression.
class Parser {
public:
    explicit Parser(TextReader &reader) : reader_(reader) {}

    ScalarExpr expression(int least_precedence) {
        ScalarExpr left = unary(least_precedence);
        while (const ScalarOp *row = next_operator()) {
            if (row->precedence < least_precedence) {
                break;
            }
            reader_.next();
            left = make(row->op, {left, expression(row->precedence + 1)});
            if (row->precedence == comparison_precedence) {
                refuse_chain();
            }
        }
        return left;
    }

private:
    /// Counts nesting while it lives.
    class Level {
    public:
        explicit Level(Parser &parser) : parser_(parser) {
            if (++parser_.depth_ > ScalarExpr::max_depth) {
                throw IRConversionError(parser_.reader_.loc(),
                                        "expression nests deeper than " +
                                            std::to_string(ScalarExpr::max_depth));
            }
        }
        Level(const Level &) = delete;
        Level &operator=(const Level &) = delete;
        ~Level() { --parser_.depth_; }

    private:
        Parser &parser_;
    };

    ScalarExpr make(Op op, std::vector<ScalarExpr> operands) const {
        try {
            return ScalarExpr::make(op, std::move(operands));
        } catch (const CompileError &error) {
            throw IRConversionError(reader_.loc(), error.text());
        }
    }

    /// `symbol(n)`, `slot(3)`, `load(lengths, b)`.
    ScalarExpr named(const ScalarOp &row, const std::string &name, int64_t slot,
                     const std::vector<ScalarExpr> &operands) const {
        try {
            if (row.op == Op::Slot) {
                return ScalarExpr::slot(slot);
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

    ScalarExpr unary(int least_precedence) {
        Level level(*this);
        if (reader_.is_next("not")) {
            if (least_precedence > not_precedence) {
                reader_.fail("an operand");
            }
            reader_.next();
            return make(Op::Not, {expression(not_precedence)});
        }
        if (reader_.is_next("-") && reader_.peek(1).kind == Token::Kind::Integer) {
            return reader_.integer();
        }
        if (reader_.accept("-")) {
            return make(Op::Sub, {0, unary(sign_precedence)});
        }
        if (reader_.accept("+")) {
            return unary(sign_precedence);
        }
        return primary();
    }

    ScalarExpr primary() {
        if (reader_.accept("(")) {
            ScalarExpr inner = expression(or_precedence);
            reader_.expect(")");
            return inner;
        }
        if (reader_.peek().kind == Token::Kind::Integer) {
            return reader_.integer();
        }
        if (reader_.peek().kind != Token::Kind::Identifier || next_operator() != nullptr) {
            reader_.fail("an operand");
        }
        if (reader_.is_next("(", 1)) {
            return call();
        }
        return ScalarExpr::variable(reader_.identifier());
    }

    ScalarExpr call() {
        const ScalarOp *row = find_scalar_op(reader_.peek().text, true);
        if (row == nullptr) {
            throw IRConversionError(reader_.loc(), "unknown function '" + reader_.peek().text + "'",
                                    {}, "known are min, max, select, u64, symbol, slot, load");
        }
        reader_.next();
        reader_.expect("(");
        std::optional<std::string> name;
        if (has_name(row->op)) {
            name = reader_.identifier();
            if (row->arity > 0) {
                reader_.expect(",");
            }
        }
        const int64_t slot = row->op == Op::Slot ? reader_.integer() : 0;
        std::vector<ScalarExpr> operands;
        for (int i = 0; i < row->arity; ++i) {
            if (i > 0) {
                reader_.expect(",");
            }
            operands.push_back(expression(or_precedence));
        }
        reader_.expect(")");
        if (row->arity == 0 || name) {
            return named(*row, name.value_or(""), slot, operands);
        }
        return make(row->op, std::move(operands));
    }

    TextReader &reader_;
    int depth_ = 0;
};

}  // namespace

ScalarExpr ScalarExpr::parse(TextReader &reader) {
    return Parser(reader).expression(or_precedence);
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
