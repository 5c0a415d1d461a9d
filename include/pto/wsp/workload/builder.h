#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// An argument as a user writes it.
struct Argument {
    std::string name;  ///< of the parameter; empty: by position
    std::variant<Region, ScalarExpr, double, uint64_t> value;
    Loc at;
};

/// Builds a workload statement by statement; what `@workload` with `P` in Python and the C++ front
/// door call. Statements one after another in a body form an unordered group: they are ordered by
/// the data they touch.
class Builder {
public:
    enum class OnError {
        Throw,    ///< a call that does not fit throws
        Collect,  ///< it is left out and kept in `Workload::type_errors`
    };

    explicit Builder(std::string name, Loc at = Loc::here(), OnError on_error = OnError::Throw);
    ~Builder();
    Builder(Builder &&) noexcept;
    Builder &operator=(Builder &&) noexcept;

    /// Opens `P(axis)` or `P.seq(axis)` and returns the id of its variable, by which Affine and
    /// ScalarExpr name it. `names` are the user's, best first; the id is made from the first one.
    /// The kernel whose last subscript it is and the next of the letters b h s d i j k l m n are
    /// added behind them, unless another loop around has that name. CompileError for a negative
    /// size.
    std::string open_loop(bool sequential, Axis axis, std::vector<std::string> names = {},
                          Loc at = Loc::here());
    /// Opens `combine(...)` or `sequential(...)`.
    void open_group(bool sequential, Loc at = Loc::here());
    /// Opens the body of a workload that is called inside this one.
    void open_call(std::string name, Loc at = Loc::here());
    /// Closes what was opened last; CompileError when nothing is open.
    void close(Loc at = Loc::here());
    /// What is open.
    int depth() const;

    /// A workload that is already built, as a call; its loop variables get new ids.
    void include(const Workload &workload, Loc at = Loc::here());

    /// `kernel[axes](arguments)`. TypeCheckError at the user's line when an argument is missing,
    /// not known, of another shape or dtype than the parameter, partial but not declared so, or
    /// when its region leaves the tensor for some values of the loop variables.
    void task(KernelPtr kernel, std::vector<ScalarExpr> axes, std::vector<Argument> arguments,
              Loc at = Loc::here());

    /// Ends; the builder is empty afterwards. CompileError when something is still open.
    Workload finish();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Values of the Symbols in the dims of a task's kernel, from the extents of its regions.
/// TypeCheckError at `at` when they contradict each other or leave one open.
std::map<std::string, int64_t> task_symbols(const TaskNode &task, const Loc &at);

}  // namespace pto::wsp::workload
