#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"

namespace pto::wsp::schedule {

/// The parts of a task schedule, in the order in which they are written. Those from Deps to Trace
/// are together the step `task_graph`.
enum class Part {
    Dispatch,
    Streams,
    StreamBy,
    Timing,
    Deps,
    Window,
    Pools,
    Ready,
    Start,
    Trace,
    SpatialMap,
};

/// Its name: `dispatch`, `stream_by`.
const char *name(Part part);
/// True for the parts of `task_graph`.
bool is_of_task_graph(Part part);

/// A given dependence: tasks of kernel `after` whose `after_key` is k wait for the tasks of kernel
/// `before` before them in program order whose `before_key` is k. Tasks of `before` of one key
/// follow one another.
struct Edge {
    std::string before;
    std::string after;
    ScalarExpr before_key = 0;
    ScalarExpr after_key = 0;
    bool operator==(const Edge &) const = default;
};

/// What an argument of a policy holds: a number, a rate, a flag, a word, sizes, keys, edges, or
/// numbers of pools by the name of the kernel.
using Argument =
    std::variant<int64_t, double, bool, std::string, std::vector<int64_t>, std::vector<ScalarExpr>,
                 std::vector<Edge>, std::map<std::string, int64_t>>;

struct PolicyRow;

/// One part of a task schedule: the name of a policy and its arguments. Immutable data. The table
/// of policies (src/schedule/policies.cpp) has one row a policy, from which the checks, the JSON
/// and the printed form follow.
class Policy {
public:
    /// ScheduleError at `at` for an unknown policy or argument (with a suggestion), one that is
    /// missing, and a value that is none of its kind.
    static Policy make(Part part, std::string_view policy,
                       const std::map<std::string, Argument> &arguments = {},
                       const Loc &at = Loc::here());
    /// The inverse of `json`; ScheduleError naming `origin` as of `make`.
    static Policy parse(Part part, const Json &json, const std::string &origin);
    /// The same for a part by its name; the errors stand at `at`.
    static Policy parse(const std::string &part, const Json &json, const Loc &at);

    Part part() const;
    std::string name() const;
    bool is(std::string_view policy) const { return name() == policy; }

    /// The value of an argument, which the row of the policy must have.
    template <class T> const T &get(std::string_view argument) const {
        return std::get<T>(value(argument));
    }
    int64_t count(std::string_view argument) const { return get<int64_t>(argument); }
    const std::vector<ScalarExpr> &keys(std::string_view argument = "key") const {
        return get<std::vector<ScalarExpr>>(argument);
    }
    /// All expressions over names of loop variables that it has.
    std::vector<ScalarExpr> all_keys() const;

    /// `{"policy": "round_robin", "lanes": 4}`; without `policy` where the part has only one.
    Json json() const;
    /// `round_robin(4)`, `affinity("b")`, `interleaved(4, priority=2)`.
    std::string str() const;
    bool operator==(const Policy &other) const {
        return row_ == other.row_ && values_ == other.values_;
    }

private:
    static Policy parse(Part part, const Json &json, const Loc &at, const std::string &origin);
    explicit Policy(const PolicyRow &row) : row_(&row) {}
    const Argument &value(std::string_view argument) const;

    const PolicyRow *row_;
    std::vector<Argument> values_;  ///< in the order of the row
};

}  // namespace pto::wsp::schedule
