#pragma once

#include <memory>

#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp::kernel {

/// The same kernel, better: a fixed sequence of rule tables, then operations that no store needs
/// are dropped. Equal nodes stay one node.
///
/// - `loop`: loops of no or of one iteration gone, invariants made before the loop.
/// - `fold`: constants computed, multiplications by one and the like gone, transposes taken into
///   matmul, divisions by powers of two made multiplications, broadcasts left to arithmetic.
/// - `simplify`: signs, conversions, moves and choices that cancel.
/// - `mask`: causal masks written with `where` and positions made `causal_mask`, for lowering
///   to leave out what lies right of the diagonal.
/// - `softmax`: softmax written out, and its division moved behind the product that it feeds:
///   `matmul(softmax(x), v)` --> `matmul(e, v) / rowsum(e)` with `e = exp(x - rowmax(x))`.
/// - `scale`: the constant scale of a product moved to its smaller left operand.
/// - `bound-causal-rows`: rows below a causal mask done in blocks, each up to its last column that
///   the mask leaves.
///
/// Values are unchanged up to the order of sums in matmul (by `loop`, `fold`, `simplify` and `mask`
/// to the last bit), also where they are infinite or NaN. Adds to `reasons` what fired and what
/// nearly did, at the user's lines. Needs a verified program and gives one.
std::shared_ptr<const TileProgram> rewrite_tile_program(const TileProgram &program,
                                                        Reasons *reasons = nullptr);

}  // namespace pto::wsp::kernel
