#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/program/axes.h"
#include "pto/wsp/program/expressions.h"
#include "pto/wsp/program/policies.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/program/tensors.h"
#include "pto/wsp/schedule/tasks.h"
#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp {

/// Loops that the body of a range-for is in; what `P(...)` gives.
class LoopScope {
public:
    LoopScope(workload::Builder::Order order, std::vector<AnyAxis> axes, Loc at)
        : order_(order), axes_(std::move(axes)), at_(std::move(at)) {}
    LoopScope(const LoopScope &) = delete;
    LoopScope &operator=(const LoopScope &) = delete;
    /// A loop that was left by `break` or `return` makes its workload fail.
    ~LoopScope();

protected:
    /// CompileError outside the body of a workload and for a negative size.
    std::vector<AxisVar> open();
    void close();

private:
    std::string name() const;

    workload::Builder::Order order_;
    std::vector<AnyAxis> axes_;
    Loc at_;
    bool open_ = false;
};

/// The range of `for (auto [b, h] : P(4, 8))`: one step, whose variables stand for all iterations.
template <size_t Count> class Loop : public LoopScope {
public:
    using LoopScope::LoopScope;

    /// Of one step.
    class Iterator {
    public:
        explicit Iterator(Loop &loop) : loop_(&loop), variables_(loop.open()) {}

        /// The loop variable; of several axes, an array of them.
        auto operator*() const {
            if constexpr (Count == 1) {
                return variables_[0];
            } else {
                std::array<AxisVar, Count> result;
                std::copy_n(variables_.begin(), Count, result.begin());
                return result;
            }
        }
        Iterator &operator++() {
            std::exchange(loop_, nullptr)->close();
            return *this;
        }
        bool operator==(std::default_sentinel_t) const { return loop_ == nullptr; }

    private:
        Loop *loop_;
        std::vector<AxisVar> variables_;
    };

    Iterator begin() { return Iterator(*this); }
    std::default_sentinel_t end() const { return {}; }
};

/// Loops in one order or any; see `P`.
class LoopConstructor {
public:
    explicit constexpr LoopConstructor(bool sequential) : sequential_(sequential) {}

    Loop<1> operator()(const AnyAxis &a, Loc at = Loc::here()) const {
        return {workload::Builder::Order(sequential_), {a}, std::move(at)};
    }
    Loop<2> operator()(const AnyAxis &a, const AnyAxis &b, Loc at = Loc::here()) const {
        return {workload::Builder::Order(sequential_), {a, b}, std::move(at)};
    }
    Loop<3> operator()(const AnyAxis &a, const AnyAxis &b, const AnyAxis &c,
                       Loc at = Loc::here()) const {
        return {workload::Builder::Order(sequential_), {a, b, c}, std::move(at)};
    }
    Loop<4> operator()(const AnyAxis &a, const AnyAxis &b, const AnyAxis &c, const AnyAxis &d,
                       Loc at = Loc::here()) const {
        return {workload::Builder::Order(sequential_), {a, b, c, d}, std::move(at)};
    }

private:
    bool sequential_;
};

/// The loops of a workload: `P(...)` and `P.grid(...)` in any order, `P.seq(...)` in turn.
///
/// ```
/// for (auto [b, h] : P(Dense(4), Dense(8))) {
///     attn[{b, h}]({Q[b][h], K[b][h], V[b][h], O[b][h]});
/// }
/// ```
///
/// `P.pipe(axis, depth)` runs at most `depth` iterations at a time, `P.sel(sparse[b])` over the
/// places of a row.
struct Loops : LoopConstructor {
    constexpr Loops() : LoopConstructor(false) {}
    LoopConstructor grid{false};
    LoopConstructor seq{true};

    /// Over the places that a row of a `Sparse` selects. CompileError for another axis.
    Loop<1> sel(const AnyAxis &axis, Loc at = Loc::here()) const;
    /// CompileError unless depth >= 1.
    Loop<1> pipe(const AnyAxis &axis, int64_t depth = 1, Loc at = Loc::here()) const;
    /// `body` runs where the predicate is not 0; several in a row that `otherwise` closes are a
    /// chain, of which one runs. CompileError outside the body of a workload.
    void when(const ScalarExpr &predicate, const std::function<void()> &body,
              const Loc &at = Loc::here()) const;
    /// == and != of expressions say whether they are the same one; `equal` and `not_equal` make
    /// expressions.
    template <std::same_as<bool> T>
    void when(T, const std::function<void()> &, const Loc & = Loc::here()) const = delete;
    /// CompileError when there is no `when` right before it.
    void otherwise(const std::function<void()> &body, const Loc &at = Loc::here()) const;
};
inline constexpr Loops P;  // NOLINT: the name that it has in Python

/// The value of a symbol, see `Program::set_symbols`.
inline ScalarExpr symbol_u64(const std::string &name) {
    return ScalarExpr::symbol(name);
}
/// What `slot_set_u64` or `slot_load_u64` left in slot 0...255; 0 at the start of a run.
inline ScalarExpr slot_u64(int64_t slot) {
    return ScalarExpr::slot(slot);
}
/// Leaves `value` in a slot for what follows. CompileError outside the body of a workload.
void slot_set_u64(int64_t slot, const ScalarExpr &value, const Loc &at = Loc::here());
/// Leaves one element of an integer tensor in a slot, after the tasks before that write it.
/// TypeCheckError unless it is one inside its tensor; CompileError outside the body of a workload.
void slot_load_u64(int64_t slot, const Tensor &element, const Loc &at = Loc::here());

/// What `Workload` may be told.
struct WorkloadOptions {
    /// Throw where a call does not fit its kernel. Otherwise such calls are collected in
    /// `Workload::type_errors`, and `compile` throws the first.
    bool fail_on_type_error = true;
};

/// An immutable expression of tasks with its schedule.
class Workload {
public:
    /// Runs `body` once; its loops are `P(...)`, its statements call kernels and other workloads.
    /// What it throws passes through and leaves nothing behind. CompileError for a loop that is
    /// left before its end.
    Workload(const std::string &name, const std::function<void()> &body,
             const WorkloadOptions &options = {}, const Loc &at = Loc::here());
    /// One that is already built.
    explicit Workload(workload::Workload built, schedule::TaskSchedule schedule = {})
        : built_(std::move(built)), schedule_(std::move(schedule)) {}

    /// In the body of another workload: becomes part of it. CompileError elsewhere, and when it
    /// has a schedule of its own.
    void operator()(const Loc &at = Loc::here()) const;

    const std::string &name() const { return built_.name; }
    /// `parallel`, `seq`, `task`, `combine` or `sequential`.
    std::string kind() const { return built_.kind(); }
    /// Its type: `Workload[Dense[4] × Dense[8], attn, Independent]`.
    std::string str() const { return built_.type_str(); }
    int64_t task_count() const { return built_.task_count(); }
    const std::vector<TypeCheckError> &type_errors() const { return built_.type_errors; }
    /// All of it: texts, enumeration, tensors.
    const workload::Workload &built() const { return built_; }
    /// The steps so far.
    const schedule::TaskSchedule &schedule() const { return schedule_; }

    /// The same with `policy` as one part of its schedule, which replaces what it had there.
    /// ScheduleError for a key with a loop variable that a task does not have.
    Workload with(const schedule::Policy &policy, const Loc &at = Loc::here()) const;
    /// The same with all parts of `schedule`.
    Workload with_schedule(const schedule::TaskSchedule &schedule,
                           const Loc &at = Loc::here()) const;
    /// The same tasks, each on the lane that a DispatchPolicy says. ScheduleError as of `with`.
    Workload dispatch(const schedule::Policy &policy, const Loc &at = Loc::here()) const;
    /// The same tasks on `count` streams; tasks of a stream complete in program order.
    /// ScheduleError for a count below 1.
    Workload streams(int64_t count, const Loc &at = Loc::here()) const;
    /// A task's stream is `key` modulo the number of streams. ScheduleError as of `with`.
    Workload stream_by(const Key &key, const Loc &at = Loc::here()) const;
    /// The same tasks, started when a TimingPolicy says.
    Workload timing(const schedule::Policy &policy, const Loc &at = Loc::here()) const;
    /// The same tasks under these policies: of Deps, TaskWindow, Pools, ReadyPolicy, StartPolicy,
    /// TracePolicy. ScheduleError for another.
    Workload task_graph(const std::vector<schedule::Policy> &policies,
                        const Loc &at = Loc::here()) const;
    /// The same tasks, of which at most `window` are submitted and unfinished at a time.
    Workload task_graph(int64_t window, const Loc &at = Loc::here()) const;
    /// The same tasks on a mesh of `grid`, which layouts are checked against. ScheduleError for a
    /// size below 1.
    Workload spatial_map(const std::vector<int64_t> &grid, const Loc &at = Loc::here()) const;

    /// See `pto::wsp::compile`; `options.tasks` is its own schedule. ScheduleError when there is
    /// one in both.
    Program compile(CompileOptions options = {}, const Loc &at = Loc::here()) const;

private:
    workload::Workload built_;
    schedule::TaskSchedule schedule_;
};

/// The tasks of all parts, in any order that their data allows.
Workload combine(const std::vector<Workload> &parts, const Loc &at = Loc::here());
/// The tasks of each part after those of the part before.
Workload sequential(const std::vector<Workload> &parts, const Loc &at = Loc::here());

}  // namespace pto::wsp
