#pragma once

#include <functional>
#include <string>

#include <Halide.h>

#include "math.h"
#include "tile_func.h"

namespace pto::wsp::lower {

/// One row of the lowering table: how an operation becomes Funcs. It is specialised once for every
/// row of kernel/ops.def; a missing one does not link.
template <kernel::Op op> void define_op(Definition &definition);

/// An elementwise row: `x` are the operands at one element, `d` the definition.
#define PTO_WSP_ELEMENT(op, ...)                                                                   \
    template <> void define_op<kernel::Op::op>(Definition & d) {                                   \
        d.elementwise([&d](const std::vector<Expr> &x) -> Expr {                                   \
            (void)d;                                                                               \
            (void)x;                                                                               \
            return __VA_ARGS__;                                                                    \
        });                                                                                        \
    }

inline Halide::Expr strict(const Halide::Expr &x) {
    return Halide::strict_float(x);
}

/// `x` as the unsigned integer of its width: arithmetic on it wraps.
inline Halide::Expr as_unsigned(const Halide::Expr &x) {
    return Halide::cast(x.type().with_code(Halide::Type::UInt), x);
}

/// The bits of a float as an unsigned integer.
inline Halide::Expr float_bits(const Halide::Expr &x) {
    return Halide::reinterpret(x.type().with_code(Halide::Type::UInt), x);
}

/// +inf or -inf of a float type.
Halide::Expr infinity(Halide::Type type, int sign);
/// a / b as IEEE has it, without making the operands' own arithmetic strict.
Halide::Expr divided(const Halide::Expr &a, const Halide::Expr &b);

/// Makes `name + suffix`, which folds operand 0 over the columns of each row (over the rows of each
/// column for a column reduction): `step` combines, `initial` is neutral.
void reduce(Definition &d, const std::string &suffix, const Halide::Expr &initial,
            const std::function<Halide::Expr(Halide::Expr sum, Halide::Expr x)> &step,
            const std::function<Halide::Expr(Halide::Expr x)> &prepare = nullptr);

}  // namespace pto::wsp::lower
