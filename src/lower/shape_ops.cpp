#include "narrow_floats.h"
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

namespace {

/// The factors of one term of element (row, column) of a product.
struct Factors {
    std::function<Expr(const Expr &k)> left;
    std::function<Expr(const Expr &k)> right;
    Expr depth;
};

/// NaN or infinity.
Expr is_special(const Expr &x) {
    Expr exponent = float_bits(infinity(x.type(), 1));
    return (float_bits(x) & exponent) == exponent;
}

/// `sum`, and where a row of it is not finite the row without terms whose left factor is 0. Finite
/// rows cannot hold 0 times NaN or infinity, and so pay for a comparison an element, not a term.
Expr second_look(Definition &d, const Halide::Func &sum, const Factors &factors) {
    Halide::Func first = d.make(".first");
    first(d.column, d.row) = opaque(sum(d.column, d.row));
    Halide::Func special = d.make(".special");
    Halide::RDom columns(0, d.symbols(d.type.columns), halide_name(d.name + ".special.k"));
    special(d.column, d.row) = 0;
    special(d.column, d.row) =
        Halide::max(special(d.column, d.row),
                    Halide::select(is_special(first(columns.x, d.row)), Expr(1), Expr(0)));
    Expr repeat = special(0, d.row) != 0;
    Halide::RDom k(0, factors.depth, halide_name(d.name + ".again.k"));
    k.where(repeat);
    Expr left = factors.left(k.x);
    Expr zero = make_zero(left.type());
    Halide::Func again = d.make(".again");
    again(d.column, d.row) = zero;
    again(d.column, d.row) += choose(strict(left == zero), zero, strict(left * factors.right(k.x)));
    return choose(repeat, again(d.column, d.row), first(d.column, d.row));
}

/// Two steps of the sum at a time, which machines have an instruction for.
Halide::Func sum_of_pairs(Definition &d) {
    const bool trans_a = d.flag("trans_a");
    const bool trans_b = d.flag("trans_b");
    const kernel::TileType &a = d.operand_types[0];
    auto left = [&](const Expr &k) {
        return bfloat_bits(trans_a ? d.operands[0].at(k, d.row) : d.operands[0].at(d.row, k));
    };
    auto right = [&](const Expr &k) {
        return bfloat_bits(trans_b ? d.operands[1].at(d.column, k) : d.operands[1].at(k, d.column));
    };
    Halide::RDom k(0, d.symbols(trans_a ? a.rows : a.columns) / 2, halide_name(d.name + ".k"));
    Halide::Func b = d.make(".b");
    b(d.column, d.row) = bfloat_pair(right(2 * d.row), right(2 * d.row + 1));
    Halide::Func sum = d.make(".sum");
    sum(d.column, d.row) = 0.0f;
    sum(d.column, d.row) = bfloat_dot(
        sum(d.column, d.row), bfloat_pair(left(2 * k.x), left(2 * k.x + 1)), b(d.column, k.x));
    return sum;
}

Expr product_of_terms(Definition &d) {
    const bool trans_a = d.flag("trans_a");
    const kernel::TileType &a = d.operand_types[0];
    const DType common = promote(a.dtype, d.operand_types[1].dtype);
    const Halide::Type type = inner_type(d.type.dtype);
    // Integers are summed on the unsigned type, so that they wrap.
    const Halide::Type sum_type = type.is_float() ? type : type.with_code(Halide::Type::UInt);
    auto factor = [&](size_t operand, const Expr &x) {
        Expr value = converted(d.operand_types[operand].dtype, common, x);
        return type.is_float() ? opaque_term(value)
                               : Halide::cast(sum_type, converted(common, d.type.dtype, value));
    };
    Halide::Func b = d.make(".b");
    b(d.column, d.row) =
        d.flag("trans_b") ? d.operands[1].at(d.column, d.row) : d.operands[1].at(d.row, d.column);
    const Factors factors{[&](const Expr &k) {
                              return factor(0, trans_a ? d.operands[0].at(k, d.row)
                                                       : d.operands[0].at(d.row, k));
                          },
                          [&](const Expr &k) { return factor(1, b(d.column, k)); },
                          d.symbols(trans_a ? a.rows : a.columns)};
    Halide::RDom k(0, factors.depth, halide_name(d.name + ".k"));
    Halide::Func sum = d.make(".sum");
    sum(d.column, d.row) = make_zero(sum_type);
    sum(d.column, d.row) += factors.left(k.x) * factors.right(k.x);
    return kernel::skips_zeros(d.node, d.type.dtype) ? second_look(d, sum, factors)
                                                     : opaque(sum(d.column, d.row));
}

}  // namespace

template <> void define_op<Op::Matmul>(Definition &d) {
    const Halide::Type type = inner_type(d.type.dtype);
    Expr total = d.flag("pairs") ? opaque(sum_of_pairs(d)(d.column, d.row)) : product_of_terms(d);
    if (d.operands.size() > 2) {
        Expr start = d.operands[2].at(d.row, d.column);
        total = type.is_float() ? strict(total + start) : total + as_unsigned(start);
    }
    define_moved(d, rounded(d.type.dtype, Halide::cast(type, total)));
}

}  // namespace pto::wsp::lower
