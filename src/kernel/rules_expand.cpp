#include "rules_patterns.h"

/// Composites written out, each in one way, in f32 for the narrow floats. What follows, rules and
/// lowering, knows the operations alone.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

/// See rules_softmax.cpp for a safe one.
Value softmax(TileRebuild &to, Value x, const Match &m) {
    const bool safe = to.old().flag(m.root(), "safe");
    const DType dtype = to.type(x).dtype;
    auto at_least = [&](Value value, double least) {
        return safe ? to.op(Op::Maximum, {value, to.constant(least, dtype)}) : value;
    };
    Value most = at_least(to.op(Op::Rowmax, {x}), dtype == DType::F64 ? lowest_f64 : lowest_f32);
    Value e = to.op(Op::Exp, {to.op(Op::Sub, {x, most})});
    return to.op(Op::Div, {e, at_least(to.op(Op::Rowsum, {e}), 1.0)});
}

Value rmsnorm(TileRebuild &to, Value x, const Match &m) {
    Value mean = to.op(Op::Rowmean, {to.op(Op::Mul, {x, x})});
    double eps = number_of(to.old().attributes(m.root()).at("eps"));
    if (eps != 0) {
        mean = to.op(Op::Add, {mean, to.constant(eps, to.type(x).dtype)});
    }
    return to.op(Op::Mul, {x, to.op(Op::Rsqrt, {mean})});
}

Value layernorm(TileRebuild &to, Value x, const Match &m) {
    return rmsnorm(to, to.op(Op::Sub, {x, to.op(Op::Rowmean, {x})}), m);
}

TileRule::Replacement in_wide_floats(Value (*definition)(TileRebuild &, Value, const Match &)) {
    return [definition](TileRebuild &to, const Match &m) {
        DType dtype = to.old().type(m["x"]).dtype;
        bool narrow = dtype == DType::F16 || dtype == DType::BF16;
        Value x = to(m["x"]);
        if (narrow) {
            x = to.op(Op::Cast, {x}, {{"dtype", name(DType::F32)}});
        }
        Value y = definition(to, x, m);
        return narrow ? to.op(Op::Cast, {y}, {{"dtype", name(dtype)}}) : y;
    };
}

rewrite::Table make_table() {
    std::vector<rewrite::Rule> rules;
    rules.push_back(TileRule("expand-softmax", of(Op::Softmax, {any("x")}))
                        .when("{x} has no columns",
                              [](const TileGraph &graph, const Match &m) {
                                  return !(graph.type(m["x"]).columns == Affine(0));
                              })
                        .to(in_wide_floats(softmax)));
    rules.push_back(
        TileRule("expand-rmsnorm", of(Op::Rmsnorm, {any("x")})).to(in_wide_floats(rmsnorm)));
    rules.push_back(
        TileRule("expand-layernorm", of(Op::Layernorm, {any("x")})).to(in_wide_floats(layernorm)));
    return {"expand", std::move(rules)};
}

}  // namespace

const rewrite::Table &expand_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
