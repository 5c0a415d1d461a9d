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

template <typename Function> HostSymbol row(const char *name, Function *function) {
    return {name, reinterpret_cast<void *>(function)};
}

template <typename Real> using Unary = Real(Real);
template <typename Real> using Binary = Real(Real, Real);
template <typename Real> using Ternary = Real(Real, Real, Real);

#define PLAIN(name) row(#name, &::name)
#define MATH(shape, name)                                                                          \
    row<shape<double>>(#name, &::name), row<shape<float>>(#name "f", &::name##f)

const HostSymbol symbols[] = {
    PLAIN(halide_malloc),
    PLAIN(halide_free),
    PLAIN(halide_error),
    PLAIN(pto_wsp_submit),
    PLAIN(pto_wsp_hash),
    PLAIN(pto_wsp_await),
    PLAIN(pto_wsp_meet),
    PLAIN(pto_wsp_run_processes),
    PLAIN(pto_wsp_may_send),
    PLAIN(pto_wsp_try_send),
    PLAIN(pto_wsp_next_token),
    PLAIN(pto_wsp_send),
    PLAIN(pto_wsp_taken),
    PLAIN(pto_wsp_receive),
    PLAIN(pto_wsp_close),
    PLAIN(pto_wsp_table_element),
    PLAIN(pto_wsp_tensor_element),
    PLAIN(pto_wsp_checked_u64),
    PLAIN(pto_wsp_checked_divisor),
    PLAIN(pto_wsp_checked_shift),
    PLAIN(pto_wsp_out_of_range),
    PLAIN(pto_wsp_count_task),
    PLAIN(pto_wsp_progress),
    PLAIN(pto_wsp_copy_tile),
    PLAIN(pto_wsp_print_tile),

    row<void *(void *, const void *, size_t)>("memcpy", &::memcpy),
    row<void *(void *, const void *, size_t)>("memmove", &::memmove),
    row<void *(void *, int, size_t)>("memset", &::memset),
    row<int(const void *, const void *, size_t)>("memcmp", &::memcmp),

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
    MATH(Unary, erfc),
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
    row<double(double, int)>("ldexp", &::ldexp),
    row<float(float, int)>("ldexpf", &::ldexpf),
    row<void(double, double *, double *)>("sincos", &::sincos),
    row<void(float, float *, float *)>("sincosf", &::sincosf),

    PLAIN(__extendhfsf2),
    PLAIN(__extendhfdf2),
    PLAIN(__truncsfhf2),
    PLAIN(__truncdfhf2),
    row("__truncsfbf2", &bfloat_from_float),
    row("__truncdfbf2", &bfloat_from_double),
    row("__gnu_h2f_ieee", &float_from_half),
    row("__gnu_f2h_ieee", &half_from_float),
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
