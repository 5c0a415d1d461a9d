#include "math.h"

#include <array>
#include <cmath>
#include <limits>

#include "narrow_floats.h"
#include "polynomial.h"

namespace pto::wsp::lower {

using Halide::Expr;
using Halide::Internal::Call;

Expr choose(const Expr &condition, const Expr &yes, const Expr &no) {
    if (!yes.type().is_float()) {
        return Halide::select(condition, yes, no);
    }
    Halide::Type bits = yes.type().with_code(Halide::Type::Int);
    return Halide::reinterpret(yes.type(), Halide::select(condition, Halide::reinterpret(bits, yes),
                                                          Halide::reinterpret(bits, no)));
}

namespace {

Expr f32(double value) {
    return Expr(static_cast<float>(value));
}

Expr bits(const Expr &x) {
    return Halide::reinterpret<int32_t>(x);
}

Expr from_bits(const Expr &x) {
    return Halide::reinterpret<float>(x);
}

/// One operation kept as IEEE has it, whatever its operands may contract to.
Expr strict_call(Call::IntrinsicOp op, const Expr &a, const Expr &b) {
    return Call::make(a.type(), op, {a, b}, Call::PureIntrinsic);
}

Expr strict_mul(const Expr &a, const Expr &b) {
    return strict_call(Call::strict_mul, a, b);
}

constexpr double log2_e = 1.4426950408889634;
constexpr double ln2 = 0.6931471805599453;
/// ln 2 = ln2_high + ln2_low; ln2_high has 15 significant bits, so n * ln2_high is exact.
constexpr double ln2_high = 0.693145751953125;
constexpr double ln2_low = 1.428606820309417e-06;
/// ln 2^-126, where e^x leaves the normal numbers.
constexpr double least_normal_log = -87.33654022;
/// Adding it rounds a float to an integer, which then stands in the low bits.
constexpr double round_bias = 12582912.0;

// Coefficients of 1 + r + r^2 p(r) on [-ln2/2, ln2/2], fitted here by Lawson's iteration to the
// least greatest relative error: 3.1e-9 for degree 6, 1.1e-7 for degree 5.
constexpr std::array exp_degree_6{1.381459868294e-03,
                                  8.368717043300e-03,
                                  4.166838805702e-02,
                                  1.666652063035e-01,
                                  4.999999344771e-01,
                                  1.0,
                                  1.0};
constexpr std::array exp_degree_5{
    8.312520474906e-03, 4.189015806106e-02, 1.666711465102e-01, 4.999923148665e-01, 1.0, 1.0};

bool is_double(const Expr &x) {
    return x.type() == Halide::Float(64);
}

}  // namespace

namespace math {

Expr exp(const Expr &x) {
    if (is_double(x)) {
        return libm("exp", x);
    }
    // The constants come first, so that a NaN goes through.
    Expr t =
        strict_call(Call::strict_max, f32(-104.0), strict_call(Call::strict_min, f32(89.0), x));
    // The bias carries that of two exponents, between which n is divided.
    Expr bias = f32(round_bias + 254.0);
    Expr biased = opaque(t * f32(log2_e) + bias);
    Expr n = Halide::strict_float(biased - bias);
    // Opaque, or the two parts of ln 2 would be added into one again.
    Expr r = opaque(opaque(t - n * f32(ln2_high)) - n * f32(ln2_low));
    Expr whole = Halide::reinterpret<uint32_t>(biased);
    Expr half = whole >> 1;
    Expr first = from_bits(half << 23);
    Expr second = from_bits((whole - half) << 23);
    return strict_mul(strict_mul(polynomial(r, exp_degree_6), first), second);
}

Expr exp_nonpositive(const Expr &x) {
    if (is_double(x)) {
        return math::exp(x);
    }
    // The bias carries the exponent's own bias of 127, so one shift makes 2^n.
    Expr bias = f32(round_bias + 127.0);
    Expr biased = Halide::strict_float(x * f32(log2_e) + bias);
    Expr n = Halide::strict_float(biased - bias);
    Expr r = x - n * f32(ln2);
    Expr scale = from_bits(bits(biased) << 23);
    Expr value = polynomial(r, exp_degree_5) * scale;
    return choose(Halide::strict_float(x < f32(least_normal_log)), f32(0.0), value);
}

Expr log(const Expr &x) {
    if (is_double(x)) {
        return libm("log", x);
    }
    Expr tiny = Halide::strict_float(x < f32(std::numeric_limits<float>::min()));
    Expr scaled = choose(tiny, Halide::strict_float(x * f32(8388608.0)), x);
    Expr offset = bits(scaled) - bits(f32(0.70710678118));
    Expr exponent = offset >> 23;
    Expr m = from_bits(bits(scaled) - (exponent << 23)) - 1.0f;
    Expr e = Halide::cast<float>(exponent) - Halide::select(tiny, f32(23.0), f32(0.0));
    Expr m2 = m * m;
    Expr p = polynomial(m, std::array{7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1,
                                      -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1,
                                      2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1});
    Expr y = p * m * m2 + e * f32(-2.12194440e-4) - 0.5f * m2;
    Expr value = m + y + e * f32(0.693359375);
    float infinity = std::numeric_limits<float>::infinity();
    Expr special = choose(Halide::strict_float(x == 0.0f), Expr(-infinity),
                          choose(Halide::strict_float(x == Expr(infinity)), Expr(infinity),
                                 Expr(std::numeric_limits<float>::quiet_NaN())));
    return choose(Halide::strict_float(x > 0.0f && x < Expr(infinity)), value, special);
}

Expr tanh(const Expr &x) {
    if (is_double(x)) {
        return libm("tanh", x);
    }
    Expr magnitude = Halide::abs(x);
    Expr x2 = x * x;
    Expr small =
        x + x * x2 *
                polynomial(x2, std::array{-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2,
                                          1.33314422036e-1, -3.33332819422e-1});
    Expr large = 1.0f - 2.0f / (math::exp(2.0f * magnitude) + 1.0f);
    Expr signed_large = from_bits(bits(large) | (bits(x) & Expr(INT32_MIN)));
    return choose(Halide::strict_float(magnitude < 0.625f), small, signed_large);
}

namespace {

/// 1 / (1 + e^-x) for `power` = e^-|x|.
Expr logistic(const Expr &x, const Expr &power) {
    Expr one = Halide::Internal::make_one(x.type());
    Expr negative = Halide::strict_float(x < Halide::Internal::make_zero(x.type()));
    return Halide::strict_float(choose(negative, power, one) / (one + power));
}

}  // namespace

Expr sigmoid(const Expr &x) {
    return logistic(x, math::exp(-Halide::abs(x)));
}

Expr silu(const Expr &x) {
    // Far below 0 the result is x e^x, and e^x has few digits left where x e^x has them: there the
    // exponential is that of x + 2^n, exactly, and e^-2^n comes last.
    auto constant = [&](double value) { return Halide::Internal::make_const(x.type(), value); };
    const bool wide = is_double(x);
    Expr shift = constant(wide ? 512 : 64);
    Expr far = Halide::strict_float(x < constant(wide ? -640 : -80));
    Expr power = math::exp(choose(far, Halide::strict_float(x + shift), -Halide::abs(x)));
    Expr tail = strict_mul(strict_mul(x, power), constant(std::exp(wide ? -512.0 : -64.0)));
    return choose(far, tail, Halide::strict_float(x * logistic(x, power)));
}

}  // namespace math

}  // namespace pto::wsp::lower
