#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "runtime/graphs.h"
#include "runtime/nets.h"
#include "runtime/random_script.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::at_address;
using testing::plan_of;
using testing::run;
using testing::Script;
using testing::scripted;
using testing::site_of;
using testing::time_limit;
using testing::updating;

class ReadyQueue : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Workers, ReadyQueue, ::testing::Values(1, 2, 4, 8));

/// What the tasks of a run leave.
struct Log {
    std::mutex mutex;
    std::vector<int64_t> order;               ///< numbers of tasks as they began
    std::array<std::atomic<int>, 4> running;  ///< by pool
    std::array<std::atomic<int>, 4> most;
    std::vector<std::thread::id> threads = std::vector<std::thread::id>(64);
    std::atomic<int64_t> submitted = 0;
    std::atomic<int64_t> least_submitted = INT64_MAX;  ///< when a task began
    std::atomic<int64_t> ended = 0;
};

/// Slots: Log, number.
abi::Status note(const int64_t *slots) {
    auto &log = at_address<Log>(slots[0]);
    std::lock_guard lock(log.mutex);
    log.order.push_back(slots[1]);
    return 0;
}

/// Tasks without dependences, each with a rank of its own.
Script ranked(Log &log, const std::vector<int64_t> &ranks) {
    Script script;
    for (size_t i = 0; i < ranks.size(); i++) {
        script.push_back({0, {address(&log), static_cast<int64_t>(i), ranks[i]}, {}});
    }
    return script;
}

DynamicGraph graph_of(const TaskRules &rules, abi::KernelFn kernel = &note) {
    DynamicGraph graph = scripted({site_of(kernel, 3, {})}, {});
    graph.sites[0].rank_slot = 2;
    graph.rules = rules;
    return graph;
}

/// The order in which one worker runs tasks that are all ready when the first starts.
std::vector<int64_t> order_of(TaskRules rules, const std::vector<int64_t> &ranks) {
    Executor one(1);
    Log log;
    const Script script = ranked(log, ranks);
    rules.start_at_end = true;
    run(one, plan_of(graph_of(rules)), {address(&script)});
    return log.order;
}

TEST(ReadyQueueOrder, fifo_is_in_program_order_when_all_are_ready) {
    std::vector<int64_t> expected(600);
    std::iota(expected.begin(), expected.end(), 0);
    EXPECT_EQ(order_of({}, std::vector<int64_t>(600, 7)), expected);
}

TEST(ReadyQueueOrder, newest_is_the_other_way_round) {
    TaskRules rules;
    rules.order = TaskRules::Order::Newest;
    EXPECT_EQ(order_of(rules, {0, 0, 0, 0}), (std::vector<int64_t>{3, 2, 1, 0}));
}

TEST(ReadyQueueOrder, priority_takes_the_largest_rank_and_of_these_the_first) {
    TaskRules rules;
    rules.order = TaskRules::Order::Priority;
    EXPECT_EQ(order_of(rules, {1, 5, -3, 5, INT64_MAX, INT64_MIN, 1}),
              (std::vector<int64_t>{4, 1, 3, 0, 6, 2, 5}));
}

TEST(ReadyQueueOrder, interleaved_takes_ranks_in_turn) {
    TaskRules rules;
    rules.order = TaskRules::Order::Interleaved;
    rules.ranks = 3;
    const std::vector<int64_t> ranks{0, 0, 0, 0, 1, 1, 2, 2, 2};
    EXPECT_EQ(order_of(rules, ranks), (std::vector<int64_t>{0, 4, 6, 1, 5, 7, 2, 8, 3}));
    rules.in_a_row = 2;
    EXPECT_EQ(order_of(rules, ranks), (std::vector<int64_t>{0, 1, 4, 5, 6, 7, 2, 3, 8}));
}

/// Slots: Log, number, cell. Notes how many tasks of the first half had ended.
abi::Status count_ended(const int64_t *slots) {
    auto &log = at_address<Log>(slots[0]);
    {
        std::lock_guard lock(log.mutex);
        log.order.push_back(log.ended);
    }
    log.ended++;
    return 0;
}

/// Chains of two tasks: all first ones, then all second ones.
Script chains(Log &log, int64_t count) {
    Script script;
    for (int64_t i = 0; i < 2 * count; i++) {
        script.push_back({0, {address(&log), i, i % count}, {i % count}});
    }
    return script;
}

TEST_P(ReadyQueue, ABatchWaitsUntilItIsFull) {
    constexpr int64_t size = 8;
    for (int round = 0; round < 20; round++) {
        Log log;
        const Script script = chains(log, size);
        DynamicGraph graph = scripted({site_of(&count_ended, 3, {updating(0)})}, {size});
        graph.rules = TaskRules{};
        graph.rules->batch = size;
        run(executor, plan_of(graph), {address(&script)});
        ASSERT_EQ(log.order.size(), static_cast<size_t>(2 * size));
        // The second batch has all second tasks, which are ready only when all first ones ended.
        for (size_t i = size; i < log.order.size(); i++) {
            EXPECT_GE(log.order[i], size);
        }
    }
}

TEST(ReadyQueueOrder, batches_of_chains) {
    Executor one(1);
    Log log;
    const Script script = chains(log, 5);
    DynamicGraph graph = scripted({site_of(&note, 3, {updating(0)})}, {5});
    graph.rules = TaskRules{};
    graph.rules->batch = 4;
    run(one, plan_of(graph), {address(&script)});
    EXPECT_EQ(log.order, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    log.order.clear();
    graph.rules->batch = 1;
    graph.rules->order = TaskRules::Order::Newest;
    run(one, plan_of(graph), {address(&script)});
    EXPECT_EQ(log.order.front(), 4);
}

TEST_P(ReadyQueue, TheRestOfABatchRunsAtTheEnd) {
    for (int64_t tasks : {1, 5, 7, 700}) {
        Log log;
        const Script script = ranked(log, std::vector<int64_t>(static_cast<size_t>(tasks)));
        TaskRules rules;
        rules.batch = 1000;
        EXPECT_EQ(run(executor, plan_of(graph_of(rules)), {address(&script)}).tasks, tasks);
    }
}

TEST_P(ReadyQueue, ABatchLargerThanTheWindowRunsWhenTheSubmitterWaits) {
    Log log;
    const Script script = ranked(log, std::vector<int64_t>(100));
    TaskRules rules;
    rules.batch = 64;
    DynamicGraph graph = graph_of(rules);
    graph.window = 16;
    EXPECT_EQ(run(executor, plan_of(graph), {address(&script)}).tasks, 100);
}

TEST_P(ReadyQueue, ARateIsNotPassed) {
    constexpr int64_t tasks = 60;
    constexpr double rate = 3;
    Log log;
    const Script script = ranked(log, std::vector<int64_t>(tasks));
    TaskRules rules;
    rules.tasks_per_ms = rate;
    const RunStats stats = run(executor, plan_of(graph_of(rules)), {address(&script)});
    EXPECT_EQ(stats.tasks, tasks);
    EXPECT_GE(stats.execute_ms, 0.98 * (tasks - 1) / rate);
}

TEST(ReadyQueueRate, is_within_two_percent_over_a_run) {
    constexpr int64_t tasks = 400;
    constexpr double rate = 8;
    Executor two(2);
    double nearest = 2;
    // Other processes may keep the timer from its core: the best of some runs counts.
    for (int round = 0; round < 20 && nearest > 1.02; round++) {
        Log log;
        const Script script = ranked(log, std::vector<int64_t>(tasks));
        TaskRules rules;
        rules.tasks_per_ms = rate;
        const RunStats stats = run(two, plan_of(graph_of(rules)), {address(&script)});
        const double ratio = stats.execute_ms / (static_cast<double>(tasks - 1) / rate);
        EXPECT_GE(ratio, 0.98);
        nearest = std::min(nearest, ratio);
    }
    EXPECT_LE(nearest, 1.02);
}

/// Slots: Log, number, pool. Says how many of its pool run.
abi::Status crowd(const int64_t *slots) {
    auto &log = at_address<Log>(slots[0]);
    const auto pool = static_cast<size_t>(slots[2]);
    const int now = ++log.running[pool];
    int most = log.most[pool];
    while (now > most && !log.most[pool].compare_exchange_weak(most, now)) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(300));
    log.running[pool]--;
    return 0;
}

TEST_P(ReadyQueue, PoolsLimitWhatRuns) {
    const std::vector<int64_t> sizes{1, 2, 3};
    Log log;
    std::vector<int64_t> pools(90);
    for (size_t i = 0; i < pools.size(); i++) {
        pools[i] = static_cast<int64_t>(i % 3);
    }
    const Script script = ranked(log, pools);
    TaskRules rules;
    rules.pools = sizes;
    DynamicGraph graph = graph_of(rules, &crowd);
    graph.sites[0].rank_slot = -1;
    graph.sites[0].pool_slot = 2;
    EXPECT_EQ(run(executor, plan_of(graph), {address(&script)}).tasks, 90);
    for (size_t pool = 0; pool < sizes.size(); pool++) {
        EXPECT_LE(log.most[pool], sizes[pool]) << "pool " << pool;
    }
    if (GetParam() >= 8) {
        EXPECT_EQ(log.most[2], 3);
    }
}

TEST_P(ReadyQueue, AShareOfTheWorkersIsAtLeastOne) {
    Log log;
    std::vector<int64_t> pools(40);
    for (size_t i = 0; i < pools.size(); i++) {
        pools[i] = static_cast<int64_t>(i % 2);
    }
    const Script script = ranked(log, pools);
    TaskRules rules;
    rules.pools = {0, 0};
    DynamicGraph graph = graph_of(rules, &crowd);
    graph.sites[0].rank_slot = -1;
    graph.sites[0].pool_slot = 2;
    run(executor, plan_of(graph), {address(&script)});
    EXPECT_LE(log.most[0], (GetParam() + 1) / 2);
    EXPECT_LE(log.most[1], std::max(GetParam() / 2, 1));
}

/// Slots: Log, number, worker.
abi::Status note_thread(const int64_t *slots) {
    auto &log = at_address<Log>(slots[0]);
    std::lock_guard lock(log.mutex);
    std::thread::id &known = log.threads[static_cast<size_t>(slots[2])];
    if (known == std::thread::id()) {
        known = std::this_thread::get_id();
    }
    log.order.push_back(slots[1]);
    return known == std::this_thread::get_id() ? 0 : 1;
}

TEST_P(ReadyQueue, PinnedTasksKeepTheirWorkers) {
    for (const double rate : {0.0, 20.0}) {
        for (const std::vector<int64_t> &pools :
             {std::vector<int64_t>{}, std::vector<int64_t>{1}}) {
            Log log;
            Script script;
            for (int64_t i = 0; i < 100; i++) {
                const auto worker = static_cast<int32_t>(i % GetParam());
                script.push_back({0, {address(&log), i, worker}, {}, worker});
            }
            TaskRules rules;
            rules.tasks_per_ms = rate;
            rules.pools = pools;
            DynamicGraph graph = graph_of(rules, &note_thread);
            EXPECT_EQ(run(executor, plan_of(graph), {address(&script)}).tasks, 100);
        }
    }
}

/// Slots: Log, number, rank. Notes how many had been submitted.
abi::Status note_submitted(const int64_t *slots) {
    auto &log = at_address<Log>(slots[0]);
    const int64_t now = log.submitted;
    int64_t least = log.least_submitted;
    while (now < least && !log.least_submitted.compare_exchange_weak(least, now)) {
    }
    return 0;
}

/// Bindings: Log, tasks. Counts what it submits.
abi::Status expand_counted(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    auto &log = at_address<Log>(bindings[0]);
    for (; budget > 0 && frame[0] < bindings[1]; budget--, frame[0]++) {
        log.submitted++;
        const std::array<int64_t, 3> slots{bindings[0], frame[0], 0};
        pto_wsp_submit(graph, 0, slots.data(), nullptr, -1);
    }
    if (frame[0] == bindings[1]) {
        frame[0] = -1;
    }
    return 0;
}

DynamicGraph counted_graph(const TaskRules &rules, int window = 8192) {
    DynamicGraph graph = graph_of(rules, &note_submitted);
    graph.processes = {testing::main_process(&expand_counted)};
    graph.window = window;
    return graph;
}

TEST_P(ReadyQueue, AThresholdHoldsTheFirstTaskBack) {
    for (const int64_t threshold : {1000, 3000, 5000}) {
        Log log;
        TaskRules rules;
        rules.start_after = threshold;
        run(executor, plan_of(counted_graph(rules)), {address(&log), 3500});
        EXPECT_GE(log.least_submitted, std::min<int64_t>(threshold, 3500));
    }
}

TEST_P(ReadyQueue, NoTaskStartsBeforeAllAreSubmitted) {
    Log log;
    TaskRules rules;
    rules.start_at_end = true;
    EXPECT_EQ(run(executor, plan_of(counted_graph(rules)), {address(&log), 3000}).tasks, 3000);
    EXPECT_EQ(log.least_submitted, 3000);
}

TEST_P(ReadyQueue, AWindowThatIsTooSmallForThatEndsTheRun) {
    Log log;
    TaskRules rules;
    rules.start_at_end = true;
    const auto execution = executor.start(plan_of(counted_graph(rules, 64)), {address(&log), 3000});
    ASSERT_TRUE(execution->wait(time_limit));
    try {
        execution->rethrow();
        FAIL() << "the run has not failed";
    } catch (const ExecutionError &error) {
        EXPECT_NE(error.text().find("no task starts before all are submitted"), std::string::npos)
            << error.text();
    }
    EXPECT_EQ(log.least_submitted, INT64_MAX);
}

TEST_P(ReadyQueue, AWindowThatOverflowsEndsTheRun) {
    Log log;
    const Script script = ranked(log, std::vector<int64_t>(100));
    DynamicGraph graph = scripted({site_of(&note, 3, {})}, {});
    graph.window_rule = WindowRule{WindowRule::Mode::Abort, 8, "tasks"};
    const auto execution = executor.start(plan_of(graph), {address(&script)});
    ASSERT_TRUE(execution->wait(time_limit));
    try {
        execution->rethrow();
        FAIL() << "the run has not failed";
    } catch (const ExecutionError &error) {
        EXPECT_NE(
            error.text().find("the window of 8 tasks overflows: 9 are submitted and unfinished"),
            std::string::npos)
            << error.text();
    }
    EXPECT_EQ(execution->failure_count(), 1);
    graph.window_rule->size = 100;
    EXPECT_EQ(run(executor, plan_of(graph), {address(&script)}).tasks, 100);
}

TEST_P(ReadyQueue, ABenchmarkCountsWhatItsWindowDoes) {
    Log log;
    const Script script = ranked(log, std::vector<int64_t>(100));
    DynamicGraph graph = scripted({site_of(&note, 3, {})}, {});
    graph.sites[0].weight = 10;
    graph.window_rule = WindowRule{WindowRule::Mode::Benchmark, 85, "bytes"};
    RunStats stats = run(executor, plan_of(graph), {address(&script)});
    EXPECT_EQ(stats.tasks, 100);
    EXPECT_GE(stats.window_stalls, 1);
    EXPECT_EQ(stats.most_in_flight, 80);
    graph.window_rule->mode = WindowRule::Mode::Stall;
    stats = run(executor, plan_of(graph), {address(&script)});
    EXPECT_EQ(stats.most_in_flight, 0);
    graph.window_rule = WindowRule{WindowRule::Mode::Benchmark, 5000, "bytes"};
    stats = run(executor, plan_of(graph), {address(&script)});
    EXPECT_EQ(stats.window_stalls, 0);
    EXPECT_EQ(stats.most_in_flight, 1000);
}

TEST_P(ReadyQueue, ACancelledRunDoesNotWaitForItsRate) {
    Log log;
    const Script script = ranked(log, std::vector<int64_t>(1000));
    TaskRules rules;
    rules.tasks_per_ms = 0.001;
    const auto execution = executor.start(plan_of(graph_of(rules)), {address(&script)});
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    execution->cancel();
    EXPECT_TRUE(execution->wait(std::chrono::seconds(2)));
    EXPECT_LE(log.order.size(), 2U);
}

abi::Status fail_some(const int64_t *slots) {
    return slots[1] % 7 == 3 ? 1 : 0;
}

TEST_P(ReadyQueue, AFailingTaskEndsARunWithRules) {
    for (int64_t batch : {1, 64}) {
        Log log;
        const Script script = ranked(log, std::vector<int64_t>(500));
        TaskRules rules;
        rules.batch = batch;
        rules.pools = {2};
        const auto execution =
            executor.start(plan_of(graph_of(rules, &fail_some)), {address(&script)});
        ASSERT_TRUE(execution->wait(time_limit));
        EXPECT_THROW(execution->rethrow(), KernelError);
    }
}

/// Rules of each kind.
std::vector<TaskRules> all_rules() {
    std::vector<TaskRules> result(10);
    result[1].order = TaskRules::Order::Newest;
    result[2].order = TaskRules::Order::Priority;
    result[3].order = TaskRules::Order::Interleaved;
    result[4].batch = 7;
    result[5].batch = 1000;
    result[6].tasks_per_ms = 100;
    result[7].pools = {1};
    result[8].start_after = 150;
    result[9].start_at_end = true;
    return result;
}

TEST_P(ReadyQueue, ANetOfProcessesUnderRules) {
    using namespace testing;
    int number = 0;
    for (const TaskRules &rules : all_rules()) {
        for (int64_t depth : {0, 1, 3}) {
            SCOPED_TRACE("rules " + std::to_string(number) + ", depth " + std::to_string(depth));
            Net net({{repeat(60), send(0), end()},
                     {consume({0}), send(1), end()},
                     {consume({1}), task(), end()}},
                    {depth, depth});
            DynamicGraph graph = net.graph();
            graph.rules = rules;
            run(executor, plan_of(graph), {address(&net)});
            EXPECT_EQ(net.wrong(), 0);
            EXPECT_EQ(net.tasks_run(), 180);
        }
        number++;
    }
}

TEST_P(ReadyQueue, ReplicasUnderRulesWaitForTasks) {
    using namespace testing;
    for (TaskRules rules : all_rules()) {
        if (rules.start_at_end) {
            continue;  // Replicas take tokens when their bodies have really ended.
        }
        Net net({{repeat(60), send(0), end()},
                 {consume({0}), task(), end()},
                 {consume({0}), task(), end()}},
                {2});
        DynamicGraph graph = net.graph();
        graph.rules = rules;
        run(executor, plan_of(graph), {address(&net)});
        EXPECT_EQ(net.wrong(), 0);
        EXPECT_EQ(net.tasks_run(), 120);
    }
}

struct Cells {
    std::array<std::atomic<uint64_t>, testing::RandomScript::cells> values{};
};

/// Slots: Cells, number, cell read (or -1), cell written, rank. A hash of all that came before.
abi::Status mix(const int64_t *slots) {
    auto &cells = at_address<Cells>(slots[0]);
    auto &to = cells.values[static_cast<size_t>(slots[3])];
    uint64_t value = static_cast<uint64_t>(slots[1]) * 0x9e3779b97f4a7c15ULL;
    if (slots[2] >= 0) {
        value += to.load(std::memory_order_relaxed) * 31 +
                 cells.values[static_cast<size_t>(slots[2])].load(std::memory_order_relaxed);
    }
    to.store(value, std::memory_order_relaxed);
    return 0;
}

TaskRules random_rules(std::mt19937 &random) {
    TaskRules rules;
    rules.order = static_cast<TaskRules::Order>(random() % 4);
    rules.in_a_row = 1 + random() % 3;
    rules.ranks = 5;
    rules.batch = random() % 2 == 0 ? 1 : 1 + random() % 40;
    rules.tasks_per_ms = random() % 4 == 0 ? 200 : 0;
    for (uint32_t pool = random() % 4; pool > 0; pool--) {
        rules.pools.push_back(random() % 3);
    }
    rules.start_after = random() % 3 == 0 ? random() % 400 : 0;
    return rules;
}

TEST_P(ReadyQueue, RulesNeverChangeAResult) {
    for (uint32_t seed = 1; seed <= 40; seed++) {
        std::mt19937 random(seed * 77 + static_cast<uint32_t>(GetParam()));
        testing::RandomScript made(seed, 300);
        Cells expected;
        Cells found;
        for (size_t i = 0; i < made.script.size(); i++) {
            testing::Submission &each = made.script[i];
            if (each.site == 2) {
                continue;
            }
            const int64_t read = each.site == 0 ? each.cells[0] : -1;
            each.slots = {address(&found), static_cast<int64_t>(i), read, each.cells.back(),
                          static_cast<int64_t>(random() % 5)};
            std::vector<int64_t> slots = each.slots;
            slots[0] = address(&expected);
            mix(slots.data());
        }
        DynamicGraph graph = made.graph(&mix, 1 << (random() % 10));
        graph.rules = random_rules(random);
        for (size_t s = 0; s < 2; s++) {
            graph.sites[s].slot_count = 5;
            graph.sites[s].rank_slot = 4;
            graph.sites[s].pool_slot = graph.rules->pools.empty() ? -1 : 4;
        }
        const RunStats stats = run(executor, plan_of(graph), {address(&made.script)});
        EXPECT_EQ(stats.tasks, made.tasks()) << "seed " << seed;
        for (size_t c = 0; c < expected.values.size(); c++) {
            ASSERT_EQ(found.values[c], expected.values[c]) << "seed " << seed << ", cell " << c;
        }
    }
}

}  // namespace
}  // namespace pto::wsp::runtime
