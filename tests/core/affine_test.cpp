#include "pto/wsp/core/affine.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

constexpr int64_t lowest = std::numeric_limits<int64_t>::min();
constexpr int64_t highest = std::numeric_limits<int64_t>::max();

const std::vector<std::string> names = {"b", "h", "i", "j", "S.rows"};

rc::Gen<Affine> any_affine(const rc::Gen<int64_t> &numbers) {
    auto coefficients = rc::gen::container<std::vector<int64_t>>(names.size(), numbers);
    return rc::gen::apply(
        [](int64_t constant, const std::vector<int64_t> &factors) {
            Affine sum(constant);
            for (size_t i = 0; i < names.size(); ++i) {
                sum = sum + Affine::variable(names[i], factors[i]);
            }
            return sum;
        },
        numbers, coefficients);
}

rc::Gen<int64_t> small() {
    return rc::gen::inRange<int64_t>(-1000, 1001);
}
rc::Gen<int64_t> extreme() {
    return rc::gen::oneOf(
        rc::gen::arbitrary<int64_t>(),
        rc::gen::elementOf(std::vector<int64_t>{lowest, lowest + 1, -1, 0, 1, highest}));
}

std::map<std::string, int64_t> any_values() {
    std::map<std::string, int64_t> values;
    for (const std::string &name : names) {
        values[name] = *small();
    }
    return values;
}

Affine parse(const std::string &text) {
    TextReader reader(text, "t");
    Affine parsed = Affine::parse(reader);
    EXPECT_TRUE(reader.at_end());
    return parsed;
}

TEST(Affine, Text) {
    Affine i = Affine::variable("i");
    Affine j = Affine::variable("j");
    EXPECT_EQ((i * 2 + j + 1).str(), "2*i + j + 1");
    EXPECT_EQ((j - i * 3 - 4).str(), "-3*i + j - 4");
    EXPECT_EQ((Affine(0) - i).str(), "-i");
    EXPECT_EQ(Affine().str(), "0");
    EXPECT_EQ((i - i).str(), "0");
    EXPECT_EQ((Affine::variable("i", lowest) + lowest).str(),
              "-9223372036854775808*i - 9223372036854775808");
}

TEST(Affine, ReadsEveryFormOfATerm) {
    EXPECT_EQ(parse("i*2 - 3 + i + j*-4 - k*-5"), parse("3*i - 4*j + 5*k - 3"));
}

TEST(Affine, IsCanonical) {
    Affine i = Affine::variable("i");
    EXPECT_TRUE((i - i).is_constant());
    EXPECT_TRUE(Affine::variable("i", 0).terms().empty());
    EXPECT_EQ((i + 5 - i).as_constant(), 5);
    EXPECT_EQ(i.as_constant(), std::nullopt);
    EXPECT_EQ((i * 7).coefficient("i"), 7);
    EXPECT_EQ(i.coefficient("j"), 0);
}

RC_GTEST_PROP(Affine, TextReadsBack, ()) {
    Affine affine = *any_affine(extreme());
    RC_ASSERT(parse(affine.str()) == affine);
}

RC_GTEST_PROP(Affine, LawsHoldUnderEvaluation, ()) {
    Affine a = *any_affine(small());
    Affine b = *any_affine(small());
    int64_t factor = *small();
    std::map<std::string, int64_t> values = any_values();
    int64_t left = a.evaluate(values);
    int64_t right = b.evaluate(values);
    RC_ASSERT((a + b).evaluate(values) == left + right);
    RC_ASSERT((a - b).evaluate(values) == left - right);
    RC_ASSERT((a * factor).evaluate(values) == left * factor);
    RC_ASSERT(a + b == b + a);
    RC_ASSERT((a - b) + b == a);
    RC_ASSERT((a + b) * factor == a * factor + b * factor);
}

RC_GTEST_PROP(Affine, SubstitutionIsEvaluationInTwoSteps, ()) {
    Affine a = *any_affine(small());
    std::map<std::string, Affine> inner = {{"i", *any_affine(small())},
                                           {"b", *any_affine(small())}};
    std::map<std::string, int64_t> values = any_values();
    std::map<std::string, int64_t> after = values;
    for (const auto &[name, affine] : inner) {
        after[name] = affine.evaluate(values);
    }
    RC_ASSERT(a.substitute(inner).evaluate(values) == a.evaluate(after));
}

RC_GTEST_PROP(Affine, ExtremeSumsAreExactOrRefused, ()) {
    int64_t a = *extreme();
    int64_t b = *extreme();
    __int128 exact = static_cast<__int128>(a) - b;
    bool fits = exact >= lowest && exact <= highest;
    try {
        Affine difference = Affine::variable("i", a) - Affine::variable("i", b);
        RC_ASSERT(fits);
        RC_ASSERT(static_cast<__int128>(difference.coefficient("i")) == exact);
    } catch (const CompileError &) {
        RC_ASSERT(!fits);
    }
}

TEST(Affine, LeavingSixtyFourBitsIsAnError) {
    expect_error<CompileError>([] { Affine(highest) + 1; },
                               "integer overflow: 9223372036854775807 + 1 does not fit 64 bits");
    expect_error<CompileError>([] { Affine(0) - lowest; },
                               "integer overflow: 0 - -9223372036854775808 does not fit 64 bits");
    expect_error<CompileError>([] { Affine::variable("i", lowest) * -1; },
                               "integer overflow: -9223372036854775808 * -1 does not fit 64 bits");
    expect_error<CompileError>(
        [] {
            Affine::variable("i", 2).evaluate({{"i", highest}});
        },
        "integer overflow: 2 * 9223372036854775807 does not fit 64 bits");
}

TEST(Affine, MissingValueAndBadNames) {
    expect_error<CompileError>(
        [] {
            (Affine::variable("i") + 1).evaluate({{"j", 1}});
        },
        "no value for 'i' in i + 1");
    expect_error<CompileError>([] { Affine::variable("a b"); }, "not a variable name: \"a b\"");
}

TEST(Affine, BadTextIsRefused) {
    expect_error<IRConversionError>([] { parse("2*"); }, "expected a name, found the end");
    expect_error<IRConversionError>([] { parse("i +"); },
                                    "expected an integer or a variable, found the end");
    expect_error<IRConversionError>([] { parse("(i)"); },
                                    "expected an integer or a variable, found '('");
    expect_error<IRConversionError>([] { parse("99999999999999999999*i"); },
                                    "integer 99999999999999999999 does not fit 64 bits");
    expect_error<CompileError>([] { parse("9223372036854775807 + 1"); },
                               "integer overflow: 9223372036854775807 + 1 does not fit 64 bits");
}

}  // namespace
}  // namespace pto::wsp
