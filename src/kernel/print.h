#pragma once

#include <string>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// A dim in a type: `512`, or `(N + 1)` when it is an expression.
std::string dim_text(const Affine &dim);

/// The text of `program` under the name `name`, values numbered in program order.
std::string print(const TileProgram &program, const std::string &name);

}  // namespace pto::wsp::kernel
