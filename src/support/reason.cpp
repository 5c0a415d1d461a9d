#include "pto/wsp/support/reason.h"

namespace pto::wsp {

std::string Reason::str() const {
    std::string line = at.known() ? at.str() + ": " : std::string();
    line += subject;
    if (!is_fact) {
        line += happened ? ": applied" : ": not applied";
    }
    return text.empty() ? line : line + ": " + text;
}

}  // namespace pto::wsp
