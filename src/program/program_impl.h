#pragma once

#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "added_cycles.h"
#include "kernel_code.h"
#include "kernel_cycles.h"
#include "pto/wsp/backend/cpu/loader.h"
#include "pto/wsp/lower/expand.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/runtime/tracer.h"
#include "pto/wsp/schedule/cycles.h"
#include "pto/wsp/workload/symbol_uses.h"
#include "runs.h"

namespace pto::wsp {

/// One kernel as some of the tasks call it: same program, same layouts.
struct Code {
    KernelRequest request;
    std::string symbol;
    std::string name;
};

struct Program::Impl {
    workload::Workload workload;  ///< its data are the integers of the next run
    CompileOptions options;
    lower::Target target;
    Loc at;

    std::vector<workload::TensorPtr> tensors;
    std::vector<workload::KernelPtr> kernels;
    workload::DependenceSummary summary;
    std::vector<std::string> symbols;  ///< of the workload, in the order of a run's words
    std::map<std::string, workload::SymbolUse> symbol_uses;
    std::map<std::string, double> floats;                 ///< values of symbols that are floats
    std::map<std::string, std::shared_ptr<void>> owners;  ///< of what symbols point to
    std::vector<std::string> tables;

    mutable std::mutex mutex;
    std::map<workload::KernelPtr, std::shared_ptr<const kernel::TileProgram>> implementations;
    std::vector<Code> codes;
    backend::cpu::Externals bodies;        ///< of kernels that are no tile programs
    bool bodies_hit = true;                ///< all of them were compiled before
    std::set<workload::KernelPtr> adding;  ///< kernels with bodies that add virtual cycles
    std::shared_ptr<backend::cpu::LoadedObject> object;
    std::shared_ptr<const runtime::Plan> plan;
    std::vector<TensorView> views;  ///< what the next run is bound to
    StartedRuns runs;
    ProgramStats stats;
    bool is_modelled = false;  ///< `stats` has the virtual cycles, or why there are none
    std::optional<GraphCycles> graph_cycles;
    bool are_sizes_checked = false;
    bool uses_slots = false;  ///< what is modelled depends on the data of tensors
    Reasons cache_reasons;
    std::shared_ptr<KernelCycles> cycles;  ///< of the last run, where the schedule asks for them
    std::shared_ptr<AddedCycles> added;    ///< of the last run, where bodies add virtual cycles
    runtime::TraceLevel trace_level = runtime::TraceLevel::None;
    std::shared_ptr<const runtime::Tracer> tracer;        ///< of the last run, where it is traced
    mutable std::shared_ptr<const runtime::Trace> trace;  ///< what it has, once somebody asked

    /// Waits for the runs in flight: they work in memory and code that this keeps.
    ~Impl();

    /// Throws what `run` failed with, with the loop variables of its tasks; CancelledError when it
    /// was cancelled instead.
    void rethrow(const StartedRun &run) const;

    /// The first kernel that nobody has supplied, or null.
    workload::KernelPtr missing_kernel() const;
    /// ExecutionError naming it.
    void require_kernels() const;
    /// What runs for a kernel; needs: it is not missing.
    const std::shared_ptr<const kernel::TileProgram> &
    program_of(const workload::KernelPtr &kernel) const;
    /// Empty when virtual cycles can be counted.
    std::string why_no_model() const;
    /// Makes the graph: done when somebody asks.
    GraphCycles model_graph() const;
    /// What was found of the data is no longer so.
    void forget_data() {
        is_modelled = false;
        are_sizes_checked = false;
        graph_cycles.reset();
        added = nullptr;
    }
    /// Walks all tasks: done when somebody asks.
    void model_cycles();
    /// Whether tasks are run one by one, because what their bodies add is part of the model.
    bool counts_added() const { return options.target == "cpu_sim" && !adding.empty(); }
    /// What bodies have added in the last run, for the model.
    schedule::AddedBy added_by() const;
    /// What watches the next run; null for nothing.
    std::shared_ptr<runtime::Observer> observe(int workers);
    /// Analyses what orders the tasks. `tracked_because`, where not empty, is why they are tracked
    /// although none of them may need it.
    workload::DependenceSummary analyse(const std::string &tracked_because) const;
    /// The same, so that all tasks can be traced that `level` asks for.
    workload::DependenceSummary analyse_for(runtime::TraceLevel level) const;
    /// What watches a run, or null.
    std::shared_ptr<runtime::Tracer> start_trace(int workers);
    /// The measured critical path, or why there is none.
    void add_critical_path(ProgramStats &stats) const;
    /// Needs: the last run has ended and was traced.
    const std::shared_ptr<const runtime::Trace> &finished_trace() const;
    /// The value of a symbol that is a float; ExecutionError when it has none.
    double float_of(const std::string &symbol) const;
    /// What `symbol` is. TypeCheckError at `at`, which `what` begins, unless the workload has it
    /// and it is one of `kinds`, which hold what is `given`.
    const workload::SymbolUse &use_of(const std::string &symbol, const std::string &what,
                                      const std::string &given,
                                      std::initializer_list<workload::SymbolUse::Kind> kinds,
                                      const Loc &at) const;
    /// Finds or generates the code and makes the plan.
    void build();
    /// What a run gets: addresses of tensors, the number of workers, symbols, tables and numbers of
    /// iterations. ExecutionError for a symbol or table without value.
    std::vector<int64_t> bindings(int workers) const;

private:
    /// Fills `codes` and returns the symbol of each task.
    std::map<const workload::TaskNode *, std::string> choose_code();
    lower::Module lower_all(const std::map<const workload::TaskNode *, std::string> &symbols) const;
    lower::TaskLoops
    task_loops(const std::map<const workload::TaskNode *, std::string> &symbols) const;
    std::string key(const std::map<const workload::TaskNode *, std::string> &symbols) const;
    std::shared_ptr<const runtime::Plan>
    make_plan(const std::map<const workload::TaskNode *, std::string> &symbols) const;
    /// `plan` with the loops around its tasks, and their streams.
    std::shared_ptr<const runtime::Plan> with_loops(const runtime::Plan &plan) const;
};

/// TypeCheckError unless `implementation` has the parameters of `declaration`: number, directions,
/// dtypes, and shapes where both are known.
void check_implementation(const workload::Kernel &declaration,
                          const kernel::TileProgram &implementation, const Loc &at);

}  // namespace pto::wsp
