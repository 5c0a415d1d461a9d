#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pto/wsp/kernel/accuracy.h"
#include "pto/wsp/kernel/type.h"

namespace pto::wsp::kernel {

/// Every operation of the tile language. The rows, in this order, are in `ops.def`; each row also
/// names its type rule and its reference semantics, so that adding an operation is one row there,
/// its rule and meaning in `src/kernel/`, and one row in `src/lower/*_ops.cpp`.
enum class Op : uint8_t {
#define PTO_WSP_TILE_OP(name, ...) name,
#include "pto/wsp/kernel/ops.def"
#undef PTO_WSP_TILE_OP
};

/// Rows of ops.def.
inline constexpr int op_count = 0
#define PTO_WSP_TILE_OP(name, ...) +1
#include "pto/wsp/kernel/ops.def"
#undef PTO_WSP_TILE_OP
    ;

/// What the lowering, the rewriter and the cost model may assume of an operation.
enum class OpKind : uint8_t {
    Memory,           ///< load, store
    Effect,           ///< print: has no result and stays where it is
    Leaf,             ///< constant
    Elementwise,      ///< element (r, c) of the result depends on element (r, c) of the broadcast
                      ///< operands
    Reduction,        ///< rowsum...: [r, c] -> [r, 1]
    ColumnReduction,  ///< colsum...: [r, c] -> [1, c]
    Matrix,           ///< matmul
    Shape,            ///< transpose, broadcast: moves elements
    RowShape,         ///< interleave...: moves elements inside each row
    Sorting,          ///< topk...: gathers elements of a row by their rank
    Composite,        ///< softmax: has a definition in other operations
    Control,          ///< fori_loop
};

struct RefTile;  // kernel/evaluate.h

/// One row of the table.
struct OpInfo {
    Op op;
    const char *name;  ///< in texts and as `pto.<name>`
    OpKind kind;
    const char *operands;    ///< `a, b, acc?` (a trailing ? is optional)
    const char *attributes;  ///< `trans_a=false, trans_b=false`
    const char *promises;    ///< flags that rules may add: what they know of the operands
    Accuracy accuracy;       ///< worst error of its results
    const char *doc;         ///< one sentence, with shapes
    /// Result type; throws TypeCheckError at `at` with the operands' shapes in the text.
    TileType (*infer)(const OpInfo &info, std::span<const TileType> operands,
                      const Attributes &attributes, const Loc &at);
    /// Reference semantics in float64 (exact int64 for integers), rounded to the result's type by
    /// the caller. Null for Memory, Effect and Control, which the evaluator itself runs.
    RefTile (*reference)(std::span<const RefTile> operands, const Attributes &attributes,
                         const TileType &result);

    int min_arity() const;
    int max_arity() const;
    /// Largest or smallest of many: a NaN among them has to be looked for (see the promise
    /// `ignore_nan`).
    bool is_extreme() const;
};

/// One row of composed.def.
struct ComposedInfo {
    const char *name;
    const char *operations;  ///< `topk_values, topk_indices`
    const char *vector;      ///< `column`, `row` or nothing
};

/// The rows of the table, all and one.
std::span<const OpInfo> ops();
const OpInfo &info(Op op);
inline const char *name(Op op) {
    return info(op).name;
}
/// Writes a parameter: store, store_masked.
inline bool is_store(Op op) {
    return op == Op::Store || op == Op::StoreMasked;
}
/// Has no result, and must neither vanish nor pass another one.
inline bool has_effect(Op op) {
    return is_store(op) || info(op).kind == OpKind::Effect;
}
/// Null when there is none of that name.
const OpInfo *find_op(std::string_view name);
/// Primitives that are other rows.
std::span<const ComposedInfo> composed();

}  // namespace pto::wsp::kernel
