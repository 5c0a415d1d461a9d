#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"

namespace pto::wsp::runtime {

/// How much of a run is recorded; each level holds the ones before it.
enum class TraceLevel {
    None,
    Summary,  ///< totals of kernels and workers
    Timing,   ///< every task: where it ran and when
    Full,     ///< also what it waited for, its loops, streams, channels, steps of the expander
};

/// `none`, `summary`, `timing`, `full`.
const char *name(TraceLevel level);

/// What was recorded of one run. Times are nanoseconds since its start.
struct Trace {
    TraceLevel level = TraceLevel::None;
    int workers = 0;
    int64_t duration_ns = 0;
    /// Of the processor's time stamp counter, which all times were read from; 0: of another clock.
    double cycles_per_ns = 0;
    /// Events for which there was no memory; what is made of the others may be too small.
    int64_t dropped = 0;

    /// A place in the workload that makes tasks, or a loop over them.
    struct Site {
        std::string kernel;  ///< of a loop that runs several: their names
        Loc at;
        bool join = false;               ///< runs nothing, only orders others
        int phase = -1;                  ///< of a static loop: phases run one after another
        std::vector<std::string> loops;  ///< names, outermost first
    };
    std::vector<Site> sites;

    /// Figures of the tasks of one site.
    struct Totals {
        int64_t tasks = 0;
        int64_t failed = 0;
        int64_t time_ns = 0;
        int64_t least_ns = 0;  ///< of what ran without a break: a task, or a chunk of a loop
        int64_t most_ns = 0;
        void add(const Totals &other);
    };
    /// By worker, then by site.
    std::vector<std::vector<Totals>> totals;

    /// A task that ran, or a join. From the level Timing on.
    struct Task {
        int64_t id = -1;     ///< in program order (a static loop after the other); a join: -1
        int64_t number = 0;  ///< as `id`, joins counted
        int32_t site = 0;
        int32_t worker = 0;
        int64_t begin_ns = 0;
        int64_t end_ns = 0;
        int64_t tasks = 1;  ///< kernels that ran; an iteration of a static loop may run several
        bool failed = false;
        int64_t submitted_ns = -1;    ///< Full, dynamic graphs
        int64_t stream = -1;          ///< Full, programs with streams
        std::vector<int64_t> values;  ///< Full: of the site's loops
        int64_t duration_ns() const { return end_ns - begin_ns; }
    };
    std::vector<Task> tasks;  ///< ascending `number`

    // The rest: of dynamic graphs, level Full.

    /// Indices in `tasks`; ascending `after`.
    struct Dependence {
        int64_t before = 0;
        int64_t after = 0;
    };
    std::vector<Dependence> dependences;
    struct Token {
        int channel = 0;
        int64_t token = 0;
        int process = 0;
        bool sent = false;  ///< else received
        int64_t time_ns = 0;
    };
    std::vector<Token> tokens;  ///< in the order in which they happened
    std::vector<std::string> channels;
    std::vector<std::string> processes;
    struct Step {
        int32_t worker = 0;
        int64_t begin_ns = 0;
        int64_t end_ns = 0;
    };
    std::vector<Step> steps;  ///< of the expander, which submits tasks

    /// The totals of all workers, by name of the kernel, in order of the sites.
    std::vector<std::pair<std::string, Totals>> kernels() const;
    /// The totals of each worker.
    std::vector<Totals> worker_totals() const;
    /// The loops around a task with their values.
    std::vector<std::pair<std::string, int64_t>> indices(const Task &task) const;
    /// The tasks that `task` waits for, directly or through joins: indices in `tasks`, ascending.
    std::vector<int64_t> waits_for(const Task &task) const;
    /// The longest chain of tasks each of which waits for the one before, by their durations:
    /// indices in `tasks`. Loops without tracking wait for all loops of the phase before. Empty
    /// below the level Full, or when events were dropped.
    std::vector<int64_t> critical_path() const;
    /// The sum of its durations; none where there is no critical path.
    std::optional<int64_t> critical_path_ns() const;

    /// `{"task_count": 64, "kernel_time_ms": 1.5, "avg_task_time_us": 23.4, "kernels": {...},
    /// "workers": [...], ...}`.
    Json summary() const;
    /// The summary as a table.
    std::string text() const;
    /// In the Trace Event Format, as `chrome://tracing` and Perfetto read it: workers are threads,
    /// streams and channels have processes of their own, dependences are arrows.
    std::string chrome_json() const;
    /// A page with the summary and, from the level Timing on, a timeline that zooms with the wheel
    /// and moves with the mouse. Needs nothing else.
    std::string html() const;
    /// The same without the document around it.
    std::string html_fragment() const;
};

}  // namespace pto::wsp::runtime
