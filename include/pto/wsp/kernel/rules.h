#pragma once

#include <memory>

#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp::kernel {

/// The same kernel, better: a fixed sequence of rule tables, then operations that no store needs
/// are dropped. Equal nodes stay one node.
///
/// 1. `fold`: constants computed, multiplications by one and the like gone, transposes taken into
///    matmul, divisions by powers of two made multiplications.
/// 2. `mask`: causal masks written with `where` and positions made `causal_mask`, which lowering
///    bounds by each block of rows.
/// 3. `softmax`: softmax written out, and its division moved behind the product that it feeds:
///    `matmul(softmax(x), v)` --> `matmul(e, v) / rowsum(e)` with `e = exp(x - rowmax(x))`.
/// 4. `scale`: the constant scale of a product moved to its smaller left operand.
///
/// Values are unchanged up to the order of sums in matmul (1 and 2: exactly). Adds to `reasons`
/// what fired and what nearly did, at the user's lines. Needs a verified program and gives one.
std::shared_ptr<const TileProgram> rewrite_tile_program(const TileProgram &program,
                                                        Reasons *reasons = nullptr);

}  // namespace pto::wsp::kernel
