#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "runtime/graphs.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::at_address;
using testing::plan_of;
using testing::run;
using testing::time_limit;

class StaticRun : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Workers, StaticRun, ::testing::Values(1, 2, 4, 8));

StaticLoop loop_of(abi::LoopFn function, int64_t iterations, int64_t tasks_per_iteration = 1) {
    return {function, iterations, tasks_per_iteration, "k", {"user.py", 7}};
}

/// Binding `Place`: address of one counter an iteration.
template <int Place> abi::Status count_visits(const int64_t *bindings, int64_t begin, int64_t end) {
    auto &visits = at_address<std::vector<std::atomic<int>>>(bindings[Place]);
    for (int64_t i = begin; i < end; i++) {
        visits[static_cast<size_t>(i)]++;
    }
    return 0;
}

TEST_P(StaticRun, RunsEachIterationOnce) {
    for (int64_t iterations : {0, 1, 2, 3, 7, 100, 100000}) {
        std::vector<std::atomic<int>> visits(static_cast<size_t>(iterations));
        RunStats stats =
            run(executor, plan_of(std::vector<Phase>{{loop_of(&count_visits<0>, iterations, 3)}}),
                {address(&visits)});
        for (const std::atomic<int> &count : visits) {
            ASSERT_EQ(count, 1);
        }
        EXPECT_EQ(stats.tasks, 3 * iterations);
        EXPECT_LE(stats.parallel_tasks, stats.tasks);
        EXPECT_GE(stats.execute_ms, 0);
        if (GetParam() == 1) {
            EXPECT_EQ(stats.parallel_tasks, 0);
            EXPECT_EQ(stats.steals, 0);
        }
    }
}

TEST_P(StaticRun, EmptyPlansEnd) {
    run(executor, plan_of(std::vector<Phase>{}));
    run(executor, plan_of(std::vector<Phase>{{}, {}}));
    run(executor, plan_of(std::vector<Phase>{{loop_of(&count_visits<0>, -1)}}));
}

TEST_P(StaticRun, RunsTheLoopsOfAPhaseTogether) {
    rc::check([this] {
        auto sizes = *rc::gen::container<std::vector<int>>(3, rc::gen::inRange(0, 40));
        std::vector<std::vector<std::atomic<int>>> visits;
        for (int size : sizes) {
            visits.emplace_back(static_cast<size_t>(size));
        }
        run(executor,
            plan_of(std::vector<Phase>{{loop_of(&count_visits<0>, sizes[0]),
                                        loop_of(&count_visits<1>, sizes[1]),
                                        loop_of(&count_visits<2>, sizes[2])}}),
            {address(&visits[0]), address(&visits[1]), address(&visits[2])});
        for (const auto &loop : visits) {
            for (const std::atomic<int> &count : loop) {
                RC_ASSERT(count == 1);
            }
        }
    });
}

/// Bindings: address of the number of the phase, of the number of iterations in each.
struct Barrier {
    std::vector<int> values;
    std::atomic<bool> broken = false;
};

/// Each iteration reads what all iterations of the phase before it wrote.
abi::Status raise_after_all(const int64_t *bindings, int64_t begin, int64_t end) {
    auto &barrier = at_address<Barrier>(bindings[0]);
    auto &next = at_address<Barrier>(bindings[1]);
    for (int64_t i = begin; i < end; i++) {
        for (int value : barrier.values) {
            if (value != barrier.values[0]) {
                barrier.broken = true;
            }
        }
        next.values[static_cast<size_t>(i)] = barrier.values[0] + 1;
    }
    return 0;
}

abi::Status lower_after_all(const int64_t *bindings, int64_t begin, int64_t end) {
    std::array<int64_t, 2> swapped{bindings[1], bindings[0]};
    return raise_after_all(swapped.data(), begin, end);
}

TEST_P(StaticRun, APhaseBeginsAfterTheOneBefore) {
    constexpr int width = 17;
    constexpr int phases = 200;
    Barrier even{std::vector<int>(width), false};
    Barrier odd{std::vector<int>(width), false};
    std::vector<Phase> plan;
    for (int i = 0; i < phases; i++) {
        plan.push_back({loop_of(i % 2 == 0 ? &raise_after_all : &lower_after_all, width)});
        plan.push_back({loop_of(&raise_after_all, 0)});
    }
    RunStats stats = run(executor, plan_of(plan), {address(&even), address(&odd)});
    EXPECT_FALSE(even.broken);
    EXPECT_FALSE(odd.broken);
    EXPECT_EQ(even.values, std::vector<int>(width, phases));
    EXPECT_EQ(stats.tasks, width * phases);
}

abi::Status count_range(const int64_t *bindings, int64_t begin, int64_t end) {
    at_address<std::atomic<int64_t>>(bindings[0]) += end - begin;
    return 0;
}

TEST_P(StaticRun, HugeLoops) {
    constexpr int64_t iterations = int64_t(1) << 60;
    std::atomic<int64_t> total = 0;
    RunStats stats = run(executor, plan_of(std::vector<Phase>{{loop_of(&count_range, iterations)}}),
                         {address(&total)});
    EXPECT_EQ(total, iterations);
    EXPECT_EQ(stats.tasks, iterations);
}

abi::Status sleep_each(const int64_t *bindings, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        at_address<std::atomic<int64_t>>(bindings[0])++;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return 0;
}

TEST_P(StaticRun, ALongLoopIsCancelledSoon) {
    constexpr int64_t iterations = 10000000;
    std::atomic<int64_t> ran = 0;
    auto execution = executor.start(plan_of(std::vector<Phase>{{loop_of(&sleep_each, iterations)}}),
                                    {address(&ran)});
    while (ran < 100) {
        std::this_thread::yield();
    }
    execution->cancel();
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_LT(ran, 10000);
}

abi::Status meet(const int64_t *bindings, int64_t, int64_t) {
    auto &arrived = at_address<std::atomic<int>>(bindings[0]);
    arrived++;
    auto until = std::chrono::steady_clock::now() + time_limit;
    while (arrived < bindings[1]) {
        if (std::chrono::steady_clock::now() > until) {
            return 1;
        }
        std::this_thread::yield();
    }
    return 0;
}

TEST_P(StaticRun, AllWorkersTakePart) {
    for (int round = 0; round < 50; round++) {
        std::atomic<int> arrived = 0;
        RunStats stats = run(executor, plan_of(std::vector<Phase>{{loop_of(&meet, GetParam())}}),
                             {address(&arrived), GetParam()});
        EXPECT_EQ(stats.parallel_tasks, GetParam() == 1 ? 0 : GetParam());
    }
}

}  // namespace
}  // namespace pto::wsp::runtime
