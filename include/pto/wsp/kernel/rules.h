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
/// - `online`: softmax block by block, in a loop or in a line, made one softmax.
/// - `norm`: RMSNorm and layernorm written out by hand made `rmsnorm` and `layernorm`.
/// - `expand`: softmax, rmsnorm and layernorm written out, each in one way.
/// - `softmax`: the division moved behind the product that it feeds:
///   `matmul(softmax(x), v)` --> `matmul(e, v) / rowsum(e)` with `e = exp(x - rowmax(x))`.
/// - `scale`: the constant scale of a product moved to its smaller left operand.
/// - operations put where they are first needed.
/// - `bound-causal-rows`: rows below a causal mask done in blocks, each up to its last column that
///   the mask leaves.
///
/// Values are unchanged, also where they are infinite or NaN: by `loop`, `fold`, `simplify` and
/// `mask` to the last bit, by the others up to the order of sums and a rounding or two an element
/// (the tolerance of reassociating rules: 1e-5 of the largest term of f32, 1e-12 of f64); see
/// `rules_online.cpp` for the rows in which online softmax is no softmax. Adds to `reasons` what
/// fired and what nearly did, at the user's lines. Needs a verified program and gives one.
std::shared_ptr<const TileProgram> rewrite_tile_program(const TileProgram &program,
                                                        Reasons *reasons = nullptr);

}  // namespace pto::wsp::kernel
