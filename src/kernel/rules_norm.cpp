#include "rules_patterns.h"

#include <cmath>

/// RMSNorm and layernorm written out by hand become `rmsnorm(x, eps)` and `layernorm(x, eps)`:
/// ```
/// x * rsqrt(rowmean(x * x) + eps), x / sqrt(...), x * (1 / sqrt(...))    --> rmsnorm(x, eps)
/// rmsnorm(x - rowmean(x), eps)                                          --> layernorm(x, eps)
/// ```
/// with rowsum(...) / columns, or times 1 / columns, for rowmean. Equal up to a few roundings of an
/// element; 1 / sqrt neither overflows nor vanishes where sqrt does not. A variance as the
/// difference of two means is left: it cancels, and the other one would give other numbers.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

/// 1 / columns is a constant of its type, rounded.
constexpr double rounding_of_share = 1e-6;

/// The mean of each row of `x`; what divides is captured as `<name>_count` or `<name>_share`.
Pattern mean(const Pattern &x, const std::string &name) {
    return either({of(Op::Rowmean, {x}), div(rowsum(x), constant(name + "_count")),
                   mul(rowsum(x), constant(name + "_share"))});
}

bool is_mean(const TileGraph &graph, const Match &m, const std::string &name) {
    const std::string count = name + "_count";
    const std::string share = name + "_share";
    if (!m.has(count) && !m.has(share)) {
        return true;
    }
    double columns = static_cast<double>(graph.type(m["x"]).columns.as_constant().value_or(0));
    return m.has(count) ? *graph.constant(m[count]) == columns
                        : std::abs(*graph.constant(m[share]) * columns - 1) <= rounding_of_share;
}

Predicate divides_by_columns(const std::string &name) {
    return [name](const TileGraph &graph, const Match &m) { return is_mean(graph, m, name); };
}

Pattern mean_of_squares() {
    return mean(mul(same("x"), same("x")), "squares");
}

Pattern with_eps(const Pattern &variance) {
    return either({add(variance, constant("eps")), variance});
}

Pattern rsqrt(const Pattern &x) {
    return of(Op::Rsqrt, {x});
}
Pattern sqrt(const Pattern &x) {
    return of(Op::Sqrt, {x});
}

double eps_of(const TileGraph &graph, const Match &m) {
    return m.has("eps") ? *graph.constant(m["eps"]) : 0.0;
}

rewrite::Rule rmsnorm(const Pattern &normalised) {
    return TileRule("rmsnorm", normalised)
        .when("{x} is rounded or spread on the way", has_type_of_root("x"))
        .when("only f32 and f64 are normalised in their own type",
              [](const TileGraph &graph, const Match &m) {
                  DType dtype = graph.type(m["x"]).dtype;
                  return dtype == DType::F32 || dtype == DType::F64;
              })
        .when("the sum of squares is not divided by the number of columns of {x}",
              divides_by_columns("squares"))
        .when("{eps} is no number >= 0",
              [](const TileGraph &graph, const Match &m) {
                  double eps = eps_of(graph, m);
                  return eps >= 0 && std::isfinite(eps);
              })
        .to([](TileRebuild &to, const Match &m) {
            return to.op(Op::Rmsnorm, {to(m["x"])}, {{"eps", eps_of(to.old(), m)}});
        });
}

/// rowmean(x * x) - rowmean(x) * rowmean(x)
Pattern difference_of_means() {
    return sub(mean_of_squares(), mul(same("mean"), same("mean")));
}

rewrite::Table make_table() {
    std::vector<rewrite::Rule> rules;
    rules.push_back(rmsnorm(mul(any("x"), rsqrt(with_eps(mean_of_squares())))));
    rules.push_back(rmsnorm(div(any("x"), sqrt(with_eps(mean_of_squares())))));
    rules.push_back(rmsnorm(mul(any("x"), div(constant(1.0), sqrt(with_eps(mean_of_squares()))))));
    rules.push_back(
        TileRule("layernorm", of(Op::Rmsnorm, {sub(any("x"), mean(same("x"), "mean"))}))
            .when("{x} is spread by it", has_type_of_root("x"))
            .when("what is subtracted is not the mean of {x}", divides_by_columns("mean"))
            .to([](TileRebuild &to, const Match &m) {
                return to.op(Op::Layernorm, {to(m["x"])}, to.old().attributes(m.root()));
            }));
    Pattern centred = sub(any("x"), any("mean")).as("centred");
    rules.push_back(
        TileRule("layernorm-of-moments", mul(centred, rsqrt(with_eps(difference_of_means()))))
            .when("its variance is a difference of means, which cancels: take the mean of the "
                  "squares of {centred}",
                  [](const TileGraph &, const Match &) { return false; })
            .to(by("centred")));
    return {"norm", std::move(rules)};
}

}  // namespace

const rewrite::Table &norm_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
