#include "pto/wsp/schedule/outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pto::wsp::schedule {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Outline outline_of(const std::string &text) {
    return outline(*kernel::parse_tile_program(text));
}

const Region &region(const Outline &outline, size_t statement) {
    return std::get<Region>(outline.statements[statement].kind);
}

TEST(Outline, FuncsHaveStableNamesRolesAndDims) {
    Outline o = outline_of(
        R"(kernel @mm(%a: in tile<32x16xf32>, %b: in tile<16x8xf32>, %y: out tile<32x8xf32>) {
  %0 = load %a : tile<32x16xf32>
  %1 = load %b : tile<16x8xf32>
  %2 = matmul %0, %1 : tile<32x8xf32>
  store %y, %2
}
)");
    EXPECT_THAT(o.func_names(),
                ElementsAre("load0", "load1", "matmul0.b", "matmul0.sum", "matmul0", "store0"));
    const FuncOutline *sum = o.find("matmul0.sum");
    ASSERT_NE(sum, nullptr);
    EXPECT_EQ(sum->role, FuncRole::Sum);
    EXPECT_EQ(sum->reduction, Affine(16));
    EXPECT_THAT(sum->dims(), ElementsAre("rows", "columns", "k"));
    EXPECT_THAT(sum->reads, UnorderedElementsAre("load0", "matmul0.b"));
    EXPECT_THAT(o.find("matmul0.b")->reads, ElementsAre("load1"));
    EXPECT_EQ(o.find("matmul0.b")->rows, Affine(16));
    EXPECT_TRUE(o.find("store0")->is_root());
    EXPECT_FALSE(sum->is_root());
    EXPECT_EQ(o.find("matmul1"), nullptr);
}

TEST(Outline, ProbesForNaNAreReadByWhoReadsTheExtreme) {
    Outline o = outline_of(R"(kernel @top(%x: in tile<8x16xf32>, %y: out tile<8x1xf32>) {
  %0 = load %x : tile<8x16xf32>
  %1 = rowmax %0 : tile<8x1xf32>
  store %y, %1
}
)");
    EXPECT_EQ(o.find("rowmax0.nan")->role, FuncRole::Probe);
    EXPECT_THAT(o.find("store0")->reads, UnorderedElementsAre("rowmax0", "rowmax0.nan"));
    EXPECT_THAT(o.find("rowmax0")->reads, ElementsAre("load0"));
}

TEST(Outline, ElementwiseUpdatesAreInPlace) {
    Outline o = outline_of(R"(kernel @add(%x: in tile<8x16xf32>, %z: inout tile<8x16xf32>) {
  %0 = load %x : tile<8x16xf32>
  %1 = load %z : tile<8x16xf32>
  %2 = add %0, %1 : tile<8x16xf32>
  store %z, %2
}
)");
    EXPECT_THAT(o.in_place, ElementsAre(false, true));
    EXPECT_EQ(o.statements.size(), 1u);
    EXPECT_THAT(o.scratch, IsEmpty());
}

TEST(Outline, UpdatesOfWholeRowsReadACopy) {
    Outline o = outline_of(R"(kernel @norm(%z: inout tile<8x16xf32>) {
  %0 = load %z : tile<8x16xf32>
  %1 = rowsum %0 : tile<8x1xf32>
  %2 = div %0, %1 : tile<8x16xf32>
  store %z, %2
}
)");
    EXPECT_THAT(o.in_place, ElementsAre(false));
    ASSERT_EQ(o.scratch.size(), 2u);
    EXPECT_THAT(o.func_names(), Contains("load0.out"));
    EXPECT_THAT(o.func_names(), Contains("div0.out"));
    EXPECT_THAT(o.copied_load, ElementsAre(true, false, false, false));
    ASSERT_EQ(o.statements.size(), 2u);
    EXPECT_EQ(region(o, 0).outputs.size(), 2u);
    EXPECT_THAT(region(o, 1).stores, ElementsAre(3));
}

TEST(Outline, LoopsCarryTilesInTwoBuffers) {
    Outline o =
        outline_of(R"(kernel @sum(%x: in tile<8x16xf32>, %n: scalar<i32>, %y: out tile<8x16xf32>) {
  %0 = load %x : tile<8x16xf32>
  %1 = constant {dtype = "i32", value = 0} : tile<1x1xi32>
  %2 = fori_loop %1, %n, %0 do (%3, %4) {
    %5 = add %4, %0 : tile<8x16xf32>
    yield %5
  }
  store %y, %2
}
)");
    ASSERT_EQ(o.statements.size(), 3u);
    const auto &loop = std::get<CarriedLoop>(o.statements[1].kind);
    ASSERT_EQ(loop.carries.size(), 1u);
    EXPECT_NE(loop.carries[0].first, loop.carries[0].second);
    EXPECT_EQ(o.scratch[static_cast<size_t>(loop.carries[0].first)].name,
              "fori_loop0.carry0.first");
    EXPECT_FALSE(o.scratch[static_cast<size_t>(loop.carries[0].current)].owns_memory);
    EXPECT_EQ(loop.body.size(), 1u);
    EXPECT_NE(o.find("fori_loop0.init0"), nullptr);
    EXPECT_NE(o.find("fori_loop0.carry0"), nullptr);
}

}  // namespace
}  // namespace pto::wsp::schedule
