#include "reference_values.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "memory.h"
#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

int64_t RefTile::rows() const {
    return is_integer(dtype) ? integer.rows() : real.rows();
}

int64_t RefTile::columns() const {
    return is_integer(dtype) ? integer.cols() : real.cols();
}

namespace {

/// `value` of the integer type `from` (U64: its bits) as the float type `to`, rounded once to
/// nearest even.
double integer_to_float(DType from, DType to, int64_t value) {
    const bool negative = from != DType::U64 && value < 0;
    auto magnitude = static_cast<uint64_t>(value);
    magnitude = negative ? 0 - magnitude : magnitude;
    constexpr int digits = 53;
    if (to != DType::F64 && magnitude >> digits != 0) {
        // To odd in the bits that a double has, so that the second rounding decides alone.
        constexpr uint64_t rest = (uint64_t{1} << (64 - digits)) - 1;
        magnitude = (magnitude & ~rest) | ((magnitude & rest) != 0 ? rest + 1 : 0);
    }
    const auto real = static_cast<double>(magnitude);
    return round_to(to, negative ? -real : real);
}

}  // namespace

double real_as(DType to, const RefTile &tile, int64_t r, int64_t c) {
    if (!is_integer(tile.dtype)) {
        return round_to(to, real_at(tile, r, c));
    }
    return integer_to_float(tile.dtype, to,
                            tile.integer(tile.rows() == 1 ? 0 : r, tile.columns() == 1 ? 0 : c));
}

namespace {

/// Extent of a broadcast: 1 gives way.
int64_t extent(std::span<const RefTile> operands, int64_t (RefTile::*size)() const) {
    int64_t result = 1;
    for (const RefTile &operand : operands) {
        if ((operand.*size)() != 1) {
            result = (operand.*size)();
        }
    }
    return result;
}

RefTile broadcast_result(std::span<const RefTile> operands, DType dtype) {
    return make_tile(dtype, extent(operands, &RefTile::rows), extent(operands, &RefTile::columns));
}

template <typename Real, typename Integer>
RefTile binary(std::span<const RefTile> operands, const TileType &result, Real real,
               Integer integer) {
    RefTile tile = broadcast_result(operands, result.dtype);
    bool whole = is_integer(result.dtype);
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            if (whole) {
                tile.integer(r, c) = integer(wrap_to(result.dtype, integer_at(operands[0], r, c)),
                                             wrap_to(result.dtype, integer_at(operands[1], r, c)));
            } else {
                // An integer that meets a float is rounded to that float first.
                double a = real_as(result.dtype, operands[0], r, c);
                double b = real_as(result.dtype, operands[1], r, c);
                tile.real(r, c) = real(a, b);
            }
        }
    }
    return tile;
}

template <typename Real> RefTile unary(std::span<const RefTile> operands, Real real) {
    RefTile tile = operands[0];
    for (double &value : tile.real.reshaped<Eigen::RowMajor>()) {
        value = real(value);
    }
    return tile;
}

/// -1, 0 or 1: how two integers of which one may be U64, kept as its bits, compare.
int64_t exact_order(DType a_type, int64_t a, DType b_type, int64_t b) {
    bool a_negative = a_type != DType::U64 && a < 0;
    bool b_negative = b_type != DType::U64 && b < 0;
    if (a_negative != b_negative) {
        return a_negative ? -1 : 1;
    }
    return bits(a) < bits(b) ? -1 : a == b ? 0 : 1;
}

template <typename Real, typename Integer>
RefTile compare(std::span<const RefTile> operands, Real real, Integer integer) {
    RefTile tile = broadcast_result(operands, DType::Mask);
    DType common = promote(operands[0].dtype, operands[1].dtype);
    bool whole = is_integer(common);
    // U64 and an integer with sign have no common type that is exact: they are compared apart.
    bool apart = !whole && is_integer(operands[0].dtype) && is_integer(operands[1].dtype);
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            if (apart) {
                int64_t sign = exact_order(operands[0].dtype, integer_at(operands[0], r, c),
                                           operands[1].dtype, integer_at(operands[1], r, c));
                tile.real(r, c) = integer(sign, 0);
                continue;
            }
            tile.real(r, c) = whole ? integer(ordered(common, integer_at(operands[0], r, c)),
                                              ordered(common, integer_at(operands[1], r, c)))
                                    : real(real_as(common, operands[0], r, c),
                                           real_as(common, operands[1], r, c));
        }
    }
    return tile;
}

}  // namespace

#define PTO_WSP_BINARY(name, real, integer)                                                        \
    PTO_WSP_REFERENCE(name) {                                                                      \
        (void)attributes;                                                                          \
        return binary(                                                                             \
            operands, result, [](double a, double b) -> double { return real; },                   \
            [](int64_t a, int64_t b) -> int64_t { return integer; });                              \
    }

#define PTO_WSP_COMPARE(name, op)                                                                  \
    PTO_WSP_REFERENCE(name) {                                                                      \
        (void)attributes;                                                                          \
        (void)result;                                                                              \
        return compare(                                                                            \
            operands, [](double a, double b) { return a op b; },                                   \
            [](int64_t a, int64_t b) { return a op b; });                                          \
    }

#define PTO_WSP_UNARY(name, real)                                                                  \
    PTO_WSP_REFERENCE(name) {                                                                      \
        (void)attributes;                                                                          \
        (void)result;                                                                              \
        return unary(operands, [](double x) -> double { return real; });                           \
    }

PTO_WSP_BINARY(ref_add, a + b, wrap(bits(a) + bits(b)))
PTO_WSP_BINARY(ref_sub, a - b, wrap(bits(a) - bits(b)))
PTO_WSP_BINARY(ref_mul, a *b, wrap(bits(a) * bits(b)))

template <typename Integer>
RefTile extreme(std::span<const RefTile> operands, const TileType &result,
                double (*real)(double, double), Integer integer) {
    DType dtype = result.dtype;
    return binary(operands, result, real, [=](int64_t a, int64_t b) {
        return ordered(dtype, integer(ordered(dtype, a), ordered(dtype, b)));
    });
}

PTO_WSP_REFERENCE(ref_maximum) {
    (void)attributes;
    return extreme(operands, result, larger, [](int64_t a, int64_t b) { return std::max(a, b); });
}

PTO_WSP_REFERENCE(ref_minimum) {
    (void)attributes;
    return extreme(operands, result, smaller, [](int64_t a, int64_t b) { return std::min(a, b); });
}

/// Quotient of integers of `dtype` towards minus infinity; 0 when b is 0.
static int64_t floor_quotient(DType dtype, int64_t a, int64_t b) {
    if (b == 0) {
        return 0;
    }
    if (dtype == DType::U64) {
        return wrap(bits(a) / bits(b));
    }
    if (b == -1) {
        return wrap(0 - bits(a));
    }
    return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

PTO_WSP_REFERENCE(ref_floordiv) {
    (void)attributes;
    DType dtype = result.dtype;
    return binary(
        operands, result, [](double, double) { return 0.0; },
        [dtype](int64_t a, int64_t b) { return floor_quotient(dtype, a, b); });
}

PTO_WSP_REFERENCE(ref_mod) {
    (void)attributes;
    DType dtype = result.dtype;
    return binary(
        operands, result, [](double, double) { return 0.0; },
        [dtype](int64_t a, int64_t b) {
            uint64_t product = bits(floor_quotient(dtype, a, b)) * bits(b);
            return b == 0 ? 0 : wrap(bits(a) - product);
        });
}

/// The type rule gives floats only.
PTO_WSP_REFERENCE(ref_div) {
    (void)attributes;
    return binary(
        operands, result, [](double a, double b) { return a / b; },
        [](int64_t, int64_t) { return int64_t{0}; });
}

PTO_WSP_COMPARE(ref_lt, <)
PTO_WSP_COMPARE(ref_le, <=)
PTO_WSP_COMPARE(ref_gt, >)
PTO_WSP_COMPARE(ref_ge, >=)
PTO_WSP_COMPARE(ref_eq, ==)
PTO_WSP_COMPARE(ref_ne, !=)
PTO_WSP_UNARY(ref_exp, std::exp(x))
PTO_WSP_UNARY(ref_log, std::log(x))
PTO_WSP_UNARY(ref_sqrt, std::sqrt(x))
PTO_WSP_UNARY(ref_rsqrt, 1.0 / std::sqrt(x))
PTO_WSP_UNARY(ref_tanh, std::tanh(x))
PTO_WSP_UNARY(ref_sin, std::sin(x))
PTO_WSP_UNARY(ref_cos, std::cos(x))
PTO_WSP_UNARY(ref_erf, std::erf(x))
// In the wider type: e^-x overflows in F64 before its inverse vanishes, and a last bit of erfc's
// argument is many of its value.
PTO_WSP_UNARY(ref_gelu, static_cast<double>(x * 0.5L * std::erfc(-x * std::sqrt(0.5L))))
PTO_WSP_UNARY(ref_sigmoid, static_cast<double>(1.0L / (1.0L + std::exp(-1.0L * x))))
PTO_WSP_UNARY(ref_silu, static_cast<double>(x / (1.0L + std::exp(-1.0L * x))))

PTO_WSP_REFERENCE(ref_neg) {
    (void)attributes;
    (void)result;
    RefTile tile = operands[0];
    tile.real = -tile.real;
    tile.integer = tile.integer.unaryExpr([](int64_t x) { return wrap(0 - bits(x)); });
    return tile;
}

PTO_WSP_REFERENCE(ref_abs) {
    (void)attributes;
    (void)result;
    RefTile tile = operands[0];
    tile.real = tile.real.abs();
    if (info(tile.dtype).kind == DTypeKind::Signed) {
        tile.integer =
            tile.integer.unaryExpr([](int64_t x) { return x < 0 ? wrap(0 - bits(x)) : x; });
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_relu) {
    (void)attributes;
    (void)result;
    RefTile tile = operands[0];
    tile.real = tile.real.unaryExpr([](double x) { return larger(x, 0.0); });
    if (info(tile.dtype).kind == DTypeKind::Signed) {
        tile.integer = tile.integer.unaryExpr([](int64_t x) { return std::max<int64_t>(x, 0); });
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_constant) {
    (void)operands;
    RefTile tile = make_tile(result.dtype, 1, 1);
    const Attribute &value = attributes.at("value");
    if (is_integer(result.dtype)) {
        tile.integer(0, 0) = std::get<int64_t>(value);
    } else {
        const auto *whole = std::get_if<int64_t>(&value);
        tile.real(0, 0) = whole != nullptr ? static_cast<double>(*whole) : std::get<double>(value);
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_cast) {
    (void)attributes;
    const RefTile &x = operands[0];
    RefTile tile = make_tile(result.dtype, x.rows(), x.columns());
    for (int64_t r = 0; r < x.rows(); ++r) {
        for (int64_t c = 0; c < x.columns(); ++c) {
            if (!is_integer(result.dtype)) {
                tile.real(r, c) = real_as(result.dtype, x, r, c);
            } else if (is_integer(x.dtype)) {
                tile.integer(r, c) = x.integer(r, c);
            } else {
                tile.integer(r, c) = cut_to(result.dtype, x.real(r, c));
            }
        }
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_where) {
    (void)attributes;
    RefTile tile = broadcast_result(operands, result.dtype);
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            const RefTile &chosen = real_at(operands[0], r, c) != 0 ? operands[1] : operands[2];
            if (is_integer(result.dtype)) {
                tile.integer(r, c) = integer_at(chosen, r, c);
            } else {
                tile.real(r, c) = real_as(result.dtype, chosen, r, c);
            }
        }
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_causal_mask) {
    (void)attributes;
    (void)result;
    RefTile tile = operands[0];
    int64_t offset = operands.size() > 1 ? operands[1].integer(0, 0) : 0;
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            if (c > r + offset) {
                tile.real(r, c) = -std::numeric_limits<double>::infinity();
            }
        }
    }
    return tile;
}

}  // namespace pto::wsp::kernel
