#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/kernel/number.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::kernel {

/// Builds a TileProgram node by node; what `pto.*` in Python and `tile::` in C++ call. Every method
/// checks its operands against the table and throws TypeCheckError at `at`, naming where each
/// operand was made. A method that throws leaves the builder as it was.
class Builder {
public:
    explicit Builder(std::string name, Loc at = Loc::here());

    /// A parameter, declared outside of loops; tiles are named by the returned index, scalars give
    /// a Value by `scalar`.
    int param(Param param);
    /// The value of scalar parameter `index`.
    Value scalar(int index) const;

    /// Any operation of the table but `fori_loop`. `load` and `store` take their parameter as the
    /// attribute `param`; `store` gives -1. Dims may be given as integers. What is written twice is
    /// one node (see Node).
    Value op(Op op, std::vector<Value> operands, Attributes attributes = {}, Loc at = Loc::here());
    /// As `op`, but made in the outermost open block that has all operands: before the loops whose
    /// bodies it does not depend on. TypeCheckError for `load` and `store`.
    Value hoisted_op(Op op, std::vector<Value> operands, Attributes attributes = {},
                     Loc at = Loc::here());
    /// A weak constant: it takes the type of the tile that it meets and is no node before. An
    /// integer takes any type that has it, a float only floats. Alone, an integer becomes I32 and a
    /// float F32. Weak constants are negative Values.
    Value constant(Number value, Loc at = Loc::here());
    /// A 1 x 1 constant of `dtype`, rounded to it.
    Value constant(Number value, DType dtype, Loc at = Loc::here());

    Value load(int param, Loc at = Loc::here());
    /// The value of `load`, where an operation names the parameter itself as an operand.
    Value operand(int param, Loc at = Loc::here());
    /// A window [rows, columns] at (row, column); offsets are scalars of i32.
    Value load(int param, Value row, Value column, Affine rows, Affine columns,
               Loc at = Loc::here());
    /// A weak constant is repeated over the parameter; all else has its shape. Floats are rounded
    /// to its type.
    void store(int param, Value value, Loc at = Loc::here());
    void store(int param, Value value, Value row, Value column, Loc at = Loc::here());

    /// `loaded` where the mask holds, else 0: what the mask hides is not used. The mask broadcasts
    /// to it as in NumPy.
    Value masked(Value loaded, Value mask, Loc at = Loc::here());
    /// As `store`; elements where the mask does not hold keep what memory held, also those of an
    /// output. The mask broadcasts to the value as in NumPy.
    void store_masked(int param, Value value, Value mask, Loc at = Loc::here());
    void store_masked(int param, Value value, Value mask, Value row, Value column,
                      Loc at = Loc::here());

    /// Prints the value when the kernel runs, as often as control comes here: `label`, the line
    /// `at`, type and shape, then the valid elements; see core/tile_text.h. Without a label it is
    /// the name of the parameter that the value is loaded from, or of the operation that makes it.
    /// Prints of one task are in program order.
    void print(Value value, const std::string &label = "", Loc at = Loc::here());

    /// One loop node: for i in [lo, hi): carries = body(i, carries). Types of the carries must not
    /// change. lo and hi are scalars of i32 (Values). When `body` throws, nothing of it remains.
    /// Dims in the body may name the index by `symbol`, when one is given.
    std::vector<Value> fori_loop(
        Value lo, Value hi, std::vector<Value> carries,
        const std::function<std::vector<Value>(Value index, const std::vector<Value> &carries)>
            &body,
        Loc at = Loc::here(), const std::string &symbol = "");

    /// Type of a value of this builder; of a weak constant, the one it has alone.
    const TileType &type(Value value) const;
    const Param &param_info(int index) const;
    Loc where(Value value) const;

    /// Verifies and ends; the builder takes nothing afterwards. CompileError at the kernel when
    /// nothing is stored to an output. (A kernel without a body has no program at all.)
    std::shared_ptr<const TileProgram> finish();

private:
    std::string label_of(Value value) const;
    size_t node_count() const;
    /// Nodes from `first` on stand for no primitive that was written.
    void imply_from(size_t first);

    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace pto::wsp::kernel
