#include "pto/wsp/workload/event.h"

#include <gmock/gmock.h>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/graph.h"
#include "pto/wsp/workload/parse.h"
#include "pto/wsp/workload/rules.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string header = "tensor X: f32[8, 4, 4]\n"
                           "kernel k(inout x: f32[4, 4])\n"
                           "event done: 1\n"
                           "event meeting: 0\n";

Workload parsed(const std::string &body) {
    return parse_workload(header + "workload w {\n" + body + "}\n");
}

TEST(Events, PrintTheTextThatTheyAreReadFrom) {
    const std::string text = header + "workload w {\n"
                                      "  parallel i in Dense[8] {\n"
                                      "    task k[i](inout X[i, 0:4, 0:4]) mark 4\n"
                                      "  }\n"
                                      "  record done after [4]\n"
                                      "  synchronize done timeout 0.5\n"
                                      "  task k(inout X[0, 0:4, 0:4])\n"
                                      "  record meeting\n"
                                      "}\n";
    const Workload workload = parse_workload(text);
    EXPECT_EQ(workload.str(), text);
    EXPECT_EQ(workload.events().size(), 2U);
    EXPECT_EQ(workload.task_count(), 9);
    EXPECT_EQ(parsed("record done\n").kind(), "record");
    EXPECT_EQ(parsed("synchronize done\n").kind(), "synchronize");
}

TEST(Events, AreRefusedWhereTheyCannotBe) {
    const auto refused = [](const std::string &body) {
        return error_of<PtoError>([&] { parsed(body); });
    };
    EXPECT_THAT(refused("record never\n"), HasSubstr("no event is called \"never\""));
    EXPECT_THAT(refused("synchronize done timeout -1\n"), HasSubstr("a timeout is not >= 0"));
    EXPECT_THAT(refused("record done after [1]\n"),
                HasSubstr("event \"done\" comes after a call that is not before it"));
    EXPECT_THAT(refused("record done after [1] task k(inout X[0, 0:4, 0:4]) mark 1\n"),
                HasSubstr("event \"done\" comes after a call that is not before it"));
    EXPECT_THAT(refused("task k(inout X[0, 0:4, 0:4]) mark 1 task k(inout X[0, 0:4, 0:4]) mark 1"),
                HasSubstr("mark 1 is none, or that of another task"));
    EXPECT_THAT(refused("net { process p { task k(inout X[0, 0:4, 0:4]) mark 1 }\n"
                        "process q { record done after [1] } }\n"),
                HasSubstr("event \"done\" of process \"q\" comes after a call of process \"p\""));
    EXPECT_THAT(error_of<PtoError>([] { parse_workload("event deep: 2\nworkload w {\n}\n"); }),
                HasSubstr("event deep has the depth 2"));
}

/// Which records the places of tasks tell, in order; then what the records wait for.
std::vector<std::vector<int>> gathered(const Workload &workload) {
    const DependenceSummary summary = analyse_dependence(workload);
    std::vector<std::vector<int>> result;
    for (const TrackedSite &site : std::get<TrackedPlan>(summary.plan).sites) {
        if (site.task != nullptr) {
            result.push_back(site.gathered_by);
        } else if (site.event->records) {
            result.push_back({-1, site.gathers});
        }
    }
    return result;
}

TEST(Events, ARecordComesAfterTheTasksOfItsProcess) {
    const std::string task = "task k(inout X[0, 0:4, 0:4])";
    EXPECT_THAT(
        gathered(parsed(task + "\nrecord done\n" + task + "\nrecord done\n")),
        ElementsAre(ElementsAre(0), ElementsAre(-1, 0), ElementsAre(0), ElementsAre(-1, 0)));
    EXPECT_THAT(gathered(parsed(task + " mark 0\n" + task + " mark 1\nrecord done after [1]\n" +
                                "record meeting\n")),
                ElementsAre(ElementsAre(1), testing::UnorderedElementsAre(0, 1), ElementsAre(-1, 0),
                            ElementsAre(-1, 1)));
    // The workload itself goes on when its processes have ended, their tasks perhaps not.
    EXPECT_THAT(gathered(parsed("net { process p { " + task + " record meeting }\nprocess q { " +
                                task + " } }\nrecord done\n")),
                ElementsAre(testing::UnorderedElementsAre(0, 1), ElementsAre(-1, 0), ElementsAre(1),
                            ElementsAre(-1, 1)));
}

TEST(Events, KeepLoopsTracked) {
    const Workload workload = parsed("parallel i in Dense[8] { task k[i](inout X[i, 0:4, 0:4]) }\n"
                                     "record done\n");
    const DependenceSummary summary = analyse_dependence(workload);
    EXPECT_FALSE(summary.is_static());
    EXPECT_EQ(summary.reasons[0].text, "tracked: events are met in program order");
}

TEST(Events, KnowTheirCallsWhereWorkloadsNest) {
    const auto event = std::make_shared<const Event>(Event{"e", 1, {}, nullptr});
    const Workload inner = parsed("task k(inout X[0, 0:4, 0:4]) mark 3\nrecord done after [3]\n");
    Builder outer("outer");
    outer.include(inner);
    outer.include(inner);
    EXPECT_EQ(outer.tasks(), 2);
    outer.record(event, std::vector<int>{1});
    const std::string text = outer.finish().str();
    EXPECT_THAT(text, HasSubstr("mark 0\n    record done after [0]\n"));
    EXPECT_THAT(text, HasSubstr("mark 1\n    record done after [1]\n"));
    EXPECT_THAT(text, HasSubstr("\n  record e after [1]\n"));
}

TEST(Events, ProcessesAreCountedInAnOrderThatTheyAllow) {
    const auto names = [](const Workload &workload) {
        std::string result;
        workload.enumerate([&](const Task &task) {
            result += std::to_string(task.params.at(0));
            return true;
        });
        return result;
    };
    const std::string task0 = "task k[0](inout X[0, 0:4, 0:4])";
    const std::string task1 = "task k[1](inout X[1, 0:4, 0:4])";
    EXPECT_EQ(names(parsed("net { process p { synchronize done " + task0 + " }\nprocess q { " +
                           task1 + " record done } }\n")),
              "10");
    EXPECT_EQ(names(parsed("net { process p { seq i in Dense[2] { synchronize meeting " + task0 +
                           " record meeting } }\nprocess q { seq i in Dense[2] { " + task1 +
                           " record meeting synchronize meeting } } }\n")),
              "1010");
    // Recorded by a thread, perhaps: that is not waited for.
    EXPECT_EQ(names(parsed("synchronize done " + task0 + "\n")), "0");
    EXPECT_THAT(error_of<ChannelError>([&] {
                    names(parsed("net { process p { synchronize done record meeting }\n"
                                 "process q { synchronize meeting record done } }\n"));
                }),
                HasSubstr("process \"p\" waits for event \"done\""));
}

TEST(Events, StopWhatWouldMoveTasksAcrossThem) {
    const Workload waits = parsed("task k(inout X[0, 0:4, 0:4]) synchronize done\n");
    EXPECT_THAT(error_of<ScheduleError>([&] { rewrite_workload(waits, "fuse"); }),
                HasSubstr("the rules \"fuse\" do not apply to a workload with events"));
    EXPECT_THAT(error_of<CompileError>([&] { task_graph(waits, {}, 1); }),
                HasSubstr("graph: what follows waits for event \"done\""));
    const Workload records = parsed("task k(inout X[0, 0:4, 0:4]) record done\n");
    EXPECT_EQ(task_graph(records, {}, 1).vertices.size(), 1U);
}

}  // namespace
}  // namespace pto::wsp::workload::test
