#include "pto/wsp/runtime/observer.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include <gtest/gtest.h>

#include "random_script.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::plan_of;
using testing::RandomScript;
using testing::site_of;
using testing::time_limit;

abi::Status nothing(const int64_t *) {
    return 0;
}

/// Notes everything, and in which order work began and ended.
class Recorder : public Observer {
public:
    explicit Recorder(Detail detail) : detail_(detail) {}

    struct Span {
        int64_t begin = -1, end = -1;
        int worker = -1, begins = 0, ends = 0;
        int64_t count = 0, tasks = 0, number = -1;
        abi::Status status = 0;
    };
    std::map<std::pair<int32_t, int64_t>, Span> work;  ///< by site and first
    std::vector<std::pair<int64_t, int32_t>> submissions;
    std::vector<std::vector<int64_t>> values;
    std::vector<int64_t> streams;
    std::set<std::pair<int64_t, int64_t>> edges;
    int repeated_edges = 0, open_steps = 0, steps = 0, ends = 0;

    Detail detail() const override { return detail_; }
    void began(int worker, const Work &each) override {
        std::lock_guard lock(mutex_);
        Span &span = work[{each.site, each.first}];
        span.begin = now_++;
        span.worker = worker;
        span.count = each.count;
        span.number = each.task;
        span.begins++;
        EXPECT_EQ(ends, 0);
    }
    void ended(int worker, const Work &each, int64_t tasks, abi::Status status) override {
        std::lock_guard lock(mutex_);
        Span &span = work[{each.site, each.first}];
        EXPECT_EQ(span.worker, worker);
        span.end = now_++;
        span.tasks = tasks;
        span.status = status;
        span.ends++;
    }
    void submitted(const Submitted &each) override {
        submissions.emplace_back(each.number, each.site);
        values.emplace_back(each.values.begin(), each.values.end());
        streams.push_back(each.stream);
    }
    void depends(int64_t before, int64_t after) override {
        EXPECT_EQ(after, static_cast<int64_t>(submissions.size()) - 1);
        repeated_edges += edges.emplace(before, after).second ? 0 : 1;
    }
    void step_began(int) override { open_steps++; }
    void step_ended(int) override {
        open_steps--;
        steps++;
    }
    void run_ended() override { ends++; }

private:
    const Detail detail_;
    std::mutex mutex_;
    int64_t now_ = 0;
};

class Observers : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};

    std::shared_ptr<Recorder> watch(std::shared_ptr<const Plan> plan, std::vector<int64_t> bindings,
                                    Detail detail) {
        auto recorder = std::make_shared<Recorder>(detail);
        auto execution = executor.start(std::move(plan), std::move(bindings), recorder);
        EXPECT_TRUE(execution->wait(time_limit));
        EXPECT_EQ(recorder->ends, 1);
        failed = false;
        try {
            execution->rethrow();
        } catch (const KernelError &) {
            failed = true;
        }
        return recorder;
    }
    bool failed = false;
};

INSTANTIATE_TEST_SUITE_P(Workers, Observers, ::testing::Values(1, 2, 4, 8));

TEST_P(Observers, SeeEveryTaskOfADynamicGraphOnce) {
    for (uint32_t seed = 0; seed < 5; seed++) {
        for (int window : {1, 7, 1024}) {
            RandomScript random(seed, 700);
            auto seen = watch(plan_of(random.graph(&nothing, window)), {address(&random.script)},
                              Detail::Graph);
            ASSERT_EQ(seen->submissions.size(), random.script.size());
            ASSERT_EQ(seen->work.size(), random.script.size());
            int64_t kernels = 0;
            for (int64_t task = 0; task < static_cast<int64_t>(random.script.size()); task++) {
                const int32_t site = random.script[static_cast<size_t>(task)].site;
                EXPECT_EQ(seen->submissions[static_cast<size_t>(task)], std::make_pair(task, site));
                const Recorder::Span &span = seen->work[{site, task}];
                EXPECT_EQ(span.begins, 1);
                EXPECT_EQ(span.ends, 1);
                EXPECT_EQ(span.tasks, site == 2 ? 0 : 1);
                EXPECT_EQ(span.number, site == 2 ? -1 : kernels++);
                EXPECT_LT(span.worker, GetParam());
            }
            EXPECT_EQ(seen->edges, random.dependences()) << "seed " << seed << " window " << window;
            EXPECT_EQ(seen->repeated_edges, 0);
            EXPECT_EQ(seen->open_steps, 0);
            EXPECT_GT(seen->steps, 0);
            for (auto [before, after] : seen->edges) {
                auto site = [&](int64_t task) {
                    return random.script[static_cast<size_t>(task)].site;
                };
                EXPECT_LT((seen->work[{site(before), before}].end),
                          (seen->work[{site(after), after}].begin));
            }
        }
    }
}

TEST_P(Observers, HearOfTheGraphOnlyWhenTheyAsk) {
    RandomScript random(3, 200);
    for (Detail detail : {Detail::Work, Detail::Tasks}) {
        auto seen = watch(plan_of(random.graph(&nothing)), {address(&random.script)}, detail);
        EXPECT_EQ(seen->work.size(), random.script.size());
        EXPECT_TRUE(seen->submissions.empty());
        EXPECT_TRUE(seen->edges.empty());
        EXPECT_EQ(seen->steps, 0);
    }
}

abi::Status expand_square(int64_t *frame, void *graph, const int64_t *, int32_t budget) {
    for (; budget > 0 && frame[1] < 3; budget--) {
        int64_t cell = frame[2] % 2;
        pto_wsp_submit(graph, 0, nullptr, &cell, -1);
        if (++frame[2] == 4) {
            frame[1]++;
            frame[2] = 0;
        }
    }
    frame[0] = frame[1] == 3 ? -1 : 0;
    return 0;
}

TEST_P(Observers, SeeLoopsAndStreams) {
    DynamicGraph graph;
    graph.processes = {{"main", &expand_square, 3, {}, {}, {}}};
    graph.sites = {site_of(&nothing, 0, {testing::updating(0)})};
    graph.sites[0].loops = {{"row", 1}, {"column", 2}};
    graph.sites[0].stream_access = 0;
    graph.grids = {2};
    auto seen = watch(plan_of(graph), {}, Detail::Graph);
    ASSERT_EQ(seen->values.size(), 12U);
    for (int64_t i = 0; i < 12; i++) {
        EXPECT_EQ(seen->values[static_cast<size_t>(i)], (std::vector<int64_t>{i / 4, i % 4}));
        EXPECT_EQ(seen->streams[static_cast<size_t>(i)], i % 2);
    }
}

abi::Status fail_on_three(const int64_t *slots) {
    return slots[0] == 3 ? 9 : 0;
}

TEST_P(Observers, SeeWhichTaskFailed) {
    testing::Script script;
    for (int64_t i = 0; i < 6; i++) {
        script.push_back({0, {i}, {0}, -1});
    }
    DynamicGraph graph =
        testing::scripted({site_of(&fail_on_three, 1, {testing::updating(0)})}, {1});
    auto seen = watch(plan_of(graph), {address(&script)}, Detail::Work);
    EXPECT_TRUE(failed);
    EXPECT_EQ((seen->work[{0, 3}].status), 9);
    for (int64_t i = 0; i < 6; i++) {
        const Recorder::Span &span = seen->work[{0, i}];
        EXPECT_EQ(span.begins, span.ends);
        EXPECT_EQ(span.status, i == 3 ? 9 : 0);
        EXPECT_TRUE(i > 3 || span.ends == 1);
    }
}

abi::Status count_calls(const int64_t *bindings, int64_t begin, int64_t end) {
    auto &calls = testing::at_address<std::atomic<int64_t>>(bindings[0]);
    for (; begin < end; begin++) {
        calls++;
        if (begin % 2 == 1) {
            pto_wsp_count_task();
        }
    }
    return 0;
}

TEST_P(Observers, SeeStaticLoopsInChunksOrOneByOne) {
    std::atomic<int64_t> calls = 0;
    std::vector<Phase> phases{{{&count_calls, 500, 2, "a", {}}, {&count_calls, 300, -1, "b", {}}},
                              {{&count_calls, 40, 1, "c", {}}}};
    for (Detail detail : {Detail::Work, Detail::Tasks, Detail::Graph}) {
        calls = 0;
        auto seen = watch(plan_of(phases), {address(&calls)}, detail);
        EXPECT_EQ(calls, 840);
        std::vector<int64_t> iterations(3);
        std::vector<int64_t> tasks(3);
        for (const auto &[key, span] : seen->work) {
            EXPECT_EQ(span.begins, 1);
            EXPECT_EQ(span.ends, 1);
            EXPECT_EQ(span.count == 1 || detail == Detail::Work, true);
            iterations[static_cast<size_t>(key.first)] += span.count;
            tasks[static_cast<size_t>(key.first)] += span.tasks;
        }
        EXPECT_EQ(iterations, (std::vector<int64_t>{500, 300, 40}));
        EXPECT_EQ(tasks, (std::vector<int64_t>{1000, 150, 40}));
        EXPECT_EQ(detail == Detail::Work, seen->work.size() < 840U);
    }
}

abi::Status fail_at_seven(const int64_t *, int64_t begin, int64_t end) {
    *pto_wsp_progress() = std::clamp<int64_t>(7, begin, end);
    return begin <= 7 && 7 < end ? 5 : 0;
}

TEST_P(Observers, SeeWhichIterationFailed) {
    std::vector<Phase> phases{{{&fail_at_seven, 20, 1, "a", {}}}};
    auto seen = watch(plan_of(phases), {}, Detail::Tasks);
    EXPECT_TRUE(failed);
    EXPECT_EQ((seen->work[{0, 7}].status), 5);
    EXPECT_EQ((seen->work[{0, 7}].ends), 1);
    EXPECT_EQ((seen->work[{0, 6}].status), 0);
}

}  // namespace
}  // namespace pto::wsp::runtime
