#include "rules_patterns.h"

/// The same with less: signs that cancel, conversions and moves that undo each other, choices that
/// are none. All of it exact, to the last bit, for -0, infinities, NaN (which is any NaN) and
/// integers that wrap; what is not, says why.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

bool is_unsigned(DType dtype) {
    return pto::wsp::info(dtype).kind == DTypeKind::Unsigned;
}

Predicate is_signed(const char *capture) {
    return [capture](const TileGraph &graph, const Match &m) {
        return !is_unsigned(graph.type(m[capture]).dtype);
    };
}

Predicate is_real(const char *capture) {
    return [capture](const TileGraph &graph, const Match &m) {
        return is_float(graph.type(m[capture]).dtype);
    };
}

/// Negation wraps in the type of its operand: what meets it must not be wider.
Predicate negates_as_root(std::vector<const char *> captures) {
    return [captures = std::move(captures)](const TileGraph &graph, const Match &m) {
        return std::all_of(captures.begin(), captures.end(), [&](const char *capture) {
            DType dtype = graph.type(m[capture]).dtype;
            return is_float(dtype) || dtype == graph.type(m.root()).dtype;
        });
    };
}

TileRule::Replacement make(Op op, std::vector<const char *> captures) {
    return [op, captures = std::move(captures)](TileRebuild &to, const Match &m) {
        std::vector<Value> operands;
        for (const char *capture : captures) {
            operands.push_back(to(m[capture]));
        }
        return to.op(op, std::move(operands), to.old().attributes(m.root()));
    };
}

TileRule::Replacement negated(const char *capture) {
    return [capture](TileRebuild &to, const Match &m) { return to.op(Op::Neg, {to(m[capture])}); };
}

Value zeros(TileRebuild &to, const Match &m) {
    return to.uniform(0, to.old().type(m.root()));
}

constexpr const char *widens = "the sign of an integer is changed before it is widened";
constexpr const char *spreads = "{x} is spread or converted by it";

void add_signs(std::vector<rewrite::Rule> &rules) {
    rules.push_back(TileRule("subtract-negated", sub(any("a"), neg(any("b"))))
                        .when(widens, negates_as_root({"b"}))
                        .to(make(Op::Add, {"a", "b"})));
    rules.push_back(TileRule("add-negated", add(any("a"), neg(any("b"))))
                        .when(widens, negates_as_root({"b"}))
                        .to(make(Op::Sub, {"a", "b"})));
    for (Op op : {Op::Mul, Op::Div}) {
        rules.push_back(TileRule("cancel-signs", of(op, {neg(any("a")), neg(any("b"))}))
                            .when(widens, negates_as_root({"a", "b"}))
                            .to(make(op, {"a", "b"})));
    }
    rules.push_back(TileRule("multiply-by-minus-one", mul(any("x"), constant(-1.0)))
                        .when(spreads, has_type_of_root("x"))
                        .to(negated("x")));
    rules.push_back(TileRule("subtract-from-minus-zero", sub(constant(-0.0), any("x")))
                        .when(spreads, has_type_of_root("x"))
                        .to(negated("x")));
    rules.push_back(TileRule("subtract-from-zero", sub(constant(0.0), any("x")))
                        .when("where {x} is 0 the difference is 0, not -0", is_integer_root)
                        .when(spreads, has_type_of_root("x"))
                        .to(negated("x")));
    rules.push_back(TileRule("absolute-of-negated", of(Op::Abs, {neg(any("x"))}))
                        .when("the negation of an unsigned number is positive", is_signed("x"))
                        .to(make(Op::Abs, {"x"})));
}

Predicate is_unsigned_operand(const char *capture) {
    return [capture](const TileGraph &graph, const Match &m) {
        return is_unsigned(graph.type(m[capture]).dtype);
    };
}

/// abs and relu of what has no sign.
void add_known_signs(std::vector<rewrite::Rule> &rules) {
    for (Op op : {Op::Abs, Op::Relu}) {
        rules.push_back(
            TileRule("drop-twin", of(op, {of(op, {any("inner")}).as("x")})).to(by("x")));
        rules.push_back(TileRule("sign-of-unsigned", of(op, {any("x")}))
                            .when("", is_unsigned_operand("x"))
                            .to(by("x")));
        rules.push_back(TileRule("sign-of-positive",
                                 of(op, {either({of(Op::Exp, {any("inner")}).as("x"),
                                                 of(Op::Sigmoid, {any("inner")}).as("x")})}))
                            .to(by("x")));
    }
    rules.push_back(
        TileRule("relu-of-absolute", of(Op::Relu, {of(Op::Abs, {any("inner")}).as("x")}))
            .when("the absolute value of the lowest integer is itself", is_real("x"))
            .to(by("x")));
}

/// Integers alone: x - x is NaN for infinities, and so is x * 0, which else may be -0.
void add_integers(std::vector<rewrite::Rule> &rules) {
    rules.push_back(TileRule("subtract-itself", sub(any("x"), same("x")))
                        .when("{x} may be infinite or NaN", is_integer_root)
                        .to(zeros));
    rules.push_back(TileRule("multiply-by-zero", mul(any("x"), constant(0.0)))
                        .when("{x} may be negative, infinite or NaN", is_integer_root)
                        .to(zeros));
    rules.push_back(TileRule("floor-divide-by-one", of(Op::FloorDiv, {any("x"), constant(1.0)}))
                        .when(spreads, has_type_of_root("x"))
                        .to(by("x")));
    rules.push_back(TileRule("remainder-of-one", of(Op::Mod, {any("x"), constant(1.0)})).to(zeros));
}

/// Bits of the significand, and the exponents of the largest and of the smallest number.
struct Precision {
    int bits;
    int largest;
    int smallest;
};

Precision precision(DType dtype) {
    switch (dtype) {
    case DType::F16:
        return {11, 15, -24};
    case DType::BF16:
        return {8, 127, -133};
    case DType::F32:
        return {24, 127, -149};
    case DType::F64:
        return {53, 1023, -1074};
    default: {
        int bits = 8 * size_bytes(dtype) - (is_unsigned(dtype) ? 0 : 1);
        return {bits, bits, 0};
    }
    }
}

/// Whether `wide` has every number of `narrow`.
bool holds(DType wide, DType narrow) {
    Precision w = precision(wide);
    Precision n = precision(narrow);
    bool has_sign = !is_unsigned(wide) || is_unsigned(narrow);
    bool has_fractions = is_float(wide) || is_integer(narrow);
    return has_sign && has_fractions && w.bits >= n.bits && w.largest >= n.largest &&
           w.smallest <= n.smallest;
}

/// Whether the type between x and the result holds all that x can be. From integers to integers by
/// a float is cut where it does not fit, and not wrapped.
bool passes_unchanged(const TileGraph &graph, const Match &m) {
    DType from = graph.type(m["x"]).dtype;
    DType between = graph.type(m["between"]).dtype;
    DType to = graph.type(m.root()).dtype;
    bool by_float = is_integer(from) && is_float(between) && is_integer(to);
    return from != DType::Mask && holds(between, from) && (!by_float || holds(to, from));
}

Pattern cast(Pattern x) {
    return of(Op::Cast, {std::move(x)});
}

void add_conversions(std::vector<rewrite::Rule> &rules) {
    Pattern twice = cast(cast(any("x")).as("between"));
    rules.push_back(TileRule("cast-there-and-back", twice)
                        .when("", has_type_of_root("x"))
                        .when("{between} rounds or wraps {x}", passes_unchanged)
                        .to(by("x")));
    rules.push_back(TileRule("cast-once", twice)
                        .when("", [](const TileGraph &graph,
                                     const Match &m) { return !has_type_of_root("x")(graph, m); })
                        .when("{between} rounds or wraps {x}", passes_unchanged)
                        .to(make(Op::Cast, {"x"})));
}

bool is_known(const TileGraph &graph, Value value) {
    return graph.constant(value).has_value();
}

/// The window starts at a known place and surely lies in what it is cut from.
bool lies_inside(const TileGraph &graph, Value slice) {
    std::span<const Value> operands = graph.operands(slice);
    if (!is_known(graph, operands[1]) || !is_known(graph, operands[2])) {
        return false;
    }
    const TileType &whole = graph.type(operands[0]);
    const TileType &part = graph.type(slice);
    auto inside = [](double offset, const Affine &size, const Affine &of) {
        std::optional<int64_t> rest = (of - size).as_constant();
        return offset >= 0 && rest && offset <= static_cast<double>(*rest);
    };
    return inside(*graph.constant(operands[1]), part.rows, whole.rows) &&
           inside(*graph.constant(operands[2]), part.columns, whole.columns);
}

Predicate windows_lie_inside(std::vector<const char *> captures) {
    return [captures = std::move(captures)](const TileGraph &graph, const Match &m) {
        return std::all_of(captures.begin(), captures.end(),
                           [&](const char *capture) { return lies_inside(graph, m[capture]); });
    };
}

constexpr const char *may_leave = "the window may leave what it is cut from, which is an error";

Pattern slice(Pattern x, const std::string &name) {
    return of(Op::Slice, {std::move(x), any(name + "_row"), any(name + "_column")}).as(name);
}

Value slice_once(TileRebuild &to, const Match &m) {
    auto sum = [&](const char *a, const char *b) {
        double place = *to.old().constant(m[a]) + *to.old().constant(m[b]);
        return to.constant(place, DType::I32);
    };
    return to.op(Op::Slice,
                 {to(m["x"]), sum("inner_row", "outer_row"), sum("inner_column", "outer_column")},
                 to.old().attributes(m.root()));
}

bool is_single(const TileGraph &graph, const Match &m) {
    return graph.type(m["x"]).is_scalar();
}

void add_moves(std::vector<rewrite::Rule> &rules) {
    for (Op op : {Op::Broadcast, Op::Reshape}) {
        rules.push_back(TileRule("move-once", of(op, {of(op, {any("x")})})).to(make(op, {"x"})));
    }
    rules.push_back(TileRule("slice-whole", slice(any("x"), "slice"))
                        .when("", has_type_of_root("x"))
                        .when(may_leave, windows_lie_inside({"slice"}))
                        .to(by("x")));
    rules.push_back(TileRule("slice-once", slice(slice(any("x"), "inner"), "outer"))
                        .when(may_leave, windows_lie_inside({"inner", "outer"}))
                        .to(slice_once));
    rules.push_back(
        TileRule("slice-of-equals", slice(of(Op::Broadcast, {any("x")}).as("wide"), "slice"))
            .when("{x} is more than one element", is_single)
            .when(may_leave, windows_lie_inside({"slice"}))
            .to([](TileRebuild &to, const Match &m) {
                return to.op(Op::Broadcast, {to(m["x"])}, to.old().attributes(m.root()));
            }));
    rules.push_back(
        TileRule("transpose-of-one", transpose(any("x"))).when("", is_single).to(by("x")));
    for (Op op : {Op::SliceEven, Op::SliceOdd}) {
        const char *kept = op == Op::SliceEven ? "a" : "b";
        rules.push_back(
            TileRule("part-of-interleaved", of(op, {of(Op::Interleave, {any("a"), any("b")})}))
                .to(by(kept)));
    }
    rules.push_back(
        TileRule("interleave-parts",
                 of(Op::Interleave, {of(Op::SliceEven, {any("x")}), of(Op::SliceOdd, {same("x")})}))
            .to(by("x")));
}

void add_choices(std::vector<rewrite::Rule> &rules) {
    rules.push_back(TileRule("choose-from-one", where(any("mask"), any("x"), same("x")))
                        .when(spreads, has_type_of_root("x"))
                        .to(by("x")));
    rules.push_back(
        TileRule("choose-once",
                 where(any("mask"), where(same("mask"), any("a"), any("lost")), any("b")))
            .when("{lost} spreads or converts the rest",
                  makes_type_of_root(Op::Where, {"mask", "a", "b"}))
            .to(make(Op::Where, {"mask", "a", "b"})));
    rules.push_back(TileRule("choose-once", where(any("mask"), any("a"),
                                                  where(same("mask"), any("lost"), any("b"))))
                        .when("{lost} spreads or converts the rest",
                              makes_type_of_root(Op::Where, {"mask", "a", "b"}))
                        .to(make(Op::Where, {"mask", "a", "b"})));
}

/// The dim that the reduction `op` folds.
const Affine &folded_dim(const TileGraph &graph, Op op, Value x) {
    const TileType &type = graph.type(x);
    return info(op).kind == OpKind::Reduction ? type.columns : type.rows;
}

void add_reductions(std::vector<rewrite::Rule> &rules) {
    for (Op op : {Op::Rowmax, Op::Rowmin, Op::Colmax, Op::Colmin}) {
        rules.push_back(TileRule("extreme-of-one", of(op, {any("x")}))
                            .when("",
                                  [op](const TileGraph &graph, const Match &m) {
                                      return folded_dim(graph, op, m["x"]) == Affine(1);
                                  })
                            .to(by("x")));
        rules.push_back(
            TileRule("extreme-of-equals", of(op, {of(Op::Broadcast, {any("x")}).as("wide")}))
                .when("", has_type_of_root("x"))
                .when("{wide} may be empty",
                      [op](const TileGraph &graph, const Match &m) {
                          return folded_dim(graph, op, m["wide"]).as_constant().value_or(0) > 0;
                      })
                .to(by("x")));
    }
}

/// (a @ b).T --> b.T @ a.T: the same products, summed in the same order.
Value transpose_operands(TileRebuild &to, const Match &m) {
    Attributes attributes = to.old().attributes(m["product"]);
    const bool left = has_flag(attributes, "trans_a");
    const bool right = has_flag(attributes, "trans_b");
    attributes["trans_a"] = !right;
    attributes["trans_b"] = !left;
    return to.op(Op::Matmul, {to(m["b"]), to(m["a"])}, attributes);
}

void add_products(std::vector<rewrite::Rule> &rules) {
    Pattern product = of(Op::Matmul, {any("a"), any("b"), maybe("acc")}).as("product");
    rules.push_back(TileRule("transpose-of-product", transpose(product))
                        .when("{product} adds to an accumulator", is_absent("acc"))
                        .single_use("product")
                        .to(transpose_operands));
    rules.push_back(
        TileRule("accumulate-onto-zero", of(Op::Matmul, {any("a"), any("b"), constant(0.0)}))
            .to(make(Op::Matmul, {"a", "b"})));
}

rewrite::Table make_table() {
    std::vector<rewrite::Rule> rules;
    add_signs(rules);
    add_known_signs(rules);
    add_integers(rules);
    add_conversions(rules);
    add_moves(rules);
    add_choices(rules);
    add_reductions(rules);
    add_products(rules);
    return {"simplify", std::move(rules)};
}

}  // namespace

const rewrite::Table &simplify_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
