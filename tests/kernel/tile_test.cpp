#include "pto/wsp/kernel/tile.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/support/error.h"
#include "support/expect_error.h"

namespace pto::wsp::tile {
namespace {

using kernel::Builder;

constexpr DType F32 = DType::F32, I32 = DType::I32;

TEST(TileSugar, ReadsLikeTheFormula) {
    Builder builder("attention");
    const Param q = input(builder, "q", {F32, 512, 64});
    const Param k = input(builder, "k", {F32, 512, 64});
    const Param v = input(builder, "v", {F32, 512, 64});
    const Param o = output(builder, "o", {F32, 512, 64});
    const Tile scores = softmax(matmul(q, k, {.trans_b = true}) * 0.125);
    store(o, matmul(scores, v));
    EXPECT_EQ(builder.finish()->str(),
              "kernel @attention(%q: in tile<512x64xf32>, %k: in tile<512x64xf32>, "
              "%v: in tile<512x64xf32>, %o: out tile<512x64xf32>) {\n"
              "  %0 = load %q : tile<512x64xf32>\n"
              "  %1 = load %k : tile<512x64xf32>\n"
              "  %2 = matmul %0, %1 {trans_b = true} : tile<512x512xf32>\n"
              "  %3 = constant {dtype = \"f32\", value = 0.125} : tile<1x1xf32>\n"
              "  %4 = mul %2, %3 : tile<512x512xf32>\n"
              "  %5 = softmax %4 : tile<512x512xf32>\n"
              "  %6 = load %v : tile<512x64xf32>\n"
              "  %7 = matmul %5, %6 : tile<512x64xf32>\n"
              "  store %o, %7\n"
              "}\n");
}

TEST(TileSugar, TakesNumbersAndParametersOnEitherSide) {
    Builder builder("k");
    const Param x = input(builder, "x", {I32, 4, 4});
    const Tile t = load(x);
    EXPECT_EQ((t + 1).value(), (x + 1).value());
    EXPECT_EQ((2 - t).value(), (2 - x).value());
    EXPECT_EQ((x * x).value(), (t * t).value());
    EXPECT_EQ((-t).value(), neg(x).value());
    EXPECT_EQ((t < 3).type().dtype, DType::Mask);
    EXPECT_EQ((1 >= t).type().dtype, DType::Mask);
    EXPECT_EQ((cast(x, F32) / 2.5f).type(), (kernel::TileType{F32, 4, 4}));
    EXPECT_EQ(where(t > 0, 1, 0).type(), (kernel::TileType{I32, 4, 4}));
}

TEST(TileSugar, LoopsAndWindows) {
    Builder builder("k");
    const Param x = in_out(builder, "x", {F32, 8, 4});
    const Tile n = scalar(builder, "n", I32);
    const std::vector<Tile> sums =
        fori_loop(0, n, {0.0}, [&](const Tile &i, const std::vector<Tile> &carries) {
            const Tile row = load(x, i, 0, 1, 4);
            const Tile moved = row + column_index(builder, 4);
            store(x, moved, 7 - i, 0);
            return std::vector<Tile>{carries[0] + rowsum(row)};
        });
    const Tile all = broadcast(sums[0], 8, 4);
    store(x, all * row_index(builder, 8));
    EXPECT_EQ(builder.finish()->str(),
              "kernel @k(%x: inout tile<8x4xf32>, %n: scalar<i32>) {\n"
              "  %0 = constant {dtype = \"i32\", value = 0} : tile<1x1xi32>\n"
              "  %1 = constant {dtype = \"f32\", value = 0.0} : tile<1x1xf32>\n"
              "  %2 = fori_loop %0, %n, %1 do (%3, %4) {\n"
              "    %5 = load %x, %3, %0 {columns = [4], rows = [1]} : tile<1x4xf32>\n"
              "    %6 = column_index {columns = [4], rows = [1]} : tile<1x4xi32>\n"
              "    %7 = add %5, %6 : tile<1x4xf32>\n"
              "    %8 = constant {dtype = \"i32\", value = 7} : tile<1x1xi32>\n"
              "    %9 = sub %8, %3 : tile<1x1xi32>\n"
              "    store %x, %7, %9, %0\n"
              "    %10 = rowsum %5 : tile<1x1xf32>\n"
              "    %11 = add %4, %10 : tile<1x1xf32>\n"
              "    yield %11\n"
              "  }\n"
              "  %12 = broadcast %2 {columns = [4], rows = [8]} : tile<8x4xf32>\n"
              "  %13 = row_index {columns = [1], rows = [8]} : tile<8x1xi32>\n"
              "  %14 = mul %12, %13 : tile<8x4xf32>\n"
              "  store %x, %14\n"
              "}\n");
}

TEST(TileSugar, MasksPrintsAndLargeNumbers) {
    Builder builder("k");
    const Param x = input(builder, "x", {DType::U64, 1, 4});
    const Param y = output(builder, "y", {DType::U64, 1, 4});
    const Tile few = column_index(builder, 4) < 2;
    const Tile some = load_masked(x, few);
    print(some, "some", {"k.cpp", 3});
    print(x, "", {"k.cpp", 4});
    store_masked(y, some + ~uint64_t{0}, few);
    EXPECT_EQ(builder.finish()->str(),
              "kernel @k(%x: in tile<1x4xu64>, %y: out tile<1x4xu64>) {\n"
              "  %0 = column_index {columns = [4], rows = [1]} : tile<1x4xi32>\n"
              "  %1 = constant {dtype = \"i32\", value = 2} : tile<1x1xi32>\n"
              "  %2 = lt %0, %1 : tile<1x4xmask>\n"
              "  %3 = load %x : tile<1x4xu64>\n"
              "  %4 = constant {dtype = \"u64\", value = 0} : tile<1x1xu64>\n"
              "  %5 = where %2, %3, %4 : tile<1x4xu64>\n"
              "  print %5 {label = \"some\", place = \"k.cpp:3\"}\n"
              "  print %3 {label = \"x\", place = \"k.cpp:4\"}\n"
              "  %6 = constant {dtype = \"i64\", value = -1} : tile<1x1xi64>\n"
              "  %7 = cast %6 {dtype = \"u64\"} : tile<1x1xu64>\n"
              "  %8 = add %5, %7 : tile<1x4xu64>\n"
              "  store_masked %y, %8, %2\n"
              "}\n");
}

TEST(TileSugar, WindowsUnderAMask) {
    Builder builder("k");
    const Param x = in_out(builder, "x", {F32, 4, 8});
    const Tile rows = row_index(builder, 2) < 1;
    store_masked(x, load_masked(x, rows, 0, 4, 2, 4) + 1, rows, 2, 0);
    const std::string text = builder.finish()->str();
    EXPECT_NE(text.find("load %x, %3, %4 {columns = [4], rows = [2]}"), std::string::npos) << text;
    EXPECT_NE(text.find("store_masked %x"), std::string::npos) << text;
    EXPECT_EQ(kernel::parse_tile_program(text)->str(), text);
}

template <class Error, class Run> Loc error_place(Run run) {
    try {
        run();
    } catch (const Error &error) {
        return error.at();
    }
    return {};
}

TEST(TileSugar, NamesTheCallersLine) {
    Builder builder("k");
    const Tile a = load(input(builder, "a", {F32, 4, 4}));
    const Tile b = load(input(builder, "b", {F32, 4, 3}));
    const auto here = [](int line) { return Loc{__FILE__, line}; };
    EXPECT_EQ(error_place<TypeCheckError>([&] { add(a, b); }), here(__LINE__));
    EXPECT_EQ(error_place<TypeCheckError>([&] { a + b; }), here(__LINE__));
    EXPECT_EQ(error_place<TypeCheckError>([&] { (a < 1) * 2; }), here(__LINE__));
    EXPECT_EQ(error_place<TypeCheckError>([&] { 2 * (a < 1); }), here(__LINE__));
    EXPECT_EQ(error_place<TypeCheckError>([&] { matmul(a, b, {.trans_b = true}); }),
              here(__LINE__ - 1));
}

TEST(TileSugar, RefusesTilesOfOtherKernels) {
    Builder one("one");
    Builder two("two");
    const Tile a = load(input(one, "a", {F32, 4, 4}));
    const Tile b = load(input(two, "b", {F32, 4, 4}));
    EXPECT_EQ(
        expect_error<TypeCheckError>([&] { a + b; }, "a tile of one kernel is used in another"),
        "pass tiles between kernels through tensors");
    EXPECT_EQ(expect_error<TypeCheckError>([&] { exp(2.0); }, "exp: no operand is a tile"),
              "make one of them a tile: constant(builder, value, dtype)");
}

}  // namespace
}  // namespace pto::wsp::tile
