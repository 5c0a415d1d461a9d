#pragma once

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// `root` with each buffer of its nets stored once for each slot of a channel: a tensor of which a
/// task sent to the channel writes a region, and a task that consumes the token reads one, neither
/// at a place that the token decides.
///
/// ```
/// send ch token n { load[i](out buf[0:4]) }   -->   send ch token n { let s = n % 3 {
/// consume ch token m { use(in buf[0:4]) }               load[i](out buf[s, 0:4]) } } ...
/// ```
///
/// CompileError when something else touches such a tensor.
NodePtr with_stored_buffers(const NodePtr &root);

}  // namespace pto::wsp::workload
