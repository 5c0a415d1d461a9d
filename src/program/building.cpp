#include "building.h"

namespace pto::wsp {

namespace {

thread_local Building *innermost = nullptr;

}  // namespace

Building::Building(const std::string &name, bool fail_on_type_error, const Loc &at)
    : builder(name, at,
              fail_on_type_error ? workload::Builder::OnError::Throw
                                 : workload::Builder::OnError::Collect),
      outer_(innermost) {
    innermost = this;
}

Building::~Building() {
    innermost = outer_;
}

Building *Building::current() {
    return innermost;
}

Building &Building::required(const std::string &what, const Loc &at) {
    if (innermost == nullptr) {
        throw CompileError(at, what + " is used outside the body of a workload", {},
                           "use it in the body of a Workload");
    }
    return *innermost;
}

}  // namespace pto::wsp
