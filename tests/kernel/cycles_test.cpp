#include "pto/wsp/kernel/cycles.h"

#include <gtest/gtest.h>

#include "pto/wsp/kernel/tile.h"

/// Figures of the model's table, counted by hand.
namespace pto::wsp::kernel {
namespace {

constexpr DType F16 = DType::F16, F32 = DType::F32, I32 = DType::I32, U32 = DType::U32;

struct Kernel {
    Builder b{"k"};
    tile::Param x = tile::input(b, "x", {F32, 4, 8});
    tile::Param y = tile::output(b, "y", {F32, 4, 8});

    int64_t cycles() {
        const Cycles made = kernel::cycles(*b.finish());
        EXPECT_EQ(made.unknown, "");
        return made.cycles;
    }
};

TEST(Cycles, AParameterThatIsAnOperandCountsOnce) {
    Kernel k;
    tile::store(k.y, tile::exp(k.x) + k.x);
    EXPECT_EQ(k.cycles(), 32 + 32 + 32 + 32);  // x, exp, add, store
}

TEST(Cycles, ALoadCountsAsItself) {
    Kernel k;
    tile::store(k.y, tile::exp(tile::load(k.x)));
    EXPECT_EQ(k.cycles(), 32 + 32 + 32);  // load, exp, store
}

TEST(Cycles, ALoadAndAnOperandAreTwo) {
    Kernel k;
    tile::store(k.y, tile::load(k.x) + k.x);
    EXPECT_EQ(k.cycles(), 32 + 32 + 32 + 32);  // load, x, add, store
}

TEST(Cycles, AStoredParameterIsAnOperand) {
    Kernel k;
    tile::store(k.y, k.x);
    EXPECT_EQ(k.cycles(), 32 + 32);
}

TEST(Cycles, AReadProgramHasTheLoadsThatItShows) {
    Kernel k;
    tile::store(k.y, tile::exp(k.x) + k.x);
    const auto read = parse_tile_program(k.b.finish()->str());
    EXPECT_EQ(cycles(*read).cycles, 32 + 32 + 32 + 32);  // load, exp, add, store
}

/// a[4, 8] @ b[8, 16]
struct Product {
    Builder b{"k"};
    tile::Param a = tile::input(b, "a", {F32, 4, 8});
    tile::Param c = tile::input(b, "b", {F32, 8, 16});
    tile::Param y = tile::output(b, "y", {F32, 4, 16});
    static constexpr int64_t product = 4 * 8 + 8 * 16 + 4 * 8 * 16;
};

TEST(Cycles, AProductReadsItsOperands) {
    Product k;
    tile::store(k.y, tile::matmul(k.a, k.c));
    EXPECT_EQ(cycles(*k.b.finish()).cycles, Product::product + 64);
}

TEST(Cycles, AProductThatIsUsedIsWritten) {
    Product k;
    tile::store(k.y, tile::exp(tile::matmul(k.a, k.c)));
    EXPECT_EQ(cycles(*k.b.finish()).cycles, Product::product + 64 + 64 + 64);
}

TEST(Cycles, AProductOfAProductIsNot) {
    Product k;
    const tile::Tile first = tile::matmul(k.a, k.c);
    tile::store(k.y, tile::matmul(tile::matmul(first, first, {.trans_b = true}), first));
    const int64_t second = 4 * 16 + 16 * 4 + 4 * 16 * 4;
    const int64_t third = 4 * 4 + 4 * 16 + 4 * 4 * 16;
    EXPECT_EQ(cycles(*k.b.finish()).cycles, Product::product + second + third + 64);
}

TEST(Cycles, ReductionsGiveTheirLength) {
    Kernel k;
    tile::store(k.y, tile::load(k.x) + tile::rowsum(tile::load(k.x)) +
                         tile::rowmean(tile::load(k.x)) + tile::colmax(tile::load(k.x)));
    EXPECT_EQ(k.cycles(), 32 + 4 + 32 + 2 * 4 + 32 + 8 + 32 + 32);
}

TEST(Cycles, AStoreThatNarrowsCountsTwice) {
    for (const auto &[to, times] : {std::pair{F16, 2}, {DType::BF16, 2}, {F32, 1}}) {
        Builder b("k");
        const tile::Param x = tile::input(b, "x", {F32, 4, 8});
        const tile::Param y = tile::output(b, "y", {to, 4, 8});
        tile::store(y, tile::load(x));
        EXPECT_EQ(cycles(*b.finish()).cycles, 32 + times * 32) << info(to).name;
    }
}

TEST(Cycles, SortingAndConstants) {
    Builder b("k");
    const tile::Param x = tile::input(b, "x", {F32, 1, 32});
    const tile::Param y = tile::output(b, "y", {U32, 1, 8});
    const tile::Tile pairs = tile::tsort32(tile::load(x), tile::iota_u32(b, 32));
    tile::store(y, tile::extract_topk_indices(pairs, 8));
    EXPECT_EQ(cycles(*b.finish()).cycles, 32 + 160 + 8);
}

TEST(Cycles, WhatAPrimitiveIsMadeOfIsNotCounted) {
    Kernel k;
    k.b.store(k.y.index(), k.b.constant(0.0));
    EXPECT_EQ(k.cycles(), 32);
}

TEST(Cycles, ALoopCountsItsBodyAsOftenAsItRuns) {
    Builder b("k");
    const tile::Param x = tile::input(b, "x", {F32, 4, 8});
    const int n = b.param({"n", Param::Kind::Scalar, Direction::In, {I32, 1, 1}, {}});
    const tile::Param y = tile::output(b, "y", {F32, 4, 8});
    const Value start = b.load(x.index());
    const Value end = b.op(Op::Mul, {b.scalar(n), b.constant(2)});
    const std::vector<Value> last =
        b.fori_loop(b.constant(1, I32), end, {start}, [&](Value, const std::vector<Value> &c) {
            return std::vector<Value>{b.op(Op::Exp, {c[0]})};
        });
    b.store(y.index(), last[0]);
    const auto program = b.finish();
    EXPECT_EQ(cycles(*program, {}, {std::nullopt, 3}).cycles, 32 + 1 + 5 * 32 + 32);
    EXPECT_EQ(cycles(*program, {}, {std::nullopt, 0}).cycles, 32 + 1 + 32);
    const Cycles open = cycles(*program);
    EXPECT_EQ(open.unknown.rfind("the bounds of a loop in kernel 'k' (", 0), 0U) << open.unknown;
}

TEST(Cycles, SymbolsHaveValues) {
    Builder b("k");
    const Affine n = Affine::variable("N");
    const tile::Param x = tile::input(b, "x", {F32, n, 8});
    const tile::Param y = tile::output(b, "y", {F32, n, 8});
    tile::store(y, tile::exp(tile::load(x)));
    const auto program = b.finish();
    EXPECT_EQ(cycles(*program, {{"N", 5}}).cycles, 3 * 40);
    EXPECT_EQ(cycles(*program).unknown, "the size N in kernel 'k' is not known");
}

}  // namespace
}  // namespace pto::wsp::kernel
