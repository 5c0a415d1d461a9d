#pragma once

#include <string>
#include <vector>

#include "pto/wsp/support/loc.h"

namespace pto::wsp {

/// Why something did or did not happen, or what was found: a rule that fired or not, a cache miss,
/// a loop that needs tracking. The one mechanism behind every `explain`.
struct Reason {
    std::string subject;    ///< what it is about: `normalise-after-product`, `task loop`, `cache`
    bool happened = false;  ///< true: it was done; false: it was not
    std::string text;       ///< lower case, with the actual values
    Loc at;
    bool is_fact = false;  ///< nothing that is done or not: what was found

    /// `file.py:41: normalise-after-product: not applied: the sum has two users`, or of a fact
    /// `file.py:41: loop i: independent loop: ...`; without a known location it starts at the
    /// subject.
    std::string str() const;
};

/// Reasons in the order in which they arose.
using Reasons = std::vector<Reason>;

}  // namespace pto::wsp
