#pragma once

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// Loops over a tile count in 32 bits.
inline constexpr int64_t max_dim = INT32_MAX;
/// Nesting of `fori_loop`.
inline constexpr int max_nesting = 64;

/// TypeCheckError unless the dim `name` of `what` can be one: constants lie in [0, max_dim].
void check_dim(const std::string &what, const std::string &name, const Affine &dim, const Loc &at);

/// TypeCheckError unless `param` can be a parameter of `kernel`: its name, dtype and dims.
void check_param(const std::string &kernel, const Param &param);

/// Type of the result of `node` (of the stored tile for `store`) in `program`, which has its
/// operands. TypeCheckError at `node.at`, with where the operands were made, when arity,
/// attributes, types or a window do not fit. Not for `fori_loop`.
TileType check_node(const TileProgram &program, const Node &node);

/// TypeCheckError at `at` unless `mask` is a mask that broadcasts to the shape of `tile`; `what` is
/// `load`.
void check_mask(const std::string &what, const TileType &mask, const TileType &tile, const Loc &at);

/// Name of operand `index` of the row: `a`.
std::string operand_name(const OpInfo &row, size_t index);

/// Whether operand `index` of the row is a place or a bound: an i32 scalar.
bool is_index_operand(const OpInfo &row, size_t index);

/// TypeCheckError at `at` unless `value` is an i32 scalar; `what` is `fori_loop: lo`.
void check_index(const TileProgram &program, const std::string &what, Value value, const Loc &at);

/// Where `value` was made and what it is, as operand `name` in errors.
Note origin(const TileProgram &program, Value value, const std::string &name);

}  // namespace pto::wsp::kernel
