#pragma once

#include <Halide.h>

#include "pto/wsp/lower/lower.h"

namespace pto::wsp::lower {

/// The statement of a kernel with a body of the user's own.
///
/// A C++ body is called with its slots in memory; a text that it returns ends the task:
/// ```
/// failure = pto_wsp_body_4f1c...({x.host, x.row_stride, ...});  if failure: halide_error(failure)
/// ```
/// A Halide pipeline is lowered with the schedule that it has.
Halide::Internal::Stmt custom_statement(const KernelVariant &variant, const Target &target);

}  // namespace pto::wsp::lower
