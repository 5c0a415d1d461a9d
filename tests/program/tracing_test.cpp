#include <string>
#include <utility>
#include <vector>

#include "program/samples.h"

namespace pto::wsp::test {
namespace {

using runtime::Trace;
using runtime::TraceLevel;

/// B[i] = A[i] + 1, then A[i] = B[i] + 1.
struct Chains {
    Tensor A{"A", {4, 2, 4}};
    Tensor B{"B", {4, 2, 4}};

    Chains() { fill(A); }
    Workload workload() const {
        return {"chains", [&] {
                    for (auto i : P(4)) {
                        increment()[i]({A[i], B[i]});
                    }
                    for (auto i : P(4)) {
                        increment()[i]({B[i], A[i]});
                    }
                }};
    }
};

TEST(Tracing, tells_what_to_do_without_a_trace) {
    const Chains c;
    Program program = c.workload().compile();
    EXPECT_EQ(program.trace_level(), TraceLevel::None);
    EXPECT_THROW(program.trace(), ExecutionError);
    run(program);
    try {
        program.trace();
        FAIL() << "no error";
    } catch (const ExecutionError &error) {
        EXPECT_EQ(error.text(), "trace: the last run was not traced");
    }
    EXPECT_FALSE(program.stats().critical_path_ms.has_value());
    EXPECT_EQ(program.stats().critical_path_note,
              "the last run was traced at the level none, expected full");
}

TEST(Tracing, has_every_task_with_its_loops) {
    const Chains c;
    Program program = c.workload().compile();
    program.enable_tracing(TraceLevel::Full);
    run(program);
    const std::shared_ptr<const Trace> trace = program.trace();
    EXPECT_EQ(program.trace(), trace);
    std::vector<int64_t> seen(4);
    for (const Trace::Task &task : trace->tasks) {
        if (trace->sites[static_cast<size_t>(task.site)].join) {
            continue;
        }
        const auto indices = trace->indices(task);
        ASSERT_EQ(indices.size(), 1U);
        seen[static_cast<size_t>(indices[0].second)]++;
    }
    EXPECT_EQ(seen, (std::vector<int64_t>{2, 2, 2, 2}));
    const ProgramStats stats = program.stats();
    ASSERT_TRUE(stats.critical_path_ms.has_value()) << stats.critical_path_note;
    EXPECT_GT(*stats.critical_path_ms, 0);
    EXPECT_LE(*stats.critical_path_ms, stats.execute_time_ms);
    int64_t tasks = 0;
    for (const ProgramStats::Worker &worker : stats.workers) {
        tasks += worker.task_count;
    }
    EXPECT_EQ(tasks, 8);
}

TEST(Tracing, tells_the_progress) {
    const Chains c;
    Program program = c.workload().compile();
    EXPECT_EQ(program.progress().total, 8);
    EXPECT_EQ(program.progress().done, 0);
    run(program);
    EXPECT_EQ(program.progress().done, 8);
    EXPECT_TRUE(program.progress().complete);
}

}  // namespace
}  // namespace pto::wsp::test
