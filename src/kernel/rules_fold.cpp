#include "rules_patterns.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "memory.h"
#include "pto/wsp/kernel/evaluate.h"

/// What can be known without running: constants, neutral operands, transposes. All of it exact,
/// also for -0, infinities and NaN.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

/// More elements than this are not looked at.
constexpr int64_t most_elements = 1 << 14;

bool is_uniform(const RefTile &tile) {
    if (is_integer(tile.dtype)) {
        return (tile.integer == tile.integer(0, 0)).all();
    }
    const double first = tile.real(0, 0);
    return std::all_of(tile.real.data(), tile.real.data() + tile.real.size(), [&](double x) {
        return (std::isnan(x) && std::isnan(first)) ||
               (x == first && std::signbit(x) == std::signbit(first));
    });
}

/// The known number `value` as a tile, of one element where `as_scalar`.
std::optional<RefTile> known_tile(const TileGraph &graph, Value value, bool as_scalar) {
    const TileType &type = graph.type(value);
    int64_t rows = as_scalar ? 1 : type.rows.as_constant().value_or(0);
    int64_t columns = as_scalar ? 1 : type.columns.as_constant().value_or(0);
    if (rows <= 0 || columns <= 0 || rows * columns > most_elements) {
        return std::nullopt;
    }
    RefTile tile = make_tile(type.dtype, rows, columns);
    if (is_integer(type.dtype)) {
        tile.integer.setConstant(std::get<int64_t>(graph.number(value)));
    } else {
        tile.real.setConstant(*graph.constant(value));
    }
    return tile;
}

/// What the operation's own reference semantics make of its constant operands, as one element;
/// nothing when its elements differ or when it has none, or too many.
std::optional<RefTile> folded(const TileGraph &graph, Value root) {
    const OpInfo &row = info(static_cast<Op>(graph.op(root)));
    const bool as_scalar = row.kind == OpKind::Elementwise && row.op != Op::CausalMask;
    std::vector<RefTile> tiles;
    for (Value operand : graph.operands(root)) {
        std::optional<RefTile> tile = known_tile(graph, operand, as_scalar);
        if (!tile) {
            return std::nullopt;
        }
        tiles.push_back(std::move(*tile));
    }
    TileType type = graph.type(root);
    int64_t elements = type.rows.as_constant().value_or(0) * type.columns.as_constant().value_or(0);
    if (as_scalar) {
        type = {type.dtype, 1, 1};
    } else if (elements == 0 || elements > most_elements) {
        return std::nullopt;
    }
    RefTile result = row.reference(tiles, graph.attributes(root), type);
    return is_uniform(result) ? std::optional<RefTile>(result) : std::nullopt;
}

Value fold(TileRebuild &to, const Match &m) {
    const TileType &type = to.old().type(m.root());
    RefTile result = *folded(to.old(), m.root());
    if (is_integer(type.dtype)) {
        return to.uniform(wrap_to(type.dtype, result.integer(0, 0)), type);
    }
    return to.uniform(round_to(type.dtype, result.real(0, 0)), type);
}

/// Masks are no constants, and a constant of U64 is written as an i64.
bool can_be_constant(const TileGraph &graph, const Match &m) {
    DType dtype = graph.type(m.root()).dtype;
    return dtype != DType::Mask && dtype != DType::U64;
}

bool is_known_and_uniform(const TileGraph &graph, const Match &m) {
    return folded(graph, m.root()).has_value();
}

bool can_fold(const OpInfo &row) {
    switch (row.kind) {
    case OpKind::Elementwise:
    case OpKind::Reduction:
    case OpKind::ColumnReduction:
    case OpKind::Matrix:
    case OpKind::Composite:
        return true;
    case OpKind::Shape:
    case OpKind::RowShape:
        // A broadcast of a constant is how a tile of equal elements is written. A window may be
        // refused.
        return row.op != Op::Broadcast && row.op != Op::Slice && row.op != Op::ExtractTopkIndices;
    default:
        return false;
    }
}

void add_constant_folding(std::vector<rewrite::Rule> &rules) {
    for (const OpInfo &row : ops()) {
        if (!can_fold(row)) {
            continue;
        }
        for (int arity = row.min_arity(); arity <= row.max_arity(); ++arity) {
            rules.push_back(
                TileRule("fold-constants", rewrite::op(static_cast<rewrite::OpId>(row.op),
                                                       operands_of(arity, constant)))
                    .when("", can_be_constant)
                    .when("its elements differ, or are more than 16384 or none",
                          is_known_and_uniform)
                    .to(fold));
        }
    }
}

/// Whether the comparison `mask` of two known numbers holds.
bool holds(const TileGraph &graph, Value mask) {
    return folded(graph, mask)->real(0, 0) != 0;
}

/// where(1 < 2, x, y) --> x
void add_choices(std::vector<rewrite::Rule> &rules) {
    for (Op op : {Op::Lt, Op::Le, Op::Gt, Op::Ge, Op::Eq, Op::Ne}) {
        Pattern mask = of(op, {constant("left"), constant("right")}).as("mask");
        for (bool first : {true, false}) {
            Pattern choice =
                first ? where(mask, any("x"), any("other")) : where(mask, any("other"), any("x"));
            rules.push_back(
                TileRule("choose-known", choice)
                    .when("", [first](const TileGraph &graph,
                                      const Match &m) { return holds(graph, m["mask"]) == first; })
                    .when("{x} is spread or converted by it", has_type_of_root("x"))
                    .to(by("x")));
        }
    }
}

rewrite::Rule neutral(const char *name, const Pattern &pattern) {
    return TileRule(name, pattern)
        .when("{x} is spread or converted by it", has_type_of_root("x"))
        .to(by("x"));
}

/// Whether `bound` is the lowest (highest) number of the result's type; -inf (inf) of floats.
bool is_extreme(const TileGraph &graph, const Match &m, bool lowest) {
    DType dtype = graph.type(m.root()).dtype;
    if (is_float(dtype)) {
        return graph.constant(m["bound"]) ==
               (lowest ? -1 : 1) * std::numeric_limits<double>::infinity();
    }
    const auto bound = std::get<int64_t>(graph.number(m["bound"]));
    return dtype != DType::U64 && !fits_integer(dtype, lowest ? bound - 1.0 : bound + 1.0);
}

/// maximum(x, lowest) --> x, minimum(x, highest) --> x
rewrite::Rule beyond_extreme(Op op) {
    return TileRule("compare-with-extreme", of(op, {any("x"), constant("bound")}).commutative())
        .when("", [op](const TileGraph &graph,
                       const Match &m) { return is_extreme(graph, m, op == Op::Maximum); })
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
    rules.push_back(beyond_extreme(Op::Maximum));
    rules.push_back(beyond_extreme(Op::Minimum));
    for (Op op : {Op::Cast, Op::Broadcast, Op::Reshape}) {
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
    TileType type = to.old().type(m["s"]);
    type.dtype = to.old().type(m.root()).dtype;
    double inverse = 1.0 / *to.old().constant(m["s"]);
    return to.op(Op::Mul, {to(m["x"]), to.uniform(inverse, type)});
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
    add_choices(rules);
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
