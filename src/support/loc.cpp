#include "pto/wsp/support/loc.h"

namespace pto::wsp {

std::string Loc::str() const {
    return known() ? file + ":" + std::to_string(line) : "<unknown>";
}

}  // namespace pto::wsp
