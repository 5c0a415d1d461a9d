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
/// The type of the operand, masks included.
PTO_WSP_INFER(infer_any);
/// NumPy promotion and broadcasting.
PTO_WSP_INFER(infer_binary);
PTO_WSP_INFER(infer_divide);
/// As infer_binary; floats are refused.
PTO_WSP_INFER(infer_integers);
PTO_WSP_INFER(infer_unary);
/// Same type out; integers are refused.
PTO_WSP_INFER(infer_float_unary);
/// As infer_float_unary, of rows that have an element; eps >= 0.
PTO_WSP_INFER(infer_norm);
PTO_WSP_INFER(infer_cast);
PTO_WSP_INFER(infer_where);
PTO_WSP_INFER(infer_compare);
PTO_WSP_INFER(infer_causal_mask);
PTO_WSP_INFER(infer_row_sum);
PTO_WSP_INFER(infer_row_mean);
PTO_WSP_INFER(infer_row_extreme);
PTO_WSP_INFER(infer_column_sum);
PTO_WSP_INFER(infer_column_extreme);
PTO_WSP_INFER(infer_matmul);
PTO_WSP_INFER(infer_transpose);
PTO_WSP_INFER(infer_broadcast);
PTO_WSP_INFER(infer_slice);
PTO_WSP_INFER(infer_index);
PTO_WSP_INFER(infer_iota);
PTO_WSP_INFER(infer_reshape);
PTO_WSP_INFER(infer_slice_even);
PTO_WSP_INFER(infer_slice_odd);
PTO_WSP_INFER(infer_interleave);
PTO_WSP_INFER(infer_tsort32);
PTO_WSP_INFER(infer_extract_topk);
PTO_WSP_INFER(infer_topk_values);
PTO_WSP_INFER(infer_topk_indices);

}  // namespace pto::wsp::kernel
