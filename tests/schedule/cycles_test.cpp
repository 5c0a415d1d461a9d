#include "pto/wsp/schedule/cycles.h"

#include <gtest/gtest.h>

#include <map>

#include "pto/wsp/kernel/tile.h"
#include "pto/wsp/workload/builder.h"

/// Figures of the model's task part, counted by hand.
namespace pto::wsp::schedule {
namespace {

using kernel::Direction;
using workload::Builder;

/// Kernels that cost a given number of cycles, on one row each of one tensor.
class Tasks : public testing::Test {
protected:
    Builder builder{"w"};
    workload::TensorPtr memory = std::make_shared<workload::Tensor>(
        workload::Tensor{"X", allocate_tensor({64, 64}, DType::F32), {}});

    /// A kernel of `cost` cycles: a store of that many elements.
    workload::KernelPtr kernel(int64_t cost) {
        kernel::Builder b("k" + std::to_string(cost));
        const int y =
            b.param({"y", kernel::Param::Kind::Tile, Direction::Out, {DType::F32, 1, cost}, {}});
        b.store(y, b.constant(0.0));
        const auto program = b.finish();
        return std::make_shared<workload::Kernel>(
            workload::Kernel{program->name, program->params, program, {}});
    }

    void task(int64_t cost, const Affine &row = 0) {
        const workload::Region region =
            workload::slice(workload::index(workload::whole(memory), row), 0, cost);
        builder.task(kernel(cost), {}, {{"", region, {}}});
    }

    std::string open(bool sequential, int64_t size, const std::string &name) {
        return builder.open_loop(sequential, {workload::Axis::Kind::Dense, size, "", {}}, {name});
    }

    int64_t total(const TaskSchedule &schedule = {}, int64_t window = 0) {
        const workload::Workload made = builder.finish();
        const kernel::Cycles cycles = total_cycles(
            made, schedule,
            [](const workload::KernelPtr &k) -> const kernel::TileProgram & { return *k->program; },
            window);
        EXPECT_EQ(cycles.unknown, "");
        return cycles.cycles;
    }

    static TaskSchedule round_robin(int64_t lanes) {
        return {Policy::make(Part::Dispatch, "round_robin", {{"lanes", lanes}})};
    }

    static Policy streams(int64_t count) {
        return Policy::make(Part::Streams, "streams", {{"count", count}});
    }

    /// A policy of dispatch whose keys are these.
    static Policy by(const char *policy, std::vector<ScalarExpr> keys) {
        return Policy::make(Part::Dispatch, policy, {{"key", std::move(keys)}});
    }
};

TEST_F(Tasks, OneWorkerRunsOneAfterAnother) {
    open(false, 5, "i");
    task(10);
    builder.close();
    EXPECT_EQ(total(), 50);
}

TEST_F(Tasks, NothingTakesNoTime) {
    open(false, 0, "i");
    task(10);
    builder.close();
    EXPECT_EQ(total(), 0);
}

TEST_F(Tasks, RoundRobinTakesWorkersInTurn) {
    open(false, 5, "i");
    task(10);
    builder.close();
    EXPECT_EQ(total(round_robin(2)), 30);
}

TEST_F(Tasks, StreamsWithoutDispatchLeaveWorkerZero) {
    open(false, 5, "i");
    task(10);
    builder.close();
    EXPECT_EQ(total({streams(4)}), 50);
}

TEST_F(Tasks, AffinityTakesTheKeyModuloTheStreams) {
    const std::string i = open(false, 6, "i");
    task(10);
    builder.close();
    // Workers 0, 1, 2, 3, 0, 1 of four.
    EXPECT_EQ(total({by("affinity", {ScalarExpr::variable("i")}), streams(4)}), 20);
}

TEST_F(Tasks, AffinityHasOneWorkerWithoutStreams) {
    const std::string i = open(false, 6, "i");
    task(10);
    builder.close();
    EXPECT_EQ(total({by("affinity", {ScalarExpr::variable("i")})}), 60);
}

TEST_F(Tasks, DispatchByTakesTheKeyModuloTheStreams) {
    open(false, 6, "i");
    task(10);
    builder.close();
    EXPECT_EQ(total({by("dispatch_by", {ScalarExpr::parse("4 * i")}), streams(4)}), 60);
}

TEST_F(Tasks, WorkStealingTakesWorkersInTurn) {
    open(false, 5, "i");
    task(10);
    builder.close();
    const Policy steal = Policy::make(Part::Dispatch, "work_steal");
    EXPECT_EQ(total({steal, streams(2)}), 30);
}

TEST_F(Tasks, HashTakesTheWorkerOfTheHash) {
    open(false, 6, "i");
    open(false, 5, "j");
    task(10);
    builder.close();
    builder.close();
    std::vector<int64_t> load(4, 0);
    for (int64_t i = 0; i < 6; ++i) {
        for (int64_t j = 0; j < 5; ++j) {
            load[workload::hash_keys({i, j}) % 4] += 10;
        }
    }
    EXPECT_EQ(
        total({by("hash", {ScalarExpr::variable("i"), ScalarExpr::variable("j")}), streams(4)}),
        *std::max_element(load.begin(), load.end()));
    // The reference values of FNV-1a: of no byte, and of eight zero bytes.
    EXPECT_EQ(workload::hash_keys({}), 0xcbf29ce484222325ULL);
    EXPECT_EQ(workload::hash_keys({0}), 0xa8c7f832281a39c5ULL);
}

TEST_F(Tasks, ASequentialLoopWaitsForEachIteration) {
    open(true, 3, "i");
    open(false, 2, "j");
    task(10);
    builder.close();
    builder.close();
    // Two at a time, each pair after the one before.
    EXPECT_EQ(total(round_robin(2)), 30);
}

TEST_F(Tasks, ASequenceWaitsForItsSlowestTask) {
    builder.open_group(true);
    builder.open_group(false);
    task(10);
    task(40);
    builder.close();
    task(5);
    builder.close();
    // Workers 0, 1, 2: the third starts when both are done.
    EXPECT_EQ(total(round_robin(3)), 45);
}

TEST_F(Tasks, IssueTimeNeverGoesBack) {
    builder.open_group(false);
    builder.open_group(true);
    task(40);
    task(5);
    builder.close();
    task(10);
    builder.close();
    // The second task moved the issue time to 40: the third starts there, on its own worker.
    EXPECT_EQ(total(round_robin(3)), 50);
}

TEST_F(Tasks, AWindowHoldsTasksBack) {
    open(false, 4, "i");
    builder.open_group(false);
    task(10);
    task(30);
    builder.close();
    builder.close();
    const workload::Workload made = builder.finish();
    const auto cycles = [&](int64_t window) {
        return total_cycles(
                   made, round_robin(4),
                   [](const workload::KernelPtr &k) -> const kernel::TileProgram & {
                       return *k->program;
                   },
                   window)
            .cycles;
    };
    // Workers take 10, 30, 10, 30 twice.
    EXPECT_EQ(cycles(0), 60);
    EXPECT_EQ(cycles(8), 60);
    // Two in flight: (0, 10) (0, 30) (10, 20) (20, 50) (30, 40) (40, 70) (50, 60) (60, 90).
    EXPECT_EQ(cycles(2), 90);
    EXPECT_EQ(cycles(1), 160);
}

TEST_F(Tasks, ALoopInAKernelMayRunAsOftenAsTheLoopAroundItSays) {
    kernel::Builder b("k");
    const int n =
        b.param({"n", kernel::Param::Kind::Scalar, Direction::In, {DType::I32, 1, 1}, {}});
    const int y = b.param({"y", kernel::Param::Kind::Tile, Direction::Out, {DType::F32, 1, 8}, {}});
    const kernel::Value start = b.constant(1.0, DType::F32);
    const std::vector<kernel::Value> last =
        b.fori_loop(b.constant(0, DType::I32), b.scalar(n), {start},
                    [&](kernel::Value, const std::vector<kernel::Value> &c) {
                        return std::vector<kernel::Value>{b.op(kernel::Op::Exp, {c[0]})};
                    });
    b.store(y,
            b.op(kernel::Op::Broadcast, {last[0]}, {{"rows", Affine(1)}, {"columns", Affine(8)}}));
    const auto program = b.finish();
    const auto kernel =
        std::make_shared<workload::Kernel>(workload::Kernel{"k", program->params, program, {}});
    const std::string i = open(false, 4, "i");
    const workload::Region region =
        workload::slice(workload::index(workload::whole(memory), Affine::variable(i)), 0, 8);
    builder.task(kernel, {}, {{"", ScalarExpr::variable(i), {}}, {"", region, {}}});
    builder.close();
    EXPECT_EQ(total(), 4 * 16 + 0 + 1 + 2 + 3);
}

}  // namespace
}  // namespace pto::wsp::schedule
