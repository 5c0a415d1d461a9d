#include "pto/wsp/kernel/builder.h"

#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/kernel_builder.h"
#include "pto/wsp/support/error.h"
#include "support/expect_error.h"

namespace pto::wsp::kernel {
namespace {

using ::testing::HasSubstr;

constexpr DType F16 = DType::F16, F32 = DType::F32, I32 = DType::I32;

size_t node_count(Builder &builder) {
    return builder.finish()->nodes.size();
}

TEST(Interning, MakesEqualOperationsOneNode) {
    TestKernel k;
    const Value x = k.x(4, 4);
    const Value a = k.op(Op::Exp, {x}, {}, 10);
    EXPECT_EQ(k.op(Op::Exp, {x}, {}, 11), a);
    EXPECT_EQ(k.b.where(a), TestKernel::line(10));
    EXPECT_EQ(k.op(Op::Matmul, {x, x}, {{"trans_a", false}}), k.op(Op::Matmul, {x, x}));
    EXPECT_NE(k.op(Op::Matmul, {x, x}, {{"trans_a", true}}), k.op(Op::Matmul, {x, x}));
    EXPECT_NE(k.op(Op::Sub, {x, a}), k.op(Op::Sub, {a, x}));
    EXPECT_EQ(k.b.constant(0.5, F32), k.b.constant(0.5, F32));
    EXPECT_NE(k.b.constant(0.0, F32), k.b.constant(-0.0, F32));
    const double nan = std::numeric_limits<double>::quiet_NaN();
    EXPECT_EQ(k.b.constant(nan, F32), k.b.constant(nan, F32));
    EXPECT_NE(k.b.constant(1, I32), k.b.constant(1, F32));
}

TEST(Interning, KeepsLoadsApartAcrossStores) {
    TestKernel k;
    const int x = k.tile("x", Direction::InOut, 4, 4);
    const int y = k.tile("y", Direction::InOut, 4, 4);
    const Value before = k.b.load(x);
    EXPECT_EQ(k.b.load(x), before);
    k.b.store(y, before);
    EXPECT_EQ(k.b.load(x), before);
    k.b.store(x, k.op(Op::Neg, {before}));
    const Value after = k.b.load(x);
    EXPECT_NE(after, before);
    EXPECT_EQ(k.b.load(x), after);
}

TEST(Interning, KeepsLoadsApartFromStoresOfEarlierIterations) {
    TestKernel k;
    const int x = k.tile("x", Direction::InOut, 4, 4);
    const int only_read = k.tile("r", Direction::InOut, 4, 4);
    const int input = k.in("i", 4, 4);
    const Value before = k.b.load(x);
    const Value read_before = k.b.load(only_read);
    const Value input_before = k.b.load(input);
    k.b.fori_loop(k.b.constant(0), k.b.constant(3), {}, [&](Value, const std::vector<Value> &) {
        EXPECT_EQ(k.b.load(input), input_before);
        const Value inside = k.b.load(x);
        EXPECT_NE(inside, before);
        k.b.store(x, k.op(Op::Exp, {inside}));
        EXPECT_NE(k.b.load(x), inside);
        return std::vector<Value>{};
    });
    EXPECT_NE(k.b.load(x), before);
    EXPECT_EQ(k.b.load(only_read), read_before);
    k.b.finish();
}

TEST(Interning, SeesEnclosingBlocksOnly) {
    TestKernel k;
    const Value x = k.x(4, 4);
    const Value outside = k.op(Op::Exp, {x});
    Value inside = -1;
    k.b.fori_loop(k.b.constant(0), k.b.constant(3), {}, [&](Value, const std::vector<Value> &) {
        EXPECT_EQ(k.op(Op::Exp, {x}), outside);
        inside = k.op(Op::Log, {x});
        return std::vector<Value>{};
    });
    EXPECT_NE(k.op(Op::Log, {x}), inside);
}

TEST(WeakConstant, TakesTheTypeThatItMeets) {
    TestKernel k;
    const Value half = k.x(4, 4, F16);
    const Value whole = k.x(4, 4, I32);
    EXPECT_EQ(k.type(k.op(Op::Mul, {half, k.b.constant(0.5)})).dtype, F16);
    EXPECT_EQ(k.type(k.op(Op::Mul, {k.b.constant(2), half})).dtype, F16);
    EXPECT_EQ(k.type(k.op(Op::Add, {whole, k.b.constant(2)})).dtype, I32);
    EXPECT_EQ(k.type(k.op(Op::Add, {k.b.constant(2), k.b.constant(3)})).dtype, I32);
    EXPECT_EQ(k.type(k.op(Op::Add, {k.b.constant(2), k.b.constant(0.5)})).dtype, F32);
    const Value mask = k.op(Op::Lt, {half, k.b.constant(0)});
    EXPECT_EQ(k.type(k.op(Op::Where, {mask, half, k.b.constant(0)})).dtype, F16);
    EXPECT_EQ(k.type(k.op(Op::Where, {mask, k.b.constant(1), k.b.constant(0)})).dtype, I32);
    EXPECT_EQ(k.type(k.op(Op::Where, {mask, k.b.constant(1), k.b.constant(0.5)})).dtype, F32);
    EXPECT_EQ(k.type(k.op(Op::CausalMask, {half, k.b.constant(3)})).dtype, F16);
    EXPECT_EQ(k.type(k.op(Op::Exp, {k.b.constant(0.5)})).dtype, F32);
    EXPECT_EQ(k.type(k.b.constant(2)), (TileType{I32, 1, 1}));
    EXPECT_EQ(k.type(k.b.constant(2.0)), (TileType{F32, 1, 1}));
}

TEST(WeakConstant, IsRoundedToTheTypeThatItMeets) {
    TestKernel k;
    k.op(Op::Mul, {k.x(4, 4, F16), k.b.constant(0.1)});
    EXPECT_THAT(k.b.finish()->str(),
                HasSubstr("constant {dtype = \"f16\", value = 0.0999755859375}"));
}

TEST(WeakConstant, IsNoNodeUntilItIsUsed) {
    TestKernel k;
    k.b.constant(0.5);
    EXPECT_EQ(node_count(k.b), 0U);
}

TEST(WeakConstant, RefusesIntegersTilesThatCannotHoldIt) {
    TestKernel k;
    const Value whole = k.x(4, 4, I32);
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      k.op(Op::Mul, {whole, k.b.constant(0.5)});
                  },
                  "mul: 0.5 is no i32"),
              "cast the tile to F32 first");
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      k.op(Op::Mul, {whole, k.b.constant(2.0)});
                  },
                  "mul: 2.0 is no i32"),
              "cast the tile to F32 first");
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      k.op(Op::Add, {whole, k.b.constant(int64_t{1} << 31)});
                  },
                  "add: 2147483648 is no i32"),
              "I32 has the integers from -2147483648 to 2147483647");
    expect_error<TypeCheckError>([&] { k.b.constant(~uint64_t{0}, DType::I64); },
                                 "constant: 18446744073709551615 is no i64");
    expect_error<TypeCheckError>([&] { k.b.constant(1.5, I32); }, "constant: 1.5 is no i32");
}

TEST(Parameter, IsChecked) {
    TestKernel k;
    k.in("x", 4, 4);
    expect_error<TypeCheckError>([&] { k.in("x", 4, 4); }, "k: there are two parameters 'x'");
    EXPECT_EQ(expect_error<TypeCheckError>([&] { k.in("a b", 4, 4); },
                                           "k: a parameter cannot be called \"a b\""),
              "names have the letters A-Z a-z, digits, and _");
    expect_error<TypeCheckError>([&] { k.in("y", -4, 4); },
                                 "k: parameter 'y': rows is -4, must be in [0, 2147483647]");
    expect_error<TypeCheckError>([&] { k.b.scalar(0); }, "k: parameter number 0 is no scalar");
    expect_error<TypeCheckError>([&] { k.b.param_info(7); }, "k: there is no parameter number 7");
    k.b.fori_loop(k.b.constant(0), k.b.constant(1), {}, [&](Value, const std::vector<Value> &) {
        expect_error<CompileError>([&] { k.in("z", 4, 4); },
                                   "k: parameter 'z' is declared in the body of a loop");
        return std::vector<Value>{};
    });
}

TEST(Load, ChecksItsWindow) {
    TestKernel k;
    const int x = k.in("x", 8, 64);
    const Value n = k.scalar("n", I32);
    const Value zero = k.b.constant(0);
    EXPECT_EQ(k.type(k.b.load(x, n, zero, 4, 64)), (TileType{F32, 4, 64}));
    expect_error<TypeCheckError>([&] { k.b.load(x, k.b.constant(6), zero, 4, 4); },
                                 "load: the window [4, 4] at (6, 0) leaves 'x', which is [8, 64]");
    expect_error<TypeCheckError>([&] { k.b.load(x, n, k.b.constant(-1), 4, 4); },
                                 "load: the window [4, 4] at (?, -1) leaves 'x', which is [8, 64]");
    expect_error<TypeCheckError>([&] { k.b.load(x, n, n, 9, 4); },
                                 "load: the window [9, 4] at (?, ?) leaves 'x', which is [8, 64]");
    expect_error<TypeCheckError>([&] { k.b.load(x, k.b.constant(0.5), zero, 4, 4); },
                                 "load: 0.5 is no i32");
    expect_error<TypeCheckError>([&] { k.b.load(x, k.scalar("f", F32), zero, 4, 4); },
                                 "load: row is Tile[1, 1, F32], expected an i32 scalar");
    expect_error<TypeCheckError>([&] { k.b.load(1, n, n, 4, 4); },
                                 "load: 'n' is a scalar, not a tile");
    expect_error<TypeCheckError>([&] { k.b.load(9); }, "load: there is no parameter number 9");
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::Load, {n}, {{"param", int64_t{x}}});
        },
        "load: a window has rows and columns");
}

TEST(Load, KnowsWindowsOfSymbolicTiles) {
    TestKernel k;
    const Affine n = Affine::variable("N");
    const int x = k.in("x", n, 64);
    const Value one = k.b.constant(1);
    k.b.load(x, one, k.b.constant(0), n - 1, 64);
    expect_error<TypeCheckError>([&] { k.b.load(x, one, one, n, 4); },
                                 "load: the window [N, 4] at (1, 1) leaves 'x', which is [N, 64]");
}

TEST(Store, ChecksDirectionTypeAndShape) {
    TestKernel k;
    const int x = k.in("x", 4, 4);
    const int y = k.out("y", 4, 4);
    const int z = k.out("z", 4, 4, I32);
    const Value loaded = k.b.load(x);
    EXPECT_EQ(expect_error<TypeCheckError>([&] { k.b.store(x, loaded); }, "store: 'x' is an input"),
              "declare it Out or InOut");
    EXPECT_EQ(expect_error<TypeCheckError>([&] { k.b.store(z, loaded); },
                                           "store: 'z' holds i32, the value is f32"),
              "cast it first: cast(x, I32)");
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      k.b.store(y, k.op(Op::Lt, {loaded, loaded}));
                  },
                  "store: 'y' holds f32, the value is mask"),
              "where(mask, a, b) makes numbers of a mask");
    EXPECT_EQ(expect_error<TypeCheckError>([&] { k.b.store(y, k.op(Op::Rowsum, {loaded})); },
                                           "store: 'y' is [4, 4], the value is [4, 1]"),
              "broadcast repeats a value; a window is stored at an offset");
    expect_error<TypeCheckError>([&] { k.b.store(y, loaded, k.b.constant(1), k.b.constant(0)); },
                                 "store: the window [4, 4] at (1, 0) leaves 'y', which is [4, 4]");
    k.b.store(y, k.op(Op::Cast, {loaded}, {{"dtype", std::string("f16")}}));
    k.b.store(z, k.b.constant(7));
    k.b.finish();
}

TEST(Store, RepeatsNumbers) {
    TestKernel k;
    k.b.store(k.out("y", 4, 8, F16), k.b.constant(0));
    EXPECT_EQ(k.b.finish()->str(),
              "kernel @k(%y: out tile<4x8xf16>) {\n"
              "  %0 = constant {dtype = \"f16\", value = 0.0} : tile<1x1xf16>\n"
              "  %1 = broadcast %0 {columns = [8], rows = [4]} : tile<4x8xf16>\n"
              "  store %y, %1\n"
              "}\n");
}

TEST(ForiLoop, CarriesTiles) {
    TestKernel k;
    const int y = k.out("y", 4, 4);
    const Value x = k.x(4, 4);
    std::vector<Value> sums = k.b.fori_loop(
        k.b.constant(0), k.scalar("n", I32), {x, k.b.constant(0.0)},
        [&](Value index, const std::vector<Value> &carries) {
            EXPECT_EQ(k.type(index), (TileType{I32, 1, 1}));
            const Value step = k.op(Op::Cast, {index}, {{"dtype", std::string("f32")}});
            return std::vector<Value>{k.op(Op::Add, {carries[0], step}), k.b.constant(1)};
        });
    ASSERT_EQ(sums.size(), 2U);
    k.b.store(y, k.op(Op::Add, {sums[0], sums[1]}));
    EXPECT_EQ(k.b.finish()->str(),
              "kernel @k(%y: out tile<4x4xf32>, %x0: in tile<4x4xf32>, %n: scalar<i32>) {\n"
              "  %0 = load %x0 : tile<4x4xf32>\n"
              "  %1 = constant {dtype = \"i32\", value = 0} : tile<1x1xi32>\n"
              "  %2 = constant {dtype = \"f32\", value = 0.0} : tile<1x1xf32>\n"
              "  %3, %4 = fori_loop %1, %n, %0, %2 do (%5, %6, %7) {\n"
              "    %8 = cast %5 {dtype = \"f32\"} : tile<1x1xf32>\n"
              "    %9 = add %6, %8 : tile<4x4xf32>\n"
              "    %10 = constant {dtype = \"f32\", value = 1.0} : tile<1x1xf32>\n"
              "    yield %9, %10\n"
              "  }\n"
              "  %11 = add %3, %4 : tile<4x4xf32>\n"
              "  store %y, %11\n"
              "}\n");
}

TEST(ForiLoop, RefusesValuesOfItsBodyOutside) {
    TestKernel k;
    const Value x = k.x(4, 4);
    Value inside = -1;
    k.b.fori_loop(k.b.constant(0), k.b.constant(3), {}, [&](Value, const std::vector<Value> &) {
        inside = k.op(Op::Exp, {x});
        return std::vector<Value>{};
    });
    EXPECT_EQ(expect_error<TypeCheckError>([&] { k.op(Op::Neg, {inside}); },
                                           "neg: a value of a loop's body is used after the loop"),
              "carry it: fori_loop gives what the last iteration returned");
    expect_error<TypeCheckError>([&] { k.op(Op::Neg, {1000}); },
                                 "neg: an operand is no value of kernel 'k'");
    expect_error<TypeCheckError>([&] { k.op(Op::Neg, {-1000}); },
                                 "neg: an operand is no value of kernel 'k'");
}

TEST(ForiLoop, ChecksBoundsAndCarries) {
    TestKernel k;
    const Value x = k.x(4, 4);
    const Value zero = k.b.constant(0);
    auto loop = [&](Value lo, Value hi, std::vector<Value> carries, std::vector<Value> yields) {
        k.b.fori_loop(
            lo, hi, std::move(carries), [&](Value, const std::vector<Value> &) { return yields; },
            TestKernel::line(20));
    };
    expect_error<TypeCheckError>([&] { loop(x, zero, {}, {}); },
                                 "fori_loop: lo is Tile[4, 4, F32], expected an i32 scalar");
    expect_error<TypeCheckError>([&] { loop(zero, k.b.constant(1.5), {}, {}); },
                                 "fori_loop: 1.5 is no i32");
    expect_error<TypeCheckError>([&] { loop(zero, zero, {x}, {}); },
                                 "fori_loop: the body carries 1 values and returned 0");
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      loop(zero, zero, {x, k.b.constant(0)}, {x, k.op(Op::Rowsum, {x})});
                  },
                  "fori_loop: carry 1 is Tile[1, 1, I32] before the loop and Tile[4, 1, F32] after "
                  "an iteration"),
              "start with a tile of that type, or cast what the body returns");
}

TEST(ForiLoop, LeavesNothingWhenItsBodyThrows) {
    TestKernel k;
    const int y = k.tile("y", Direction::InOut, 4, 4);
    const Value x = k.x(4, 4);
    const Value before = k.b.load(y);
    auto broken = [&](Value, const std::vector<Value> &) -> std::vector<Value> {
        k.b.store(y, k.op(Op::Exp, {x}));
        k.b.fori_loop(k.b.constant(0), k.b.constant(3), {x},
                      [&](Value, const std::vector<Value> &) -> std::vector<Value> {
                          throw std::runtime_error("user code");
                      });
        return {};
    };
    EXPECT_THROW(k.b.fori_loop(k.b.constant(0), k.b.constant(3), {x}, broken), std::runtime_error);
    EXPECT_EQ(k.b.load(y), before);
    k.b.store(y, k.op(Op::Exp, {x}));
    auto program = k.b.finish();
    EXPECT_EQ(program->blocks.size(), 1U);
    EXPECT_THAT(program->str(),
                HasSubstr("{\n"
                          "  %0 = load %x0 : tile<4x4xf32>\n"
                          "  %1 = load %y : tile<4x4xf32>\n"
                          "  %2 = constant {dtype = \"i32\", value = 0} : tile<1x1xi32>\n"
                          "  %3 = constant {dtype = \"i32\", value = 3} : tile<1x1xi32>\n"
                          "  %4 = exp %0 : tile<4x4xf32>\n"
                          "  store %y, %4\n"
                          "}\n"));
}

TEST(ForiLoop, BoundsItsNesting) {
    TestKernel k;
    std::function<std::vector<Value>(Value, const std::vector<Value> &)> deeper =
        [&](Value, const std::vector<Value> &) -> std::vector<Value> {
        k.b.fori_loop(k.b.constant(0), k.b.constant(1), {}, deeper);
        return {};
    };
    expect_error<CompileError>([&] { k.b.fori_loop(k.b.constant(0), k.b.constant(1), {}, deeper); },
                               "fori_loop: loops nest deeper than 64");
}

TEST(Finish, EndsTheBuilder) {
    TestKernel k;
    const Value x = k.x(4, 4);
    k.b.finish();
    expect_error<CompileError>([&] { k.op(Op::Exp, {x}); },
                               "kernel 'k' is finished: nothing can be added to it");
    expect_error<CompileError>([&] { k.b.finish(); },
                               "kernel 'k' is finished: nothing can be added to it");
    expect_error<CompileError>([&] { k.b.constant(1); },
                               "kernel 'k' is finished: nothing can be added to it");
}

TEST(Finish, RefusesToReadOutputsBeforeTheyAreWritten) {
    TestKernel k;
    const int y = k.out("y", 4, 4);
    k.b.load(y, TestKernel::line(12));
    EXPECT_EQ(
        expect_error<TypeCheckError>(
            [&] { k.b.finish(); }, "load: the output 'y' is read before anything is stored to it"),
        "declare it InOut to read what it held before");
}

}  // namespace
}  // namespace pto::wsp::kernel
