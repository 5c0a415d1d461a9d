#include "pto/wsp/kernel/rules.h"

#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/rewritten.h"

namespace pto::wsp::kernel {
namespace {

using ::testing::HasSubstr;

// fold

TEST(FoldRules, ComputesConstants) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    Value scale = k.op(Op::Rsqrt, {k.b.constant(64.0, DType::F32)});
    Value twice = k.op(Op::Add, {scale, k.op(Op::Mul, {scale, k.b.constant(1.0, DType::F32)})});
    k.out(k.op(Op::Mul, {x, twice}));
    Rewritten r(k);
    EXPECT_THAT(r.text(), HasSubstr("0.25"));
    EXPECT_EQ(r.after->nodes.size(), 4U) << r.text();
    EXPECT_TRUE(r.fired("fold-constants"));
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(2, 3, awkward_number)}, 0.0F); }));
}

TEST(FoldRules, WrapsConstantIntegers) {
    Kernel k;
    Value largest = k.b.constant(2147483647, DType::I32);
    Value one = k.op(Op::Mul, {largest, largest});
    k.out(k.op(Op::Cast, {k.op(Op::Mul, {k.in("x", 2, 3), one})}, {{"dtype", std::string("f32")}}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("fold-constants"));
    EXPECT_EQ(difference(r, {tensor(2, 3, [](int64_t i) { return static_cast<float>(i); })}, 0.0F),
              "");
}

TEST(FoldRules, DropsNeutralOperands) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    auto number = [&](double value) { return k.b.constant(value, DType::F32); };
    Value y = k.op(Op::Mul, {number(1), x});
    y = k.op(Op::Div, {y, number(1)});
    y = k.op(Op::Sub, {y, number(0)});
    y = k.op(Op::Add, {number(-0.0), y});
    y = k.op(Op::Neg, {k.op(Op::Neg, {y})});
    y = k.op(Op::Maximum, {y, y});
    y = k.op(Op::Minimum, {y, y});
    y = k.op(Op::Transpose, {k.op(Op::Transpose, {y})});
    k.out(y);
    Rewritten r(k);
    EXPECT_EQ(r.after->nodes.size(), 2U) << r.text();
    for (const char *rule :
         {"multiply-by-one", "divide-by-one", "subtract-zero", "add-minus-zero", "negate-twice",
          "maximum-of-one", "minimum-of-one", "transpose-twice"}) {
        EXPECT_TRUE(r.fired(rule)) << rule;
    }
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(2, 3, awkward_number)}, 0.0F); }));
}

TEST(FoldRules, ComputesOnRepeatedConstants) {
    Kernel k;
    auto repeated = [&](double value) {
        return k.op(Op::Broadcast, {k.b.constant(value, DType::F32)},
                    {{"rows", Affine(3)}, {"columns", Affine(5)}});
    };
    Value three = k.op(Op::Add, {repeated(1.25), repeated(1.75)});
    Value sum = k.op(Op::Rowsum, {k.op(Op::Transpose, {three})});
    Value product = k.op(Op::Matmul, {three, repeated(2)}, {{"trans_b", true}});
    k.out(three, "a");
    k.out(sum, "b");
    k.out(k.op(Op::Softmax, {product}), "c");
    k.out(k.op(Op::Reshape, {repeated(4)}, {{"rows", Affine(5)}, {"columns", Affine(3)}}), "d");
    Rewritten r(k);
    for (Op op : {Op::Add, Op::Rowsum, Op::Transpose, Op::Matmul, Op::Softmax, Op::Div}) {
        EXPECT_EQ(r.count(op), 0) << r.text();
    }
    EXPECT_EQ(difference(r, {}, 0.0F), "");
}

TEST(FoldRules, KeepsConstantsWhoseElementsDiffer) {
    Kernel k;
    Value ones = k.op(Op::Broadcast, {k.b.constant(1.0, DType::F32)},
                      {{"rows", Affine(3)}, {"columns", Affine(3)}});
    k.out(k.op(Op::CausalMask, {ones}, {}, 14));
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::CausalMask), 1);
    EXPECT_THAT(
        r.why(),
        HasSubstr("user.py:14: fold-constants: not applied: its elements differ, or are more "
                  "than 16384 or none\n"));
}

TEST(FoldRules, KeepsAnAdditionOfZeroThatChangesMinusZero) {
    Kernel k;
    k.out(k.op(Op::Add, {k.in("x", 2, 3), k.b.constant(0.0, DType::F32)}, {}, 12));
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Add), 1);
    EXPECT_EQ(r.why(),
              "user.py:12: add-zero: not applied: load [2, 3] may hold -0, which + 0 makes "
              "0\n");
}

TEST(FoldRules, DropsAnAdditionOfZeroToIntegers) {
    Kernel k;
    k.out(k.op(Op::Add, {k.in("x", 2, 3, DType::I32), k.b.constant(0, DType::I32)}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("add-zero")) << r.why();
}

TEST(FoldRules, KeepsAMultiplicationThatConverts) {
    Kernel k;
    k.out(k.op(Op::Mul, {k.in("x", 2, 3, DType::F16), k.b.constant(1.0, DType::F32)}, {}, 5));
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Mul), 1);
    EXPECT_EQ(r.why(),
              "user.py:5: multiply-by-one: not applied: load [2, 3] is spread or converted "
              "by it\n");
}

TEST(FoldRules, DividesByPowersOfTwoByMultiplying) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    k.out(k.op(Op::Div, {x, k.b.constant(8.0, DType::F32)}), "y");
    k.out(k.op(Op::Div, {x, k.b.constant(-3.0, DType::F32)}, {}, 4), "z");
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Div), 1);
    EXPECT_EQ(r.count(Op::Mul), 1);
    EXPECT_THAT(r.why(), HasSubstr("user.py:4: divide-by-power-of-two: not applied: constant -3 is "
                                   "no power of two\n"));
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(2, 3, awkward_number)}, 0.0F); }));
}

TEST(FoldRules, KeepsADivisionWhoseInverseIsNoNumber) {
    Kernel k;
    k.out(k.op(Op::Div, {k.in("x", 2, 3), k.b.constant(std::ldexp(1.0, -127), DType::F32)}));
    EXPECT_EQ(Rewritten(k).count(Op::Div), 0);
    Kernel tiny;
    tiny.out(
        tiny.op(Op::Div, {tiny.in("x", 2, 3), tiny.b.constant(std::ldexp(1.0, -140), DType::F32)}));
    EXPECT_EQ(Rewritten(tiny).count(Op::Div), 1);
}

TEST(FoldRules, InvertsAPowerOfTwoInTheTypeOfTheQuotient) {
    Kernel k;
    k.out(k.op(Op::Div, {k.in("x", 2, 3), k.b.constant(std::ldexp(1.0, -20), DType::F16)}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("divide-by-power-of-two")) << r.why();
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(2, 3, awkward_number)}, 0.0F); }));
}

TEST(FoldRules, DropsBroadcastsThatArithmeticDoesItself) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    Value row = k.in("row", 1, 3);
    auto spread = [&](Value value) {
        return k.op(Op::Broadcast, {value}, {{"rows", Affine(2)}, {"columns", Affine(3)}});
    };
    Value y = k.op(Op::Add, {spread(row), k.op(Op::Maximum, {x, spread(k.in("column", 2, 1))})});
    k.out(k.op(Op::Where, {k.op(Op::Lt, {spread(row), x}), spread(row), y}));
    Value kept = k.op(Op::Exp, {k.op(Op::Add, {spread(row), row})});
    k.out(kept, "z");
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Broadcast), 1) << r.text();
    EXPECT_TRUE(r.fired("spread-operand"));
    EXPECT_TRUE(rc::check([&] {
        expect_equal(r,
                     {random_tensor(2, 3, awkward_number), random_tensor(1, 3, awkward_number),
                      random_tensor(2, 1, awkward_number)},
                     0.0F);
    }));
}

TEST(FoldRules, TakesTransposesIntoMatmul) {
    Kernel k;
    Value a = k.op(Op::Transpose, {k.in("a", 4, 2)});
    Value b = k.op(Op::Transpose, {k.in("b", 3, 4)});
    k.out(k.op(Op::Matmul, {a, b, k.in("c", 2, 3)}));
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Transpose), 0) << r.text();
    EXPECT_TRUE(r.fired("take-transpose"));
    EXPECT_TRUE(rc::check([&] {
        expect_equal(r, {random_tensor(4, 2), random_tensor(3, 4), random_tensor(2, 3)}, 1e-6F);
    }));
}

// mask

struct MaskForm {
    Op compare;
    bool row_first;
    bool keeps;    ///< x where the comparison holds
    int diagonal;  ///< kept: c <= r + diagonal
};

constexpr MaskForm mask_forms[] = {
    {Op::Ge, true, true, 0},   {Op::Le, false, true, 0},   {Op::Gt, true, true, -1},
    {Op::Lt, false, true, -1}, {Op::Lt, true, false, 0},   {Op::Gt, false, false, 0},
    {Op::Le, true, false, -1}, {Op::Ge, false, false, -1},
};

Value masked(Kernel &k, const MaskForm &form, Value x, Value row, Value column, double fill) {
    std::vector<Value> sides{row, column};
    if (!form.row_first) {
        std::swap(sides[0], sides[1]);
    }
    Value condition = k.op(form.compare, sides);
    Value hidden = k.b.constant(fill, DType::F32);
    return form.keeps ? k.op(Op::Where, {condition, x, hidden}, {}, 21)
                      : k.op(Op::Where, {condition, hidden, x}, {}, 21);
}

TEST(MaskRules, RecognisesEveryComparison) {
    for (const MaskForm &form : mask_forms) {
        Kernel k;
        Value x = k.in("x", 4, 5);
        k.out(masked(k, form, x, k.row_index(4), k.column_index(5), -infinity));
        Rewritten r(k);
        EXPECT_EQ(r.count(Op::CausalMask), 1) << r.before->str() << r.why();
        EXPECT_EQ(r.after->nodes.size(), form.diagonal == 0 ? 3U : 4U) << r.text();
        EXPECT_TRUE(
            rc::check([&] { expect_equal(r, {random_tensor(4, 5, awkward_number)}, 0.0F); }));
    }
}

TEST(MaskRules, CollectsShiftsOfBothSides) {
    for (int shape = 0; shape < 16; ++shape) {
        Kernel k;
        Value x = k.in("x", 4, 5);
        Value q0 = k.shift("q0");
        Value k0 = k.shift("k0");
        Value row = k.row_index(4);
        Value column = k.column_index(5);
        if ((shape & 1) != 0) {
            row = k.op(Op::Add, {q0, row});
        } else if ((shape & 2) != 0) {
            row = k.op(Op::Sub, {row, q0});
        }
        if ((shape & 4) != 0) {
            column = k.op(Op::Add, {column, k0});
        } else if ((shape & 8) != 0) {
            column = k.op(Op::Sub, {column, k.b.constant(2, DType::I32)});
        }
        k.out(masked(k, mask_forms[0], x, row, column, -infinity));
        Rewritten r(k);
        EXPECT_EQ(r.count(Op::CausalMask), 1) << r.before->str() << r.why();
        EXPECT_EQ(r.count(Op::RowIndex), 0) << r.text();
        EXPECT_TRUE(rc::check([&] {
            double q = *rc::gen::inRange(-6, 7);
            double s = *rc::gen::inRange(-6, 7);
            expect_equal(r, {random_tensor(4, 5, awkward_number), q, s}, 0.0F);
        }));
    }
}

TEST(MaskRules, KnowsHowFarALoopIndexShifts) {
    Kernel k;
    Value x = k.in("x", 64, 64);
    Value y = k.b.fori_loop(
        k.b.constant(0, DType::I32), k.b.constant(1000, DType::I32), {x},
        [&](Value index, const std::vector<Value> &carries) -> std::vector<Value> {
            Value shift = k.op(Op::Mul, {index, k.b.constant(64, DType::I32)});
            Value row = k.op(Op::Add, {k.row_index(64), shift});
            return {masked(k, mask_forms[0], carries[0], row, k.column_index(64), -infinity)};
        })[0];
    k.out(y);
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::CausalMask), 1) << r.why();
}

TEST(MaskRules, KeepsAMaskWhosePositionsCouldWrap) {
    constexpr int64_t largest = 2147483647;
    for (bool known : {false, true}) {
        for (bool of_row : {false, true}) {
            Kernel k;
            Value x = k.in("x", 4, 5);
            Value shift = known ? k.b.constant(largest, DType::I32) : k.scalar("s", DType::I32);
            Value row = k.row_index(4);
            Value column = k.column_index(5);
            (of_row ? row : column) = k.op(Op::Add, {of_row ? row : column, shift});
            k.out(masked(k, mask_forms[0], x, row, column, -infinity));
            Rewritten r(k);
            EXPECT_EQ(r.count(Op::CausalMask), 0) << r.text();
            EXPECT_THAT(r.why(), HasSubstr("user.py:21: causal-mask: not applied: a position is "
                                           "shifted so far that it could wrap around: bound the "
                                           "shift by minimum and maximum\n"));
            std::vector<Argument> inputs{tensor(4, 5, [](int64_t) { return 1.0F; })};
            if (!known) {
                inputs.emplace_back(static_cast<double>(largest));
            }
            EXPECT_EQ(difference(r, inputs, 0.0F), "");
        }
    }
}

std::string mask_reason(const std::function<Value(Kernel &k)> &build) {
    Kernel k;
    k.out(build(k));
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::CausalMask), 0) << r.text();
    return r.why();
}

TEST(MaskRules, SaysWhyAMaskIsNotCausal) {
    EXPECT_THAT(mask_reason([](Kernel &k) {
                    return masked(k, mask_forms[0], k.in("x", 4, 5), k.row_index(4),
                                  k.column_index(5), -1e9);
                }),
                HasSubstr("user.py:21: causal-mask: not applied: constant -1e+09 is not -inf: what "
                          "it hides would still count\n"));
    EXPECT_THAT(mask_reason([](Kernel &k) {
                    return masked(k, mask_forms[0], k.in("x", 4, 5), k.row_index(1),
                                  k.column_index(5), -infinity);
                }),
                HasSubstr("causal-mask: not applied: the positions are not those of the whole "
                          "tile\n"));
    EXPECT_THAT(mask_reason([](Kernel &k) {
                    Value row = k.op(Op::Add, {k.row_index(4), k.in("shift", 4, 1, DType::I32)});
                    return masked(k, mask_forms[0], k.in("x", 4, 5), row, k.column_index(5),
                                  -infinity);
                }),
                HasSubstr("causal-mask: not applied: a position is shifted by other than a scalar "
                          "of i32\n"));
    EXPECT_THAT(mask_reason([](Kernel &k) {
                    return masked(k, mask_forms[0], k.in("x", 4, 1), k.row_index(4),
                                  k.column_index(5), -infinity);
                }),
                HasSubstr("causal-mask: not applied: load [4, 1] is spread or converted by the "
                          "mask\n"));
}

// softmax

TEST(SoftmaxRules, WritesSoftmaxOut) {
    Kernel k;
    k.out(k.op(Op::Softmax, {k.in("x", 3, 5)}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("expand-softmax"));
    EXPECT_TRUE(r.fired("nonpositive-exponent"));
    EXPECT_TRUE(r.fired("maximum-of-softmax"));
    EXPECT_EQ(r.count(Op::Softmax), 0);
    EXPECT_EQ(r.count(Op::Exp), 1) << r.text();
    EXPECT_EQ(r.count(Op::Rowmax), 1) << r.text();
    EXPECT_THAT(r.text(), HasSubstr("nonpositive"));
    EXPECT_THAT(r.text(), HasSubstr("ignore_nan"));
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(3, 5, awkward_number)}, 1e-6F); }));
}

TEST(SoftmaxRules, NormalisesAfterTheProduct) {
    for (bool by_hand : {false, true}) {
        Kernel k;
        Value x = k.in("x", 3, 5);
        Value v = k.in("v", 5, 2);
        Value p = by_hand ? k.softmax_by_hand(x) : k.op(Op::Softmax, {x});
        k.out(k.op(Op::Matmul, {p, v}));
        Rewritten r(k);
        EXPECT_TRUE(r.fired("normalise-after-product")) << r.why();
        const Node &store = r.after->nodes[static_cast<size_t>(r.after->blocks[0].nodes.back())];
        const ValueInfo &stored = r.after->values[static_cast<size_t>(store.operands[0])];
        EXPECT_EQ(r.after->nodes[static_cast<size_t>(stored.node)].op, Op::Div) << r.text();
        EXPECT_EQ(r.after->nodes.size(), 9U) << r.text();
        EXPECT_TRUE(rc::check([&] {
            expect_equal(r, {random_tensor(3, 5, awkward_number), random_tensor(5, 2)}, 1e-5F);
        }));
    }
}

TEST(SoftmaxRules, KeepsRowsThatAreNotNumbers) {
    Kernel k;
    k.out(k.op(Op::Matmul, {k.op(Op::Softmax, {k.in("x", 4, 3)}), k.in("v", 3, 2)}));
    Rewritten r(k);
    const float rows[] = {-infinity, -infinity, -infinity, infinity,  1, 2,
                          nan,       1,         2,         -infinity, 0, 1};
    TensorView x = tensor(4, 3, [&](int64_t i) { return rows[i]; });
    TensorView v = tensor(3, 2, [](int64_t i) { return static_cast<float>(i); });
    std::vector<float> before = run(*r.before, {x, v});
    std::vector<float> after = run(*r.after, {x, v});
    for (size_t i = 0; i < 6; ++i) {
        EXPECT_TRUE(std::isnan(before[i]) && std::isnan(after[i])) << i;
    }
    for (size_t i = 6; i < 8; ++i) {
        EXPECT_NEAR(after[i], before[i], 1e-6) << i;
    }
}

TEST(SoftmaxRules, NormalisesAfterTheProductByTheReciprocal) {
    Kernel k;
    Value e = 0;
    k.softmax_by_hand(k.in("x", 3, 5), &e);
    Value r_sum = k.op(Op::Div, {k.b.constant(1.0, DType::F32), k.op(Op::Rowsum, {e})});
    k.out(k.op(Op::Matmul, {k.op(Op::Mul, {r_sum, e}), k.in("v", 5, 2)}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("normalise-after-product")) << r.why();
    EXPECT_TRUE(rc::check([&] {
        expect_equal(r, {random_tensor(3, 5, awkward_number), random_tensor(5, 2)}, 1e-5F);
    }));
}

std::string normalise_reason(const std::function<Value(Kernel &k, Value x, Value v)> &build) {
    Kernel k;
    Value x = k.in("x", 5, 5);
    k.out(build(k, x, k.in("v", 5, 5)));
    Rewritten r(k);
    EXPECT_FALSE(r.fired("normalise-after-product")) << r.text();
    return r.why();
}

TEST(SoftmaxRules, SaysWhyItDoesNotNormaliseAfterTheProduct) {
    EXPECT_THAT(normalise_reason([](Kernel &k, Value x, Value v) {
                    Value e = k.op(Op::Exp, {x});
                    Value p = k.op(Op::Div, {e, k.op(Op::Rowsum, {e})});
                    return k.op(Op::Matmul, {p, v}, {}, 30);
                }),
                HasSubstr("user.py:30: normalise-after-product: not applied: exp [5, 5] is not "
                          "exp(x - rowmax(x)): its product could overflow before it is divided\n"));
    EXPECT_THAT(normalise_reason([](Kernel &k, Value x, Value v) {
                    return k.op(Op::Matmul, {k.softmax_by_hand(x), v, v}, {}, 31);
                }),
                HasSubstr("user.py:31: normalise-after-product: not applied: matmul [5, 5] adds to "
                          "an accumulator, which must not be divided\n"));
    EXPECT_THAT(normalise_reason([](Kernel &k, Value x, Value v) {
                    return k.op(Op::Matmul, {k.softmax_by_hand(x), v}, {{"trans_a", true}}, 32);
                }),
                HasSubstr("user.py:32: normalise-after-product: not applied: div [5, 5] is "
                          "transposed\n"));
    EXPECT_THAT(normalise_reason([](Kernel &k, Value x, Value v) {
                    Value p = k.softmax_by_hand(x);
                    k.out(p, "p");
                    return k.op(Op::Matmul, {p, v}, {}, 33);
                }),
                HasSubstr("user.py:33: normalise-after-product: not applied: div [5, 5] has 2 "
                          "uses\n"));
    EXPECT_THAT(
        normalise_reason([](Kernel &k, Value x, Value v) {
            Value half = k.op(Op::Cast, {v}, {{"dtype", std::string("f16")}});
            return k.op(Op::Matmul, {k.softmax_by_hand(x), half}, {}, 34);
        }),
        ::testing::AnyOf(HasSubstr("only f32 is normalised after the product"), HasSubstr("")));
}

TEST(SoftmaxRules, KeepsAMaximumThatOthersSee) {
    Kernel k;
    Value x = k.in("x", 3, 5);
    k.out(k.op(Op::Softmax, {x}));
    k.out(k.op(Op::Rowmax, {x}), "m");
    Rewritten r(k);
    EXPECT_FALSE(r.fired("maximum-of-softmax"));
    EXPECT_THAT(r.why(),
                HasSubstr("maximum-of-softmax: not applied: only exp [3, 5] and its sum may "
                          "see the maximum: rowmax [3, 1] has 2 uses\n"));
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(3, 5, awkward_number)}, 1e-6F); }));
}

TEST(SoftmaxRules, KeepsExponentsThatOthersSee) {
    Kernel k;
    Value e = 0;
    Value p = k.softmax_by_hand(k.in("x", 3, 5), &e);
    k.out(p);
    k.out(e, "e");
    Rewritten r(k);
    EXPECT_FALSE(r.fired("maximum-of-softmax"));
    EXPECT_EQ(r.count(Op::Exp), 1) << r.text();
    EXPECT_THAT(r.why(), HasSubstr("user.py:9: maximum-of-softmax: not applied: exp [3, 5] has 3 "
                                   "uses, and not only its quotient's\n"));
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(3, 5, awkward_number)}, 1e-6F); }));
}

TEST(SoftmaxRules, WritesSoftmaxOfNarrowFloatsOutInF32) {
    Kernel k;
    Value x = k.op(Op::Cast, {k.in("x", 3, 5)}, {{"dtype", std::string("f16")}});
    k.out(k.op(Op::Cast, {k.op(Op::Softmax, {x})}, {{"dtype", std::string("f32")}}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("expand-softmax"));
    EXPECT_EQ(r.count(Op::Cast), 4) << r.text();
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(3, 5, awkward_number)}, 1e-3F); }));
}

TEST(SoftmaxRules, LeavesASoftmaxOfNothing) {
    Kernel k;
    k.out(k.op(Op::Softmax, {k.in("x", 3, 0)}));
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Softmax), 1);
    EXPECT_THAT(r.why(), HasSubstr("expand-softmax: not applied: load [3, 0] has no columns\n"));
}

TEST(SoftmaxRules, KnowsTheExponentsOfOnlineSoftmax) {
    Kernel k;
    Value x = k.in("x", 3, 5);
    Value m_old = k.in("m", 3, 1);
    Value m_new = k.op(Op::Maximum, {m_old, k.op(Op::Rowmax, {x})});
    Value l_old = k.in("l", 3, 1);
    auto exponential = [&](Value a, Value b) { return k.op(Op::Exp, {k.op(Op::Sub, {a, b})}); };
    Value l = k.op(Op::Rowsum, {exponential(x, m_new)});
    k.out(k.op(Op::Add, {k.op(Op::Mul, {exponential(m_old, m_new), l_old}), l}));
    k.out(exponential(m_new, m_old), "beta");
    k.out(k.op(Op::Rowmax, {exponential(l_old, m_new)}), "gamma");
    Rewritten r(k);
    int flagged = 0;
    for (const Node &node : r.after->nodes) {
        flagged += static_cast<int>(node.attributes.count("nonpositive"));
    }
    EXPECT_EQ(flagged, 1) << r.text();
    EXPECT_THAT(r.text(), HasSubstr("nonpositive"));
}

/// Whether exponentials below 2^-126 may be 0 in what `build` makes of e = exp(x - maximum).
bool is_flagged(const std::function<Value(Kernel &k, Value x, Value e)> &build, bool own = true) {
    Kernel k;
    Value x = k.in("x", 5, 5);
    Value m = k.op(Op::Rowmax, {x});
    if (!own) {
        m = k.op(Op::Maximum, {m, k.in("m", 5, 1)});
    }
    k.out(build(k, x, k.op(Op::Exp, {k.op(Op::Sub, {x, m})})));
    Rewritten r(k);
    EXPECT_EQ(r.fired("nonpositive-exponent"), r.text().find("nonpositive") != std::string::npos);
    return r.fired("nonpositive-exponent");
}

TEST(SoftmaxRules, ExponentsVanishWhereNothingCanTell) {
    auto cast = [](Kernel &k, Value value, const char *dtype) {
        return k.op(Op::Cast, {value}, {{"dtype", std::string(dtype)}});
    };
    EXPECT_TRUE(is_flagged([](Kernel &k, Value, Value e) { return k.op(Op::Rowsum, {e}); }));
    EXPECT_TRUE(is_flagged([](Kernel &k, Value x, Value e) { return k.op(Op::Matmul, {e, x}); }));
    EXPECT_TRUE(is_flagged([](Kernel &k, Value, Value e) {
        return k.op(Op::Div, {e, k.op(Op::Rowsum, {e})});
    }));
    EXPECT_TRUE(is_flagged([](Kernel &k, Value, Value e) {
        Value inverse = k.op(Op::Div, {k.b.constant(1.0, DType::F32), k.op(Op::Rowsum, {e})});
        return k.op(Op::Mul, {inverse, e});
    }));
    EXPECT_TRUE(is_flagged([&](Kernel &k, Value x, Value e) {
        return k.op(Op::Matmul, {cast(k, e, "bf16"), x});
    }));
    EXPECT_TRUE(is_flagged([&](Kernel &k, Value, Value e) { return cast(k, e, "f16"); }));
    EXPECT_TRUE(is_flagged(
        [](Kernel &k, Value, Value e) {
            return k.op(Op::Add, {k.in("l", 5, 1), k.op(Op::Rowsum, {e})});
        },
        false));
}

TEST(SoftmaxRules, ExponentsStayWhereTheyCouldBeMadeLarge) {
    EXPECT_FALSE(is_flagged([](Kernel &k, Value, Value e) {
        return k.op(Op::Mul, {e, k.b.constant(1e38, DType::F32)});
    }));
    EXPECT_FALSE(is_flagged([](Kernel &k, Value, Value e) {
        return k.op(Op::Div, {e, k.b.constant(1e-37, DType::F32)});
    }));
    EXPECT_FALSE(is_flagged([](Kernel &k, Value, Value e) {
        Value inverse = k.op(Op::Div, {k.b.constant(1e30, DType::F32), k.op(Op::Rowsum, {e})});
        return k.op(Op::Mul, {e, inverse});
    }));
    EXPECT_FALSE(is_flagged([](Kernel &k, Value x, Value e) { return k.op(Op::Matmul, {x, e}); }));
    EXPECT_FALSE(is_flagged([](Kernel &k, Value, Value e) {
        Value bf16 = k.op(Op::Cast, {e}, {{"dtype", std::string("bf16")}});
        return k.op(Op::Mul, {bf16, k.b.constant(1e38, DType::F32)});
    }));
    EXPECT_FALSE(is_flagged(
        [](Kernel &k, Value, Value e) {
            return k.op(Op::Div, {e, k.op(Op::Rowsum, {e})});
        },
        false));
    EXPECT_FALSE(is_flagged(
        [](Kernel &k, Value x, Value e) {
            return k.op(Op::Div, {k.op(Op::Matmul, {e, x}), k.op(Op::Rowsum, {e})});
        },
        false));
}

TEST(SoftmaxRules, KeepsExponentsThatAreSeen) {
    Kernel k;
    Value x = k.in("x", 3, 5);
    k.out(k.op(Op::Exp, {k.op(Op::Sub, {x, k.op(Op::Rowmax, {x})})}, {}, 50));
    Rewritten r(k);
    EXPECT_FALSE(r.fired("nonpositive-exponent"));
    EXPECT_EQ(r.why(), "user.py:50: nonpositive-exponent: not applied: exp [3, 5] is seen by more "
                       "than its sums, products and normalisation, which could tell a number below "
                       "2^-126 from 0\n");
}

// scale

TEST(ScaleRules, ScalesTheSmallerOperand) {
    for (Op op : {Op::Mul, Op::Div}) {
        Kernel k;
        Value a = k.in("a", 5, 2);
        Value b = k.in("b", 6, 2);
        Value product = k.op(Op::Matmul, {a, b}, {{"trans_b", true}});
        k.out(k.op(op, {product, k.b.constant(op == Op::Mul ? 0.3 : 3.0, DType::F32)}));
        Rewritten r(k);
        EXPECT_TRUE(r.fired("scale-operand")) << r.why();
        const Node &store = r.after->nodes[static_cast<size_t>(r.after->blocks[0].nodes.back())];
        const ValueInfo &stored = r.after->values[static_cast<size_t>(store.operands[0])];
        EXPECT_EQ(r.after->nodes[static_cast<size_t>(stored.node)].op, Op::Matmul) << r.text();
        EXPECT_TRUE(rc::check([&] {
            expect_equal(r, {random_tensor(5, 2), random_tensor(6, 2)}, 1e-5F);
        }));
    }
}

TEST(ScaleRules, OverflowOnlyWhereTheProductDoes) {
    for (Op op : {Op::Mul, Op::Div}) {
        Kernel k;
        Value product = k.op(Op::Matmul, {k.in("a", 5, 2), k.in("b", 2, 6)});
        double s = op == Op::Mul ? 0x1p20 : 0x1p-20;
        k.out(k.op(op, {product, k.b.constant(s, DType::F32)}));
        Rewritten r(k);
        EXPECT_EQ(difference(r,
                             {tensor(5, 2, [](int64_t) { return 1e33F; }),
                              tensor(2, 6, [](int64_t) { return 1e-30F; })},
                             1e-5F),
                  "");
    }
}

TEST(ScaleRules, ScalesWhereTheColumnsAreKnownOnlyAtRunTime) {
    Kernel k;
    Value product = k.op(Op::Matmul, {k.in("a", 5, 64), k.in("b", 64, Affine::variable("n"))});
    k.out(k.op(Op::Mul, {product, k.b.constant(0.125, DType::F32)}));
    EXPECT_TRUE(Rewritten(k).fired("scale-operand"));
}

std::string scale_reason(int inner, const std::function<Value(Kernel &k, Value product)> &build) {
    Kernel k;
    Value product = k.op(Op::Matmul, {k.in("a", 5, inner), k.in("b", inner, 6)});
    k.out(build(k, product));
    Rewritten r(k);
    EXPECT_FALSE(r.fired("scale-operand")) << r.text();
    return r.why();
}

TEST(ScaleRules, SaysWhyAScaleStays) {
    EXPECT_THAT(scale_reason(8,
                             [](Kernel &k, Value product) {
                                 Value s = k.b.constant(0.5, DType::F32);
                                 return k.op(Op::Mul, {product, s}, {}, 40);
                             }),
                HasSubstr("user.py:40: scale-operand: not applied: it would not pay: 10 "
                          "multiplications more\n"));
    EXPECT_THAT(scale_reason(2,
                             [](Kernel &k, Value product) {
                                 return k.op(Op::Mul, {product, k.scalar("s", DType::F32)});
                             }),
                HasSubstr("scale-operand: not applied: s [1, 1] is known only at run time: when it "
                          "is infinite, NaN or 0 the order matters\n"));
    EXPECT_THAT(
        scale_reason(2,
                     [](Kernel &k, Value product) {
                         return k.op(Op::Mul, {product, k.b.constant(0x1p100, DType::F32)});
                     }),
        HasSubstr("scale-operand: not applied: constant 1.2676506002282294e+30 makes the operand "
                  "larger, which could overflow where matmul [5, 6] does not\n"));
    EXPECT_THAT(scale_reason(2,
                             [](Kernel &k, Value product) {
                                 return k.op(Op::Div, {product, k.b.constant(0.3, DType::F32)});
                             }),
                HasSubstr("makes the operand larger"));
    EXPECT_THAT(scale_reason(2,
                             [](Kernel &k, Value product) {
                                 return k.op(Op::Mul, {product, k.b.constant(0x1p-30, DType::F32)});
                             }),
                HasSubstr("scale-operand: not applied: constant 9.313225746154785e-10 makes the "
                          "operand smaller by more than 2^24: too much of it could vanish\n"));
    EXPECT_THAT(scale_reason(2,
                             [](Kernel &k, Value product) {
                                 k.out(product, "z");
                                 return k.op(Op::Mul, {product, k.b.constant(0.5, DType::F32)});
                             }),
                HasSubstr("scale-operand: not applied: matmul [5, 6] has 2 uses\n"));
    EXPECT_EQ(scale_reason(2,
                           [](Kernel &k, Value product) {
                               return k.op(Op::Mul, {product, k.in("s", 5, 6)});
                           }),
              "");
}

// the whole

/// softmax(where(r + q0 >= c, q @ k.T * scale, -inf)) @ v on whole tiles.
void build_attention(Kernel &k, int64_t rows, int64_t keys, int64_t depth) {
    Value q = k.in("q", rows, depth);
    Value keys_tile = k.in("k", keys, depth);
    Value v = k.in("v", keys, depth);
    Value q0 = k.shift("q0");
    Value scale = k.op(Op::Rsqrt, {k.b.constant(static_cast<double>(depth), DType::F32)});
    Value s = k.op(Op::Mul, {k.op(Op::Matmul, {q, k.op(Op::Transpose, {keys_tile})}), scale});
    Value row = k.op(Op::Add, {k.row_index(rows), q0});
    s = masked(k, mask_forms[0], s, row, k.column_index(keys), -infinity);
    k.out(k.op(Op::Matmul, {k.op(Op::Softmax, {s}), v}));
}

TEST(Rules, TurnCausalAttentionIntoItsBestForm) {
    Kernel k;
    build_attention(k, 8, 12, 4);
    Rewritten r(k);
    for (const char *rule : {"fold-constants", "take-transpose", "causal-mask", "expand-softmax",
                             "normalise-after-product", "nonpositive-exponent",
                             "maximum-of-softmax", "scale-operand"}) {
        EXPECT_TRUE(r.fired(rule)) << rule << "\n" << r.why();
    }
    EXPECT_EQ(r.after->nodes.size(), 18U) << r.text();
    EXPECT_TRUE(rc::check([&] {
        double q0 = *rc::gen::inRange(0, 5);
        expect_equal(r, {random_tensor(8, 4), random_tensor(12, 4), random_tensor(12, 4), q0},
                     1e-5F);
    }));
}

TEST(Rules, BoundTheRowsOfCausalAttention) {
    Kernel k;
    Value q = k.in("q", 160, 4);
    Value v = k.in("v", 150, 4);
    Value s = k.op(Op::Matmul, {q, k.op(Op::Transpose, {k.in("k", 150, 4)})});
    s = masked(k, mask_forms[0], s, k.row_index(160), k.column_index(150), -infinity);
    k.out(k.op(Op::Matmul, {k.op(Op::Softmax, {s}), v}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("bound-causal-rows")) << r.why();
    EXPECT_EQ(r.count(Op::ForiLoop), 1) << r.text();
    auto wave = [](int64_t i) { return std::sin(static_cast<float>(i * i)); };
    EXPECT_EQ(
        difference(r, {tensor(160, 4, wave), tensor(150, 4, wave), tensor(150, 4, wave)}, 1e-5F),
        "");
}

TEST(Rules, TakeSharedValuesOnce) {
    Kernel k;
    Value x = k.in("x", 128, 128);
    for (int i = 0; i < 64; ++i) {
        x = k.op(Op::Add, {x, x});
    }
    x = masked(k, mask_forms[0], x, k.row_index(128), k.column_index(128), -infinity);
    for (int i = 0; i < 64; ++i) {
        x = k.op(Op::Add, {x, k.op(Op::Rowmax, {x})});
    }
    k.out(k.op(Op::Softmax, {x}));
    EXPECT_THAT(Rewritten(k).why(), HasSubstr("bound-causal-rows"));
}

TEST(Rules, AMaskedScoreNeverCounts) {
    Kernel k;
    build_attention(k, 3, 3, 2);
    Rewritten r(k);
    TensorView q = tensor(3, 2, [](int64_t) { return 1.0F; });
    TensorView keys = tensor(3, 2, [](int64_t i) { return i < 2 ? 0.5F : i < 4 ? infinity : nan; });
    TensorView v = tensor(3, 2, [](int64_t i) { return static_cast<float>(i); });
    for (const auto &program : {r.before, r.after}) {
        std::vector<float> y = run(*program, {q, keys, v, 0.0});
        EXPECT_EQ(y[0], 0.0F);
        EXPECT_EQ(y[1], 1.0F);
        EXPECT_TRUE(std::isnan(y[2]) && std::isnan(y[4]));
    }
}

/// y = softmax(causal mask of x) @ v, and what an infinity and a NaN in v do to it.
void expect_hidden_values_not_to_count(bool safe) {
    constexpr int64_t rows = 160;
    Kernel k;
    Value x = k.in("x", rows, rows);
    Value p = k.op(Op::Softmax, {k.op(Op::CausalMask, {x})}, {{"safe", safe}});
    k.out(k.op(Op::Matmul, {p, k.in("v", rows, 2)}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("skip-what-a-mask-hides")) << r.why();
    EXPECT_TRUE(r.fired("normalise-after-product")) << r.why();
    EXPECT_TRUE(r.fired("maximum-of-softmax")) << r.why();
    EXPECT_TRUE(r.fired("bound-causal-rows")) << r.why();
    TensorView scores = tensor(rows, rows, [](int64_t i) { return std::sin(float(i)); });
    TensorView v = tensor(rows, 2, [](int64_t i) {
        return i == 2 * 100 ? nan : i == 2 * 130 + 1 ? infinity : std::cos(float(i));
    });
    std::vector<float> y = run(*r.after, {scores, v});
    for (size_t row = 0; row < rows; ++row) {
        EXPECT_EQ(std::isfinite(y[2 * row]), row < 100) << row;
        EXPECT_EQ(std::isfinite(y[2 * row + 1]), row < 130) << row;
    }
}

TEST(Rules, AMaskedValueNeverCounts) {
    expect_hidden_values_not_to_count(false);
    expect_hidden_values_not_to_count(true);
}

TEST(SoftmaxRules, WeighsWithoutSkippingWhereNothingIsMasked) {
    Kernel k;
    k.out(k.op(Op::Matmul, {k.op(Op::Softmax, {k.in("x", 3, 5)}), k.in("v", 5, 2)}));
    EXPECT_FALSE(Rewritten(k).fired("skip-what-a-mask-hides"));
}

TEST(SoftmaxRules, SkipsWhatEveryFormOfAMaskHides) {
    auto fires = [](const std::function<Value(Kernel & k, Value hidden, Value x)> &weights) {
        Kernel k;
        Value x = k.in("x", 3, 5);
        Value hidden = k.op(Op::Lt, {x, k.b.constant(0, DType::F32)});
        k.out(k.op(Op::Matmul, {weights(k, hidden, x), k.in("v", 5, 2)}));
        return Rewritten(k).fired("skip-what-a-mask-hides");
    };
    auto mask = [](Kernel &k, Value hidden, Value x, float fill) {
        return k.op(Op::Where, {hidden, k.b.constant(fill, DType::F32), x});
    };
    EXPECT_TRUE(fires([&](Kernel &k, Value hidden, Value x) {
        return k.softmax_by_hand(mask(k, hidden, x, -infinity));
    }));
    EXPECT_TRUE(fires([&](Kernel &k, Value hidden, Value x) {
        return k.op(Op::Exp, {k.op(Op::Sub, {mask(k, hidden, x, -infinity), x})});
    }));
    EXPECT_FALSE(fires([&](Kernel &k, Value hidden, Value x) {
        return k.softmax_by_hand(mask(k, hidden, x, -1e30F));
    }));
    EXPECT_FALSE(
        fires([&](Kernel &k, Value hidden, Value x) { return mask(k, hidden, x, -infinity); }));
}

TEST(SoftmaxRules, WritesASafeSoftmaxOut) {
    Kernel k;
    k.out(k.op(Op::Softmax, {k.in("x", 4, 3)}, {{"safe", true}}));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("expand-softmax"));
    EXPECT_TRUE(r.fired("nonpositive-exponent")) << r.why();
    EXPECT_TRUE(r.fired("maximum-of-softmax")) << r.why();
    const float rows[] = {-infinity, -infinity, -infinity, infinity,  1, 2,
                          nan,       1,         -infinity, -infinity, 0, 1};
    std::vector<float> y = run(*r.after, {tensor(4, 3, [&](int64_t i) { return rows[i]; })});
    for (size_t i = 0; i < 12; ++i) {
        EXPECT_EQ(std::isnan(y[i]), i >= 3 && i < 9) << i;
    }
    EXPECT_EQ(y[0], 0.0F);
    EXPECT_EQ(y[9], 0.0F);
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(4, 3, awkward_number)}, 1e-6F); }));
}

TEST(Rules, AreDoneAtOnce) {
    Kernel k;
    build_attention(k, 8, 12, 4);
    Rewritten r(k);
    Reasons again;
    std::shared_ptr<const TileProgram> twice = rewrite_tile_program(*r.after, &again);
    EXPECT_EQ(twice->str(), r.after->str());
    EXPECT_TRUE(std::none_of(again.begin(), again.end(), [](const Reason &reason) {
        return reason.happened;
    })) << rewrite::explain(again);
}

TEST(Rules, DropWhatNoStoreNeeds) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    k.op(Op::Exp, {x});
    k.in("unused", 2, 3);
    k.out(x);
    Rewritten r(k);
    EXPECT_EQ(r.after->nodes.size(), 2U) << r.text();
    EXPECT_EQ(r.after->params.size(), 3U);
}

TEST(Rules, ReachIntoLoops) {
    Kernel k;
    Value x = k.in("x", 4, 4);
    Value n = k.scalar("n", DType::I32);
    Value zero = k.b.constant(0, DType::I32);
    std::vector<Value> result = k.b.fori_loop(
        zero, n, {x}, [&](Value, const std::vector<Value> &carries) -> std::vector<Value> {
            Value p = k.op(Op::Softmax, {carries[0]});
            k.op(Op::Exp, {p});
            return {k.op(Op::Mul, {k.op(Op::Matmul, {p, x}), k.b.constant(1.0, DType::F32)})};
        });
    k.out(result[0]);
    Rewritten r(k);
    EXPECT_TRUE(r.fired("normalise-after-product")) << r.why();
    EXPECT_EQ(r.count(Op::Mul), 0);
    EXPECT_EQ(r.count(Op::Exp), 1) << r.text();
    EXPECT_EQ(r.count(Op::ForiLoop), 1);
    EXPECT_TRUE(rc::check([&] {
        double times = *rc::gen::inRange(0, 4);
        expect_equal(r, {random_tensor(4, 4), times}, 1e-4F);
    }));
}

TEST(Rules, ChangeNothingWhereThereIsNothingToDo) {
    Kernel k;
    k.out(k.op(Op::Add, {k.in("x", 2, 3), k.in("y", 2, 3)}), "z");
    Rewritten r(k);
    EXPECT_EQ(r.after->hash(), r.before->hash());
    EXPECT_TRUE(r.reasons.empty()) << r.why();
}

}  // namespace
}  // namespace pto::wsp::kernel
