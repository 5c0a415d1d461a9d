#include <fmt/format.h>

#include "program_impl.h"
#include "pto/wsp/schedule/cycles.h"
#include "pto/wsp/support/env.h"

/// Virtual cycles and the graph of tasks of a program.
namespace pto::wsp {

std::string Program::Impl::why_no_model() const {
    if (options.target != "cpu_sim") {
        return fmt::format("target '{}' has no model: compile for cpu_sim", options.target);
    }
    if (workload::KernelPtr kernel = missing_kernel()) {
        return fmt::format("nothing implements '{}'", kernel->name);
    }
    return "";
}

schedule::AddedBy Program::Impl::added_by() const {
    if (!counts_added()) {
        return nullptr;
    }
    const std::shared_ptr<StartedRun> last = runs.last();
    std::string unknown;
    if (last == nullptr) {
        unknown = "and the program has not run";
    } else if (added == nullptr) {
        unknown = "and the program has not run on the data that it is given";
    } else if (!last->run->is_complete()) {
        unknown = "and the run has not ended";
    } else if (const runtime::RunStats run = last->run->stats();
               last->run->failure_count() > 0 || run.skipped > 0 || run.cancelled) {
        unknown = "and not all tasks of the last run have ended well";
    }
    std::vector<int64_t> cycles;
    int64_t tasks = 0;
    if (unknown.empty()) {
        cycles = added->by_task();
        tasks = added->tasks();
    }
    return [this, unknown, cycles, tasks](const workload::TaskNode &task,
                                          std::optional<int64_t> number) -> kernel::Cycles {
        if (!adding.contains(task.kernel)) {
            return {0, ""};
        }
        std::string why = unknown;
        if (why.empty() && !number) {
            why = "in a process, whose tasks have no place among those of others";
        } else if (why.empty() && *number >= tasks) {
            why = fmt::format("and the last run had {} tasks", tasks);
        }
        if (!why.empty()) {
            return {0,
                    fmt::format("kernel '{}' adds cycles in its body, {}", task.kernel->name, why)};
        }
        const auto place = static_cast<size_t>(*number);
        return {place < cycles.size() ? cycles[place] : 0, ""};
    };
}

void Program::Impl::model_cycles() {
    stats.total_cycles.reset();
    stats.total_cycles_note = why_no_model();
    is_modelled = true;
    if (!stats.total_cycles_note.empty()) {
        return;
    }
    kernel::Cycles made = schedule::total_cycles(
        workload,
        options.tasks, [&](const workload::KernelPtr &k) -> const auto & { return *program_of(k); },
        options.tasks.window(), views, added_by());
    if (made.unknown.empty()) {
        stats.total_cycles = made.cycles;
    }
    // The end of a run makes known what bodies add.
    is_modelled = made.unknown.empty() || !counts_added();
    stats.total_cycles_note = std::move(made.unknown);
}

namespace {

workload::TaskGraph graph_of(const Program::Impl &impl, int64_t max_tasks) {
    return workload::task_graph(
        impl.workload, schedule::lane_rules(impl.options.tasks, impl.at), env::workers(), max_tasks,
        schedule::order_rules(impl.options.tasks, env::workers(), impl.at), impl.views);
}

}  // namespace

GraphCycles Program::Impl::model_graph() const {
    GraphCycles result;
    result.note = why_no_model();
    if (!result.note.empty()) {
        return result;
    }
    workload::TaskGraph made;
    try {
        made = graph_of(*this, workload::max_graph_tasks);
    } catch (const CompileError &error) {
        result.note = error.text();
        return result;
    }
    std::vector<int64_t> tasks;
    result.note =
        schedule::task_cycles(
            workload, [&](const workload::KernelPtr &k) -> const auto & { return *program_of(k); },
            tasks, views, added_by())
            .unknown;
    if (!result.note.empty()) {
        return result;
    }
    std::vector<int64_t> durations;
    for (const workload::TaskGraph::Vertex &vertex : made.vertices) {
        durations.push_back(vertex.task < 0 ? 0 : tasks[static_cast<size_t>(vertex.task)]);
    }
    result.critical_path = workload::critical_path(made, durations);
    result.makespan = workload::makespan(made, durations, env::workers());
    return result;
}

workload::TaskGraph Program::graph(int64_t max_tasks) const {
    std::scoped_lock lock(impl_->mutex);
    return graph_of(*impl_, max_tasks);
}

GraphCycles Program::graph_cycles() const {
    std::scoped_lock lock(impl_->mutex);
    if (!impl_->graph_cycles) {
        impl_->graph_cycles = impl_->model_graph();
    }
    const GraphCycles result = *impl_->graph_cycles;
    if (!result.note.empty() && impl_->counts_added()) {
        impl_->graph_cycles.reset();
    }
    return result;
}

}  // namespace pto::wsp
