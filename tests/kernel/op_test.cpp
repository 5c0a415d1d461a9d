#include "pto/wsp/kernel/op.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/kernel_builder.h"
#include "pto/wsp/support/error.h"
#include "support/expect_error.h"

namespace pto::wsp::kernel {
namespace {

constexpr DType F16 = DType::F16, BF16 = DType::BF16, F32 = DType::F32, F64 = DType::F64;
constexpr DType I8 = DType::I8, I16 = DType::I16, I32 = DType::I32, I64 = DType::I64;
constexpr DType U8 = DType::U8, U16 = DType::U16, U32 = DType::U32, Mask = DType::Mask;

/// Type rule of `op`.
TileType infer(Op op, std::vector<TileType> operands, Attributes attributes = {}) {
    return info(op).infer(info(op), operands, attributes, {"k.py", 10});
}

DType dtype_of(Op op, std::vector<DType> dtypes) {
    std::vector<TileType> operands;
    for (DType dtype : dtypes) {
        operands.push_back({dtype, 4, 4});
    }
    return infer(op, operands).dtype;
}

std::string refusal(Op op, std::vector<TileType> operands, const std::string &text,
                    Attributes attributes = {}) {
    return expect_error<TypeCheckError>([&] { infer(op, operands, attributes); }, text);
}

TEST(Table, HasEachRowOnce) {
    std::set<std::string> names;
    int index = 0;
    for (const OpInfo &row : ops()) {
        EXPECT_EQ(static_cast<int>(row.op), index++) << row.name;
        EXPECT_TRUE(names.insert(row.name).second) << row.name;
        EXPECT_EQ(find_op(row.name), &row);
        EXPECT_LE(row.min_arity(), row.max_arity()) << row.name;
        EXPECT_EQ(std::string(row.doc).back(), '.') << row.name;
        EXPECT_NE(row.accuracy.kind, Accuracy::Kind::Unstated) << row.name;
        bool run_by_evaluator =
            row.kind == OpKind::Memory || row.kind == OpKind::Effect || row.kind == OpKind::Control;
        EXPECT_EQ(row.reference == nullptr, run_by_evaluator) << row.name;
    }
    EXPECT_EQ(index, op_count);
    EXPECT_EQ(find_op("nonsense"), nullptr);
}

TEST(Table, SaysWhichOperationsAreExtremes) {
    for (const OpInfo &row : ops()) {
        std::string name = row.name;
        bool extreme = name.size() == 6 && name.find("m") == 3 && name != "matmul";
        EXPECT_EQ(row.is_extreme(), extreme) << name;
    }
    Node node{Op::Rowmax, {}, {}, {}, -1, {}};
    EXPECT_TRUE(looks_for_nan(node, F16));
    EXPECT_FALSE(looks_for_nan(node, I32));
    node.attributes["ignore_nan"] = true;
    EXPECT_FALSE(looks_for_nan(node, F32));
}

TEST(Table, CountsOperands) {
    EXPECT_EQ(info(Op::Matmul).min_arity(), 2);
    EXPECT_EQ(info(Op::Matmul).max_arity(), 3);
    EXPECT_EQ(info(Op::Load).min_arity(), 0);
    EXPECT_EQ(info(Op::Constant).max_arity(), 0);
    EXPECT_EQ(info(Op::ForiLoop).min_arity(), 2);
    EXPECT_GT(info(Op::ForiLoop).max_arity(), 1000);
}

TEST(TypeRule, ElementwiseKeepsOrPromotes) {
    for (Op op : {Op::Add, Op::Sub, Op::Mul, Op::Maximum, Op::Minimum}) {
        for (DType dtype : {F16, BF16, F32, F64, I8, I16, I32, I64, U8, U16, U32}) {
            EXPECT_EQ(dtype_of(op, {dtype, dtype}), dtype)
                << name(op) << " " << pto::wsp::name(dtype);
        }
        EXPECT_EQ(dtype_of(op, {F16, F32}), F32);
        EXPECT_EQ(dtype_of(op, {F32, BF16}), F32);
        EXPECT_EQ(dtype_of(op, {F16, BF16}), F32);
        EXPECT_EQ(dtype_of(op, {I32, F16}), F16);
        EXPECT_EQ(dtype_of(op, {I8, U8}), I16);
        EXPECT_EQ(dtype_of(op, {U32, I32}), I64);
    }
    EXPECT_EQ(dtype_of(Op::Div, {I32, F16}), F16);
    for (Op op : {Op::Exp, Op::Log, Op::Sqrt, Op::Rsqrt, Op::Tanh, Op::Sigmoid, Op::Silu,
                  Op::Softmax, Op::Neg, Op::Abs, Op::Relu}) {
        EXPECT_EQ(dtype_of(op, {F16}), F16) << name(op);
        EXPECT_EQ(dtype_of(op, {BF16}), BF16) << name(op);
    }
    EXPECT_EQ(dtype_of(Op::Lt, {F16, I32}), Mask);
    EXPECT_EQ(dtype_of(Op::Where, {Mask, F16, F32}), F32);
}

TEST(TypeRule, Broadcasts) {
    const TileType tile{F32, 4, 6};
    const TileType column{F32, 4, 1};
    const TileType row{F32, 1, 6};
    const TileType scalar{F32, 1, 1};
    for (const TileType &other : {tile, column, row, scalar}) {
        EXPECT_EQ(infer(Op::Add, {tile, other}), tile);
        EXPECT_EQ(infer(Op::Add, {other, tile}), tile);
    }
    EXPECT_EQ(infer(Op::Mul, {column, row}), tile);
    EXPECT_EQ(infer(Op::Where, {{Mask, 4, 1}, row, scalar}), tile);
    const Affine n = Affine::variable("N");
    EXPECT_EQ(infer(Op::Add, {{F32, n, 6}, {F32, n, 1}}).rows, n);
    EXPECT_EQ(infer(Op::Add, {{F32, n + 1, 6}, {F32, 1, 6}}).rows, n + 1);
    EXPECT_EQ(refusal(Op::Add, {{F32, n, 6}, {F32, n + 1, 6}},
                      "add: shapes do not broadcast: [N, 6] x [N + 1, 6]"),
              "each dimension must be equal or 1");
    refusal(Op::Lt, {{F32, 4, 6}, {F32, 4, 3}}, "lt: shapes do not broadcast: [4, 6] x [4, 3]");
}

TEST(TypeRule, Reductions) {
    for (Op op : {Op::Rowsum, Op::Rowmean}) {
        EXPECT_EQ(dtype_of(op, {F16}), F32);
        EXPECT_EQ(dtype_of(op, {BF16}), F32);
        EXPECT_EQ(dtype_of(op, {F64}), F64);
        EXPECT_EQ(dtype_of(op, {I8}), I32);
        EXPECT_EQ(dtype_of(op, {I16}), I32);
        EXPECT_EQ(dtype_of(op, {U8}), U32);
        EXPECT_EQ(dtype_of(op, {U16}), U32);
        EXPECT_EQ(dtype_of(op, {I64}), I64);
    }
    for (Op op : {Op::Rowmax, Op::Rowmin}) {
        EXPECT_EQ(dtype_of(op, {F16}), F16);
        EXPECT_EQ(dtype_of(op, {U8}), U8);
    }
    EXPECT_EQ(infer(Op::Rowsum, {{F32, 4, 6}}), (TileType{F32, 4, 1}));
    refusal(Op::Rowmax, {{F32, 4, 0}}, "rowmax: a row of [4, 0] has no element");
}

TEST(TypeRule, Matmul) {
    EXPECT_EQ(infer(Op::Matmul, {{F16, 4, 3}, {F16, 3, 5}}), (TileType{F32, 4, 5}));
    EXPECT_EQ(dtype_of(Op::Matmul, {BF16, BF16}), F32);
    EXPECT_EQ(dtype_of(Op::Matmul, {F64, F64}), F64);
    EXPECT_EQ(dtype_of(Op::Matmul, {I8, I8}), I32);
    EXPECT_EQ(dtype_of(Op::Matmul, {U8, U8}), I32);
    EXPECT_EQ(dtype_of(Op::Matmul, {I8, U8}), I32);
    EXPECT_EQ(dtype_of(Op::Matmul, {I16, I16}), I32);
    EXPECT_EQ(dtype_of(Op::Matmul, {U16, U16}), U16);
    EXPECT_EQ(dtype_of(Op::Matmul, {I64, I64}), I64);
    const Attributes both{{"trans_a", true}, {"trans_b", true}};
    EXPECT_EQ(infer(Op::Matmul, {{F32, 3, 4}, {F32, 5, 3}}, both), (TileType{F32, 4, 5}));
    EXPECT_EQ(infer(Op::Matmul, {{F16, 4, 3}, {F16, 3, 5}, {F32, 4, 5}}), (TileType{F32, 4, 5}));
    refusal(Op::Matmul, {{F32, 128, 64}, {F32, 256, 64}},
            "matmul: inner dimensions differ: [128, 64] x [256, 64]");
    refusal(Op::Matmul, {{F32, 128, 64}, {F32, 64, 256}},
            "matmul: inner dimensions differ: [128, 64] transposed x [64, 256] transposed", both);
    refusal(Op::Matmul, {{F16, 4, 3}, {F16, 3, 5}, {F16, 4, 5}},
            "matmul: the accumulator is Tile[4, 5, F16], not Tile[4, 5, F32]");
}

TEST(TypeRule, ShapesAndLeaves) {
    EXPECT_EQ(infer(Op::Transpose, {{F16, 4, 6}}), (TileType{F16, 6, 4}));
    const Attributes size{{"rows", Affine(4)}, {"columns", Affine(6)}};
    EXPECT_EQ(infer(Op::Broadcast, {{F16, 1, 6}}, size), (TileType{F16, 4, 6}));
    EXPECT_EQ(infer(Op::RowIndex, {}, size), (TileType{I32, 4, 6}));
    EXPECT_EQ(refusal(Op::Broadcast, {{F16, 2, 6}},
                      "broadcast: [2, 6] does not broadcast to [4, 6]", size),
              "each dimension must be equal or 1");
    refusal(Op::RowIndex, {}, "row_index: rows is -1, must be in [0, 2147483647]",
            {{"rows", Affine(-1)}, {"columns", Affine(1)}});
    EXPECT_EQ(infer(Op::Cast, {{I32, 4, 6}}, {{"dtype", std::string("bf16")}}),
              (TileType{BF16, 4, 6}));
    EXPECT_EQ(infer(Op::CausalMask, {{F16, 4, 6}, {I32, 1, 1}}), (TileType{F16, 4, 6}));
}

TEST(TypeRule, RefusesWhatHasNoMeaning) {
    EXPECT_EQ(refusal(Op::Div, {{I32, 4, 4}, {I32, 4, 4}},
                      "div: division of i32 by i32 is not defined on tiles of integers"),
              "use floordiv or mod, or cast an operand to F32 first");
    EXPECT_EQ(refusal(Op::Exp, {{I32, 4, 4}}, "exp: i32 [4, 4] is not a float"),
              "cast it first: cast(x, F32)");
    refusal(Op::Softmax, {{I8, 4, 4}}, "softmax: i8 [4, 4] is not a float");
    EXPECT_EQ(refusal(Op::Add, {{Mask, 4, 4}, {F32, 4, 4}}, "add: a mask [4, 4] is no number"),
              "where(mask, a, b) makes numbers of it");
    EXPECT_EQ(refusal(Op::Where, {{F32, 4, 4}, {F32, 4, 4}, {F32, 4, 4}},
                      "where: the condition is f32 [4, 4], not a mask"),
              "a comparison makes a mask");
    EXPECT_EQ(refusal(Op::Cast, {{F32, 4, 4}},
                      "cast: a mask is made by a comparison, not by a cast",
                      {{"dtype", std::string("mask")}}),
              "x != 0");
    refusal(Op::Constant, {}, "constant: 0.5 is no i32",
            {{"dtype", std::string("i32")}, {"value", 0.5}});
    refusal(Op::Constant, {}, "constant: 300 is no u8",
            {{"dtype", std::string("u8")}, {"value", int64_t{300}}});
}

TEST(Operation, SaysWhereOperandsWereMade) {
    TestKernel k;
    const Value q = k.b.load(k.in("q", 128, 64, F32, 38), TestKernel::line(41));
    const Value k_rows = k.op(Op::Exp, {k.x(256, 64)}, {}, 40);
    try {
        k.op(Op::Matmul, {q, k_rows}, {}, 41);
        FAIL() << "no error";
    } catch (const TypeCheckError &error) {
        EXPECT_STREQ(error.what(),
                     "k.py:41: error: matmul: inner dimensions differ: [128, 64] x [256, 64]\n"
                     "k.py:38: note: a is Tile[128, 64, F32] of 'q', declared here\n"
                     "k.py:40: note: b is Tile[256, 64, F32], made here");
    }
}

TEST(Operation, ChecksPlaces) {
    TestKernel k;
    const Value x = k.x(4, 4);
    const Value zero = k.b.constant(0);
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::CausalMask, {x, x});
        },
        "causal_mask: offset is Tile[4, 4, F32], expected an i32 scalar");
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::Slice, {x, zero, k.scalar("f", F32)},
                 {{"rows", Affine(1)}, {"columns", Affine(1)}});
        },
        "slice: column is Tile[1, 1, F32], expected an i32 scalar");
    const Attributes size{{"rows", Affine(2)}, {"columns", Affine(4)}};
    EXPECT_EQ(k.type(k.op(Op::Slice, {x, k.b.constant(2), zero}, size)), (TileType{F32, 2, 4}));
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::Slice, {x, k.b.constant(3), zero}, size);
        },
        "slice: the window [2, 4] at (3, 0) leaves the tile, which is "
        "[4, 4]");
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::Slice, {x, zero, zero}, {{"rows", Affine(2)}, {"columns", Affine(5)}});
        },
        "slice: [2, 5] does not fit in [4, 4]");
}

TEST(Operation, ChecksArity) {
    TestKernel k;
    const Value x = k.x(4, 4);
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::Exp, {x, x});
        },
        "exp: got 2 operands, expected (x)");
    expect_error<TypeCheckError>([&] { k.op(Op::Matmul, {x}); },
                                 "matmul: got 1 operand, expected (a, b, acc?)");
}

TEST(Operation, ChecksAttributes) {
    TestKernel k;
    const Value x = k.x(4, 4);
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      k.op(Op::Matmul, {x, x}, {{"transpose", true}});
                  },
                  "matmul: there is no attribute 'transpose'"),
              "attributes: trans_a=false, trans_b=false, skip_zeros=false");
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      k.op(Op::Add, {x, x}, {{"fast", true}});
                  },
                  "add: there is no attribute 'fast'"),
              "add has no attributes");
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::Matmul, {x, x}, {{"trans_a", int64_t{1}}});
        },
        "matmul: 'trans_a' is 1, expected true or false");
    expect_error<TypeCheckError>([&] { k.op(Op::Cast, {x}); },
                                 "cast: the attribute 'dtype' is missing");
    expect_error<TypeCheckError>(
        [&] {
            k.op(Op::Broadcast, {x}, {{"rows", 0.5}, {"columns", Affine(4)}});
        },
        "broadcast: 'rows' is 0.5, expected a dim");
    const Value index = k.op(Op::RowIndex, {}, {{"rows", int64_t{4}}});
    EXPECT_EQ(k.type(index), (TileType{I32, 4, 1}));
}

TEST(Operation, RefusesMasksAsParameters) {
    TestKernel k;
    expect_error<TypeCheckError>([&] { k.in("x", 4, 4, Mask); },
                                 "k: parameter 'x': a mask cannot be stored");
}

TEST(Operation, IntegerDivisionIsOfIntegers) {
    EXPECT_EQ(dtype_of(Op::FloorDiv, {I8, U8}), I16);
    EXPECT_EQ(dtype_of(Op::Mod, {U32, U32}), U32);
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [] {
                      dtype_of(Op::FloorDiv, {F32, I32});
                  },
                  "floordiv: f32 and i32 are not both integers"),
              "use div, or cast to an integer first");
}

TEST(Operation, ColumnReductions) {
    EXPECT_EQ(infer(Op::Colsum, {{U8, 4, 3}}), (TileType{U32, 1, 3}));
    EXPECT_EQ(infer(Op::Colmax, {{F16, 4, 3}}), (TileType{F16, 1, 3}));
    expect_error<TypeCheckError>(
        [] {
            infer(Op::Colmin, {{F32, 0, 3}});
        },
        "colmin: a column of [0, 3] has no element");
}

TEST(Operation, HalvesOfRows) {
    const Affine n = Affine::variable("N");
    EXPECT_EQ(infer(Op::SliceEven, {{F32, 2, 7}}), (TileType{F32, 2, 4}));
    EXPECT_EQ(infer(Op::SliceOdd, {{F32, 2, 7}}), (TileType{F32, 2, 3}));
    EXPECT_EQ(infer(Op::SliceOdd, {{F32, 2, n * 2 + 4}}), (TileType{F32, 2, n + 2}));
    EXPECT_EQ(infer(Op::Interleave, {{F32, 2, n}, {F32, 2, n}}), (TileType{F32, 2, n * 2}));
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      infer(Op::SliceEven, {{F32, 2, n}});
                  },
                  "slice_even: the columns of [2, N] are not known to be "
                  "even"),
              "a dim such as 2 * N is");
    expect_error<TypeCheckError>(
        [] {
            infer(Op::Interleave, {{F32, 2, 3}, {F32, 2, 4}});
        },
        "interleave: Tile[2, 3, F32] and Tile[2, 4, F32] differ");
}

TEST(Operation, ReshapesKeepTheCount) {
    const Attributes to{{"rows", Affine(3)}, {"columns", Affine(4)}};
    EXPECT_EQ(infer(Op::Reshape, {{F32, 2, 6}}, to), (TileType{F32, 3, 4}));
    expect_error<TypeCheckError>(
        [&] {
            infer(Op::Reshape, {{F32, 2, 5}}, to);
        },
        "reshape: [2, 5] has 10 elements, [3, 4] has 12");
    expect_error<TypeCheckError>(
        [&] {
            infer(Op::Reshape, {{F32, Affine::variable("N"), 5}}, to);
        },
        "reshape: the elements of [N, 5] cannot be counted before it runs");
}

TEST(Operation, SortingTakesNoMoreThanThereIs) {
    const Attributes k{{"k", Affine(5)}};
    EXPECT_EQ(infer(Op::TopkIndices, {{F16, 3, 7}}, k), (TileType{U32, 3, 5}));
    EXPECT_EQ(infer(Op::ExtractTopkIndices, {{F32, 1, 64}}, k), (TileType{U32, 1, 5}));
    expect_error<TypeCheckError>(
        [&] {
            infer(Op::TopkValues, {{F32, 3, 4}}, k);
        },
        "topk_values: the first 5 of [3, 4], of which there are 4");
    EXPECT_EQ(expect_error<TypeCheckError>(
                  [&] {
                      infer(Op::Tsort32, {{F16, 1, 32}, {U32, 1, 32}});
                  },
                  "tsort32: takes Tile[1, 32, F32] and Tile[1, 32, U32], not Tile[1, 32, F16] and "
                  "Tile[1, 32, U32]"),
              "topk sorts rows of any length and type");
}

}  // namespace
}  // namespace pto::wsp::kernel
