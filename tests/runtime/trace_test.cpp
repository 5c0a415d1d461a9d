#include "pto/wsp/runtime/trace.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/runtime/tracer.h"
#include "random_script.h"
#include "runtime/nets.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::plan_of;
using testing::RandomScript;
using testing::time_limit;

abi::Status spin(const int64_t *slots) {
    volatile int64_t sum = 0;
    for (int64_t i = 0; i < 20 + slots[0] % 50; i++) {
        sum = sum + i;
    }
    return 0;
}

class Traces : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};

    Trace trace(const std::shared_ptr<const Plan> &plan, std::vector<int64_t> bindings,
                TraceLevel level, size_t most_bytes = size_t(1) << 30) {
        auto tracer = std::make_shared<Tracer>(level, plan, GetParam(), most_bytes);
        auto execution = executor.start(plan, std::move(bindings), tracer);
        EXPECT_TRUE(execution->wait(time_limit));
        return tracer->trace();
    }
    Trace trace(const RandomScript &random, TraceLevel level) {
        return trace(plan_of(random.graph(&spin)), {address(&random.script)}, level);
    }
};

INSTANTIATE_TEST_SUITE_P(Workers, Traces, ::testing::Values(1, 2, 4, 8));

/// Of each worker in order of time, without overlap.
void expect_serial_workers(const Trace &trace) {
    std::map<int, std::vector<const Trace::Task *>> workers;
    for (const Trace::Task &task : trace.tasks) {
        workers[task.worker].push_back(&task);
    }
    for (auto &[worker, tasks] : workers) {
        ASSERT_LT(worker, trace.workers);
        std::sort(tasks.begin(), tasks.end(),
                  [](const auto *a, const auto *b) { return a->begin_ns < b->begin_ns; });
        for (size_t i = 0; i < tasks.size(); i++) {
            EXPECT_LE(0, tasks[i]->begin_ns);
            EXPECT_LE(tasks[i]->begin_ns, tasks[i]->end_ns);
            EXPECT_LE(tasks[i]->end_ns, trace.duration_ns);
            if (i > 0) {
                EXPECT_LE(tasks[i - 1]->end_ns, tasks[i]->begin_ns);
            }
        }
    }
}

TEST_P(Traces, HaveEveryTaskOnceAndInOrder) {
    for (uint32_t seed = 0; seed < 4; seed++) {
        RandomScript random(seed, 500);
        for (TraceLevel level : {TraceLevel::Timing, TraceLevel::Full}) {
            Trace made = trace(random, level);
            ASSERT_EQ(made.tasks.size(), random.script.size());
            EXPECT_EQ(made.dropped, 0);
            int64_t id = 0;
            for (size_t i = 0; i < made.tasks.size(); i++) {
                const Trace::Task &task = made.tasks[i];
                const bool join = random.script[i].site == 2;
                EXPECT_EQ(task.number, static_cast<int64_t>(i));
                EXPECT_EQ(task.site, random.script[i].site);
                EXPECT_EQ(task.id, join ? -1 : id);
                id += join ? 0 : 1;
                EXPECT_EQ(task.submitted_ns >= 0, level == TraceLevel::Full);
                EXPECT_TRUE(level != TraceLevel::Full || task.submitted_ns <= task.begin_ns);
            }
            expect_serial_workers(made);
            std::set<std::pair<int64_t, int64_t>> edges;
            for (const Trace::Dependence &edge : made.dependences) {
                EXPECT_TRUE(edges.emplace(edge.before, edge.after).second);
                EXPECT_LE(made.tasks[static_cast<size_t>(edge.before)].end_ns,
                          made.tasks[static_cast<size_t>(edge.after)].begin_ns);
            }
            EXPECT_EQ(edges, level == TraceLevel::Full ? random.dependences() : decltype(edges)());
        }
    }
}

TEST_P(Traces, TotalsAreThoseOfTheTasks) {
    RandomScript random(5, 400);
    for (TraceLevel level : {TraceLevel::Summary, TraceLevel::Timing, TraceLevel::Full}) {
        Trace made = trace(random, level);
        EXPECT_EQ(made.tasks.empty(), level == TraceLevel::Summary);
        int64_t tasks = 0;
        for (const auto &[kernel, totals] : made.kernels()) {
            EXPECT_TRUE(kernel == "read" || kernel == "write") << kernel;
            EXPECT_EQ(totals.tasks,
                      std::count_if(random.script.begin(), random.script.end(),
                                    [&, &name = kernel](const testing::Submission &each) {
                                        return each.site == (name == "read" ? 0 : 1);
                                    }));
            EXPECT_LE(totals.least_ns * totals.tasks, totals.time_ns);
            EXPECT_GE(totals.most_ns * totals.tasks, totals.time_ns);
            tasks += totals.tasks;
        }
        EXPECT_EQ(tasks, random.tasks());
        const Json summary = made.summary();
        EXPECT_EQ(summary["task_count"], tasks);
        EXPECT_EQ(summary["workers"].size(), static_cast<size_t>(GetParam()));
        int64_t busy = 0;
        for (const Trace::Totals &totals : made.worker_totals()) {
            busy += totals.time_ns;
            EXPECT_LE(totals.time_ns, made.duration_ns);
        }
        EXPECT_DOUBLE_EQ(summary["kernel_time_ms"], static_cast<double>(busy) / 1e6);
        EXPECT_DOUBLE_EQ(summary["avg_task_time_us"],
                         static_cast<double>(busy) / 1e3 / static_cast<double>(tasks));
        EXPECT_EQ(summary.contains("critical_path_ms"), level == TraceLevel::Full);
    }
}

/// By the definition: over all chains, one after another.
int64_t longest_chain(const Trace &trace) {
    std::vector<int64_t> length(trace.tasks.size());
    int64_t longest = 0;
    for (size_t i = 0; i < trace.tasks.size(); i++) {
        for (const Trace::Dependence &edge : trace.dependences) {
            if (edge.after == static_cast<int64_t>(i)) {
                length[i] = std::max(length[i], length[static_cast<size_t>(edge.before)]);
            }
        }
        length[i] += trace.tasks[i].duration_ns();
        longest = std::max(longest, length[i]);
    }
    return longest;
}

TEST_P(Traces, CriticalPathIsTheLongestChain) {
    for (uint32_t seed = 20; seed < 23; seed++) {
        Trace made = trace(RandomScript(seed, 300), TraceLevel::Full);
        EXPECT_EQ(made.critical_path_ns(), longest_chain(made));
        const std::vector<int64_t> path = made.critical_path();
        for (size_t i = 1; i < path.size(); i++) {
            EXPECT_TRUE(std::any_of(made.dependences.begin(), made.dependences.end(),
                                    [&](const Trace::Dependence &edge) {
                                        return edge.before == path[i - 1] && edge.after == path[i];
                                    }));
        }
    }
}

TEST_P(Traces, OfStaticLoopsHaveIterationsAndPhases) {
    auto loop = [](const int64_t *, int64_t begin, int64_t end) -> abi::Status {
        for (; begin < end; begin++) {
            spin(&begin);
        }
        return 0;
    };
    StaticLoop square{loop, 12, 1, "a", {"user.py", 3}};
    square.loops = {{"i", 3}, {"j", 4}};
    std::vector<Phase> phases{{square, {loop, 5, 1, "b", {}}}, {{loop, 7, 2, "a", {}}}};
    Trace made = trace(plan_of(phases), {}, TraceLevel::Full);
    ASSERT_EQ(made.tasks.size(), 24U);
    expect_serial_workers(made);
    for (size_t i = 0; i < made.tasks.size(); i++) {
        EXPECT_EQ(made.tasks[i].id, static_cast<int64_t>(i));
        EXPECT_EQ(made.tasks[i].site, i < 12 ? 0 : i < 17 ? 1 : 2);
    }
    EXPECT_EQ(made.indices(made.tasks[7]),
              (std::vector<std::pair<std::string, int64_t>>{{"i", 1}, {"j", 3}}));
    EXPECT_EQ(made.kernels().size(), 2U);
    EXPECT_EQ(made.kernels()[0].second.tasks, 12 + 7 * 2);
    const std::vector<int64_t> path = made.critical_path();
    ASSERT_EQ(path.size(), 2U);
    for (const Trace::Task &task : made.tasks) {
        const Trace::Task &longest = made.tasks[static_cast<size_t>(path[task.site / 2])];
        EXPECT_LE(task.duration_ns(), longest.duration_ns());
    }
    Trace short_one = trace(plan_of(phases), {}, TraceLevel::Summary);
    EXPECT_EQ(short_one.kernels()[0].second.tasks, 12 + 7 * 2);
}

/// What Perfetto needs of a trace: all events are complete, threads have names, arrows two ends.
void expect_well_formed(const Json &chrome, const Trace &trace) {
    std::set<std::pair<int, int64_t>> named;
    std::set<int> named_processes;
    std::map<std::pair<int, int64_t>, std::vector<std::pair<int64_t, int64_t>>> spans;
    std::map<int64_t, std::array<double, 2>> arrows;
    size_t tasks = 0;
    auto ns = [](const Json &us) { return std::llround(us.get<double>() * 1000); };
    for (const Json &event : chrome["traceEvents"]) {
        const std::string phase = event["ph"];
        const int process = event["pid"];
        if (phase == "M") {
            if (event["name"] == "process_name") {
                named_processes.insert(process);
            } else if (event["name"] == "thread_name") {
                named.emplace(process, event["tid"]);
            }
        } else if (phase == "X") {
            const int64_t begin = ns(event["ts"]);
            spans[{process, event["tid"]}].emplace_back(begin, begin + ns(event["dur"]));
            tasks += event["cat"] == "task" ? 1 : 0;
        } else if (phase == "s") {
            arrows[event["id"]][0] = event["ts"];
        } else if (phase == "f") {
            EXPECT_EQ(event["bp"], "e");
            EXPECT_EQ(arrows.count(event["id"]), 1U);
            arrows[event["id"]][1] = event["ts"];
        } else {
            EXPECT_TRUE(phase == "i" || phase == "C") << phase;
        }
    }
    EXPECT_EQ(tasks, static_cast<size_t>(
                         std::count_if(trace.tasks.begin(), trace.tasks.end(),
                                       [](const Trace::Task &task) { return task.id >= 0; })));
    EXPECT_EQ(arrows.size(), trace.dependences.size());
    for (const auto &[id, ends] : arrows) {
        EXPECT_LE(ends[0], ends[1]);
    }
    for (auto &[thread, events] : spans) {
        EXPECT_EQ(named.count(thread), 1U) << thread.first << " " << thread.second;
        EXPECT_EQ(named_processes.count(thread.first), 1U);
        std::sort(events.begin(), events.end());
        for (size_t i = 1; i < events.size(); i++) {
            EXPECT_LE(events[i - 1].second, events[i].first);
        }
    }
}

TEST_P(Traces, ChromeTracesAreWellFormed) {
    for (TraceLevel level : {TraceLevel::Timing, TraceLevel::Full}) {
        Trace made = trace(RandomScript(31, 300), level);
        expect_well_formed(Json::parse(made.chrome_json()), made);
    }
}

TEST_P(Traces, ShowTheTokensOfChannels) {
    using testing::consume;
    using testing::end;
    using testing::repeat;
    using testing::send;
    testing::Net net({{repeat(50), send(0), end()},
                      {consume({0}), send(1), end()},
                      {consume({1}), testing::task(), end()}},
                     {2, 0});
    const auto plan = plan_of(net.graph(64));
    Trace made = trace(plan, {address(&net)}, TraceLevel::Full);
    ASSERT_EQ(made.tokens.size(), 200U);
    std::map<std::pair<int, int64_t>, std::vector<const Trace::Token *>> tokens;
    int64_t now = 0;
    for (const Trace::Token &token : made.tokens) {
        tokens[{token.channel, token.token}].push_back(&token);
        EXPECT_LE(now, token.time_ns);
        now = token.time_ns;
    }
    EXPECT_EQ(tokens.size(), 100U);
    for (const auto &[key, events] : tokens) {
        ASSERT_EQ(events.size(), 2U);
        EXPECT_TRUE(events[0]->sent);
        EXPECT_FALSE(events[1]->sent);
        EXPECT_LT(events[0]->process, events[1]->process);
    }
    const auto &graph = std::get<DynamicGraph>(*plan);
    ASSERT_EQ(made.channels.size(), 2U);
    EXPECT_EQ(made.channels[1], graph.channels[1].name);
    EXPECT_EQ(made.processes.size(), graph.processes.size());
    expect_well_formed(Json::parse(made.chrome_json()), made);
}

TEST_P(Traces, SayWhatWasDropped) {
    RandomScript random(7, 20000);
    Trace made = trace(plan_of(random.graph(&spin)), {address(&random.script)}, TraceLevel::Full,
                       size_t(300) << 10);
    EXPECT_GT(made.dropped, 0);
    EXPECT_TRUE(made.critical_path().empty());
    EXPECT_EQ(made.critical_path_ns(), std::nullopt);
    EXPECT_THAT(made.text(), HasSubstr("events are missing: there was no memory for them"));
    EXPECT_EQ(made.summary()["dropped_events"], made.dropped);
}

/// Two tasks before a join, one after it, one that failed.
Trace small_trace() {
    Trace made;
    made.level = TraceLevel::Full;
    made.workers = 2;
    made.duration_ns = 10000;
    made.sites = {{"load <a>", {"user.py", 4}, false, -1, {"i"}},
                  {"join", {}, true, -1, {}},
                  {"store", {}, false, -1, {}}};
    auto task = [&](int64_t id, int32_t site, int32_t worker, int64_t begin, int64_t end) {
        Trace::Task made_task;
        made_task.id = id;
        made_task.number = static_cast<int64_t>(made.tasks.size());
        made_task.site = site;
        made_task.worker = worker;
        made_task.begin_ns = begin;
        made_task.end_ns = end;
        made.tasks.push_back(made_task);
    };
    task(0, 0, 0, 1000, 3000);
    task(1, 0, 1, 1500, 5250);
    task(-1, 1, 1, 5250, 5250);
    task(2, 2, 0, 5300, 9000);
    made.tasks[0].values = {0};
    made.tasks[1].values = {1};
    made.tasks[3].failed = true;
    made.tasks[0].stream = 1;
    made.dependences = {{0, 2}, {1, 2}, {2, 3}};
    made.tokens = {{0, 0, 0, true, 1200}, {0, 0, 1, false, 1400}};
    made.channels = {"q"};
    made.processes = {"make", "use"};
    made.totals.assign(2, std::vector<Trace::Totals>(3));
    made.totals[0][0] = {1, 0, 2000, 2000, 2000};
    made.totals[1][0] = {1, 0, 3750, 3750, 3750};
    made.totals[0][2] = {0, 1, 3700, 3700, 3700};
    return made;
}

TEST(Trace, WaitsThroughJoins) {
    Trace made = small_trace();
    EXPECT_EQ(made.waits_for(made.tasks[3]), (std::vector<int64_t>{0, 1}));
    EXPECT_TRUE(made.waits_for(made.tasks[0]).empty());
    EXPECT_EQ(made.critical_path(), (std::vector<int64_t>{1, 2, 3}));
    EXPECT_EQ(made.critical_path_ns(), 3750 + 3700);
}

TEST(Trace, PrintsATable) {
    EXPECT_EQ(small_trace().text(),
              "2 tasks in 0.010 ms on 2 workers, 0.94 at a time\n"
              "kernel       tasks     total ms     mean us    least us     most us  share\n"
              "load <a>         2        0.006       2.875       2.000       3.750  60.8%\n"
              "store            0        0.004       3.700       3.700       3.700  39.2%\n"
              "worker 0: 1 tasks, 0.006 ms busy (57.0%)\n"
              "worker 1: 1 tasks, 0.004 ms busy (37.5%)\n"
              "critical path: 0.007 ms, 3 tasks; 1.27 tasks at a time at most\n"
              "1 failed\n");
}

TEST(Trace, ShowsStreamsAndChannelsToChrome) {
    Trace made = small_trace();
    const Json chrome = Json::parse(made.chrome_json());
    expect_well_formed(chrome, made);
    auto find = [&](const std::string &phase, const std::string &key, const Json &value) {
        for (const Json &event : chrome["traceEvents"]) {
            if (event["ph"] == phase && event.contains(key) && event[key] == value) {
                return event;
            }
        }
        return Json();
    };
    Json task = find("X", "name", "load <a>");
    EXPECT_EQ(task["ts"], 1.0);
    EXPECT_EQ(task["dur"], 2.0);
    EXPECT_EQ(task["args"]["i"], 0);
    EXPECT_EQ(task["args"]["at"], "user.py:4");
    EXPECT_EQ(find("X", "cat", "stream")["tid"], 1);
    EXPECT_EQ(find("X", "name", "store")["args"]["failed"], true);
    EXPECT_EQ(find("i", "name", "send 0")["args"]["process"], "make");
    EXPECT_EQ(find("i", "name", "receive 0")["ts"], 1.4);
    EXPECT_EQ(find("C", "ts", 1.2)["args"]["tokens"], 1);
    EXPECT_EQ(find("C", "ts", 1.4)["args"]["tokens"], 0);
}

TEST(Trace, MakesAPageThatNeedsNoNetwork) {
    const std::string page = small_trace().html();
    EXPECT_THAT(page, HasSubstr("<svg viewBox=\"0 0 10.000 48\""));
    EXPECT_THAT(page, HasSubstr("<rect x=\"1.500\" y=\"27\" width=\"3.750\""));
    EXPECT_THAT(page, HasSubstr("load &lt;a&gt;[i=1] #1: 3.750 us from 1.500 us"));
    EXPECT_THAT(page, HasSubstr("critical path"));
    EXPECT_THAT(page, HasSubstr("worker 1"));
    for (const char *remote : {"http", "src=", "url(", "<script", "<link", "@import"}) {
        EXPECT_THAT(page, Not(HasSubstr(remote)));
    }
    Trace without = small_trace();
    without.level = TraceLevel::Summary;
    EXPECT_THAT(without.html(), Not(HasSubstr("<svg")));
}

}  // namespace
}  // namespace pto::wsp::runtime
