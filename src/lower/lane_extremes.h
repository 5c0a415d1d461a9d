#pragma once

#include <Halide.h>

namespace pto::wsp::lower {

/// `statement` with the largest and the smallest lane of a vector of floats found by halves. LLVM
/// goes lane by lane, because it minds in which of two numbers a NaN stands; nothing here does.
Halide::Internal::Stmt halve_lane_extremes(const Halide::Internal::Stmt &statement);

}  // namespace pto::wsp::lower
