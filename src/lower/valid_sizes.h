#pragma once

#include <Halide.h>

#include "pto/wsp/lower/lower.h"

namespace pto::wsp::lower {

/// Ends the task with an error when dims of one class of `variant.unproven` have different valid
/// sizes; undefined when there is no such class.
Halide::Internal::Stmt check_valid_sizes(const KernelVariant &variant);

}  // namespace pto::wsp::lower
