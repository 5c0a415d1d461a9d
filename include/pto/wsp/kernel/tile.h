#pragma once

#include <concepts>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "pto/wsp/kernel/builder.h"

/// The tile language in C++: what `pto.*` is in Python, on values that know their builder.
///
/// ```
/// kernel::Builder builder("attention");
/// tile::Param q = tile::input(builder, "q", {DType::F32, 512, 64}), k = ..., v = ...;
/// tile::Param o = tile::output(builder, "o", {DType::F32, 512, 64});
/// tile::Tile scores = tile::softmax(tile::matmul(q, k, {.trans_b = true}) * 0.125);
/// tile::store(o, tile::matmul(scores, v));
/// std::shared_ptr<const kernel::TileProgram> program = builder.finish();
/// ```
///
/// Operations take tiles, tile parameters (loaded whole) and numbers, which take the type of the
/// tile that they meet. Errors name the caller's line.
namespace pto::wsp::tile {

using kernel::Builder;   ///< what tiles are made in
using kernel::Op;        ///< a row of the table of operations
using kernel::TileType;  ///< dtype and shape of a tile
using kernel::Value;     ///< a tile's number in its kernel

/// What an operation can read of a kernel under construction: a tile or a tile parameter. Valid
/// while its builder lives.
class Source {
public:
    Builder &builder() const { return *builder_; }

protected:
    Source(Builder &builder, int param, Value value)
        : builder_(&builder), param_(param), value_(value) {}

    friend class Operand;
    Builder *builder_;
    int param_;    ///< of a tile: -1
    Value value_;  ///< of a tile
};

/// A value.
class Tile : public Source {
public:
    Tile(Builder &builder, Value value) : Source(builder, -1, value) {}

    Value value() const { return value_; }
    const TileType &type() const { return builder_->type(value_); }
};

/// A tile parameter; operations load it whole.
class Param : public Source {
public:
    Param(Builder &builder, int index) : Source(builder, index, 0) {}

    int index() const { return param_; }
    const TileType &type() const { return builder_->param_info(param_).type; }
};

/// A number where an operation takes a tile, and the line that gave it.
class NumberAt {
public:
    template <typename T>
    requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>)
        NumberAt(T number, Loc at = Loc::here())  // NOLINT: numbers are operands
        : number(number), at(std::move(at)) {}

    kernel::Number number;
    Loc at;
};

/// What an operation takes: a tile, a tile parameter or a number, and the line that gave it.
class Operand {
public:
    Operand(const Source &source, Loc at = Loc::here())  // NOLINT: sources are operands
        : source_(source), at_(std::move(at)) {}
    Operand(const NumberAt &number)  // NOLINT: numbers are operands
        : number_(number.number), at_(number.at) {}
    template <typename T>
    requires(std::is_arithmetic_v<T> && !std::same_as<T, bool>)
        Operand(T number, Loc at = Loc::here())  // NOLINT: numbers are operands
        : number_(number), at_(std::move(at)) {}

    /// Null for a number.
    Builder *builder() const { return source_ ? &source_->builder() : nullptr; }
    const Loc &at() const { return at_; }
    /// The value in `builder`; loads a parameter. TypeCheckError for a tile of another kernel.
    Value in(Builder &builder) const;

private:
    std::optional<Source> source_;
    std::optional<kernel::Number> number_;
    Loc at_;
};

/// Any operation of the table on these operands, one of which is not a number.
Tile apply(Op op, const std::vector<Operand> &operands, kernel::Attributes attributes = {},
           const Loc &at = Loc::here());

/// A tile parameter that is only read.
Param input(Builder &builder, const std::string &name, const TileType &type,
            const Loc &at = Loc::here());
/// A tile parameter that is only written.
Param output(Builder &builder, const std::string &name, const TileType &type,
             const Loc &at = Loc::here());
/// Read and written.
Param in_out(Builder &builder, const std::string &name, const TileType &type,
             const Loc &at = Loc::here());
/// A scalar parameter, a 1 x 1 tile.
Tile scalar(Builder &builder, const std::string &name, DType dtype, const Loc &at = Loc::here());

/// A 1 x 1 constant.
Tile constant(Builder &builder, kernel::Number value, DType dtype, const Loc &at = Loc::here());
/// A whole parameter.
Tile load(const Param &from, const Loc &at = Loc::here());
/// The window [rows, columns] at (row, column), which are i32 scalars.
Tile load(const Param &from, const Operand &row, const Operand &column, const Affine &rows,
          const Affine &columns, const Loc &at = Loc::here());
/// As `load`; 0 where the mask does not hold, which broadcasts to the window as in NumPy.
Tile load_masked(const Param &from, const Tile &mask, const Loc &at = Loc::here());
Tile load_masked(const Param &from, const Tile &mask, const Operand &row, const Operand &column,
                 const Affine &rows, const Affine &columns, const Loc &at = Loc::here());
void store(const Param &to, const Operand &value, const Loc &at = Loc::here());
void store(const Param &to, const Operand &value, const Operand &row, const Operand &column,
           const Loc &at = Loc::here());

/// As `store`; elements where the mask does not hold keep what memory held.
void store_masked(const Param &to, const Operand &value, const Tile &mask,
                  const Loc &at = Loc::here());
void store_masked(const Param &to, const Operand &value, const Tile &mask, const Operand &row,
                  const Operand &column, const Loc &at = Loc::here());
/// Prints `x` when the kernel runs; see Builder::print.
void print(const Source &x, const std::string &label = "", const Loc &at = Loc::here());

#define PTO_WSP_TILE_UNARY(name, op)                                                               \
    inline Tile name(const Operand &x, const Loc &at = Loc::here()) {                              \
        return apply(Op::op, {x}, {}, at);                                                         \
    }
#define PTO_WSP_TILE_BINARY(name, op)                                                              \
    inline Tile name(const Operand &a, const Operand &b, const Loc &at = Loc::here()) {            \
        return apply(Op::op, {a, b}, {}, at);                                                      \
    }

PTO_WSP_TILE_BINARY(add, Add)
PTO_WSP_TILE_BINARY(sub, Sub)
PTO_WSP_TILE_BINARY(mul, Mul)
PTO_WSP_TILE_BINARY(div, Div)
PTO_WSP_TILE_BINARY(floordiv, FloorDiv)
PTO_WSP_TILE_BINARY(mod, Mod)
PTO_WSP_TILE_BINARY(maximum, Maximum)
PTO_WSP_TILE_BINARY(minimum, Minimum)
PTO_WSP_TILE_BINARY(lt, Lt)
PTO_WSP_TILE_BINARY(le, Le)
PTO_WSP_TILE_BINARY(gt, Gt)
PTO_WSP_TILE_BINARY(ge, Ge)
PTO_WSP_TILE_BINARY(eq, Eq)
PTO_WSP_TILE_BINARY(ne, Ne)
PTO_WSP_TILE_UNARY(neg, Neg)
PTO_WSP_TILE_UNARY(abs, Abs)
PTO_WSP_TILE_UNARY(relu, Relu)
PTO_WSP_TILE_UNARY(exp, Exp)
PTO_WSP_TILE_UNARY(log, Log)
PTO_WSP_TILE_UNARY(sqrt, Sqrt)
PTO_WSP_TILE_UNARY(rsqrt, Rsqrt)
PTO_WSP_TILE_UNARY(tanh, Tanh)
PTO_WSP_TILE_UNARY(sin, Sin)
PTO_WSP_TILE_UNARY(cos, Cos)
PTO_WSP_TILE_UNARY(erf, Erf)
PTO_WSP_TILE_UNARY(sigmoid, Sigmoid)
PTO_WSP_TILE_UNARY(silu, Silu)
PTO_WSP_TILE_UNARY(gelu, Gelu)
PTO_WSP_TILE_UNARY(rowsum, Rowsum)
PTO_WSP_TILE_UNARY(rowmean, Rowmean)
PTO_WSP_TILE_UNARY(rowmax, Rowmax)
PTO_WSP_TILE_UNARY(rowmin, Rowmin)
PTO_WSP_TILE_UNARY(colsum, Colsum)
PTO_WSP_TILE_UNARY(colmax, Colmax)
PTO_WSP_TILE_UNARY(colmin, Colmin)
PTO_WSP_TILE_UNARY(transpose, Transpose)
PTO_WSP_TILE_UNARY(slice_even, SliceEven)
PTO_WSP_TILE_UNARY(slice_odd, SliceOdd)
PTO_WSP_TILE_BINARY(interleave, Interleave)
PTO_WSP_TILE_BINARY(tsort32, Tsort32)
/// `x` where column <= row, else -inf; with an offset where column <= row + offset.
PTO_WSP_TILE_UNARY(causal_mask, CausalMask)
PTO_WSP_TILE_BINARY(causal_mask, CausalMask)

#undef PTO_WSP_TILE_UNARY
#undef PTO_WSP_TILE_BINARY

/// Attributes of `matmul`.
struct MatmulOptions {
    bool trans_a = false;
    bool trans_b = false;
    bool skip_zeros = false;  ///< terms whose a is 0 do not count, also where b is NaN or infinite
};

/// Attributes of `softmax`.
struct SoftmaxOptions {
    bool safe = false;  ///< rows of -inf only are 0, not NaN
};

/// exp(x - rowmax(x)) / rowsum(exp(x - rowmax(x))) of floats: [r, c].
Tile softmax(const Operand &x, SoftmaxOptions options = {}, const Loc &at = Loc::here());

/// a @ b: [m, k] x [k, n] -> [m, n].
Tile matmul(const Operand &a, const Operand &b, MatmulOptions options = {},
            const Loc &at = Loc::here());
/// a @ b + accumulator.
Tile matmul(const Operand &a, const Operand &b, const Tile &accumulator, MatmulOptions options = {},
            const Loc &at = Loc::here());
/// `a` where the mask holds, else `b`.
Tile where(const Operand &condition, const Operand &a, const Operand &b,
           const Loc &at = Loc::here());
Tile cast(const Operand &x, DType dtype, const Loc &at = Loc::here());
/// The window [rows, columns] of `x` at (row, column), which must lie in `x`.
Tile slice(const Operand &x, const Operand &row, const Operand &column, const Affine &rows,
           const Affine &columns, const Loc &at = Loc::here());
/// The elements of `x`, row by row, as [rows, columns].
Tile reshape(const Operand &x, const Affine &rows, const Affine &columns,
             const Loc &at = Loc::here());
/// The indices of the first `k` pairs of `tsort32`: U32 [r, k].
Tile extract_topk_indices(const Operand &pairs, const Affine &k, const Loc &at = Loc::here());
/// The `k` largest of each row in descending order, NaN first; their columns, as U32.
Tile topk_values(const Operand &x, const Affine &k, const Loc &at = Loc::here());
Tile topk_indices(const Operand &x, const Affine &k, const Loc &at = Loc::here());
/// x / sqrt(rowmean(x * x) + eps), and the same of x - rowmean(x), of floats: [r, c].
Tile rmsnorm(const Operand &x, double eps, const Loc &at = Loc::here());
Tile layernorm(const Operand &x, double eps, const Loc &at = Loc::here());
/// `x` repeated to [rows, columns].
Tile broadcast(const Operand &x, const Affine &rows, const Affine &columns,
               const Loc &at = Loc::here());
/// U32 [1, columns] whose element (r, c) is c.
Tile iota_u32(Builder &builder, const Affine &columns, const Loc &at = Loc::here());
/// I32 tiles whose element (r, c) is r, or c.
Tile row_index(Builder &builder, const Affine &rows, const Affine &columns = 1,
               const Loc &at = Loc::here());
Tile column_index(Builder &builder, const Affine &columns, const Affine &rows = 1,
                  const Loc &at = Loc::here());

/// for i in [lo, hi): carries = body(i, carries); gives the last carries. One of the operands is
/// not a number.
std::vector<Tile> fori_loop(
    const Operand &lo, const Operand &hi, const std::vector<Operand> &carries,
    const std::function<std::vector<Tile>(Tile index, const std::vector<Tile> &carries)> &body,
    const Loc &at = Loc::here());

/// -x; errors name the line where `x` was made.
inline Tile operator-(const Tile &x) {
    return neg(Operand(x, x.builder().where(x.value())), x.builder().where(x.value()));
}

#define PTO_WSP_TILE_OPERATOR(sign, name)                                                          \
    inline Tile operator sign(const Source &a, const Operand &b) {                                 \
        return name(Operand(a, b.at()), b, b.at());                                                \
    }                                                                                              \
    inline Tile operator sign(const NumberAt &a, const Source &b) {                                \
        return name(a, Operand(b, a.at), a.at);                                                    \
    }

PTO_WSP_TILE_OPERATOR(+, add)
PTO_WSP_TILE_OPERATOR(-, sub)
PTO_WSP_TILE_OPERATOR(*, mul)
PTO_WSP_TILE_OPERATOR(/, div)
PTO_WSP_TILE_OPERATOR(<, lt)
PTO_WSP_TILE_OPERATOR(<=, le)
PTO_WSP_TILE_OPERATOR(>, gt)
PTO_WSP_TILE_OPERATOR(>=, ge)

#undef PTO_WSP_TILE_OPERATOR

}  // namespace pto::wsp::tile
