#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pto/wsp/runtime/arena.h"
#include "pto/wsp/runtime/tracer.h"
#include "runtime/graphs.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::at_address;
using testing::plan_of;
using testing::time_limit;

class Wavefronts : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Workers, Wavefronts, ::testing::Values(1, 2, 4, 8, 16));

/// What tasks of a wavefront do: each adds its two neighbours, but for those that fail.
struct Square {
    int64_t planes = 1;
    int64_t rows = 1;
    int64_t columns = 1;
    std::vector<uint64_t> values;  ///< 0: has not run
    std::vector<char> fails;

    Square(int64_t planes, int64_t rows, int64_t columns)
        : planes(planes), rows(rows), columns(columns), values(size()), fails(size()) {}

    size_t size() const { return static_cast<size_t>(planes * rows * columns); }

    /// Not 0, and another one for another order or another plane.
    uint64_t value(int64_t at) const {
        const int64_t column = at % columns;
        const int64_t row = at / columns % rows;
        const uint64_t up = row > 0 ? values[static_cast<size_t>(at - columns)] : 1;
        const uint64_t left = column > 0 ? values[static_cast<size_t>(at - 1)] : 2;
        return (3 * up + 5 * left + static_cast<uint64_t>(at)) | 1;
    }

    StaticLoop loop(int64_t tasks_per_iteration = 1) const {
        StaticLoop made{
            &Square::run, planes * rows * columns, tasks_per_iteration, "wave", {"user.py", 7}};
        made.wavefront = {rows, columns};
        return made;
    }

    static abi::Status run(const int64_t *bindings, int64_t begin, int64_t end) {
        auto &square = at_address<Square>(bindings[0]);
        for (int64_t at = begin; at < end; at++) {
            *pto_wsp_progress() = at;
            if (square.fails[static_cast<size_t>(at)] != 0) {
                return 7;
            }
            square.values[static_cast<size_t>(at)] = square.value(at);
        }
        return 0;
    }

    /// The same in order; returns the number of tasks that run.
    int64_t expect(std::vector<uint64_t> &expected) const {
        Square other = *this;
        std::vector<char> lost(size());
        int64_t runs = 0;
        for (size_t i = 0; i < size(); i++) {
            const auto at = static_cast<int64_t>(i);
            const bool up = at / columns % rows > 0 && lost[i - static_cast<size_t>(columns)] != 0;
            const bool left = at % columns > 0 && lost[i - 1] != 0;
            lost[i] = up || left || fails[i] != 0;
            other.values[i] = lost[i] != 0 ? 0 : other.value(at);
            runs += lost[i] != 0 ? 0 : 1;
        }
        expected = other.values;
        return runs;
    }
};

TEST_P(Wavefronts, RunInTheOrderOfTheirDependences) {
    rc::check([this] {
        Square square(*rc::gen::inRange(1, 5), *rc::gen::inRange(1, 90), *rc::gen::inRange(1, 90));
        std::vector<uint64_t> expected;
        square.expect(expected);
        RunStats stats = testing::run(executor, plan_of(std::vector<Phase>{{square.loop(2)}}),
                                      {address(&square)});
        RC_ASSERT(square.values == expected);
        RC_ASSERT(stats.tasks == 2 * static_cast<int64_t>(square.size()));
        RC_ASSERT(stats.skipped == 0);
    });
}

TEST_P(Wavefronts, AFailingTaskTakesAlongWhatNeedsItAndNothingElse) {
    rc::check([this] {
        Square square(*rc::gen::inRange(1, 4), *rc::gen::inRange(1, 40), *rc::gen::inRange(1, 40));
        std::minstd_rand random(static_cast<unsigned>(*rc::gen::inRange(0, 1 << 20)));
        for (int i = *rc::gen::inRange(0, 6); i > 0; i--) {
            square.fails[random() % square.size()] = 1;
        }
        std::vector<uint64_t> expected;
        const int64_t runs = square.expect(expected);
        auto execution =
            executor.start(plan_of(std::vector<Phase>{{square.loop()}}), {address(&square)});
        RC_ASSERT(execution->wait(time_limit));
        RC_ASSERT(square.values == expected);
        const RunStats stats = execution->stats();
        RC_ASSERT(stats.tasks == runs);
        RC_ASSERT(stats.tasks + stats.failed + stats.skipped ==
                  static_cast<int64_t>(square.size()));
        for (const Failure &failure : execution->failures()) {
            RC_ASSERT(failure.loop == 0);
            RC_ASSERT(square.fails[static_cast<size_t>(failure.iteration)] == 1);
        }
    });
}

/// Bindings: address of the square, of as many sums.
abi::Status sum_up(const int64_t *bindings, int64_t begin, int64_t end) {
    const auto &square = at_address<Square>(bindings[0]);
    auto &sums = at_address<std::vector<uint64_t>>(bindings[1]);
    for (int64_t i = begin; i < end; i++) {
        sums[static_cast<size_t>(i)] += square.values[static_cast<size_t>(i)];
    }
    return 0;
}

/// As `sum_up`, of nothing in common with the wavefront.
abi::Status count_up(const int64_t *bindings, int64_t begin, int64_t end) {
    auto &sums = at_address<std::vector<uint64_t>>(bindings[1]);
    for (int64_t i = begin; i < end; i++) {
        sums[static_cast<size_t>(i)]++;
    }
    return 0;
}

TEST_P(Wavefronts, ShareAPhaseAndStandBetweenPhases) {
    for (int round = 0; round < 50; round++) {
        Square square(2, 33, 21);
        std::vector<uint64_t> expected;
        square.expect(expected);
        const auto size = static_cast<int64_t>(square.size());
        std::vector<uint64_t> sums(square.size());
        const StaticLoop count{&count_up, size, 1, "count", {}};
        const StaticLoop sum{&sum_up, size, 1, "sum", {}};
        testing::run(
            executor,
            plan_of(std::vector<Phase>{{count}, {square.loop(), count}, {sum}, {square.loop()}}),
            {address(&square), address(&sums)});
        for (size_t i = 0; i < sums.size(); i++) {
            ASSERT_EQ(sums[i], expected[i] + 2);
        }
    }
}

TEST_P(Wavefronts, LoopsThatNeedAFailedOneDoNotRun) {
    Square square(1, 20, 20);
    square.fails[399] = 1;
    std::vector<uint64_t> sums(400);
    StaticLoop sum{&sum_up, 400, 1, "sum", {}};
    sum.needs = {{0}};
    StaticLoop again = square.loop();
    again.needs = {{1}};
    auto execution = executor.start(plan_of(std::vector<Phase>{{square.loop()}, {sum}, {again}}),
                                    {address(&square), address(&sums)});
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_EQ(sums, std::vector<uint64_t>(400));
    const RunStats stats = execution->stats();
    EXPECT_EQ(stats.tasks, 399);
    EXPECT_EQ(stats.failed, 1);
    EXPECT_EQ(stats.skipped, 800);
}

/// Iteration i of a loop needs iteration i of another one.
NeedsLost the_same(const std::vector<int64_t> &lost, int64_t of, int64_t mine) {
    EXPECT_EQ(of, mine);
    return [lost](int64_t iteration) { return std::ranges::find(lost, iteration) != lost.end(); };
}

TEST_P(Wavefronts, LoseWhatNeedsLostIterationsAndWhatNeedsThose) {
    constexpr int64_t side = 40;
    Square square(1, side, side);
    square.fails[5 * side + 30] = 1;
    square.fails[20 * side + 7] = 1;
    std::vector<uint64_t> sums(side * side);
    StaticLoop sum{&sum_up, side * side, 1, "sum", {}};
    sum.needs = {{0, &the_same}};
    StaticLoop last = square.loop();
    last.needs = {{1, &the_same}};
    auto execution = executor.start(plan_of(std::vector<Phase>{{square.loop()}, {sum}, {last}}),
                                    {address(&square), address(&sums)});
    ASSERT_TRUE(execution->wait(time_limit));
    int64_t lost = 0;
    for (int64_t row = 0; row < side; row++) {
        for (int64_t column = 0; column < side; column++) {
            const bool is_lost = (row >= 5 && column >= 30) || (row >= 20 && column >= 7);
            lost += is_lost ? 1 : 0;
            EXPECT_EQ(sums[static_cast<size_t>(row * side + column)] == 0, is_lost)
                << row << ", " << column;
        }
    }
    const RunStats stats = execution->stats();
    EXPECT_EQ(stats.failed, 2);
    EXPECT_EQ(stats.tasks, 3 * (side * side - lost));
    EXPECT_EQ(stats.skipped, 3 * lost - 2);
}

struct Gate {
    std::atomic<int64_t> begun = 0;
    std::atomic<bool> open = false;

    static abi::Status pass(const int64_t *bindings, int64_t begin, int64_t end) {
        auto &gate = at_address<Gate>(bindings[0]);
        for (int64_t i = begin; i < end; i++) {
            gate.begun++;
            while (!gate.open) {
                std::this_thread::yield();
            }
        }
        return 0;
    }
};

TEST_P(Wavefronts, AreCancelledBetweenTasks) {
    Gate gate;
    StaticLoop loop{&Gate::pass, 1'000'000, 1, "slow", {}};
    loop.wavefront = {1000, 1000};
    auto execution = executor.start(plan_of(std::vector<Phase>{{loop}}), {address(&gate)});
    while (gate.begun == 0) {
        std::this_thread::yield();
    }
    execution->cancel();
    gate.open = true;
    ASSERT_TRUE(execution->wait(time_limit));
    const RunStats stats = execution->stats();
    EXPECT_TRUE(stats.cancelled);
    EXPECT_EQ(stats.tasks, gate.begun);
    EXPECT_EQ(stats.tasks + stats.skipped, 1'000'000);
    // A worker that does not know how long tasks take has a few of them before it looks again.
    EXPECT_LE(stats.tasks, 8);
}

TEST_P(Wavefronts, AreSeenTaskByTask) {
    Square square(2, 9, 11);
    auto plan = plan_of(std::vector<Phase>{{square.loop()}});
    auto tracer = std::make_shared<Tracer>(TraceLevel::Timing, plan, GetParam());
    ASSERT_TRUE(executor.start(plan, {address(&square)}, tracer)->wait(time_limit));
    EXPECT_EQ(tracer->trace().tasks.size(), square.size());
}

TEST_P(Wavefronts, UseAllWorkersWhereTheyCan) {
    // All meet: it takes as many workers at a time as there are planes.
    struct Meeting {
        std::atomic<int> waiting = 0;
        int all = 0;
        static abi::Status meet(const int64_t *bindings, int64_t begin, int64_t end) {
            auto &meeting = at_address<Meeting>(bindings[0]);
            for (int64_t i = begin; i < end; i++) {
                meeting.waiting++;
                const auto until = std::chrono::steady_clock::now() + time_limit;
                while (meeting.waiting < meeting.all && std::chrono::steady_clock::now() < until) {
                    std::this_thread::yield();
                }
                if (meeting.waiting < meeting.all) {
                    return 1;
                }
            }
            return 0;
        }
    } meeting;
    meeting.all = GetParam();
    StaticLoop loop{&Meeting::meet, GetParam(), 1, "meet", {}};
    loop.wavefront = {1, 1};
    testing::run(executor, plan_of(std::vector<Phase>{{loop}}), {address(&meeting)});
    EXPECT_EQ(meeting.waiting, GetParam());
}

}  // namespace
}  // namespace pto::wsp::runtime
