#include <array>

#include "math.h"
#include "polynomial.h"

namespace pto::wsp::lower::math {

using Halide::Expr;

namespace {

// Fitted here by Lawson's iteration to the least greatest relative error.
/// erf(x) = x p(x^2) for |x| < 0.75, to 1.4e-9.
constexpr std::array error_near_zero{-0.0006749513678217942, 0.0051143456106478701,
                                     -0.026834624597043742,  0.11283376574873148,
                                     -0.37612618756761057,   1.1283791654964515};
/// erfc(x) = t p(t) e^-x^2 with t = 1 / (1 + 0.3 x), for x in [0, 15], to 2.2e-9.
constexpr double slope = 0.3;
constexpr std::array complement{0.048470356356206841, -0.28879080466397744, 0.62652862888515848,
                                -0.65796171674414716, 0.59254885537271529,  -0.16365623024174714,
                                0.21403919254041665,  0.12590218101279751,  0.1646516147162348,
                                0.16900157056548623,  0.16926635005308685};
/// e^r = 1 + r + r^2 p(r) on [-ln2/2, ln2/2], to 3.1e-9.
constexpr std::array exponential{0.0013814612984151848, 0.008368709842616482, 0.041668387366985464,
                                 0.16666520689634487, 0.49999993451679947};
/// Below e^-200 the products vanish in f32.
constexpr double least_power = -200.0;

Expr f64(double value) {
    return Expr(value);
}

Expr power(const Expr &x) {
    constexpr double round_bias = 6755399441055744.0;  // 1.5 * 2^52
    Expr bounded = Halide::max(x, Expr(least_power));
    Expr biased = Halide::strict_float(bounded * Expr(1.4426950408889634) + Expr(round_bias));
    Expr n = Halide::strict_float(biased - Expr(round_bias));
    Expr r = bounded - n * Expr(0.6931471805599453);
    Expr scale = Halide::reinterpret<double>(
        (Halide::reinterpret<int64_t>(biased) + Halide::Internal::make_const(Halide::Int(64), 1023))
        << Halide::Internal::make_const(Halide::Int(64), 52));
    return (f64(1.0) + (r + r * r * polynomial(r, exponential))) * scale;
}

/// 1 - erf(x) of a float64 x >= 0.
Expr complement_of(const Expr &x) {
    Expr bounded = Halide::min(x, Expr(15.0));
    Expr t = f64(1.0) / (f64(1.0) + f64(slope) * bounded);
    return t * polynomial(t, complement) * power(-bounded * bounded);
}

/// gelu of a float64. In x/2 erfc(z), z = -x / sqrt 2, an error d of z is one of 2 z d of the
/// result, so what its product loses is found (Dekker, "A floating-point technique for extending
/// the available precision", 1971) and taken back: erfc(z + d) = erfc(z) (1 - d r) with r = 2 /
/// sqrt pi e^-z^2 / erfc(z), which is near z + sqrt(z^2 + 4 / pi) (Abramowitz and Stegun 7.1.13).
/// Where z < 0 there is nothing to lose, and beyond 28 erfc(z) is 0.
Expr gelu_of_double(const Expr &x) {
    constexpr double root = 0.7071067811865476;
    constexpr double root_rest = -4.833646656726457e-17;
    constexpr double root_high = 0.7071067690849304;
    const Expr upper_bits = Halide::Internal::make_const(Halide::UInt(64), ~uint64_t{0} << 27);
    Expr high = Halide::reinterpret<double>(Halide::reinterpret<uint64_t>(x) & upper_bits);
    Expr low = Halide::strict_float(x - high);
    Expr z = Halide::strict_float(x * f64(-root));
    Expr lost = Halide::strict_float(
        ((high * f64(root_high) + z) + high * f64(root - root_high) + low * f64(root_high)) +
        low * f64(root - root_high) + x * f64(root_rest));
    Expr tail = libm("erfc", z);
    Expr ratio = Halide::strict_float(z + Halide::sqrt(z * z + f64(1.2732395447351628)));
    Expr mended = Halide::strict_float(tail + tail * (lost * ratio));
    Expr inside = Halide::strict_float(z > f64(0.0)) && Halide::strict_float(z < f64(28.0));
    return Halide::strict_float(x * f64(0.5) * choose(inside, mended, tail));
}

}  // namespace

Expr erf(const Expr &x) {
    if (x.type() == Halide::Float(64)) {
        return libm("erf", x);
    }
    Expr magnitude = Halide::cast<double>(Halide::min(Halide::abs(x), 15.0f));
    Expr z = magnitude * magnitude;
    Expr value = Halide::select(magnitude < f64(0.75), magnitude * polynomial(z, error_near_zero),
                                f64(1.0) - complement_of(magnitude));
    Expr sign = Halide::reinterpret<uint32_t>(x) & Expr(0x80000000u);
    Expr signed_value = Halide::reinterpret<float>(
        Halide::reinterpret<uint32_t>(Halide::cast<float>(value)) | sign);
    return choose(Halide::is_nan(x), x, signed_value);
}

Expr gelu(const Expr &x) {
    const Expr half_root = f64(0.7071067811865476);
    if (x.type() == Halide::Float(64)) {
        return gelu_of_double(x);
    }
    Expr magnitude = Halide::cast<double>(Halide::min(Halide::abs(x), 30.0f));
    Expr tail = complement_of(magnitude * half_root) * f64(0.5);
    Expr below = -magnitude * tail;
    Expr positive = Halide::strict_float(x > 0.0f);
    Expr value =
        Halide::cast<float>(Halide::select(positive, magnitude * (f64(1.0) - tail), below));
    // Past the bound the result is x itself, or what x times a vanished tail is.
    Expr far = Halide::strict_float(x > 30.0f) || Halide::is_nan(x);
    Expr vanished = choose(Halide::strict_float(x < -30.0f), Halide::strict_float(x * 0.0f), value);
    return choose(far || Halide::strict_float(x == 0.0f), x, vanished);
}

}  // namespace pto::wsp::lower::math
