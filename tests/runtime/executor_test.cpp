#include "pto/wsp/runtime/executor.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/graphs.h"

namespace pto::wsp::runtime {
namespace {

using namespace std::chrono_literals;
using testing::address;
using testing::at_address;
using ::testing::HasSubstr;
using testing::main_process;
using testing::plan_of;
using testing::run;
using testing::Script;
using testing::scripted;
using testing::site_of;
using testing::time_limit;
using testing::updating;

/// What a task does on request. `blocked` tasks wait until `open`.
struct Control {
    std::atomic<int> ran = 0;
    std::atomic<bool> open = false;
};

abi::Status count_run(const int64_t *slots) {
    at_address<Control>(slots[0]).ran++;
    return 0;
}

abi::Status wait_until_open(const int64_t *slots) {
    auto &control = at_address<Control>(slots[0]);
    control.ran++;
    while (!control.open) {
        std::this_thread::yield();
    }
    return 0;
}

abi::Status return_status(const int64_t *slots) {
    return static_cast<abi::Status>(slots[1]);
}

abi::Status raise_error(const int64_t *) {
    halide_error(nullptr, "Error: buffer q is too small.\n");
    return 0;
}

abi::Status exhaust_memory(const int64_t *) {
    halide_malloc(nullptr, SIZE_MAX);
    return 0;
}

std::vector<TaskSite> all_sites() {
    return {site_of(&count_run, 1, {updating(0)}, "count"),
            site_of(&wait_until_open, 1, {updating(0)}, "wait"),
            site_of(&return_status, 2, {updating(0)}, "bad"),
            site_of(&raise_error, 1, {updating(0)}, "raise"),
            site_of(&exhaust_memory, 1, {updating(0)}, "exhaust")};
}

std::string error_of(const Execution &execution) {
    try {
        execution.rethrow();
    } catch (const KernelError &error) {
        return error.what();
    }
    return "";
}

template <typename Error, typename Function> std::string text_of(Function &&function) {
    try {
        function();
    } catch (const Error &error) {
        return error.text();
    }
    return "";
}

class Errors : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};

    std::shared_ptr<Execution> start(const Script &script, int64_t cells, int window = 8192) {
        return executor.start(plan_of(scripted(all_sites(), {cells}, window)), {address(&script)});
    }
};

INSTANTIATE_TEST_SUITE_P(Workers, Errors, ::testing::Values(1, 2, 4, 8));

TEST_P(Errors, AStatusNamesTheKernelAndItsLine) {
    Control control;
    Script script{{2, {address(&control), 7}, {0}}};
    auto execution = start(script, 1);
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_EQ(error_of(*execution), "user.py:7: error: kernel bad: returned status 7, expected 0");
}

TEST_P(Errors, ATextOfGeneratedCodeIsDelivered) {
    Control control;
    Script script{{3, {address(&control)}, {0}}};
    auto execution = start(script, 1);
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_EQ(error_of(*execution), "user.py:7: error: kernel raise: Error: buffer q is too small");
}

TEST_P(Errors, ExhaustedMemoryFailsTheTask) {
    Control control;
    Script script{{4, {address(&control)}, {0}}};
    auto execution = start(script, 1);
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_EQ(error_of(*execution),
              "user.py:7: error: kernel exhaust: out of memory: 18446744073709551615 bytes of "
              "scratch asked for");
}

TEST_P(Errors, LaterTasksDoNotRun) {
    for (int window : {1, 3, 8192}) {
        Control control;
        Script script(1000, {0, {address(&control)}, {0}});
        script[100] = {2, {address(&control), 1}, {0}};
        auto execution = start(script, 1, window);
        ASSERT_TRUE(execution->wait(time_limit));
        EXPECT_EQ(control.ran, 100);
        EXPECT_EQ(execution->stats().tasks, 100);
        EXPECT_THROW(execution->rethrow(), KernelError);
        EXPECT_THROW(execution->rethrow(), KernelError) << "a second call throws as well";
    }
}

TEST_P(Errors, FurtherFailuresAreCounted) {
    std::atomic<int> arrived = 0;
    auto meet_and_fail = [](const int64_t *slots) -> abi::Status {
        auto &count = at_address<std::atomic<int>>(slots[0]);
        count++;
        while (count < slots[1]) {
            std::this_thread::yield();
        }
        return 3;
    };
    Script script(static_cast<size_t>(GetParam()), {0, {address(&arrived), GetParam()}, {}});
    auto execution =
        executor.start(plan_of(scripted({site_of(meet_and_fail, 2, {})}, {})), {address(&script)});
    ASSERT_TRUE(execution->wait(time_limit));
    const std::string text = "kernel k: returned status 3, expected 0";
    std::string all = "user.py:7: error: " + text;
    all += GetParam() == 1 ? "" : " (and " + std::to_string(GetParam() - 1) + " more)";
    for (int i = 1; i < GetParam(); i++) {
        all += "\nuser.py:7: note: " + text;
    }
    EXPECT_EQ(error_of(*execution), all);
}

abi::Status fail_at(const int64_t *bindings, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        *pto_wsp_progress() = i;
        if (i == bindings[1]) {
            return 9;
        }
        at_address<Control>(bindings[0]).ran++;
    }
    return 0;
}

TEST_P(Errors, AFailedIterationEndsTheLoopsThatNeedIts) {
    Control control;
    StaticLoop loop{&fail_at, 100000, 1, "loop", {"user.py", 7}};
    StaticLoop after = loop;
    after.needs = {{0}};
    auto execution = executor.start(plan_of(std::vector<Phase>{{loop}, {after}, {after}}),
                                    {address(&control), 0});
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_EQ(error_of(*execution), "user.py:7: error: kernel loop: returned status 9, expected 0");
    EXPECT_EQ(control.ran, 99999);
}

TEST_P(Errors, AFailedRunLeavesTheExecutorUsable) {
    Control control;
    Script bad{{3, {address(&control)}, {0}}};
    Script good(100, {0, {address(&control)}, {0}});
    for (int i = 0; i < 50; i++) {
        auto failed = start(bad, 1);
        auto passed = start(good, 1);
        ASSERT_TRUE(failed->wait(time_limit));
        ASSERT_TRUE(passed->wait(time_limit));
        EXPECT_THROW(failed->rethrow(), KernelError);
        EXPECT_NO_THROW(passed->rethrow());
    }
    EXPECT_EQ(control.ran, 5000);
}

abi::Status expander_fails(int64_t *, void *, const int64_t *, int32_t) {
    return 5;
}

abi::Status expander_overruns(int64_t *, void *graph, const int64_t *bindings, int32_t budget) {
    for (int32_t i = 0; i <= budget; i++) {
        int64_t cell = 0;
        pto_wsp_submit(graph, 0, bindings, &cell, -1);
    }
    return 0;
}

TEST_P(Errors, AFailingExpanderEndsTheRun) {
    Control control;
    DynamicGraph graph = scripted(all_sites(), {1}, 4);
    graph.processes = {main_process(&expander_fails)};
    auto execution = executor.start(plan_of(graph), {address(&control)});
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THAT(error_of(*execution), HasSubstr("task graph: returned status 5, expected 0"));

    graph.processes = {main_process(&expander_overruns)};
    execution = executor.start(plan_of(graph), {address(&control)});
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THAT(error_of(*execution), HasSubstr("submits more tasks than its budget"));
}

TEST_P(Errors, ACellOutsideItsGridIsFound) {
    Control control;
    for (int64_t cell : {-1, 9, 10}) {
        Script script{{0, {address(&control)}, {cell}}};
        auto site = site_of(&count_run, 1, {updating(0, {{2, 1}})}, "edge");
        auto execution = executor.start(plan_of(scripted({site}, {10})), {address(&script)});
        ASSERT_TRUE(execution->wait(time_limit));
        EXPECT_THAT(error_of(*execution), HasSubstr("access 0 of kernel edge begins at cell " +
                                                    std::to_string(cell) + ", expected 0...8"));
    }
    Script script{{7, {}, {}}};
    auto execution = start(script, 1);
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THAT(error_of(*execution), HasSubstr("the expander submits to site 7 of 5"));
}

TEST_P(Errors, NoMemoryForTheCells) {
    Script script;
    auto execution = start(script, int64_t(1) << 50);
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THAT(error_of(*execution), HasSubstr("out of memory: 1125899906842624 cells"));
}

TEST_P(Errors, CancelledTasksDoNotRun) {
    Control control;
    Script script(1000, {0, {address(&control)}, {0}});
    script[0] = {1, {address(&control)}, {0}};
    auto execution = start(script, 1, 16);
    while (control.ran == 0) {
        std::this_thread::yield();
    }
    EXPECT_FALSE(execution->is_complete());
    EXPECT_FALSE(execution->wait(1ms));
    execution->cancel();
    control.open = true;
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_TRUE(execution->is_complete());
    EXPECT_EQ(control.ran, 1);
    EXPECT_EQ(execution->stats().tasks, 1);
    EXPECT_TRUE(execution->stats().cancelled);
    EXPECT_EQ(text_of<CancelledError>([&] { execution->rethrow(); }),
              "the run was cancelled: 1 of its tasks have run");
}

TEST_P(Errors, SeveralRunsAtOnce) {
    constexpr int runs = 40;
    Control control;
    std::vector<Script> scripts;
    for (int i = 0; i < runs; i++) {
        scripts.emplace_back(500, testing::Submission{0, {address(&control)}, {i % 3}});
    }
    StaticLoop loop{&fail_at, 1000, 1, "loop", {}};
    std::vector<std::shared_ptr<Execution>> executions;
    for (const Script &script : scripts) {
        executions.push_back(start(script, 3, 1 + static_cast<int>(executions.size()) % 20));
        executions.push_back(
            executor.start(plan_of(std::vector<Phase>{{loop}, {loop}}), {address(&control), -1}));
    }
    for (const auto &execution : executions) {
        ASSERT_TRUE(execution->wait(time_limit));
        EXPECT_NO_THROW(execution->rethrow());
    }
    EXPECT_EQ(control.ran, runs * (500 + 2000));
}

TEST_P(Errors, RunsAreStartedFromManyThreads) {
    Control control;
    Script script(50, {0, {address(&control)}, {0}});
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; i++) {
        threads.emplace_back([&] {
            for (int j = 0; j < 40; j++) {
                auto execution = start(script, 1, 5);
                EXPECT_TRUE(execution->wait(time_limit));
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(control.ran, 6 * 40 * 50);
}

TEST_P(Errors, WorkThatArrivesAfterASleepIsDone) {
    Control control;
    Script script(3, {0, {address(&control)}, {0}});
    for (int i = 0; i < 30; i++) {
        std::this_thread::sleep_for(std::chrono::microseconds(100 * i));
        ASSERT_TRUE(start(script, 1)->wait(time_limit));
    }
    EXPECT_EQ(control.ran, 90);
}

TEST(Executor, StartsAndEndsAThousandTimes) {
    for (int i = 0; i < 1000; i++) {
        Executor executor(1 + i % 4);
        if (i % 2 == 0) {
            Control control;
            Script script(10, {0, {address(&control)}, {0}});
            run(executor, plan_of(scripted(all_sites(), {1})), {address(&script)});
            ASSERT_EQ(control.ran, 10);
        }
    }
}

TEST(Executor, EndsOnlyWhenWhatWasStartedHasEnded) {
    for (int i = 0; i < 100; i++) {
        Control control;
        Script script(200, {0, {address(&control)}, {0}});
        std::shared_ptr<Execution> execution;
        {
            Executor executor(1 + i % 4);
            execution = executor.start(plan_of(scripted(all_sites(), {1}, 4)), {address(&script)});
        }
        EXPECT_TRUE(execution->is_complete());
        EXPECT_EQ(execution->stats().tasks, 200);
    }
}

TEST(Executor, KeepsThePlanUntilTheEndOfTheRun) {
    Control control;
    Script script{{1, {address(&control)}, {0}}};
    auto plan = plan_of(scripted(all_sites(), {1}));
    std::weak_ptr<const Plan> watch = plan;
    {
        Executor executor(1);
        auto execution = executor.start(std::move(plan), {address(&script)});
        execution.reset();
        EXPECT_FALSE(watch.expired());
        control.open = true;
    }
    EXPECT_TRUE(watch.expired());
}

TEST(Executor, CancelsAllRuns) {
    Executor executor(2);
    EXPECT_TRUE(executor.cancel_all(0ns));
    Control control;
    Script script(100, {0, {address(&control)}, {0}});
    script[0] = {1, {address(&control)}, {0}};
    auto first = executor.start(plan_of(scripted(all_sites(), {1})), {address(&script)});
    auto second = executor.start(plan_of(scripted(all_sites(), {1})), {address(&script)});
    while (control.ran < 2) {
        std::this_thread::yield();
    }
    EXPECT_FALSE(executor.cancel_all(1ms));
    control.open = true;
    EXPECT_TRUE(executor.cancel_all(time_limit));
    EXPECT_TRUE(first->is_complete());
    EXPECT_TRUE(second->is_complete());
    EXPECT_EQ(control.ran, 2);
}

TEST(Executor, LongTimeoutsDoNotOverflow) {
    Executor executor(1);
    auto execution = executor.start(plan_of(std::vector<Phase>{}), {});
    EXPECT_TRUE(execution->wait(std::chrono::nanoseconds::max()));
    EXPECT_TRUE(execution->wait(0ns));
    EXPECT_TRUE(execution->wait(-1ns));
}

TEST(Executor, RefusesAWrongNumberOfWorkers) {
    for (int workers : {-1, 1025}) {
        EXPECT_EQ(text_of<ExecutionError>([&] { Executor executor(workers); }),
                  "executor: expected 1...1024 workers, found " + std::to_string(workers));
    }
}

TEST(Executor, RefusesInconsistentGraphs) {
    Executor executor(1);
    auto refused = [&](const DynamicGraph &graph) {
        return text_of<InternalError>([&] { executor.start(plan_of(graph), {}); });
    };
    EXPECT_THAT(refused({}), HasSubstr("the graph has no processes"));
    DynamicGraph graph = scripted({}, {});
    graph.processes[0].frame_words = 0;
    EXPECT_THAT(refused(graph),
                HasSubstr("the frame of process main has 0 words, expected at least 1"));
    graph.processes[0].expand = nullptr;
    EXPECT_THAT(refused(graph), HasSubstr("process main has no expander"));
    EXPECT_THAT(refused(scripted({}, {}, 0)), HasSubstr("the window holds 0 tasks, expected 1..."));
    EXPECT_THAT(refused(scripted({site_of(nullptr, 0, {updating(2)}, "far")}, {1, 1})),
                HasSubstr("an access of kernel far is in grid 2 of 2"));
}

TEST(Executor, TheSharedOneStaysTheSame) {
    EXPECT_EQ(&Executor::shared(), &Executor::shared());
    EXPECT_GE(Executor::shared().workers(), 1);
    run(Executor::shared(), plan_of(std::vector<Phase>{}));
}

TEST(ExecutorDeathTest, AProcessEndsCleanlyWhileTasksRun) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_EXIT(
        {
            static Control control;
            static Script script(100000, {0, {address(&control)}, {0}});
            auto execution =
                Executor::shared().start(plan_of(scripted(all_sites(), {1})), {address(&script)});
            std::exit(0);
        },
        ::testing::ExitedWithCode(0), "^$");
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif
#else
constexpr bool is_sanitized = false;
#endif

TEST(Executor, AChildProcessGetsASharedOneOfItsOwn) {
    if (is_sanitized) {
        GTEST_SKIP()
            << "the sanitizer's own locks, unlike those of malloc, stay as they were at the "
               "fork: threads of the child wait for ever for one that a thread of the "
               "parent held";
    }
    Executor &parent = Executor::shared();
    Executor own(2);
    run(parent, plan_of(std::vector<Phase>{}));
    pid_t child = fork();
    if (child == 0) {
        Executor &mine = Executor::shared();
        std::string refused =
            text_of<ExecutionError>([&] { own.start(plan_of(std::vector<Phase>{}), {}); });
        bool good = &mine != &parent && refused == "executor: its threads are in the parent of "
                                                   "this process";
        run(mine, plan_of(std::vector<Phase>{}));
        _exit(good && !::testing::Test::HasFailure() ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace pto::wsp::runtime
