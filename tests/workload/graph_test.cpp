#include "pto/wsp/workload/graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

using kernel::Direction;
using testing::ElementsAre;
using testing::HasSubstr;

class Graph : public testing::Test {
protected:
    KernelPtr copy =
        declare("copy", {tile("x", Direction::In, 4, 4), tile("y", Direction::Out, 4, 4)});
    KernelPtr add =
        declare("add", {tile("x", Direction::In, 4, 4), tile("y", Direction::InOut, 4, 4)});
    TensorPtr x = tensor("X", {4, 4, 4});
    TensorPtr y = tensor("Y", {4, 4, 4});
    Builder builder{"w"};

    void call(const KernelPtr &kernel, const TensorPtr &from, const Affine &i, const TensorPtr &to,
              const Affine &j) {
        builder.task(kernel, {}, {arg(index(whole(from), i)), arg(index(whole(to), j))},
                     {"user.py", 30});
    }

    std::string open(bool sequential, int64_t size, const std::string &name) {
        return builder.open_loop(sequential, {Axis::Kind::Dense, size, "", {}}, {name});
    }

    static std::vector<std::string> texts(const TaskGraph &graph) {
        std::vector<std::string> result;
        for (const TaskGraph::Edge &edge : graph.edges) {
            result.push_back(graph.vertices[static_cast<size_t>(edge.from)].str() + " -> " +
                             graph.vertices[static_cast<size_t>(edge.to)].str() + ": " +
                             edge.str());
        }
        return result;
    }
};

TEST_F(Graph, EdgesHaveTheirReasons) {
    call(copy, x, 0, y, 0);  // writes Y[0]
    call(copy, y, 0, x, 1);  // reads it
    call(copy, x, 2, y, 0);  // writes it again
    call(add, x, 1, y, 0);   // reads and writes it
    EXPECT_THAT(
        texts(task_graph(builder.finish())),
        ElementsAre("copy -> copy: RAW on Y[0, 0:4, 0:4]", "copy -> copy: WAW on Y[0, 0:4, 0:4]",
                    "copy -> copy: WAR on Y[0, 0:4, 0:4]", "copy -> add: RAW on X[1, 0:4, 0:4]",
                    "copy -> add: RAW on Y[0, 0:4, 0:4]"));
}

TEST_F(Graph, IterationsAreNamed) {
    const std::string i = open(false, 3, "i");
    call(copy, y, at(i), y, at(i) + 1);
    builder.close();
    EXPECT_THAT(texts(task_graph(builder.finish())),
                ElementsAre("copy[i=0] -> copy[i=1]: RAW on Y[1, 0:4, 0:4]",
                            "copy[i=1] -> copy[i=2]: RAW on Y[2, 0:4, 0:4]"));
}

TEST_F(Graph, SequencesMeetInJoins) {
    const std::string i = open(true, 2, "i");
    const std::string j = open(false, 2, "j");
    call(copy, x, at(j), y, Affine::variable(i, 2) + at(j));
    builder.close();
    builder.close();
    EXPECT_THAT(texts(task_graph(builder.finish())),
                ElementsAre("copy[i=0, j=0] -> join: sequence: loop i",
                            "copy[i=0, j=1] -> join: sequence: loop i",
                            "join -> copy[i=1, j=0]: sequence: loop i",
                            "join -> copy[i=1, j=1]: sequence: loop i"));
}

TEST_F(Graph, LanesAreChains) {
    const std::string i = open(false, 4, "i");
    call(copy, x, at(i), y, at(i));
    builder.close();
    const std::vector<LaneRule> lanes = {{"dispatch", {}, 2, false, {}}};
    EXPECT_THAT(texts(task_graph(builder.finish(), lanes)),
                ElementsAre("copy[i=0] -> copy[i=2]: lane: dispatch 0",
                            "copy[i=1] -> copy[i=3]: lane: dispatch 1"));
}

TEST_F(Graph, LanesOfWorkersNeedTheirNumber) {
    const std::string i = open(false, 4, "i");
    call(copy, x, at(i), y, at(i));
    builder.close();
    const Workload made = builder.finish();
    const std::vector<LaneRule> lanes = {{"dispatch", var(i), 0, true, {}}};
    EXPECT_EQ(task_graph(made, lanes, 4).edges.size(), 0U);
    EXPECT_EQ(task_graph(made, lanes, 3).edges.size(), 1U);
}

TEST_F(Graph, TooManyTasks) {
    open(false, 100, "i");
    call(copy, x, 0, y, 0);
    builder.close();
    const Workload made = builder.finish();
    EXPECT_EQ(expect_error<CompileError>([&] { task_graph(made, {}, 1, 99); },
                                         "graph: the workload has 100 tasks, more than 99"),
              "make the graph of a smaller one, or raise max_tasks");
    EXPECT_EQ(task_graph(made, {}, 1, 100).vertices.size(), 100U);
}

TEST_F(Graph, CriticalPathAndMakespan) {
    call(copy, x, 0, y, 0);  // 5
    call(copy, x, 1, y, 1);  // 7
    call(copy, x, 2, y, 2);  // 1
    call(add, y, 0, y, 1);   // 10, after both
    const TaskGraph graph = task_graph(builder.finish());
    const std::vector<int64_t> durations = {5, 7, 1, 10};
    EXPECT_EQ(critical_path(graph, durations), 17);
    EXPECT_EQ(makespan(graph, durations, 1), 23);
    // (0, 5) and (5, 6); (0, 7) and (7, 17).
    EXPECT_EQ(makespan(graph, durations, 2), 17);
    EXPECT_EQ(makespan(graph, durations, 4), 17);
}

TEST_F(Graph, JoinsTakeNoWorkerAndNoTime) {
    const std::string i = open(true, 3, "i");
    const std::string j = open(false, 2, "j");
    call(copy, x, at(j), y, at(j));
    builder.close();
    builder.close();
    const TaskGraph graph = task_graph(builder.finish());
    std::vector<int64_t> durations;
    for (const TaskGraph::Vertex &vertex : graph.vertices) {
        durations.push_back(vertex.task < 0 ? 0 : 10);
    }
    EXPECT_EQ(critical_path(graph, durations), 30);
    EXPECT_EQ(makespan(graph, durations, 2), 30);
    EXPECT_EQ(makespan(graph, durations, 1), 60);
}

TEST_F(Graph, Drawings) {
    call(copy, x, 0, y, 0);
    call(add, y, 0, y, 1);
    const TaskGraph graph = task_graph(builder.finish());
    EXPECT_EQ(graph.dot(), "digraph tasks {\n"
                           "  node [shape=box];\n"
                           "  t0 [label=\"copy\"];\n"
                           "  t1 [label=\"add\"];\n"
                           "  t0 -> t1 [label=\"RAW on Y[0, 0:4, 0:4]\", color=\"#1f6feb\"];\n"
                           "}\n");
    const std::string svg = graph.svg();
    EXPECT_EQ(svg.rfind("<svg xmlns=\"http://www.w3.org/2000/svg\"", 0), 0U);
    EXPECT_THAT(svg, HasSubstr("<title>copy before add: RAW on Y[0, 0:4, 0:4]</title>"));
    EXPECT_THAT(svg, HasSubstr("<title>add user.py:30</title>"));
    EXPECT_THAT(svg, testing::EndsWith("</svg>\n"));
}

}  // namespace
}  // namespace pto::wsp::workload::test
