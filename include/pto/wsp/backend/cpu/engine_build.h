#pragma once

#include <string_view>

namespace pto::wsp::backend::cpu {

/// What made the engine that generates code, `pto_wsp 0.1.0, halide 21.0.0, sources 4f1c...`: part
/// of every cache key, so that an object is never used by an engine that could differ.
std::string_view engine_build();

}  // namespace pto::wsp::backend::cpu
