#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <Halide.h>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::lower {

/// A tile as a Halide Func of (column, row). F16 and BF16 are float32 inside, already rounded to
/// their type; masks are bool.
struct TileFunc {
    Halide::Func func;
    bool one_row = false;
    bool one_column = false;
    /// Applied to what is read: the last step of a reduction.
    std::function<Halide::Expr(Halide::Expr value, Halide::Expr row, Halide::Expr column)> finish;

    /// Element (row, column), with NumPy broadcasting of extents of 1.
    Halide::Expr at(const Halide::Expr &row, const Halide::Expr &column) const {
        Halide::Expr r = one_row ? Halide::Expr(0) : row;
        Halide::Expr c = one_column ? Halide::Expr(0) : column;
        Halide::Expr value = func(c, r);
        return finish ? finish(value, r, c) : value;
    }
};

/// Affine dims as Halide expressions; each variable is a run-time scalar of the pipelines.
class Symbols {
public:
    Halide::Expr operator()(const Affine &affine);
    /// The run-time scalar called `name`.
    Halide::Expr variable(const std::string &name, Halide::Type type = Halide::Int(32));

private:
    std::map<std::string, Halide::Param<>> params_;
};

/// `name` as Halide allows it: its own separator, the dot, becomes an underscore.
std::string halide_name(std::string name);

/// What a row of the lowering table gets: an operation with its operands, and where to put the
/// Funcs that it makes.
struct Definition {
    const kernel::Node &node;
    kernel::TileType type;
    std::vector<kernel::TileType> operand_types;
    std::vector<TileFunc> operands;
    Symbols &symbols;
    std::string name;                            ///< stable name of the node
    std::map<std::string, Halide::Func> &funcs;  ///< by stable name; the row adds its own
    TileFunc result;

    Halide::Var row{"rows"};
    Halide::Var column{"columns"};

    /// Makes and registers the Func `name + suffix`.
    Halide::Func make(const std::string &suffix = "");
    /// `result(r, c) = element(operands at (r, c))`, rounded to the type.
    void elementwise(const std::function<Halide::Expr(const std::vector<Halide::Expr> &)> &element);
    bool flag(const std::string &attribute) const;
};

/// Halide type that holds elements of `dtype` inside a kernel.
Halide::Type inner_type(DType dtype);
/// Halide type of `dtype` in memory; F16 and BF16 are their bits.
Halide::Type memory_type(DType dtype);
/// Halide type of `dtype` in memory between regions.
Halide::Type scratch_type(DType dtype);
/// `value` (an inner value, float64 at most) rounded once to the inner form of `dtype`.
Halide::Expr rounded(DType dtype, const Halide::Expr &value);
/// From memory to inner, and back. `to_memory` takes a value already rounded to `dtype`.
Halide::Expr from_memory(DType dtype, const Halide::Expr &stored);
Halide::Expr to_memory(DType dtype, const Halide::Expr &value);
/// Converts between the inner forms of two types as NumPy's astype does.
Halide::Expr converted(DType from, DType to, const Halide::Expr &value);

/// The 64-bit word that carries an integer to a kernel's scalar of `dtype` (core/abi.h), and the
/// scalar of it, of inner type `type`.
Halide::Expr scalar_word(DType dtype, const Halide::Expr &integer);
Halide::Expr from_word(Halide::Type type, const Halide::Expr &word);

/// Lowers one operation by its row of the table; a missing row does not compile.
void define(Definition &definition);

}  // namespace pto::wsp::lower
