#include "pto/wsp/core/tile_ref.h"

#include <cmath>
#include <cstring>

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "pto/wsp/core/dtype.h"

namespace pto::wsp {
namespace {

template <class Element> void reads_every_number(DType dtype) {
    for (uint32_t bits = 0; bits < 0x10000; ++bits) {
        Element element;
        element.bits = static_cast<uint16_t>(bits);
        const float value = element;
        if (!std::isnan(value)) {
            EXPECT_EQ(value, round_to(dtype, value)) << bits;
            EXPECT_EQ(Element(value).bits, element.bits) << bits;
        } else {
            EXPECT_TRUE(std::isnan(static_cast<float>(Element(value)))) << bits;
        }
    }
}

TEST(TileRef, reads_every_f16) {
    reads_every_number<Float16>(DType::F16);
}

TEST(TileRef, reads_every_bf16) {
    reads_every_number<BFloat16>(DType::BF16);
}

RC_GTEST_PROP(TileRef, rounds_as_the_engine_does, (uint32_t bits)) {
    const float value = float_of_bits(bits);
    RC_PRE(!std::isnan(value));
    RC_ASSERT(float_bits(Float16(value)) ==
              float_bits(static_cast<float>(round_to(DType::F16, value))));
    RC_ASSERT(float_bits(BFloat16(value)) ==
              float_bits(static_cast<float>(round_to(DType::BF16, value))));
}

TEST(TileRef, rounds_at_the_borders_as_the_engine_does) {
    // Around every f16 and the middle to the next one, subnormal and overflowing ones too.
    for (uint32_t bits = 0x33000000; bits < 0x47900000; bits += 0x800) {
        for (int step : {-1, 0, 1}) {
            const float value = float_of_bits(bits + static_cast<uint32_t>(step));
            EXPECT_EQ(float_bits(Float16(value)),
                      float_bits(static_cast<float>(round_to(DType::F16, value))))
                << value;
        }
    }
}

TEST(TileRef, walks_strides) {
    float data[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    const TileRef<const float> tile(data + 8, 3, 2, -4, 2);
    EXPECT_EQ(tile(0, 0), 8);
    EXPECT_EQ(tile(2, 1), 2);
    EXPECT_EQ(tile.rows() * 10 + tile.cols(), 32);
    EXPECT_EQ(tile.stride(), -4);
    EXPECT_EQ(tile.column_stride(), 2);
    Float16 half = 1.5F;
    half += 1;
    half *= 3;
    EXPECT_EQ(half, 7.5F);
}

}  // namespace
}  // namespace pto::wsp
