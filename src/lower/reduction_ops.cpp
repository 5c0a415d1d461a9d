#include <limits>

#include "narrow_floats.h"
#include "ops.h"

/// Rows of the lowering table that fold rows or columns.
namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using kernel::Op;

void reduce(Definition &d, const std::string &suffix, const Expr &initial,
            const std::function<Expr(Expr sum, Expr x)> &step,
            const std::function<Expr(Expr x)> &prepare) {
    bool over_rows = kernel::info(d.node.op).kind == kernel::OpKind::ColumnReduction;
    const TileFunc &operand = d.operands[0];
    auto element = [&](const Expr &k) {
        Expr x = over_rows ? operand.at(k, d.column) : operand.at(d.row, k);
        return prepare ? prepare(x) : x;
    };
    Halide::Func f = d.make(suffix);
    if (over_rows ? operand.one_row : operand.one_column) {
        f(d.column, d.row) = step(initial, element(0));
    } else {
        const kernel::TileType &type = d.operand_types[0];
        Halide::RDom k(0, d.symbols(over_rows ? type.rows : type.columns),
                       halide_name(d.name + suffix + ".k"));
        f(d.column, d.row) = initial;
        f(d.column, d.row) = step(f(d.column, d.row), element(k.x));
    }
    if (suffix.empty()) {
        d.result.func = f;
    }
}

namespace {

Expr add(const Expr &a, const Expr &b) {
    return a + b;
}

/// Sums in `type`: integers on the unsigned type of its width, so that they wrap.
void define_sum(Definition &d, Halide::Type type) {
    if (type.is_float()) {
        reduce(d, "", make_zero(type), add, opaque_term);
        d.result.finish = [](const Expr &sum, const Expr &, const Expr &) { return opaque(sum); };
        return;
    }
    reduce(d, "", make_zero(type.with_code(Halide::Type::UInt)), add,
           [type](const Expr &x) { return as_unsigned(Halide::cast(type, x)); });
    d.result.finish = [type](const Expr &sum, const Expr &, const Expr &) {
        return Halide::cast(type, sum);
    };
}

/// sum / count of integers, towards zero.
Expr integer_mean(const Expr &sum, const Expr &count) {
    Halide::Type type = sum.type();
    if (type.is_uint()) {
        return sum / Halide::cast(type, count);
    }
    Expr negative = sum < make_zero(type);
    Expr bits = as_unsigned(sum);
    Expr zero = make_zero(bits.type());
    Expr quotient = Halide::select(negative, zero - bits, bits) / Halide::cast(bits.type(), count);
    return Halide::cast(type, Halide::select(negative, zero - quotient, quotient));
}

/// Extremes propagate NaN, which no vector maximum does, so a second reduction looks for one.
/// Where the result only normalises a softmax (`ignore_nan`), the NaN arrives anyway.
void define_extreme(Definition &d, bool largest) {
    Halide::Type type = inner_type(d.type.dtype);
    auto step = [largest](const Expr &a, const Expr &b) {
        return largest ? Halide::max(a, b) : Halide::min(a, b);
    };
    if (!type.is_float()) {
        // Opaque: where x is an index, Halide leaves out iterations by what the result is at first.
        reduce(d, "", largest ? type.min() : type.max(), step, opaque);
        return;
    }
    reduce(d, "", infinity(type, largest ? -1 : 1), step);
    if (!kernel::looks_for_nan(d.node, d.type.dtype)) {
        return;
    }
    reduce(
        d, ".nan", 0, [](const Expr &found, const Expr &x) { return Halide::max(found, x); },
        [](const Expr &x) { return Halide::select(Halide::is_nan(x), Expr(1), Expr(0)); });
    Halide::Func nan = d.funcs.at(d.name + ".nan");
    Expr quiet = make_const(type, std::numeric_limits<double>::quiet_NaN());
    d.result.finish = [nan, quiet](const Expr &value, const Expr &row, const Expr &column) {
        return choose(nan(column, row) != 0, quiet, value);
    };
}

}  // namespace

template <> void define_op<Op::Rowsum>(Definition &d) {
    define_sum(d, inner_type(d.type.dtype));
}

template <> void define_op<Op::Colsum>(Definition &d) {
    define_sum(d, inner_type(d.type.dtype));
}

template <> void define_op<Op::Rowmean>(Definition &d) {
    Halide::Type type = inner_type(d.type.dtype);
    Halide::Type wide = type.is_float() ? type : type.with_bits(64);
    define_sum(d, wide);
    Expr count = d.symbols(d.operand_types[0].columns);
    d.result.finish = [count, type, wide](const Expr &sum, const Expr &, const Expr &) {
        if (type.is_float()) {
            return strict(opaque(sum) / Halide::cast(type, count));
        }
        return Halide::cast(type, integer_mean(Halide::cast(wide, sum), Halide::max(count, 1)));
    };
}

template <> void define_op<Op::Rowmax>(Definition &d) {
    define_extreme(d, true);
}

template <> void define_op<Op::Rowmin>(Definition &d) {
    define_extreme(d, false);
}

template <> void define_op<Op::Colmax>(Definition &d) {
    define_extreme(d, true);
}

template <> void define_op<Op::Colmin>(Definition &d) {
    define_extreme(d, false);
}

/// Rules write it out before lowering; this is for programs that were not rewritten.
template <> void define_op<Op::Softmax>(Definition &d) {
    TileFunc x = d.operands[0];
    Halide::Type type = inner_type(d.type.dtype);
    reduce(d, ".max", infinity(type, -1),
           [](const Expr &a, const Expr &b) { return Halide::max(a, b); });
    Halide::Func exps = d.make(".exp");
    const bool safe = d.flag("safe");
    Expr most = d.funcs.at(d.name + ".max")(0, d.row);
    Expr lowest = type.min();
    exps(d.column, d.row) = math::exp_nonpositive(strict(
        x.at(d.row, d.column) - (safe ? choose(most == infinity(type, -1), lowest, most) : most)));
    d.operands[0].func = exps;
    d.operands[0].finish = nullptr;
    reduce(d, ".sum", make_zero(type), add, opaque_term);
    d.operands[0] = x;
    d.result.func = d.make();
    Expr sum = opaque(d.funcs.at(d.name + ".sum")(0, d.row));
    Expr one = make_one(type);
    Expr total = safe ? choose(strict(sum < one), one, sum) : sum;
    d.result.func(d.column, d.row) = rounded(d.type.dtype, divided(exps(d.column, d.row), total));
}

namespace {

/// x / sqrt(rowmean(x * x) + eps); rules write it out before lowering, too.
void define_norm(Definition &d) {
    TileFunc x = d.operands[0];
    Halide::Type type = inner_type(d.type.dtype);
    reduce(d, ".squares", make_zero(type), add, [](const Expr &each) {
        Expr x = opaque_term(each);
        return x * x;
    });
    Expr count = Halide::cast(type, d.symbols(d.operand_types[0].columns));
    Expr eps = make_const(type, kernel::number_of(d.node.attributes.at("eps")));
    Expr root = strict(Halide::sqrt(
        strict(divided(opaque(d.funcs.at(d.name + ".squares")(0, d.row)), count) + eps)));
    d.result.func = d.make();
    d.result.func(d.column, d.row) = rounded(d.type.dtype, divided(x.at(d.row, d.column), root));
}

}  // namespace

template <> void define_op<Op::Rmsnorm>(Definition &d) {
    define_norm(d);
}

template <> void define_op<Op::Layernorm>(Definition &d) {
    TileFunc &x = d.operands[0];
    Halide::Type type = inner_type(d.type.dtype);
    reduce(d, ".sum", make_zero(type), add, opaque_term);
    Expr count = Halide::cast(type, d.symbols(d.operand_types[0].columns));
    Halide::Func centred = d.make(".centred");
    centred(d.column, d.row) = strict(
        x.at(d.row, d.column) - divided(opaque(d.funcs.at(d.name + ".sum")(0, d.row)), count));
    x.func = centred;
    x.finish = nullptr;
    define_norm(d);
}

}  // namespace pto::wsp::lower
