#pragma once

#include <string>
#include <string_view>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// Reads what `Workload::str()` prints:
///
/// ```
/// tensor Q: f32[4, 512, 64]
/// tensor R: f32[512, 64] strides [64, 1] at Q + 131072
/// kernel scale(in x: f32[512, 64], out y: f32[512, 64], n: i32)
/// workload example {
///   parallel b in batch: Dense[4] as b, batch {
///     task scale[b](in Q[b, 0:512, 0:64], out R[0:512, 0:64], b + 1)
///   }
/// }
/// ```
///
/// Loops are `parallel` and `seq`, groups `combine`, `sequential` and `call <name>`. A partial tile
/// is `Q[...] valid(rows = n, columns = m)`. Kernels are declarations; tensors have no memory
/// (`view.data` is null) except those that share some (`at <tensor> + <bytes>`), which get zeros.
///
/// IRConversionError with the line for a text that cannot be read; TypeCheckError with the line for
/// a task whose arguments do not fit.
Workload parse_workload(std::string_view text, const std::string &origin = "workload");

}  // namespace pto::wsp::workload
