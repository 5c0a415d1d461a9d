#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/workload/dependence.h"
#include "workload/access.h"

namespace pto::wsp::workload {

/// Phases of independent nests, or why there are none.
struct StaticPlan {
    std::optional<std::vector<StaticPhase>> phases;
    std::string why_not;
    std::string remedy;  ///< what would remove that, where it is no conflict
    Loc at;              ///< of what is not independent
};

/// Splits the workload into nests of parallel loops that are proven independent. Loops around
/// several statements are kept together, with the statements as a serial body, or distributed:
///
/// ```
/// parallel b { A[b]; parallel h { B[b, h] } }  -->  parallel b { A[b] }; parallel b, h { B[b, h] }
/// ```
///
/// when no task of B precedes one of A that it depends on. A body whose statements each need all
/// before them is kept together, for the caches; others are distributed where that is possible, so
/// that a statement which fails stops only what needs it. Sequential loops are never split: they
/// are bodies, and so are loops inside of parallel ones that are proven to be chains. Nests that
/// are ordered (by data, by `sequential`) come into different phases.
StaticPlan plan_static(const NodePtr &root, const AccessTable &table);

/// One reason for each loop: which proof there is of it, and why not of its independence; then
/// what would remove the tracking, for a plan that needs it.
Reasons loop_reasons(const Node &root, const AccessTable &table, const StaticPlan &plan);

/// More task places than this are not analysed pair by pair.
inline constexpr size_t max_analysed_sites = 256;

}  // namespace pto::wsp::workload
