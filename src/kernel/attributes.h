#pragma once

#include "pto/wsp/kernel/op.h"

namespace pto::wsp::kernel {

/// Brings `attributes` to the one form that programs hold: dims are Affine, absent dims have their
/// default, flags that are false are absent. TypeCheckError at `at` like `check_attributes`.
void normalise_attributes(const OpInfo &row, Attributes &attributes, const Loc &at);

/// TypeCheckError at `at` for an attribute that the row does not name, that is missing, or that is
/// of the wrong kind.
void check_attributes(const OpInfo &row, const Attributes &attributes, const Loc &at);

}  // namespace pto::wsp::kernel
