#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pto/wsp/program/expressions.h"
#include "pto/wsp/schedule/policy.h"

/// The policies of a task schedule, one function each; the same names as in Python.
namespace pto::wsp {

/// A key of a policy: an expression of loop variables, or its text "b % 4".
struct Key {
    template <class T>
    requires(ExpressionLike<T> || IntegerLike<T>)
        Key(const T &expr)  // NOLINT: expressions are keys
        : expr(as_expr(expr)) {}
    Key(const char *text) : expr(ScalarExpr::parse(text, "key")) {}         // NOLINT: so are texts
    Key(const std::string &text) : expr(ScalarExpr::parse(text, "key")) {}  // NOLINT: so are texts

    ScalarExpr expr;
};

/// To which serial lane a task goes. Tasks of one lane complete in program order, one at a time.
/// All throw ScheduleError for a value that does not fit.
struct DispatchPolicy {
    /// Task i goes to lane i % `num_aicpus`.
    static schedule::Policy round_robin(int64_t num_aicpus, const Loc &at = Loc::here());
    /// Tasks of one `key` go to one lane, on one worker: key modulo the number of workers.
    static schedule::Policy affinity(const Key &key, const Loc &at = Loc::here());
    /// The lane is the FNV-1a hash of the keys modulo the number of workers; any worker takes it.
    static schedule::Policy hash(const std::vector<Key> &keys, const Loc &at = Loc::here());
    /// The lane is `key` modulo the number of workers; any worker takes it.
    static schedule::Policy dispatch_by(const Key &key, const Loc &at = Loc::here());
    /// No lanes: any worker takes any task.
    static schedule::Policy work_steal(const Loc &at = Loc::here());
};

/// When ready tasks start. All throw ScheduleError for a value that does not fit.
struct TimingPolicy {
    /// At once.
    static schedule::Policy immediate(const Loc &at = Loc::here());
    /// `n` at a time, in the order in which they became ready; the rest when nothing more can
    /// become ready before.
    static schedule::Policy batched(int64_t n, const Loc &at = Loc::here());
    /// The ready tasks of `streams` streams (0: those of the schedule) in turn, `priority` of each
    /// before the next.
    static schedule::Policy interleaved(int64_t streams = 0, int64_t priority = 1,
                                        const Loc &at = Loc::here());
    /// At most that many in a millisecond.
    static schedule::Policy rate_limit(double tasks_per_ms, const Loc &at = Loc::here());
};

/// Where dependences come from. All throw ScheduleError for a value that does not fit.
struct Deps {
    /// From data, to the element.
    static schedule::Policy exact(const Loc &at = Loc::here());
    /// From data: tasks whose arguments' bytes overlap, from the first to the last of each.
    static schedule::Policy bytes_overlap(const Loc &at = Loc::here());
    /// From `edges` alone; a dependence of data that they leave out is an error unless `trust`.
    static schedule::Policy explicit_edges(const std::vector<schedule::Edge> &edges,
                                           bool trust = false, const Loc &at = Loc::here());
    /// From data and from `edges`.
    static schedule::Policy hybrid(const std::vector<schedule::Edge> &edges,
                                   const Loc &at = Loc::here());
};

/// How much may be submitted and unfinished at a time: `size` tasks, or bytes that their tiles
/// hold (`unit`). All throw ScheduleError for a value that does not fit.
struct TaskWindow {
    /// What comes next waits.
    static schedule::Policy stall(int64_t size, const std::string &unit = "tasks",
                                  const Loc &at = Loc::here());
    /// More ends the run with an ExecutionError.
    static schedule::Policy abort(int64_t size, const std::string &unit = "tasks",
                                  const Loc &at = Loc::here());
    /// As `stall`, and the stalls and the most in flight are counted in the program's figures.
    static schedule::Policy benchmark(int64_t size, const std::string &unit = "tasks",
                                      const Loc &at = Loc::here());
};

/// How many tasks of which kind run at a time; a size of 0 is an equal share of the workers, at
/// least 1. All throw ScheduleError for a value that does not fit.
struct Pools {
    /// One pool of all tasks.
    static schedule::Policy single(int64_t size = 0, const Loc &at = Loc::here());
    /// One of kernels with a matmul, one of the others.
    static schedule::Policy by_exec_unit(int64_t matmul = 0, int64_t other = 0,
                                         const Loc &at = Loc::here());
    /// The pool of each kernel by its name, from 0 on.
    static schedule::Policy by_kernel(const std::map<std::string, int64_t> &kernels,
                                      const std::vector<int64_t> &sizes,
                                      const Loc &at = Loc::here());
    /// A task's pool is `key` modulo the number of pools.
    static schedule::Policy custom(const Key &key, const std::vector<int64_t> &sizes,
                                   const Loc &at = Loc::here());
};

/// Which ready task starts first.
struct ReadyPolicy {
    /// That which became ready first.
    static schedule::Policy fifo(const Loc &at = Loc::here());
    /// A worker's own newest; others steal its oldest.
    static schedule::Policy work_steal(const Loc &at = Loc::here());
    /// That with the largest key; of equal ones that which became ready first.
    static schedule::Policy priority(const Key &key, const Loc &at = Loc::here());
};

/// When the first task starts.
struct StartPolicy {
    /// When `n` tasks have been submitted, or all. ScheduleError for a number below 1.
    static schedule::Policy threshold(int64_t n, const Loc &at = Loc::here());
    /// When all tasks have been submitted.
    static schedule::Policy after_orchestration(const Loc &at = Loc::here());
};

/// What is measured of each task.
struct TracePolicy {
    /// Nothing.
    static schedule::Policy none(const Loc &at = Loc::here());
    /// Cycles of the processor's time stamp counter, summed by kernel.
    static schedule::Policy cycles(const Loc &at = Loc::here());
};

}  // namespace pto::wsp
