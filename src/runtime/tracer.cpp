#include "pto/wsp/runtime/tracer.h"

#include <algorithm>
#include <map>

#include "runtime/event_log.h"
#include "runtime/ticks.h"

namespace pto::wsp::runtime {

namespace {

/// Times below are ticks.
struct WorkEvent {
    int64_t first;
    int64_t task;
    int64_t begin;
    int64_t end;
    int32_t site;
    int32_t tasks;  ///< ~tasks where it failed
};
struct SubmitEvent {
    int64_t time;
    int64_t stream;
    int32_t site;
};
struct Edge {
    int64_t before;
    int64_t after;
};
struct TokenEvent {
    int64_t time;
    int64_t token;
    int32_t channel;
    int32_t process;
    bool sent;
};
struct StepEvent {
    int64_t begin;
    int64_t end;
    int32_t worker;
};

/// Of one worker, which alone writes it while the run lasts.
struct alignas(64) WorkerLog {
    WorkerLog(LogMemory &memory, size_t sites) : work(memory), totals(sites) {}

    int64_t begin = 0;  ///< of what runs now
    EventLog<WorkEvent> work;
    std::vector<Trace::Totals> totals;  ///< in ticks; at the level Summary
};

}  // namespace

struct Tracer::Impl {
    Impl(TraceLevel traced, std::shared_ptr<const Plan> what, int count, size_t most_bytes)
        : level(traced), plan(std::move(what)), memory(most_bytes) {
        for (int i = 0; i < count; i++) {
            workers.push_back(std::make_unique<WorkerLog>(memory, site_count()));
        }
    }

    size_t site_count() const {
        if (const auto *graph = std::get_if<DynamicGraph>(plan.get())) {
            return graph->sites.size();
        }
        size_t count = 0;
        for (const Phase &phase : std::get<std::vector<Phase>>(*plan)) {
            count += phase.size();
        }
        return count;
    }

    WorkerLog &log(int worker) { return *workers[static_cast<size_t>(worker)]; }

    const TraceLevel level;
    const std::shared_ptr<const Plan> plan;
    LogMemory memory;
    std::vector<std::unique_ptr<WorkerLog>> workers;

    // Of the expander, which runs on one thread at a time.
    EventLog<SubmitEvent> submissions{memory};
    EventLog<int64_t> values{memory};
    EventLog<Edge> edges{memory};
    EventLog<TokenEvent> tokens{memory};
    EventLog<StepEvent> steps{memory};
    int64_t step_begin = 0;

    int64_t begin = ticks();
    int64_t end = begin;
};

Tracer::Tracer(TraceLevel level, std::shared_ptr<const Plan> plan, int workers, size_t most_bytes)
    : impl_(std::make_unique<Impl>(level, std::move(plan), workers, most_bytes)) {}

Tracer::~Tracer() = default;

TraceLevel Tracer::level() const {
    return impl_->level;
}

Detail Tracer::detail() const {
    switch (impl_->level) {
    case TraceLevel::Full:
        return Detail::Graph;
    case TraceLevel::Timing:
        return Detail::Tasks;
    default:
        return Detail::Work;
    }
}

void Tracer::began(int worker, const Work & /*work*/) {
    impl_->log(worker).begin = ticks();
}

void Tracer::ended(int worker, const Work &work, int64_t tasks, abi::Status status) {
    const int64_t end = ticks();
    WorkerLog &log = impl_->log(worker);
    if (impl_->level == TraceLevel::Summary) {
        const int64_t time = end - log.begin;
        log.totals[static_cast<size_t>(work.site)].add(
            {tasks, status != 0 ? 1 : 0, time, time, time});
        return;
    }
    const auto count = static_cast<int32_t>(std::min<int64_t>(tasks, INT32_MAX));
    log.work.add({work.first, work.task, log.begin, end, work.site, status != 0 ? ~count : count});
}

void Tracer::submitted(const Submitted &submitted) {
    impl_->submissions.add({ticks(), submitted.stream, submitted.site});
    for (int64_t value : submitted.values) {
        impl_->values.add(value);
    }
}

void Tracer::depends(int64_t before, int64_t after) {
    impl_->edges.add({before, after});
}

void Tracer::sent(int channel, int64_t token, int process) {
    impl_->tokens.add({ticks(), token, channel, process, true});
}

void Tracer::received(int channel, int64_t token, int process) {
    impl_->tokens.add({ticks(), token, channel, process, false});
}

void Tracer::step_began(int /*worker*/) {
    impl_->step_begin = ticks();
}

void Tracer::step_ended(int worker) {
    impl_->steps.add({impl_->step_begin, ticks(), worker});
}

void Tracer::run_ended() {
    impl_->end = ticks();
}

namespace {

/// Makes a trace of what a tracer has.
class Reading {
public:
    Reading(const Plan &plan, int64_t begin)
        : plan_(plan), begin_(begin), length_(nanoseconds_per_tick()) {}

    int64_t time(int64_t tick) const { return span(tick - begin_); }
    int64_t span(int64_t ticks) const {
        return static_cast<int64_t>(static_cast<double>(ticks) * length_);
    }
    Trace::Totals totals(const Trace::Totals &ticks) const {
        return {ticks.tasks, ticks.failed, span(ticks.time_ns), span(ticks.least_ns),
                span(ticks.most_ns)};
    }

    void name_sites(Trace &trace) {
        if (const auto *graph = std::get_if<DynamicGraph>(&plan_)) {
            for (const TaskSite &site : graph->sites) {
                trace.sites.push_back({site.name, site.at, site.function == nullptr, -1, {}});
                for (const TaskSite::Loop &loop : site.loops) {
                    trace.sites.back().loops.push_back(loop.name);
                }
            }
            for (const ChannelSpec &channel : graph->channels) {
                trace.channels.push_back(channel.name);
            }
            for (const Process &process : graph->processes) {
                trace.processes.push_back(process.name);
            }
            return;
        }
        int phase = 0;
        for (const Phase &loops : std::get<std::vector<Phase>>(plan_)) {
            for (const StaticLoop &loop : loops) {
                trace.sites.push_back({loop.name, loop.at, false, phase, {}});
                loops_.push_back(&loop);
                for (const StaticLoop::Loop &each : loop.loops) {
                    trace.sites.back().loops.push_back(each.name);
                }
            }
            phase++;
        }
    }

    Trace::Task task(const WorkEvent &event, int32_t worker) const {
        Trace::Task task;
        task.failed = event.tasks < 0;
        task.tasks = task.failed ? ~event.tasks : event.tasks;
        task.id = event.task;
        task.number = event.first;
        task.site = event.site;
        task.worker = worker;
        task.begin_ns = time(event.begin);
        task.end_ns = time(event.end);
        return task;
    }

    /// The values of a static loop's variables in an iteration.
    std::vector<int64_t> values(int32_t site, int64_t iteration) const {
        const std::vector<StaticLoop::Loop> &loops = loops_[static_cast<size_t>(site)]->loops;
        std::vector<int64_t> values(loops.size());
        for (size_t i = loops.size(); i-- > 0;) {
            values[i] = i == 0 ? iteration : iteration % loops[i].size;
            iteration = i == 0 ? 0 : iteration / loops[i].size;
        }
        return values;
    }

    bool is_static() const { return !loops_.empty(); }

private:
    const Plan &plan_;
    const int64_t begin_;
    const double length_;
    std::vector<const StaticLoop *> loops_;
};

/// Iterations become numbers that go on from loop to loop.
void number_iterations(const Reading &reading, Trace &trace) {
    std::sort(trace.tasks.begin(), trace.tasks.end(), [](const auto &a, const auto &b) {
        return std::pair(a.site, a.number) < std::pair(b.site, b.number);
    });
    int64_t base = 0;
    int64_t next = 0;
    for (size_t i = 0; i < trace.tasks.size(); i++) {
        Trace::Task &task = trace.tasks[i];
        if (i > 0 && trace.tasks[i - 1].site != task.site) {
            base = next;
        }
        if (trace.level == TraceLevel::Full) {
            task.values = reading.values(task.site, task.number);
        }
        task.number += base;
        task.id = task.number;
        next = task.number + 1;
    }
}

}  // namespace

Trace Tracer::trace() const {
    const Impl &impl = *impl_;
    Reading reading(*impl.plan, impl.begin);
    Trace trace;
    trace.level = impl.level;
    trace.workers = static_cast<int>(impl.workers.size());
    trace.duration_ns = reading.time(impl.end);
    trace.cycles_per_ns = ticks_of_processor ? 1 / nanoseconds_per_tick() : 0;
    reading.name_sites(trace);
    trace.dropped = impl.submissions.dropped() + impl.values.dropped() + impl.edges.dropped() +
                    impl.tokens.dropped() + impl.steps.dropped();

    for (size_t w = 0; w < impl.workers.size(); w++) {
        const WorkerLog &log = *impl.workers[w];
        trace.dropped += log.work.dropped();
        trace.totals.emplace_back(trace.sites.size());
        std::vector<Trace::Totals> &totals = trace.totals.back();
        for (size_t s = 0; s < log.totals.size(); s++) {
            totals[s] = reading.totals(log.totals[s]);
        }
        log.work.for_each([&](const WorkEvent &event) {
            trace.tasks.push_back(reading.task(event, static_cast<int32_t>(w)));
            const Trace::Task &task = trace.tasks.back();
            const int64_t time = task.duration_ns();
            totals[static_cast<size_t>(task.site)].add(
                {task.tasks, task.failed ? 1 : 0, time, time, time});
        });
    }
    if (reading.is_static()) {
        number_iterations(reading, trace);
    } else {
        std::sort(trace.tasks.begin(), trace.tasks.end(),
                  [](const auto &a, const auto &b) { return a.number < b.number; });
    }
    if (impl.level == TraceLevel::Full) {
        add_graph(trace);
    }
    return trace;
}

void Tracer::add_graph(Trace &trace) const {
    const Impl &impl = *impl_;
    Reading reading(*impl.plan, impl.begin);
    std::vector<SubmitEvent> submissions;
    submissions.reserve(impl.submissions.size());
    impl.submissions.for_each([&](const SubmitEvent &event) { submissions.push_back(event); });
    std::vector<int64_t> values;
    values.reserve(impl.values.size());
    impl.values.for_each([&](int64_t value) { values.push_back(value); });

    // Tasks that never ran have a number, but no place.
    std::vector<int64_t> place(submissions.size(), -1);
    std::vector<size_t> first_value(submissions.size());
    size_t value = 0;
    for (size_t i = 0; i < submissions.size(); i++) {
        first_value[i] = value;
        value += trace.sites[static_cast<size_t>(submissions[i].site)].loops.size();
    }
    for (size_t i = 0; i < trace.tasks.size() && !submissions.empty(); i++) {
        Trace::Task &task = trace.tasks[i];
        const auto number = static_cast<size_t>(task.number);
        if (number >= submissions.size()) {
            break;
        }
        place[number] = static_cast<int64_t>(i);
        task.submitted_ns = reading.time(submissions[number].time);
        task.stream = submissions[number].stream;
        const size_t count = trace.sites[static_cast<size_t>(task.site)].loops.size();
        if (first_value[number] + count <= values.size()) {
            const auto from = values.begin() + static_cast<int64_t>(first_value[number]);
            task.values.assign(from, from + static_cast<int64_t>(count));
        }
    }
    impl.edges.for_each([&](const Edge &edge) {
        const auto after = static_cast<size_t>(edge.after);
        if (after < place.size() && place[after] >= 0 &&
            place[static_cast<size_t>(edge.before)] >= 0) {
            trace.dependences.push_back({place[static_cast<size_t>(edge.before)], place[after]});
        }
    });
    impl.tokens.for_each([&](const TokenEvent &event) {
        trace.tokens.push_back(
            {event.channel, event.token, event.process, event.sent, reading.time(event.time)});
    });
    impl.steps.for_each([&](const StepEvent &event) {
        trace.steps.push_back({event.worker, reading.time(event.begin), reading.time(event.end)});
    });
}

}  // namespace pto::wsp::runtime
