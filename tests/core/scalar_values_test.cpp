#include <gtest/gtest.h>

#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {
namespace {

RunData some_data() {
    RunData data;
    data.symbols["n"] = 7;
    data.tables["lengths"] =
        std::make_shared<const std::vector<int64_t>>(std::vector<int64_t>{33, 64, 128, 15});
    return data;
}

int64_t value(const std::string &text, const std::map<std::string, int64_t> &variables = {},
              const std::vector<int64_t> &slots = {}) {
    const RunData data = some_data();
    return ScalarExpr::parse(text).evaluate(variables, &data,
                                            slots.empty() ? nullptr : slots.data());
}

template <class Error> std::string text_of(const std::function<void()> &call) {
    try {
        call();
    } catch (const Error &error) {
        return error.text();
    }
    return "nothing is thrown";
}

TEST(ScalarValues, SymbolsSlotsAndTables) {
    std::vector<int64_t> slots(slot_words, 0);
    slots[3] = 5;
    EXPECT_EQ(value("symbol(n) + slot(3) * 2", {}, slots), 17);
    EXPECT_EQ(value("load(lengths, b + 1)", {{"b", 1}}), 128);
    EXPECT_EQ(value("load(lengths, load(lengths, 3) % 4)"), 15);
    EXPECT_EQ(value("u64(symbol(n))"), 7);
}

TEST(ScalarValues, OnlyWhatIsNeededIsRead) {
    EXPECT_EQ(value("b < 4 and load(lengths, b) > 20", {{"b", 9}}), 0);
    EXPECT_EQ(value("b >= 4 or load(lengths, b) > 20", {{"b", 9}}), 1);
    EXPECT_EQ(value("select(b < 4, load(lengths, b), 0 - 1)", {{"b", 9}}), -1);
}

TEST(ScalarValues, WhatIsMissingIsSaid) {
    const auto failed = [](const std::string &text) {
        return text_of<ExecutionError>([&] { value(text); });
    };
    EXPECT_EQ(failed("load(lengths, 4)"), "index 4 of lengths, which has 4 values");
    EXPECT_EQ(failed("load(lengths, 0 - 1)"), "index -1 of lengths, which has 4 values");
    EXPECT_EQ(failed("u64(0 - 1)"), "u64(-1) is below 0");
    const auto missing = [](const std::string &text) {
        return text_of<CompileError>([&] { value(text); });
    };
    EXPECT_EQ(missing("symbol(m)"), "symbol 'm' has no value");
    EXPECT_EQ(missing("load(m, 0)"), "table 'm' has no values");
    EXPECT_EQ(missing("param(n)"), "param(n) has a value only in keys of schedules");
    EXPECT_EQ(missing("slot(3)"), "slot(3) has a value only while the program runs");
    EXPECT_EQ(text_of<CompileError>([] { ScalarExpr::slot(256); }), "slot 256 is not in 0...255");
    EXPECT_EQ(text_of<IRConversionError>([] { ScalarExpr::parse("slot(256)"); }),
              "slot 256 is not in 0...255");
}

TEST(ScalarValues, TextsParseBack) {
    for (const char *text :
         {"symbol(n)", "slot(3)", "param(width)", "param(0)", "(param(n) + param(12))",
          "load(lengths, (b + 1))", "(load(tokens.offsets, (b + 1)) - load(tokens.offsets, b))",
          "u64((slot(0) - 1))"}) {
        EXPECT_EQ(ScalarExpr::parse(text).str(), text);
    }
}

TEST(ScalarValues, NamesAreFoundAndReplaced) {
    using Op = ScalarExpr::Op;
    const ScalarExpr expr = ScalarExpr::parse("load(a, b) + symbol(n) * load(c, symbol(m))");
    EXPECT_EQ(expr.names(Op::Load), (std::set<std::string>{"a", "c"}));
    EXPECT_EQ(expr.names(Op::Symbol), (std::set<std::string>{"m", "n"}));
    EXPECT_TRUE(expr.is_dynamic());
    EXPECT_FALSE(expr.has_slots());
    EXPECT_EQ(expr.variables(), std::set<std::string>{"b"});
    EXPECT_EQ(expr.rename({{"n", "k"}}, {{"c", "c.1"}}).str(),
              "(load(a, b) + (symbol(k) * load(c.1, symbol(m))))");
    EXPECT_EQ(expr.substitute({{"b", ScalarExpr(3)}}).str(),
              "(load(a, 3) + (symbol(n) * load(c, symbol(m))))");
    EXPECT_FALSE(expr.as_affine().has_value());
}

TEST(ScalarValues, ParamsAreFreeNames) {
    const ScalarExpr expr = ScalarExpr::parse("param(n) * 2 + param(1) + b");
    EXPECT_EQ(expr.variables(), (std::set<std::string>{"b", "param(1)", "param(n)"}));
    EXPECT_EQ(expr.operands()[0].operands()[1], ScalarExpr::param(1));
    EXPECT_FALSE(ScalarExpr::param(0) == ScalarExpr::param("n"));
    EXPECT_EQ(text_of<CompileError>([] { ScalarExpr::param(-1); }), "param -1 is not 0 or more");
    EXPECT_EQ(text_of<CompileError>([] { ScalarExpr::param("1n"); }),
              "not a variable name: \"1n\"");
    EXPECT_EQ(expr.with_leaves([](const ScalarExpr &leaf) {
                      return leaf.op() == ScalarExpr::Op::Param ? ScalarExpr::variable("b") : leaf;
                  })
                  .str(),
              "(((b * 2) + b) + b)");
}

}  // namespace
}  // namespace pto::wsp
