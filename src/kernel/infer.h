#pragma once

#include <span>

#include "pto/wsp/kernel/op.h"

namespace pto::wsp::kernel {

/// Type rules of the table: the result's type, or TypeCheckError at `at` with the operands' shapes.
#define PTO_WSP_INFER(name)                                                                        \
    TileType name(const OpInfo &info, std::span<const TileType> operands,                          \
                  const Attributes &attributes, const Loc &at)

/// Operations whose type the builder and the verifier know from their parameter or body.
PTO_WSP_INFER(infer_by_program);
PTO_WSP_INFER(infer_constant);
/// NumPy promotion and broadcasting.
PTO_WSP_INFER(infer_binary);
PTO_WSP_INFER(infer_divide);
PTO_WSP_INFER(infer_unary);
/// Same type out; integers are refused.
PTO_WSP_INFER(infer_float_unary);
PTO_WSP_INFER(infer_cast);
PTO_WSP_INFER(infer_where);
PTO_WSP_INFER(infer_compare);
PTO_WSP_INFER(infer_causal_mask);
PTO_WSP_INFER(infer_row_sum);
PTO_WSP_INFER(infer_row_mean);
PTO_WSP_INFER(infer_row_extreme);
PTO_WSP_INFER(infer_matmul);
PTO_WSP_INFER(infer_transpose);
PTO_WSP_INFER(infer_broadcast);
PTO_WSP_INFER(infer_slice);
PTO_WSP_INFER(infer_index);

}  // namespace pto::wsp::kernel
