#include "pto/wsp/kernel/evaluate.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "kernel/kernel_builder.h"
#include "kernel/random_program.h"
#include "support/expect_error.h"

namespace pto::wsp::kernel {
namespace {

constexpr DType F16 = DType::F16, BF16 = DType::BF16, F32 = DType::F32, I32 = DType::I32;
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double largest = std::numeric_limits<int32_t>::max();
constexpr double smallest = std::numeric_limits<int32_t>::min();

using Rows = std::vector<std::vector<double>>;

/// A literal tile.
struct Tile {
    DType dtype;
    Rows rows;

    int64_t height() const { return static_cast<int64_t>(rows.size()); }
    int64_t width() const { return rows.empty() ? 0 : static_cast<int64_t>(rows[0].size()); }
};

TensorView tensor(const Tile &tile) {
    return filled_tensor(tile.height(), tile.width(), tile.dtype, [&](int64_t r, int64_t c) {
        return tile.rows[static_cast<size_t>(r)][static_cast<size_t>(c)];
    });
}

Rows rows_of(const TensorView &view) {
    Rows rows(static_cast<size_t>(view.shape[0]));
    for (int64_t i = 0; i < element_count(view.shape); ++i) {
        rows[static_cast<size_t>(i / view.shape[1])].push_back(element_of(view, i));
    }
    return rows;
}

void expect_rows(const Rows &actual, const Rows &expected, const std::string &what) {
    ASSERT_EQ(actual.size(), expected.size()) << what;
    for (size_t r = 0; r < expected.size(); ++r) {
        ASSERT_EQ(actual[r].size(), expected[r].size()) << what;
        for (size_t c = 0; c < expected[r].size(); ++c) {
            bool same = std::isnan(expected[r][c]) ? std::isnan(actual[r][c])
                                                   : actual[r][c] == expected[r][c];
            EXPECT_TRUE(same) << what << " at (" << r << ", " << c << "): " << actual[r][c]
                              << ", expected " << expected[r][c];
        }
    }
}

/// What one operation gives for literal operands. A mask is stored as 1 and 0.
Rows result(Op op, const std::vector<Tile> &operands, Attributes attributes = {}) {
    TestKernel k;
    std::vector<Argument> arguments;
    std::vector<Value> values;
    for (const Tile &operand : operands) {
        values.push_back(k.x(operand.height(), operand.width(), operand.dtype));
        arguments.emplace_back(tensor(operand));
    }
    if (op == Op::Where) {
        values[0] = k.op(Op::Ne, {values[0], k.b.constant(0)});
    }
    Value made = k.op(op, values, std::move(attributes));
    if (k.type(made).dtype == DType::Mask) {
        made = k.op(Op::Cast, {made}, {{"dtype", std::string("i32")}});
    }
    const TileType type = k.type(made);
    k.b.store(k.out("out", type.rows, type.columns, type.dtype), made);
    TensorView out = filled_tensor(*type.rows.as_constant(), *type.columns.as_constant(),
                                   type.dtype, [](int64_t, int64_t) { return 77; });
    arguments.emplace_back(out);
    evaluate(*k.b.finish(), arguments);
    return rows_of(out);
}

void expect(Op op, const std::vector<Tile> &operands, const Rows &expected,
            Attributes attributes = {}) {
    expect_rows(result(op, operands, std::move(attributes)), expected, name(op));
}

Attributes size(int64_t rows, int64_t columns) {
    return {{"rows", Affine(rows)}, {"columns", Affine(columns)}};
}

Attributes dtype(const char *name) {
    return {{"dtype", std::string(name)}};
}

TEST(Reference, Arithmetic) {
    const Tile a{F32, {{1, -2, 0.5}, {4, 8, -0.0}}};
    const Tile b{F32, {{3, 5, 2}, {-1, 0.25, 7}}};
    expect(Op::Add, {a, b}, {{4, 3, 2.5}, {3, 8.25, 7}});
    expect(Op::Sub, {a, b}, {{-2, -7, -1.5}, {5, 7.75, -7}});
    expect(Op::Mul, {a, b}, {{3, -10, 1}, {-4, 2, 0}});
    expect(Op::Div, {a, {F32, {{2, 4, 0}, {8, -2, 0}}}}, {{0.5, -0.5, infinity}, {0.5, -4, nan}});
    expect(Op::Maximum, {a, b}, {{3, 5, 2}, {4, 8, 7}});
    expect(Op::Minimum, {a, b}, {{1, -2, 0.5}, {-1, 0.25, 0}});
    expect(Op::Neg, {a}, {{-1, 2, -0.5}, {-4, -8, 0}});
    expect(Op::Abs, {a}, {{1, 2, 0.5}, {4, 8, 0}});
    expect(Op::Relu, {a}, {{1, 0, 0.5}, {4, 8, 0}});
}

TEST(Reference, BroadcastsEitherSide) {
    const Tile tile{F32, {{1, 2, 3}, {4, 5, 6}}};
    const Tile column{F32, {{10}, {20}}};
    const Tile row{F32, {{1, 2, 3}}};
    const Tile scalar{F32, {{100}}};
    expect(Op::Add, {tile, column}, {{11, 12, 13}, {24, 25, 26}});
    expect(Op::Sub, {column, tile}, {{9, 8, 7}, {16, 15, 14}});
    expect(Op::Sub, {row, tile}, {{0, 0, 0}, {-3, -3, -3}});
    expect(Op::Sub, {tile, scalar}, {{-99, -98, -97}, {-96, -95, -94}});
    expect(Op::Mul, {column, row}, {{10, 20, 30}, {20, 40, 60}});
    expect(Op::Broadcast, {column}, {{10, 10}, {20, 20}}, size(2, 2));
    expect(Op::Broadcast, {row}, {{1, 2, 3}, {1, 2, 3}}, size(2, 3));
}

TEST(Reference, PropagatesNan) {
    const Tile a{F32, {{nan, 1, nan, infinity}}};
    const Tile b{F32, {{1, nan, nan, -infinity}}};
    expect(Op::Maximum, {a, b}, {{nan, nan, nan, infinity}});
    expect(Op::Minimum, {a, b}, {{nan, nan, nan, -infinity}});
    expect(Op::Relu, {a}, {{nan, 1, nan, infinity}});
    expect(Op::Rowmax, {{F32, {{1, nan, 3}, {1, 2, 3}}}}, {{nan}, {3}});
    expect(Op::Rowmin, {{F32, {{1, nan, 3}, {1, 2, 3}}}}, {{nan}, {1}});
    expect(Op::Rowsum, {{F32, {{infinity, -infinity}, {infinity, 1}}}}, {{nan}, {infinity}});
}

TEST(Reference, IntegersWrap) {
    const Tile a{I32, {{largest, smallest, -7}}};
    const Tile b{I32, {{1, -1, 2}}};
    expect(Op::Add, {a, b}, {{smallest, largest, -5}});
    expect(Op::Sub, {a, b}, {{largest - 1, smallest + 1, -9}});
    expect(Op::Mul, {a, {I32, {{largest, smallest, 2}}}}, {{1, 0, -14}});
    expect(Op::Neg, {a}, {{-largest, smallest, 7}});
    expect(Op::Abs, {a}, {{largest, smallest, 7}});
    expect(Op::Relu, {a}, {{largest, 0, 0}});
    expect(Op::Maximum, {a, b}, {{largest, -1, 2}});
    expect(Op::Rowsum, {{I32, {{largest, 1}, {smallest, -1}}}}, {{smallest}, {largest}});
    expect(Op::Rowmean, {{I32, {{7, 0}, {-7, 0}, {largest, 1}}}}, {{3}, {-3}, {(largest + 1) / 2}});
    expect(Op::Rowmax, {a}, {{largest}});
    expect(Op::Rowmin, {a}, {{smallest}});
    expect(Op::Matmul, {{I32, {{largest, 2}}}, {I32, {{largest}, {3}}}}, {{7}});
}

TEST(Reference, RoundsOnceToItsType) {
    const auto f32 = [](double x) { return static_cast<double>(static_cast<float>(x)); };
    const Tile x{F32, {{0.3, -1.7, 2.9}}};
    const std::vector<std::pair<Op, double (*)(double)>> functions = {
        {Op::Exp, [](double v) { return std::exp(v); }},
        {Op::Tanh, [](double v) { return std::tanh(v); }},
        {Op::Sigmoid, [](double v) { return 1 / (1 + std::exp(-v)); }},
        {Op::Silu, [](double v) { return v / (1 + std::exp(-v)); }},
        {Op::Log, [](double v) { return std::log(v); }},
        {Op::Sqrt, [](double v) { return std::sqrt(v); }},
        {Op::Rsqrt, [](double v) { return 1 / std::sqrt(v); }}};
    for (const auto &[op, function] : functions) {
        Rows expected{{}};
        Rows half{{}};
        for (double v : x.rows[0]) {
            expected[0].push_back(f32(function(f32(v))));
            half[0].push_back(round_to(F16, function(round_to(F16, v))));
        }
        expect(op, {x}, expected);
        expect(op, {{F16, x.rows}}, half);
    }
    expect(Op::Add, {{F16, {{2048}}}, {F16, {{1}}}}, {{2048}});
    expect(Op::Add, {{F16, {{2048}}}, {F32, {{1}}}}, {{2049}});
    expect(Op::Add, {{BF16, {{256}}}, {BF16, {{1}}}}, {{256}});
    expect(Op::Mul, {{F16, {{60000}}}, {F16, {{2}}}}, {{infinity}});
    expect(Op::Add, {{I32, {{16777217}}}, {F32, {{0}}}}, {{16777216}});
}

TEST(Reference, ReductionsOfNarrowFloatsAreWide) {
    expect(Op::Rowsum, {{F16, {{2048, 1, 1}}}}, {{2050}});
    expect(Op::Rowmean, {{BF16, {{256, 1}, {1, 2}}}}, {{128.5}, {1.5}});
    expect(Op::Matmul, {{F16, {{2048, 1}}}, {F16, {{1}, {1}}}}, {{2049}});
}

TEST(Reference, Comparisons) {
    const Tile a{F32, {{1, 2, 3, nan, nan}}};
    const Tile b{F32, {{2, 2, 2, nan, 1}}};
    expect(Op::Lt, {a, b}, {{1, 0, 0, 0, 0}});
    expect(Op::Le, {a, b}, {{1, 1, 0, 0, 0}});
    expect(Op::Gt, {a, b}, {{0, 0, 1, 0, 0}});
    expect(Op::Ge, {a, b}, {{0, 1, 1, 0, 0}});
    expect(Op::Eq, {a, b}, {{0, 1, 0, 0, 0}});
    expect(Op::Ne, {a, b}, {{1, 0, 1, 1, 1}});
    expect(Op::Eq, {{I32, {{largest}}}, {I32, {{largest - 1}}}}, {{0}});
    expect(Op::Eq, {{I32, {{16777217}}}, {F32, {{16777216}}}}, {{1}});
    expect(Op::Where, {{F32, {{1}, {0}}}, {F32, {{nan, 2}}}, {F32, {{7}}}}, {{nan, 2}, {7, 7}});
    expect(Op::Where, {{I32, {{1, 0}}}, {I32, {{5}}}, {F16, {{0.5}}}}, {{5, 0.5}});
}

TEST(Reference, Casts) {
    expect(Op::Cast, {{F32, {{2.5, -2.5, 3e9, nan, -infinity}}}},
           {{2, -2, smallest, smallest, smallest}}, dtype("i32"));
    expect(Op::Cast, {{F32, {{2049, 65520, 1e-9}}}}, {{2048, infinity, 0}}, dtype("f16"));
    expect(Op::Cast, {{I32, {{2049, -1}}}}, {{2048, -1}}, dtype("f16"));
    expect(Op::Cast, {{F32, {{257, 259}}}}, {{256, 260}}, dtype("bf16"));
    expect(Op::Cast, {{BF16, {{256}}}}, {{256}}, dtype("f32"));
}

TEST(Reference, Matmul) {
    const Tile a{F32, {{1, 2, 3}, {4, 5, 6}}};
    const Tile b{F32, {{1, 0}, {2, 1}, {0, 3}}};
    const Rows product{{5, 11}, {14, 23}};
    const Tile a_t{F32, {{1, 4}, {2, 5}, {3, 6}}};
    const Tile b_t{F32, {{1, 2, 0}, {0, 1, 3}}};
    expect(Op::Matmul, {a, b}, product);
    expect(Op::Matmul, {a_t, b}, product, {{"trans_a", true}});
    expect(Op::Matmul, {a, b_t}, product, {{"trans_b", true}});
    expect(Op::Matmul, {a_t, b_t}, product, {{"trans_a", true}, {"trans_b", true}});
    expect(Op::Matmul, {a, b, {F32, {{10, 20}, {30, 40}}}}, {{15, 31}, {44, 63}});
    expect(Op::Matmul, {{F32, {{0, 1}}}, {F32, {{nan}, {1}}}}, {{nan}});
    expect(Op::Transpose, {a}, a_t.rows);
}

TEST(Reference, Softmax) {
    const double e = std::exp(1.0);
    const auto f32 = [](double x) { return static_cast<double>(static_cast<float>(x)); };
    expect(Op::Softmax, {{F32, {{1000, 1001}, {-infinity, 0}}}},
           {{f32(1 / (1 + e)), f32(e / (1 + e))}, {0, 1}});
    expect(Op::Softmax, {{F32, {{-infinity, -infinity}, {nan, 1}, {infinity, 1}}}},
           {{nan, nan}, {nan, nan}, {nan, nan}});
}

TEST(Reference, Positions) {
    expect(Op::RowIndex, {}, {{0, 0}, {1, 1}, {2, 2}}, size(3, 2));
    expect(Op::ColumnIndex, {}, {{0, 1}, {0, 1}, {0, 1}}, size(3, 2));
    expect(Op::RowIndex, {}, {{0}, {1}}, {{"rows", Affine(2)}});
    expect(Op::ColumnIndex, {}, {{0, 1}}, {{"columns", Affine(2)}});
    const Tile x{F32, {{1, 2, nan}, {4, 5, 6}}};
    expect(Op::CausalMask, {x}, {{1, -infinity, -infinity}, {4, 5, -infinity}});
    expect(Op::CausalMask, {x, {I32, {{1}}}}, {{1, 2, -infinity}, {4, 5, 6}});
    expect(Op::CausalMask, {x, {I32, {{largest}}}}, {{1, 2, nan}, {4, 5, 6}});
    expect(Op::CausalMask, {x, {I32, {{smallest}}}},
           {{-infinity, -infinity, -infinity}, {-infinity, -infinity, -infinity}});
}

TEST(Reference, Slices) {
    const Tile x{I32, {{1, 2, 3}, {4, 5, 6}}};
    expect(Op::Slice, {x, {I32, {{1}}}, {I32, {{1}}}}, {{5, 6}}, size(1, 2));
    expect(Op::Slice, {{F16, x.rows}, {I32, {{0}}}, {I32, {{2}}}}, {{3}, {6}}, size(2, 1));
    expect_error<KernelError>(
        [&] {
            result(Op::Slice, {x, {I32, {{1}}}, {I32, {{2}}}}, size(1, 2));
        },
        "slice: a window [1, 2] at (1, 2) leaves [2, 3]");
}

TEST(Evaluate, KnowsTheSymbolsOfLoops) {
    auto program = parse_tile_program(
        "kernel @k(%x: in tile<3x2xf32>, %n: scalar<i32>, %y: inout tile<3x1xf32>) {\n"
        "  %0 = load %x : tile<3x2xf32>\n"
        "  %z = constant {dtype = \"i32\", value = 0} : tile<1x1xi32>\n"
        "  fori_loop %z, %n as I do (%i) {\n"
        "    %1 = slice %0, %z, %z {columns = [2], rows = [I + 1]} : tile<(I + 1)x2xf32>\n"
        "    %2 = rowsum %1 : tile<(I + 1)x1xf32>\n"
        "    %3 = load %y, %z, %z {columns = [1], rows = [I + 1]} : tile<(I + 1)x1xf32>\n"
        "    %4 = add %2, %3 : tile<(I + 1)x1xf32>\n"
        "    store %y, %4, %z, %z\n"
        "    yield\n"
        "  }\n"
        "}\n");
    TensorView y = tensor({F32, {{0}, {0}, {0}}});
    evaluate(*program, {tensor({F32, {{1, 2}, {3, 4}, {5, 6}}}), 3.0, y});
    expect_rows(rows_of(y), {{9}, {14}, {11}}, "growing windows");
}

TEST(Reference, IgnoresPromises) {
    expect(Op::Exp, {{F32, {{0}}}}, {{1}}, {{"nonpositive", true}});
    expect(Op::Rowmax, {{F32, {{1, nan}}}}, {{nan}}, {{"ignore_nan", true}});
}

TEST(Evaluate, RunsLoopsAndWindows) {
    TestKernel k;
    const int x = k.in("x", 4, 3);
    const int y = k.tile("y", Direction::InOut, 4, 3);
    const Value n = k.scalar("n", I32);
    const Value zero = k.b.constant(0);
    // y[3 - i] += (i + 1) * x[i]; the carried sum is of all rows.
    std::vector<Value> sum = k.b.fori_loop(
        zero, n, {k.b.constant(0.0)}, [&](Value i, const std::vector<Value> &carries) {
            const Value row = k.b.load(x, i, zero, 1, 3);
            const Value place = k.op(Op::Sub, {k.b.constant(3), i});
            const Value times = k.op(Op::Mul, {row, k.op(Op::Add, {i, k.b.constant(1)})});
            k.b.store(y, k.op(Op::Add, {k.b.load(y, place, zero, 1, 3), times}), place, zero);
            return std::vector<Value>{k.op(Op::Add, {carries[0], k.op(Op::Rowsum, {row})})};
        });
    k.b.store(k.out("sum", 1, 1), sum[0]);
    auto program = k.b.finish();
    auto run = [&](double count) {
        TensorView a = tensor({F32, {{1, 1, 1}, {2, 2, 2}, {3, 3, 3}, {4, 4, 4}}});
        TensorView b = tensor({F32, {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}});
        TensorView s = tensor({F32, {{77}}});
        evaluate(*program, {a, b, count, s});
        Rows rows = rows_of(b);
        rows.push_back({element_of(s, 0)});
        return rows;
    };
    expect_rows(run(2), {{1, 1, 1}, {1, 1, 1}, {5, 5, 5}, {2, 2, 2}, {9}}, "two iterations");
    expect_rows(run(0), {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {0}}, "no iteration");
    expect_error<KernelError>([&] { run(5); },
                              "load: the window [1, 3] at (4, 0) leaves 'x', which is [4, 3]");
}

TEST(Evaluate, ReadsInputsBeforeItWrites) {
    TestKernel k;
    const Value x = k.b.load(k.in("x", 1, 3));
    const int y = k.out("y", 1, 3);
    k.b.store(y, k.op(Op::Mul, {x, k.b.constant(2)}));
    k.b.store(y, k.op(Op::Add, {k.b.load(y), x}));
    TensorView memory = tensor({F32, {{1, 2, 3}}});
    evaluate(*k.b.finish(), {memory, memory});
    expect_rows(rows_of(memory), {{3, 6, 9}}, "in place");
}

TEST(Evaluate, HonoursStrides) {
    TestKernel k;
    const Value loaded = k.x(2, 3);
    k.b.store(k.out("y", 3, 2), k.op(Op::Transpose, {loaded}));
    TensorView x = tensor({F32, {{1, 2, 3}, {4, 5, 6}}});
    TensorView reversed = x;
    reversed.data = static_cast<float *>(x.data) + 5;
    reversed.strides = {-3, -1};
    TensorView y = tensor({F32, {{0, 0}, {0, 0}, {0, 0}}});
    evaluate(*k.b.finish(), {reversed, y});
    expect_rows(rows_of(y), {{6, 3}, {5, 2}, {4, 1}}, "reversed");
}

TEST(Evaluate, BindsSymbols) {
    TestKernel k;
    const Affine n = Affine::variable("N");
    const Value x = k.x(n, 2);
    const Value index = k.op(Op::RowIndex, {}, {{"rows", n}});
    k.b.store(k.out("y", n, 2), k.op(Op::Add, {x, index}));
    auto program = k.b.finish();
    TensorView y = tensor({F32, {{0, 0}, {0, 0}, {0, 0}}});
    evaluate(*program, {tensor({F32, {{1, 1}, {1, 1}, {1, 1}}}), y});
    expect_rows(rows_of(y), {{1, 1}, {2, 2}, {3, 3}}, "three rows");
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {tensor({F32, {{1, 1}}}), y});
        },
        "k: 'y' has 3 rows, but N is 1");
}

TEST(Evaluate, NeedsValuesOfSymbols) {
    TestKernel k;
    const Affine n = Affine::variable("N", 2);
    const Value loaded = k.x(n, 2);
    k.b.store(k.out("y", n, 1), k.op(Op::Rowsum, {loaded}));
    auto program = k.b.finish();
    TensorView y = tensor({F32, {{0}, {0}}});
    const TensorView x = tensor({F32, {{1, 2}, {3, 4}}});
    evaluate(*program, {x, y}, {{"N", 1}});
    expect_rows(rows_of(y), {{3}, {7}}, "2 * N rows");
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {y, x});
        },
        "k: 'x0' has 2*N rows, and N has no value");
}

TEST(Evaluate, ChecksItsArguments) {
    TestKernel k;
    k.in("x", 2, 2);
    k.scalar("n", I32);
    auto program = k.b.finish();
    const TensorView x = tensor({F32, {{1, 2}, {3, 4}}});
    expect_error<ExecutionError>([&] { evaluate(*program, {x}); }, "k takes 2 arguments, not 1");
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {1.0, 1.0});
        },
        "k: 'x' takes a tile, not a number");
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {x, x});
        },
        "k: 'n' takes a number, not a tile");
    expect_error<ExecutionError>([&] { evaluate(*program, {x, 0.5}); }, "k: 'n' is i32, not 0.5");
    expect_error<ExecutionError>([&] { evaluate(*program, {x, nan}); }, "k: 'n' is i32, not nan");
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {tensor({F16, {{1, 2}, {3, 4}}}), 1.0});
        },
        "k: 'x' holds f32, the view f16");
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {tensor({F32, {{1, 2, 3}, {3, 4, 5}}}), 1.0});
        },
        "k: 'x' has 3 columns, more than the 2 declared");
    TensorView cube = allocate_tensor({1, 2, 2}, F32);
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {cube, 1.0});
        },
        "k: 'x' takes a view of rank 2, not [1, 2, 2]");
}

/// softmax(q @ k^T) @ v of 4 queries and keys of 2.
std::shared_ptr<const TileProgram> attention() {
    TestKernel k;
    const Value q = k.b.load(k.in("q", 4, 2));
    const Value keys = k.b.load(k.in("keys", 4, 2));
    const Value v = k.b.load(k.in("v", 4, 2));
    const Value scores = k.op(Op::Matmul, {q, keys}, {{"trans_b", true}});
    const Value masked =
        k.op(Op::Where, {k.op(Op::Ge, {k.op(Op::RowIndex, {}, {{"rows", Affine(4)}}),
                                       k.op(Op::ColumnIndex, {}, {{"columns", Affine(4)}})}),
                         scores, k.b.constant(-infinity)});
    k.b.store(k.out("o", 4, 2), k.op(Op::Matmul, {k.op(Op::Softmax, {masked}), v}));
    return k.b.finish();
}

TEST(Partial, RunsOverWhatIsValid) {
    auto program = attention();
    // One key: the softmax of one score is 1, and nothing of other rows is seen.
    TensorView o = tensor({F32, {{77, 77}, {77, 77}, {77, 77}, {77, 77}}});
    TensorView o_valid = o;
    o_valid.shape = {3, 2};
    evaluate(*program, {tensor({F32, {{1, 2}, {3, 4}, {5, 6}}}), tensor({F32, {{1, 1}}}),
                        tensor({F32, {{10, 20}}}), o_valid});
    expect_rows(rows_of(o), {{10, 20}, {10, 20}, {10, 20}, {77, 77}}, "three queries, one key");
}

TEST(Partial, ShrinksWholeTilesThatMeetIt) {
    auto program = attention();
    // `v` is whole, but only the valid key's row of it is used.
    TensorView o = tensor({F32, {{77, 77}, {77, 77}, {77, 77}, {77, 77}}});
    evaluate(*program, {tensor({F32, {{1, 2}, {3, 4}, {5, 6}, {7, 8}}}), tensor({F32, {{1, 1}}}),
                        tensor({F32, {{10, 20}, {nan, nan}, {nan, nan}, {nan, nan}}}), o});
    expect_rows(rows_of(o), {{10, 20}, {10, 20}, {10, 20}, {10, 20}}, "whole v");
}

TEST(Partial, MustAgreeWhereTilesMeet) {
    auto program = attention();
    TensorView o = tensor({F32, {{0, 0}, {0, 0}, {0, 0}, {0, 0}}});
    expect_error<ExecutionError>(
        [&] {
            evaluate(*program, {tensor({F32, {{1, 2}, {1, 2}, {1, 2}, {1, 2}}}),
                                tensor({F32, {{1, 1}}}), tensor({F32, {{1, 1}, {1, 1}}}), o});
        },
        "k: partial tiles that meet differ in size: keys.valid_rows = 1, v.valid_rows = 2");
}

TEST(Partial, ShrinksConstantsReductionsAndPositions) {
    TestKernel k;
    const Value x = k.x(4, 4);
    const Value ones = k.op(Op::Broadcast, {k.b.constant(1.0, F32)}, size(4, 4));
    const Value row = k.op(Op::Rowsum, {k.op(Op::Add, {x, ones})});
    const Value index = k.op(Op::RowIndex, {}, size(4, 4));
    k.b.store(k.out("y", 4, 4), k.op(Op::Add, {k.op(Op::Add, {row, ones}), index}));
    TensorView y = tensor({F32, {{9, 9, 9, 9}, {9, 9, 9, 9}, {9, 9, 9, 9}, {9, 9, 9, 9}}});
    TensorView valid = y;
    valid.shape = {2, 3};
    evaluate(*k.b.finish(), {tensor({F32, {{1, 2, 3}, {4, 5, 6}}}), valid});
    expect_rows(rows_of(y), {{10, 10, 10, 9}, {20, 20, 20, 9}, {9, 9, 9, 9}, {9, 9, 9, 9}},
                "two rows of three");
}

TEST(Partial, RefusesSlices) {
    TestKernel k;
    const Value x = k.x(4, 4);
    k.op(Op::Slice, {k.op(Op::Exp, {x}), k.b.constant(0), k.b.constant(0)}, size(2, 2));
    auto program = k.b.finish();
    expect_error<TypeCheckError>(
        [&] {
            evaluate(*program, {tensor({F32, {{1, 2, 3, 4}}})});
        },
        "slice: cannot be taken of a tile [4, 4] when views that the tile is of are partial");
}

TEST(Partial, RefusesWindows) {
    TestKernel k;
    const int x = k.in("x", 4, 4);
    k.b.load(x, k.b.constant(0), k.b.constant(0), 2, 4, TestKernel::line(12));
    auto program = k.b.finish();
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      evaluate(*program, {tensor({F32, {{1, 2, 3, 4}}})});
                  },
                  "load: a window of 'x' cannot be taken when its view is partial"),
              "give the task the window itself as its view");
}

TEST(Evaluate, RandomProgramsGiveWhatTheirTextGives) {
    EXPECT_TRUE(rc::check("evaluate(parse(print(p))) == evaluate(p), bit by bit", [] {
        auto program = random_program();
        std::vector<Argument> first = random_arguments(*program, true);
        std::vector<Argument> second = copied(first);
        auto run = [](const TileProgram &p, const std::vector<Argument> &arguments) {
            try {
                evaluate(p, arguments);
                return std::string();
            } catch (const KernelError &error) {
                return error.text();
            }
        };
        RC_ASSERT(run(*program, first) == run(*parse_tile_program(program->str()), second));
        for (size_t i = 0; i < first.size(); ++i) {
            if (const auto *view = std::get_if<TensorView>(&first[i])) {
                const auto &other = std::get<TensorView>(second[i]);
                RC_ASSERT(
                    std::memcmp(view->data, other.data, static_cast<size_t>(view->nbytes())) == 0);
            }
        }
    }));
}

}  // namespace
}  // namespace pto::wsp::kernel
