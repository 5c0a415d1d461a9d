#include "pto/wsp/rewrite/pattern.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rewrite/toy_graph.h"

#include "pto/wsp/support/error.h"

namespace pto::wsp::rewrite::toy {
namespace {

using ::testing::HasSubstr;

/// The first way in which `pattern` fits at `node`.
std::optional<Match> found(const Matcher &pattern, const ToyGraph &graph, NodeId node) {
    std::optional<Match> first;
    pattern.match(graph, node, [&](const Match &match) {
        first = match;
        return true;
    });
    return first;
}

std::string error_of(const Pattern &pattern) {
    try {
        Matcher code(pattern);
    } catch (const InternalError &error) {
        return error.text();
    }
    return "no error";
}

TEST(Pattern, CapturesAndComparesNodes) {
    ToyGraph g;
    NodeId minus = g.make(Neg, {g.var(0)});
    Matcher code(add(neg(any("x")).as("minus"), mul(same("x"), any("y"))));
    NodeId hit = g.make(Add, {g.make(Mul, {g.var(1), g.var(0)}), minus});
    NodeId miss = g.make(Add, {g.make(Mul, {g.var(1), g.var(2)}), minus});
    ASSERT_FALSE(found(code, g, miss));
    std::optional<Match> match = found(code, g, hit);
    ASSERT_TRUE(match);
    EXPECT_EQ(match->root(), hit);
    EXPECT_EQ((*match)["x"], g.var(0));
    EXPECT_EQ((*match)["y"], g.var(1));
    EXPECT_EQ((*match)["minus"], minus);
    EXPECT_THAT(match->operations(), ::testing::UnorderedElementsAre(hit, minus, hit - 1));
}

TEST(Pattern, TellsConstantsApartBitByBit) {
    ToyGraph g;
    NodeId minus_zero = g.make(Add, {g.var(0), g.num(-0.0)});
    EXPECT_FALSE(found(Matcher(add(any("x"), constant(0.0))), g, minus_zero));
    EXPECT_TRUE(found(Matcher(add(any("x"), constant(-0.0))), g, minus_zero));
    EXPECT_TRUE(found(Matcher(add(any("x"), constant("c"))), g, minus_zero));
    ToyGraph other;
    NodeId nan = other.make(Neg, {other.num(-std::nan(""))});
    EXPECT_TRUE(found(Matcher(neg(constant(std::nan("")))), other, nan));
    EXPECT_FALSE(found(Matcher(neg(constant("c"))), g, g.make(Neg, {g.var(0)})));
}

TEST(Pattern, OptionalWrapperAndMissingOperand) {
    ToyGraph g;
    Matcher code(
        neg(optional(add(it(), any("offset")), op(Fused, {any("a"), any("b"), maybe("c")}))));
    NodeId fused = g.make(Fused, {g.var(0), g.var(1)});
    std::optional<Match> plain = found(code, g, g.make(Neg, {fused}));
    ASSERT_TRUE(plain);
    EXPECT_FALSE(plain->has("offset"));
    EXPECT_FALSE(plain->has("c"));
    NodeId full = g.make(Fused, {g.var(0), g.var(1), g.var(2)});
    std::optional<Match> shifted = found(code, g, g.make(Neg, {g.make(Add, {g.num(3), full})}));
    ASSERT_TRUE(shifted);
    EXPECT_EQ((*shifted)["offset"], g.num(3));
    EXPECT_EQ((*shifted)["c"], g.var(2));
    EXPECT_THROW((*plain)["offset"], InternalError);
    EXPECT_THROW((*plain)["unheard"], InternalError);
}

TEST(Pattern, EitherTriesInOrder) {
    ToyGraph g;
    Matcher code(neg(either({neg(any("twice")), any("once")})));
    NodeId once = g.make(Neg, {g.var(0)});
    EXPECT_TRUE(found(code, g, once)->has("once"));
    EXPECT_TRUE(found(code, g, g.make(Neg, {once}))->has("twice"));
}

TEST(Pattern, GoesThroughAllWaysUntilOneIsTaken) {
    ToyGraph g;
    NodeId sum = g.make(Add, {g.make(Neg, {g.var(0)}), g.make(Neg, {g.var(1)})});
    Matcher pattern(add(either({neg(any("x")), any("y")}), any("z")));
    std::vector<std::string> ways;
    bool taken = pattern.match(g, sum, [&](const Match &match) {
        ways.push_back(g.str(match["z"]) +
                       (match.has("x") ? " x " + g.str(match["x"]) : " y " + g.str(match["y"])));
        return false;
    });
    EXPECT_FALSE(taken);
    EXPECT_THAT(ways, ::testing::ElementsAre("neg(y) x x", "neg(y) y neg(x)", "neg(x) x y",
                                             "neg(x) y neg(y)"));
}

TEST(Pattern, RefusesPatternsThatCannotBeMatched) {
    EXPECT_THAT(error_of(any("x")), HasSubstr("the root is no operation: any(x)"));
    EXPECT_THAT(error_of(either({neg(any("x")), add(any("x"), any("y"))})),
                HasSubstr("the root is one of several operations: either(#3(any(x)), "));
    EXPECT_THAT(error_of(op(Add, {same("x"), any("y")})), HasSubstr("nothing is captured as x"));
    EXPECT_THAT(error_of(op(Add, {any("x"), any("x")})), HasSubstr("x is captured twice"));
    EXPECT_THAT(error_of(neg(either({any("x"), any("y")}).as("z"))),
                HasSubstr("alternatives are captured one by one, not as z"));
    EXPECT_THAT(error_of(neg(it())), HasSubstr("it() outside of optional"));
    EXPECT_THAT(error_of(op(Neg, {any("x")}).commutative()),
                HasSubstr("commutative needs two operands"));
    Pattern deep = neg(any("x"));
    for (int i = 0; i < 24; ++i) {
        deep = neg(std::move(deep));
    }
    EXPECT_THAT(error_of(deep), HasSubstr("25 operations"));
    std::vector<Pattern> many;
    many.reserve(9);
    for (int i = 0; i < 9; ++i) {
        many.push_back(any("x" + std::to_string(i)));
    }
    EXPECT_THAT(error_of(op(Fused, many)), HasSubstr("9 operands"));
    Pattern wide = neg(any("x"));
    for (int i = 0; i < 16; ++i) {
        wide = add(std::move(wide), any("x" + std::to_string(i)));
    }
    EXPECT_THAT(error_of(wide), HasSubstr("17 captures"));
}

TEST(Table, RefusesARuleWithoutReplacement) {
    Rule rule{"idle", Matcher(neg(any("x"))), {}, {}, {}, Loc::here()};
    EXPECT_THROW(Table("broken", {rule}), InternalError);
}

}  // namespace
}  // namespace pto::wsp::rewrite::toy
