#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/lower/lower.h"
#include "pto/wsp/workload/dependence.h"

namespace pto::wsp::lower {

/// The tile that a region of a tensor is: sizes and strides in elements, and the offset of its
/// first element from the tensor's.
struct RegionTile {
    int64_t rows = 1;
    int64_t columns = 1;
    int64_t row_stride = 0;
    int64_t column_stride = 1;
    Affine offset;
};
/// The tile that `region` is: its last dimension that is kept gives the columns, the one before it
/// the rows.
RegionTile region_tile(const workload::Region &region);

/// What the task loops of a workload need to know of its kernels and tensors.
struct TaskLoops {
    const workload::DependenceSummary *summary = nullptr;
    std::map<const workload::TaskNode *, std::string> symbols;  ///< function of each task's kernel
    std::map<const workload::Tensor *, int> bindings;           ///< index in a run's bindings
    int workers_binding = 0;                                    ///< index of the number of workers
    std::map<std::string, int> run_symbols;                     ///< index of each symbol's value
    /// Index of what parameters of one dtype are given for a symbol that is a float.
    std::map<std::pair<std::string, DType>, int> run_floats;
    /// Index of the address of each table's 64-bit elements, behind which their number is.
    std::map<std::string, int> run_tables;
};

/// Slots of core/abi.h that a task of `node` takes.
int slot_count(const workload::TaskNode &node);

/// Words of the frame of the function that makes the steps of `program`.
int frame_words(const workload::TrackedPlan &plan,
                const std::vector<workload::TrackedStep> &program);

/// The words of these frames that hold the values of loop variables, each in its own.
std::map<const workload::LoopVar *, int> loop_words(const workload::TrackedPlan &plan);

/// Names of the functions that `append_task_loops` makes: one abi::LoopFn for each nest, counted
/// over all phases, or one abi::ExpandFn and one more for each process.
std::string loop_symbol(int nest);
inline constexpr const char *expand_symbol = "expand";
/// Of the abi::ExpandFn of a process of the plan.
std::string process_symbol(int process);

/// Levels of an expression that generated code takes, and of loops.
inline constexpr int max_code_depth = 500;
inline constexpr int max_loop_depth = 1000;

/// Whether the loop of `nest` calls pto_wsp_count_task behind each task: their number is not known,
/// or loops inside may make its iterations long.
bool counts_tasks(const workload::StaticNest &nest);

/// Adds the task loops to a module that holds the kernels. CompileError at the line of a statement
/// or rule with an expression deeper than `max_code_depth`, or with more than `max_loop_depth`
/// loops around it.
///
/// An independent nest becomes a loop over its linear index whose body calls kernels directly:
/// ```
/// for i in [begin, end):  b, h = divmod(i, 8);  attn(Q + b * 262144 + h * 32768, ...)
/// ```
/// A tracked plan becomes a resumable step that submits at most `budget` tasks and keeps the place
/// in the program and all loop counters in its frame:
/// ```
/// for t in [0, budget):  if place == 0: submit(site 0); i += 1; place = i < n ? 0 : 1  else ...
/// ```
void append_task_loops(const Module &module, const TaskLoops &loops);

/// An empty module to gather kernels and task loops in.
Module make_module(const std::string &name, const Target &target);
/// Adds the function `symbol` and its packed form to `module`.
void append_kernel(const Module &module, const KernelVariant &variant, const std::string &symbol,
                   const Target &target);

}  // namespace pto::wsp::lower
