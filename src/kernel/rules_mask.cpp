#include "rules_patterns.h"

#include <limits>

/// Causal masks. `where(c <= r + offset, x, -inf)`, however it is written, becomes
/// `causal_mask(x, offset)`: what lies right of the diagonal need not be computed, and lowering
/// bounds each block of rows by its last one.
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

constexpr const char *shifts[] = {"row_plus", "column_minus", "row_minus", "column_plus"};

bool are_scalar_shifts(const TileGraph &graph, const Match &m) {
    return std::all_of(std::begin(shifts), std::end(shifts), [&](const char *shift) {
        return !m.has(shift) ||
               (graph.type(m[shift]).is_scalar() && graph.type(m[shift]).dtype == DType::I32);
    });
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
            bool adds = shift == shifts[0] || shift == shifts[1];
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
