#pragma once

#include <array>
#include <string>

#include <Halide.h>

namespace pto::wsp::lower {

/// Horner's scheme, highest coefficient first; contracts to fused multiply-adds.
template <size_t count>
Halide::Expr polynomial(const Halide::Expr &x, const std::array<double, count> &coefficients) {
    auto constant = [&](double value) { return Halide::Internal::make_const(x.type(), value); };
    Halide::Expr sum = constant(coefficients[0]);
    for (size_t i = 1; i < count; ++i) {
        sum = sum * x + constant(coefficients[i]);
    }
    return sum;
}

/// The C library's `function` of a float64.
inline Halide::Expr libm(const std::string &function, const Halide::Expr &x) {
    return Halide::Internal::Call::make(x.type(), function, {x},
                                        Halide::Internal::Call::PureExtern);
}

}  // namespace pto::wsp::lower
