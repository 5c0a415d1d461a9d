#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/runtime/trace.h"
#include "pto/wsp/schedule/step.h"
#include "pto/wsp/schedule/tasks.h"
#include "pto/wsp/support/reason.h"
#include "pto/wsp/workload/graph.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp {

/// What `compile` may be told.
struct CompileOptions {
    std::string target = "cpu";  ///< `cpu` or `cpu_sim`
    schedule::TaskSchedule tasks;
    /// Schedules that replace the heuristic's, by kernel.
    std::map<workload::KernelPtr, schedule::KernelSchedule> kernels;
    /// BLOCK_M, BLOCK_N, BLOCK_K: tile sizes of the heuristic's schedule; 0: its own choice.
    int64_t block_m = 0, block_n = 0, block_k = 0;
};

/// What compiling and the last run took.
struct ProgramStats {
    double compile_time_ms = 0;
    double execute_time_ms = 0;  ///< of the last finished run
    int64_t task_count = 0;      ///< tasks of one run; of the last one, where they are not fixed
    int64_t parallel_tasks = 0;  ///< of the last run: ran while another was running
    int64_t failed_tasks = 0;    ///< of the last run
    int64_t skipped_tasks = 0;   ///< of the last run: needed what failed, or it was cancelled
    /// Of the last run with a window for benchmarks: times that submission waited, and most tasks
    /// (or bytes) in flight.
    int64_t window_stalls = 0;
    int64_t most_in_flight = 0;
    /// Of the last run under TracePolicy::cycles: ticks of the time stamp counter by kernel.
    std::map<std::string, int64_t> kernel_cycles;
    int64_t cache_hits = 0;  ///< objects of this program found compiled
    int64_t cache_misses = 0;
    /// A worker in the last run.
    struct Worker {
        int64_t task_count = 0;
        int64_t steals = 0;        ///< times that it took work from another's queue
        double busy_ms = 0;        ///< it went from task to task, of this run or another
        double busy_fraction = 0;  ///< of the run's time
    };
    std::vector<Worker> workers;
    /// The longest chain of tasks of the last run, by measured times, where it was traced at the
    /// level Full.
    std::optional<double> critical_path_ms;
    std::string critical_path_note;  ///< why it is absent
    /// Scratch memory of the kernels of this process: the most bytes that were held at a time, and
    /// how many are held now in huge pages.
    int64_t arena_high_water_bytes = 0;
    int64_t arena_huge_page_bytes = 0;
    /// Of the virtual-cycle model (schedule/cycles.h) on the target `cpu_sim`. A model, not a
    /// measurement.
    std::optional<int64_t> total_cycles;
    std::string total_cycles_note;  ///< why it is absent
};

/// How far a run is.
struct Progress {
    int64_t done = 0;              ///< tasks that have ended
    std::optional<int64_t> total;  ///< none: not known before the end
    double elapsed_ms = 0;         ///< since the start of the run
    bool complete = true;          ///< no run is going on
};

/// Figures of the real graph of a program, beside the model's `total_cycles`, which knows no data
/// dependences: kernels take their virtual cycles, and tasks wait for what orders them.
struct GraphCycles {
    std::optional<int64_t> critical_path;  ///< the longest chain of tasks
    std::optional<int64_t> makespan;       ///< on as many workers as the executor has
    std::string note;                      ///< why they are absent
};

/// A runnable workload. May be executed any number of times with other data and no recompilation.
/// Thread-safe.
class Program {
public:
    /// Starts a run and returns at once. Programs run side by side, and so do runs of one program
    /// on other data: a run that writes memory which this one touches, or touches what this one
    /// writes, is waited for first. Other programs that share memory are the user's to order, by
    /// `synchronize` or an Event. Task errors of a run that has ended and that nobody has been told
    /// of are thrown, and no run is started. The first call with an unsupplied kernel throws
    /// ExecutionError naming it.
    void execute();
    /// Says that no other thread will signal an event, for one that is alone and about to wait:
    /// runs that wait for such a thread right now end with a ChannelError.
    void forsake() const;
    /// Whether runs may wait for an event.
    bool waits_for_events() const;
    /// False while `execute` would wait for a run.
    bool can_start() const;
    /// Waits for all runs. Throws what they failed with: a KernelError of the first run that failed
    /// and was not reported yet, or CancelledError when `cancel` kept tasks from running; then, in
    /// every further call, those of the last run. False when the timeout passed first.
    ///
    /// A task that fails takes along what needs its result, and nothing else: tasks that read what
    /// it should have written, and theirs in turn; and what a sequence (`P.seq`, `sequential`) puts
    /// behind it. Lanes (dispatch, streams) only order. In loops that are not tracked an iteration
    /// goes no further, whatever the rest of it needs.
    bool synchronize(std::optional<std::chrono::nanoseconds> timeout = std::nullopt);
    /// True when no run is in flight.
    bool is_complete() const;
    /// Of the last run. Loops without tracking count whole chunks of iterations.
    Progress progress() const;
    /// Asks the runs in flight to end soon: tasks that have not started do not start, what has
    /// ended stays as it is. Returns at once.
    void cancel();
    /// Calls `then` once, when the run that was started last has ended, on the thread of a worker
    /// or, when it has ended already, on this one. It must not block or throw.
    void when_complete(std::function<void()> then) const;

    /// Other data for captured tensors, by name: same shape, dtype and strides. TypeCheckError
    /// otherwise, then nothing is bound.
    void bind(const std::map<std::string, TensorView> &tensors, const Loc &at = Loc::here());
    /// Values of symbols and tables for the runs that follow; no code depends on them.
    /// TypeCheckError for a name that the workload does not use, then nothing is set.
    void set_symbols(const std::map<std::string, int64_t> &values, const Loc &at = Loc::here());
    /// The value of a symbol that is given whole to parameters of float types and to nothing else:
    /// rounded to the type of each. One set as an integer holds that number. TypeCheckError for
    /// another symbol.
    void set_symbol_f32(const std::string &name, double value, const Loc &at = Loc::here());
    /// The value of a symbol that is given whole to parameters of U64 and to nothing else. What it
    /// points to must live as long as runs use it, which `owner` may see to, and orders no tasks
    /// and no runs: only tensors do. TypeCheckError for another symbol.
    void set_symbol_ptr(const std::string &name, const void *address,
                        std::shared_ptr<void> owner = {}, const Loc &at = Loc::here());
    void set_tables(const std::map<std::string, RunData::Values> &values,
                    const Loc &at = Loc::here());
    /// Supplies a declared kernel. ScheduleError when no kernel of that name is declared or two are
    /// (pass the KernelPtr); TypeCheckError when the parameters do not match.
    void register_kernel(const std::string &name,
                         std::shared_ptr<const kernel::TileProgram> implementation,
                         const Loc &at = Loc::here());
    void register_kernel(const workload::KernelPtr &declaration,
                         std::shared_ptr<const kernel::TileProgram> implementation,
                         const Loc &at = Loc::here());

    /// On the target `cpu_sim` the first call walks all tasks in the cycle model.
    ProgramStats stats() const;
    /// Traces the runs that follow. From the level Timing on loops that run several tasks in an
    /// iteration are compiled again, as tracked tasks: only those are seen one by one.
    void enable_tracing(runtime::TraceLevel level);
    runtime::TraceLevel trace_level() const;
    /// Of the last run. ExecutionError when it was not traced or has not ended.
    std::shared_ptr<const runtime::Trace> trace(const Loc &at = Loc::here()) const;
    /// Its tasks and what orders them. CompileError when there are more than `max_tasks`.
    workload::TaskGraph graph(int64_t max_tasks = workload::max_graph_tasks) const;
    /// On the target `cpu_sim`, of programs of at most `workload::max_graph_tasks` tasks. The first
    /// call makes the graph.
    GraphCycles graph_cycles() const;
    /// Rules fired or not, which loops are tracked and why, cache misses.
    Reasons explain() const;
    const std::string &target() const;
    const workload::Workload &workload() const;
    /// Loop nests of all kernels, then the task loop.
    std::string loop_nests() const;

    struct Impl;
    explicit Program(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

private:
    std::shared_ptr<Impl> impl_;
};

/// Checks, lowers, compiles (or loads from the cache) and ties together. CompileError for a wrong
/// workload; ScheduleError for an illegal schedule.
Program compile(const workload::Workload &workload, const CompileOptions &options = {},
                const Loc &at = Loc::here());

/// One kernel, compiled for itself: callable on views and scalars.
class CompiledKernel {
public:
    /// Runs it on the calling thread. Arguments in parameter order: a rank-1 or rank-2 view for a
    /// tile (a smaller one is a partial tile), a number for a scalar. TypeCheckError when one does
    /// not fit. Overlapping arguments give the same result as distinct ones would.
    void
    operator()(const std::vector<std::variant<TensorView, double, int64_t, uint64_t>> &arguments,
               const Loc &at = Loc::here()) const;
    /// The lowered statements.
    const std::string &code() const;
    std::string loop_nest() const;
    const schedule::KernelSchedule &schedule() const;
    Reasons explain() const;

    struct Impl;
    explicit CompiledKernel(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

private:
    std::shared_ptr<Impl> impl_;
};

/// What `compile_kernel` may be told.
struct KernelOptions {
    std::string target = "cpu";
    std::optional<schedule::KernelSchedule> schedule;  ///< none: the heuristic's
    int64_t block_m = 0, block_n = 0, block_k = 0;
    /// Values of some of the program's Symbols: the code is made for these.
    std::map<std::string, int64_t> symbols;
};

/// Compiles one kernel for calls on tensors; the same code is taken from the cache.
/// CompileError for an unknown target, an unknown symbol, or one without a value.
CompiledKernel compile_kernel(std::shared_ptr<const kernel::TileProgram> program,
                              const KernelOptions &options = {}, const Loc &at = Loc::here());

}  // namespace pto::wsp
