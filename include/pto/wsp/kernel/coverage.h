#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/kernel/op.h"
#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// One primitive on one element type.
struct CoverageCell {
    std::string primitive;
    DType dtype = DType::F32;
    Accuracy accuracy;    ///< of the results; meaningless when refused
    std::string refusal;  ///< the error, when the primitive refuses the type; else empty

    bool accepted() const { return refusal.empty(); }
    /// `exact`, `<= 2 ulp`, `refused: exp: i32 [32, 32] is not a float`.
    std::string str() const;
};

/// Every primitive, those of composed.def included, on every element type but masks: first the
/// primitives in the order of the tables, of each the types in theirs. Nothing of it is written
/// down: each cell is what a Builder says of a kernel that applies the primitive to tiles [32, 32]
/// of the type (tsort32 to [1, 32]) and, where it takes no tile, stores its result as that type.
std::vector<CoverageCell> coverage();

/// Tiles to which `coverage` applies the row, for elements of `dtype`; without those that may be
/// absent.
std::vector<TileType> sample_operands(const OpInfo &row, DType dtype);

}  // namespace pto::wsp::kernel
