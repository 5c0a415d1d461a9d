#include <algorithm>
#include <bitset>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/graph.h"
#include "pto/wsp/workload/parse.h"
#include "workload/oracle.h"
#include "workload/random_workload.h"

namespace pto::wsp::workload::test {
namespace {

/// A place that makes tasks or reads an element, in an iteration.
using Key = std::pair<std::uintptr_t, std::vector<int64_t>>;

/// Where a static plan runs a task.
struct Slot {
    size_t phase = 0;
    size_t nest = 0;
    int64_t iteration = 0;
    int64_t order = 0;
};

std::map<Key, Slot> slots_of(const std::vector<StaticPhase> &phases, const RunData &data) {
    std::map<Key, Slot> slots;
    for (size_t p = 0; p < phases.size(); ++p) {
        for (size_t n = 0; n < phases[p].size(); ++n) {
            const StaticNest &nest = phases[p][n];
            std::vector<int64_t> sizes;
            int64_t iterations = 1;
            for (const LoopVar *loop : nest.loops) {
                sizes.push_back(std::max<int64_t>(loop->axis.size.evaluate({}, &data), 0));
                iterations *= sizes.back();
            }
            RC_ASSERT(nest.iterations.value_or(iterations) == iterations);
            for (int64_t i = 0; i < iterations; ++i) {
                std::vector<int64_t> outer(nest.loops.size());
                int64_t rest = i;
                for (size_t d = nest.loops.size(); d-- > 0;) {
                    outer[d] = rest % sizes[d];
                    rest /= sizes[d];
                }
                std::map<std::string, int64_t> values;
                for (size_t d = 0; d < outer.size(); ++d) {
                    const LoopVar &loop = *nest.loops[d];
                    outer[d] = loop.value ? loop.value->evaluate(values, &data) : outer[d];
                    values[loop.id] = outer[d];
                }
                const Oracle inside(*nest.body, data, values);
                for (const Instance &task : inside.tasks()) {
                    std::vector<int64_t> indices = outer;
                    indices.insert(indices.end(), task.indices.begin(), task.indices.end());
                    RC_ASSERT(slots.emplace(Key{task.place(), indices}, Slot{p, n, i, task.number})
                                  .second);
                }
                const auto tasks = static_cast<int64_t>(inside.tasks().size());
                RC_ASSERT(nest.tasks_per_iteration.value_or(tasks) == tasks);
            }
        }
    }
    return slots;
}

bool same_lane(const LaneRule &rule, const Instance &a, const Instance &b) {
    const auto lane = [&](const Instance &task) {
        return (rule.key ? rule.key->evaluate(task.values) : task.number) % rule.lanes;
    };
    return a.task != nullptr && b.task != nullptr && lane(a) == lane(b);
}

/// `a` must have ended before `b` begins. Elements that slots are filled with are read while the
/// tasks behind them are not yet submitted: nothing waits for them.
bool must_precede(const Instance &a, const Instance &b, const std::vector<LaneRule> &lanes) {
    if (a.task == nullptr || b.task == nullptr) {
        return a.task != nullptr && Oracle::conflict(a, b);
    }
    return Oracle::conflict(a, b) || Oracle::ordered(a, b) ||
           std::ranges::any_of(lanes, [&](const LaneRule &rule) { return same_lane(rule, a, b); });
}

bool runs_before(const Slot &a, const Slot &b) {
    return a.phase < b.phase || (a.phase == b.phase && a.nest == b.nest &&
                                 a.iteration == b.iteration && a.order < b.order);
}

void check_static(const Oracle &oracle, const std::vector<StaticPhase> &phases,
                  const RunData &data) {
    const std::map<Key, Slot> slots = slots_of(phases, data);
    RC_ASSERT(slots.size() == oracle.tasks().size());
    for (size_t i = 0; i < oracle.tasks().size(); ++i) {
        for (size_t j = i + 1; j < oracle.tasks().size(); ++j) {
            const Instance &a = oracle.tasks()[i];
            const Instance &b = oracle.tasks()[j];
            if (must_precede(a, b, {})) {
                RC_ASSERT(runs_before(slots.at({a.place(), a.indices}),
                                      slots.at({b.place(), b.indices})));
            }
        }
    }
}

/// Submits a tracked plan as the executor does and records which submission waits for which.
class Submission {
public:
    using Set = std::bitset<2048>;

    Submission(const TrackedPlan &plan, const RunData &data, int64_t workers)
        : plan_(plan), data_(data), slots_(slot_words, 0) {
        values_[workers_variable] = workers;
        for (const CellGrid &grid : plan.grids) {
            cells_.emplace_back(static_cast<size_t>(grid.cells));
        }
        run(plan.program);
    }

    std::vector<Key> tasks;         ///< and slots filled with elements; without joins
    std::vector<size_t> numbers;    ///< of submission, of each task
    std::vector<Set> predecessors;  ///< of each submission, transitive

private:
    struct Cell {
        int writer = -1;
        std::vector<int> readers;
    };

    int64_t value_of(const ScalarExpr &expr) const {
        return expr.evaluate(values_, &data_, slots_.data());
    }

    void run(const std::vector<TrackedStep> &steps) {
        for (const TrackedStep &step : steps) {
            if (step.branch != nullptr) {
                size_t taken = 0;
                while (taken < step.branch->cases.size() &&
                       value_of(step.branch->cases[taken].predicate) == 0) {
                    taken++;
                }
                run(step.cases[taken]);
            } else if (step.loop == nullptr) {
                submit(plan_.sites[static_cast<size_t>(step.site)]);
            } else {
                run_loop(step);
            }
        }
    }

    void run_loop(const TrackedStep &step) {
        RC_ASSERT(!step.body.empty());
        const int64_t size = value_of(step.loop->axis.size);
        for (int64_t i = 0; i < size; ++i) {
            values_[step.loop->id] = step.loop->value ? value_of(*step.loop->value) : i;
            run(step.body);
        }
    }

    void submit(const TrackedSite &site) {
        if (site.slot != nullptr && std::holds_alternative<ScalarExpr>(site.slot->value)) {
            slots_[static_cast<size_t>(site.slot->slot)] =
                value_of(std::get<ScalarExpr>(site.slot->value));
            return;
        }
        values_[number_variable] = submitted_;
        const size_t number = predecessors.size();
        RC_ASSERT(number < Set().size());
        predecessors.push_back(awaited_);
        for (const CellAccess &access : site.accesses) {
            visit(access, [&](Cell &cell) { wait(cell, access, number); });
        }
        if (site.slot != nullptr) {
            // The expander waits for the element before it goes on.
            awaited_ = predecessors.back();
            read(*site.slot);
        } else {
            for (const CellAccess &access : site.accesses) {
                visit(access, [&](Cell &cell) { leave(cell, access, static_cast<int>(number)); });
            }
        }
        if (site.task != nullptr || site.slot != nullptr) {
            submitted_ += site.task != nullptr ? 1 : 0;
            std::vector<int64_t> indices;
            for (const LoopVar *variable : site.loops) {
                indices.push_back(values_.at(variable->id));
            }
            tasks.emplace_back(place_of(site.task, site.slot), indices);
            numbers.push_back(number);
        }
    }

    void read(const SlotNode &slot) {
        const auto &region = std::get<Region>(slot.value);
        slots_[static_cast<size_t>(slot.slot)] = static_cast<const int32_t *>(
            region.tensor->view.data)[region.offsets[0].evaluate(values_)];
    }

    template <class Visit> void visit(const CellAccess &access, Visit &&visit) {
        std::vector<int64_t> cells{value_of(access.first)};
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
    const RunData &data_;
    std::vector<int64_t> slots_;
    int64_t submitted_ = 0;
    Set awaited_;
    std::map<std::string, int64_t> values_;
    std::vector<std::vector<Cell>> cells_;
};

void check_tracked(const Oracle &oracle, const TrackedPlan &plan, const RunData &data,
                   const std::vector<LaneRule> &lanes) {
    const Submission submission(plan, data, 2);
    RC_ASSERT(submission.tasks.size() == oracle.tasks().size());
    for (size_t j = 0; j < oracle.tasks().size(); ++j) {
        const Instance &b = oracle.tasks()[j];
        RC_ASSERT(submission.tasks[j] == (Key{b.place(), b.indices}));
        for (size_t i = 0; i < j; ++i) {
            if (must_precede(oracle.tasks()[i], b, lanes)) {
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
    std::vector<const Instance *> tasks;
    for (const Instance &each : oracle.tasks()) {
        if (each.task != nullptr) {
            tasks.push_back(&each);
        }
    }
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
    RC_ASSERT(vertex_of.size() == tasks.size());
    std::vector<Set> wanted(tasks.size());
    for (size_t j = 0; j < wanted.size(); ++j) {
        const Instance &b = *tasks[j];
        for (size_t i = 0; i < j; ++i) {
            if (must_precede(*tasks[i], b, lanes)) {
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

/// How many plans of each kind were looked at.
struct Counts {
    int64_t static_plans = 0;
    int64_t tracked_plans = 0;
    int64_t exact_graphs = 0;
};

void check_all(Generator &generator, Counts &counts) {
    const Workload workload = generator.make();
    RC_LOG() << workload.str();
    const Oracle oracle(workload);
    if (oracle.tasks().size() > Oracle::max_tasks || !oracle.is_inside()) {
        return;
    }
    const std::vector<LaneRule> lanes = generator.lanes();
    const DependenceSummary summary = analyse_dependence(workload, lanes);
    const bool exact = std::ranges::all_of(summary.memory,
                                           [](const TensorMemory &memory) { return memory.exact; });
    counts.exact_graphs += exact ? 1 : 0;
    check_graph(oracle, workload, lanes, exact);
    if (summary.is_static()) {
        counts.static_plans++;
        check_static(oracle, std::get<0>(summary.plan), workload.data);
    } else {
        counts.tracked_plans++;
        check_tracked(oracle, std::get<TrackedPlan>(summary.plan), workload.data, lanes);
    }
}

TEST(DependenceProperty, AgreesWithBruteForce) {
    for (const bool dynamic : {false, true}) {
        Counts counts;
        EXPECT_TRUE(rc::check("every conflict is ordered", [&] {
            const auto seed = *rc::gen::arbitrary<uint64_t>();
            for (uint64_t i = 0; i < 40; ++i) {
                Generator generator(seed + i, dynamic);
                check_all(generator, counts);
            }
        }));
        EXPECT_GT(counts.static_plans, 100);
        EXPECT_GT(counts.tracked_plans, 300);
        EXPECT_GT(counts.exact_graphs, 500);
    }
}

TEST(DependenceProperty, TextIsReadBack) {
    EXPECT_TRUE(rc::check("parse(print(w)) prints the same and has the same plan", [] {
        const auto seed = *rc::gen::arbitrary<uint64_t>();
        const Workload workload = Generator(seed, seed % 2 == 0).make();
        const std::string text = workload.str();
        const Workload read = parse_workload(text);
        RC_ASSERT(read.str() == text);
        RC_ASSERT(analyse_dependence(read).str() == analyse_dependence(workload).str());
    }));
}

}  // namespace
}  // namespace pto::wsp::workload::test
