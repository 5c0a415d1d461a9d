#include "runs.h"

#include <algorithm>
#include <bit>
#include <iterator>

#include "pto/wsp/support/error.h"

namespace pto::wsp {

namespace {

/// Addresses of the first and one past the last byte.
std::pair<int64_t, int64_t> bytes_of(const TensorView &view) {
    const auto base = std::bit_cast<int64_t>(view.data);
    const auto [begin, end] = view.byte_extent();
    return {base + begin, base + end};
}

bool is_failure(const StartedRun &run, bool cancelled) {
    const runtime::RunStats stats = run.run->stats();
    return !run.run->failures().empty() || (cancelled && stats.cancelled);
}

}  // namespace

bool share_memory(const std::vector<workload::TensorMemory> &memory,
                  const std::vector<TensorView> &a, const std::vector<TensorView> &b) {
    for (size_t i = 0; i < a.size(); ++i) {
        const auto [begin, end] = bytes_of(a[i]);
        for (size_t j = 0; j < b.size(); ++j) {
            const auto [other_begin, other_end] = bytes_of(b[j]);
            const bool written = memory[i].written || memory[j].written;
            if (written && begin < other_end && other_begin < end) {
                return true;
            }
        }
    }
    return false;
}

void StartedRuns::add(std::shared_ptr<StartedRun> run) {
    runs_ = all();
    std::erase_if(runs_, [](const std::shared_ptr<StartedRun> &other) {
        return other->run->is_complete() && (other->is_reported || !is_failure(*other, false));
    });
    runs_.push_back(std::move(run));
}

std::vector<std::shared_ptr<StartedRun>> StartedRuns::all() const {
    std::vector<std::shared_ptr<StartedRun>> all;
    std::ranges::copy_if(runs_, std::back_inserter(all),
                         [](const auto &each) { return each->forks == runtime::fork_count(); });
    return all;
}

std::shared_ptr<StartedRun> StartedRuns::last() const {
    const std::vector<std::shared_ptr<StartedRun>> runs = all();
    return runs.empty() ? nullptr : runs.back();
}

bool StartedRuns::are_complete() const {
    const std::vector<std::shared_ptr<StartedRun>> runs = all();
    return std::ranges::all_of(runs, [](const auto &each) { return each->run->is_complete(); });
}

std::shared_ptr<StartedRun> StartedRuns::take_failed(bool cancelled) {
    for (const std::shared_ptr<StartedRun> &each : all()) {
        if (!each->is_reported && each->run->is_complete() && is_failure(*each, cancelled)) {
            each->is_reported = true;
            return each;
        }
    }
    return nullptr;
}

namespace {

using Indices = std::vector<std::pair<std::string, int64_t>>;

void add_index(Indices &indices, const workload::LoopVar &loop, int64_t value) {
    if (!loop.hidden) {
        indices.emplace_back(loop.names.empty() ? loop.id : loop.names.front(), value);
    }
}

Indices indices_in_nest(const workload::StaticNest &nest, int64_t iteration, const RunData &data) {
    std::map<std::string, int64_t> values;
    for (size_t i = nest.loops.size(); i-- > 0;) {
        const workload::LoopVar &loop = *nest.loops[i];
        if (loop.value) {
            continue;
        }
        const int64_t size = std::max<int64_t>(loop.axis.size.evaluate({}, &data), 1);
        values[loop.id] = iteration % size;
        iteration /= size;
    }
    Indices indices;
    for (const workload::LoopVar *loop : nest.loops) {
        if (loop->value) {
            values[loop->id] = loop->value->evaluate(values, &data);
        }
        add_index(indices, *loop, values[loop->id]);
    }
    return indices;
}

/// Values by ids of loop variables, under the names that users know.
Indices named(const Indices &by_id, const workload::TrackedPlan &plan) {
    Indices indices;
    for (const auto &[id, value] : by_id) {
        for (const workload::TrackedSite &site : plan.sites) {
            const auto loop = std::ranges::find(site.loops, id, &workload::LoopVar::id);
            if (loop != site.loops.end()) {
                add_index(indices, **loop, value);
                break;
            }
        }
    }
    return indices;
}

Indices indices_of_task(const workload::Workload &workload, int64_t number, const RunData &data) {
    workload::Workload with_data;
    with_data.root = workload.root;
    with_data.data = data;
    Indices indices;
    with_data.enumerate([&](const workload::Task &task) {
        if (task.id == number) {
            for (const auto &[loop, value] : task.indices) {
                add_index(indices, *loop, value);
            }
        }
        return task.id < number;
    });
    return indices;
}

}  // namespace

std::vector<std::pair<std::string, int64_t>> indices_of(const runtime::Failure &failure,
                                                        const workload::Workload &workload,
                                                        const workload::DependenceSummary &summary,
                                                        const RunData &data) {
    constexpr int64_t most_enumerated = 1'000'000;
    try {
        if (const auto *phases = std::get_if<std::vector<workload::StaticPhase>>(&summary.plan)) {
            int first = 0;
            for (const workload::StaticPhase &phase : *phases) {
                const int count = static_cast<int>(phase.size());
                if (failure.loop >= first && failure.loop < first + count) {
                    return indices_in_nest(phase[static_cast<size_t>(failure.loop - first)],
                                           failure.iteration, data);
                }
                first += count;
            }
            return {};
        }
        if (!failure.what.indices.empty()) {
            return named(failure.what.indices, std::get<workload::TrackedPlan>(summary.plan));
        }
        if (failure.task < 0 || failure.task > most_enumerated) {
            return {};
        }
        return indices_of_task(workload, failure.task, data);
    } catch (const PtoError &) {
        // What only a run knows decides which task it is.
        return {};
    }
}

}  // namespace pto::wsp
