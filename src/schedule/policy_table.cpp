#include "schedule/policy_table.h"

#include <algorithm>

namespace pto::wsp::schedule {

namespace {

using Kind = ArgumentKind;

constexpr PolicyRow table[] = {
    {Part::Dispatch, "round_robin", {{{"lanes", Kind::Count}}}},
    {Part::Dispatch, "affinity", {{{"key", Kind::Key}}}},
    {Part::Dispatch, "hash", {{{"key", Kind::Keys}}}},
    {Part::Dispatch, "dispatch_by", {{{"key", Kind::Key}}}},
    {Part::Dispatch, "work_steal", {}},
    {Part::Streams, "streams", {{{"count", Kind::Count}}}},
    {Part::StreamBy, "stream_by", {{{"key", Kind::Key}}}},
    {Part::Timing, "immediate", {}},
    {Part::Timing, "batched", {{{"n", Kind::Count}}}},
    {Part::Timing, "interleaved", {{{"streams", Kind::Share}, {"priority", Kind::Count, 1}}}},
    {Part::Timing, "rate_limit", {{{"tasks_per_ms", Kind::Rate}}}},
    {Part::Deps, "exact", {}},
    {Part::Deps, "bytes_overlap", {}},
    {Part::Deps, "explicit", {{{"edges", Kind::Edges}, {"trust", Kind::Flag}}}},
    {Part::Deps, "hybrid", {{{"edges", Kind::Edges}}}},
    {Part::Window, "stall", {{{"size", Kind::Size}, {"unit", Kind::Unit}}}},
    {Part::Window, "abort", {{{"size", Kind::Size}, {"unit", Kind::Unit}}}},
    {Part::Window, "benchmark", {{{"size", Kind::Size}, {"unit", Kind::Unit}}}},
    {Part::Pools, "single", {{{"size", Kind::Share}}}},
    {Part::Pools, "by_exec_unit", {{{"matmul", Kind::Share}, {"other", Kind::Share}}}},
    {Part::Pools, "by_kernel", {{{"kernels", Kind::Kernels}, {"sizes", Kind::Counts}}}},
    {Part::Pools, "custom", {{{"key", Kind::Key}, {"sizes", Kind::Counts}}}},
    {Part::Ready, "fifo", {}},
    {Part::Ready, "work_steal", {}},
    {Part::Ready, "priority", {{{"key", Kind::Key}}}},
    {Part::Start, "threshold", {{{"n", Kind::Count}}}},
    {Part::Start, "after_orchestration", {}},
    {Part::Trace, "none", {}},
    {Part::Trace, "cycles", {}},
    {Part::SpatialMap, "spatial_map", {{{"grid", Kind::Counts}}}},
};

}  // namespace

std::span<const PolicyRow> policy_table() {
    return table;
}

bool has_one_policy(Part part) {
    return std::ranges::count(table, part, &PolicyRow::part) == 1;
}

}  // namespace pto::wsp::schedule
