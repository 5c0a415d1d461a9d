#pragma once

#include <string>
#include <vector>

#include "pto/wsp/kernel/builder.h"

namespace pto::wsp::kernel {

/// A kernel under construction at made-up lines of `k.py`.
struct TestKernel {
    Builder b{"k", {"k.py", 1}};

    static Loc line(int number) { return {"k.py", number}; }

    int tile(const std::string &name, Direction direction, Affine rows, Affine columns,
             DType dtype = DType::F32, int at = 2) {
        return b.param({name, Param::Kind::Tile, direction, {dtype, rows, columns}, line(at)});
    }
    int in(const std::string &name, Affine rows, Affine columns, DType dtype = DType::F32,
           int at = 2) {
        return tile(name, Direction::In, rows, columns, dtype, at);
    }
    int out(const std::string &name, Affine rows, Affine columns, DType dtype = DType::F32) {
        return tile(name, Direction::Out, rows, columns, dtype, 3);
    }
    Value scalar(const std::string &name, DType dtype) {
        return b.scalar(
            b.param({name, Param::Kind::Scalar, Direction::In, {dtype, 1, 1}, line(4)}));
    }
    /// The loaded input of this type.
    Value x(Affine rows, Affine columns, DType dtype = DType::F32) {
        return b.load(in("x" + std::to_string(count_++), rows, columns, dtype), line(5));
    }
    Value op(Op op, std::vector<Value> operands, Attributes attributes = {}, int at = 10) {
        return b.op(op, std::move(operands), std::move(attributes), line(at));
    }
    const TileType &type(Value value) const { return b.type(value); }

private:
    int count_ = 0;
};

}  // namespace pto::wsp::kernel
