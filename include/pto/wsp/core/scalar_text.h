#pragma once

#include <string>

#include "pto/wsp/core/scalar_expr.h"

namespace pto::wsp {

/// An expression as errors show it: whole, or where it is long its outermost operations, with `...`
/// for what is in them, and how deep it is: `((((... + 1) - 1) + 1) % 4) (5002 levels deep)`.
std::string shown(const ScalarExpr &expr);

}  // namespace pto::wsp
