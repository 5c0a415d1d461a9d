#pragma once

#include "pto/wsp/kernel/tile.h"

namespace pto::wsp::kernels {

/// Whether sums and functions of `dtype` are computed in F32.
bool is_narrow(DType dtype);
/// A whole parameter, in F32 where it is narrower.
tile::Tile widened(const tile::Param &x);
/// TypeCheckError that names parameter `param` of `kernel` unless `dtype` is a float.
void require_float(const char *kernel, const char *param, DType dtype, const Loc &at);

}  // namespace pto::wsp::kernels
