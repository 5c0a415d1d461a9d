#include <limits>

#include "rules_patterns.h"

/// Softmax. With `m = rowmax(x)`, `e = exp(x - m)`, `l = rowsum(e)` it is `e / l`. The division
/// moves behind a product: `(e / l) @ v = (e @ v) / l`, as each row has one l. Invariant that makes
/// it safe: 0 <= e <= 1 and 1 <= l <= columns, so that e @ v overflows only where the sum of v
/// does. 1 / l is no subnormal then, and a product with it is a quotient up to a rounding.
/// Rows of -inf, and rows with +inf or NaN, are NaN both ways: l is NaN in them. A safe
/// softmax has `m = maximum(rowmax(x), lowest)`, the lowest finite number, and divides by
/// `maximum(l, 1)`: of a row of -inf all e are 0, and other rows are as they were.
///
/// A product whose left factor is masked, with exponentials of -inf, skips the terms of 0, so that
/// what a mask hides never counts, also when it is NaN or infinite.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

/// The maximum of the rows of `x`: `m`, raised to the `lowest` number in a safe softmax.
Pattern row_maximum() {
    Pattern most = rowmax(same("x")).as("m");
    Pattern lowest = either({constant(lowest_f32).as("lowest"), constant(lowest_f64).as("lowest")});
    return either({most, maximum(most, lowest).as("raised")});
}

/// The sum of the rows of `e`, `sum`, raised to 1 in a safe softmax: what divides.
Pattern row_total() {
    Pattern sum = rowsum(same("e")).as("sum");
    return either({sum, maximum(sum, constant(1.0).as("one"))});
}

/// e of a softmax: exp(x - rowmax(x)), or anything else, captured without `x`.
Pattern exponents() {
    return either({exp(sub(any("x"), row_maximum())).as("e"), any("e")});
}

Pattern sum_of_softmax() {
    return rowsum(exponents()).as("l");
}

Value like_product(TileRebuild &to, const Match &m) {
    return to.like(m["product"], {to(m["e"]), to(m["v"])});
}

TileRule normalise(const Pattern &p) {
    return TileRule("normalise-after-product",
                    of(Op::Matmul, {p, any("v"), maybe("acc")}).as("product"))
        .when("{e} is not exp(x - rowmax(x)): its product could overflow before it is divided",
              [](const TileGraph &, const Match &m) { return m.has("x"); })
        .when("{product} adds to an accumulator, which must not be divided", is_absent("acc"))
        .when("{p} is transposed", is_unset("product", "trans_a"))
        .when("only f32 is normalised after the product", are_f32({"p", "v", "product"}))
        .single_use("p");
}

/// Where an exponential below 2^-126 may as well be 0, with `m` either rowmax(x) itself (*own*) or
/// a maximum of more than x:
/// - in its row's sum, which is off by less than 2^-126 a column. With an own maximum the sum is at
///   least 1. Without, it may be 0 in place of a number near 2^-126, and is only added to what else
///   the maximum stands for;
/// - as the left operand of a product with v, which is off by less than 2^-126 times the sum of |v|
///   over the column;
/// - divided by its own sum, of an own maximum.
/// A factor of any other kind could make it large, and a quotient of small numbers too.
class SmallMayVanish {
public:
    SmallMayVanish(const TileGraph &graph, Value e, bool own) : graph_(graph), e_(e), own_(own) {}

    bool holds() const { return holds_for(e_); }

private:
    bool holds_for(Value value) const {
        const std::vector<const Node *> users = graph_.users(value);
        return std::all_of(users.begin(), users.end(),
                           [&](const Node *user) { return is_blind(*user, value); });
    }

    /// Whether `user` of e, or of e converted, cannot tell.
    bool is_blind(const Node &user, Value value) const {
        switch (user.op) {
        case Op::Rowsum:
            return own_ || is_only_added(user.results[0]);
        case Op::Matmul:
            return std::count(user.operands.begin(), user.operands.end(), value) == 1 &&
                   user.operands[0] == value;
        case Op::Div:
            return own_ && is_sum(user.operands[1]) && user.operands[0] == value;
        case Op::Cast:
            // Half floats have nothing between 0 and 2^-24.
            return graph_.type(user.results[0]).dtype == DType::F16 || holds_for(user.results[0]);
        default:
            return false;
        }
    }

    bool is_only_added(Value sum) const {
        const std::vector<const Node *> users = graph_.users(sum);
        return std::all_of(users.begin(), users.end(),
                           [](const Node *user) { return user->op == Op::Add; });
    }

    bool is(Value value, Op op) const { return graph_.op(value) == static_cast<rewrite::OpId>(op); }

    bool is_sum(Value value) const {
        if (is(value, Op::Maximum) && graph_.constant(graph_.operands(value)[1]) == 1.0) {
            value = graph_.operands(value)[0];
        }
        if (!is(value, Op::Rowsum)) {
            return false;
        }
        Value summed = graph_.operands(value)[0];
        while (is(summed, Op::Cast)) {
            summed = graph_.operands(summed)[0];
        }
        return summed == e_;
    }

    const TileGraph &graph_;
    Value e_;
    bool own_;
};

/// What is never positive: `x - maximum of x and others`; captures `m` when there are no others.
Pattern nonpositive() {
    Pattern maximum_of_x = either(
        {row_maximum(), maximum(rowmax(same("x")), any("old")), maximum(same("x"), any("new"))});
    return sub(any("x"), maximum_of_x);
}

/// The maximum of a softmax may pass over NaN: the sum of the row is NaN all the same.
Value pass_over_nan(TileRebuild &to, const Match &m) {
    Attributes ignoring = to.old().attributes(m["m"]);
    ignoring["ignore_nan"] = true;
    Value most = to.op(Op::Rowmax, {to(m["x"])}, ignoring);
    if (m.has("raised")) {
        most = to.op(Op::Maximum, {most, to(m["lowest"])});
    }
    Value e = to.like(m["e"], {to.like(m["d"], {to(m["x"]), most})});
    Value numerator = m.has("product") ? to.like(m["product"], {e, to(m["v"])}) : e;
    Value total = to.like(m["sum"], {e});
    if (m.has("one")) {
        total = to.op(Op::Maximum, {total, to(m["one"])});
    }
    return to.op(Op::Div, {numerator, total});
}

Pattern whole_softmax() {
    Pattern e = exp(sub(any("x"), row_maximum()).as("d")).as("e");
    return div(either({e, of(Op::Matmul, {e, any("v")}).as("product")}), row_total());
}

/// Whether `value` has -inf where a mask hides it.
bool is_masked(const TileGraph &graph, Value value) {
    auto hidden = [&](Value fill) {
        return graph.constant(fill) == -std::numeric_limits<double>::infinity();
    };
    switch (static_cast<Op>(graph.op(value))) {
    case Op::CausalMask:
        return true;
    case Op::Cast:
        return is_masked(graph, graph.operands(value)[0]);
    case Op::Where:
        return hidden(graph.operands(value)[1]) || hidden(graph.operands(value)[2]);
    default:
        return false;
    }
}

/// Whether `value` is 0 where a mask hides it: a softmax or exponentials of masked x, normalised,
/// converted or not.
bool is_zero_where_masked(const TileGraph &graph, Value value) {
    std::span<const Value> operands = graph.operands(value);
    switch (static_cast<Op>(graph.op(value))) {
    case Op::Softmax:
        return is_masked(graph, operands[0]);
    case Op::Exp:
        return static_cast<Op>(graph.op(operands[0])) == Op::Sub &&
               is_masked(graph, graph.operands(operands[0])[0]);
    case Op::Cast:
    case Op::Div:
        return is_zero_where_masked(graph, operands[0]);
    case Op::Mul:
        return is_zero_where_masked(graph, operands[0]) || is_zero_where_masked(graph, operands[1]);
    default:
        return false;
    }
}

Value skip_zeros(TileRebuild &to, const Match &m) {
    Attributes attributes = to.old().attributes(m["product"]);
    attributes["skip_zeros"] = true;
    std::vector<Value> operands;
    for (Value operand : to.old().operands(m["product"])) {
        operands.push_back(to(operand));
    }
    return to.op(Op::Matmul, std::move(operands), attributes);
}

rewrite::Table make_table() {
    std::vector<rewrite::Rule> rules;
    rules.push_back(
        TileRule("skip-what-a-mask-hides",
                 of(Op::Matmul, {any("p"), any("v"), maybe("acc")}).as("product"))
            .when("", is_unset("product", "skip_zeros"))
            .when("", [](const TileGraph &graph,
                         const Match &m) { return is_zero_where_masked(graph, m["p"]); })
            .to(skip_zeros));
    rules.push_back(
        TileRule("scale-before-maximum", exp(mul(sub(any("x"), rowmax(same("x"))), constant("s"))))
            .when("{s} is not in (0, 1]: what it makes larger could overflow",
                  [](const TileGraph &graph, const Match &m) {
                      double s = *graph.constant(m["s"]);
                      return s > 0 && s <= 1;
                  })
            .when("{x} is converted by it", has_type_of_root("x"))
            .to([](TileRebuild &to, const Match &m) {
                Value scaled = to.op(Op::Mul, {to(m["x"]), to(m["s"])});
                return to.op(Op::Exp, {to.op(Op::Sub, {scaled, to.op(Op::Rowmax, {scaled})})});
            }));
    rules.push_back(TileRule("divide-by-sum", mul(any("y"), div(constant(1.0), sum_of_softmax())))
                        .when("{l} is not the sum of exp(x - rowmax(x)): it could be so small that "
                              "1 / l overflows",
                              [](const TileGraph &, const Match &m) { return m.has("x"); })
                        .when("", makes_type_of_root(Op::Div, {"y", "l"}))
                        .to([](TileRebuild &to, const Match &m) {
                            return to.op(Op::Div, {to(m["y"]), to(m["l"])});
                        }));
    rules.push_back(
        normalise(div(exponents(), row_total()).as("p")).to([](TileRebuild &to, const Match &m) {
            return to.op(Op::Div, {like_product(to, m), to(to.old().operands(m["p"])[1])});
        }));
    rules.push_back(TileRule("nonpositive-exponent", exp(nonpositive()).as("e"))
                        .when("", is_unset("e", "nonpositive"))
                        .when("{e} is seen by more than its sums, products and normalisation, "
                              "which could tell a number below 2^-126 from 0",
                              [](const TileGraph &graph, const Match &m) {
                                  return SmallMayVanish(graph, m["e"], m.has("m")).holds();
                              })
                        .to([](TileRebuild &to, const Match &m) {
                            Attributes attributes = to.old().attributes(m["e"]);
                            attributes["nonpositive"] = true;
                            return to.op(Op::Exp, {to(to.old().operands(m["e"])[0])}, attributes);
                        }));
    rules.push_back(
        TileRule("maximum-of-softmax", whole_softmax())
            .when("", is_unset("m", "ignore_nan"))
            .when("only {e} and its sum may see the maximum: {m} has {m.uses} uses",
                  [](const TileGraph &graph, const Match &m) {
                      return graph.uses(m["m"]) == 1 && graph.uses(m["d"]) == 1;
                  })
            .when("{e} has {e.uses} uses, and not only its quotient's",
                  [](const TileGraph &graph, const Match &m) { return graph.uses(m["e"]) == 2; })
            .to(pass_over_nan));
    return {"softmax", std::move(rules)};
}

}  // namespace

const rewrite::Table &softmax_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
