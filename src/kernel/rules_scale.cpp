#include "rules_patterns.h"

#include <cmath>

#include "pto/wsp/core/affine.h"

/// Scales of products. `(a @ b) * s = (a * s) @ b` up to the order of roundings, which matmul may
/// choose; done where a has fewer elements than the product, and where s makes nothing larger: a
/// scaled operand would overflow where the product does not. What it makes smaller may lose bits
/// below 2^-126, each element of a * s at most 2^-150; with it an element of the product changes by
/// at most 2^-150 times the sum of |b| over its column.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

/// A run-time size counts as this many.
constexpr int64_t assumed_size = 1024;
/// Below this too much of a scaled operand could vanish.
constexpr double smallest_factor = 1.0 / (1 << 24);

double estimate(const Affine &size) {
    std::map<std::string, int64_t> values;
    for (const auto &[symbol, coefficient] : size.terms()) {
        values[symbol] = assumed_size;
    }
    return static_cast<double>(size.evaluate(values));
}

double elements(const TileType &type) {
    return estimate(type.rows) * estimate(type.columns);
}

/// The size of what the product is multiplied by.
double factor(const TileGraph &graph, const Match &m) {
    double s = std::abs(*graph.constant(m["s"]));
    return static_cast<Op>(graph.op(m.root())) == Op::Div ? 1.0 / s : s;
}

bool enlarges_nothing(const TileGraph &graph, const Match &m) {
    return factor(graph, m) <= 1;
}

bool is_moderate(const TileGraph &graph, const Match &m) {
    return factor(graph, m) >= smallest_factor;
}

bool is_constant(const TileGraph &graph, const Match &m) {
    return graph.constant(m["s"]).has_value();
}

bool is_scalar(const TileGraph &graph, const Match &m) {
    return graph.type(m["s"]).is_scalar();
}

double saved(const TileGraph &graph, const Match &m) {
    return elements(graph.type(m["product"])) - elements(graph.type(m["a"]));
}

rewrite::Rule scale_operand(const Pattern &scaled, Op op) {
    return TileRule("scale-operand", scaled)
        .when("", is_scalar)
        .when("{s} is known only at run time: when it is infinite, NaN or 0 the order matters",
              is_constant)
        .when("{s} makes the operand larger, which could overflow where {product} does not",
              enlarges_nothing)
        .when("{s} makes the operand smaller by more than 2^24: too much of it could vanish",
              is_moderate)
        .when("{product} adds to an accumulator", is_absent("acc"))
        .when("only products of f32 are scaled by their operand", are_f32({"product", "a", "b"}))
        .when("{s} is not of the product's type", has_type_of_root("product"))
        .single_use("product")
        .saving("multiplications", saved)
        .to([op](TileRebuild &to, const Match &m) {
            Value a = to.op(op, {to(m["a"]), to(m["s"])});
            return to.like(m["product"], {a, to(m["b"])});
        });
}

rewrite::Table make_table() {
    Pattern product = of(Op::Matmul, {any("a"), any("b"), maybe("acc")}).as("product");
    return {"scale",
            {scale_operand(mul(product, any("s")), Op::Mul),
             scale_operand(div(product, any("s")), Op::Div)}};
}

}  // namespace

const rewrite::Table &scale_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
