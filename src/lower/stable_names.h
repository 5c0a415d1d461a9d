#pragma once

#include <string>

namespace pto::wsp::lower {

/// `text` of a Halide module with the counters in its unique names, `t61` and `store0$3`, numbered
/// in order of appearance: a kernel has one text, whatever was lowered in the process before it.
std::string with_stable_names(const std::string &text);

}  // namespace pto::wsp::lower
