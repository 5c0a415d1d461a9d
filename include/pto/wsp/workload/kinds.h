#pragma once

#include <span>
#include <string>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// What a node is called: `parallel`, `seq`, `pipe`, `sel` (the loop that counts for a variable
/// with values of a table), `value` (a variable that stands for an expression), `task`, `combine`,
/// `sequential`, `call`, `when`, `slot`, `net`, `send`, `consume`, `close`.
const char *kind_of(const Node &node);

/// All of these, the ones that `kind_of` prefers first.
std::span<const char *const> node_kinds();

}  // namespace pto::wsp::workload
