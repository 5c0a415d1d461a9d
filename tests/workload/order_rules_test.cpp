#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/graph.h"
#include "pto/wsp/workload/parse.h"

namespace pto::wsp::workload {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

Workload read(const std::string &body) {
    return parse_workload("tensor A: f32[8, 8]\n"
                          "kernel fill(out y: f32[y.rows, y.columns])\n"
                          "kernel add(in x: f32[x.rows, x.columns], inout y: f32[y.rows, "
                          "y.columns])\nworkload w {\n" +
                          body + "}");
}

const std::string columns = "parallel i in Dense[4] as i {\n"
                            "task fill(out A[0:8, 2*i:2*i + 2]) }";
const std::string chains = "parallel i in Dense[4] as i { task fill(out A[i, 0:8])\n"
                           "task add(in A[i, 0:8], inout A[i + 4, 0:8]) }";

OrderRules rules_of(OrderRules::Data data, std::vector<EdgeRule> edges = {}) {
    OrderRules rules;
    rules.data = data;
    rules.edges = std::move(edges);
    rules.tracked_because = "of the test";
    rules.at = {"user.py", 8};
    return rules;
}

std::vector<std::string> edges_of(const Workload &workload, const OrderRules &rules) {
    std::vector<std::string> result;
    const TaskGraph graph = task_graph(workload, {}, 1, max_graph_tasks, rules);
    for (const TaskGraph::Edge &edge : graph.edges) {
        result.push_back(graph.vertices[static_cast<size_t>(edge.from)].str() + " " +
                         graph.vertices[static_cast<size_t>(edge.to)].str() + " " + edge.str());
    }
    return result;
}

TEST(OrderRules, ColumnsOverlapAsBytes) {
    const Workload workload = read(columns);
    EXPECT_TRUE(analyse_dependence(workload).is_static());
    EXPECT_TRUE(edges_of(workload, {}).empty());
    OrderRules bytes = rules_of(OrderRules::Data::Bytes);
    EXPECT_EQ(edges_of(workload, bytes).size(), 6U);
    bytes.tracked_because = "";
    EXPECT_FALSE(analyse_dependence(workload, {}, bytes).is_static());
    // Rows lie one after another.
    const Workload rows = read("parallel i in Dense[4] as i {\n"
                               "task fill(out A[2*i:2*i + 2, 0:8]) }");
    EXPECT_TRUE(analyse_dependence(rows, {}, bytes).is_static());
    EXPECT_TRUE(edges_of(rows, bytes).empty());
}

TEST(OrderRules, BytesNeverLeaveOutADependence) {
    for (const std::string &body : {columns, chains}) {
        const Workload workload = read(body);
        const TaskGraph exact = task_graph(workload);
        const TaskGraph bytes =
            task_graph(workload, {}, 1, max_graph_tasks, rules_of(OrderRules::Data::Bytes));
        for (const TaskGraph::Edge &edge : exact.edges) {
            EXPECT_TRUE(std::any_of(bytes.edges.begin(), bytes.edges.end(), [&](const auto &other) {
                return other.from == edge.from && other.to == edge.to;
            }));
        }
    }
}

TEST(OrderRules, GivenEdgesAreCells) {
    const ScalarExpr i = ScalarExpr::variable("i");
    const auto rules = rules_of(OrderRules::Data::None, {{"fill", "add", i, i}});
    const Workload workload = read(chains);
    EXPECT_THAT(edges_of(workload, rules), ElementsAre("fill[i=0] add[i=0] edge: fill -> add",
                                                       "fill[i=1] add[i=1] edge: fill -> add",
                                                       "fill[i=2] add[i=2] edge: fill -> add",
                                                       "fill[i=3] add[i=3] edge: fill -> add"));
    EXPECT_EQ(analyse_dependence(workload, {}, rules).str(),
              "grid #0 fill -> add: 4096 cells\n"
              "site fill over i in Dense[4]\n"
              "  writes fill -> add#0 from (i % 4096)\n"
              "site add over i in Dense[4]\n"
              "  reads fill -> add#0 from (i % 4096)\n");
}

std::string refusal(const std::string &body, const OrderRules &rules,
                    const std::vector<LaneRule> &lanes = {}) {
    try {
        analyse_dependence(read(body), lanes, rules);
    } catch (const ScheduleError &error) {
        return error.what();
    }
    return "";
}

TEST(OrderRules, EdgesMayLeaveNothingOut) {
    const ScalarExpr i = ScalarExpr::variable("i");
    EXPECT_THAT(refusal(chains, rules_of(OrderRules::Data::None)),
                AllOf(HasSubstr("user.py:8: error: deps=explicit leaves out a dependence: "
                                "fill[i=0] comes before add[i=0] (RAW on A[0, 0:8])"),
                      HasSubstr("add an edge (\"fill\", \"add\", key)")));
    OrderRules trusted = rules_of(OrderRules::Data::None);
    trusted.trusted = true;
    EXPECT_EQ(refusal(chains, trusted), "");
    // What lanes and sequences order needs no edge; lanes as many as workers order nothing.
    EXPECT_EQ(refusal(chains, rules_of(OrderRules::Data::None), {{"stream", {}, 1, false, {}}}),
              "");
    EXPECT_NE(refusal(chains, rules_of(OrderRules::Data::None), {{"dispatch", i, 0, true, {}}}),
              "");
    EXPECT_EQ(refusal("seq i in Dense[4] as i { task fill(out A[i, 0:8])\n"
                      "task add(in A[i, 0:8], inout A[i + 4, 0:8]) }",
                      rules_of(OrderRules::Data::None, {{"fill", "add", i, i}})),
              "");
    EXPECT_THAT(refusal(chains, rules_of(OrderRules::Data::None, {{"add", "fill", i, i}})),
                HasSubstr("deps: the edge add -> fill orders no two tasks: no task of 'add' comes "
                          "before one of 'fill' with the same key"));
    EXPECT_THAT(refusal(chains, rules_of(OrderRules::Data::Exact, {{"fill", "add", i, 9}})),
                HasSubstr("the edge fill -> add orders no two tasks"));
    EXPECT_EQ(refusal("parallel i in DenseDyn[symbol(n)] as i { task fill(out A[i, 0:8]) }",
                      rules_of(OrderRules::Data::Exact, {{"fill", "fill", i, 9}})),
              "");
    EXPECT_THAT(refusal("parallel i in DenseDyn[symbol(n)] as i { task fill(out A[i, 0:8]) }",
                        rules_of(OrderRules::Data::None)),
                HasSubstr("deps=explicit: whether the edges leave out a dependence is not known"));
}

TEST(OrderRules, KeysOfWhatTasksAreCalledWith) {
    const Workload workload =
        parse_workload("tensor A: f32[8, 8]\n"
                       "kernel fill(out y: f32[y.rows, y.columns], n: i64, f: f32)\n"
                       "workload w {\n"
                       "parallel i in Dense[8] as i {\n"
                       "task fill[i // 2](out A[i, 0:8], 7 - i, 2.5) } }");
    const auto key = [](const std::string &text) {
        return std::vector<LaneRule>{{"stream", ScalarExpr::parse(text), 4, false, {"user.py", 8}}};
    };
    EXPECT_THAT(analyse_dependence(workload, key("param(n) + i % 3")).str(),
                HasSubstr("from (((7 - i) + (i % 3)) % 4)"));
    EXPECT_THAT(analyse_dependence(workload, key("param(0)")).str(), HasSubstr("((i // 2) % 4)"));
    const auto lane_edges = [&](const std::string &text) {
        std::vector<std::pair<int, int>> result;
        for (const TaskGraph::Edge &edge : task_graph(workload, key(text), 1).edges) {
            result.emplace_back(edge.from, edge.to);
        }
        return result;
    };
    EXPECT_THAT(lane_edges("param(n)"),
                ElementsAre(std::pair(0, 4), std::pair(1, 5), std::pair(2, 6), std::pair(3, 7)));
    EXPECT_THAT(lane_edges("param(0)"),
                ElementsAre(std::pair(0, 1), std::pair(2, 3), std::pair(4, 5), std::pair(6, 7)));
    const auto refused = [&](const std::string &text) -> std::string {
        try {
            analyse_dependence(workload, key(text));
        } catch (const ScheduleError &error) {
            return error.what();
        }
        return "";
    };
    EXPECT_THAT(refused("param(m)"),
                AllOf(HasSubstr("user.py:8: error: param(m): no parameter of kernel \"fill\" is "
                                "called m"),
                      HasSubstr("hint: params of fill: 0 ((i // 2)), n")));
    EXPECT_THAT(refused("param(y)"),
                HasSubstr("parameter y of kernel \"fill\" is a tile, no integer"));
    EXPECT_THAT(refused("param(f)"),
                HasSubstr("parameter f of kernel \"fill\" is of type F32, no integer"));
    EXPECT_THAT(refused("param(1)"), HasSubstr("a task of kernel \"fill\" has 1 subscripts"));
}

TEST(OrderRules, RanksPoolsAndHashesAreInThePlan) {
    OrderRules rules = rules_of(OrderRules::Data::Exact);
    rules.rank = ScalarExpr::parse("i % 3");
    rules.pool = ScalarExpr::variable(number_variable);
    LaneRule hashed{"dispatch", {}, 4, false, {}, {ScalarExpr::parse("i")}};
    EXPECT_EQ(analyse_dependence(read(columns), {hashed}, rules).str(),
              "grid #0 dispatch: 4 cells\n"
              "site fill over i in Dense[4], rank (i % 3), pool number$\n"
              "  hash$0 = fnv1a(i) % 4\n"
              "  reads and writes dispatch#0 from hash$0\n");
}

}  // namespace
}  // namespace pto::wsp::workload
