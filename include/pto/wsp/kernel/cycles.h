#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// Virtual cycles of one call of a kernel, or why they are not known.
struct Cycles {
    int64_t cycles = 0;
    std::string unknown;  ///< empty: `cycles` is the answer
};

/// The kernel part of the virtual-cycle model, on a program as it was traced (not rewritten). With
/// area(v) = rows x columns of the declared tile:
///
/// - a tile parameter that is an operand of any operation but matmul and load: area, once
/// - load: area; store: area, and again when it converts F32 to F16 or BF16
/// - matmul [m, k] x [k, n]: m k + k n + m k n, and m n when the result is an operand of any
///   operation but matmul and store
/// - row or column sum, max, min: the length of the result; row mean: 2 x rows
/// - tsort32: 5 x area; constant, iota_u32, extract_topk_indices: 0
/// - anything else: the area of the result
///
/// A loop costs its body as often as it runs; `print`, and what is only there because of how
/// another primitive is built, costs nothing; a custom body costs what it adds, which is nothing
/// here. What is written twice on the same operands is one operation.
///
/// `symbols` are the values of the Symbols in dims; `scalars`, one a parameter, those of integer
/// scalars where they are known: bounds of loops may depend on them. CompileError past 2^63.
Cycles cycles(const TileProgram &program, const std::map<std::string, int64_t> &symbols = {},
              const std::vector<std::optional<int64_t>> &scalars = {});

}  // namespace pto::wsp::kernel
