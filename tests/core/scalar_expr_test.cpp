#include "pto/wsp/core/scalar_expr.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

using Op = ScalarExpr::Op;
using Values = std::map<std::string, int64_t>;

constexpr int64_t lowest = std::numeric_limits<int64_t>::min();
constexpr int64_t highest = std::numeric_limits<int64_t>::max();

ScalarExpr parse(const std::string &text) {
    return ScalarExpr::parse(text, "key");
}

int64_t value(const std::string &text, const Values &values = {}) {
    return parse(text).evaluate(values);
}

rc::Gen<int64_t> any_integer() {
    return rc::gen::oneOf(rc::gen::inRange<int64_t>(-9, 10), rc::gen::arbitrary<int64_t>(),
                          rc::gen::elementOf(std::vector<int64_t>{lowest, lowest + 1, highest}));
}

ScalarExpr any_expr(int depth) {
    int kind = *rc::gen::inRange(0, depth == 0 ? 2 : static_cast<int>(Op::Select) + 1);
    auto op = static_cast<Op>(kind);
    if (op == Op::Const) {
        return *any_integer();
    }
    if (op == Op::Var) {
        return ScalarExpr::variable(*rc::gen::element<std::string>("b", "min", "n_kv", "S.rows"));
    }
    size_t arity = op == Op::Not ? 1 : op == Op::Select ? 3 : 2;
    std::vector<ScalarExpr> operands;
    while (operands.size() < arity) {
        operands.push_back(any_expr(depth - 1));
    }
    return ScalarExpr::make(op, std::move(operands));
}

/// Python's `//` or `%` in arithmetic wide enough to never overflow.
__int128 floored(__int128 a, __int128 b, bool remainder) {
    __int128 quotient = a / b - (a % b != 0 && (a % b < 0) != (b < 0) ? 1 : 0);
    return remainder ? a - quotient * b : quotient;
}

TEST(ScalarExpr, Text) {
    EXPECT_EQ(parse("b % 4").str(), "(b % 4)");
    EXPECT_EQ(parse("a+b*2 - -3").str(), "((a + (b * 2)) - -3)");
    EXPECT_EQ(parse("a - b - c").str(), "((a - b) - c)");
    EXPECT_EQ(parse("a - (b - c)").str(), "(a - (b - c))");
    EXPECT_EQ(parse("not a == 1 and b or c").str(), "(((not (a == 1)) and b) or c)");
    EXPECT_EQ(parse("min(a, max(b, 2))").str(), "min(a, max(b, 2))");
    EXPECT_EQ(parse("select(a < b, a, b)").str(), "select((a < b), a, b)");
    EXPECT_EQ(parse("-x * y").str(), "((0 - x) * y)");
    EXPECT_EQ(parse("-(3)").str(), "(0 - 3)");
    EXPECT_EQ(parse("+x").str(), "x");
    EXPECT_EQ(parse("a | b ^ c & d << 1 + 2").str(), "(a | (b ^ (c & (d << (1 + 2)))))");
    EXPECT_EQ(parse("a & 1 == b | 2").str(), "((a & 1) == (b | 2))");
}

TEST(ScalarExpr, BindsAsPythonDoes) {
    EXPECT_EQ(value("2 + 3 * 4"), 14);
    EXPECT_EQ(value("-7 // 2"), -4);
    EXPECT_EQ(value("-7 % 3"), 2);
    EXPECT_EQ(value("7 % -3"), -2);
    EXPECT_EQ(value("20 // 3 // 2"), 3);
    EXPECT_EQ(value("1 or 0 and 0"), 1);
    EXPECT_EQ(value("not 1 == 2"), 1);
    EXPECT_EQ(value("1 + 1 == 2"), 1);
    EXPECT_EQ(value("select(b >= 3, 10, 20)", {{"b", 3}}), 10);
    EXPECT_EQ(value("5 and 7"), 1);
}

RC_GTEST_PROP(ScalarExpr, TextReadsBack, ()) {
    ScalarExpr expr = any_expr(*rc::gen::inRange(0, 6));
    ScalarExpr back = parse(expr.str());
    RC_ASSERT(back == expr);
    RC_ASSERT(back.str() == expr.str());
}

RC_GTEST_PROP(ScalarExpr, DivisionIsPythons, ()) {
    int64_t a = *any_integer();
    int64_t b = *any_integer();
    RC_PRE(b != 0);
    __int128 quotient = floored(a, b, false);
    __int128 remainder = floored(a, b, true);
    Values values = {{"a", a}, {"b", b}};
    RC_ASSERT(value("a % b", values) == static_cast<int64_t>(remainder));
    try {
        RC_ASSERT(value("a // b", values) == quotient);
        RC_ASSERT(quotient <= highest);
    } catch (const ExecutionError &) {
        RC_ASSERT(quotient > highest);
    }
}

RC_GTEST_PROP(ScalarExpr, SubstitutionIsEvaluationInTwoSteps, ()) {
    ScalarExpr expr = any_expr(3);
    ScalarExpr inner = any_expr(2);
    Values values = {{"b", 3}, {"min", -2}, {"n_kv", 100}, {"S.rows", 7}};
    try {
        Values after = values;
        after["b"] = inner.evaluate(values);
        int64_t expected = expr.evaluate(after);
        RC_ASSERT(expr.substitute({{"b", inner}}).evaluate(values) == expected);
    } catch (const ExecutionError &) {
        RC_SUCCEED("overflow or division by zero");
    }
}

TEST(ScalarExpr, DivisionAtTheEdges) {
    Values edge = {{"a", lowest}};
    EXPECT_EQ(value("a % -1", edge), 0);
    EXPECT_EQ(value("a // 1", edge), lowest);
    EXPECT_EQ(value("a // 2", edge), lowest / 2);
    EXPECT_EQ(value("1 // a", edge), -1);
    EXPECT_EQ(value("1 % a", edge), lowest + 1);
    expect_error<ExecutionError>(
        [&] { value("a // -1", edge); },
        "integer overflow: -9223372036854775808 // -1 does not fit 64 bits");
    expect_error<ExecutionError>([&] { value("5 // (1 - 1)"); }, "division by zero: 5 // 0");
    expect_error<ExecutionError>([&] { value("5 % 0"); }, "division by zero: 5 % 0");
}

TEST(ScalarExpr, BitsAreThoseOfTwosComplement) {
    EXPECT_EQ(value("12 & 10"), 8);
    EXPECT_EQ(value("12 | 10"), 14);
    EXPECT_EQ(value("12 ^ 10"), 6);
    EXPECT_EQ(value("-1 & 6"), 6);
    EXPECT_EQ(value("-8 | 3"), -5);
    EXPECT_EQ(value("5 ^ -1"), -6);
    EXPECT_EQ(value("1 << 62"), int64_t{1} << 62);
    EXPECT_EQ(value("-1 << 63"), lowest);
    EXPECT_EQ(value("-7 >> 1"), -4);
    EXPECT_EQ(value("-7 >> 63"), -1);
    EXPECT_EQ(value("7 >> 63"), 0);
    expect_error<ExecutionError>([&] { value("1 << 63"); },
                                 "integer overflow: 1 << 63 does not fit 64 bits");
    expect_error<ExecutionError>([&] { value("1 << 64"); }, "shift by 64, allowed is 0...63");
    expect_error<ExecutionError>([&] { value("1 >> -1"); }, "shift by -1, allowed is 0...63");
}

RC_GTEST_PROP(ScalarExpr, ShiftsAreProductsAndQuotientsByPowersOfTwo, ()) {
    const Values values = {{"a", *any_integer()}, {"n", *rc::gen::inRange<int64_t>(0, 63)}};
    const std::string power = std::to_string(int64_t{1} << values.at("n"));
    RC_ASSERT(value("a >> n", values) == value("a // " + power, values));
    try {
        RC_ASSERT(value("a << n", values) == value("a * " + power, values));
    } catch (const ExecutionError &) {
        EXPECT_THROW(value("a * " + power, values), ExecutionError);
    }
}

TEST(ScalarExpr, TruthValuesAreKnown) {
    for (const char *text : {"a < 1", "not a", "a == b and c", "select(a, b < 1, not c)",
                             "select(a, select(b, c < 1, d > 1), a != b)", "select(a, b < 1, 0)",
                             "min(a < 1, 1)", "max(a < 1, u64(b == 2))"}) {
        EXPECT_TRUE(parse(text).is_truth()) << text;
    }
    for (const char *text : {"a", "1", "a + (b < 1)", "a & (b < 1)", "select(a, b, b < 1)",
                             "select(a < b, b < 1, 2)", "min(a < 1, b)", "slot(0)"}) {
        EXPECT_FALSE(parse(text).is_truth()) << text;
    }
}

TEST(ScalarExpr, OverflowIsAnError) {
    expect_error<ExecutionError>([] { value("9223372036854775807 + 1"); },
                                 "integer overflow: 9223372036854775807 + 1 does not fit 64 bits");
    expect_error<ExecutionError>(
        [] {
            value("0 - a", {{"a", lowest}});
        },
        "integer overflow: 0 - -9223372036854775808 does not fit 64 bits");
    expect_error<ExecutionError>([] { value("4611686018427387904 * 2"); },
                                 "integer overflow: 4611686018427387904 * 2 does not fit 64 bits");
}

TEST(ScalarExpr, OperandsThatAreNotNeededAreNotEvaluated) {
    EXPECT_EQ(value("n != 0 and 8 // n > 1", {{"n", 0}}), 0);
    EXPECT_EQ(value("n == 0 or 8 // n > 1", {{"n", 0}}), 1);
    EXPECT_EQ(value("select(n == 0, 5, 8 // n)", {{"n", 0}}), 5);
    EXPECT_EQ(value("select(n, 8 // n, 5)", {{"n", 0}}), 5);
    EXPECT_EQ(value("1 or missing"), 1);
}

TEST(ScalarExpr, Variables) {
    EXPECT_EQ(parse("b % 4 + min(h, b)").variables(), (std::set<std::string>{"b", "h"}));
    expect_error<CompileError>([] { value("b + h", {{"b", 1}}); }, "no value for 'h'");
    expect_error<CompileError>([] { ScalarExpr::variable("and"); }, "not a variable name: \"and\"");
    expect_error<CompileError>([] { ScalarExpr::variable("a-b"); }, "not a variable name: \"a-b\"");
}

TEST(ScalarExpr, WrongNumberOfOperands) {
    expect_error<CompileError>([] { ScalarExpr::make(Op::Add, {1}); },
                               "'+' takes 2 operands, got 1");
    expect_error<CompileError>(
        [] {
            ScalarExpr::make(Op::Select, {1, 2});
        },
        "'select' takes 3 operands, got 2");
    expect_error<CompileError>([] { ScalarExpr::make(Op::Const, {}); },
                               "'constant' takes 0 operands, got 0");
}

TEST(ScalarExpr, BadTextIsRefused) {
    auto refused = [](const std::string &text, const std::string &message) {
        return expect_error<IRConversionError>([&] { parse(text); }, message);
    };
    refused("", "expected an operand, found the end");
    refused("b %", "expected an operand, found the end");
    refused("b % 4 c", "expected the end of the expression, found 'c'");
    refused("(b", "expected ')', found the end");
    refused("min(a)", "expected ',', found ')'");
    refused("b + not c", "expected an operand, found 'not'");
    refused("b and or c", "expected an operand, found 'or'");
    refused("b / 2", "expected the end of the expression, found '/'");
    refused("1.5", "expected an operand, found '1.5'");
    refused("b\n+ 9223372036854775808", "integer 9223372036854775808 does not fit 64 bits");
    EXPECT_EQ(refused("abs(b)", "unknown function 'abs'"),
              "known are min, max, select, u64, symbol, slot, load, param");
    EXPECT_EQ(refused("a < b < c", "comparisons cannot be chained"), "write a < b and b < c");
}

std::string chain(int terms) {
    std::string text = "b";
    for (int i = 1; i < terms; ++i) {
        text += " + b";
    }
    return text;
}

/// `operations` of them within each other.
ScalarExpr deep(int operations, Op op, const ScalarExpr &by, bool on_the_right = false) {
    ScalarExpr expr = ScalarExpr::variable("b");
    for (int i = 0; i < operations; ++i) {
        expr = on_the_right ? ScalarExpr::make(op, {by, expr}) : ScalarExpr::make(op, {expr, by});
    }
    return expr;
}

TEST(ScalarExpr, TextsNestAsDeepAsExpressions) {
    auto nested = [](size_t depth) {
        return std::string(depth, '(') + "1" + std::string(depth, ')');
    };
    EXPECT_EQ(value(nested(ScalarExpr::max_operations)), 1);
    EXPECT_EQ(value(chain(20000), {{"b", 2}}), 40000);
    EXPECT_EQ(value(std::string(50000, '-') + " 1"), 1);
    EXPECT_EQ(value("min(1, " + std::string(20000, '(') + "b" + std::string(20000, ')') + ")",
                    {{"b", 0}}),
              0);
    std::string right = "b";
    std::string calls = "b";
    for (int i = 0; i < 10000; ++i) {
        right = "1 + (" + right + ")";
        calls = "max(" + calls + ", 0)";
    }
    EXPECT_EQ(value(right, {{"b", 2}}), 10002);
    EXPECT_EQ(value(calls, {{"b", 2}}), 2);
    for (const std::string &text : {nested(ScalarExpr::max_operations + 1),
                                    std::string(1000000, '('), std::string(1000001, '-')}) {
        expect_error<IRConversionError>([&] { parse(text); },
                                        "expression nests deeper than 100000");
    }
    expect_error<IRConversionError>([&] { parse(chain(100000)); },
                                    "expression has 100001 operations, must be at most 100000");
}

TEST(ScalarExpr, NothingRecursesIntoDeepExpressions) {
    constexpr int depth = 10000;
    for (const bool on_the_right : {false, true}) {
        const ScalarExpr expr = deep(depth, Op::Add, 1, on_the_right);
        EXPECT_EQ(expr.depth(), depth + 1);
        EXPECT_EQ(expr.evaluate({{"b", 5}}), 5 + depth);
        EXPECT_EQ(parse(expr.str()), expr);
        EXPECT_FALSE(expr == deep(depth, Op::Add, 2, on_the_right));
        EXPECT_EQ(expr.as_affine(), Affine::variable("b") + depth);
        EXPECT_EQ(expr.substitute({{"b", expr}}).evaluate({{"b", 7}}), 7 + 2 * depth);
        EXPECT_EQ(expr.variables(), std::set<std::string>{"b"});
        EXPECT_EQ(expr.rename({}, {}), expr);
        EXPECT_FALSE(expr.is_dynamic());
    }
    const ScalarExpr mixed = deep(depth, Op::Min, ScalarExpr::symbol("n"));
    EXPECT_TRUE(mixed.is_dynamic());
    EXPECT_EQ(parse(mixed.str()), mixed);
}

TEST(ScalarExpr, SizeIsBoundedAndSharedOperandsCount) {
    ScalarExpr expr = ScalarExpr::variable("b");
    for (int i = 0; i < 15; ++i) {
        expr = ScalarExpr::make(Op::Add, {expr, expr});
    }
    EXPECT_EQ(expr.evaluate({{"b", 3}}), 3 << 15);
    EXPECT_EQ(expr.as_affine(), Affine::variable("b", 1 << 15));
    EXPECT_FALSE(expr == expr.operands()[0]);
    expect_error<CompileError>(
        [&] {
            ScalarExpr::make(Op::Add, {expr, expr});
        },
        "expression has 131071 operations, must be at most 100000");
    std::string sum = chain(1000);
    for (int i = 1; i < 51; ++i) {
        sum += " + (" + chain(1000) + ")";
    }
    expect_error<IRConversionError>([&] { parse(sum); },
                                    "expression has 101999 operations, must be at most 100000");
}

TEST(ScalarExpr, Equality) {
    EXPECT_TRUE(parse("b % 4") == parse("(b) % 4"));
    EXPECT_FALSE(parse("b % 4") == parse("b % 5"));
    EXPECT_FALSE(parse("b % 4") == parse("c % 4"));
    EXPECT_FALSE(parse("b % 4") == parse("b // 4"));
    EXPECT_FALSE(parse("b + c") == parse("c + b"));
}

TEST(ScalarExpr, AffineForms) {
    EXPECT_EQ(parse("2 * (i - j) + i * 3 - 4").as_affine()->str(), "5*i - 2*j - 4");
    EXPECT_EQ(parse("i * j").as_affine(), std::nullopt);
    EXPECT_EQ(parse("i // 2").as_affine(), std::nullopt);
    EXPECT_EQ(parse("(i - i + 2) * j").as_affine()->str(), "2*j");
    expect_error<CompileError>([] { parse("9223372036854775807 * (2 * i)").as_affine(); },
                               "integer overflow: 2 * 9223372036854775807 does not fit 64 bits");
}

RC_GTEST_PROP(ScalarExpr, FromAffineIsThatAffine, (int64_t constant, int64_t i, int64_t j)) {
    Affine affine = Affine::variable("i", i) + Affine::variable("j", j) + constant;
    RC_ASSERT(ScalarExpr::from(affine).as_affine() == affine);
    RC_ASSERT(parse(ScalarExpr::from(affine).str()).as_affine() == affine);
}

RC_GTEST_PROP(ScalarExpr, AnyTextIsReadOrRefused, ()) {
    auto words = *rc::gen::container<std::vector<std::string>>(rc::gen::element<std::string>(
        "b", "1", "(", ")", "+", "-", "//", "%", "min", "select", ",", "and", "not", "==", "\"s\"",
        "1.5", "*", "<", "<<", "|", "^", "&", ">>"));
    try {
        parse(join(words, " "));
    } catch (const IRConversionError &) {
        RC_SUCCEED("refused");
    }
}

}  // namespace
}  // namespace pto::wsp
