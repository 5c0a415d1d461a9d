#include "pto/wsp/program/policies.h"

namespace pto::wsp {

using schedule::Argument;
using schedule::Part;
using schedule::Policy;

namespace {

std::vector<ScalarExpr> expressions(const std::vector<Key> &keys) {
    std::vector<ScalarExpr> result;
    result.reserve(keys.size());
    for (const Key &key : keys) {
        result.push_back(key.expr);
    }
    return result;
}

Policy window(const char *mode, int64_t size, const std::string &unit, const Loc &at) {
    return Policy::make(Part::Window, mode, {{"size", size}, {"unit", unit}}, at);
}

}  // namespace

Policy DispatchPolicy::round_robin(int64_t num_aicpus, const Loc &at) {
    return Policy::make(Part::Dispatch, "round_robin", {{"lanes", num_aicpus}}, at);
}

Policy DispatchPolicy::affinity(const Key &key, const Loc &at) {
    return Policy::make(Part::Dispatch, "affinity", {{"key", expressions({key})}}, at);
}

Policy DispatchPolicy::hash(const std::vector<Key> &keys, const Loc &at) {
    return Policy::make(Part::Dispatch, "hash", {{"key", expressions(keys)}}, at);
}

Policy DispatchPolicy::dispatch_by(const Key &key, const Loc &at) {
    return Policy::make(Part::Dispatch, "dispatch_by", {{"key", expressions({key})}}, at);
}

Policy DispatchPolicy::work_steal(const Loc &at) {
    return Policy::make(Part::Dispatch, "work_steal", {}, at);
}

Policy TimingPolicy::immediate(const Loc &at) {
    return Policy::make(Part::Timing, "immediate", {}, at);
}

Policy TimingPolicy::batched(int64_t n, const Loc &at) {
    return Policy::make(Part::Timing, "batched", {{"n", n}}, at);
}

Policy TimingPolicy::interleaved(int64_t streams, int64_t priority, const Loc &at) {
    return Policy::make(Part::Timing, "interleaved", {{"streams", streams}, {"priority", priority}},
                        at);
}

Policy TimingPolicy::rate_limit(double tasks_per_ms, const Loc &at) {
    return Policy::make(Part::Timing, "rate_limit", {{"tasks_per_ms", tasks_per_ms}}, at);
}

Policy Deps::exact(const Loc &at) {
    return Policy::make(Part::Deps, "exact", {}, at);
}

Policy Deps::bytes_overlap(const Loc &at) {
    return Policy::make(Part::Deps, "bytes_overlap", {}, at);
}

Policy Deps::explicit_edges(const std::vector<schedule::Edge> &edges, bool trust, const Loc &at) {
    return Policy::make(Part::Deps, "explicit", {{"edges", edges}, {"trust", trust}}, at);
}

Policy Deps::hybrid(const std::vector<schedule::Edge> &edges, const Loc &at) {
    return Policy::make(Part::Deps, "hybrid", {{"edges", edges}}, at);
}

Policy TaskWindow::stall(int64_t size, const std::string &unit, const Loc &at) {
    return window("stall", size, unit, at);
}

Policy TaskWindow::abort(int64_t size, const std::string &unit, const Loc &at) {
    return window("abort", size, unit, at);
}

Policy TaskWindow::benchmark(int64_t size, const std::string &unit, const Loc &at) {
    return window("benchmark", size, unit, at);
}

Policy Pools::single(int64_t size, const Loc &at) {
    return Policy::make(Part::Pools, "single", {{"size", size}}, at);
}

Policy Pools::by_exec_unit(int64_t matmul, int64_t other, const Loc &at) {
    return Policy::make(Part::Pools, "by_exec_unit", {{"matmul", matmul}, {"other", other}}, at);
}

Policy Pools::by_kernel(const std::map<std::string, int64_t> &kernels,
                        const std::vector<int64_t> &sizes, const Loc &at) {
    return Policy::make(Part::Pools, "by_kernel", {{"kernels", kernels}, {"sizes", sizes}}, at);
}

Policy Pools::custom(const Key &key, const std::vector<int64_t> &sizes, const Loc &at) {
    return Policy::make(Part::Pools, "custom", {{"key", expressions({key})}, {"sizes", sizes}}, at);
}

Policy ReadyPolicy::fifo(const Loc &at) {
    return Policy::make(Part::Ready, "fifo", {}, at);
}

Policy ReadyPolicy::work_steal(const Loc &at) {
    return Policy::make(Part::Ready, "work_steal", {}, at);
}

Policy ReadyPolicy::priority(const Key &key, const Loc &at) {
    return Policy::make(Part::Ready, "priority", {{"key", expressions({key})}}, at);
}

Policy StartPolicy::threshold(int64_t n, const Loc &at) {
    return Policy::make(Part::Start, "threshold", {{"n", n}}, at);
}

Policy StartPolicy::after_orchestration(const Loc &at) {
    return Policy::make(Part::Start, "after_orchestration", {}, at);
}

Policy TracePolicy::none(const Loc &at) {
    return Policy::make(Part::Trace, "none", {}, at);
}

Policy TracePolicy::cycles(const Loc &at) {
    return Policy::make(Part::Trace, "cycles", {}, at);
}

}  // namespace pto::wsp
