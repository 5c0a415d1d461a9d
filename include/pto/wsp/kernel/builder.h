#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// Builds a TileProgram node by node; what `pto.*` in Python and `tile::` in C++ call. Every method
/// checks its operands against the table and throws TypeCheckError at `at`, naming where each
/// operand was made.
class Builder {
public:
    explicit Builder(std::string name, Loc at = Loc::here());

    /// A parameter; tiles are named by the returned index, scalars give a Value by `scalar`.
    int param(Param param);
    /// The value of scalar parameter `index`.
    Value scalar(int index) const;

    /// Any operation of the table. Python scalars become `constant` with a weak type first
    /// (see `constant`).
    Value op(Op op, std::vector<Value> operands, Attributes attributes = {},
             Loc at = Loc::here());
    /// A 1 x 1 constant. Weak (no dtype): takes the type of the tile that it meets; alone, F32 for
    /// a float and I32 for an integer.
    Value constant(double value, Loc at = Loc::here());
    Value constant(double value, DType dtype, Loc at = Loc::here());

    Value load(int param, Loc at = Loc::here());
    /// A window [rows, columns] at (row, column); offsets are scalars of i32.
    Value load(int param, Value row, Value column, Affine rows, Affine columns,
               Loc at = Loc::here());
    void store(int param, Value value, Loc at = Loc::here());
    void store(int param, Value value, Value row, Value column, Loc at = Loc::here());

    /// One loop node: for i in [lo, hi): carries = body(i, carries). Types of the carries must not
    /// change. lo and hi are scalars of i32 (Values).
    std::vector<Value> fori_loop(Value lo, Value hi, std::vector<Value> carries,
                                 const std::function<std::vector<Value>(
                                     Value index, const std::vector<Value> &carries)> &body,
                                 Loc at = Loc::here());

    const TileType &type(Value value) const;
    const Param &param_info(int index) const;
    Loc where(Value value) const;

    /// Verifies and ends; the builder is empty afterwards.
    std::shared_ptr<const TileProgram> finish();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace pto::wsp::kernel
