/// Times of the task runtime, per task: `bench_runtime [workers]`. Prints medians; beside oneTBB,
/// where that is installed, in rounds that take turns.

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#ifdef PTO_WSP_ONETBB
#include <tbb/flow_graph.h>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#endif

#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/runtime/tracer.h"

using namespace pto::wsp;
using namespace pto::wsp::runtime;

namespace {

constexpr int rounds = 15;
/// Of what takes much longer.
constexpr int thread_rounds = 3;

/// The processor's name, for the heading of a table.
std::string cpu_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        if (line.starts_with("model name")) {
            return line.substr(line.find(':') + 2);
        }
    }
    return "unknown";
}

abi::Status nothing(const int64_t *) {
    return 0;
}

/// One dependent addition, so that a wrong order would show.
abi::Status add_neighbours(const int64_t *slots) {
    auto *cell = reinterpret_cast<int64_t *>(slots[0]);
    *cell = *reinterpret_cast<int64_t *>(slots[1]) + *reinterpret_cast<int64_t *>(slots[2]) + 1;
    return 0;
}

/// Bindings: side of the square, address of (side + 1)^2 counters.
abi::Status expand_wavefront(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    int64_t side = bindings[0];
    auto *values = reinterpret_cast<int64_t *>(bindings[1]);
    int64_t at = frame[0];
    for (; budget > 0 && at < side * side; at++, budget--) {
        int64_t row = at / side + 1;
        int64_t column = at % side + 1;
        int64_t here = row * (side + 1) + column;
        int64_t slots[3] = {reinterpret_cast<int64_t>(values + here),
                            reinterpret_cast<int64_t>(values + here - side - 1),
                            reinterpret_cast<int64_t>(values + here - 1)};
        int64_t cells[3] = {here, here - side - 1, here - 1};
        pto_wsp_submit(graph, 0, slots, cells, -1);
    }
    frame[0] = at == side * side ? -1 : at;
    return 0;
}

/// The same as a proven wavefront: a compiled loop over the square's places, row by row. The kernel
/// is called as generated code calls it, through its address.
abi::Status loop_over_wavefront(const int64_t *bindings, int64_t begin, int64_t end) {
    static abi::Status (*volatile const kernel)(const int64_t *) = &add_neighbours;
    const int64_t side = bindings[0];
    auto *values = reinterpret_cast<int64_t *>(bindings[1]);
    for (int64_t at = begin; at < end; at++) {
        *pto_wsp_progress() = at;
        const int64_t here = (at / side + 1) * (side + 1) + at % side + 1;
        const int64_t slots[3] = {reinterpret_cast<int64_t>(values + here),
                                  reinterpret_cast<int64_t>(values + here - side - 1),
                                  reinterpret_cast<int64_t>(values + here - 1)};
        if (abi::Status status = kernel(slots)) {
            return status;
        }
    }
    return 0;
}

Plan proven_wavefront(int64_t side) {
    StaticLoop loop{&loop_over_wavefront, side * side, 1, "wave", {}};
    loop.wavefront = {side, side};
    return std::vector<Phase>{{loop}};
}

/// Bindings: number of tasks, number of chains.
abi::Status expand_chains(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    int64_t at = frame[0];
    for (; budget > 0 && at < bindings[0]; at++, budget--) {
        int64_t cell = at % bindings[1];
        pto_wsp_submit(graph, 0, &cell, &cell, -1);
    }
    frame[0] = at == bindings[0] ? -1 : at;
    return 0;
}

Process main_process(abi::ExpandFn expand) {
    return {"main", expand, 1, {}, {}, {}};
}

abi::Status loop_of_nothing(const int64_t *, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
        int64_t slot = i;
        nothing(&slot);
        asm volatile("" ::: "memory");
    }
    return 0;
}

void report(const char *name, Executor &executor, const Plan &plan,
            const std::vector<int64_t> &bindings, int64_t units, const char *unit) {
    auto shared = std::make_shared<const Plan>(plan);
    std::vector<double> times;
    RunStats stats;
    for (int i = 0; i < rounds; i++) {
        auto begin = std::chrono::steady_clock::now();
        std::shared_ptr<Execution> execution = executor.start(shared, bindings);
        execution->wait(std::nullopt);
        execution->rethrow();
        std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
        times.push_back(time.count() / static_cast<double>(units));
        stats = execution->stats();
    }
    std::sort(times.begin(), times.end());
    std::printf("%-34s %9.1f %9.1f ns/%-5s %9ld steals %8ld parallel\n", name, times[rounds / 2],
                times[0], unit, static_cast<long>(stats.steals),
                static_cast<long>(stats.parallel_tasks));
}

Access on_grid(int grid, bool writes) {
    return {grid, !writes, writes, {}};
}

abi::Status bind_to_core(const int64_t *slots) {
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET(static_cast<size_t>(slots[0]), &cores);
    return sched_setaffinity(0, sizeof cores, &cores);
}

abi::Status expand_bindings(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    for (; budget > 0 && frame[0] < bindings[0]; budget--, frame[0]++) {
        pto_wsp_submit(graph, 0, frame, nullptr, static_cast<int32_t>(frame[0]));
    }
    frame[0] = frame[0] == bindings[0] ? -1 : frame[0];
    return 0;
}

/// Else the system moves workers around, and figures do not repeat on a busy machine.
void bind_workers(Executor &executor) {
    DynamicGraph graph;
    graph.processes = {main_process(&expand_bindings)};
    graph.sites.push_back({"bind", &bind_to_core, 1, {}, {}});
    executor.start(std::make_shared<const Plan>(graph), {executor.workers()})->wait({});
}

/// The nanoseconds that `call` takes.
template <class Call> double nanoseconds(Call call) {
    auto begin = std::chrono::steady_clock::now();
    call();
    return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin)
        .count();
}

double median(std::vector<double> times) {
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
}

void run_once(Executor &executor, const std::shared_ptr<const Plan> &plan,
              const std::vector<int64_t> &bindings) {
    std::shared_ptr<Execution> execution = executor.start(plan, bindings);
    execution->wait(std::nullopt);
    execution->rethrow();
}

/// Told whenever work begins and ends, and does nothing with it.
class Idle : public Observer {};

/// Runs that take turns: with nobody looking, with somebody who does nothing, and traced at each
/// level. Events are submissions, dependences, begins and ends.
void compare_tracing(Executor &executor, const Plan &plan, const std::vector<int64_t> &bindings,
                     int64_t tasks) {
    auto shared = std::make_shared<const Plan>(plan);
    std::vector<double> off, idle;
    std::vector<std::vector<double>> traced(3);
    double events = 0;
    auto time = [&](const std::shared_ptr<Observer> &observer) {
        return nanoseconds([&] { executor.start(shared, bindings, observer)->wait({}); }) /
               static_cast<double>(tasks);
    };
    for (int round = 0; round < rounds; round++) {
        off.push_back(time(nullptr));
        idle.push_back(time(std::make_shared<Idle>()));
        for (TraceLevel level : {TraceLevel::Summary, TraceLevel::Timing, TraceLevel::Full}) {
            auto tracer = std::make_shared<Tracer>(level, shared, executor.workers());
            traced[static_cast<size_t>(level) - 1].push_back(time(tracer));
            if (level == TraceLevel::Full && round == 0) {
                Trace trace = tracer->trace();
                events = static_cast<double>(3 * trace.tasks.size() + trace.dependences.size()) /
                         static_cast<double>(tasks);
            }
        }
    }
    std::printf("%-34s %9.1f ns/task, an idle observer %+.1f, summary %+.1f, timing %+.1f, full "
                "%+.1f: %.1f ns/event\n",
                "wavefront, not traced", median(off), median(idle) - median(off),
                median(traced[0]) - median(off), median(traced[1]) - median(off),
                median(traced[2]) - median(off), (median(traced[2]) - median(off)) / events);
}

#ifdef PTO_WSP_ONETBB
template <class Ours, class Theirs>
void compare(const char *name, int64_t tasks, Ours ours, Theirs theirs) {
    std::vector<double> own, other;
    for (int i = 0; i < rounds; i++) {
        own.push_back(nanoseconds(ours) / static_cast<double>(tasks));
        other.push_back(nanoseconds(theirs) / static_cast<double>(tasks));
    }
    std::printf("%-34s %9.1f ns/task, oneTBB %9.1f ns/task: %.2f x\n", name, median(own),
                median(other), median(other) / median(own));
}

/// The wavefront as a flow graph, which is built before the clock runs.
class FlowWavefront {
public:
    FlowWavefront(int64_t side, int64_t *values) : side_(side) {
        nodes_.reserve(static_cast<size_t>(side * side));
        for (int64_t at = 0; at < side * side; at++) {
            int64_t here = (at / side + 1) * (side + 1) + at % side + 1;
            nodes_.emplace_back(graph_, [=](const tbb::flow::continue_msg &) {
                int64_t slots[3] = {reinterpret_cast<int64_t>(values + here),
                                    reinterpret_cast<int64_t>(values + here - side - 1),
                                    reinterpret_cast<int64_t>(values + here - 1)};
                add_neighbours(slots);
            });
        }
        for (int64_t at = 0; at < side * side; at++) {
            if (at % side + 1 < side) {
                tbb::flow::make_edge(node(at), node(at + 1));
            }
            if (at / side + 1 < side) {
                tbb::flow::make_edge(node(at), node(at + side));
            }
        }
    }

    void run() {
        node(0).try_put(tbb::flow::continue_msg());
        graph_.wait_for_all();
    }

private:
    using Node = tbb::flow::continue_node<tbb::flow::continue_msg>;
    Node &node(int64_t at) { return nodes_[static_cast<size_t>(at)]; }

    int64_t side_;
    tbb::flow::graph graph_;
    std::vector<Node> nodes_;
};

/// False when the two did not compute the same.
bool compare_with_tbb(Executor &executor, int workers, const Plan &tracked, int64_t side,
                      std::vector<int64_t> &values) {
    tbb::global_control limit(tbb::global_control::max_allowed_parallelism,
                              static_cast<size_t>(workers));
    tbb::task_arena arena(workers);
    std::vector<int64_t> theirs(values.size());
    bool same = true;
    arena.execute([&] {
        FlowWavefront flow(side, theirs.data());
        const std::pair<const char *, Plan> plans[] = {{"proven wavefront", proven_wavefront(side)},
                                                       {"tracked wavefront", tracked}};
        for (const auto &[name, wavefront] : plans) {
            std::ranges::fill(values, 0);
            auto plan = std::make_shared<const Plan>(wavefront);
            compare(
                name, side * side,
                [&] {
                    run_once(executor, plan, {side, reinterpret_cast<int64_t>(values.data())});
                },
                [&] { flow.run(); });
            same = same && theirs == values;
        }

        constexpr int64_t tasks = 100000;
        DynamicGraph graph;
        graph.processes = {main_process(&expand_chains)};
        graph.sites.push_back({"task", &nothing, 1, {}, {}});
        auto independent = std::make_shared<const Plan>(graph);
        compare(
            "independent tasks", tasks,
            [&] {
                run_once(executor, independent, {tasks, 1});
            },
            [&] {
                tbb::task_group group;
                for (int64_t at = 0; at < tasks; at++) {
                    group.run([at] { nothing(&at); });
                }
                group.wait();
            });
    });
    return same;
}
#endif

/// What a stage of the pipelines below does: one addition on what came in.
abi::Status pass_on(const int64_t *slots) {
    *reinterpret_cast<int64_t *>(slots[1]) = *reinterpret_cast<int64_t *>(slots[0]) + 1;
    return 0;
}

// The stages keep in their frames: 0 whether they have ended, 1 tokens, 2 whether a token was taken
// and not passed on, 3 ... 4 the token. Bindings: tokens, depth, address of two channels' slots.
constexpr int stage_words = 8;

int64_t slot_address(const int64_t *bindings, int64_t channel, int64_t number) {
    const int64_t slots = bindings[1] + 1;
    return bindings[2] + (channel * slots + number % slots) * 8;
}

abi::Status expand_first(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    for (; budget > 0 && frame[1] < bindings[0]; budget--) {
        if (pto_wsp_may_send(graph, 0, 0) != 0) {
            int64_t cell = pto_wsp_next_token(graph, 0) % (bindings[1] + 1);
            const int64_t out = slot_address(bindings, 0, cell);
            int64_t slots[2] = {reinterpret_cast<int64_t>(&bindings[0]), out};
            pto_wsp_submit(graph, 0, slots, &cell, -1);
            pto_wsp_send(graph, 0, nullptr, 0);
            frame[1]++;
        }
    }
    frame[0] = frame[1] == bindings[0] ? -1 : 0;
    return 0;
}

abi::Status expand_second(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    const int32_t from = 0;
    for (; budget > 0 && frame[0] == 0; budget--) {
        if (frame[2] == 0) {
            frame[2] = pto_wsp_receive(graph, &from, 1, frame + 3, 2);
        }
        if (frame[2] > 0 && pto_wsp_may_send(graph, 1, 0) != 0) {
            const int64_t number = pto_wsp_next_token(graph, 1);
            int64_t slots[2] = {slot_address(bindings, 0, frame[4]),
                                slot_address(bindings, 1, number)};
            int64_t cells[2] = {frame[4] % (bindings[1] + 1), number % (bindings[1] + 1)};
            pto_wsp_submit(graph, 1, slots, cells, -1);
            pto_wsp_send(graph, 1, nullptr, 0);
            frame[2] = 0;
        }
        frame[0] = frame[2] < 0 ? -1 : 0;
    }
    return 0;
}

abi::Status expand_third(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    const int32_t from = 1;
    for (; budget > 0 && frame[0] == 0; budget--) {
        const int32_t got = pto_wsp_receive(graph, &from, 1, frame + 3, 2);
        if (got > 0) {
            int64_t cell = frame[4] % (bindings[1] + 1);
            int64_t slots[2] = {slot_address(bindings, 1, frame[4]), bindings[3]};
            pto_wsp_submit(graph, 2, slots, &cell, -1);
        }
        frame[0] = got < 0 ? -1 : 0;
    }
    return 0;
}

abi::Status expand_net(int64_t *frame, void *graph, const int64_t * /*bindings*/,
                       int32_t /*budget*/) {
    frame[0] = pto_wsp_run_processes(graph, 1, 3) != 0 ? -1 : 0;
    return 0;
}

DynamicGraph pipeline(int64_t depth) {
    DynamicGraph graph;
    graph.processes = {main_process(&expand_net),
                       {"first", &expand_first, stage_words, {0}, {}, {}},
                       {"second", &expand_second, stage_words, {1}, {0}, {}},
                       {"third", &expand_third, stage_words, {}, {1}, {}}};
    graph.channels.resize(2);
    for (ChannelSpec &channel : graph.channels) {
        channel.depth = depth;
    }
    graph.grids = {depth + 1, depth + 1};
    graph.sites.push_back({"first", &pass_on, 2, {on_grid(0, true)}, {}});
    graph.sites.push_back({"second", &pass_on, 2, {on_grid(0, false), on_grid(1, true)}, {}});
    graph.sites.push_back({"third", &pass_on, 2, {on_grid(1, false)}, {}});
    return graph;
}

/// The same with threads that wait for each other on condition variables.
class ThreadPipeline {
public:
    ThreadPipeline(int64_t tokens, size_t depth) : tokens_(tokens), depth_(depth) {}

    void run() {
        std::thread first([&] {
            for (int64_t i = 0; i < tokens_; i++) {
                put(pipes_[0], 1);
            }
        });
        std::thread second([&] {
            for (int64_t i = 0; i < tokens_; i++) {
                put(pipes_[1], take(pipes_[0]) + 1);
            }
        });
        std::thread third([&] {
            for (int64_t i = 0; i < tokens_; i++) {
                last_ = take(pipes_[1]) + 1;
            }
        });
        first.join();
        second.join();
        third.join();
    }

private:
    struct Pipe {
        std::mutex mutex;
        std::condition_variable changed;
        std::deque<int64_t> values;
    };

    void put(Pipe &pipe, int64_t value) {
        std::unique_lock lock(pipe.mutex);
        pipe.changed.wait(lock, [&] { return pipe.values.size() < depth_; });
        pipe.values.push_back(value);
        pipe.changed.notify_all();
    }

    int64_t take(Pipe &pipe) {
        std::unique_lock lock(pipe.mutex);
        pipe.changed.wait(lock, [&] { return !pipe.values.empty(); });
        const int64_t value = pipe.values.front();
        pipe.values.pop_front();
        pipe.changed.notify_all();
        return value;
    }

    int64_t tokens_;
    size_t depth_;
    Pipe pipes_[2];
    int64_t last_ = 0;
};

void bench_pipeline(Executor &executor) {
    constexpr int64_t tokens = 100000;
    constexpr int64_t depth = 2;
    auto plan = std::make_shared<const Plan>(pipeline(depth));
    std::vector<int64_t> memory(2 * (depth + 1) + 1);
    const std::vector<int64_t> bindings{tokens, depth, reinterpret_cast<int64_t>(memory.data()),
                                        reinterpret_cast<int64_t>(&memory.back())};
    std::vector<double> own, other;
    for (int i = 0; i < rounds; i++) {
        own.push_back(nanoseconds([&] { run_once(executor, plan, bindings); }) / tokens);
        if (i < thread_rounds) {
            other.push_back(nanoseconds([&] { ThreadPipeline(tokens, depth).run(); }) / tokens);
        }
    }
    if (memory.back() != tokens + 3) {
        std::printf("the pipeline computes %ld\n", static_cast<long>(memory.back()));
        std::exit(1);
    }
    std::printf("%-34s %9.1f %9.1f ns/token, condition variables %9.1f: %.1f x\n",
                "pipeline of 3 stages, depth 2", median(own),
                *std::min_element(own.begin(), own.end()), median(other),
                median(other) / median(own));
}

/// Works for some microseconds, 100 times as long where slots[0] is 0.
abi::Status work(const int64_t *slots) {
    const auto time = std::chrono::microseconds(slots[0] == 0 ? 500 : 5);
    const auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
    return 0;
}

/// Bindings: number of tasks, which of them takes long.
abi::Status expand_skewed(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    int64_t at = frame[0];
    for (; budget > 0 && at < bindings[0]; at++, budget--) {
        const int64_t slot = at - bindings[1];
        pto_wsp_submit(graph, 0, &slot, nullptr, -1);
    }
    frame[0] = at == bindings[0] ? -1 : at;
    return 0;
}

abi::Status loop_over_skewed(const int64_t *bindings, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at++) {
        const int64_t slot = at - bindings[1];
        work(&slot);
    }
    return 0;
}

/// How much of the time the least busy worker works when one task takes 100 times as long.
void bench_skewed(Executor &executor) {
    constexpr int64_t tasks = 4000;
    DynamicGraph graph;
    graph.processes = {main_process(&expand_skewed)};
    graph.sites.push_back({"work", &work, 1, {}, {}});
    StaticLoop loop{&loop_over_skewed, tasks, 1, "work", {}};
    const std::pair<const char *, Plan> plans[] = {{"submitted", graph},
                                                   {"static", std::vector<Phase>{{loop}}}};
    for (const auto &[name, plan] : plans) {
        auto shared = std::make_shared<const Plan>(plan);
        for (int64_t place : {int64_t(0), tasks / 2, tasks - 1}) {
            std::vector<double> shares;
            for (int i = 0; i < rounds; i++) {
                std::shared_ptr<Execution> execution = executor.start(shared, {tasks, place});
                execution->wait(std::nullopt);
                execution->rethrow();
                const RunStats stats = execution->stats();
                double least = stats.execute_ms;
                for (const RunStats::Worker &worker : stats.workers) {
                    least = std::min(least, worker.busy_ms);
                }
                shares.push_back(100 * least / stats.execute_ms);
            }
            std::printf("skewed load, %-9s task %-8ld  least busy worker: %5.1f %% of the time\n",
                        name, static_cast<long>(place), median(shares));
        }
    }
}

/// How close the rate of a run comes to the one that was asked for.
void bench_rate(Executor &executor) {
    for (double rate : {2., 20., 200.}) {
        const auto tasks = static_cast<int64_t>(100 * rate);
        DynamicGraph graph;
        graph.processes = {main_process(&expand_chains)};
        graph.sites.push_back({"task", &nothing, 1, {}, {}});
        graph.rules.emplace();
        graph.rules->tasks_per_ms = rate;
        auto shared = std::make_shared<const Plan>(graph);
        std::vector<double> reached;
        for (int i = 0; i < rounds; i++) {
            std::shared_ptr<Execution> execution = executor.start(shared, {tasks, 1});
            execution->wait(std::nullopt);
            execution->rethrow();
            reached.push_back(static_cast<double>(tasks) / execution->stats().execute_ms);
        }
        std::printf("rate_limit %5.0f tasks/ms for 0.1 s %22.2f tasks/ms: %+.2f %%\n", rate,
                    median(reached), 100 * (median(reached) / rate - 1));
    }
}

void bench(int workers) {
    Executor executor(workers);
    if (workers <= static_cast<int>(std::thread::hardware_concurrency())) {
        bind_workers(executor);
    }
    std::printf("%s, %d worker%s\n%-34s %9s %9s\n", cpu_name().c_str(), workers,
                workers == 1 ? "" : "s", "", "median", "least");

    constexpr int64_t side = 316;
    std::vector<int64_t> values((side + 1) * (side + 1));
    DynamicGraph wavefront;
    wavefront.processes = {main_process(&expand_wavefront)};
    wavefront.sites.push_back(
        {"wave", &add_neighbours, 3, {on_grid(0, true), on_grid(0, false), on_grid(0, false)}, {}});
    wavefront.grids = {(side + 1) * (side + 1)};
    report("wavefront 316 x 316, proven", executor, proven_wavefront(side),
           {side, reinterpret_cast<int64_t>(values.data())}, side * side, "task");
    report("wavefront 316 x 316, tracked", executor, wavefront,
           {side, reinterpret_cast<int64_t>(values.data())}, side * side, "task");
    compare_tracing(executor, wavefront, {side, reinterpret_cast<int64_t>(values.data())},
                    side * side);
#ifdef PTO_WSP_ONETBB
    if (!compare_with_tbb(executor, workers, wavefront, side, values)) {
        std::printf("the wavefronts differ\n");
        std::exit(1);
    }
#endif

    bench_pipeline(executor);
    bench_skewed(executor);
    bench_rate(executor);
    constexpr int64_t tasks = 100000;
    for (int64_t chains : {int64_t(1), int64_t(2), int64_t(64), tasks}) {
        DynamicGraph graph;
        graph.processes = {main_process(&expand_chains)};
        graph.sites.push_back({"chain", &nothing, 1, {{0, true, true, {}}}, {}});
        graph.grids = {chains};
        std::string name = chains == tasks ? "independent tracked tasks"
                                           : "chains of tracked tasks, " + std::to_string(chains);
        report(name.c_str(), executor, graph, {tasks, chains}, tasks, "task");
    }
    std::vector<Phase> loop{{{&loop_of_nothing, tasks, 1, "loop", {}}}};
    report("static loop of 100000", executor, loop, {}, tasks, "task");
    std::vector<Phase> single(1000, Phase{{&loop_of_nothing, 1, 1, "loop", {}}});
    report("1000 phases of one iteration", executor, single, {}, 1000, "phase");
    std::vector<Phase> pair(1000, Phase{{&loop_of_nothing, 2, 1, "loop", {}}});
    report("1000 phases of two iterations", executor, pair, {}, 1000, "phase");
    std::vector<Phase> one{{{&loop_of_nothing, 1, 1, "loop", {}}}};
    report("start and wait", executor, one, {}, 1, "run");
}

}  // namespace

int main(int count, char **arguments) {
    if (count > 1) {
        bench(std::atoi(arguments[1]));
        return 0;
    }
    for (int workers : {1, 2}) {
        bench(workers);
    }
    return 0;
}
