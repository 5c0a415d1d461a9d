#include "pto/wsp/core/dtype.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <set>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

/// The value that the bits of a small float with `digits` fraction bits stand for, from the format.
double decode(uint16_t bits, int digits, int exponent_bits) {
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (bits >> digits) & ((1 << exponent_bits) - 1);
    int fraction = bits & ((1 << digits) - 1);
    double sign = (bits & 0x8000) != 0 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) {
        return fraction != 0 ? std::nan("") : sign * infinity;
    }
    return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias - digits)
                         : sign * std::ldexp(fraction + (1 << digits), exponent - bias - digits);
}

TEST(DType, IntegersKnowWhatTheyHold) {
    EXPECT_TRUE(fits_integer(DType::I32, 2147483647.0));
    EXPECT_TRUE(fits_integer(DType::I32, -2147483648.0));
    EXPECT_TRUE(fits_integer(DType::U64, 0x1p63));
    EXPECT_TRUE(fits_integer(DType::I64, int64_t{INT64_MIN}));
    for (double value : {2147483648.0, -2147483649.0, 2.5, infinity, -infinity, std::nan("")}) {
        EXPECT_FALSE(fits_integer(DType::I32, value)) << value;
    }
    EXPECT_FALSE(fits_integer(DType::U64, 0x1p64));
    EXPECT_FALSE(fits_integer(DType::I64, 0x1p63));
    for (DType dtype : {DType::U8, DType::U64}) {
        EXPECT_FALSE(fits_integer(dtype, -1.0));
        EXPECT_FALSE(fits_integer(dtype, int64_t{-1}));
    }
    EXPECT_FALSE(fits_integer(DType::I8, int64_t{128}));
}

/// Nearest bits by search over all finite magnitudes, ties to the even pattern.
uint16_t nearest_bits(double value, int digits, int exponent_bits) {
    int end = ((1 << exponent_bits) - 1) << digits;
    double magnitude = std::fabs(value);
    int low = 0;
    int high = end;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        (decode(static_cast<uint16_t>(middle), digits, exponent_bits) <= magnitude ? low : high) =
            middle;
    }
    double below = decode(static_cast<uint16_t>(low), digits, exponent_bits);
    // One past the largest finite value, infinity takes the place of the next power of two.
    double above = high == end ? std::ldexp(1.0, 1 << (exponent_bits - 1))
                               : decode(static_cast<uint16_t>(high), digits, exponent_bits);
    bool up = magnitude - below > above - magnitude ||
              (magnitude - below == above - magnitude && low % 2 == 1);
    return static_cast<uint16_t>((up ? high : low) | (std::signbit(value) ? 0x8000 : 0));
}

TEST(DType, TableIsWhole) {
    ASSERT_EQ(dtypes().size(), 13u);
    for (const DTypeInfo &row : dtypes()) {
        EXPECT_EQ(&info(row.dtype), &row);
        EXPECT_EQ(parse_dtype(row.name), row.dtype);
        EXPECT_EQ(parse_dtype(row.user_name), row.dtype);
    }
    EXPECT_EQ(size_bytes(DType::BF16), 2);
    EXPECT_EQ(name(DType::U16), "u16");
    EXPECT_TRUE(is_float(DType::BF16));
    EXPECT_FALSE(is_integer(DType::Mask));
}

TEST(DType, UnknownNameListsTheKnown) {
    std::string hint = expect_error<CompileError>(
        [] {
            parse_dtype("fp32", {"k.py", 3});
        },
        "unknown dtype \"fp32\"");
    EXPECT_EQ(hint, "did you mean f32? known are f16, bf16, f32, f64, i8, i16, i32, i64, u8, u16, "
                    "u32, u64, mask");
}

TEST(DType, Promotion) {
    EXPECT_EQ(promote(DType::F16, DType::F16), DType::F16);
    EXPECT_EQ(promote(DType::F16, DType::F32), DType::F32);
    EXPECT_EQ(promote(DType::F16, DType::BF16), DType::F32);
    EXPECT_EQ(promote(DType::F64, DType::BF16), DType::F64);
    EXPECT_EQ(promote(DType::I64, DType::F16), DType::F16);
    EXPECT_EQ(promote(DType::I8, DType::U8), DType::I16);
    EXPECT_EQ(promote(DType::I32, DType::U8), DType::I32);
    EXPECT_EQ(promote(DType::I8, DType::U32), DType::I64);
    EXPECT_EQ(promote(DType::U8, DType::U64), DType::U64);
    EXPECT_EQ(promote(DType::I8, DType::U64), DType::F64);
    EXPECT_EQ(promote(DType::Mask, DType::Mask), DType::Mask);
    EXPECT_EQ(expect_error<TypeCheckError>([] { promote(DType::F32, DType::Mask); },
                                           "no common type of f32 and mask"),
              "a mask is taken by where(mask, a, b) only");
    for (const DTypeInfo &a : dtypes()) {
        for (const DTypeInfo &b : dtypes()) {
            if ((a.dtype == DType::Mask) == (b.dtype == DType::Mask)) {
                EXPECT_EQ(promote(a.dtype, b.dtype), promote(b.dtype, a.dtype));
            }
        }
    }
}

TEST(DType, EveryHalfReadsAndWritesBack) {
    for (int i = 0; i < 65536; ++i) {
        auto bits = static_cast<uint16_t>(i);
        float value = half_to_float(bits);
        double expected = decode(bits, 10, 5);
        if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(value));
            EXPECT_EQ(float_to_half(value), bits | 0x200) << i;
        } else {
            EXPECT_EQ(static_cast<double>(value), expected) << i;
            EXPECT_EQ(float_to_half(value), bits) << i;
        }
    }
}

TEST(DType, EveryBfloatReadsAndWritesBack) {
    for (int i = 0; i < 65536; ++i) {
        auto bits = static_cast<uint16_t>(i);
        float value = bfloat_to_float(bits);
        double expected = decode(bits, 7, 8);
        if (std::isnan(expected)) {
            EXPECT_TRUE(std::isnan(value));
            EXPECT_EQ(float_to_bfloat(value), bits | 0x40) << i;
        } else {
            EXPECT_EQ(static_cast<double>(value), expected) << i;
            EXPECT_EQ(float_to_bfloat(value), bits) << i;
        }
    }
}

void expect_rounded(float value) {
    if (std::isnan(value)) {
        return;
    }
    auto bits = std::bit_cast<uint32_t>(value);
    if (std::isinf(value)) {
        EXPECT_EQ(float_to_half(value), value < 0 ? 0xfc00 : 0x7c00);
        EXPECT_EQ(float_to_bfloat(value), value < 0 ? 0xff80 : 0x7f80);
        return;
    }
    EXPECT_EQ(float_to_half(value), nearest_bits(value, 10, 5)) << std::hex << bits;
    EXPECT_EQ(float_to_bfloat(value), nearest_bits(value, 7, 8)) << std::hex << bits;
    double half = round_to(DType::F16, value);
    double bfloat = round_to(DType::BF16, value);
    EXPECT_EQ(half, static_cast<double>(half_to_float(float_to_half(value))));
    EXPECT_EQ(bfloat, static_cast<double>(bfloat_to_float(float_to_bfloat(value))));
    EXPECT_EQ(std::signbit(half), std::signbit(value));
}

TEST(DType, RoundsToNearestEvenOnBoundaries) {
    for (int i = 0; i < 0x7c00; ++i) {
        double here = decode(static_cast<uint16_t>(i), 10, 5);
        double next = i + 1 == 0x7c00 ? 65536 : decode(static_cast<uint16_t>(i + 1), 10, 5);
        auto middle = static_cast<float>((here + next) / 2);
        for (float value : {middle, std::nextafterf(middle, 0), std::nextafterf(middle, 1e30f)}) {
            expect_rounded(value);
            expect_rounded(-value);
        }
    }
    for (uint32_t i = 0; i < 0x7f80; ++i) {
        for (uint32_t low : {0x0u, 0x1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
            expect_rounded(std::bit_cast<float>(i << 16 | low));
        }
    }
}

TEST(DType, RoundsToNearestEvenOnRandomBits) {
    std::mt19937 random(7);
    for (int i = 0; i < 200000; ++i) {
        expect_rounded(std::bit_cast<float>(static_cast<uint32_t>(random())));
        expect_rounded(
            std::ldexp(static_cast<float>(random()), static_cast<int>(random() % 60) - 60));
    }
}

#if defined(__x86_64__)
__attribute__((target("f16c"))) uint16_t hardware_half(float value) {
    return static_cast<uint16_t>(_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT));
}

TEST(DType, AgreesWithTheProcessor) {
    if (!__builtin_cpu_supports("avx2")) {
        GTEST_SKIP() << "no f16c";
    }
    std::mt19937 random(11);
    for (int i = 0; i < 2000000; ++i) {
        auto value = std::bit_cast<float>(static_cast<uint32_t>(random()));
        ASSERT_EQ(float_to_half(value), hardware_half(value));
    }
}
#endif

TEST(DType, RoundToRoundsOnce) {
    // Just above the middle of 1 and the next half: through F32 it would become the middle, and
    // then even.
    double value = 1 + std::ldexp(1.0, -11) + std::ldexp(1.0, -40);
    EXPECT_EQ(round_to(DType::F16, value), 1 + std::ldexp(1.0, -10));
    EXPECT_EQ(half_to_float(float_to_half(static_cast<float>(value))), 1.0f);
    EXPECT_EQ(round_to(DType::F16, 65519.999), 65504);
    EXPECT_EQ(round_to(DType::F16, 65520), infinity);
    EXPECT_EQ(round_to(DType::BF16, -3.4e38), -infinity);
    EXPECT_EQ(round_to(DType::F32, 1e39), infinity);
    EXPECT_TRUE(std::isnan(round_to(DType::F16, std::nan(""))));
    EXPECT_EQ(round_to(DType::F16, std::ldexp(1.0, -25)), 0);
    EXPECT_EQ(round_to(DType::F64, 0.1), 0.1);
}

RC_GTEST_PROP(DType, RoundToF32IsTheConversion, (uint64_t bits)) {
    auto value = std::bit_cast<double>(bits);
    RC_PRE(!std::isnan(value) && std::fabs(value) < 3e38);
    RC_ASSERT(round_to(DType::F32, value) == static_cast<double>(static_cast<float>(value)));
}

RC_GTEST_PROP(DType, IntegersWrap, (int32_t value)) {
    RC_ASSERT(round_to(DType::I8, value) == static_cast<int8_t>(value));
    RC_ASSERT(round_to(DType::U16, value) == static_cast<uint16_t>(value));
    RC_ASSERT(round_to(DType::I32, value) == value);
    RC_ASSERT(round_to(DType::U32, value) == static_cast<uint32_t>(value));
}

TEST(DType, IntegersCutTowardsZero) {
    EXPECT_EQ(round_to(DType::I8, -1.9), -1);
    EXPECT_EQ(round_to(DType::U8, 255.9), 255);
    EXPECT_EQ(round_to(DType::I8, 128), -128);
    EXPECT_EQ(round_to(DType::I64, std::ldexp(1.0, 63)), -std::ldexp(1.0, 63));
    // As NumPy on x86-64 has them.
    EXPECT_EQ(cut_to(DType::I32, infinity), INT32_MIN);
    EXPECT_EQ(cut_to(DType::I8, 3e9), 0);
    EXPECT_EQ(cut_to(DType::I8, 300.7), 44);
    EXPECT_EQ(cut_to(DType::U8, -1.5), 255);
    EXPECT_EQ(cut_to(DType::U32, 3e9), 3000000000);
    EXPECT_EQ(cut_to(DType::U32, 5e9), 0);
    EXPECT_EQ(cut_to(DType::U32, -3e9), 2147483648);
    EXPECT_EQ(cut_to(DType::U32, std::nan("")), 2147483648);
    EXPECT_EQ(round_to(DType::U64, 1e19), 1e19);
    EXPECT_EQ(cut_to(DType::U64, infinity), 0);
    EXPECT_EQ(cut_to(DType::I64, std::nan("")), INT64_MIN);
    EXPECT_FALSE(std::signbit(round_to(DType::I32, -0.5)));
    EXPECT_EQ(round_to(DType::Mask, -2), 1);
}

}  // namespace
}  // namespace pto::wsp
