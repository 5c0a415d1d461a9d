#include "backend/cpu/symbols.h"

#include <cstdint>
#include <cstring>
#include <math.h>

#include "backend/cpu/half_conversion.h"
#include "pto/wsp/core/abi.h"

extern "C" {
// The compiler's support library; only the addresses are of interest here.
void __extendhfsf2();
void __extendhfdf2();
void __truncsfhf2();
void __truncdfhf2();
void __divti3();
void __modti3();
void __udivti3();
void __umodti3();
void __multi3();
}

namespace pto::wsp::backend::cpu {
namespace {

template <typename Function> void *address_of(Function *function) {
    return reinterpret_cast<void *>(function);
}

template <typename Real> using Unary = Real(Real);
template <typename Real> using Binary = Real(Real, Real);
template <typename Real> using Ternary = Real(Real, Real, Real);

#define PLAIN(name)                                                                                \
    { #name, address_of(&::name) }
#define MATH(shape, name)                                                                          \
    {#name, address_of<shape<double>>(&::name)}, {                                                 \
#name "f", address_of < shape < float>>(&::name##f)                                        \
    }

const HostSymbol symbols[] = {
    PLAIN(halide_malloc),
    PLAIN(halide_free),
    PLAIN(halide_error),
    PLAIN(pto_wsp_submit),

    {"memcpy", address_of<void *(void *, const void *, size_t)>(&::memcpy)},
    {"memmove", address_of<void *(void *, const void *, size_t)>(&::memmove)},
    {"memset", address_of<void *(void *, int, size_t)>(&::memset)},
    {"memcmp", address_of<int(const void *, const void *, size_t)>(&::memcmp)},

    MATH(Unary, sqrt),
    MATH(Unary, cbrt),
    MATH(Unary, exp),
    MATH(Unary, exp2),
    MATH(Unary, expm1),
    MATH(Unary, log),
    MATH(Unary, log2),
    MATH(Unary, log10),
    MATH(Unary, log1p),
    MATH(Unary, sin),
    MATH(Unary, cos),
    MATH(Unary, tan),
    MATH(Unary, asin),
    MATH(Unary, acos),
    MATH(Unary, atan),
    MATH(Unary, sinh),
    MATH(Unary, cosh),
    MATH(Unary, tanh),
    MATH(Unary, asinh),
    MATH(Unary, acosh),
    MATH(Unary, atanh),
    MATH(Unary, erf),
    MATH(Unary, floor),
    MATH(Unary, ceil),
    MATH(Unary, round),
    MATH(Unary, roundeven),
    MATH(Unary, rint),
    MATH(Unary, nearbyint),
    MATH(Unary, trunc),
    MATH(Unary, fabs),
    MATH(Binary, pow),
    MATH(Binary, atan2),
    MATH(Binary, hypot),
    MATH(Binary, fmod),
    MATH(Binary, fmin),
    MATH(Binary, fmax),
    MATH(Ternary, fma),
    {"ldexp", address_of<double(double, int)>(&::ldexp)},
    {"ldexpf", address_of<float(float, int)>(&::ldexpf)},
    {"sincos", address_of<void(double, double *, double *)>(&::sincos)},
    {"sincosf", address_of<void(float, float *, float *)>(&::sincosf)},

    PLAIN(__extendhfsf2),
    PLAIN(__extendhfdf2),
    PLAIN(__truncsfhf2),
    PLAIN(__truncdfhf2),
    {"__truncsfbf2", address_of(&bfloat_from_float)},
    {"__truncdfbf2", address_of(&bfloat_from_double)},
    {"__gnu_h2f_ieee", address_of(&float_from_half)},
    {"__gnu_f2h_ieee", address_of(&half_from_float)},
    PLAIN(__divti3),
    PLAIN(__modti3),
    PLAIN(__udivti3),
    PLAIN(__umodti3),
    PLAIN(__multi3),
};

}  // namespace

std::span<const HostSymbol> host_symbols() {
    return symbols;
}

}  // namespace pto::wsp::backend::cpu
