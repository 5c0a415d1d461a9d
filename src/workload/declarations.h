#pragma once

#include <map>
#include <string>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// What the text of a workload names before its statements.
struct Declarations {
    std::map<std::string, TensorPtr> tensors;
    std::map<std::string, KernelPtr> kernels;
    std::map<std::string, ChannelPtr> channels;
    std::map<std::string, EventPtr> events;
    RunData data;
};

/// Reads them. Tensors that share memory get some, all zeros; the others have none.
/// IRConversionError at the place of what does not fit.
Declarations parse_declarations(TextReader &reader);

/// Throws an IRConversionError.
[[noreturn]] void refuse(const Loc &at, const std::string &text);

/// What a text calls `name` among `all`. IRConversionError at `at` when there is no such `what`.
template <class Named>
const Named &declared(const std::map<std::string, Named> &all, const std::string &what,
                      const std::string &name, const Loc &at) {
    const auto found = all.find(name);
    if (found == all.end()) {
        refuse(at, "no " + what + " is called " + quoted(name));
    }
    return found->second;
}

}  // namespace pto::wsp::workload
