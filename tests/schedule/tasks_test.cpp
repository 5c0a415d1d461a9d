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

TEST(TaskSchedule, Windows) {
    const std::string text = R"([["task_graph",{"window":8}]])";
    EXPECT_EQ(canonical_json(read(text).json()), text);
    EXPECT_EQ(read(text).str(), "task_graph(window = 8)");
    EXPECT_THAT(refused(R"([["task_graph",{"window":0}]])"),
                HasSubstr("task_graph: window must be an integer >= 1, is 0"));
    const workload::Workload empty = workload::parse_workload("workload w {}");
    TaskSchedule large;
    large.window = int64_t{1} << 25;
    EXPECT_THAT(error_of([&] { check_task_schedule(large, empty); }),
                HasSubstr("task_graph: the window holds 1...16777216 tasks, got 33554432"));
}

TEST(TaskSchedule, JsonBothWays) {
    const TaskSchedule schedule = read(full);
    EXPECT_EQ(canonical_json(schedule.json()), full);
    EXPECT_EQ(schedule.str(), "dispatch(affinity(b)), streams(4), stream_by((h % 4))");
    const std::string turns = R"([["dispatch",{"lanes":3,"policy":"round_robin"}]])";
    EXPECT_EQ(canonical_json(read(turns).json()), turns);
    EXPECT_EQ(read(turns).str(), "dispatch(round_robin(3))");
    EXPECT_EQ(TaskSchedule{}.json(), Json::array());
    EXPECT_EQ(read("[]"), TaskSchedule{});
    EXPECT_NE(read(turns), schedule);
}

TEST(TaskSchedule, RefusesWhatItDoesNotKnow) {
    EXPECT_THAT(refused("{}"), HasSubstr("error: s.json: expected a list of steps, got {}"));
    EXPECT_THAT(refused(R"(["streams"])"),
                HasSubstr("expected a step [name, {...}], got \"streams\""));
    EXPECT_THAT(refused(R"([["stream", {"count": 1}]])"),
                AllOf(HasSubstr("unknown step \"stream\""),
                      HasSubstr("did you mean streams? known: dispatch, streams, stream_by")));
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
    const auto wrong = [&](const TaskSchedule &schedule) {
        return error_of([&] { check_task_schedule(schedule, w, {"user.py", 8}); });
    };
    TaskSchedule schedule;
    schedule.dispatch = Dispatch{Dispatch::Policy::RoundRobin, 0, 0};
    EXPECT_THAT(wrong(schedule),
                HasSubstr("user.py:8: error: round_robin: expected at least 1, got 0"));
    schedule.dispatch = Dispatch{Dispatch::Policy::Affinity, 0, ScalarExpr::parse("hed % 2")};
    EXPECT_THAT(wrong(schedule), AllOf(HasSubstr("user.py:8: error: unknown axis name \"hed\""),
                                       HasSubstr("did you mean head? known: b, batch, h, head")));
    schedule = {};
    schedule.streams = -1;
    EXPECT_THAT(wrong(schedule), HasSubstr("streams: expected at least 1, got -1"));
    schedule.streams = 0;
    schedule.stream_key = ScalarExpr::parse("h");
    EXPECT_THAT(wrong(schedule),
                AllOf(HasSubstr("stream_by(h): the number of streams is not given"),
                      HasSubstr("hint: add streams(n)")));
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
}

}  // namespace
}  // namespace pto::wsp::schedule
