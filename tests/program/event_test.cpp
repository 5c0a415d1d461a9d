#include "pto/wsp/program/event.h"

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "program/samples.h"

namespace pto::wsp::test {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::minutes limit(1);

TEST(Event, a_latched_one_stays_recorded) {
    const Event event("done");
    EXPECT_FALSE(event.query());
    EXPECT_FALSE(event.synchronize(1ms));
    EXPECT_TRUE(event.record());
    EXPECT_TRUE(event.query());
    for (int i = 0; i < 3; ++i) {
        EXPECT_TRUE(event.synchronize(0ms));
    }
    EXPECT_EQ(event.name(), "done");
    EXPECT_EQ(event.depth(), 1);
}

TEST(Event, a_latched_one_wakes_all_who_wait) {
    const Event event;
    std::atomic<int> awake = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] { awake += event.synchronize(limit) ? 1 : 0; });
    }
    event.record();
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(awake, 4);
}

/// Each side counts what it has met; the two never differ by more than those on their way.
TEST(Event, a_rendezvous_meets_as_often_on_both_sides) {
    for (int pairs : {1, 3}) {
        const Event event("pair", 0);
        constexpr int meetings = 500;
        std::atomic<int> records = 0;
        std::atomic<int> synchronizes = 0;
        std::vector<std::thread> threads;
        for (int p = 0; p < pairs; ++p) {
            threads.emplace_back([&] {
                for (int i = 0; i < meetings; ++i) {
                    // Short timeouts on one side make many withdrawals.
                    while (!event.record(50us)) {
                    }
                    records++;
                }
            });
            threads.emplace_back([&] {
                for (int i = 0; i < meetings; ++i) {
                    synchronizes += event.synchronize(limit) ? 1 : 0;
                }
            });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        EXPECT_EQ(records, pairs * meetings);
        EXPECT_EQ(synchronizes, pairs * meetings);
        EXPECT_FALSE(event.query());
        EXPECT_FALSE(event.synchronize(1ms));
    }
}

TEST(Event, who_gave_up_is_not_met) {
    const Event event("late", 0);
    EXPECT_FALSE(event.record(1ms));
    EXPECT_FALSE(event.query());
    EXPECT_FALSE(event.synchronize(1ms));
}

TEST(Event, is_recorded_behind_a_run) {
    const Tensor X("X", {2, 4}), Y("Y", {2, 4});
    const Kernel copy = increment();
    Program program = Workload("long", [&] {
                          // Long enough for the lines below, on a busy machine too.
                          for ([[maybe_unused]] auto i : P.seq(30'000'000)) {
                              copy({X, Y});
                          }
                      }).compile();
    const Event event;
    event.record_after(program);
    EXPECT_TRUE(event.query()) << "it does not run";
    program.execute();
    event.record_after(program);
    EXPECT_TRUE(event.is_pending());
    EXPECT_FALSE(event.query());
    EXPECT_TRUE(event.synchronize(limit));
    EXPECT_TRUE(program.is_complete());
    EXPECT_FALSE(event.is_pending());

    const Event meeting("meeting", 0);
    program.execute();
    meeting.record_after(program);
    EXPECT_TRUE(meeting.synchronize(limit));
    EXPECT_FALSE(meeting.query());

    program.execute();
    event.record_after(program);
    program.cancel();
    EXPECT_TRUE(event.synchronize(limit)) << "however it ended";
    EXPECT_EQ(error_of<CancelledError>([&] { program.synchronize(); }).substr(0, 21),
              "the run was cancelled");
}

TEST(Event, is_met_in_the_body_of_a_workload) {
    const Tensor X("X", {2, 4}), Y("Y", {2, 4});
    const Kernel copy = increment();
    const Event go("go"), copied("copied"), over("over", 0);
    Program program = Workload("waits", [&] {
                          record(copied, [&] { copy({X, Y}); });
                          synchronize(go);
                          copy({Y, X});
                          record(over);
                      }).compile();
    const auto first = [](const Tensor &tensor) {
        float value = 0;
        std::memcpy(&value, tensor.view().data, sizeof(value));
        return value;
    };
    for (int i = 0; i < 3; ++i) {
        const float before = first(X);
        program.execute();
        EXPECT_TRUE(copied.synchronize(limit));
        EXPECT_EQ(first(Y), before + 1);
        if (i == 0) {
            EXPECT_FALSE(program.synchronize(5ms));
            EXPECT_EQ(first(X), before);
            EXPECT_TRUE(go.record());
        }
        EXPECT_TRUE(over.synchronize(limit));
        EXPECT_EQ(first(X), before + 2);
        EXPECT_TRUE(program.synchronize(limit));
    }
}

TEST(Event, that_nobody_holds_is_a_deadlock) {
    const auto waits = [](const Event::Timeout &timeout) {
        const Event inside("inside");
        return Workload("waits", [&] { synchronize(inside, timeout); }).compile();
    };
    Program program = waits(std::nullopt);
    program.execute();
    EXPECT_EQ(error_of<ChannelError>([&] { program.synchronize(limit); }),
              "deadlock: the workload waits for event 'inside', which nobody can record any more");
    program = waits(2ms);
    program.execute();
    EXPECT_EQ(error_of<EventTimeoutError>([&] { program.synchronize(limit); }),
              "synchronize: event 'inside' was not recorded within 0.002 s");
    EXPECT_EQ(error_of<CompileError>([] { record(Event("out")); }).substr(0, 6), "record");
}

TEST(Event, refuses_other_depths) {
    EXPECT_EQ(
        error_of<ChannelError>([] {
            Event("deep", 2, {"user.cpp", 3});
        }),
        "event: the depth is 2 | 1: it stays recorded; 0: record and synchronize wait for each "
        "other");
}

}  // namespace
}  // namespace pto::wsp::test
