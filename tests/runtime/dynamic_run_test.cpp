#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "runtime/graphs.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::at_address;
using testing::main_process;
using testing::plan_of;
using testing::reading;
using testing::run;
using testing::Script;
using testing::scripted;
using testing::site_of;
using testing::time_limit;
using testing::updating;
using testing::writing;

class DynamicRun : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Workers, DynamicRun, ::testing::Values(1, 2, 4, 8));

/// Slots: result, above, left.
abi::Status count_paths(const int64_t *slots) {
    at_address<uint64_t>(slots[0]) =
        at_address<uint64_t>(slots[1]) + at_address<uint64_t>(slots[2]);
    return 0;
}

/// Bindings: side, address of (side + 1)^2 numbers, the first row and column of which are border.
abi::Status expand_wavefront(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    int64_t side = bindings[0];
    auto *values = reinterpret_cast<uint64_t *>(bindings[1]);
    int64_t at = frame[0];
    for (; budget > 0 && at < side * side; at++, budget--) {
        int64_t here = (at / side + 1) * (side + 1) + at % side + 1;
        std::array<int64_t, 3> cells{here, here - side - 1, here - 1};
        std::array<int64_t, 3> slots{};
        for (size_t i = 0; i < slots.size(); i++) {
            slots[i] = address(values + cells[i]);
        }
        pto_wsp_submit(graph, 0, slots.data(), cells.data(), -1);
    }
    frame[0] = at == side * side ? -1 : at;
    return 0;
}

TEST_P(DynamicRun, Wavefront) {
    constexpr int64_t side = 60;
    constexpr auto pitch = static_cast<size_t>(side) + 1;
    for (int window : {1, 2, 3, 5, 64, 700, 8192}) {
        // Numbers of paths modulo 2^64, which Pascal's rule gives.
        std::vector<uint64_t> expected(pitch * pitch, 1);
        for (size_t i = pitch + 1; i < expected.size(); i++) {
            expected[i] = i % pitch == 0 ? 1 : expected[i - 1] + expected[i - pitch];
        }
        std::vector<uint64_t> values(pitch * pitch, 1);
        DynamicGraph graph;
        graph.processes = {main_process(&expand_wavefront)};
        graph.sites = {site_of(&count_paths, 3, {writing(0), reading(0), reading(0)})};
        graph.grids = {static_cast<int64_t>(values.size())};
        graph.window = window;
        RunStats stats = run(executor, plan_of(graph), {side, address(values.data())});
        EXPECT_EQ(values, expected) << "window " << window;
        EXPECT_EQ(stats.tasks, side * side);
        if (GetParam() == 1) {
            EXPECT_EQ(stats.parallel_tasks, 0);
        }
    }
}

struct Observed {
    std::atomic<int> running = 0;
    std::atomic<int> most_running = 0;
    std::vector<int64_t> order;  ///< written by tasks that the graph orders
};

/// Slots: Observed, number.
abi::Status observe_alone(const int64_t *slots) {
    auto &observed = at_address<Observed>(slots[0]);
    if (observed.running++ != 0) {
        return 1;
    }
    observed.order.push_back(slots[1]);
    observed.running--;
    return 0;
}

TEST_P(DynamicRun, ALaneRunsInProgramOrderOneAtATime) {
    constexpr int lanes = 5;
    constexpr int64_t tasks = 3000;
    for (int window : {1, 3, 8192}) {
        std::vector<Observed> observed(lanes);
        Script script;
        for (int64_t i = 0; i < tasks; i++) {
            int64_t lane = i * i % lanes;
            script.push_back({0, {address(&observed[static_cast<size_t>(lane)]), i}, {lane}});
        }
        run(executor,
            plan_of(scripted({site_of(&observe_alone, 2, {updating(0)})}, {lanes}, window)),
            {address(&script)});
        size_t total = 0;
        for (const Observed &lane : observed) {
            EXPECT_TRUE(std::is_sorted(lane.order.begin(), lane.order.end()));
            total += lane.order.size();
        }
        EXPECT_EQ(total, static_cast<size_t>(tasks));
    }
}

TEST_P(DynamicRun, NothingToDo) {
    Script script;
    RunStats stats = run(executor, plan_of(scripted({}, {})), {address(&script)});
    EXPECT_EQ(stats.tasks, 0);
}

/// One task of the random graphs: mixes the cells that it reads into those that it writes.
struct MixTask {
    std::vector<uint64_t *> reads;
    std::vector<uint64_t *> writes;
    uint64_t seed = 0;

    void apply() const {
        uint64_t sum = seed;
        for (const uint64_t *cell : reads) {
            sum = sum * 0x9e3779b97f4a7c15ULL + *cell;
        }
        for (uint64_t *cell : writes) {
            *cell = sum += 0x632be59bd9b4e019ULL;
        }
    }
};

abi::Status mix(const int64_t *slots) {
    at_address<const MixTask>(slots[0]).apply();
    return 0;
}

/// Boxes of 4 x 6 cells: row, column, height, width and column stride stay inside.
struct Box {
    int64_t first = 0;
    std::vector<Access::Extent> extents;
    std::vector<int64_t> cells;
};

constexpr int64_t grid_rows = 4;
constexpr int64_t grid_columns = 6;
constexpr int64_t grid_cells = grid_rows * grid_columns;

Box random_box() {
    auto row = *rc::gen::inRange<int64_t>(0, grid_rows);
    auto column = *rc::gen::inRange<int64_t>(0, grid_columns);
    auto height = *rc::gen::inRange<int64_t>(1, grid_rows - row + 1);
    auto stride = *rc::gen::inRange<int64_t>(1, 4);
    auto width = *rc::gen::inRange<int64_t>(1, (grid_columns - 1 - column) / stride + 2);
    Box box;
    box.first = row * grid_columns + column;
    if (height > 1 || width > 1) {
        box.extents = {{height, grid_columns}, {width, stride}};
    }
    for (int64_t i = 0; i < height; i++) {
        for (int64_t j = 0; j < width; j++) {
            box.cells.push_back(box.first + i * grid_columns + j * stride);
        }
    }
    return box;
}

/// A random sequence of tasks with up to three accesses each, in two grids.
struct RandomGraph {
    std::vector<TaskSite> sites;
    std::vector<MixTask> tasks;
    Script script;
    std::vector<uint64_t> values = std::vector<uint64_t>(2 * grid_cells);

    explicit RandomGraph(int count) {
        tasks.resize(static_cast<size_t>(count));
        for (int i = 0; i < count; i++) {
            add(i);
        }
    }

    void add(int number) {
        MixTask &task = tasks[static_cast<size_t>(number)];
        task.seed = static_cast<uint64_t>(number);
        std::vector<Access> accesses;
        std::vector<int64_t> cells;
        auto count = *rc::gen::inRange(0, 4);
        for (int i = 0; i < count; i++) {
            auto grid = *rc::gen::inRange(0, 2);
            auto writes = *rc::gen::inRange(0, 3) == 0;
            auto reads = !writes || *rc::gen::arbitrary<bool>();
            Box box = random_box();
            for (int64_t cell : box.cells) {
                uint64_t *value = &values[static_cast<size_t>(grid * grid_cells + cell)];
                if (reads) {
                    task.reads.push_back(value);
                }
                if (writes) {
                    task.writes.push_back(value);
                }
            }
            accesses.push_back({grid, reads, writes, box.extents});
            cells.push_back(box.first);
        }
        bool join = *rc::gen::inRange(0, 10) == 0;
        if (join) {
            task.writes.clear();
        }
        sites.push_back(site_of(join ? nullptr : &mix, 1, accesses));
        auto worker = *rc::gen::inRange(0, 4) == 0 ? *rc::gen::inRange(0, 100) : -1;
        script.push_back({number, {address(&task)}, cells, worker});
    }
};

TEST_P(DynamicRun, RandomGraphsEqualTheSequentialRun) {
    rc::check([this] {
        auto count = *rc::gen::inRange(0, 120);
        auto window = *rc::gen::element(1, 2, 3, 7, 16, 8192);
        RandomGraph graph(count);
        int64_t kernels = 0;
        for (size_t i = 0; i < graph.tasks.size(); i++) {
            graph.tasks[i].apply();
            kernels += graph.sites[i].function != nullptr ? 1 : 0;
        }
        std::vector<uint64_t> expected = graph.values;
        auto plan = plan_of(scripted(graph.sites, {grid_cells, grid_cells}, window));
        for (int round = 0; round < 3; round++) {
            std::fill(graph.values.begin(), graph.values.end(), 0);
            RunStats stats = run(executor, plan, {address(&graph.script)});
            RC_ASSERT(graph.values == expected);
            RC_ASSERT(stats.tasks == kernels);
        }
    });
}

/// Slots: Gate, number that must have passed it before.
struct Gate {
    std::atomic<int64_t> passed = 0;
};

abi::Status pass_gate(const int64_t *slots) {
    at_address<Gate>(slots[0]).passed++;
    return 0;
}

abi::Status check_gate(const int64_t *slots) {
    return at_address<Gate>(slots[0]).passed == slots[1] ? 0 : 1;
}

TEST_P(DynamicRun, AWriterWaitsForManyReaders) {
    for (int64_t readers : {1, 2, 3, 10, 1000}) {
        Gate gate;
        Script script;
        for (int64_t round = 1; round <= 3; round++) {
            for (int64_t i = 0; i < readers; i++) {
                script.push_back({0, {address(&gate)}, {0}});
            }
            script.push_back({1, {address(&gate), round * readers}, {0}});
        }
        run(executor,
            plan_of(scripted(
                {site_of(&pass_gate, 1, {reading(0)}), site_of(&check_gate, 2, {writing(0)})},
                {1})),
            {address(&script)});
    }
}

TEST_P(DynamicRun, AJoinOrdersWithoutBeingCounted) {
    constexpr int64_t before = 100;
    Gate gate;
    Script script;
    for (int64_t i = 0; i < before; i++) {
        script.push_back({0, {address(&gate)}, {i}});
    }
    script.push_back({1, {}, {0}});
    for (int64_t i = 0; i < before; i++) {
        script.push_back({2, {address(&gate), before}, {0}});
    }
    RunStats stats =
        run(executor,
            plan_of(scripted({site_of(&pass_gate, 1, {writing(0)}),
                              site_of(nullptr, 0, {updating(0, {{before, 1}})}, "join"),
                              site_of(&check_gate, 2, {reading(0)})},
                             {before})),
            {address(&script)});
    EXPECT_EQ(stats.tasks, 2 * before);
}

TEST_P(DynamicRun, ATaskDoesNotWaitForItself) {
    Gate gate;
    Script script;
    for (int i = 0; i < 100; i++) {
        script.push_back({0, {address(&gate)}, {0, 0, 0, 0}});
    }
    auto site = site_of(&pass_gate, 1, {reading(0), writing(0), reading(0), updating(0)});
    run(executor, plan_of(scripted({site}, {1}, 4)), {address(&script)});
    EXPECT_EQ(gate.passed, 100);
}

struct Seen {
    std::mutex mutex;
    std::map<int64_t, std::set<std::thread::id>> threads;
};

/// Slots: Seen, key.
abi::Status see_thread(const int64_t *slots) {
    auto &seen = at_address<Seen>(slots[0]);
    std::lock_guard lock(seen.mutex);
    seen.threads[slots[1]].insert(std::this_thread::get_id());
    return 0;
}

TEST_P(DynamicRun, PinnedTasksRunOnTheirWorker) {
    Seen seen;
    Script script;
    for (int i = 0; i < 4000; i++) {
        // Numbers past the workers count around; some tasks are free and some depend on others.
        int worker = i % 19;
        bool pinned = i % 3 != 0;
        int64_t key = pinned ? worker % GetParam() : -1;
        script.push_back({0, {address(&seen), key}, {i % 7}, pinned ? worker : -1});
    }
    auto site = site_of(&see_thread, 2, {updating(0)});
    for (int window : {2, 8192}) {
        run(executor, plan_of(scripted({site}, {7}, window)), {address(&script)});
    }
    seen.threads.erase(-1);
    std::set<std::thread::id> all;
    for (const auto &[worker, threads] : seen.threads) {
        EXPECT_EQ(threads.size(), 1U) << "worker " << worker;
        all.insert(threads.begin(), threads.end());
    }
    EXPECT_EQ(all.size(), std::min<size_t>(static_cast<size_t>(GetParam()), 19));
}

abi::Status look_at_window(const int64_t *slots) {
    auto &observed = at_address<Observed>(slots[0]);
    int running = ++observed.running;
    int most = observed.most_running;
    while (running > most && !observed.most_running.compare_exchange_weak(most, running)) {
    }
    std::this_thread::yield();
    observed.running--;
    return 0;
}

TEST_P(DynamicRun, NoMoreTasksThanTheWindowAreUnfinished) {
    for (int window : {1, 2, 3}) {
        Observed observed;
        Script script(500, {0, {address(&observed)}, {}});
        run(executor, plan_of(scripted({site_of(&look_at_window, 1, {})}, {}, window)),
            {address(&script)});
        EXPECT_LE(observed.most_running, window);
    }
}

TEST_P(DynamicRun, MemoryDoesNotGrowWithTheNumberOfTasks) {
    // Readers of one cell that nobody writes would pile up if they were not forgotten.
    Gate gate;
    Script script(200000, {0, {address(&gate)}, {0, 1}});
    auto site = site_of(&pass_gate, 1, {reading(0), reading(0)});
    run(executor, plan_of(scripted({site}, {2}, 64)), {address(&script)});
    EXPECT_EQ(gate.passed, 200000);
}

/// Steps without a task, as of loops that turn out empty, do not end the expansion.
abi::Status expand_slowly(int64_t *frame, void *graph, const int64_t *bindings, int32_t) {
    if (frame[0]++ % 3 == 0) {
        pto_wsp_submit(graph, 0, bindings, bindings, -1);
    }
    if (frame[0] == 100) {
        frame[0] = -1;
    }
    return 0;
}

TEST_P(DynamicRun, AStepMaySubmitNothing) {
    Gate gate;
    DynamicGraph graph = scripted({site_of(&pass_gate, 1, {})}, {}, 5);
    graph.processes = {main_process(&expand_slowly)};
    RunStats stats = run(executor, plan_of(graph), {address(&gate)});
    EXPECT_EQ(stats.tasks, 34);
    EXPECT_EQ(gate.passed, 34);
}

abi::Status meet(const int64_t *slots) {
    auto &arrived = at_address<std::atomic<int64_t>>(slots[0]);
    arrived++;
    auto until = std::chrono::steady_clock::now() + time_limit;
    while (arrived < slots[1]) {
        if (std::chrono::steady_clock::now() > until) {
            return 1;
        }
        std::this_thread::yield();
    }
    return 0;
}

TEST_P(DynamicRun, AllWorkersTakePart) {
    for (int round = 0; round < 50; round++) {
        std::atomic<int64_t> arrived = 0;
        Script script(static_cast<size_t>(GetParam()), {0, {address(&arrived), GetParam()}, {}});
        RunStats stats =
            run(executor, plan_of(scripted({site_of(&meet, 2, {})}, {})), {address(&script)});
        EXPECT_EQ(stats.parallel_tasks, GetParam() == 1 ? 0 : GetParam());
    }
}

}  // namespace
}  // namespace pto::wsp::runtime
