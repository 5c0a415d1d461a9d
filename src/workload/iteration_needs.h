#pragma once

#include "workload/access.h"

namespace pto::wsp::workload {

/// A nest and its sites: [first, last) of the table's.
struct NestSites {
    const StaticNest *nest = nullptr;
    size_t first = 0;
    size_t last = 0;
};

/// Which iterations of `reader` may read what one of `writer` writes. Empty when several loops of a
/// nest have sizes that only the run knows. What loops inside an iteration touch counts as the box
/// around it.
IterationNeeds iteration_needs(const NestSites &writer, const NestSites &reader,
                               const AccessTable &table);

}  // namespace pto::wsp::workload
