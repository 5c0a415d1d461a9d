#include "program/samples.h"

namespace pto::wsp::test {
namespace {

// T[i + 1, j + 1] from its neighbours above and to the left.
TEST(Order, of_a_wavefront) {
    const Tensor T("T", {13, 13, 2, 4});
    fill(T);
    const Kernel cell = mix();
    expect_sequential_result(Workload("wavefront", [&] {
        for (auto [i, j] : P(12, 12)) {
            cell[{i, j}]({T[i][j + 1], T[i + 1][j], T[i + 1][j + 1]});
        }
    }));
}

TEST(Order, of_a_chain_is_that_of_the_loop) {
    const Tensor X("X", {64, 2, 4}), Y("Y", {2, 4});
    fill(X);
    const Kernel add = accumulate();
    expect_sequential_result(Workload("chain", [&] {
        for (auto i : P.seq(64)) {
            add[i]({X[i], Y});
        }
    }));
}

TEST(Order, of_phases_side_by_side_is_by_data) {
    const Tensor A("A", {16, 2, 4}), B("B", {16, 2, 4}), C("C", {16, 2, 4});
    fill(A, 1);
    fill(B, 2);
    const Kernel copy = increment(), add = accumulate();
    const Workload phases("phases", [&] {
        for (auto i : P(16)) {
            copy[i]({A[i], B[i]});
        }
        for (auto i : P(16)) {  // reads after writes, of another task
            copy[i]({B[15 - i], C[i]});
        }
        for (auto i : P(8)) {  // writes after reads
            add[i]({A[2 * i], B[2 * i + 1]});
        }
        for (auto i : P(16)) {  // writes after writes
            copy[i]({A[i], B[i]});
        }
    });
    EXPECT_EQ(phases.task_count(), 56);
    expect_sequential_result(phases);
}

TEST(Order, of_combine_and_sequential) {
    const Tensor A("A", {8, 2, 4}), B("B", {8, 2, 4});
    fill(A);
    const Kernel copy = increment(), add = accumulate();
    const Workload first("first", [&] {
        for (auto i : P(8)) {
            copy[i]({A[i], B[i]});
        }
    });
    const Workload second("second", [&] {
        for (auto i : P(7)) {
            add[i]({B[i + 1], A[i]});
        }
    });
    EXPECT_EQ(combine({first, second}).kind(), "combine");
    EXPECT_EQ(sequential({first, second}).kind(), "sequential");
    expect_sequential_result(combine({first, second}));
    expect_sequential_result(sequential({first, second}));
    const Workload both("both", [&] {
        for (auto t : P.seq(3)) {
            static_cast<void>(t);
            first();
            second();
        }
    });
    EXPECT_EQ(both.task_count(), 45);
    expect_sequential_result(both);
}

Workload independent(const Tensor &A, const Tensor &B) {
    const Kernel copy = increment();
    return {"independent", [&] {
                for (auto [b, h] : P(Dense(8, "b"), Dense(4, "h"))) {
                    copy[{b, h}]({A[b][h], B[b][h]});
                }
            }};
}

TEST(Order, of_lanes) {
    const Tensor A("A", {8, 4, 2, 4}), B("B", {8, 4, 2, 4});
    fill(A);
    const Workload plain = independent(A, B);
    for (const Workload &workload :
         {plain.streams(1), plain.streams(2), plain.streams(3).stream_by("(b + h) % 3"),
          plain.streams(2).stream_by(axis("h") % 2), plain.dispatch(DispatchPolicy::round_robin(4)),
          plain.dispatch(DispatchPolicy::affinity("b % 4")),
          plain.dispatch(DispatchPolicy::hash({"b", "h"})),
          plain.dispatch(DispatchPolicy::dispatch_by("b + h")).timing(TimingPolicy::batched(2)),
          plain.dispatch(DispatchPolicy::work_steal()).timing(TimingPolicy::interleaved(3, 2)),
          plain.timing(TimingPolicy::rate_limit(1000)),
          plain.task_graph({Deps::bytes_overlap(), TaskWindow::stall(100, "bytes"),
                            Pools::single(1), ReadyPolicy::priority("b * h"),
                            StartPolicy::threshold(5), TracePolicy::cycles()}),
          plain.task_graph({Deps::hybrid({{"increment", "increment", 0, 0}}),
                            TaskWindow::benchmark(7), Pools::custom("b", {1, 2}),
                            ReadyPolicy::work_steal()}),
          plain.task_graph({Deps::explicit_edges({}), TaskWindow::abort(1000),
                            Pools::by_kernel({{"increment", 0}}, {2}),
                            StartPolicy::after_orchestration()}),
          plain.task_graph({Deps::exact(), Pools::by_exec_unit(), TracePolicy::none()}),
          plain.dispatch(DispatchPolicy::affinity(floordiv(axis("b"), 3)))
              .streams(2)
              .stream_by("h")}) {
        SCOPED_TRACE(workload.schedule().str());
        expect_sequential_result(workload);
    }
}

TEST(Order, one_stream_runs_one_task_at_a_time) {
    const Tensor A("A", {8, 4, 2, 4}), B("B", {8, 4, 2, 4});
    for (const Workload &workload :
         {independent(A, B).streams(1),
          independent(A, B).dispatch(DispatchPolicy::affinity("b * 0"))}) {
        Program program = workload.compile();
        run(program);
        EXPECT_EQ(program.stats().parallel_tasks, 0) << workload.schedule().str();
    }
}

TEST(Order, of_windows_and_pipes_of_one) {
    const Tensor A("A", {64, 2, 4}), B("B", {64, 2, 4});
    const Kernel copy = increment();
    const Workload plain("plain", [&] {
        for (auto i : P(64)) {
            copy[i]({A[i], B[i]});
        }
    });
    const Workload pipe("pipe", [&] {
        for (auto i : P.pipe(64, 1)) {
            copy[i]({A[i], B[i]});
        }
    });
    for (const Workload &workload : {plain.task_graph(1), pipe}) {
        Program program = workload.compile();
        run(program);
        EXPECT_EQ(program.stats().task_count, 64);
        expect_sequential_result(workload);
    }
}

TEST(Order, schedules_are_data) {
    const Tensor A("A", {8, 4, 2, 4}), B("B", {8, 4, 2, 4});
    const Workload plain = independent(A, B);
    const Workload scheduled =
        plain.dispatch(DispatchPolicy::round_robin(4)).streams(2).stream_by("h % 2");
    EXPECT_EQ(scheduled.schedule().str(),
              R"~(dispatch(round_robin(4)), streams(2), stream_by("(h % 2)"))~");
    EXPECT_EQ(plain.schedule(), schedule::TaskSchedule());
    EXPECT_EQ(plain.with_schedule(scheduled.schedule()).schedule(), scheduled.schedule());
    EXPECT_EQ(scheduled.schedule(),
              schedule::TaskSchedule::parse(scheduled.schedule().json(), "test"));
    EXPECT_EQ(error_of<ScheduleError>([&] { plain.streams(2).stream_by("x"); }).substr(0, 50),
              error_of<ScheduleError>([&] {
                  plain.dispatch(DispatchPolicy::affinity("x"));
              }).substr(0, 50));
    EXPECT_EQ(error_of<ScheduleError>([&] { plain.streams(0); }),
              "streams: count must be an integer >= 1, is 0");
    EXPECT_EQ(error_of<ScheduleError>([] { DispatchPolicy::round_robin(-1); }),
              "dispatch: round_robin: lanes must be an integer >= 1, is -1");
    EXPECT_EQ(error_of<ScheduleError>([&] { plain.dispatch(TimingPolicy::immediate()); }),
              "dispatch takes no policy of timing: immediate()");
    EXPECT_EQ(error_of<ScheduleError>([&] {
                  plain.task_graph({ReadyPolicy::fifo(), TimingPolicy::immediate()});
              }),
              "task_graph takes no policy of timing: immediate()");
    CompileOptions other;
    other.tasks = plain.streams(3).schedule();
    EXPECT_EQ(error_of<ScheduleError>([&] { plain.streams(2).compile(other); }),
              "compile: workload 'independent' has the schedule streams(2), the options another: "
              "streams(3) | give one of them");
    EXPECT_EQ(error_of<CompileError>([&] {
                  combine({plain, plain.streams(2)});
              }),
              "combine: 'independent' has a schedule of its own: streams(2) | schedule the whole: "
              "combine(...).dispatch(...)");
}

}  // namespace
}  // namespace pto::wsp::test
