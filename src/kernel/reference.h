#pragma once

#include <span>

#include "pto/wsp/kernel/evaluate.h"

namespace pto::wsp::kernel {

/// Reference semantics of the table, in float64 and int64; the evaluator rounds the result.
#define PTO_WSP_REFERENCE(name)                                                                    \
    RefTile name(std::span<const RefTile> operands, const Attributes &attributes,                  \
                 const TileType &result)

PTO_WSP_REFERENCE(ref_constant);
PTO_WSP_REFERENCE(ref_add);
PTO_WSP_REFERENCE(ref_sub);
PTO_WSP_REFERENCE(ref_mul);
PTO_WSP_REFERENCE(ref_div);
PTO_WSP_REFERENCE(ref_maximum);
PTO_WSP_REFERENCE(ref_minimum);
PTO_WSP_REFERENCE(ref_floordiv);
PTO_WSP_REFERENCE(ref_mod);
PTO_WSP_REFERENCE(ref_sin);
PTO_WSP_REFERENCE(ref_cos);
PTO_WSP_REFERENCE(ref_erf);
PTO_WSP_REFERENCE(ref_gelu);
PTO_WSP_REFERENCE(ref_colsum);
PTO_WSP_REFERENCE(ref_colmax);
PTO_WSP_REFERENCE(ref_colmin);
PTO_WSP_REFERENCE(ref_reshape);
PTO_WSP_REFERENCE(ref_slice_even);
PTO_WSP_REFERENCE(ref_slice_odd);
PTO_WSP_REFERENCE(ref_interleave);
PTO_WSP_REFERENCE(ref_tsort32);
PTO_WSP_REFERENCE(ref_extract_topk);
PTO_WSP_REFERENCE(ref_topk_values);
PTO_WSP_REFERENCE(ref_topk_indices);
PTO_WSP_REFERENCE(ref_neg);
PTO_WSP_REFERENCE(ref_abs);
PTO_WSP_REFERENCE(ref_relu);
PTO_WSP_REFERENCE(ref_exp);
PTO_WSP_REFERENCE(ref_log);
PTO_WSP_REFERENCE(ref_sqrt);
PTO_WSP_REFERENCE(ref_rsqrt);
PTO_WSP_REFERENCE(ref_tanh);
PTO_WSP_REFERENCE(ref_sigmoid);
PTO_WSP_REFERENCE(ref_silu);
PTO_WSP_REFERENCE(ref_cast);
PTO_WSP_REFERENCE(ref_where);
PTO_WSP_REFERENCE(ref_lt);
PTO_WSP_REFERENCE(ref_le);
PTO_WSP_REFERENCE(ref_gt);
PTO_WSP_REFERENCE(ref_ge);
PTO_WSP_REFERENCE(ref_eq);
PTO_WSP_REFERENCE(ref_ne);
PTO_WSP_REFERENCE(ref_causal_mask);
PTO_WSP_REFERENCE(ref_rowsum);
PTO_WSP_REFERENCE(ref_rowmean);
PTO_WSP_REFERENCE(ref_rowmax);
PTO_WSP_REFERENCE(ref_rowmin);
PTO_WSP_REFERENCE(ref_matmul);
PTO_WSP_REFERENCE(ref_transpose);
PTO_WSP_REFERENCE(ref_slice);
PTO_WSP_REFERENCE(ref_broadcast);
PTO_WSP_REFERENCE(ref_row_index);
PTO_WSP_REFERENCE(ref_column_index);
PTO_WSP_REFERENCE(ref_softmax);
PTO_WSP_REFERENCE(ref_rmsnorm);
PTO_WSP_REFERENCE(ref_layernorm);

}  // namespace pto::wsp::kernel
