#pragma once

#include <memory>
#include <optional>
#include <string>

#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"

namespace pto::wsp::schedule {

/// Which logical serial lane ("AICPU") a task is dispatched to. Tasks of a lane complete in program
/// order, one at a time.
struct Dispatch {
    enum class Policy { RoundRobin, Affinity };
    Policy policy = Policy::RoundRobin;
    int64_t lanes = 0;   ///< round robin: how many; affinity: 0
    ScalarExpr key = 0;  ///< affinity: over loop variable names; lane = worker = key mod workers
    bool operator==(const Dispatch &) const = default;
};

/// The task-level schedule: data, immutable; each combinator returns a new one.
struct TaskSchedule {
    std::optional<Dispatch> dispatch;
    int64_t streams = 0;                   ///< 0: none
    std::optional<ScalarExpr> stream_key;  ///< stream = key mod streams; FIFO within a stream

    Json json() const;  ///< `[["dispatch", {"policy": "affinity", "key": "b"}], ...]`
    static TaskSchedule parse(const Json &json, const std::string &origin);
    std::string str() const;
    bool operator==(const TaskSchedule &) const = default;
};

}  // namespace pto::wsp::schedule
