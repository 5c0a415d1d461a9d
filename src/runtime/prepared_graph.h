#pragma once

#include <cstdint>
#include <vector>

#include "pto/wsp/runtime/executor.h"

namespace pto::wsp::runtime {

/// An access of a site: its box, and the first cells for which the box lies inside the grid.
struct PreparedAccess {
    int64_t grid_begin;  ///< number of the grid's first cell among all cells
    int64_t lowest;
    int64_t highest;
    const std::vector<Access::Extent> *box;
    bool writes;
    bool needs_writer;   ///< is lost when the cell's last writer is
    bool needs_readers;  ///< or a reader that it waits for
    bool single;         ///< the box is one cell
    bool empty;          ///< or none
};

struct PreparedSite {
    abi::KernelFn function;
    int slot_count;
    uint32_t first_access;
    uint32_t last_access;  ///< one past
    int rank_slot;
    int pool_slot;
    int pool;
    int64_t weight;
};

/// A dynamic graph, checked and laid out for submission. Refers to the graph.
struct PreparedGraph {
    /// InternalError when the graph is not consistent.
    explicit PreparedGraph(const DynamicGraph &graph);

    std::vector<PreparedSite> sites;
    std::vector<PreparedAccess> accesses;
    int64_t cell_count = 0;  ///< of all grids
    int most_slots = 0;
};

}  // namespace pto::wsp::runtime
