#include <algorithm>

#include <fmt/format.h>

#include "program_impl.h"
#include "pto/wsp/schedule/tasks.h"

/// Traces of runs.
namespace pto::wsp {

using runtime::TraceLevel;

namespace {

/// Whether an iteration runs one kernel, once.
bool is_one_task(const workload::StaticNest &nest) {
    int places = 0;
    workload::for_each_task(*nest.body, [&](const workload::TaskNode &, const workload::LoopPath &,
                                            const workload::Node &) { places++; });
    return places == 1 && nest.tasks_per_iteration == 1;
}

/// At the level Full the dependences of each task are seen too; only a wavefront has some.
bool shows_all(const workload::StaticNest &nest, TraceLevel level) {
    return is_one_task(nest) && !(nest.wavefront && level == TraceLevel::Full);
}

/// The grid whose cells are the streams; -1: none. Grids of lanes come first.
int stream_grid(const std::vector<workload::LaneRule> &lanes) {
    for (size_t i = 0; i < lanes.size(); ++i) {
        if (lanes[i].name == "stream") {
            return static_cast<int>(i);
        }
    }
    return -1;
}

void add_loops(runtime::DynamicGraph &graph, const workload::TrackedPlan &tracked, int streams) {
    const std::map<const workload::LoopVar *, int> words = lower::loop_words(tracked);
    for (size_t s = 0; s < graph.sites.size(); ++s) {
        runtime::TaskSite &site = graph.sites[s];
        for (const workload::LoopVar *loop : tracked.sites[s].loops) {
            if (!loop->hidden) {
                site.loops.push_back({loop->id, words.at(loop)});
            }
        }
        for (size_t a = 0; a < site.accesses.size() && streams >= 0; ++a) {
            if (site.accesses[a].grid == streams) {
                site.stream_access = static_cast<int>(a);
            }
        }
    }
}

/// Sizes that a run decides are 0 until it has.
void add_loops(std::vector<runtime::Phase> &phases,
               const std::vector<workload::StaticPhase> &nests) {
    for (size_t p = 0; p < phases.size(); ++p) {
        for (size_t n = 0; n < phases[p].size(); ++n) {
            for (const workload::LoopVar *loop : nests[p][n].loops) {
                phases[p][n].loops.push_back({loop->id, loop->axis.constant().value_or(0)});
            }
        }
    }
}

}  // namespace

std::shared_ptr<const runtime::Plan> Program::Impl::with_loops(const runtime::Plan &plan) const {
    auto result = std::make_shared<runtime::Plan>(plan);
    if (auto *graph = std::get_if<runtime::DynamicGraph>(result.get())) {
        add_loops(*graph, std::get<workload::TrackedPlan>(summary.plan),
                  stream_grid(schedule::lane_rules(options.tasks, at)));
    } else {
        add_loops(std::get<std::vector<runtime::Phase>>(*result),
                  std::get<std::vector<workload::StaticPhase>>(summary.plan));
    }
    return result;
}

workload::DependenceSummary Program::Impl::analyse_for(TraceLevel level) const {
    workload::DependenceSummary made = analyse("");
    const auto *phases = std::get_if<std::vector<workload::StaticPhase>>(&made.plan);
    const bool one_by_one = level == TraceLevel::Timing || level == TraceLevel::Full;
    const auto is_shown = [&](const workload::StaticNest &nest) { return shows_all(nest, level); };
    if (one_by_one && phases != nullptr && !std::ranges::all_of(*phases, [&](const auto &phase) {
            return std::ranges::all_of(phase, is_shown);
        })) {
        return analyse("its tasks are traced one by one");
    }
    return made;
}

std::shared_ptr<runtime::Tracer> Program::Impl::start_trace(int workers) {
    tracer = nullptr;
    trace = nullptr;
    if (trace_level == TraceLevel::None) {
        return nullptr;
    }
    auto described = plan;
    if (const auto *nests = std::get_if<std::vector<workload::StaticPhase>>(&summary.plan)) {
        auto phases = std::get<std::vector<runtime::Phase>>(*plan);
        for (size_t p = 0; p < phases.size(); ++p) {
            for (size_t n = 0; n < phases[p].size(); ++n) {
                for (size_t l = 0; l < phases[p][n].loops.size(); ++l) {
                    const int64_t size =
                        (*nests)[p][n].loops[l]->axis.size.evaluate({}, &workload.data);
                    phases[p][n].loops[l].size = std::max<int64_t>(size, 1);
                }
            }
        }
        described = std::make_shared<const runtime::Plan>(std::move(phases));
    }
    auto made = std::make_shared<runtime::Tracer>(trace_level, std::move(described), workers);
    tracer = made;
    return made;
}

const std::shared_ptr<const runtime::Trace> &Program::Impl::finished_trace() const {
    if (trace == nullptr) {
        trace = std::make_shared<const runtime::Trace>(tracer->trace());
    }
    return trace;
}

void Program::Impl::add_critical_path(ProgramStats &stats) const {
    const std::shared_ptr<StartedRun> last = runs.last();
    if (last == nullptr || !last->run->is_complete()) {
        stats.critical_path_note =
            last == nullptr ? "the program has not run" : "the run has not ended";
        return;
    }
    if (tracer == nullptr || tracer->level() != TraceLevel::Full) {
        stats.critical_path_note =
            fmt::format("the last run was traced at the level {}, expected full",
                        runtime::name(tracer == nullptr ? TraceLevel::None : tracer->level()));
        return;
    }
    const runtime::Trace &made = *finished_trace();
    if (const std::optional<int64_t> path = made.critical_path_ns()) {
        stats.critical_path_ms = static_cast<double>(*path) / 1e6;
    } else {
        stats.critical_path_note = fmt::format("{} events of the trace are missing: there was no "
                                               "memory for them",
                                               made.dropped);
    }
}

runtime::TraceLevel Program::trace_level() const {
    std::scoped_lock lock(impl_->mutex);
    return impl_->trace_level;
}

std::shared_ptr<const runtime::Trace> Program::trace(const Loc &at) const {
    std::scoped_lock lock(impl_->mutex);
    const std::shared_ptr<StartedRun> last = impl_->runs.last();
    if (last != nullptr && !last->run->is_complete()) {
        throw ExecutionError(at, "trace: the run has not ended", {}, "call synchronize first");
    }
    if (impl_->tracer == nullptr) {
        const char *text = last == nullptr ? "trace: the program has not run"
                                           : "trace: the last run was not traced";
        throw ExecutionError(at, text, {}, "call enable_tracing(TraceLevel.TIMING) before execute");
    }
    return impl_->finished_trace();
}

}  // namespace pto::wsp
