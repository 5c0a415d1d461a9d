#include "ops.h"

/// Rows of the lowering table that sort rows. An element's rank is the number of those before it,
/// which many lanes count at once; a result gathers the element of its rank.
namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using kernel::Op;

namespace {

/// Integers in the order of the values: NaN is the largest, -0 is 0.
Expr sort_key(const Expr &x) {
    if (!x.type().is_float()) {
        return x;
    }
    Halide::Type type = x.type().with_code(Halide::Type::Int);
    Expr bits = Halide::reinterpret(type, x);
    Expr ordered = Halide::select(bits < make_zero(type), type.min() - bits, bits);
    return Halide::select(Halide::is_nan(x), type.max(), ordered);
}

/// Makes `name.rank`: the place of each element in its row in descending order; equal ones keep
/// their order.
Halide::Func define_rank(Definition &d) {
    const TileFunc &x = d.operands[0];
    Halide::RDom k(0, d.symbols(d.operand_types[0].columns), halide_name(d.name + ".rank.k"));
    Expr other = sort_key(x.at(d.row, k.x));
    Expr own = sort_key(x.at(d.row, d.column));
    Expr before = other > own || (other == own && k.x < d.column);
    Halide::Func rank = d.make(".rank");
    rank(d.column, d.row) = 0;
    rank(d.column, d.row) += Halide::select(before, 1, 0);
    return rank;
}

/// `result(r, c) = finish(bits of the element of rank rank_of(c))`, where `bits` is unsigned.
void define_gathered(Definition &d, const Expr &wanted_rank,
                     const std::function<Expr(const Expr &place)> &bits,
                     const std::function<Expr(const Expr &bits)> &finish) {
    Halide::Func rank = define_rank(d);
    Halide::RDom k(0, d.symbols(d.operand_types[0].columns), halide_name(d.name + ".k"));
    Expr element = bits(k.x);
    Expr zero = make_zero(element.type());
    d.result.func = d.make();
    d.result.func(d.column, d.row) = zero;
    d.result.func(d.column, d.row) +=
        Halide::select(rank(k.x, d.row) == wanted_rank, element, zero);
    d.result.finish = [finish](const Expr &value, const Expr &, const Expr &) {
        return finish(value);
    };
}

}  // namespace

template <> void define_op<Op::Tsort32>(Definition &d) {
    // Even columns hold scores, odd ones the bits of indices.
    define_gathered(
        d, d.column / 2,
        [&d](const Expr &place) {
            return Halide::select(d.column % 2 == 0, float_bits(d.operands[0].at(d.row, place)),
                                  d.operands[1].at(d.row, place));
        },
        [](const Expr &bits) { return Halide::reinterpret<float>(bits); });
}

template <> void define_op<Op::ExtractTopkIndices>(Definition &d) {
    d.result.func = d.make();
    d.result.func(d.column, d.row) = float_bits(d.operands[0].at(d.row, d.column * 2 + 1));
}

template <> void define_op<Op::TopkValues>(Definition &d) {
    Halide::Type type = inner_type(d.type.dtype);
    define_gathered(
        d, d.column,
        [&d, type](const Expr &place) {
            Expr x = d.operands[0].at(d.row, place);
            return type.is_float() ? float_bits(x) : as_unsigned(x);
        },
        [type](const Expr &bits) {
            return type.is_float() ? Halide::reinterpret(type, bits) : Halide::cast(type, bits);
        });
}

template <> void define_op<Op::TopkIndices>(Definition &d) {
    define_gathered(
        d, d.column, [](const Expr &place) { return Halide::cast<uint32_t>(place); },
        [](const Expr &bits) { return bits; });
}

}  // namespace pto::wsp::lower
