#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/nets.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::at_address;
using testing::Net;
using testing::Op;
using testing::plan_of;
using testing::Script;
using testing::scripted;
using testing::site_of;
using testing::time_limit;

using Clock = std::chrono::steady_clock;

/// Of each of the two tests: when it is over, no further round begins.
constexpr std::chrono::seconds longest{5};

class Random {
public:
    explicit Random(uint64_t seed) : engine_(seed) {}
    /// In [low, high].
    int64_t in(int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(engine_);
    }
    bool one_of(int64_t count) { return in(1, count) == 1; }
    template <typename T> const T &of(const std::vector<T> &list) {
        return list[static_cast<size_t>(in(0, static_cast<int64_t>(list.size()) - 1))];
    }

private:
    std::mt19937_64 engine_;
};

/// Executors of all sizes, made once.
Executor &executor_of(int workers) {
    static std::map<int, std::unique_ptr<Executor>> made;
    std::unique_ptr<Executor> &executor = made[workers];
    if (executor == nullptr) {
        executor = std::make_unique<Executor>(workers);
    }
    return *executor;
}

const std::vector<int> worker_counts{1, 2, 4, 8, 16};

// Random graphs: a task adds up what it reads and mixes the sum into what it writes.

enum Fault : int64_t { None, Slow, Sleeps, Returns, Throws };

struct Graph {
    static constexpr int64_t most_cells = 64;
    /// What a site does to its cells, one character each: r, w, or u for both.
    static const std::vector<std::string> &sites() {
        static const std::vector<std::string> all{"",   "r",   "w",   "u", "rw",
                                                  "ru", "rrw", "ruw", "uu"};
        return all;
    }

    struct Task {
        size_t site;
        std::array<int64_t, 3> cells;
        int64_t fault;
    };

    int64_t cells;
    std::vector<Task> tasks;
    std::vector<uint64_t> values;
    std::vector<std::atomic<int>> times_run;

    Graph(Random &random, int64_t count, int64_t fault)
        : cells(random.in(1, most_cells)), values(static_cast<size_t>(cells)),
          times_run(static_cast<size_t>(count)) {
        for (int64_t i = 0; i < count; i++) {
            Task task{static_cast<size_t>(random.in(0, static_cast<int64_t>(sites().size()) - 1)),
                      {},
                      None};
            for (int64_t &cell : task.cells) {
                cell = random.in(0, cells - 1);
            }
            tasks.push_back(task);
        }
        for (int64_t i = random.in(1, 3); fault != None && count > 0 && i > 0; i--) {
            tasks[static_cast<size_t>(random.in(0, count - 1))].fault = fault;
        }
    }

    void apply(size_t number, std::vector<uint64_t> &to) const {
        const Task &task = tasks[number];
        const std::string &site = sites()[task.site];
        uint64_t sum = number;
        for (size_t i = 0; i < site.size(); i++) {
            if (site[i] != 'w') {
                sum = sum * 0x9e3779b97f4a7c15ULL + to[static_cast<size_t>(task.cells[i])];
            }
        }
        for (size_t i = 0; i < site.size(); i++) {
            if (site[i] != 'r') {
                to[static_cast<size_t>(task.cells[i])] = sum += 0x632be59bd9b4e019ULL;
            }
        }
    }

    /// Slots: graph, number.
    static abi::Status run(const int64_t *slots) {
        auto &graph = at_address<Graph>(slots[0]);
        const auto number = static_cast<size_t>(slots[1]);
        graph.times_run[number]++;
        switch (graph.tasks[number].fault) {
        case Slow:
            for (int i = 0; i < 100000; i++) {
                asm volatile("" ::: "memory");
            }
            break;
        case Sleeps:
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
            break;
        case Returns:
            return 7;
        case Throws:
            halide_error(nullptr, "thrown on purpose");
            break;
        default:
            break;
        }
        graph.apply(number, graph.values);
        return 0;
    }

    DynamicGraph plan(int window) const {
        std::vector<TaskSite> made;
        for (const std::string &site : sites()) {
            std::vector<Access> accesses;
            for (char access : site) {
                accesses.push_back({0, access != 'w', access != 'r', {}});
            }
            made.push_back(site_of(&Graph::run, 2, accesses));
        }
        return scripted(made, {cells}, window);
    }

    Script script(Random &random) {
        Script script;
        const bool pinned = random.one_of(4);
        for (size_t i = 0; i < tasks.size(); i++) {
            const int32_t worker = pinned ? static_cast<int32_t>(random.in(-1, 40)) : -1;
            script.push_back({static_cast<int32_t>(tasks[i].site),
                              {address(this), static_cast<int64_t>(i)},
                              {tasks[i].cells.begin(), tasks[i].cells.end()},
                              worker});
        }
        return script;
    }
};

void stress_graph(uint64_t seed) {
    Random random(seed);
    const int64_t count = random.one_of(12) ? random.in(20000, 100000) : random.in(0, 3000);
    const int64_t fault = random.in(None, Throws);
    const int workers = random.of(worker_counts);
    const int window = random.of(std::vector<int>{1, 2, 3, 16, 100, 1024, 8192});
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + std::to_string(count) + " tasks, fault " +
                 std::to_string(fault) + ", " + std::to_string(workers) + " workers, window " +
                 std::to_string(window));
    Graph graph(random, count, fault);
    const Script script = graph.script(random);
    const auto execution =
        executor_of(workers).start(plan_of(graph.plan(window)), {address(&script)});
    ASSERT_TRUE(execution->wait(time_limit)) << "it hangs";
    const bool fails = count > 0 && fault >= Returns;
    if (fails) {
        try {
            execution->rethrow();
            ADD_FAILURE() << "the failure was lost";
        } catch (const KernelError &error) {
            EXPECT_THAT(error.what(),
                        ::testing::HasSubstr(fault == Throws ? "thrown on purpose" : "status 7"));
        }
    } else {
        execution->rethrow();
        std::vector<uint64_t> expected(graph.values.size());
        for (size_t i = 0; i < graph.tasks.size(); i++) {
            graph.apply(i, expected);
        }
        EXPECT_EQ(graph.values, expected);
        EXPECT_EQ(execution->stats().tasks, count);
    }
    for (const std::atomic<int> &times : graph.times_run) {
        ASSERT_LE(times, 1);
        ASSERT_TRUE(fails || times == 1) << "a task was lost";
    }
}

// Random networks.

/// Statements of one process: loops that send to its channels and consume from them.
class RandomProgram {
public:
    RandomProgram(Random &random, std::vector<int32_t> sends, std::vector<int32_t> receives)
        : random_(random), sends_(std::move(sends)), receives_(std::move(receives)) {
        for (int64_t blocks = random_.in(1, 3); blocks > 0; blocks--) {
            block(0);
        }
        // Else those who send to it would wait for ever more often than not.
        for (int32_t channel : receives_) {
            if (!random_.one_of(12)) {
                consumed_ = channel;
                ops_.push_back(testing::consume({channel}));
                body(1);
                ops_.push_back(testing::end());
                consumed_ = -1;
            }
        }
        if (!sends_.empty() && random_.one_of(20)) {
            ops_.push_back(testing::close(random_.of(sends_)));
            block(0);
        }
    }

    std::vector<Op> ops() && { return std::move(ops_); }

private:
    void block(int depth) {
        int32_t channel = -1;
        if (!receives_.empty() && depth < 2 && random_.one_of(3)) {
            channel = random_.of(receives_);
        }
        if (channel >= 0 && channel != consumed_) {
            // The body of a token does not receive from its own channel.
            const int32_t outer = std::exchange(consumed_, channel);
            ops_.push_back(testing::consume({channel}));
            body(depth + 1);
            consumed_ = outer;
        } else {
            ops_.push_back(testing::repeat(random_.in(0, 12)));
            body(depth + 1);
        }
        ops_.push_back(testing::end());
    }
    void body(int depth) {
        for (int64_t count = random_.in(0, 3); count > 0; count--) {
            if (!sends_.empty() && random_.one_of(2)) {
                ops_.push_back(testing::send(random_.of(sends_)));
            } else if (depth < 2 && random_.one_of(6)) {
                block(depth);
            } else {
                ops_.push_back(testing::task());
            }
            ops_.back().work = random_.one_of(50) ? 20000 : random_.in(0, 20);
        }
    }

    Random &random_;
    std::vector<int32_t> sends_;
    std::vector<int32_t> receives_;
    std::vector<Op> ops_;
    int32_t consumed_ = -1;  ///< by the consume around, of which there is one more at most
};

/// Each channel from one process to another; mostly forward, so that not all stand still.
std::unique_ptr<Net> random_net(Random &random) {
    const int64_t processes = random.in(1, 8);
    const int64_t channels = processes == 1 ? 0 : random.in(0, 2 * processes);
    std::vector<std::vector<int32_t>> sends(static_cast<size_t>(processes));
    std::vector<std::vector<int32_t>> receives(sends.size());
    std::vector<int64_t> depths;
    for (int32_t channel = 0; channel < channels; channel++) {
        int64_t from = random.in(0, processes - 2);
        int64_t to = random.in(from + 1, processes - 1);
        if (random.one_of(15)) {
            std::swap(from, to);
        }
        sends[static_cast<size_t>(from)].push_back(channel);
        receives[static_cast<size_t>(to)].push_back(channel);
        depths.push_back(random.in(0, 4));
    }
    std::vector<std::vector<Op>> programs;
    for (size_t i = 0; i < sends.size(); i++) {
        programs.push_back(RandomProgram(random, sends[i], receives[i]).ops());
    }
    return std::make_unique<Net>(std::move(programs), std::move(depths));
}

struct Outcomes {
    int ended = 0;
    int deadlocked = 0;
    int closed = 0;
};

void expect_outcome(const Net &net, const Execution &execution, Outcomes &outcomes) {
    const Net::Outcome expected = net.simulate();
    try {
        execution.rethrow();
        EXPECT_FALSE(expected.deadlock || expected.sent_to_closed) << "it came to its end";
        outcomes.ended++;
    } catch (const ChannelClosed &error) {
        EXPECT_TRUE(expected.sent_to_closed) << error.what();
        outcomes.closed++;
        return;
    } catch (const ChannelError &error) {
        EXPECT_TRUE(expected.deadlock && !expected.sent_to_closed) << error.what();
        EXPECT_THAT(error.text(), ::testing::StartsWith("deadlock: process "));
        outcomes.deadlocked++;
    }
    EXPECT_EQ(net.received(), expected.received);
    EXPECT_EQ(net.tasks_run(), net.submitted());
    EXPECT_EQ(net.wrong(), 0);
}

void stress_nets(uint64_t seed, Outcomes &outcomes) {
    Random random(seed);
    const int workers = random.of(worker_counts);
    const int window = random.of(std::vector<int>{1, 2, 7, 64, 8192});
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + std::to_string(workers) +
                 " workers, window " + std::to_string(window));
    // A few at once.
    std::vector<std::unique_ptr<Net>> nets;
    std::vector<std::shared_ptr<Execution>> executions;
    for (int64_t i = random.in(1, 4); i > 0; i--) {
        nets.push_back(random_net(random));
        executions.push_back(executor_of(workers).start(plan_of(nets.back()->graph(window)),
                                                        {address(nets.back().get())}));
    }
    for (size_t i = 0; i < nets.size(); i++) {
        ASSERT_TRUE(executions[i]->wait(time_limit)) << "it hangs";
        expect_outcome(*nets[i], *executions[i], outcomes);
    }
}

/// A source, replicas that may be tried, fail or take long, and a sink.
void stress_replicas(uint64_t seed) {
    Random random(seed);
    const int workers = random.of(worker_counts);
    const int64_t replicas = random.in(1, 5);
    const int64_t tokens = random.in(0, 400);
    const bool tries = random.one_of(3);
    const bool fails = random.one_of(4);
    std::vector<std::vector<Op>> programs{
        {testing::repeat(tokens), tries ? testing::try_send(0) : testing::send(0), testing::end()}};
    for (int64_t i = 0; i < replicas; i++) {
        Op pass = testing::send(1);
        pass.slow_at = random.in(0, 2 * tokens);
        if (fails) {
            pass.fails_at = random.in(0, 2 * tokens);
        }
        pass.work = random.in(0, 300);
        programs.push_back({testing::consume({0}), pass, testing::end()});
    }
    programs.push_back({testing::consume({1}), testing::task(), testing::end()});
    const int64_t depth = random.in(0, 4);
    Net net(programs, {depth, random.in(0, 4)},
            {depth + random.in(1, 2 * replicas), random.in(5, 9)});
    SCOPED_TRACE("seed " + std::to_string(seed) + ": " + std::to_string(workers) + " workers, " +
                 std::to_string(replicas) + " replicas");
    net.slow_waits_for = workers > 1 ? 1 : 0;
    const auto execution = executor_of(workers).start(
        plan_of(net.graph(random.one_of(3) ? 5 : 8192)), {address(&net)});
    const bool cancels = random.one_of(5);
    if (cancels) {
        std::this_thread::sleep_for(std::chrono::microseconds(random.in(0, 300)));
        execution->cancel();
    }
    net.slow_waits_for = 0;
    ASSERT_TRUE(execution->wait(time_limit)) << "it hangs";
    try {
        execution->rethrow();
        if (!cancels) {
            const int64_t sent = tries ? net.tried()[0] : tokens;
            EXPECT_EQ(net.received().back().size(), static_cast<size_t>(sent));
            EXPECT_EQ(net.tasks_run(), 3 * sent);
        }
    } catch (const KernelError &) {
        EXPECT_TRUE(fails);
    } catch (const CancelledError &) {
        EXPECT_TRUE(cancels);
    }
    EXPECT_EQ(net.wrong(), 0);
}

TEST(Stress, Graphs) {
    const auto until = Clock::now() + longest;
    for (uint64_t seed = 1; seed <= 400 && Clock::now() < until && !HasFailure(); seed++) {
        stress_graph(seed);
    }
}

TEST(Stress, Nets) {
    const auto until = Clock::now() + longest;
    Outcomes outcomes;
    for (uint64_t seed = 1; seed <= 1500 && Clock::now() < until && !HasFailure(); seed++) {
        stress_nets(seed, outcomes);
        stress_replicas(seed);
    }
    // All of them are worth to be seen.
    EXPECT_GT(outcomes.ended, 0);
    EXPECT_GT(outcomes.deadlocked, 0);
    EXPECT_GT(outcomes.closed, 0);
    RecordProperty("ended", outcomes.ended);
    RecordProperty("deadlocked", outcomes.deadlocked);
    RecordProperty("closed", outcomes.closed);
}

}  // namespace
}  // namespace pto::wsp::runtime
