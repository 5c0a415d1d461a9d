#include "backend/cpu/half_conversion.h"

#include <bit>
#include <cmath>

extern "C" {
// The compiler's support library, with `float` for the registers that hold a `half`.
float __extendhfsf2(float half);
float __truncsfhf2(float value);
}

namespace pto::wsp::backend::cpu {
namespace {

float in_register(uint32_t bits) {
    return std::bit_cast<float>(bits);
}

/// `value` as f32, rounded to odd: rounding that once more to fewer bits is as good as rounding
/// `value` (Boldo and Melquiond 2008).
float float_rounded_to_odd(double value) {
    const float nearest = static_cast<float>(value);
    if (static_cast<double>(nearest) == value) {
        return nearest;
    }
    uint32_t bits = std::bit_cast<uint32_t>(nearest);
    if (std::fabs(static_cast<double>(nearest)) > std::fabs(value)) {
        bits -= 1;
    }
    return std::bit_cast<float>(bits | 1);
}

}  // namespace

float bfloat_from_float(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (std::isnan(value)) {
        return in_register((bits >> 16) | 0x40);
    }
    const uint32_t lowest_kept = (bits >> 16) & 1;
    return in_register((bits + 0x7fff + lowest_kept) >> 16);
}

float bfloat_from_double(double value) {
    return bfloat_from_float(std::isnan(value) ? static_cast<float>(value)
                                               : float_rounded_to_odd(value));
}

float float_from_half(uint16_t half) {
    return __extendhfsf2(in_register(half));
}

uint16_t half_from_float(float value) {
    return static_cast<uint16_t>(std::bit_cast<uint32_t>(__truncsfhf2(value)));
}

}  // namespace pto::wsp::backend::cpu
