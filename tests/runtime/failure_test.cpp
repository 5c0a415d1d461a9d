#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/graphs.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::at_address;
using ::testing::ElementsAre;
using testing::plan_of;
using testing::reading;
using testing::run;
using testing::Script;
using testing::scripted;
using testing::site_of;
using testing::time_limit;
using testing::updating;
using testing::writing;

class Failures : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Workers, Failures, ::testing::Values(1, 2, 4, 8));

enum Outcome : int64_t { Passes, ReturnsStatus, Raises };

/// Slots: address of a byte that is set when the task passes, its Outcome.
abi::Status mark(const int64_t *slots) {
    if (slots[1] == ReturnsStatus) {
        return 7;
    }
    if (slots[1] == Raises) {
        halide_error(nullptr, "raised");
    }
    at_address<std::atomic<char>>(slots[0]) = 1;
    return 0;
}

Access with(Access access, Spread spread) {
    access.spread = spread;
    return access;
}

/// A random graph over a grid of data, one of lanes and one of a sequence, with what a run of it
/// has to do.
struct RandomGraph {
    static constexpr int64_t cells = 24;
    enum Site : int32_t { Read, Write, Update, Copy, Lane, InSequence, Join };

    static std::vector<TaskSite> sites() {
        const Access lane = with(updating(1), Spread::None);
        const Access scope = with(reading(2), Spread::Sequence);
        const Access join = with(updating(2), Spread::Sequence);
        return {site_of(&mark, 2, {reading(0, {{3, 2}})}),
                site_of(&mark, 2, {writing(0)}),
                site_of(&mark, 2, {updating(0)}),
                site_of(&mark, 2, {reading(0), writing(0)}),
                site_of(&mark, 2, {lane, reading(0), updating(0)}),
                site_of(&mark, 2, {scope, writing(0)}),
                site_of(nullptr, 0, {join})};
    }

    RandomGraph(uint32_t seed, size_t count) : ran(count), should_run(count), task_of(count, -1) {
        std::mt19937 random(seed);
        auto below = [&](int64_t bound) { return static_cast<int64_t>(random() % bound); };
        const int64_t rarity = 1 + below(200);
        for (size_t i = 0; i < count; i++) {
            const auto site = static_cast<Site>(below(12) == 0 ? below(7) : below(6));
            const int64_t outcome = below(rarity) == 0 ? 1 + below(2) : 0;
            testing::Submission task{site, {address(&ran[i]), outcome}, {}, -1};
            if (below(8) == 0) {
                task.worker = static_cast<int32_t>(below(16));
            }
            if (site == Lane) {
                task.cells.push_back(below(3));
            } else if (site == InSequence || site == Join) {
                task.cells.push_back(0);
            }
            const bool two = site == Copy || site == Lane;
            for (int64_t data = site == Join ? 0 : two ? 2 : 1; data > 0; data--) {
                task.cells.push_back(below(cells - 4));
            }
            script.push_back(task);
            predict(i);
        }
    }

    /// What is lost, task by task in program order.
    void predict(size_t number) {
        const testing::Submission &task = script[number];
        bool lost = task.site != Join && task.slots[1] != Passes;
        bool blocked = false;
        auto read = [&](int64_t cell) { blocked |= lost_data[static_cast<size_t>(cell)]; };
        auto write = [&](int64_t cell) { lost_data[static_cast<size_t>(cell)] = lost || blocked; };
        const std::vector<int64_t> &at = task.cells;
        switch (task.site) {
        case Read:
            read(at[0]), read(at[0] + 2), read(at[0] + 4);
            break;
        case Write:
            write(at[0]);
            break;
        case Update:
            read(at[0]), write(at[0]);
            break;
        case Copy:
            read(at[0]), write(at[1]);
            break;
        case Lane:
            read(at[1]), read(at[2]), write(at[2]);
            break;
        case InSequence:
            blocked |= lost_before_join;
            write(at[1]);
            lost_since_join |= lost || blocked;
            break;
        default:
            lost_before_join |= lost_since_join;
            return;
        }
        task_of[number] = tasks++;
        should_run[number] = !lost && !blocked;
        if (lost && !blocked) {
            failing.push_back(task_of[number]);
        }
    }

    std::vector<std::atomic<char>> ran;
    std::vector<char> should_run;
    std::vector<int64_t> task_of;  ///< number among the tasks that are no joins
    std::vector<int64_t> failing;
    int64_t tasks = 0;
    Script script;

private:
    std::vector<char> lost_data = std::vector<char>(cells, 0);
    bool lost_before_join = false;
    bool lost_since_join = false;
};

TEST_P(Failures, ExactlyWhatNeedsAFailedTaskIsLost) {
    for (uint32_t seed = 0; seed < 60; seed++) {
        RandomGraph graph(seed, 1500);
        const int windows[] = {1, 2, 3, 16, 100, 8192};
        const int window = windows[seed % 6];
        auto execution = executor.start(
            plan_of(scripted(RandomGraph::sites(), {RandomGraph::cells, 3, 1}, window)),
            {address(&graph.script)});
        ASSERT_TRUE(execution->wait(time_limit));
        int64_t passed = 0;
        for (size_t i = 0; i < graph.ran.size(); i++) {
            ASSERT_EQ(static_cast<bool>(graph.ran[i]), static_cast<bool>(graph.should_run[i]))
                << "task " << i << " of seed " << seed << ", window " << window;
            passed += graph.should_run[i];
        }
        std::vector<int64_t> failed;
        for (const Failure &failure : execution->failures()) {
            failed.push_back(failure.task);
        }
        EXPECT_EQ(failed, graph.failing);
        const RunStats stats = execution->stats();
        EXPECT_EQ(stats.tasks, passed);
        EXPECT_EQ(stats.failed, static_cast<int64_t>(graph.failing.size()));
        EXPECT_EQ(stats.skipped, graph.tasks - passed - stats.failed);
        EXPECT_FALSE(stats.cancelled);
    }
}

TEST_P(Failures, ALostResultIsRememberedWhenItsTaskHasLeftTheWindow) {
    std::vector<std::atomic<char>> ran(20001);
    Script script;
    for (size_t i = 0; i + 1 < ran.size(); i++) {
        const auto cell = static_cast<int64_t>(i % 7);
        script.push_back({0, {address(&ran[i]), i == 3 ? Raises : Passes}, {cell}});
    }
    script.push_back({1, {address(&ran.back()), Passes}, {3}});
    const auto sites = {site_of(&mark, 2, {updating(0)}), site_of(&mark, 2, {reading(0)})};
    auto execution = executor.start(plan_of(scripted(sites, {7}, 4)), {address(&script)});
    ASSERT_TRUE(execution->wait(time_limit));
    for (size_t i = 0; i + 1 < ran.size(); i++) {
        ASSERT_EQ(static_cast<bool>(ran[i]), i % 7 != 3) << i;
    }
    EXPECT_FALSE(ran.back());
}

TEST_P(Failures, AnOverwrittenResultIsNotLost) {
    std::vector<std::atomic<char>> ran(4);
    const Script script{{0, {address(&ran[0]), ReturnsStatus}, {0}},
                        {2, {address(&ran[1]), Passes}, {0}},
                        {0, {address(&ran[2]), Passes}, {0}},
                        {2, {address(&ran[3]), Passes}, {0}}};
    const auto sites = {site_of(&mark, 2, {writing(0)}), site_of(&mark, 2, {updating(0)}),
                        site_of(&mark, 2, {reading(0)})};
    auto execution = executor.start(plan_of(scripted(sites, {1})), {address(&script)});
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THAT(std::vector<char>(ran.begin(), ran.end()), ElementsAre(0, 0, 1, 1));
}

/// Submits, fills a slot from cell 0, submits. Binding 0: addresses of two bytes.
abi::Status expand_with_slot(int64_t *frame, void *graph, const int64_t *bindings, int32_t) {
    int64_t cell = 0;
    auto submit = [&](int64_t byte, int64_t outcome) {
        const std::array<int64_t, 2> slots{bindings[byte], outcome};
        pto_wsp_submit(graph, 0, slots.data(), &cell, -1);
    };
    if (frame[0] == 0) {
        submit(0, ReturnsStatus);
        cell = 1;
        submit(1, Passes);
        frame[0] = 1;
        return 0;
    }
    if (pto_wsp_await(graph, 1, &cell) != 0) {
        cell = 2;
        submit(2, Passes);
        frame[0] = -1;
    }
    return 0;
}

TEST_P(Failures, NothingFollowsASlotWhoseValueIsLost) {
    std::vector<std::atomic<char>> ran(3);
    DynamicGraph graph = scripted(
        {site_of(&mark, 2, {updating(0)}), site_of(nullptr, 0, {reading(0)}, "slot")}, {3});
    graph.processes[0].expand = &expand_with_slot;
    auto execution =
        executor.start(plan_of(graph), {address(&ran[0]), address(&ran[1]), address(&ran[2])});
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THAT(std::vector<char>(ran.begin(), ran.end()), ElementsAre(0, 1, 0));
    const std::vector<Failure> failures = execution->failures();
    ASSERT_EQ(failures.size(), 2U);
    EXPECT_EQ(failures[0].what.text, "kernel k: returned status 7, expected 0");
    EXPECT_EQ(failures[1].what.text,
              "slot: its value is one that a failed task should have written; what follows in "
              "program order did not run");
}

TEST_P(Failures, TheFirstInProgramOrderIsThrownWithTheOthers) {
    std::vector<std::atomic<char>> ran(3000);
    Script script;
    for (size_t i = 0; i < ran.size(); i++) {
        script.push_back({i == 40 ? 1 : 0, {address(&ran[i]), i < 40 ? Passes : Raises}, {}});
    }
    const auto sites = {site_of(&mark, 2, {}, "many"), site_of(&mark, 2, {}, "first")};
    auto execution = executor.start(plan_of(scripted(sites, {}, 64)), {address(&script)});
    ASSERT_TRUE(execution->wait(time_limit));
    try {
        execution->rethrow();
        FAIL() << "nothing is thrown";
    } catch (const KernelError &error) {
        EXPECT_EQ(error.text(), "kernel first: raised (and 2959 more)");
        EXPECT_EQ(error.notes().size(), 15U);
        EXPECT_EQ(error.notes()[0].text, "kernel many: raised");
        EXPECT_EQ(error.failures().size(), most_failures);
    }
    EXPECT_EQ(execution->stats().failed, 2960);
}

/// Bindings: address of a byte an iteration, every how many iterations fail, 1: as Raises.
abi::Status mark_each(const int64_t *bindings, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        *pto_wsp_progress() = i;
        if (i % bindings[1] == 0 && bindings[2] != 0) {
            halide_error(nullptr, "raised");
        } else if (i % bindings[1] == 0) {
            return 7;
        }
        at_address<std::vector<std::atomic<char>>>(bindings[0])[static_cast<size_t>(i)]++;
    }
    return 0;
}

TEST_P(Failures, OtherIterationsOfALoopRun) {
    for (int64_t raises : {0, 1}) {
        for (int64_t every : {1, 2, 7, 1000}) {
            constexpr int64_t iterations = 3000;
            std::vector<std::atomic<char>> ran(iterations);
            StaticLoop loop{&mark_each, iterations, 2, "loop", {"user.py", 7}};
            auto execution =
                executor.start(plan_of(std::vector<Phase>{{loop}}), {address(&ran), every, raises});
            ASSERT_TRUE(execution->wait(time_limit));
            for (int64_t i = 0; i < iterations; i++) {
                ASSERT_EQ(ran[static_cast<size_t>(i)], i % every == 0 ? 0 : 1) << i;
            }
            const int64_t failed = (iterations + every - 1) / every;
            const RunStats stats = execution->stats();
            EXPECT_EQ(stats.tasks, 2 * (iterations - failed));
            EXPECT_EQ(stats.failed, failed);
            EXPECT_EQ(stats.skipped, failed);
            const std::vector<Failure> failures = execution->failures();
            if (failed < static_cast<int64_t>(most_failures)) {
                for (size_t i = 0; i < failures.size(); i++) {
                    EXPECT_EQ(failures[i].iteration, static_cast<int64_t>(i) * every);
                    EXPECT_EQ(failures[i].loop, 0);
                }
            }
        }
    }
}

abi::Status mark_all(const int64_t *bindings, int64_t begin, int64_t end) {
    const std::array<int64_t, 3> all{bindings[3], INT64_MAX, 0};
    for (int64_t i = begin; i < end; i++) {
        *pto_wsp_progress() = i;
        at_address<std::vector<std::atomic<char>>>(all[0])[static_cast<size_t>(i)]++;
    }
    return 0;
}

TEST_P(Failures, LoopsThatNeedAFailedOneDoNotRun) {
    constexpr int64_t iterations = 500;
    std::vector<std::atomic<char>> first(iterations);
    std::vector<std::atomic<char>> others(iterations);
    StaticLoop fails{&mark_each, iterations, 1, "fails", {"user.py", 7}};
    StaticLoop other{&mark_all, iterations, 1, "other", {"user.py", 8}};
    StaticLoop needs = other;
    needs.needs = {{0}};
    StaticLoop needs_that = other;
    needs_that.needs = {{3}};
    // Loops 0, 1 | 2, 3 | 4, 5: of these 0 fails, 3 needs it, and 4 needs 3.
    const std::vector<Phase> plan{{fails, other}, {other, needs}, {needs_that, other}};
    auto execution = executor.start(plan_of(plan), {address(&first), 100, 1, address(&others)});
    ASSERT_TRUE(execution->wait(time_limit));
    for (const std::atomic<char> &count : others) {
        ASSERT_EQ(count, 3);
    }
    const RunStats stats = execution->stats();
    EXPECT_EQ(stats.tasks, iterations - 5 + 3 * iterations);
    EXPECT_EQ(stats.failed, 5);
    EXPECT_EQ(stats.skipped, 2 * iterations);
}

/// What reads place i - 1 and i of what another loop writes.
NeedsLost after_itself(const std::vector<int64_t> &lost, int64_t of, int64_t mine) {
    EXPECT_EQ(of, mine);
    return [lost](int64_t iteration) {
        return std::ranges::any_of(lost,
                                   [&](int64_t i) { return i == iteration || i == iteration - 1; });
    };
}

TEST_P(Failures, OnlyIterationsThatNeedALostOneAreLost) {
    constexpr int64_t iterations = 1000;
    std::vector<std::atomic<char>> first(iterations);
    std::vector<std::atomic<char>> others(iterations);
    StaticLoop fails{&mark_each, iterations, 1, "fails", {}};
    StaticLoop second{&mark_all, iterations, 1, "second", {}};
    second.needs = {{0, &after_itself}};
    StaticLoop third = second;
    third.needs = {{1, &after_itself}};
    StaticLoop fourth = second;
    fourth.needs = {{1, &after_itself}, {0, &after_itself}, {2, &after_itself}};
    auto execution =
        executor.start(plan_of(std::vector<Phase>{{fails}, {second}, {third}, {fourth}}),
                       {address(&first), 100, 0, address(&others)});
    ASSERT_TRUE(execution->wait(time_limit));
    for (size_t i = 0; i < iterations; i++) {
        const size_t behind = i % 100;
        EXPECT_EQ(first[i], behind == 0 ? 0 : 1);
        EXPECT_EQ(others[i], (behind > 1) + (behind > 2) + (behind > 3)) << i;
    }
    const RunStats stats = execution->stats();
    EXPECT_EQ(stats.failed, 10);
    EXPECT_EQ(stats.skipped, 10 * (2 + 3 + 4));
    EXPECT_EQ(stats.tasks, 4 * iterations - 10 * (1 + 2 + 3 + 4));
}

TEST_P(Failures, MoreLostIterationsThanAreNotedLoseAll) {
    constexpr auto most = static_cast<int64_t>(StaticLoop::most_lost);
    for (const int64_t iterations : {most, most + 1}) {
        std::vector<std::atomic<char>> first(static_cast<size_t>(iterations));
        std::vector<std::atomic<char>> others(static_cast<size_t>(iterations));
        StaticLoop fails{&mark_each, iterations, 1, "fails", {}};
        StaticLoop needs{&mark_all, iterations, 1, "needs", {}};
        needs.needs = {{0, [](const std::vector<int64_t> &lost, int64_t, int64_t) {
                            EXPECT_EQ(lost.size(), StaticLoop::most_lost);
                            return [](int64_t) { return false; };
                        }}};
        auto execution = executor.start(plan_of(std::vector<Phase>{{fails}, {needs}}),
                                        {address(&first), 1, 0, address(&others)});
        ASSERT_TRUE(execution->wait(time_limit));
        EXPECT_EQ(execution->stats().tasks, iterations == most ? iterations : 0);
        EXPECT_EQ(execution->stats().skipped, iterations == most ? 0 : iterations);
    }
}

TEST_P(Failures, ARunSaysWhenItHasEnded) {
    std::vector<std::atomic<char>> ran(100);
    Script script;
    for (std::atomic<char> &byte : ran) {
        script.push_back({0, {address(&byte), Passes}, {0}});
    }
    std::atomic<int> called = 0;
    auto execution = executor.start(plan_of(scripted({site_of(&mark, 2, {updating(0)})}, {1})),
                                    {address(&script)});
    execution->when_complete([&] { called++; });
    ASSERT_TRUE(execution->wait(time_limit));
    execution->when_complete([&] { called += 10; });
    const auto until = std::chrono::steady_clock::now() + time_limit;
    while (called < 11 && std::chrono::steady_clock::now() < until) {
        std::this_thread::yield();
    }
    EXPECT_EQ(called, 11);
}

}  // namespace
}  // namespace pto::wsp::runtime
