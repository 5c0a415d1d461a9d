#include "pto/wsp/runtime/trace.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

namespace pto::wsp::runtime {

namespace {

double ms(int64_t ns) {
    return static_cast<double>(ns) / 1e6;
}

double us(int64_t ns) {
    return static_cast<double>(ns) / 1e3;
}

double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

double mean_us(const Trace::Totals &totals) {
    return ratio(us(totals.time_ns), static_cast<double>(totals.tasks + totals.failed));
}

Json json(const Trace::Totals &totals) {
    return {{"task_count", totals.tasks},    {"failed", totals.failed},
            {"time_ms", ms(totals.time_ns)}, {"avg_us", mean_us(totals)},
            {"min_us", us(totals.least_ns)}, {"max_us", us(totals.most_ns)}};
}

Trace::Totals sum(const std::vector<Trace::Totals> &parts) {
    Trace::Totals result;
    for (const Trace::Totals &part : parts) {
        result.add(part);
    }
    return result;
}

/// Of a static plan: the longest task of each phase.
std::vector<int64_t> longest_of_phases(const Trace &trace) {
    std::map<int, int64_t> longest;
    for (size_t i = 0; i < trace.tasks.size(); i++) {
        const int phase = trace.sites[static_cast<size_t>(trace.tasks[i].site)].phase;
        auto [it, added] = longest.try_emplace(phase, static_cast<int64_t>(i));
        if (trace.tasks[i].duration_ns() >
            trace.tasks[static_cast<size_t>(it->second)].duration_ns()) {
            it->second = static_cast<int64_t>(i);
        }
    }
    std::vector<int64_t> path;
    for (const auto &[phase, task] : longest) {
        path.push_back(task);
    }
    return path;
}

}  // namespace

const char *name(TraceLevel level) {
    switch (level) {
    case TraceLevel::None:
        return "none";
    case TraceLevel::Summary:
        return "summary";
    case TraceLevel::Timing:
        return "timing";
    default:
        return "full";
    }
}

void Trace::Totals::add(const Totals &other) {
    if (other.tasks + other.failed + other.time_ns == 0) {
        return;
    }
    least_ns = tasks + failed + time_ns == 0 ? other.least_ns : std::min(least_ns, other.least_ns);
    most_ns = std::max(most_ns, other.most_ns);
    tasks += other.tasks;
    failed += other.failed;
    time_ns += other.time_ns;
}

std::vector<std::pair<std::string, Trace::Totals>> Trace::kernels() const {
    std::vector<std::pair<std::string, Totals>> result;
    for (size_t s = 0; s < sites.size(); s++) {
        if (sites[s].join) {
            continue;
        }
        auto found = std::find_if(result.begin(), result.end(),
                                  [&](const auto &each) { return each.first == sites[s].kernel; });
        if (found == result.end()) {
            found = result.insert(found, {sites[s].kernel, {}});
        }
        for (const std::vector<Totals> &worker : totals) {
            found->second.add(worker[s]);
        }
    }
    return result;
}

std::vector<Trace::Totals> Trace::worker_totals() const {
    std::vector<Totals> result;
    for (const std::vector<Totals> &worker : totals) {
        result.emplace_back();
        for (size_t s = 0; s < sites.size(); s++) {
            if (!sites[s].join) {
                result.back().add(worker[s]);
            }
        }
    }
    return result;
}

std::vector<std::pair<std::string, int64_t>> Trace::indices(const Task &task) const {
    const std::vector<std::string> &loops = sites[static_cast<size_t>(task.site)].loops;
    std::vector<std::pair<std::string, int64_t>> result;
    for (size_t i = 0; i < std::min(loops.size(), task.values.size()); i++) {
        result.emplace_back(loops[i], task.values[i]);
    }
    return result;
}

std::vector<int64_t> Trace::waits_for(const Task &task) const {
    std::vector<int64_t> result;
    std::vector<int64_t> open{&task - tasks.data()};
    std::vector<bool> seen(tasks.size());
    while (!open.empty()) {
        const int64_t after = open.back();
        open.pop_back();
        const auto [first, last] = std::equal_range(
            dependences.begin(), dependences.end(), Dependence{0, after},
            [](const Dependence &a, const Dependence &b) { return a.after < b.after; });
        for (auto edge = first; edge != last; ++edge) {
            const auto before = static_cast<size_t>(edge->before);
            if (seen[before]) {
                continue;
            }
            seen[before] = true;
            const bool join = sites[static_cast<size_t>(tasks[before].site)].join;
            (join ? open : result).push_back(edge->before);
        }
    }
    std::sort(result.begin(), result.end());
    return result;
}

std::vector<int64_t> Trace::critical_path() const {
    if (level != TraceLevel::Full || dropped > 0 || tasks.empty()) {
        return {};
    }
    if (sites[0].phase >= 0) {
        return longest_of_phases(*this);
    }
    // Of the chains that end with a task the longest, and the task before it in that chain. All
    // dependences of a task come before those of later ones, so one pass is enough.
    std::vector<int64_t> length(tasks.size());
    std::vector<int64_t> from(tasks.size(), -1);
    auto edge = dependences.begin();
    size_t last = 0;
    for (size_t i = 0; i < tasks.size(); i++) {
        for (; edge != dependences.end() && edge->after == static_cast<int64_t>(i); ++edge) {
            const int64_t before = length[static_cast<size_t>(edge->before)];
            if (from[i] < 0 || before > length[static_cast<size_t>(from[i])]) {
                from[i] = edge->before;
            }
        }
        length[i] =
            tasks[i].duration_ns() + (from[i] < 0 ? 0 : length[static_cast<size_t>(from[i])]);
        last = length[i] > length[last] ? i : last;
    }
    std::vector<int64_t> path;
    for (auto at = static_cast<int64_t>(last); at >= 0; at = from[static_cast<size_t>(at)]) {
        path.push_back(at);
    }
    std::reverse(path.begin(), path.end());
    return path;
}

std::optional<int64_t> Trace::critical_path_ns() const {
    if (level != TraceLevel::Full || dropped > 0) {
        return std::nullopt;
    }
    int64_t sum = 0;
    for (int64_t task : critical_path()) {
        sum += tasks[static_cast<size_t>(task)].duration_ns();
    }
    return sum;
}

Json Trace::summary() const {
    const std::vector<Totals> by_worker = worker_totals();
    const Totals all = sum(by_worker);
    Json result = {{"level", name(level)},
                   {"duration_ms", ms(duration_ns)},
                   {"task_count", all.tasks},
                   {"failed", all.failed},
                   {"kernel_time_ms", ms(all.time_ns)},
                   {"avg_task_time_us", mean_us(all)},
                   {"min_task_time_us", us(all.least_ns)},
                   {"max_task_time_us", us(all.most_ns)},
                   {"parallelism", ratio(ms(all.time_ns), ms(duration_ns))},
                   {"dropped_events", dropped}};
    for (const auto &[kernel, totals] : kernels()) {
        result["kernels"][kernel] = json(totals);
    }
    for (const Totals &totals : by_worker) {
        result["workers"].push_back(
            {{"task_count", totals.tasks},
             {"busy_ms", ms(totals.time_ns)},
             {"busy_fraction", ratio(ms(totals.time_ns), ms(duration_ns))}});
    }
    if (const std::optional<int64_t> path = critical_path_ns()) {
        result["critical_path_ms"] = ms(*path);
        result["critical_path_tasks"] = critical_path().size();
        result["dependences"] = dependences.size();
    }
    return result;
}

std::string Trace::text() const {
    const std::vector<Totals> by_worker = worker_totals();
    const Totals all = sum(by_worker);
    std::string text = fmt::format("{} tasks in {:.3f} ms on {} worker{}, {:.2f} at a time\n",
                                   all.tasks, ms(duration_ns), workers, workers == 1 ? "" : "s",
                                   ratio(ms(all.time_ns), ms(duration_ns)));
    size_t width = 6;
    for (const auto &[kernel, totals] : kernels()) {
        width = std::max(width, kernel.size());
    }
    text += fmt::format("{:<{}} {:>9} {:>12} {:>11} {:>11} {:>11} {:>6}\n", "kernel", width,
                        "tasks", "total ms", "mean us", "least us", "most us", "share");
    for (const auto &[kernel, totals] : kernels()) {
        text += fmt::format("{:<{}} {:>9} {:>12.3f} {:>11.3f} {:>11.3f} {:>11.3f} {:>5.1f}%\n",
                            kernel, width, totals.tasks, ms(totals.time_ns), mean_us(totals),
                            us(totals.least_ns), us(totals.most_ns),
                            100 * ratio(ms(totals.time_ns), ms(all.time_ns)));
    }
    for (size_t w = 0; w < by_worker.size(); w++) {
        text += fmt::format("worker {}: {} tasks, {:.3f} ms busy ({:.1f}%)\n", w,
                            by_worker[w].tasks, ms(by_worker[w].time_ns),
                            100 * ratio(ms(by_worker[w].time_ns), ms(duration_ns)));
    }
    if (const std::optional<int64_t> path = critical_path_ns()) {
        text += fmt::format("critical path: {:.3f} ms, {} tasks; {:.2f} tasks at a time at most\n",
                            ms(*path), critical_path().size(), ratio(ms(all.time_ns), ms(*path)));
    }
    if (all.failed > 0) {
        text += fmt::format("{} failed\n", all.failed);
    }
    if (dropped > 0) {
        text += fmt::format("{} events are missing: there was no memory for them\n", dropped);
    }
    return text;
}

}  // namespace pto::wsp::runtime
