#include "pto/wsp/core/tile_text.h"

#include <limits>

#include <gtest/gtest.h>

namespace pto::wsp {
namespace {

TEST(ElementText, IsTheShortestThatReadsBack) {
    EXPECT_EQ(element_text(DType::F32, 1.0), "1.");
    EXPECT_EQ(element_text(DType::F32, -0.0), "-0.");
    EXPECT_EQ(element_text(DType::F32, double{0.1f}), "0.1");
    EXPECT_EQ(element_text(DType::F64, 0.1), "0.1");
    EXPECT_EQ(element_text(DType::F64, double{0.1f}), "0.10000000149011612");
    EXPECT_EQ(element_text(DType::F16, 0.0999755859375), "0.1");
    EXPECT_EQ(element_text(DType::F32, 100.0), "100.");
    EXPECT_EQ(element_text(DType::F32, double{1e30f}), "1e+30");
    EXPECT_EQ(element_text(DType::F32, std::numeric_limits<double>::quiet_NaN()), "nan");
    EXPECT_EQ(element_text(DType::F32, -std::numeric_limits<double>::infinity()), "-inf");
    EXPECT_EQ(element_text(DType::I8, int64_t{-5}), "-5");
    EXPECT_EQ(element_text(DType::U64, int64_t{-1}), "18446744073709551615");
    EXPECT_EQ(element_text(DType::Mask, 1.0), "True");
    EXPECT_EQ(element_text(DType::Mask, 0.0), "False");
}

TEST(TileText, AlignsColumns) {
    auto at = [](int64_t r, int64_t c) { return Element(double(r == 0 ? c : -1.5)); };
    EXPECT_EQ(tile_text(DType::F32, 2, 3, at), "[[  0.   1.   2.]\n [-1.5 -1.5 -1.5]]");
    EXPECT_EQ(tile_text(DType::F32, 1, 1, at), "[[0.]]");
    EXPECT_EQ(tile_text(DType::F32, 0, 3, at), "[]");
    EXPECT_EQ(printed_tile("x (k.py:3)", DType::F32, 1, 2, at),
              "x (k.py:3): Tile[1, 2, F32]\n[[0. 1.]]\n");
}

TEST(TileText, AbridgesWhatIsLarge) {
    auto at = [](int64_t r, int64_t c) { return Element(r * 100 + c); };
    EXPECT_EQ(tile_text(DType::I32, 100, 100, at), "[[   0    1    2 ...   97   98   99]\n"
                                                   " [ 100  101  102 ...  197  198  199]\n"
                                                   " [ 200  201  202 ...  297  298  299]\n"
                                                   " ...\n"
                                                   " [9700 9701 9702 ... 9797 9798 9799]\n"
                                                   " [9800 9801 9802 ... 9897 9898 9899]\n"
                                                   " [9900 9901 9902 ... 9997 9998 9999]]");
    EXPECT_EQ(tile_text(DType::I32, 1, 2000, at), "[[   0    1    2 ... 1997 1998 1999]]");
    EXPECT_EQ(tile_text(DType::I32, 2000, 1, at),
              "[[     0]\n [   100]\n [   200]\n ...\n [199700]\n [199800]\n [199900]]");
}

}  // namespace
}  // namespace pto::wsp
