#include "rules_patterns.h"

#include <limits>
#include <span>

#include "check.h"

/// Causal masks. `where(c <= r + offset, x, -inf)`, however it is written, becomes
/// `causal_mask(x, offset)`: what lies right of the diagonal need not be computed, and lowering
/// bounds each block of rows by its last one. Only while no position leaves i32: arithmetic of
/// integers wraps, and what lies past the end is then hidden by the one and not by the other.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

/// `position`, with a scalar added or taken away, captured as `<name>_plus` or `<name>_minus`.
Pattern shifted(Op position, const std::string &name) {
    Pattern index = of(position, {}).as(name);
    return either({index, add(index, any(name + "_plus")), sub(index, any(name + "_minus"))});
}

Pattern row() {
    return shifted(Op::RowIndex, "row");
}
Pattern column() {
    return shifted(Op::ColumnIndex, "column");
}

constexpr const char *row_plus = "row_plus";
constexpr const char *row_minus = "row_minus";
constexpr const char *column_plus = "column_plus";
constexpr const char *column_minus = "column_minus";
constexpr const char *shifts[] = {row_plus, column_minus, row_minus, column_plus};

bool are_scalar_shifts(const TileGraph &graph, const Match &m) {
    return std::all_of(std::begin(shifts), std::end(shifts), [&](const char *shift) {
        return !m.has(shift) ||
               (graph.type(m[shift]).is_scalar() && graph.type(m[shift]).dtype == DType::I32);
    });
}

struct Range {
    int64_t least;
    int64_t most;
};

constexpr Range all_i32{std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()};
/// Operations to look through for the range of a scalar.
constexpr int deepest = 8;

Range range_of(const TileGraph &graph, Value value, int depth = 0);

/// `least` and `most` over the corners of two ranges.
Range range_of_product(const Range &a, const Range &b) {
    auto [least, most] =
        std::minmax({a.least * b.least, a.least * b.most, a.most * b.least, a.most * b.most});
    return {least, most};
}

Range range_of_operation(const TileGraph &graph, Value value, int depth) {
    std::span<const Value> operands = graph.operands(value);
    if (operands.empty()) {
        return all_i32;
    }
    Range a = range_of(graph, operands.front(), depth + 1);
    Range b = operands.size() == 1 ? a : range_of(graph, operands[1], depth + 1);
    switch (static_cast<Op>(graph.op(value))) {
    case Op::Add:
        return {a.least + b.least, a.most + b.most};
    case Op::Sub:
        return {a.least - b.most, a.most - b.least};
    case Op::Mul:
        return range_of_product(a, b);
    case Op::Neg:
        return {-a.most, -a.least};
    case Op::Minimum:
        return {std::min(a.least, b.least), std::min(a.most, b.most)};
    case Op::Maximum:
        return {std::max(a.least, b.least), std::max(a.most, b.most)};
    default:
        return all_i32;
    }
}

/// What an i32 scalar can be: all of i32 where nothing is known or where it may wrap.
Range range_of(const TileGraph &graph, Value value, int depth) {
    if (graph.type(value).dtype != DType::I32 || depth > deepest) {
        return all_i32;
    }
    if (std::optional<double> number = graph.constant(value)) {
        auto known = static_cast<int64_t>(*number);
        return {known, known};
    }
    Range range = all_i32;
    if (graph.op(value) >= 0) {
        range = range_of_operation(graph, value, depth);
    } else if (const Node *loop = graph.loop_of_index(value)) {
        range = {range_of(graph, loop->operands[0], depth + 1).least,
                 range_of(graph, loop->operands[1], depth + 1).most - 1};
    }
    bool wraps = range.least < all_i32.least || range.most > all_i32.most;
    return wraps ? all_i32 : range;
}

/// Whether no position and no sum of shifts leaves i32, with room for the -1 of a strict
/// comparison.
bool stays_in_range(const TileGraph &graph, const Match &m) {
    auto last = [](const Affine &size) { return size.as_constant().value_or(max_dim) - 1; };
    const TileType &whole = graph.type(m.root());
    int64_t row = last(whole.rows);
    int64_t column = last(whole.columns);
    int64_t offset = 1;
    for (const char *shift : shifts) {
        if (!m.has(shift)) {
            continue;
        }
        Range range = range_of(graph, m[shift]);
        int64_t furthest = std::max(-range.least, range.most);
        offset += furthest;
        bool of_row = shift == row_plus || shift == row_minus;
        (of_row ? row : column) += furthest;
    }
    return std::max({row, column, offset}) <= all_i32.most;
}

bool covers_whole_tile(const TileGraph &graph, const Match &m) {
    const TileType &whole = graph.type(m.root());
    return graph.type(m["row"]).rows == whole.rows &&
           graph.type(m["column"]).columns == whole.columns;
}

bool fills_with_minus_infinity(const TileGraph &graph, const Match &m) {
    return graph.constant(m["fill"]) == -std::numeric_limits<double>::infinity();
}

/// causal_mask(x, row_plus + column_minus - row_minus - column_plus + extra).
TileRule::Replacement causal_mask(int extra) {
    return [extra](TileRebuild &to, const Match &m) {
        double known = extra;
        Value offset = rewrite::no_node;
        for (const char *shift : shifts) {
            if (!m.has(shift)) {
                continue;
            }
            bool adds = shift == row_plus || shift == column_minus;
            if (std::optional<double> value = to.old().constant(m[shift])) {
                known += adds ? *value : -*value;
            } else if (offset == rewrite::no_node) {
                offset = adds ? to(m[shift]) : to.op(Op::Neg, {to(m[shift])});
            } else {
                offset = to.op(adds ? Op::Add : Op::Sub, {offset, to(m[shift])});
            }
        }
        if (known != 0) {
            Value constant = to.constant(round_to(DType::I32, known), DType::I32);
            offset = offset == rewrite::no_node ? constant : to.op(Op::Add, {offset, constant});
        }
        std::vector<Value> operands{to(m["x"])};
        if (offset != rewrite::no_node) {
            operands.push_back(offset);
        }
        return to.op(Op::CausalMask, std::move(operands));
    };
}

/// A mask that keeps x where `kept` holds.
rewrite::Rule rule(const Pattern &masked, int extra) {
    return TileRule("causal-mask", masked)
        .when("{fill} is not -inf: what it hides would still count", fills_with_minus_infinity)
        .when("the positions are not those of the whole tile", covers_whole_tile)
        .when("a position is shifted by other than a scalar of i32", are_scalar_shifts)
        .when("a position is shifted so far that it could wrap around: bound the shift by minimum "
              "and "
              "maximum",
              stays_in_range)
        .when("{x} is spread or converted by the mask", has_type_of_root("x"))
        .to(causal_mask(extra));
}

Pattern keep_where(const Pattern &kept) {
    return where(kept, any("x"), constant("fill"));
}
Pattern drop_where(const Pattern &dropped) {
    return where(dropped, constant("fill"), any("x"));
}

rewrite::Table make_table() {
    Pattern up_to = either({of(Op::Ge, {row(), column()}), of(Op::Le, {column(), row()})});
    Pattern before = either({of(Op::Gt, {row(), column()}), of(Op::Lt, {column(), row()})});
    Pattern after = either({of(Op::Lt, {row(), column()}), of(Op::Gt, {column(), row()})});
    Pattern from = either({of(Op::Le, {row(), column()}), of(Op::Ge, {column(), row()})});
    return {"mask",
            {rule(keep_where(up_to), 0), rule(keep_where(before), -1), rule(drop_where(after), 0),
             rule(drop_where(from), -1)}};
}

}  // namespace

const rewrite::Table &mask_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
