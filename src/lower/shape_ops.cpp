#include "ops.h"

/// Rows of the lowering table that move elements, and matmul.
namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using kernel::Op;

namespace {

/// `result(r, c) = element`, which is rounded already.
void define_moved(Definition &d, const Expr &element) {
    d.result.func = d.make();
    d.result.func(d.column, d.row) = element;
}

}  // namespace

template <> void define_op<Op::Transpose>(Definition &d) {
    define_moved(d, d.operands[0].at(d.column, d.row));
}

template <> void define_op<Op::Slice>(Definition &d) {
    Expr row = d.operands[1].at(0, 0);
    Expr column = d.operands[2].at(0, 0);
    define_moved(d, d.operands[0].at(d.row + row, d.column + column));
}

template <> void define_op<Op::Reshape>(Definition &d) {
    Expr position = d.row * d.symbols(d.type.columns) + d.column;
    Expr columns = d.symbols(d.operand_types[0].columns);
    define_moved(d, d.operands[0].at(position / columns, position % columns));
}

template <> void define_op<Op::SliceEven>(Definition &d) {
    define_moved(d, d.operands[0].at(d.row, d.column * 2));
}

template <> void define_op<Op::SliceOdd>(Definition &d) {
    define_moved(d, d.operands[0].at(d.row, d.column * 2 + 1));
}

template <> void define_op<Op::Interleave>(Definition &d) {
    Expr half = d.column / 2;
    define_moved(
        d, choose(d.column % 2 == 0, d.operands[0].at(d.row, half), d.operands[1].at(d.row, half)));
}

template <> void define_op<Op::Matmul>(Definition &d) {
    const bool trans_a = d.flag("trans_a");
    const kernel::TileType &a = d.operand_types[0];
    const DType common = promote(a.dtype, d.operand_types[1].dtype);
    const Halide::Type type = inner_type(d.type.dtype);
    // Integers are summed on the unsigned type, so that they wrap.
    const Halide::Type sum_type = type.is_float() ? type : type.with_code(Halide::Type::UInt);
    auto factor = [&](size_t operand, const Expr &x) {
        Expr value = converted(d.operand_types[operand].dtype, common, x);
        return type.is_float() ? value
                               : Halide::cast(sum_type, converted(common, d.type.dtype, value));
    };
    Halide::RDom k(0, d.symbols(trans_a ? a.rows : a.columns), halide_name(d.name + ".k"));
    Halide::Func b = d.make(".b");
    b(d.column, d.row) =
        d.flag("trans_b") ? d.operands[1].at(d.column, d.row) : d.operands[1].at(d.row, d.column);
    Expr left = trans_a ? d.operands[0].at(k.x, d.row) : d.operands[0].at(d.row, k.x);
    Halide::Func sum = d.make(".sum");
    sum(d.column, d.row) = make_zero(sum_type);
    sum(d.column, d.row) += factor(0, left) * factor(1, b(d.column, k.x));
    Expr total = sum(d.column, d.row);
    if (d.operands.size() > 2) {
        Expr start = d.operands[2].at(d.row, d.column);
        total = type.is_float() ? strict(total + start) : total + as_unsigned(start);
    }
    define_moved(d, rounded(d.type.dtype, Halide::cast(type, total)));
}

}  // namespace pto::wsp::lower
