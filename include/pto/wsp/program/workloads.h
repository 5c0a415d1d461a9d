#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/program/expressions.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/schedule/tasks.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp {

/// An axis of `size` places: `Dense(4)`. Its loop variable has the given name for keys and texts,
/// and otherwise those that the workload gives it (see `workload::LoopVar`).
struct Dense {
    Dense(int64_t size, std::string name = "", Loc at = Loc::here())  // NOLINT: sizes are axes
        : size(size), name(std::move(name)), at(std::move(at)) {}

    int64_t size;
    std::string name;
    Loc at;
};

/// Loops that the body of a range-for is in; what `P(...)` gives.
class LoopScope {
public:
    LoopScope(bool sequential, std::vector<Dense> axes, Loc at)
        : sequential_(sequential), axes_(std::move(axes)), at_(std::move(at)) {}
    LoopScope(const LoopScope &) = delete;
    LoopScope &operator=(const LoopScope &) = delete;
    /// A loop that was left by `break` or `return` makes its workload fail.
    ~LoopScope();

protected:
    /// CompileError outside the body of a workload and for a negative size.
    std::vector<AxisVar> open();
    void close();

private:
    bool sequential_;
    std::vector<Dense> axes_;
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

    Loop<1> operator()(const Dense &a, Loc at = Loc::here()) const {
        return {sequential_, {a}, std::move(at)};
    }
    Loop<2> operator()(const Dense &a, const Dense &b, Loc at = Loc::here()) const {
        return {sequential_, {a, b}, std::move(at)};
    }
    Loop<3> operator()(const Dense &a, const Dense &b, const Dense &c, Loc at = Loc::here()) const {
        return {sequential_, {a, b, c}, std::move(at)};
    }
    Loop<4> operator()(const Dense &a, const Dense &b, const Dense &c, const Dense &d,
                       Loc at = Loc::here()) const {
        return {sequential_, {a, b, c, d}, std::move(at)};
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
struct Loops : LoopConstructor {
    constexpr Loops() : LoopConstructor(false) {}
    LoopConstructor grid{false};
    LoopConstructor seq{true};
};
inline constexpr Loops P;  // NOLINT: the name that it has in Python

/// A key of `affinity` and `stream_by`: an expression of loop variables, or its text "b % 4".
struct Key {
    template <class T>
    requires(ExpressionLike<T> || IntegerLike<T>)
        Key(const T &expr)  // NOLINT: expressions are keys
        : expr(as_expr(expr)) {}
    Key(const char *text) : expr(ScalarExpr::parse(text, "key")) {}         // NOLINT: so are texts
    Key(const std::string &text) : expr(ScalarExpr::parse(text, "key")) {}  // NOLINT: so are texts

    ScalarExpr expr;
};

/// To which serial lane a task goes. Tasks of one lane complete in program order.
struct DispatchPolicy {
    /// Task i goes to lane i % `num_aicpus`. ScheduleError for a number below 1.
    static schedule::Dispatch round_robin(int64_t num_aicpus, const Loc &at = Loc::here());
    /// Tasks of one `key` go to one lane, on one worker.
    static schedule::Dispatch affinity(const Key &key);
};

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

    /// The same tasks, each on the lane that `policy` says. ScheduleError for a key with a loop
    /// variable that a task does not have.
    Workload dispatch(const schedule::Dispatch &policy, const Loc &at = Loc::here()) const;
    /// The same tasks on `count` streams; tasks of a stream complete in program order.
    /// ScheduleError for a count below 1.
    Workload streams(int64_t count, const Loc &at = Loc::here()) const;
    /// A task's stream is `key` modulo the number of streams. ScheduleError as of `dispatch`.
    Workload stream_by(const Key &key, const Loc &at = Loc::here()) const;

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
