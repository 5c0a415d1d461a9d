#include "pto/wsp/schedule/tasks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/workload/parse.h"

namespace pto::wsp::schedule {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::string error_of(const std::function<void()> &call) {
    try {
        call();
    } catch (const ScheduleError &error) {
        return error.what();
    }
    ADD_FAILURE() << "no ScheduleError was thrown";
    return "";
}

TaskSchedule read(const std::string &text) {
    return TaskSchedule::parse(parse_json(text, "s.json"), "s.json");
}

std::string refused(const std::string &text) {
    return error_of([&] { read(text); });
}

const char *const full = "[[\"dispatch\",{\"key\":\"b\",\"policy\":\"affinity\"}],"
                         "[\"streams\",{\"count\":4}],[\"stream_by\",{\"key\":\"(h % 4)\"}]]";

/// Every policy as a step, and how it prints.
const std::pair<const char *, const char *> policies[] = {
    {R"(["dispatch",{"lanes":3,"policy":"round_robin"}])", "dispatch(round_robin(3))"},
    {R"(["dispatch",{"key":"b","policy":"affinity"}])", R"(dispatch(affinity("b")))"},
    {R"(["dispatch",{"key":["b","h"],"policy":"hash"}])", R"(dispatch(hash(["b", "h"])))"},
    {R"~(["dispatch",{"key":"(b % 2)","policy":"dispatch_by"}])~",
     R"~(dispatch(dispatch_by("(b % 2)")))~"},
    {R"(["dispatch",{"policy":"work_steal"}])", "dispatch(work_steal())"},
    {R"(["streams",{"count":2}])", "streams(2)"},
    {R"(["timing",{"policy":"immediate"}])", "timing(immediate())"},
    {R"(["timing",{"n":16,"policy":"batched"}])", "timing(batched(16))"},
    {R"(["timing",{"policy":"interleaved","streams":4}])", "timing(interleaved(streams=4))"},
    {R"(["timing",{"policy":"interleaved","priority":2}])", "timing(interleaved(priority=2))"},
    {R"(["timing",{"policy":"rate_limit","tasks_per_ms":2.5}])", "timing(rate_limit(2.5))"},
    {R"(["task_graph",{"deps":{"policy":"exact"}}])", "task_graph(deps=exact())"},
    {R"(["task_graph",{"deps":{"policy":"bytes_overlap"}}])", "task_graph(deps=bytes_overlap())"},
    {R"~(["task_graph",{"deps":{"edges":[["k","k","h","(h - 1)"]],"policy":"explicit","trust":true}}])~",
     R"~(task_graph(deps=explicit([["k", "k", "h", "(h - 1)"]], trust=True)))~"},
    {R"(["task_graph",{"deps":{"edges":[],"policy":"hybrid"}}])", "task_graph(deps=hybrid([]))"},
    {R"(["task_graph",{"window":{"policy":"stall","size":8}}])", "task_graph(window=stall(8))"},
    {R"(["task_graph",{"window":{"policy":"abort","size":99,"unit":"bytes"}}])",
     R"(task_graph(window=abort(99, unit="bytes")))"},
    {R"(["task_graph",{"window":{"policy":"benchmark","size":8}}])",
     "task_graph(window=benchmark(8))"},
    {R"(["task_graph",{"pools":{"policy":"single"}}])", "task_graph(pools=single())"},
    {R"(["task_graph",{"pools":{"other":2,"policy":"by_exec_unit"}}])",
     "task_graph(pools=by_exec_unit(other=2))"},
    {R"(["task_graph",{"pools":{"kernels":{"k":1},"policy":"by_kernel","sizes":[1,2]}}])",
     R"(task_graph(pools=by_kernel({"k": 1}, [1, 2])))"},
    {R"(["task_graph",{"pools":{"key":"h","policy":"custom","sizes":[1]}}])",
     R"(task_graph(pools=custom("h", [1])))"},
    {R"(["task_graph",{"ready":{"policy":"fifo"}}])", "task_graph(ready=fifo())"},
    {R"(["task_graph",{"ready":{"policy":"work_steal"}}])", "task_graph(ready=work_steal())"},
    {R"(["task_graph",{"ready":{"key":"h","policy":"priority"}}])",
     R"(task_graph(ready=priority("h")))"},
    {R"(["task_graph",{"start":{"n":5,"policy":"threshold"}}])", "task_graph(start=threshold(5))"},
    {R"(["task_graph",{"start":{"policy":"after_orchestration"}}])",
     "task_graph(start=after_orchestration())"},
    {R"(["task_graph",{"trace":{"policy":"none"}}])", "task_graph(trace=none())"},
    {R"(["task_graph",{"trace":{"policy":"cycles"}}])", "task_graph(trace=cycles())"},
    {R"(["spatial_map",{"grid":[4,2]}])", "spatial_map([4, 2])"},
};

TEST(TaskSchedule, JsonBothWays) {
    const TaskSchedule schedule = read(full);
    EXPECT_EQ(canonical_json(schedule.json()), full);
    EXPECT_EQ(schedule.str(), R"~(dispatch(affinity("b")), streams(4), stream_by("(h % 4)"))~");
    EXPECT_EQ(TaskSchedule{}.json(), Json::array());
    EXPECT_EQ(read("[]"), TaskSchedule{});
    EXPECT_NE(read("[]"), schedule);
}

TEST(TaskSchedule, EveryPolicyIsTheSameStepInJson) {
    for (const auto &[json, text] : policies) {
        const std::string steps = "[" + std::string(json) + "]";
        EXPECT_EQ(canonical_json(read(steps).json()), steps);
        EXPECT_EQ(read(steps).str(), text);
        const TaskSchedule other = TaskSchedule{}.with(read(steps).parts().begin()->second);
        EXPECT_EQ(other, read(steps));
    }
}

TEST(TaskSchedule, StepsOfTaskGraphStandTogether) {
    const std::string text = R"([["timing",{"n":2,"policy":"batched"}],["task_graph",)"
                             R"({"ready":{"policy":"fifo"},"window":{"policy":"stall","size":8}}],)"
                             R"(["spatial_map",{"grid":[2]}]])";
    EXPECT_EQ(canonical_json(read(text).json()), text);
    EXPECT_EQ(read(text).str(), "timing(batched(2)), task_graph(window=stall(8), ready=fifo()), "
                                "spatial_map([2])");
    EXPECT_EQ(read(text).window(), 8);
}

TEST(TaskSchedule, LaterPartsReplaceEarlierOnes) {
    const TaskSchedule first = read(full);
    const TaskSchedule later =
        read(R"([["streams",{"count":2}],["timing",{"policy":"immediate"}]])");
    EXPECT_EQ(
        first.merged(later).str(),
        R"~(dispatch(affinity("b")), streams(2), stream_by("(h % 4)"), timing(immediate()))~");
    EXPECT_EQ(later.merged(first).streams(), 4);
}

TEST(TaskSchedule, RefusesWhatItDoesNotKnow) {
    EXPECT_THAT(refused("{}"), HasSubstr("error: s.json: expected a list of steps, got {}"));
    EXPECT_THAT(refused(R"(["streams"])"),
                HasSubstr("expected a step [name, {...}], got \"streams\""));
    EXPECT_THAT(refused(R"([["stream", {"count": 1}]])"),
                AllOf(HasSubstr("unknown step \"stream\""),
                      HasSubstr("did you mean streams? known: dispatch, streams, stream_by")));
    EXPECT_THAT(refused(R"([["window", {"size": 1}]])"), HasSubstr("unknown step \"window\""));
    EXPECT_THAT(
        refused(R"([["task_graph", {"windows": {}}]])"),
        AllOf(HasSubstr("unknown task_graph key \"windows\""), HasSubstr("did you mean window?")));
    EXPECT_THAT(refused(R"([["task_graph", {"window": 8}]])"),
                HasSubstr("window: expected an object, got 8"));
    EXPECT_THAT(refused(R"([["task_graph", {"window": {"policy": "stall", "size": 0}}]])"),
                HasSubstr("window: size must be an integer >= 1, is 0"));
    EXPECT_THAT(
        refused(R"([["task_graph", {"window": {"policy": "stall", "size": 1, "unit": "kb"}}]])"),
        HasSubstr("window: unit must be \"tasks\" or \"bytes\", is \"kb\""));
    EXPECT_THAT(refused(R"([["streams", {"count": 1}], ["streams", {"count": 1}]])"),
                HasSubstr("step streams is given twice"));
    EXPECT_THAT(
        refused(R"([["streams", {"conut": 1}]])"),
        AllOf(HasSubstr("unknown streams key \"conut\""), HasSubstr("did you mean count?")));
    EXPECT_THAT(refused(R"([["streams", {}]])"), HasSubstr("streams: count is missing"));
    for (const char *count : {"0", "-3", "1.5", "\"4\"", "18446744073709551615"}) {
        EXPECT_THAT(refused(std::string(R"([["streams", {"count": )") + count + "}]]"),
                    HasSubstr(std::string("streams: count must be an integer >= 1, is ") + count));
    }
    EXPECT_THAT(
        refused(R"([["dispatch", {"policy": "afinity", "key": "b"}]])"),
        AllOf(HasSubstr("unknown policy \"afinity\""), HasSubstr("did you mean affinity?")));
    EXPECT_THAT(refused(R"([["dispatch", {"policy": "affinity", "lanes": 4}]])"),
                HasSubstr("unknown dispatch key \"lanes\""));
    EXPECT_THAT(refused(R"([["dispatch", {"policy": "affinity"}]])"),
                HasSubstr("dispatch: key is missing"));
    EXPECT_THAT(refused(R"([["dispatch", {"policy": 7}]])"),
                HasSubstr("dispatch: policy must be a name, is 7"));
    EXPECT_THAT(refused(R"([["stream_by", {"key": 4}]])"),
                HasSubstr("stream_by: key must be an expression in quotes, is 4"));
    EXPECT_THAT(refused(R"([["stream_by", {"key": "h %"}]])"),
                HasSubstr("stream_by: key \"h %\": "));
    EXPECT_THAT(refused(R"([["timing", {"policy": "rate_limit", "tasks_per_ms": 0}]])"),
                HasSubstr("timing: tasks_per_ms must be a number > 0, is 0"));
    EXPECT_THAT(
        refused(R"([["dispatch", {"policy": "hash", "key": []}]])"),
        HasSubstr("dispatch: key must be an expression in quotes, or a list of these, is []"));
    EXPECT_THAT(refused(R"([["task_graph", {"deps": {"policy": "hybrid", "edges": [["a"]]}}]])"),
                HasSubstr("deps: edges must be a list of edges"));
}

TEST(Policy, MakesWhatFits) {
    const Policy made = Policy::make(Part::Timing, "batched", {{"n", int64_t{4}}});
    EXPECT_EQ(made.str(), "batched(4)");
    EXPECT_EQ(made.count("n"), 4);
    const auto wrong = [](const char *name, const std::map<std::string, Argument> &arguments) {
        return error_of([&] { Policy::make(Part::Timing, name, arguments, {"user.cpp", 3}); });
    };
    EXPECT_THAT(wrong("bached", {}), AllOf(HasSubstr("user.cpp:3: error: unknown timing policy"),
                                           HasSubstr("did you mean batched?")));
    EXPECT_THAT(wrong("batched", {}), HasSubstr("timing: batched: n is missing"));
    EXPECT_THAT(wrong("batched", {{"n", int64_t{0}}}),
                HasSubstr("timing: batched: n must be an integer >= 1, is 0"));
    EXPECT_THAT(wrong("immediate", {{"n", int64_t{1}}}),
                HasSubstr("timing: immediate takes no argument, got \"n\""));
}

const char *const grid = "kernel k()\n"
                         "workload w { parallel b in Dense[4] as b, batch {\n"
                         "parallel h in Dense[8] as h, head { task k() } } }";

TEST(CheckTaskSchedule, Fits) {
    const workload::Workload w = workload::parse_workload(grid);
    check_task_schedule(read(full), w);
    check_task_schedule(TaskSchedule{}, w);
}

TEST(CheckTaskSchedule, SaysWhatDoesNotFit) {
    const workload::Workload w = workload::parse_workload(grid);
    const auto wrong = [&](const std::string &step) {
        return error_of([&] { check_task_schedule(read("[" + step + "]"), w, {"user.py", 8}); });
    };
    EXPECT_THAT(wrong(R"(["dispatch",{"key":"hed % 2","policy":"affinity"}])"),
                AllOf(HasSubstr("user.py:8: error: unknown axis name \"hed\""),
                      HasSubstr("did you mean head? known: b, batch, h, head")));
    EXPECT_THAT(wrong(R"(["task_graph",{"deps":{"edges":[["k","l","0","0"]],"policy":"hybrid"}}])"),
                AllOf(HasSubstr("deps: no kernel \"l\" is called"), HasSubstr("kernels: k")));
}

/// Two steps that contradict each other, or one that contradicts the workload: what is said.
const std::tuple<const char *, const char *, const char *> contradictions[] = {
    {R"(["stream_by",{"key":"h"}])", R"(stream_by("h"): the number of streams is not given)",
     "add streams(n)"},
    {R"(["task_graph",{"window":{"policy":"stall","size":33554432}}])",
     "task_graph: the window holds 1...16777216 tasks, got 33554432", "a window of bytes"},
    {R"(["timing",{"policy":"interleaved","priority":2}])",
     "interleaved(priority=2): there are no streams to take in turn", "interleaved(4)"},
    {R"(["streams",{"count":2}],["timing",{"policy":"interleaved","streams":3}])",
     "interleaved(streams=3) takes 3 streams in turn, and streams(2) makes 2", "leave the number"},
    {R"(["timing",{"policy":"interleaved","streams":70000}])",
     "interleaved(streams=70000): at most 65536 streams are taken in turn, got 70000",
     "use fewer streams"},
    {R"(["timing",{"policy":"interleaved","streams":3}],["task_graph",{"ready":{"policy":"fifo"}}])",
     "timing=interleaved(streams=3) and ready=fifo() both say which ready task is next",
     "leave one of them out"},
    {R"(["dispatch",{"key":"b","policy":"affinity"}],["task_graph",{"ready":{"key":"h","policy":"priority"}}])",
     R"(ready=priority("h") has no effect under dispatch=affinity("b"))", "use dispatch_by"},
    {R"(["dispatch",{"key":"b","policy":"affinity"}],["timing",{"policy":"interleaved","streams":3}])",
     R"(timing=interleaved(streams=3) has no effect under dispatch=affinity("b"))",
     "use dispatch_by"},
    {R"(["dispatch",{"key":"b","policy":"affinity"}],["task_graph",{"ready":{"policy":"work_steal"}}])",
     R"(ready=work_steal() contradicts dispatch=affinity("b"))", "ready=fifo()"},
    {R"(["streams",{"count":1}],["task_graph",{"ready":{"key":"h","policy":"priority"}}])",
     R"(ready=priority("h") has no effect under streams(1))", "use more lanes"},
    {R"(["timing",{"n":8,"policy":"batched"}],["task_graph",{"window":{"policy":"stall","size":4}}])",
     "batched(8) is never full in a window of 4 tasks", "batched(4)"},
    {R"(["dispatch",{"lanes":2,"policy":"round_robin"}],["timing",{"n":8,"policy":"batched"}])",
     "batched(8) is never full under dispatch=round_robin(2): at most 2 tasks", "batched(2)"},
    {R"(["task_graph",{"start":{"n":8,"policy":"threshold"},"window":{"policy":"stall","size":4}}])",
     "threshold(8): a window of 4 tasks never holds as many", "at least 8 tasks"},
    {R"(["task_graph",{"start":{"policy":"after_orchestration"},"window":{"policy":"stall","size":4}}])",
     "after_orchestration(): 32 tasks do not fit a window of 4", "use threshold(n)"},
    {R"(["task_graph",{"pools":{"kernels":{"k":1},"policy":"by_kernel","sizes":[1]}}])",
     "pools: kernel \"k\" is of pool 1, and 1 have sizes", "counted from 0"},
};

TEST(CheckTaskSchedule, RefusesContradictionsWithAlternatives) {
    const workload::Workload w = workload::parse_workload(grid);
    for (const auto &[steps, text, hint] : contradictions) {
        const TaskSchedule schedule = read("[" + std::string(steps) + "]");
        EXPECT_THAT(error_of([&] {
                        check_task_schedule(schedule, w, {"user.py", 8});
                    }),
                    AllOf(HasSubstr("user.py:8: error: " + std::string(text)), HasSubstr(hint)));
    }
}

TEST(LaneRules, FollowTheSchedule) {
    const auto rules = lane_rules(read(full), {"user.py", 8});
    ASSERT_EQ(rules.size(), 2U);
    EXPECT_TRUE(rules[0].pinned);
    EXPECT_EQ(rules[0].lanes, 0);
    EXPECT_EQ(rules[1].lanes, 4);
    EXPECT_EQ(rules[1].key->str(), "(h % 4)");
    const auto turns = lane_rules(read(R"([["streams", {"count": 2}]])"));
    ASSERT_EQ(turns.size(), 1U);
    EXPECT_FALSE(turns[0].key.has_value());
    const auto hashed = lane_rules(read(R"([["dispatch",{"key":["b","h"],"policy":"hash"}]])"));
    ASSERT_EQ(hashed.size(), 1U);
    EXPECT_EQ(hashed[0].hashed.size(), 2U);
    EXPECT_TRUE(lane_rules(read(R"([["dispatch",{"policy":"work_steal"}]])")).empty());
}

TEST(OrderRules, FollowTheSchedule) {
    EXPECT_EQ(order_rules(TaskSchedule{}, 2).tracked_because, "");
    EXPECT_EQ(order_rules(read(R"([["task_graph",{"window":{"policy":"stall","size":1}}]])"), 2)
                  .tracked_because,
              "a window of 1 holds fewer tasks than there are workers (2)");
    EXPECT_EQ(order_rules(read(R"([["timing",{"n":4,"policy":"batched"}]])"), 2).tracked_because,
              "timing is batched(4)");
    const auto turns = order_rules(read(R"([["streams",{"count":3}],["stream_by",{"key":"h"}],)"
                                        R"(["timing",{"policy":"interleaved"}]])"),
                                   2);
    EXPECT_EQ(turns.rank->str(), "(h % 3)");
}

}  // namespace
}  // namespace pto::wsp::schedule
