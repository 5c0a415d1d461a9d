#include "program/task_rules.h"

#include <gtest/gtest.h>

#include "program/samples.h"
#include "pto/wsp/workload/builder.h"

namespace pto::wsp::test {
namespace {

using schedule::TaskSchedule;

runtime::DynamicGraph graph_of(const TaskSchedule &schedule,
                               std::optional<int64_t> tasks = std::nullopt) {
    runtime::DynamicGraph graph;
    apply_rules(schedule, tasks, graph);
    return graph;
}

TEST(TaskRules, ARunWithoutPoliciesHasNone) {
    for (const TaskSchedule &schedule :
         {TaskSchedule{}, TaskSchedule{DispatchPolicy::round_robin(4)},
          TaskSchedule{TimingPolicy::immediate(), ReadyPolicy::work_steal()},
          TaskSchedule{TaskWindow::stall(16), Deps::exact()}}) {
        EXPECT_FALSE(graph_of(schedule).rules.has_value()) << schedule.str();
    }
    EXPECT_EQ(graph_of(TaskSchedule{TaskWindow::stall(16)}).window, 16);
}

TEST(TaskRules, PoliciesBecomeRules) {
    const auto rules = *graph_of(TaskSchedule{TimingPolicy::batched(5), ReadyPolicy::priority("b"),
                                              Pools::by_exec_unit(2), StartPolicy::threshold(7)})
                            .rules;
    EXPECT_EQ(rules.order, runtime::TaskRules::Order::Priority);
    EXPECT_EQ(rules.batch, 5);
    EXPECT_EQ(rules.pools, (std::vector<int64_t>{2, 0}));
    EXPECT_EQ(rules.start_after, 7);
    const auto turns = *graph_of(TaskSchedule{TimingPolicy::interleaved(3, 2)}).rules;
    EXPECT_EQ(turns.order, runtime::TaskRules::Order::Interleaved);
    EXPECT_EQ(turns.ranks, 3);
    EXPECT_EQ(turns.in_a_row, 2);
    EXPECT_EQ(graph_of(TaskSchedule{TimingPolicy::rate_limit(2.5)}).rules->tasks_per_ms, 2.5);
}

TEST(TaskRules, WindowsHoldWhatMustBeSubmittedFirst) {
    const TaskSchedule at_end{StartPolicy::after_orchestration()};
    EXPECT_TRUE(graph_of(at_end).rules->start_at_end);
    EXPECT_GE(graph_of(at_end, 100000).window, 100000);
    EXPECT_GE(graph_of(TaskSchedule{TimingPolicy::batched(20000)}).window, 20000);
    const auto rule = *graph_of(TaskSchedule{TaskWindow::abort(99, "bytes")}).window_rule;
    EXPECT_EQ(rule.mode, runtime::WindowRule::Mode::Abort);
    EXPECT_EQ(rule.size, 99);
    EXPECT_STREQ(rule.unit, "bytes");
    EXPECT_GE(graph_of(TaskSchedule{TaskWindow::benchmark(20000)}).window, 20000);
}

TEST(TaskRules, UnitsAreTakenFromKernels) {
    const Tensor a("a", {2, 4}), b("b", {4, 2}), c("c", {2, 2}), d("d", {2, 4});
    const Kernel product("product",
                         {In("a", Tile(2, 4, DType::F32)), In("b", Tile(4, 2, DType::F32)),
                          Out("c", Tile(2, 2, DType::F32))},
                         [](const auto &k) { store(k["c"], matmul(k["a"], k["b"])); });
    const Kernel plus = increment();
    const workload::Workload built = Workload("both", [&] {
                                         product({a, b, c});
                                         plus({a, d});
                                     }).built();
    const TaskSchedule schedule{Pools::by_exec_unit(), TaskWindow::stall(120, "bytes")};
    const auto summary =
        workload::analyse_dependence(built, {}, schedule::order_rules(schedule, 2));
    const auto &plan = std::get<workload::TrackedPlan>(summary.plan);
    std::vector<int> pools;
    std::vector<int64_t> weights;
    for (const workload::TrackedSite &site : plan.sites) {
        runtime::TaskSite place;
        apply_rules(schedule, site, *site.task->kernel->program, 10, {}, place);
        pools.push_back(place.pool);
        weights.push_back(place.weight);
        EXPECT_EQ(place.slot_count, 10);
    }
    EXPECT_EQ(pools, (std::vector<int>{0, 1}));
    EXPECT_EQ(weights, (std::vector<int64_t>{4 * (8 + 8 + 4), 4 * (8 + 8)}));
}

}  // namespace
}  // namespace pto::wsp::test
