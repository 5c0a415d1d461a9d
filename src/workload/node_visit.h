#pragma once

#include <string>
#include <vector>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// A visitor made of lambdas, for std::visit.
template <class... Functions> struct Overloaded : Functions... { using Functions::operator()...; };
template <class... Functions> Overloaded(Functions...) -> Overloaded<Functions...>;

/// ScheduleError for a name that is none of `known`.
[[noreturn]] void throw_unknown_axis(const std::string &name, const std::vector<std::string> &known,
                                     const Loc &at);

/// The hint of an error about `name`, a variable of an expression that is none of `path`; `what` is
/// `it` or `this task`.
std::string scope_hint(const std::string &name, const std::vector<const LoopVar *> &path,
                       const std::string &what);

/// `name` as our texts write it: itself when it is an identifier, in quotes otherwise.
std::string name_text(const std::string &name);

}  // namespace pto::wsp::workload
