#pragma once

#include <optional>
#include <string>
#include <vector>

#include "workload/access.h"

namespace pto::wsp::workload {

/// How iterations of a loop depend on each other, where that is certain.
enum class LoopOrder {
    Unknown,
    Independent,  ///< none touches what another one writes
    Chain,        ///< each depends on the one before
    Reduction,    ///< a chain in which each reads and writes what the one before wrote
    Wavefront,    ///< with the loop right inside: those of one diagonal are independent
};

/// A loop with the task places in it: [first, last) of the table.
struct LoopPlace {
    const LoopNode *loop = nullptr;
    size_t depth = 0;  ///< number of loops around
    size_t first = 0;
    size_t last = 0;
};

/// What is proven of the loop. A chain or a reduction has one task place.
LoopOrder loop_order(const LoopPlace &place, const AccessTable &table);

/// True for a wavefront of one task that surely reads what the iteration before wrote, of either
/// loop. Then an iteration needs those that are after it in neither loop, and no others.
bool is_blockable(const LoopPlace &place, const AccessTable &table);

/// Two iterations of the loop, those around it equal, that may conflict.
std::optional<Conflict> conflict_inside(const LoopPlace &place, const AccessTable &table);

/// The loop right inside, when it is all that there is in the body; null otherwise.
const LoopNode *inner_loop(const LoopNode &loop);

/// True when the task of `a` in any iteration x of `variable` and the task of `b` in x + 1, all
/// other indices equal, certainly touch an element in common through these accesses.
bool always_meet(const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b,
                 const LoopVar &variable, const AccessTable &table);

/// One reason for each place where iterations of a parallel loop certainly write one element and
/// nothing reads it in the loop: their order cannot be meant.
Reasons races(const Node &root, const AccessTable &table);

}  // namespace pto::wsp::workload
