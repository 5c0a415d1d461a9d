#include <algorithm>
#include <random>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/graph.h"
#include "pto/wsp/workload/parse.h"
#include "workload/oracle.h"

namespace pto::wsp::workload::test {
namespace {

using kernel::Direction;

/// Random small workloads: loops, groups and tasks over tensors of which some share memory.
class Generator {
public:
    explicit Generator(uint64_t seed) : random_(seed) {
        make_tensors();
        for (const Direction direction : {Direction::In, Direction::Out, Direction::InOut}) {
            kernels_[direction] =
                declare(kernel::name(direction), {any("x", Direction::In), any("y", direction)});
        }
    }

    Workload make() {
        Builder builder("random");
        const int64_t statements = number(1, 3);
        for (int64_t i = 0; i < statements; ++i) {
            statement(builder, 0, 1);
        }
        return builder.finish();
    }

    std::vector<LaneRule> lanes() {
        std::vector<LaneRule> result;
        if (number(0, 2) == 0) {
            result.push_back({"dispatch", {}, number(1, 3), false, {}});
        }
        if (number(0, 2) == 0) {
            result.push_back({"stream", ScalarExpr(number(0, 5)), number(1, 3), false, {}});
        }
        return result;
    }

private:
    int64_t number(int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(random_);
    }

    static kernel::Param any(const std::string &name, Direction direction) {
        return tile(name, direction, at(name + ".rows"), at(name + ".columns"));
    }

    /// Views of one memory of 8 rows of 12: the whole, column and row parts, the transpose, the
    /// flat array, overlapping and broadcast views; and a tensor of its own.
    void make_tensors() {
        const TensorView memory = allocate_tensor({96}, DType::F32);
        const auto add = [&](const std::string &name, int64_t offset, Shape shape, Shape strides) {
            TensorView view = memory;
            view.data = static_cast<float *>(memory.data) + offset;
            view.shape = std::move(shape);
            view.strides = std::move(strides);
            tensors_.push_back(std::make_shared<Tensor>(Tensor{name, view, {}}));
        };
        const int64_t kind = number(0, 8);
        if (kind == 0 || kind > 5) {
            add("A", 0, {8, 12}, {12, 1});
        }
        if (kind == 1 || kind == 6) {
            add("L", 0, {8, 6}, {12, 1});
            add("R", 6, {8, 6}, {12, 1});
        }
        if (kind == 8) {
            add("D", 0, {4, 4}, {12, 12});
        }
        if (kind == 2) {
            add("T", 0, {12, 8}, {1, 12});
            add("U", 0, {6, 2, 8}, {2, 1, 12});
        }
        if (kind == 3 || kind == 7) {
            add("F", 0, {96}, {1});
        }
        if (kind == 4) {
            add("S", 0, {10, 6}, {3, 1});
            add("N", 95, {8, 12}, {-12, -1});
        }
        if (kind == 5) {
            add("E", 0, {24}, {2});
            add("O", 1, {24}, {2});
            add("B", 60, {4, 6}, {0, 1});
        }
        // Long accesses to the second make long cells.
        tensors_.push_back(number(0, 2) != 0 ? tensor("Z", {number(6, 30), 5})
                                             : tensor("G", {number(200, 400)}));
    }

    void statement(Builder &builder, int depth, int64_t tasks) {
        const int64_t what = depth >= 4 ? 0 : number(0, 9);
        const int64_t size = number(0, 19) == 0 ? 0 : number(1, 5);
        if (what >= 3 && what <= 7 && tasks * size <= 30) {
            const std::string id =
                builder.open_loop(what == 7, {Axis::Kind::Dense, size, "", {}}, {});
            loops_.emplace_back(id, size);
            body(builder, depth, tasks * size);
            loops_.pop_back();
            builder.close();
        } else if (what >= 8) {
            builder.open_group(what == 9);
            body(builder, depth, tasks);
            builder.close();
        } else {
            task(builder);
        }
    }

    void body(Builder &builder, int depth, int64_t tasks) {
        const int64_t statements = number(1, 10) > 6 ? 2 : 1;
        for (int64_t i = 0; i < statements; ++i) {
            statement(builder, depth + 1, tasks * statements);
        }
    }

    void task(Builder &builder) {
        const auto direction = static_cast<Direction>(number(0, 2));
        for (int attempt = 0; attempt < 30; ++attempt) {
            try {
                builder.task(kernels_.at(direction), {}, {arg(region()), arg(region())});
                return;
            } catch (const TypeCheckError &) {
                continue;  // the region leaves the tensor, or is a broadcast view
            }
        }
    }

    Region region() {
        const TensorPtr tensor =
            tensors_[static_cast<size_t>(number(0, static_cast<int64_t>(tensors_.size()) - 1))];
        Region region = whole(tensor);
        region.keep.clear();
        for (size_t d = 0; d < region.offsets.size(); ++d) {
            const int64_t size = tensor->view.shape[d];
            region.extents[d] = number(0, 3) == 0 ? size : number(1, size > 100 ? 40 : 3);
            region.offsets[d] = 0;
            if (region.extents[d] < size) {
                region.offsets[d] = offset(size, region.extents[d]);
            }
            if (d + 2 >= region.offsets.size()) {
                region.keep.push_back(static_cast<int>(d));
            } else {
                region.extents[d] = 1;
            }
        }
        return region;
    }

    Affine offset(int64_t size, int64_t extent) {
        Affine result(number(0, 3) == 0 ? number(0, size - extent) : 0);
        int64_t step = number(0, 1) == 0 ? extent : number(1, 4);
        for (size_t i = loops_.size(); i-- > 0;) {
            if (number(0, 3) != 0) {
                result = result + Affine::variable(loops_[i].first, step);
                step *= number(0, 3) == 0 ? number(-1, 3) : std::max<int64_t>(loops_[i].second, 1);
            }
        }
        return result;
    }

    std::mt19937_64 random_;
    std::vector<TensorPtr> tensors_;
    std::map<Direction, KernelPtr> kernels_;
    std::vector<std::pair<std::string, int64_t>> loops_;
};

using Key = std::pair<const TaskNode *, std::vector<int64_t>>;

/// Where a static plan runs a task.
struct Slot {
    size_t phase = 0;
    size_t nest = 0;
    int64_t iteration = 0;
    int64_t order = 0;
};

std::map<Key, Slot> slots_of(const std::vector<StaticPhase> &phases) {
    std::map<Key, Slot> slots;
    for (size_t p = 0; p < phases.size(); ++p) {
        for (size_t n = 0; n < phases[p].size(); ++n) {
            const StaticNest &nest = phases[p][n];
            for (int64_t i = 0; i < *nest.iterations; ++i) {
                std::vector<int64_t> outer(nest.loops.size());
                int64_t rest = i;
                for (size_t d = nest.loops.size(); d-- > 0;) {
                    outer[d] = rest % *nest.loops[d]->axis.constant();
                    rest /= *nest.loops[d]->axis.constant();
                }
                int64_t tasks = 0;
                Workload{"body", nest.body, {}, {}, {}}.enumerate([&](const Task &task) {
                    std::vector<int64_t> indices = outer;
                    for (const auto &[variable, index] : task.indices) {
                        indices.push_back(index);
                    }
                    RC_ASSERT(
                        slots.emplace(Key{task.node, indices}, Slot{p, n, i, task.id}).second);
                    tasks++;
                    return true;
                });
                RC_ASSERT(tasks == nest.tasks_per_iteration);
            }
        }
    }
    return slots;
}

bool runs_before(const Slot &a, const Slot &b) {
    return a.phase < b.phase || (a.phase == b.phase && a.nest == b.nest &&
                                 a.iteration == b.iteration && a.order < b.order);
}

void check_static(const Oracle &oracle, const std::vector<StaticPhase> &phases) {
    const std::map<Key, Slot> slots = slots_of(phases);
    RC_ASSERT(slots.size() == oracle.tasks().size());
    for (size_t i = 0; i < oracle.tasks().size(); ++i) {
        for (size_t j = i + 1; j < oracle.tasks().size(); ++j) {
            const Instance &a = oracle.tasks()[i];
            const Instance &b = oracle.tasks()[j];
            if (Oracle::conflict(a, b) || Oracle::ordered(a, b)) {
                RC_ASSERT(
                    runs_before(slots.at({a.task, a.indices}), slots.at({b.task, b.indices})));
            }
        }
    }
}

/// Submits a tracked plan as the executor does and records which submission waits for which.
class Submission {
public:
    using Set = std::bitset<2048>;

    Submission(const TrackedPlan &plan, int64_t workers) : plan_(plan) {
        values_[workers_variable] = workers;
        for (const CellGrid &grid : plan.grids) {
            cells_.emplace_back(static_cast<size_t>(grid.cells));
        }
        run(plan.program);
    }

    std::vector<Key> tasks;         ///< without joins
    std::vector<size_t> numbers;    ///< of submission, of each task
    std::vector<Set> predecessors;  ///< of each submission, transitive

private:
    struct Cell {
        int writer = -1;
        std::vector<int> readers;
    };

    void run(const std::vector<TrackedStep> &steps) {
        for (const TrackedStep &step : steps) {
            if (step.loop == nullptr) {
                submit(plan_.sites[static_cast<size_t>(step.site)]);
                continue;
            }
            RC_ASSERT(!step.body.empty());
            for (int64_t i = 0; i < *step.loop->axis.constant(); ++i) {
                values_[step.loop->id] = i;
                run(step.body);
            }
        }
    }

    void submit(const TrackedSite &site) {
        values_[number_variable] = static_cast<int64_t>(tasks.size());
        const size_t number = predecessors.size();
        RC_ASSERT(number < Set().size());
        predecessors.emplace_back();
        for (const CellAccess &access : site.accesses) {
            visit(access, [&](Cell &cell) { wait(cell, access, number); });
        }
        for (const CellAccess &access : site.accesses) {
            visit(access, [&](Cell &cell) { leave(cell, access, static_cast<int>(number)); });
        }
        if (site.task != nullptr) {
            std::vector<int64_t> indices;
            for (const LoopVar *variable : site.loops) {
                indices.push_back(values_.at(variable->id));
            }
            tasks.emplace_back(site.task, indices);
            numbers.push_back(number);
        }
    }

    template <class Visit> void visit(const CellAccess &access, Visit &&visit) {
        std::vector<int64_t> cells{access.first.evaluate(values_)};
        for (const CellAccess::Extent &extent : access.box) {
            const std::vector<int64_t> before = cells;
            for (int64_t i = 1; i < extent.count; ++i) {
                for (const int64_t cell : before) {
                    cells.push_back(cell + i * extent.stride);
                }
            }
        }
        std::vector<Cell> &grid = cells_[static_cast<size_t>(access.grid)];
        for (const int64_t cell : cells) {
            RC_ASSERT(cell >= 0);
            RC_ASSERT(cell < static_cast<int64_t>(grid.size()));
            visit(grid[static_cast<size_t>(cell)]);
        }
    }

    void wait(const Cell &cell, const CellAccess &access, size_t number) {
        const auto wait_for = [&](int other) {
            if (other >= 0) {
                const auto o = static_cast<size_t>(other);
                predecessors[number] |= predecessors[o];
                predecessors[number].set(o);
            }
        };
        wait_for(cell.writer);
        if (access.writes) {
            std::ranges::for_each(cell.readers, wait_for);
        }
    }

    static void leave(Cell &cell, const CellAccess &access, int number) {
        if (access.writes) {
            cell.writer = number;
            cell.readers.clear();
        } else {
            cell.readers.push_back(number);
        }
    }

    const TrackedPlan &plan_;
    std::map<std::string, int64_t> values_;
    std::vector<std::vector<Cell>> cells_;
};

int64_t lane_of(const LaneRule &rule, const Instance &task, size_t number) {
    const int64_t key = rule.key ? rule.key->evaluate(task.values) : static_cast<int64_t>(number);
    return key % rule.lanes;
}

void check_tracked(const Oracle &oracle, const TrackedPlan &plan,
                   const std::vector<LaneRule> &lanes) {
    const Submission submission(plan, 2);
    RC_ASSERT(submission.tasks.size() == oracle.tasks().size());
    for (size_t j = 0; j < oracle.tasks().size(); ++j) {
        const Instance &b = oracle.tasks()[j];
        RC_ASSERT(submission.tasks[j] == (Key{b.task, b.indices}));
        for (size_t i = 0; i < j; ++i) {
            const Instance &a = oracle.tasks()[i];
            const bool same_lane = std::ranges::any_of(lanes, [&](const LaneRule &rule) {
                return lane_of(rule, a, i) == lane_of(rule, b, j);
            });
            if (same_lane || Oracle::conflict(a, b) || Oracle::ordered(a, b)) {
                RC_ASSERT(
                    submission.predecessors[submission.numbers[j]].test(submission.numbers[i]));
            }
        }
    }
}

/// A path between two tasks exactly where one conflicts with the other, or where the structure or
/// a lane puts them in order, and where these follow from each other.
void check_graph(const Oracle &oracle, const Workload &workload, const std::vector<LaneRule> &lanes,
                 bool exact) {
    using Set = Submission::Set;
    const TaskGraph graph = task_graph(workload, lanes, 2);
    RC_ASSERT(graph.vertices.size() < Set().size());
    std::vector<Set> before(graph.vertices.size());
    std::vector<size_t> vertex_of;
    size_t next = 0;
    for (size_t v = 0; v < graph.vertices.size(); ++v) {
        for (; next < graph.edges.size() && graph.edges[next].to == static_cast<int>(v); ++next) {
            const auto from = static_cast<size_t>(graph.edges[next].from);
            RC_ASSERT(from < v);
            before[v] |= before[from];
            before[v].set(from);
        }
        if (graph.vertices[v].task >= 0) {
            RC_ASSERT(graph.vertices[v].task == static_cast<int64_t>(vertex_of.size()));
            vertex_of.push_back(v);
        }
    }
    RC_ASSERT(next == graph.edges.size());
    RC_ASSERT(vertex_of.size() == oracle.tasks().size());
    std::vector<Set> wanted(oracle.tasks().size());
    for (size_t j = 0; j < wanted.size(); ++j) {
        const Instance &b = oracle.tasks()[j];
        for (size_t i = 0; i < j; ++i) {
            const Instance &a = oracle.tasks()[i];
            const bool same_lane = std::ranges::any_of(lanes, [&](const LaneRule &rule) {
                return lane_of(rule, a, i) == lane_of(rule, b, j);
            });
            if (same_lane || Oracle::conflict(a, b) || Oracle::ordered(a, b)) {
                wanted[j] |= wanted[i];
                wanted[j].set(i);
            }
        }
        for (size_t i = 0; i < j; ++i) {
            const bool found = before[vertex_of[j]].test(vertex_of[i]);
            RC_ASSERT((exact ? found == wanted[j].test(i) : found || !wanted[j].test(i)));
        }
    }
}

TEST(DependenceProperty, AgreesWithBruteForce) {
    int64_t static_plans = 0;
    int64_t tracked_plans = 0;
    int64_t exact_graphs = 0;
    EXPECT_TRUE(rc::check("every conflict is ordered", [&] {
        const auto seed = *rc::gen::arbitrary<uint64_t>();
        for (uint64_t i = 0; i < 40; ++i) {
            Generator generator(seed + i);
            const Workload workload = generator.make();
            RC_LOG() << workload.str();
            const Oracle oracle(workload);
            if (oracle.tasks().size() > Oracle::max_tasks) {
                continue;
            }
            const std::vector<LaneRule> lanes = generator.lanes();
            const DependenceSummary summary = analyse_dependence(workload, lanes);
            const bool exact = std::ranges::all_of(
                summary.memory, [](const TensorMemory &memory) { return memory.exact; });
            exact_graphs += exact ? 1 : 0;
            check_graph(oracle, workload, lanes, exact);
            if (summary.is_static()) {
                static_plans++;
                check_static(oracle, std::get<0>(summary.plan));
            } else {
                tracked_plans++;
                check_tracked(oracle, std::get<TrackedPlan>(summary.plan), lanes);
            }
        }
    }));
    EXPECT_GT(static_plans, 300);
    EXPECT_GT(tracked_plans, 300);
    EXPECT_GT(exact_graphs, 1000);
}

TEST(DependenceProperty, TextIsReadBack) {
    EXPECT_TRUE(rc::check("parse(print(w)) prints the same and has the same plan", [] {
        const Workload workload = Generator(*rc::gen::arbitrary<uint64_t>()).make();
        const std::string text = workload.str();
        const Workload read = parse_workload(text);
        RC_ASSERT(read.str() == text);
        RC_ASSERT(analyse_dependence(read).str() == analyse_dependence(workload).str());
    }));
}

}  // namespace
}  // namespace pto::wsp::workload::test
