#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/rewritten.h"

namespace pto::wsp::kernel {
namespace {

using ::testing::HasSubstr;

constexpr double eps = 1e-5;
constexpr int columns = 5;

Value f32(Kernel &k, double value) {
    return k.b.constant(value, DType::F32);
}

using Mean = Value (*)(Kernel &k, Value x);
using Normalise = Value (*)(Kernel &k, Value x, Value variance);

const Mean means[] = {
    [](Kernel &k, Value x) { return k.op(Op::Rowmean, {x}); },
    [](Kernel &k, Value x) {
        return k.op(Op::Div, {k.op(Op::Rowsum, {x}), f32(k, columns)});
    },
    [](Kernel &k, Value x) {
        return k.op(Op::Mul, {f32(k, 1.0 / columns), k.op(Op::Rowsum, {x})});
    },
};

const Normalise normalisations[] = {
    [](Kernel &k, Value x, Value v) {
        return k.op(Op::Mul, {x, k.op(Op::Rsqrt, {v})});
    },
    [](Kernel &k, Value x, Value v) {
        return k.op(Op::Div, {x, k.op(Op::Sqrt, {v})});
    },
    [](Kernel &k, Value x, Value v) {
        return k.op(Op::Mul, {k.op(Op::Div, {f32(k, 1), k.op(Op::Sqrt, {v})}), x});
    },
    [](Kernel &k, Value x, Value v) {
        Value wide = k.op(Op::Broadcast, {k.op(Op::Rsqrt, {v})},
                          {{"rows", Affine(3)}, {"columns", Affine(columns)}});
        return k.op(Op::Mul, {wide, x});
    },
};

Value by_hand(Kernel &k, Value x, Mean mean, Normalise normalise, double epsilon = eps) {
    Value variance = mean(k, k.op(Op::Mul, {x, x}));
    if (epsilon != 0) {
        variance = k.op(Op::Add, {f32(k, epsilon), variance});
    }
    return normalise(k, x, variance);
}

/// What the rules make of gamma * f(x).
std::string text_of(const std::function<Value(Kernel &k, Value x)> &f) {
    Kernel k;
    Value x = k.in("x", 3, columns);
    k.out(k.op(Op::Mul, {f(k, x), k.in("gamma", 1, columns)}));
    Rewritten r(k);
    EXPECT_TRUE(rc::check([&] {
        expect_equal(r, {random_tensor(3, columns, awkward_number), random_tensor(1, columns)},
                     1e-5F);
    }));
    return r.text();
}

Value normed(Kernel &k, Op op, Value x, double epsilon = eps) {
    return k.op(op, {x}, {{"eps", epsilon}});
}

TEST(NormRules, MakeTheSameOfEverySpelling) {
    for (Mean mean : means) {
        for (Normalise normalise : normalisations) {
            for (double epsilon : {eps, 0.0}) {
                EXPECT_EQ(text_of([&](Kernel &k, Value x) {
                              return by_hand(k, x, mean, normalise, epsilon);
                          }),
                          text_of([&](Kernel &k, Value x) {
                              return normed(k, Op::Rmsnorm, x,
                                            static_cast<double>(static_cast<float>(epsilon)));
                          }));
                EXPECT_EQ(text_of([&](Kernel &k, Value x) {
                              Value d = k.op(Op::Sub, {x, mean(k, x)});
                              return by_hand(k, d, mean, normalise, epsilon);
                          }),
                          text_of([&](Kernel &k, Value x) {
                              return normed(k, Op::Layernorm, x,
                                            static_cast<double>(static_cast<float>(epsilon)));
                          }));
            }
        }
    }
}

TEST(NormRules, WriteOutNarrowFloatsInF32) {
    for (DType dtype : {DType::F16, DType::BF16}) {
        for (Op op : {Op::Rmsnorm, Op::Layernorm}) {
            Kernel k;
            k.out(normed(k, op, k.in("x", 3, columns, dtype)));
            Rewritten r(k);
            EXPECT_TRUE(r.fired(op == Op::Rmsnorm ? "expand-rmsnorm" : "expand-layernorm"));
            EXPECT_EQ(r.count(Op::Cast), 2) << r.text();
            EXPECT_TRUE(rc::check([&] {
                std::vector<Argument> before = random_arguments(*r.before);
                std::vector<Argument> after = copied(before);
                evaluate(*r.before, before);
                evaluate(*r.after, after);
                for (int64_t i = 0; i < 3 * columns; ++i) {
                    auto a = static_cast<float>(element_of(std::get<TensorView>(after[1]), i));
                    auto b = static_cast<float>(element_of(std::get<TensorView>(before[1]), i));
                    RC_ASSERT(is_near(a, b, dtype == DType::F16 ? 1e-3F : 1e-2F));
                }
            }));
        }
    }
}

std::string why_not(const std::function<Value(Kernel &k, Value x)> &f, DType dtype = DType::F32) {
    Kernel k;
    k.out(f(k, k.in("x", 3, columns, dtype)));
    Rewritten r(k);
    EXPECT_FALSE(r.fired("rmsnorm") && !r.fired("layernorm")) << r.text();
    return r.why();
}

TEST(NormRules, SayWhyTheyDoNotFire) {
    EXPECT_THAT(why_not([](Kernel &k, Value x) {
                    Value sum = k.op(Op::Rowsum, {k.op(Op::Mul, {x, x})});
                    Value v = k.op(Op::Div, {sum, f32(k, columns - 1)});
                    return k.op(Op::Mul, {x, k.op(Op::Rsqrt, {v})}, {}, 90);
                }),
                HasSubstr("user.py:90: rmsnorm: not applied: the sum of squares is not divided by "
                          "the number of columns of load [3, 5]\n"));
    EXPECT_THAT(why_not(
                    [](Kernel &k, Value x) {
                        return k.op(
                            Op::Mul,
                            {x, k.op(Op::Rsqrt, {k.op(Op::Rowmean, {k.op(Op::Mul, {x, x})})})});
                    },
                    DType::F16),
                HasSubstr("rmsnorm: not applied: load [3, 5] is rounded or spread on the way\n"));
    EXPECT_THAT(why_not([](Kernel &k, Value x) {
                    return by_hand(k, x, means[0], normalisations[0], -1.0);
                }),
                HasSubstr("rmsnorm: not applied: constant -1 is no number >= 0\n"));
    EXPECT_THAT(
        why_not([](Kernel &k, Value x) {
            Value mean = k.op(Op::Rowmean, {x});
            Value square = k.op(Op::Mul, {mean, mean});
            Value variance = k.op(Op::Sub, {k.op(Op::Rowmean, {k.op(Op::Mul, {x, x})}), square});
            Value root = k.op(Op::Rsqrt, {k.op(Op::Add, {variance, f32(k, eps)})});
            return k.op(Op::Mul, {k.op(Op::Sub, {x, mean}), root}, {}, 91);
        }),
        HasSubstr("user.py:91: layernorm-of-moments: not applied: its variance is a "
                  "difference of means, which cancels: take the mean of the squares of "
                  "sub [3, 5]\n"));
}

TEST(NormRules, SayWhenTheMeanIsAnother) {
    Kernel k;
    Value x = k.in("x", 3, columns);
    Value d = k.op(Op::Sub, {x, k.op(Op::Div, {k.op(Op::Rowsum, {x}), f32(k, 7)})});
    k.out(by_hand(k, d, means[0], normalisations[0]));
    Rewritten r(k);
    EXPECT_TRUE(r.fired("rmsnorm"));
    EXPECT_THAT(r.why(), HasSubstr("layernorm: not applied: what is subtracted is not the mean of "
                                   "load [3, 5]\n"));
}

TEST(SoftmaxSpellings, MakeOneProgram) {
    using Spelling = Value (*)(Kernel & k, Value x);
    const Spelling spellings[] = {
        [](Kernel &k, Value x) { return k.op(Op::Softmax, {x}); },
        [](Kernel &k, Value x) { return k.softmax_by_hand(x); },
        [](Kernel &k, Value x) {
            Value e = k.op(Op::Exp, {k.op(Op::Add, {k.op(Op::Neg, {k.op(Op::Rowmax, {x})}), x})});
            return k.op(Op::Mul, {e, k.op(Op::Div, {f32(k, 1), k.op(Op::Rowsum, {e})})});
        },
        [](Kernel &k, Value x) {
            Attributes whole{{"rows", Affine(3)}, {"columns", Affine(columns)}};
            Value m = k.op(Op::Broadcast, {k.op(Op::Rowmax, {x})}, whole);
            Value e = k.op(Op::Exp, {k.op(Op::Sub, {x, m})});
            return k.op(Op::Div, {e, k.op(Op::Broadcast, {k.op(Op::Rowsum, {e})}, whole)});
        },
    };
    for (Spelling spelling : spellings) {
        for (bool with_product : {false, true}) {
            auto build = [&](Spelling each) {
                Kernel k;
                Value x = k.in("x", 3, columns);
                Value v = k.in("v", columns, 2);
                Value p = each(k, x);
                k.out(with_product ? k.op(Op::Matmul, {p, v}) : k.op(Op::Add, {p, p}));
                Rewritten r(k);
                EXPECT_TRUE(rc::check([&] {
                    expect_equal(
                        r, {random_tensor(3, columns, awkward_number), random_tensor(columns, 2)},
                        1e-5F);
                }));
                return r.text();
            };
            EXPECT_EQ(build(spelling), build(spellings[0]));
        }
    }
}

TEST(SoftmaxSpellings, ScaleBeforeTheMaximum) {
    for (double s : {0.25, 4.0}) {
        Kernel k;
        Value x = k.in("x", 3, columns);
        Value d = k.op(Op::Sub, {x, k.op(Op::Rowmax, {x})});
        Value e = k.op(Op::Exp, {k.op(Op::Mul, {d, f32(k, s)})}, {}, 95);
        k.out(k.op(Op::Div, {e, k.op(Op::Rowsum, {e})}));
        Rewritten r(k);
        EXPECT_EQ(r.fired("scale-before-maximum"), s < 1);
        if (s > 1) {
            EXPECT_THAT(r.why(), HasSubstr("user.py:95: scale-before-maximum: not applied: "
                                           "constant 4 is not in (0, 1]: what it makes larger "
                                           "could overflow\n"));
        }
        EXPECT_TRUE(rc::check(
            [&] { expect_equal(r, {random_tensor(3, columns, awkward_number)}, 1e-5F); }));
    }
}

TEST(SoftmaxSpellings, KeepAReciprocalThatCouldOverflow) {
    Kernel k;
    Value x = k.in("x", 3, columns);
    Value sum = k.op(Op::Rowsum, {k.op(Op::Exp, {x})});
    k.out(k.op(Op::Mul, {x, k.op(Op::Div, {f32(k, 1), sum})}, {}, 96));
    Rewritten r(k);
    EXPECT_FALSE(r.any_fired());
    EXPECT_THAT(r.why(), HasSubstr("user.py:96: divide-by-sum: not applied: rowsum [3, 1] is not "
                                   "the sum of exp(x - rowmax(x)): it could be so small that 1 / l "
                                   "overflows\n"));
}

}  // namespace
}  // namespace pto::wsp::kernel
