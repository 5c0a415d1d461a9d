#pragma once

#include <cstdint>

namespace pto::wsp::runtime {

/// What pto_wsp_count_task has counted on the calling thread so far.
int64_t counted_tasks();

}  // namespace pto::wsp::runtime
