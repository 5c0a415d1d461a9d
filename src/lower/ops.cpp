#include <array>
#include <limits>

#include "math.h"
#include "pto/wsp/support/error.h"
#include "tile_func.h"

/// The lowering table: how each operation of the tile language becomes Halide Funcs. A row is a
/// specialisation of `Lowering`; the array at the end names one for every row of kernel/ops.def.
namespace pto::wsp::lower {

using Halide::Expr;
using kernel::Op;

namespace {

template <Op op> struct Lowering;

/// An elementwise row: `x` are the operands at one element, `d` the definition.
#define PTO_WSP_ELEMENT(op, ...)                                                                   \
    template <> struct Lowering<Op::op> {                                                          \
        static void define(Definition &d) {                                                        \
            d.elementwise([&d](const std::vector<Expr> &x) -> Expr {                               \
                (void)x;                                                                           \
                return __VA_ARGS__;                                                                \
            });                                                                                    \
        }                                                                                          \
    };

/// A row that the statements around the regions handle.
#define PTO_WSP_STATEMENT(op)                                                                      \
    template <> struct Lowering<Op::op> {                                                          \
        static void define(Definition &) {                                                         \
            throw InternalError("lower", std::string(kernel::name(Op::op)) + " is a statement");   \
        }                                                                                          \
    };

Expr strict(const Expr &x) {
    return Halide::strict_float(x);
}

bool is_f(const Expr &x) {
    return x.type().is_float();
}

Expr unsigned_bits(const Expr &x) {
    return Halide::cast<uint32_t>(x);
}

/// Signed integers wrap: computed on the unsigned type of the same width.
template <typename F> Expr wrapping(const Expr &a, const Expr &b, F f) {
    return is_f(a) || is_f(b) ? strict(f(a, b))
                              : Halide::cast<int32_t>(f(unsigned_bits(a), unsigned_bits(b)));
}

/// Operand `i` converted to the result's type first, as NumPy promotes.
Expr promoted(const Definition &d, const std::vector<Expr> &x, size_t i) {
    return converted(d.operand_types[i].dtype, d.type.dtype, x[i]);
}

/// Operands of a comparison converted to their common type.
Expr common(const Definition &d, const std::vector<Expr> &x, size_t i) {
    DType type = promote(d.operand_types[0].dtype, d.operand_types[1].dtype);
    return converted(d.operand_types[i].dtype, type, x[i]);
}

Expr maximum(const Expr &a, const Expr &b) {
    return is_f(a) ? choose(Halide::is_nan(a) || strict(a > b), a, b) : Halide::max(a, b);
}

Expr minimum(const Expr &a, const Expr &b) {
    return is_f(a) ? choose(Halide::is_nan(a) || strict(a < b), a, b) : Halide::min(a, b);
}

/// a <= b. The x86 backend turns that into !(b < a), which holds for NaN.
Expr at_most(const Expr &a, const Expr &b) {
    return is_f(a) ? strict(a < b) || strict(a == b) : a <= b;
}

/// a / b as IEEE has it, without making the operands' own arithmetic strict.
Expr divided(const Expr &a, const Expr &b) {
    return Halide::Internal::Call::make(a.type(), Halide::Internal::Call::strict_div, {a, b},
                                        Halide::Internal::Call::PureIntrinsic);
}

PTO_WSP_STATEMENT(Load)
PTO_WSP_STATEMENT(Store)
PTO_WSP_STATEMENT(ForiLoop)

Expr constant_value(const Definition &d) {
    const kernel::Attribute &value = d.node.attributes.at("value");
    if (is_integer(d.type.dtype)) {
        return static_cast<int32_t>(std::get<int64_t>(value));
    }
    double number = std::holds_alternative<int64_t>(value)
                        ? static_cast<double>(std::get<int64_t>(value))
                        : std::get<double>(value);
    return Expr(static_cast<float>(round_to(d.type.dtype, number)));
}

PTO_WSP_ELEMENT(Constant, constant_value(d))
PTO_WSP_ELEMENT(Add, wrapping(promoted(d, x, 0), promoted(d, x, 1),
                              [](Expr a, Expr b) { return a + b; }))
PTO_WSP_ELEMENT(Sub, wrapping(promoted(d, x, 0), promoted(d, x, 1),
                              [](Expr a, Expr b) { return a - b; }))
PTO_WSP_ELEMENT(Mul, wrapping(promoted(d, x, 0), promoted(d, x, 1),
                              [](Expr a, Expr b) { return a * b; }))
PTO_WSP_ELEMENT(Div, strict(promoted(d, x, 0) / promoted(d, x, 1)))
PTO_WSP_ELEMENT(Maximum, maximum(promoted(d, x, 0), promoted(d, x, 1)))
PTO_WSP_ELEMENT(Minimum, minimum(promoted(d, x, 0), promoted(d, x, 1)))
PTO_WSP_ELEMENT(Neg, is_f(x[0]) ? Halide::reinterpret<float>(Halide::reinterpret<uint32_t>(x[0]) ^
                                                             Expr(0x80000000u))
                                : Halide::cast<int32_t>(Expr(0u) - unsigned_bits(x[0])))
PTO_WSP_ELEMENT(
    Abs,
    is_f(x[0])
        ? Halide::reinterpret<float>(Halide::reinterpret<uint32_t>(x[0]) & Expr(0x7fffffffu))
        : Halide::select(x[0] < 0, Halide::cast<int32_t>(Expr(0u) - unsigned_bits(x[0])), x[0]))
PTO_WSP_ELEMENT(Exp, d.flag("nonpositive") ? exp_nonpositive_f32(x[0]) : exp_f32(x[0]))
PTO_WSP_ELEMENT(Log, log_f32(x[0]))
PTO_WSP_ELEMENT(Sqrt, strict(Halide::sqrt(x[0])))
PTO_WSP_ELEMENT(Rsqrt, strict(1.0f / Halide::sqrt(x[0])))
PTO_WSP_ELEMENT(Tanh, tanh_f32(x[0]))
PTO_WSP_ELEMENT(Sigmoid, sigmoid_f32(x[0]))
PTO_WSP_ELEMENT(Silu, strict(x[0] * sigmoid_f32(x[0])))
PTO_WSP_ELEMENT(Relu, maximum(x[0], Halide::cast(x[0].type(), 0)))
PTO_WSP_ELEMENT(Cast, converted(d.operand_types[0].dtype, d.type.dtype, x[0]))
PTO_WSP_ELEMENT(Where, choose(x[0], converted(d.operand_types[1].dtype, d.type.dtype, x[1]),
                              converted(d.operand_types[2].dtype, d.type.dtype, x[2])))
PTO_WSP_ELEMENT(Lt, strict(common(d, x, 0) < common(d, x, 1)))
PTO_WSP_ELEMENT(Le, at_most(common(d, x, 0), common(d, x, 1)))
PTO_WSP_ELEMENT(Gt, strict(common(d, x, 0) > common(d, x, 1)))
PTO_WSP_ELEMENT(Ge, at_most(common(d, x, 1), common(d, x, 0)))
PTO_WSP_ELEMENT(Eq, strict(common(d, x, 0) == common(d, x, 1)))
PTO_WSP_ELEMENT(Ne, !strict(common(d, x, 0) == common(d, x, 1)))
PTO_WSP_ELEMENT(Broadcast, x[0])
PTO_WSP_ELEMENT(RowIndex, Halide::cast<int32_t>(d.row))
PTO_WSP_ELEMENT(ColumnIndex, Halide::cast<int32_t>(d.column))

template <> struct Lowering<Op::CausalMask> {
    static void define(Definition &d) {
        d.elementwise([&d](const std::vector<Expr> &x) -> Expr {
            Expr offset = x.size() > 1 ? x[1] : Expr(0);
            return choose(d.column <= d.row + offset, x[0],
                          Expr(-std::numeric_limits<float>::infinity()));
        });
    }
};

/// A reduction of each row over the columns; `step` combines, `initial` is neutral.
void reduce(Definition &d, const std::string &suffix, const Expr &initial,
            const std::function<Expr(Expr sum, Expr x)> &step,
            const std::function<Expr(Expr x)> &prepare = nullptr) {
    Halide::Func f = d.make(suffix);
    if (d.operands[0].one_column) {
        Expr x = d.operands[0].at(d.row, 0);
        f(d.column, d.row) = step(initial, prepare ? prepare(x) : x);
    } else {
        Halide::RDom k(0, d.symbols(d.operand_types[0].columns),
                       halide_name(d.name + suffix + ".k"));
        f(d.column, d.row) = initial;
        Expr x = d.operands[0].at(d.row, k.x);
        f(d.column, d.row) = step(f(d.column, d.row), prepare ? prepare(x) : x);
    }
    if (suffix.empty()) {
        d.result.func = f;
    }
}

void define_sum(Definition &d) {
    if (is_float(d.operand_types[0].dtype)) {
        reduce(d, "", 0.0f, [](Expr sum, Expr x) { return sum + x; });
        return;
    }
    reduce(d, "", Expr(0u), [](Expr sum, Expr x) { return sum + unsigned_bits(x); });
    d.result.finish = [](Expr sum, Expr) { return Halide::cast<int32_t>(sum); };
}

/// Extremes propagate NaN, which no vector maximum does, so a second reduction looks for one.
/// Where the result only normalises a softmax (`ignore_nan`), the NaN arrives anyway.
void define_extreme(Definition &d, float worst, int32_t worst_integer,
                    const std::function<Expr(Expr, Expr)> &step) {
    if (!is_float(d.type.dtype)) {
        reduce(d, "", worst_integer, step);
        return;
    }
    reduce(d, "", worst, step);
    if (d.flag("ignore_nan")) {
        return;
    }
    reduce(
        d, ".nan", 0, [](Expr found, Expr x) { return Halide::max(found, x); },
        [](Expr x) { return Halide::select(Halide::is_nan(x), Expr(1), Expr(0)); });
    Halide::Func nan = d.funcs.at(d.name + ".nan");
    d.result.finish = [nan](Expr value, Expr row) {
        return choose(nan(0, row) != 0, Expr(std::numeric_limits<float>::quiet_NaN()), value);
    };
}

template <> struct Lowering<Op::Rowsum> {
    static void define(Definition &d) { define_sum(d); }
};

/// sum / count, towards zero, of the bits of a signed sum.
Expr integer_mean(const Expr &sum, const Expr &count) {
    Expr negative = (sum >> 31) != Expr(0u);
    Expr quotient = Halide::select(negative, Expr(0u) - sum, sum) / unsigned_bits(count);
    return Halide::cast<int32_t>(Halide::select(negative, Expr(0u) - quotient, quotient));
}

template <> struct Lowering<Op::Rowmean> {
    static void define(Definition &d) {
        define_sum(d);
        Expr count = d.symbols(d.operand_types[0].columns);
        bool integer = is_integer(d.type.dtype);
        d.result.finish = [count, integer](Expr sum, Expr) {
            return integer ? integer_mean(sum, Halide::max(count, 1))
                           : strict(sum / Halide::cast<float>(count));
        };
    }
};

template <> struct Lowering<Op::Rowmax> {
    static void define(Definition &d) {
        define_extreme(d, -std::numeric_limits<float>::infinity(), INT32_MIN,
                       [](Expr a, Expr b) { return Halide::max(a, b); });
    }
};

template <> struct Lowering<Op::Rowmin> {
    static void define(Definition &d) {
        define_extreme(d, std::numeric_limits<float>::infinity(), INT32_MAX,
                       [](Expr a, Expr b) { return Halide::min(a, b); });
    }
};

/// Rules write it out before lowering; this is for programs that were not rewritten.
template <> struct Lowering<Op::Softmax> {
    static void define(Definition &d) {
        TileFunc x = d.operands[0];
        reduce(d, ".max", -std::numeric_limits<float>::infinity(),
               [](Expr a, Expr b) { return Halide::max(a, b); });
        Halide::Func exps = d.make(".exp");
        exps(d.column, d.row) = exp_nonpositive_f32(
            strict(x.at(d.row, d.column) - d.funcs.at(d.name + ".max")(0, d.row)));
        d.operands[0].func = exps;
        d.operands[0].finish = nullptr;
        reduce(d, ".sum", 0.0f, [](Expr a, Expr b) { return a + b; });
        d.operands[0] = x;
        d.result.func = d.make();
        d.result.func(d.column, d.row) = rounded(
            d.type.dtype, divided(exps(d.column, d.row), d.funcs.at(d.name + ".sum")(0, d.row)));
    }
};

template <> struct Lowering<Op::Transpose> {
    static void define(Definition &d) {
        d.result.func = d.make();
        d.result.func(d.column, d.row) = d.operands[0].at(d.column, d.row);
    }
};

template <> struct Lowering<Op::Slice> {
    static void define(Definition &d) {
        Expr row = d.operands[1].at(0, 0);
        Expr column = d.operands[2].at(0, 0);
        d.result.func = d.make();
        d.result.func(d.column, d.row) = d.operands[0].at(d.row + row, d.column + column);
    }
};

template <> struct Lowering<Op::Matmul> {
    static void define(Definition &d) {
        bool trans_a = d.flag("trans_a");
        const kernel::TileType &a = d.operand_types[0];
        Halide::RDom k(0, d.symbols(trans_a ? a.rows : a.columns), halide_name(d.name + ".k"));
        Halide::Func b = d.make(".b");
        b(d.column, d.row) = d.flag("trans_b") ? d.operands[1].at(d.column, d.row)
                                               : d.operands[1].at(d.row, d.column);
        Expr left = trans_a ? d.operands[0].at(k.x, d.row) : d.operands[0].at(d.row, k.x);
        Expr right = b(d.column, k.x);
        bool integer = !is_float(d.type.dtype);
        Halide::Func sum = d.make(".sum");
        if (integer) {
            sum(d.column, d.row) = Expr(0u);
            sum(d.column, d.row) += unsigned_bits(left) * unsigned_bits(right);
        } else {
            sum(d.column, d.row) = 0.0f;
            sum(d.column, d.row) += left * right;
        }
        Expr total = sum(d.column, d.row);
        if (d.operands.size() > 2) {
            Expr start = d.operands[2].at(d.row, d.column);
            total = integer ? total + unsigned_bits(start) : strict(total + start);
        }
        d.result.func = d.make();
        d.result.func(d.column, d.row) =
            integer ? Halide::cast<int32_t>(total) : rounded(d.type.dtype, total);
    }
};

using Row = void (*)(Definition &);

constexpr std::array<Row, kernel::op_count> table = {
#define PTO_WSP_TILE_OP(op, ...) &Lowering<Op::op>::define,
#include "pto/wsp/kernel/ops.def"
#undef PTO_WSP_TILE_OP
};

}  // namespace

void define(Definition &definition) {
    table[static_cast<size_t>(definition.node.op)](definition);
    definition.result.one_row = definition.type.rows == Affine(1);
    definition.result.one_column = definition.type.columns == Affine(1);
}

}  // namespace pto::wsp::lower
