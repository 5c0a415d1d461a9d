#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/backend/cpu/loader.h"
#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/workload/dependence.h"

namespace pto::wsp {

/// A run of a program, with what it works in: kept until it has ended.
struct StartedRun {
    std::shared_ptr<runtime::Execution> run;
    std::shared_ptr<const runtime::Plan> plan;
    std::vector<TensorView> views;
    std::map<std::string, std::shared_ptr<void>> owners;  ///< of what symbols point to
    RunData data;
    std::shared_ptr<backend::cpu::LoadedObject> object;
    int forks = runtime::fork_count();
    bool is_reported = false;  ///< what it failed with, if it did, was thrown
};

/// Whether a run on `a` and one on `b` touch the same bytes, and one of them writes them. `memory`
/// says which tensors are written.
bool share_memory(const std::vector<workload::TensorMemory> &memory,
                  const std::vector<TensorView> &a, const std::vector<TensorView> &b);

/// The runs of a program that nobody has heard the end of yet, and the last one, in the order in
/// which they were started. Runs of the parent of this process do not count: they end there.
class StartedRuns {
public:
    void add(std::shared_ptr<StartedRun> run);
    /// The one that was started last; null: none.
    std::shared_ptr<StartedRun> last() const;
    std::vector<std::shared_ptr<StartedRun>> all() const;
    bool are_complete() const;
    /// The first that has failed without anybody having been told, which counts as told from now
    /// on; null: none. Runs that were cancelled count too where `cancelled`.
    std::shared_ptr<StartedRun> take_failed(bool cancelled);

private:
    std::vector<std::shared_ptr<StartedRun>> runs_;
};

/// The loop variables of a task of `workload` that failed in a run on `data`, outermost first.
/// Empty where nobody can tell: tasks of processes, after slots, or very many tasks before.
std::vector<std::pair<std::string, int64_t>> indices_of(const runtime::Failure &failure,
                                                        const workload::Workload &workload,
                                                        const workload::DependenceSummary &summary,
                                                        const RunData &data);

}  // namespace pto::wsp
