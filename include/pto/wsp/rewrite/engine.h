#pragma once

#include <memory>
#include <string>

#include "pto/wsp/rewrite/rule.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp::rewrite {

/// Applies the rules of `table` until none fires. Each round matches on the graph as it is, then
/// rebuilds it with all replacements that do not overlap; operations that nothing uses any more
/// stay and are the level's to drop. Gives `graph` itself when no rule fires.
///
/// Adds to `reasons`, when given, one reason an application, and one for each place where a rule's
/// pattern fits the final graph but a condition fails. InternalError that names the rules when they
/// fire in a cycle: more than 64 + 4 * nodes times.
std::shared_ptr<const Graph> apply_rules(const Table &table, std::shared_ptr<const Graph> graph,
                                         Reasons *reasons = nullptr);

/// One line a reason.
std::string explain(const Reasons &reasons);

}  // namespace pto::wsp::rewrite
