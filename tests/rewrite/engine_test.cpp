#include "pto/wsp/rewrite/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "rewrite/toy_graph.h"

#include "pto/wsp/support/error.h"

namespace pto::wsp::rewrite::toy {
namespace {

using ::testing::HasSubstr;

NodeId first(ToyGraph::Rebuild &to, const Match &m) {
    return to(m["x"]);
}

Table identities() {
    std::vector<Rule> rules;
    rules.push_back(ToyRule("times-one", mul(any("x"), constant(1.0))).to(first));
    rules.push_back(ToyRule("plus-zero", add(any("x"), constant(0.0))).to(first));
    rules.push_back(ToyRule("double-negation", neg(neg(any("x")))).to(first));
    rules.push_back(ToyRule("fold", add(constant("a"), constant("b")))
                        .to([](ToyGraph::Rebuild &to, const Match &m) {
                            const ToyGraph &now = *to.graph;
                            return to.graph->num(*now.constant(to(m["a"])) +
                                                 *now.constant(to(m["b"])));
                        }));
    return {"identities", std::move(rules)};
}

std::shared_ptr<ToyGraph> graph_of(const std::function<NodeId(ToyGraph &)> &build) {
    auto graph = std::make_shared<ToyGraph>();
    graph->set_result(build(*graph));
    return graph;
}

std::string rewritten(const Table &table, std::shared_ptr<const Graph> graph,
                      Reasons *reasons = nullptr) {
    return static_cast<const ToyGraph &>(*apply_rules(table, std::move(graph), reasons)).str();
}

TEST(Engine, AppliesRulesUntilNoneFires) {
    auto graph = graph_of([](ToyGraph &g) {
        NodeId sum = g.make(Add, {g.num(2), g.make(Add, {g.num(-3), g.num(1)})});
        return g.make(Mul, {g.num(1), g.make(Add, {g.make(Neg, {g.make(Neg, {g.var(0)})}), sum})});
    });
    EXPECT_EQ(rewritten(identities(), graph), "x");
}

TEST(Engine, GivesTheSameGraphWhenNothingFires) {
    std::shared_ptr<const Graph> graph = graph_of([](ToyGraph &g) {
        return g.make(Add, {g.var(0), g.var(1)});
    });
    EXPECT_EQ(apply_rules(identities(), graph), graph);
}

TEST(Engine, DoesNotChangeTheGraphItReads) {
    auto graph = graph_of([](ToyGraph &g) { return g.make(Mul, {g.var(0), g.num(1)}); });
    EXPECT_EQ(rewritten(identities(), graph), "x");
    EXPECT_EQ(graph->str(), "mul(x, 1)");
}

TEST(Engine, IgnoresWhatNothingUses) {
    auto graph = graph_of([](ToyGraph &g) {
        g.make(Mul, {g.var(0), g.num(1)}, 9);
        return g.var(1);
    });
    Reasons reasons;
    EXPECT_EQ(rewritten(identities(), graph, &reasons), "y");
    EXPECT_TRUE(reasons.empty());
}

Table distribute() {
    std::vector<Rule> rules;
    rules.push_back(
        ToyRule("fuse", add(mul(any("x"), any("y")).as("product"), any("z")))
            .when("{z} is not a number",
                  [](const ToyGraph &g, const Match &m) { return g.constant(m["z"]).has_value(); })
            .single_use("product")
            .to([](ToyGraph::Rebuild &to, const Match &m) {
                return to.graph->make(Fused, {to(m["x"]), to(m["y"]), to(m["z"])});
            }));
    return {"fusion", std::move(rules)};
}

TEST(Engine, SaysWhatFiredAtTheUsersLine) {
    auto graph = graph_of([](ToyGraph &g) {
        return g.make(Add, {g.num(5), g.make(Mul, {g.var(0), g.var(1)}, 3)}, 4);
    });
    Reasons reasons;
    EXPECT_EQ(rewritten(distribute(), graph, &reasons), "fused(x, y, 5)");
    ASSERT_EQ(reasons.size(), 1U);
    EXPECT_THAT(explain(reasons), HasSubstr("toy.py:4: fuse: applied: add(5, mul(x, y)) by "
                                            "engine_test.cpp:"));
}

TEST(Engine, SaysWhyARuleDidNotFire) {
    auto graph = graph_of([](ToyGraph &g) {
        NodeId product = g.make(Mul, {g.var(0), g.var(1)}, 3);
        NodeId sum = g.make(Add, {product, g.num(5)}, 4);
        return g.make(Add, {g.make(Add, {product, g.var(0)}, 5), sum}, 6);
    });
    Reasons reasons;
    rewritten(distribute(), graph, &reasons);
    EXPECT_EQ(explain(reasons), "toy.py:4: fuse: not applied: mul(x, y) has 2 uses\n"
                                "toy.py:5: fuse: not applied: x is not a number\n");
}

TEST(Engine, ReportsANearMissOnceAndOnlyOfTheFinalGraph) {
    std::vector<Rule> rules;
    rules.push_back(
        ToyRule("late", neg(add(any("x"), constant("c"))))
            .when("{c} is not 3",
                  [](const ToyGraph &g, const Match &m) { return g.constant(m["c"]) == 3.0; })
            .to(first));
    rules.push_back(ToyRule("early", add(any("x"), constant(2.0)))
                        .to([](ToyGraph::Rebuild &to, const Match &m) {
                            return to.graph->make(Add, {to(m["x"]), to.graph->num(3)});
                        }));
    auto graph = graph_of([](ToyGraph &g) {
        return g.make(Neg, {g.make(Add, {g.var(0), g.num(2)}, 1)}, 2);
    });
    Reasons reasons;
    EXPECT_EQ(rewritten(Table("phases", std::move(rules)), graph, &reasons), "x");
    ASSERT_EQ(reasons.size(), 2U);
    EXPECT_EQ(reasons[0].subject, "early");
    EXPECT_EQ(reasons[1].subject, "late");
    EXPECT_TRUE(reasons[0].happened && reasons[1].happened);
}

TEST(Engine, RefusesACycleNamingItsRules) {
    std::vector<Rule> rules;
    rules.push_back(ToyRule("to-sum", mul(any("x"), constant(2.0)))
                        .to([](ToyGraph::Rebuild &to, const Match &m) {
                            return to.graph->make(Add, {to(m["x"]), to(m["x"])});
                        }));
    rules.push_back(ToyRule("to-product", op(Add, {any("x"), same("x")}))
                        .to([](ToyGraph::Rebuild &to, const Match &m) {
                            return to.graph->make(Mul, {to(m["x"]), to.graph->num(2)});
                        }));
    rules.push_back(ToyRule("innocent", neg(neg(any("x")))).to(first));
    auto graph = graph_of([](ToyGraph &g) {
        NodeId x = g.make(Neg, {g.make(Neg, {g.var(0)})});
        return g.make(Add, {x, x});
    });
    try {
        apply_rules(Table("doubles", std::move(rules)), graph);
        FAIL() << "no error";
    } catch (const InternalError &error) {
        EXPECT_THAT(error.text(), HasSubstr("internal error in rewrite table doubles: rules fire "
                                            "in a cycle: to-"));
        EXPECT_THAT(error.text(), HasSubstr("to-sum (engine_test.cpp:"));
        EXPECT_THAT(error.text(), HasSubstr("to-product (engine_test.cpp:"));
        EXPECT_THAT(error.text(), ::testing::Not(HasSubstr("innocent")));
    }
}

TEST(Engine, RefusesGrowthWithoutEnd) {
    std::vector<Rule> rules;
    rules.push_back(
        ToyRule("grow", op(Neg, {any("x")})).to([](ToyGraph::Rebuild &to, const Match &m) {
            NodeId inner = to.graph->make(Neg, {to(m["x"])});
            return to.graph->make(Add, {inner, inner});
        }));
    auto graph = graph_of([](ToyGraph &g) { return g.make(Neg, {g.var(0)}); });
    EXPECT_THROW(apply_rules(Table("growth", std::move(rules)), graph), InternalError);
}

TEST(Engine, ChoosesTheRuleThatSavesMost) {
    auto rule = [](const std::string &name, double saving, double result) {
        return ToyRule(name, neg(any("x")))
            .saving("negations", [saving](const ToyGraph &, const Match &) { return saving; })
            .to([result](ToyGraph::Rebuild &to, const Match &) { return to.graph->num(result); });
    };
    auto graph = graph_of([](ToyGraph &g) { return g.make(Neg, {g.var(0)}, 7); });
    EXPECT_EQ(rewritten(Table("costs", {rule("little", 1, 10), rule("much", 5, 20)}), graph), "20");
    Reasons reasons;
    EXPECT_EQ(rewritten(Table("costs", {rule("loss", -2, 10)}), graph, &reasons), "neg(x)");
    EXPECT_EQ(explain(reasons),
              "toy.py:7: loss: not applied: it would not pay: 2 negations more\n");
    reasons = {};
    EXPECT_EQ(rewritten(Table("costs", {rule("even", 0, 10)}), graph, &reasons), "neg(x)");
    EXPECT_EQ(explain(reasons),
              "toy.py:7: even: not applied: it would not pay: 0 negations more\n");
}

TEST(Engine, FiresOverlappingMatchesOneAfterTheOther) {
    auto graph = graph_of([](ToyGraph &g) {
        NodeId inner = g.make(Neg, {g.var(0)});
        return g.make(Neg, {g.make(Neg, {g.make(Neg, {inner})})});
    });
    EXPECT_EQ(rewritten(identities(), graph), "x");
}

NodeId random_expression(ToyGraph &g, int depth) {
    int kind = depth == 0 ? *rc::gen::inRange(0, 2) : *rc::gen::inRange(0, 5);
    switch (kind) {
    case 0:
        return g.var(*rc::gen::inRange(0, 3));
    case 1:
        return g.num(*rc::gen::inRange(-2, 3));
    case 2:
        return g.make(Neg, {random_expression(g, depth - 1)});
    default: {
        NodeId a = random_expression(g, depth - 1);
        NodeId b = random_expression(g, depth - 1);
        return g.make(kind == 3 ? Add : Mul, {a, b});
    }
    }
}

TEST(Engine, KeepsTheValueOfRandomGraphs) {
    const Table table = identities();
    EXPECT_TRUE(rc::check([&] {
        auto graph = graph_of([](ToyGraph &g) { return random_expression(g, 6); });
        auto after = std::static_pointer_cast<const ToyGraph>(apply_rules(table, graph));
        std::vector<double> vars(3);
        for (double &var : vars) {
            var = *rc::gen::inRange(-9, 10);
        }
        RC_ASSERT(after->value(after->result(), vars) == graph->value(graph->result(), vars));
        RC_ASSERT(apply_rules(table, after) == after);
    }));
}

}  // namespace
}  // namespace pto::wsp::rewrite::toy
