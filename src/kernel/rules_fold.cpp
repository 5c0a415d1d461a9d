#include "rules_patterns.h"

#include <cmath>

#include "pto/wsp/kernel/evaluate.h"

/// What can be known without running: constants, neutral operands, transposes. All of it exact,
/// also for -0, infinities and NaN.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

/// `leaf` for each of `arity` operands, captured as a, b, c.
std::vector<Pattern> operands_of(int arity, Pattern (*leaf)(std::string)) {
    std::vector<Pattern> operands(static_cast<size_t>(arity));
    char name = 'a';
    for (Pattern &operand : operands) {
        operand = leaf(std::string(1, name++));
    }
    return operands;
}

RefTile scalar_tile(double value, DType dtype) {
    RefTile tile;
    tile.dtype = dtype;
    if (is_integer(dtype)) {
        tile.integer.setConstant(1, 1, static_cast<int64_t>(value));
    } else {
        tile.real.setConstant(1, 1, value);
    }
    return tile;
}

/// Wraps to the width of `dtype`. Before it is a double, which holds integers up to 2^53 alone.
double wrapped(int64_t value, DType dtype) {
    int shift = 64 - 8 * size_bytes(dtype);
    uint64_t high = static_cast<uint64_t>(value) << shift;
    return pto::wsp::info(dtype).kind == DTypeKind::Signed
               ? static_cast<double>(static_cast<int64_t>(high) >> shift)
               : static_cast<double>(high >> shift);
}

/// The operation's own reference semantics on its constant operands.
Value fold(TileRebuild &to, const Match &m) {
    const TileGraph &graph = to.old();
    const TileType &type = graph.type(m.root());
    std::vector<RefTile> tiles;
    for (Value operand : graph.operands(m.root())) {
        tiles.push_back(scalar_tile(*graph.constant(operand), graph.type(operand).dtype));
    }
    const OpInfo &row = info(static_cast<Op>(graph.op(m.root())));
    RefTile result = row.reference(tiles, graph.attributes(m.root()), type);
    double value = is_integer(type.dtype) ? wrapped(result.integer(0, 0), type.dtype)
                                          : round_to(type.dtype, result.real(0, 0));
    return to.constant(value, type.dtype);
}

/// Masks are no constants, and 64-bit integers do not fit the numbers that constants are read as.
bool can_be_constant(const TileGraph &graph, const Match &m) {
    DType dtype = graph.type(m.root()).dtype;
    return is_float(dtype) || (is_integer(dtype) && size_bytes(dtype) <= 4);
}

void add_constant_folding(std::vector<rewrite::Rule> &rules) {
    for (const OpInfo &row : ops()) {
        if (row.kind != OpKind::Elementwise) {
            continue;
        }
        for (int arity = row.min_arity(); arity <= row.max_arity(); ++arity) {
            std::vector<Pattern> operands = operands_of(arity, constant);
            rules.push_back(TileRule("fold-constants",
                                     rewrite::op(static_cast<rewrite::OpId>(row.op), operands))
                                .when("", can_be_constant)
                                .to(fold));
        }
    }
}

bool is_integer_root(const TileGraph &graph, const Match &m) {
    return is_integer(graph.type(m.root()).dtype);
}

rewrite::Rule neutral(const char *name, const Pattern &pattern) {
    return TileRule(name, pattern)
        .when("{x} is spread or converted by it", has_type_of_root("x"))
        .to(by("x"));
}

void add_neutral_operands(std::vector<rewrite::Rule> &rules) {
    rules.push_back(neutral("multiply-by-one", mul(any("x"), constant(1.0))));
    rules.push_back(neutral("divide-by-one", div(any("x"), constant(1.0))));
    rules.push_back(neutral("subtract-zero", sub(any("x"), constant(0.0))));
    rules.push_back(neutral("add-minus-zero", add(any("x"), constant(-0.0))));
    rules.push_back(TileRule("add-zero", add(any("x"), constant(0.0)))
                        .when("{x} may hold -0, which + 0 makes 0", is_integer_root)
                        .when("{x} is spread or converted by it", has_type_of_root("x"))
                        .to(by("x")));
    rules.push_back(neutral("negate-twice", neg(neg(any("x")))));
    rules.push_back(neutral("maximum-of-one", of(Op::Maximum, {any("x"), same("x")})));
    rules.push_back(neutral("minimum-of-one", of(Op::Minimum, {any("x"), same("x")})));
    for (Op op : {Op::Cast, Op::Broadcast}) {
        rules.push_back(TileRule("convert-to-itself", of(op, {any("x")}))
                            .when("", has_type_of_root("x"))
                            .to(by("x")));
    }
}

/// Whether 1 / s is exact in the type of the quotient, so that x / s and x * (1 / s) round the same
/// real number. In the type of s it need not be.
bool is_power_of_two(const TileGraph &graph, const Match &m) {
    double s = *graph.constant(m["s"]);
    int exponent = 0;
    DType dtype = graph.type(m.root()).dtype;
    return std::abs(std::frexp(s, &exponent)) == 0.5 && round_to(dtype, 1.0 / s) == 1.0 / s;
}

Value multiply_by_inverse(TileRebuild &to, const Match &m) {
    DType dtype = to.old().type(m.root()).dtype;
    double inverse = 1.0 / *to.old().constant(m["s"]);
    return to.op(Op::Mul, {to(m["x"]), to.constant(inverse, dtype)});
}

/// Whether `size` is what two dims give that are equal or 1.
bool spreads_to(const Affine &a, const Affine &b, const Affine &size) {
    return (a == size || a == Affine(1)) && (b == size || b == Affine(1)) &&
           (a == size || b == size);
}

/// Whether the operation would spread its operand x as broadcast does: one of the others has the
/// size that x lacks.
bool spreads_itself(const TileGraph &graph, const Match &m) {
    const TileType &whole = graph.type(m.root());
    TileType others{whole.dtype, 1, 1};
    bool skipped = false;
    for (Value operand : graph.operands(m.root())) {
        if (operand == m["spread"] && !skipped) {
            skipped = true;
            continue;
        }
        const TileType &type = graph.type(operand);
        others.rows = type.rows == Affine(1) ? others.rows : type.rows;
        others.columns = type.columns == Affine(1) ? others.columns : type.columns;
    }
    const TileType &x = graph.type(m["x"]);
    return spreads_to(x.rows, others.rows, whole.rows) &&
           spreads_to(x.columns, others.columns, whole.columns);
}

/// op(broadcast(x), y) --> op(x, y) where y makes op spread x just so.
void add_spreading(std::vector<rewrite::Rule> &rules) {
    for (const OpInfo &row : ops()) {
        if (row.kind != OpKind::Elementwise || row.min_arity() < 2) {
            continue;
        }
        for (int place = 0; place < row.min_arity(); ++place) {
            std::vector<Pattern> operands = operands_of(row.min_arity(), any);
            operands[static_cast<size_t>(place)] = of(Op::Broadcast, {any("x")}).as("spread");
            rules.push_back(TileRule("spread-operand",
                                     rewrite::op(static_cast<rewrite::OpId>(row.op), operands))
                                .when("", spreads_itself)
                                .to([place](TileRebuild &to, const Match &m) {
                                    std::vector<Value> inner;
                                    for (Value operand : to.old().operands(m.root())) {
                                        inner.push_back(to(operand));
                                    }
                                    inner[static_cast<size_t>(place)] = to(m["x"]);
                                    return to.like(m.root(), std::move(inner));
                                }));
        }
    }
}

/// matmul over transpose(`operand`) --> the same with `attribute` the other way round.
rewrite::Rule take_transpose(bool left) {
    Pattern turned = transpose(any("turned"));
    Pattern product = left ? of(Op::Matmul, {turned, any("other"), maybe("acc")})
                           : of(Op::Matmul, {any("other"), turned, maybe("acc")});
    return TileRule("take-transpose", product).to([left](TileRebuild &to, const Match &m) {
        const char *attribute = left ? "trans_a" : "trans_b";
        Attributes attributes = to.old().attributes(m.root());
        attributes[attribute] = !to.old().flag(m.root(), attribute);
        std::vector<Value> operands{to(m[left ? "turned" : "other"]),
                                    to(m[left ? "other" : "turned"])};
        if (m.has("acc")) {
            operands.push_back(to(m["acc"]));
        }
        return to.op(Op::Matmul, std::move(operands), std::move(attributes));
    });
}

rewrite::Table make_table() {
    std::vector<rewrite::Rule> rules;
    add_constant_folding(rules);
    add_neutral_operands(rules);
    add_spreading(rules);
    rules.push_back(TileRule("divide-by-power-of-two", div(any("x"), constant("s")))
                        .when("{s} is no power of two", is_power_of_two)
                        .to(multiply_by_inverse));
    rules.push_back(neutral("transpose-twice", transpose(transpose(any("x")))));
    rules.push_back(take_transpose(true));
    rules.push_back(take_transpose(false));
    return {"fold", std::move(rules)};
}

}  // namespace

const rewrite::Table &fold_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
