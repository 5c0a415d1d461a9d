#include <array>

#include "math.h"
#include "polynomial.h"

namespace pto::wsp::lower::math {

using Halide::Expr;

namespace {

// Fitted here by Lawson's iteration to the least greatest error on [0, (pi/4)^2]: sin x = x + x z
// p(z) to 4.9e-12 and cos x = 1 - z/2 + z^2 p(z) to 1e-13, where z = x^2.
constexpr std::array sine{2.7183116603316602e-06, -0.00019839334853120042, 0.0083333293859409185,
                          -0.16666666641626957};
constexpr std::array cosine{-2.7210234360472635e-07, 2.4799519961792468e-05, -0.0013888883753203675,
                            0.04166666662282522};

/// 1 / 2 pi: a word of its integer part, then of its fraction.
constexpr std::array<uint32_t, 8> inverse_circle{0x00000000, 0x28be60db, 0x9391054a, 0x7f09d5f4,
                                                 0x7d4d3770, 0x36d8a566, 0x4f10e410, 0x7f9458ea};

Expr u64(uint64_t value) {
    return Halide::Internal::make_const(Halide::UInt(64), value);
}

/// An angle as a number of quarters of a circle and the rest in [-pi/4, pi/4], a float64.
struct Angle {
    Expr quarters;
    Expr rest;
};

/// |x| for f32 `x`. With x = m 2^e and m an integer of 24 bits, x / 2 pi modulo 1 is m times the
/// bits of 1 / 2 pi from position e on: the words before that only add whole circles.
Angle reduced(const Expr &x) {
    Expr bits = Halide::reinterpret<uint32_t>(x) & Expr(0x7fffffffu);
    Expr mantissa = Halide::cast<uint64_t>((bits & Expr(0x7fffffu)) | Expr(0x800000u));
    // The exponent e is (bits >> 23) - 150, and at least -24 where it is used.
    Expr position = Halide::max(bits >> 23, Expr(126u)) - Expr(150u - 32u);
    Expr shift = Halide::cast<uint64_t>(position & Expr(31u));
    auto word = [&](uint32_t next) {
        Expr chosen = u64(inverse_circle[4 + next]);
        for (uint32_t first = 4; first-- > 0;) {
            chosen = Halide::select((position >> 5) == Expr(first),
                                    u64(inverse_circle[first + next]), chosen);
        }
        return chosen;
    };
    std::array<Expr, 4> words{word(0), word(1), word(2), word(3)};
    auto shifted = [&](size_t k) {
        return (((words[k] << u64(32)) | words[k + 1]) << shift) >> u64(32);
    };
    Expr circle = ((mantissa * shifted(0)) << u64(32)) + mantissa * shifted(1) +
                  ((mantissa * shifted(2)) >> u64(32));
    Expr quarters = (circle + u64(uint64_t{1} << 61)) >> u64(62);
    Expr rest = Halide::reinterpret<int64_t>(circle - (quarters << u64(62)));
    constexpr double unit = 6.283185307179586 / 18446744073709551616.0;
    Expr small = Halide::strict_float(Halide::abs(x) < Expr(0.78539816f));
    return {Halide::select(small, Expr(0u), Halide::cast<uint32_t>(quarters)),
            Halide::select(small, Halide::cast<double>(Halide::abs(x)),
                           Halide::cast<double>(rest) * Expr(unit))};
}

/// The sine of |x| and `quarters` more of a circle.
Expr sine_of(const Expr &x, uint32_t quarters) {
    Angle angle = reduced(x);
    Expr quarter = angle.quarters + Expr(quarters);
    Expr z = angle.rest * angle.rest;
    Expr odd = angle.rest + angle.rest * z * polynomial(z, sine);
    Expr even = Expr(1.0) - z * Expr(0.5) + z * z * polynomial(z, cosine);
    Expr value = Halide::cast<float>(Halide::select((quarter & Expr(1u)) != Expr(0u), even, odd));
    Expr sign = (quarter & Expr(2u)) << 30;
    Expr finite = (Halide::reinterpret<uint32_t>(x) & Expr(0x7fffffffu)) < Expr(0x7f800000u);
    return Halide::reinterpret<float>(
        Halide::select(finite, Halide::reinterpret<uint32_t>(value) ^ sign, Expr(0x7fc00000u)));
}

}  // namespace

Expr sin(const Expr &x) {
    if (x.type() == Halide::Float(64)) {
        return libm("sin", x);
    }
    Expr negative = Halide::reinterpret<uint32_t>(x) & Expr(0x80000000u);
    return Halide::reinterpret<float>(Halide::reinterpret<uint32_t>(sine_of(x, 0)) ^ negative);
}

Expr cos(const Expr &x) {
    return x.type() == Halide::Float(64) ? libm("cos", x) : sine_of(x, 1);
}

}  // namespace pto::wsp::lower::math
