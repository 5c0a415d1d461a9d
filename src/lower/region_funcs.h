#pragma once

#include <map>
#include <string>
#include <vector>

#include "pto/wsp/lower/lower.h"
#include "pto/wsp/schedule/outline.h"
#include "tile_func.h"

namespace pto::wsp::lower {

/// Memory that a region's pipeline reads or writes, by the name of its Halide buffer.
struct RegionBuffer {
    enum class Kind { Load, Scratch, Store };
    Kind kind = Kind::Load;
    int index = -1;  ///< node of a load or store; index of a scratch
};

/// A region as Halide Funcs with stable names, before any schedule.
struct RegionFuncs {
    std::map<std::string, Halide::Func> funcs;    ///< by stable name
    std::vector<Halide::Func> roots;              ///< stores and copies
    std::map<std::string, RegionBuffer> buffers;  ///< by Halide buffer name
};

/// Builds the Funcs of `region`. Every read of memory is clamped to the window that it reads, so
/// that no schedule can make a kernel read out of bounds; where a clamp is provably idle, Halide's
/// simplifier removes it.
RegionFuncs build_region(const KernelVariant &variant, const schedule::Outline &outline,
                         const schedule::Region &region);

}  // namespace pto::wsp::lower
