#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/rewritten.h"

namespace pto::wsp::kernel {
namespace {

using ::testing::HasSubstr;

using Build = std::function<Value(Kernel &k, Value x, Value y)>;

Value number(Kernel &k, double value, DType dtype) {
    return is_integer(dtype) ? k.b.constant(static_cast<int64_t>(value), dtype)
                             : k.b.constant(value, dtype);
}

Value cast(Kernel &k, Value x, const char *dtype) {
    return k.op(Op::Cast, {x}, {{"dtype", std::string(dtype)}});
}

Attributes shape(int rows, int columns) {
    return {{"rows", Affine(rows)}, {"columns", Affine(columns)}};
}

Value window(Kernel &k, Value x, int row, int column, int rows, int columns) {
    return k.op(Op::Slice, {x, number(k, row, DType::I32), number(k, column, DType::I32)},
                shape(rows, columns), 8);
}

const std::vector<DType> floats = {DType::F32, DType::F16, DType::BF16, DType::F64};
const std::vector<DType> integers = {DType::I8, DType::I32, DType::I64,
                                     DType::U8, DType::U32, DType::U64};
const std::vector<DType> with_sign = {DType::F32, DType::F16, DType::I8, DType::I32};
const std::vector<DType> some = {DType::F32, DType::BF16, DType::I16, DType::U32};

/// An expression of two tiles [4, 4] on which a rule fires, and what is left of it.
struct Fires {
    const char *rule;
    const std::vector<DType> *dtypes;
    Op gone;  ///< operations of which none is left
    Build build;
};

const std::vector<Fires> &cases() {
    static const std::vector<Fires> all = {
        {"subtract-negated", &some, Op::Neg,
         [](Kernel &k, Value x, Value y) {
             return k.op(Op::Sub, {x, k.op(Op::Neg, {y})});
         }},
        {"add-negated", &some, Op::Neg,
         [](Kernel &k, Value x, Value y) {
             return k.op(Op::Add, {k.op(Op::Neg, {y}), x});
         }},
        {"cancel-signs", &some, Op::Neg,
         [](Kernel &k, Value x, Value y) {
             return k.op(Op::Mul, {k.op(Op::Neg, {y}), k.op(Op::Neg, {x})});
         }},
        {"cancel-signs", &floats, Op::Neg,
         [](Kernel &k, Value x, Value y) {
             return k.op(Op::Div, {k.op(Op::Neg, {y}), k.op(Op::Neg, {x})});
         }},
        {"multiply-by-minus-one", &with_sign, Op::Mul,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Mul, {x, number(k, -1, k.b.type(x).dtype)});
         }},
        {"subtract-from-minus-zero", &floats, Op::Sub,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Sub, {number(k, -0.0, k.b.type(x).dtype), x});
         }},
        {"subtract-from-zero", &integers, Op::Sub,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Sub, {number(k, 0, k.b.type(x).dtype), x});
         }},
        {"absolute-of-negated", &with_sign, Op::Neg,
         [](Kernel &k, Value x, Value) { return k.op(Op::Abs, {k.op(Op::Neg, {x})}); }},
        {"drop-twin", &floats, Op::Exp,
         [](Kernel &k, Value x, Value) { return k.op(Op::Abs, {k.op(Op::Abs, {x})}); }},
        {"drop-twin", &with_sign, Op::Exp,
         [](Kernel &k, Value x, Value) { return k.op(Op::Relu, {k.op(Op::Relu, {x})}); }},
        {"relu-of-absolute", &floats, Op::Relu,
         [](Kernel &k, Value x, Value) { return k.op(Op::Relu, {k.op(Op::Abs, {x})}); }},
        {"sign-of-positive", &floats, Op::Relu,
         [](Kernel &k, Value x, Value) { return k.op(Op::Relu, {k.op(Op::Exp, {x})}); }},
        {"sign-of-positive", &floats, Op::Abs,
         [](Kernel &k, Value x, Value) { return k.op(Op::Abs, {k.op(Op::Sigmoid, {x})}); }},
        {"subtract-itself", &integers, Op::Sub,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Sub, {x, x});
         }},
        {"multiply-by-zero", &integers, Op::Mul,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Mul, {number(k, 0, k.b.type(x).dtype), x});
         }},
        {"floor-divide-by-one", &integers, Op::FloorDiv,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::FloorDiv, {x, number(k, 1, k.b.type(x).dtype)});
         }},
        {"remainder-of-one", &integers, Op::Mod,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Mod, {x, number(k, 1, k.b.type(x).dtype)});
         }},
        {"move-once", &some, Op::Exp,
         [](Kernel &k, Value x, Value) {
             Value one = k.op(Op::Rowmax, {k.op(Op::Colmax, {x})});
             return k.op(Op::Broadcast, {k.op(Op::Broadcast, {one}, shape(4, 1))}, shape(4, 4));
         }},
        {"move-once", &some, Op::Exp,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Reshape, {k.op(Op::Reshape, {x}, shape(2, 8))}, shape(8, 2));
         }},
        {"slice-whole", &some, Op::Slice,
         [](Kernel &k, Value x, Value) { return window(k, x, 0, 0, 4, 4); }},
        {"slice-once", &some, Op::Exp,
         [](Kernel &k, Value x, Value) { return window(k, window(k, x, 1, 0, 3, 4), 1, 2, 2, 1); }},
        {"slice-of-equals", &some, Op::Slice,
         [](Kernel &k, Value x, Value) {
             Value one = k.op(Op::Rowmax, {k.op(Op::Colmax, {x})});
             return window(k, k.op(Op::Broadcast, {one}, shape(6, 7)), 2, 2, 3, 2);
         }},
        {"transpose-of-one", &some, Op::Transpose,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Transpose, {k.op(Op::Rowmax, {k.op(Op::Colmax, {x})})});
         }},
        {"part-of-interleaved", &some, Op::Interleave,
         [](Kernel &k, Value x, Value y) {
             Value both = k.op(Op::Interleave, {x, y});
             return k.op(Op::Sub, {k.op(Op::SliceOdd, {both}), k.op(Op::SliceEven, {both})});
         }},
        {"interleave-parts", &some, Op::Interleave,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Interleave, {k.op(Op::SliceEven, {x}), k.op(Op::SliceOdd, {x})});
         }},
        {"choose-from-one", &some, Op::Where,
         [](Kernel &k, Value x, Value y) {
             return k.op(Op::Where, {k.op(Op::Lt, {x, y}), x, x});
         }},
        {"choose-known", &some, Op::Where,
         [](Kernel &k, Value x, Value y) {
             Value mask = k.op(Op::Le, {number(k, 1, DType::I32), number(k, 0.5, DType::F32)});
             return k.op(Op::Where, {mask, x, k.op(Op::Where, {mask, x, y})});
         }},
        {"extreme-of-one", &some, Op::Rowmin,
         [](Kernel &k, Value x, Value) { return k.op(Op::Rowmin, {k.op(Op::Rowmax, {x})}); }},
        {"extreme-of-one", &some, Op::Colmin,
         [](Kernel &k, Value x, Value) { return k.op(Op::Colmin, {k.op(Op::Colmax, {x})}); }},
        {"extreme-of-equals", &some, Op::Rowmin,
         [](Kernel &k, Value x, Value) {
             Value column = k.op(Op::Rowmax, {x});
             return k.op(Op::Rowmin, {k.op(Op::Broadcast, {column}, shape(4, 9))});
         }},
        {"compare-with-extreme", &floats, Op::Maximum,
         [](Kernel &k, Value x, Value) {
             return k.op(Op::Maximum, {number(k, -infinity, k.b.type(x).dtype), x});
         }},
        {"transpose-of-product", &floats, Op::Transpose,
         [](Kernel &k, Value x, Value y) {
             return k.op(Op::Transpose, {k.op(Op::Matmul, {x, y}, {{"trans_b", true}})});
         }},
        {"accumulate-onto-zero", &floats, Op::Broadcast,
         [](Kernel &k, Value x, Value y) {
             DType sum = k.b.type(x).dtype == DType::F64 ? DType::F64 : DType::F32;
             Value zero = k.op(Op::Broadcast, {number(k, 0, sum)}, shape(4, 4));
             return k.op(Op::Matmul, {x, y, zero});
         }},
    };
    return all;
}

TEST(SimplifyRules, FireAndChangeNoBit) {
    for (const Fires &each : cases()) {
        for (DType dtype : *each.dtypes) {
            Kernel k;
            Value x = k.in("x", 4, 4, dtype);
            k.out(each.build(k, x, k.in("y", 4, 4, dtype)), "z");
            Rewritten r(k);
            EXPECT_TRUE(r.fired(each.rule)) << each.rule << name(dtype) << r.why() << r.text();
            EXPECT_EQ(r.count(each.gone), 0) << each.rule << " " << name(dtype) << r.text();
            EXPECT_TRUE(rc::check([&] {
                if (std::string found = difference_of_bits(r, true); !found.empty()) {
                    RC_FAIL(found);
                }
            })) << each.rule;
        }
    }
}

TEST(SimplifyRules, LeaveOneChoiceOfTwoByOneMask) {
    for (bool first : {true, false}) {
        Kernel k;
        Value x = k.in("x", 2, 3);
        Value y = k.in("y", 2, 3);
        Value mask = k.op(Op::Lt, {x, y});
        Value inner = k.op(Op::Where, {mask, k.op(Op::Exp, {x}), k.op(Op::Exp, {y})});
        k.out(first ? k.op(Op::Where, {mask, inner, x}) : k.op(Op::Where, {mask, x, inner}), "z");
        Rewritten r(k);
        EXPECT_TRUE(r.fired("choose-once")) << r.why();
        EXPECT_EQ(r.count(Op::Where), 1);
        EXPECT_EQ(r.count(Op::Exp), 1) << r.text();
        EXPECT_TRUE(rc::check([&] { RC_ASSERT(difference_of_bits(r, true).empty()); }));
    }
}

TEST(SimplifyRules, ConvertOnceWhereTheTypeBetweenHoldsAll) {
    struct Chain {
        DType from;
        const char *between;
        const char *to;
        int casts;
    };
    const Chain chains[] = {
        {DType::F16, "f32", "f16", 0}, {DType::BF16, "f64", "bf16", 0},
        {DType::I8, "i32", "i8", 0},   {DType::U8, "f16", "u8", 0},
        {DType::I32, "f64", "i32", 0}, {DType::F16, "f32", "bf16", 1},
        {DType::I32, "i64", "u8", 1},  {DType::U8, "i16", "f32", 1},
        {DType::I32, "f32", "i32", 2}, {DType::F32, "f16", "f32", 2},
        {DType::I32, "f64", "i8", 2},  {DType::BF16, "f16", "bf16", 2},
        {DType::I8, "u32", "f32", 2},  {DType::F32, "f64", "i32", 1},
        {DType::U32, "i32", "u32", 2},
    };
    for (const Chain &chain : chains) {
        Kernel k;
        k.out(cast(k, cast(k, k.in("x", 3, 4, chain.from), chain.between), chain.to));
        Rewritten r(k);
        EXPECT_EQ(r.count(Op::Cast), chain.casts) << r.before->str();
        EXPECT_EQ(r.fired("cast-there-and-back"), chain.casts == 0);
        EXPECT_EQ(r.fired("cast-once"), chain.casts == 1);
        EXPECT_TRUE(rc::check([&] { RC_ASSERT(difference_of_bits(r, true).empty()); }));
        if (chain.casts == 2) {
            EXPECT_THAT(r.why(), HasSubstr("not applied: cast [3, 4] rounds or wraps load [3, 4]"));
        }
    }
}

/// Why the rule does not fire on tiles of `dtype`.
std::string why_not(DType dtype, const Build &build) {
    Kernel k;
    Value x = k.in("x", 4, 4, dtype);
    Value y = build(k, x, k.in("y", 4, 4, dtype));
    k.out(y, "z");
    Rewritten r(k);
    EXPECT_FALSE(r.any_fired()) << r.text();
    return r.why();
}

TEST(SimplifyRules, SayWhyTheyDoNotFire) {
    EXPECT_EQ(why_not(DType::F32,
                      [](Kernel &k, Value x, Value) {
                          return k.op(Op::Sub, {x, x}, {}, 7);
                      }),
              "user.py:7: subtract-itself: not applied: load [4, 4] may be infinite or NaN\n");
    EXPECT_EQ(why_not(DType::F16,
                      [](Kernel &k, Value x, Value) {
                          return k.op(Op::Mul, {x, number(k, 0, DType::F16)}, {}, 7);
                      }),
              "user.py:7: multiply-by-zero: not applied: load [4, 4] may be negative, infinite or "
              "NaN\n");
    EXPECT_EQ(why_not(DType::F32,
                      [](Kernel &k, Value x, Value) {
                          return k.op(Op::Sub, {number(k, 0, DType::F32), x}, {}, 7);
                      }),
              "user.py:7: subtract-from-zero: not applied: where load [4, 4] is 0 the difference "
              "is 0, not -0\n");
    EXPECT_EQ(why_not(DType::U8,
                      [](Kernel &k, Value x, Value y) {
                          Value wide = cast(k, y, "i32");
                          return k.op(Op::Sub, {wide, k.op(Op::Neg, {x})}, {}, 7);
                      }),
              "user.py:7: subtract-negated: not applied: the sign of an integer is changed before "
              "it is widened\n");
    EXPECT_THAT(why_not(DType::U8,
                        [](Kernel &k, Value x, Value y) {
                            Value wide = cast(k, y, "i32");
                            return k.op(Op::Add, {wide, k.op(Op::Neg, {x})}, {}, 7);
                        }),
                HasSubstr("add-negated: not applied: the sign of an integer is changed"));
    EXPECT_THAT(why_not(DType::I32, [](Kernel &k, Value x,
                                       Value) { return k.op(Op::Relu, {k.op(Op::Abs, {x})}); }),
                HasSubstr("relu-of-absolute: not applied: the absolute value of the lowest integer "
                          "is itself"));
    EXPECT_THAT(why_not(DType::F32,
                        [](Kernel &k, Value x, Value) {
                            return k.op(Op::Sub, {number(k, -0.0, DType::F32), cast(k, x, "f16")});
                        }),
                HasSubstr("subtract-from-minus-zero: not applied: cast [4, 4] is spread or "
                          "converted by it"));
    EXPECT_THAT(why_not(DType::F32,
                        [](Kernel &k, Value x, Value y) {
                            Value mask = k.op(Op::Lt, {x, y});
                            Value row = k.op(Op::Rowmax, {x});
                            return k.op(Op::Where, {mask, row, row});
                        }),
                HasSubstr("choose-from-one: not applied: rowmax [4, 1] is spread or converted"));
    EXPECT_THAT(why_not(DType::F32,
                        [](Kernel &k, Value x, Value y) {
                            Value mask = k.op(Op::Rowmax, {x});
                            mask = k.op(Op::Lt, {mask, k.op(Op::Rowmax, {y})});
                            Value row = k.op(Op::Rowmin, {x});
                            Value inner = k.op(Op::Where, {mask, row, x});
                            return k.op(Op::Where, {mask, inner, row});
                        }),
                HasSubstr("choose-once: not applied: load [4, 4] spreads or converts the rest"));
    EXPECT_THAT(why_not(DType::F32,
                        [](Kernel &k, Value x, Value y) {
                            Value product = k.op(Op::Matmul, {x, y});
                            return k.op(Op::Add, {product, k.op(Op::Transpose, {product})});
                        }),
                HasSubstr("transpose-of-product: not applied: matmul [4, 4] has 2 uses"));
    EXPECT_THAT(why_not(DType::F32,
                        [](Kernel &k, Value x, Value y) {
                            return k.op(Op::Transpose, {k.op(Op::Matmul, {x, y, x})});
                        }),
                HasSubstr("transpose-of-product: not applied: matmul [4, 4] adds to an "
                          "accumulator"));
}

TEST(SimplifyRules, KeepWindowsThatCouldBeRefused) {
    Kernel k;
    Value x = k.in("x", 4, 4);
    Value row = k.scalar("row", DType::I32);
    Value inner = k.op(Op::Slice, {x, row, number(k, 0, DType::I32)}, shape(3, 4));
    k.out(window(k, inner, 1, 1, 2, 2));
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Slice), 2);
    EXPECT_EQ(r.why(), "user.py:8: slice-once: not applied: the window may leave what it is cut "
                       "from, which is an error\n");
    Kernel spread;
    Value wide = spread.op(Op::Broadcast, {spread.in("x", 4, 1)}, shape(4, 6));
    spread.out(window(spread, wide, 1, 1, 2, 2));
    EXPECT_THAT(Rewritten(spread).why(),
                HasSubstr("slice-of-equals: not applied: load [4, 1] is more than one element"));
}

TEST(SimplifyRules, KeepWhatRoundsTwice) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    k.out(k.op(Op::Div, {number(k, 1, DType::F32), k.op(Op::Sqrt, {x})}));
    k.out(k.op(Op::Relu, {k.op(Op::Maximum, {x, number(k, 0, DType::F32)})}), "z");
    Rewritten r(k);
    EXPECT_FALSE(r.any_fired()) << "1 / sqrt(x) rounds twice, rsqrt(x) once";
}

}  // namespace
}  // namespace pto::wsp::kernel
