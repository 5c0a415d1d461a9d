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

Expr word(const Expr &x) {
    return Halide::reinterpret<uint32_t>(x);
}

Expr from_bits(const Expr &x) {
    return Halide::reinterpret<float>(x);
}

/// One operation kept as IEEE has it, whatever its operands may contract to: `strict_float` would
/// keep those from contracting, too.
Expr strict_call(Call::IntrinsicOp op, const Expr &a, const Expr &b) {
    return Call::make(a.type(), op, {a, b}, Call::PureIntrinsic);
}

Expr strict_mul(const Expr &a, const Expr &b) {
    return strict_call(Call::strict_mul, a, b);
}

Expr strict_div(const Expr &a, const Expr &b) {
    return strict_call(Call::strict_div, a, b);
}

constexpr double log2_e = 1.4426950408889634;
/// In f32 it is ln 2 + 1.9e-9, so that x - n ln 2 has an error of 2.75e-9 x.
constexpr double ln2 = 0.6931471805599453;
/// ln 2 = ln2_high + ln2_low; ln2_high has 15 significant bits, so n * ln2_high is exact.
constexpr double ln2_high = 0.693145751953125;
constexpr double ln2_low = 1.428606820309417e-06;
/// Adding it rounds a float to an integer, which then stands in the low bits.
constexpr double round_bias = 12582912.0;
constexpr int exponent_bias = 127;

/// e^r on [-ln2/2, ln2/2] for f32, fitted here by linear programming: the greatest error in ulp of
/// 2^n e^r is least, 4.2, when that of the reduction with one constant is part of it.
constexpr std::array exp_degree_5{8.232875946500e-03, 4.188683271652e-02, 1.666855252517e-01,
                                  4.999927037505e-01, 9.999994208639e-01, 1.0};
/// The same for results that are rounded to 8 bits; relative error 2.6e-6.
constexpr std::array exp_degree_4{4.145261591172e-02, 1.679094639496e-01, 5.000442836401e-01,
                                  9.999634153815e-01, 9.999992708290e-01};

/// factor e^r for |r| <= ln2/2, and factor e^-r when `mirrored`.
Expr exp_polynomial(const Expr &r, int digits, double factor, bool mirrored = false) {
    auto evaluate = [&](auto coefficients) {
        double sign = 1;
        for (size_t i = coefficients.size(); i-- > 0;) {
            coefficients[i] *= sign * factor;
            sign = mirrored ? -sign : sign;
        }
        return polynomial(r, coefficients);
    };
    return digits <= math::bf16_digits ? evaluate(exp_degree_4) : evaluate(exp_degree_5);
}

bool is_double(const Expr &x) {
    return x.type() == Halide::Float(64);
}

}  // namespace

namespace math {

Expr exp(const Expr &x, int digits) {
    if (is_double(x)) {
        return libm("exp", x);
    }
    // F16 ends long before f32 does, so that 2^n alone is a normal number.
    const bool short_range = digits == f16_digits;
    // The constant comes first, so that a NaN goes through.
    Expr t = strict_call(Call::strict_max, f32(short_range ? -68.0 : -104.0), x);
    // The bias carries that of exponents. Of n - 1 where the polynomial has a factor of 2, because
    // 2^128 is none.
    Expr bias = f32(round_bias + exponent_bias - (short_range ? 0 : 1));
    Expr most = f32(round_bias + exponent_bias + (short_range ? 128 : 127));
    // As integers, NaN and infinity are large, so that n stays small enough for all of them.
    Expr biased = from_bits(Halide::min(word(opaque(t * f32(log2_e) + bias)), word(most)));
    Expr n = Halide::strict_float(biased - bias);
    Expr r = opaque(t - n * f32(ln2));
    Expr exponent = word(biased) << 23;
    if (short_range) {
        return strict_mul(exp_polynomial(r, digits, 1), from_bits(exponent));
    }
    // 2^n = 2^a 2^b with 2^a normal and b <= 0. The former is multiplied, which rounds a subnormal
    // result once; b is added to the exponent of e^r, and is 0 where that might be NaN.
    Expr normal = Halide::max(Halide::reinterpret<int32_t>(exponent), 1 << 23);
    Expr rest = exponent - Halide::reinterpret<uint32_t>(normal);
    Expr mantissa = from_bits(word(exp_polynomial(r, digits, 2)) + rest);
    return strict_mul(mantissa, from_bits(normal));
}

Expr exp_nonpositive(const Expr &x, int digits) {
    if (is_double(x)) {
        return math::exp(x);
    }
    // The least n, -127, gives 0 for 2^n.
    Expr t = strict_call(Call::strict_max, f32(-88.0), x);
    Expr bias = f32(round_bias + exponent_bias);
    Expr biased = opaque(t * f32(log2_e) + bias);
    Expr n = Halide::strict_float(biased - bias);
    Expr r = opaque(t - n * f32(ln2));
    return strict_mul(exp_polynomial(r, digits, 1), from_bits(bits(biased) << 23));
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

/// 2^-shift (1 + e^-x) of f32. Finite as far as 2^(128 + shift), and infinite beyond.
Expr logistic_divisor(const Expr &x, int digits, int shift) {
    const int most = 128 + shift;
    const int least = shift - exponent_bias;
    Expr t = strict_call(Call::strict_max, f32(-ln2 * (most + 0.25)),
                         strict_call(Call::strict_min, f32(-ln2 * (least + 0.25)), x));
    Expr bias = f32(round_bias + exponent_bias - shift);
    Expr biased = opaque(t * f32(-log2_e) + bias);
    Expr n = Halide::strict_float(biased - bias);
    Expr r = digits < math::f32_digits
                 ? opaque(t + n * f32(ln2))
                 // Opaque, or the two parts of ln 2 would be added into one again.
                 : opaque(opaque(t + n * f32(ln2_high)) + n * f32(ln2_low));
    Expr scale = from_bits(bits(biased) << 23);
    return opaque(exp_polynomial(r, digits, 1, true) * scale + f32(std::ldexp(1.0, -shift)));
}

/// Where 1 + e^-x is no f32 any more, results still are: so many powers of 2 further.
int logistic_shift(int digits) {
    return digits == f16_digits ? 0 : 29;
}

}  // namespace

Expr sigmoid(const Expr &x, int digits) {
    if (is_double(x)) {
        return logistic(x, math::exp(-Halide::abs(x)));
    }
    const int shift = logistic_shift(digits);
    Expr quotient = strict_div(f32(1.0), logistic_divisor(x, digits, shift));
    return shift == 0 ? quotient : strict_mul(quotient, f32(std::ldexp(1.0, -shift)));
}

Expr silu(const Expr &x, int digits) {
    if (is_double(x)) {
        // Far below 0 the result is x e^x, and e^x has few digits left where x e^x has them: there
        // the exponential is that of x + 2^9, exactly, and e^-2^9 comes last.
        auto constant = [&](double value) { return Halide::Internal::make_const(x.type(), value); };
        Expr far = Halide::strict_float(x < constant(-640));
        Expr moved = Halide::strict_float(x + constant(512));
        Expr power = math::exp(choose(far, moved, -Halide::abs(x)));
        Expr tail = strict_mul(strict_mul(x, power), constant(std::exp(-512.0)));
        return choose(far, tail, Halide::strict_float(x * logistic(x, power)));
    }
    const int shift = logistic_shift(digits);
    Expr quotient = strict_div(x, logistic_divisor(x, digits, shift));
    if (shift == 0) {
        return quotient;
    }
    // A large x would leave f32 before the factor comes.
    constexpr double same = 64;
    return choose(Halide::strict_float(x > f32(same)), x,
                  strict_mul(quotient, f32(std::ldexp(1.0, -shift))));
}

}  // namespace math

}  // namespace pto::wsp::lower
