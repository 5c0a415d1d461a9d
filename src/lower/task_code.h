#pragma once

#include <string>
#include <utility>
#include <vector>

#include <Halide.h>

#include "scalar_code.h"

namespace pto::wsp::lower {

/// Writes the code that makes or calls tasks.
class LoopWriter {
public:
    /// `first_slot`: see ScalarCode.
    LoopWriter(const TaskLoops &loops, int first_slot);

    Halide::Internal::LoweredFunc static_loop(const workload::StaticNest &nest, int number) const;
    static Halide::Internal::LoweredFunc
    function(const std::string &name,
             const std::vector<std::pair<std::string, Halide::Type>> &arguments,
             const Halide::Internal::Stmt &body);

    Halide::Expr scalar(const ScalarExpr &value) const { return code_(value); }
    /// Number of iterations, at least 0.
    Halide::Expr size_of(const workload::LoopVar &loop) const;
    /// The task's arguments, one a slot, as 64-bit words.
    std::vector<Halide::Expr> slots(const workload::TaskNode &task) const;
    /// Of the region's first element.
    Halide::Expr address(const workload::Region &region) const;
    /// `then` where all checks hold; the run ends with an error where one does not.
    Halide::Internal::Stmt checked(const std::vector<workload::RunTimeCheck> &checks,
                                   Halide::Internal::Stmt then) const;

private:
    Halide::Internal::Stmt statement(const workload::Node &node) const;
    Halide::Internal::Stmt call(const workload::TaskNode &task) const;
    void add_tile(std::vector<Halide::Expr> &result, const workload::Region &region) const;
    /// A size that a user computes is kept inside the region, whatever comes out.
    Halide::Expr valid(const std::optional<ScalarExpr> &size, int64_t whole) const;

    const TaskLoops &loops_;
    ScalarCode code_;
    mutable bool counts_tasks_ = false;
};

/// The resumable step of `program`, which is that of the plan or of one of its processes; see
/// append_task_loops.
Halide::Internal::LoweredFunc expander(const workload::TrackedPlan &plan,
                                       const std::vector<workload::TrackedStep> &program,
                                       const std::string &symbol, const TaskLoops &loops);

}  // namespace pto::wsp::lower
