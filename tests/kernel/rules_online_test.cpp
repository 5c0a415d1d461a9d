#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/rewritten.h"

namespace pto::wsp::kernel {
namespace {

using ::testing::HasSubstr;

Value i32(Kernel &k, int64_t value) {
    return k.b.constant(value, DType::I32);
}

Value f32(Kernel &k, double value) {
    return k.b.constant(value, DType::F32);
}

/// Attention of 3 queries to 12 keys of 4, in blocks of `block` keys.
struct Form {
    bool in_line = false;      ///< a block after the other instead of a loop
    bool first_apart = false;  ///< in line: nothing before the first block
    bool slices = false;       ///< of keys that are loaded whole, and turned
    bool causal = false;
    bool narrow = false;       ///< exponents converted to f16 for the product
    bool accumulates = false;  ///< matmul(p, v, acc * alpha)
    double start = -infinity;
    int64_t first_block = 0;  ///< keys before it are left out
};

constexpr int64_t rows = 3;
constexpr int64_t keys = 12;
constexpr int64_t depth = 4;
constexpr int64_t block = 4;
constexpr double scale = 0.5;

struct Inputs {
    Value q;
    int k;
    int v;
};

Inputs inputs(Kernel &k) {
    int q = k.tile("q", Direction::In, rows, depth);
    Inputs made{0, k.tile("k", Direction::In, keys, depth),
                k.tile("v", Direction::In, keys, depth)};
    made.q = k.b.load(q);
    return made;
}

Value window(Kernel &k, int param, bool slices, Value row) {
    if (!slices) {
        return k.b.load(param, row, i32(k, 0), block, depth);
    }
    return k.op(Op::Slice, {k.b.load(param), row, i32(k, 0)},
                {{"rows", Affine(block)}, {"columns", Affine(depth)}});
}

/// One block: the next maximum, sum and product.
std::vector<Value> step(Kernel &k, const Form &form, const Inputs &in, Value index,
                        const std::vector<Value> &before) {
    Value row = k.op(Op::Mul, {index, i32(k, block)});
    Value kj = window(k, in.k, form.slices, row);
    Value s = form.slices ? k.op(Op::Matmul, {in.q, k.op(Op::Transpose, {kj})})
                          : k.op(Op::Matmul, {in.q, kj}, {{"trans_b", true}});
    s = k.op(Op::Mul, {s, f32(k, scale)});
    if (form.causal) {
        Value column = k.op(Op::Add, {k.column_index(block), row});
        Value seen = k.op(Op::Ge, {k.op(Op::Add, {k.row_index(rows), i32(k, 2)}), column});
        s = k.op(Op::Where, {seen, s, f32(k, -infinity)});
    }
    Value m = k.op(Op::Rowmax, {s});
    if (!before.empty()) {
        m = k.op(Op::Maximum, {before[0], m});
    }
    Value p = k.op(Op::Exp, {k.op(Op::Sub, {s, m})});
    Value sum = k.op(Op::Rowsum, {p});
    if (form.narrow) {
        p = k.op(Op::Cast, {p}, {{"dtype", std::string("f16")}});
    }
    Value v = window(k, in.v, form.slices, row);
    if (before.empty()) {
        return {m, sum, k.op(Op::Matmul, {p, v})};
    }
    Value alpha = k.op(Op::Exp, {k.op(Op::Sub, {before[0], m})});
    Value l = k.op(Op::Add, {sum, k.op(Op::Mul, {before[1], alpha})});
    Value rescaled = k.op(Op::Mul, {alpha, before[2]});
    return {m, l,
            form.accumulates ? k.op(Op::Matmul, {p, v, rescaled})
                             : k.op(Op::Add, {rescaled, k.op(Op::Matmul, {p, v})})};
}

/// The last maximum, sum and product.
std::vector<Value> blockwise(Kernel &k, const Form &form, const Inputs &in) {
    auto tile = [&](double value, int64_t columns) {
        return k.op(Op::Broadcast, {f32(k, value)},
                    {{"rows", Affine(rows)}, {"columns", Affine(columns)}});
    };
    std::vector<Value> carries{tile(form.start, 1), tile(0, 1), tile(0, depth)};
    if (!form.in_line) {
        return k.b.fori_loop(i32(k, form.first_block), i32(k, keys / block), carries,
                             [&](Value index, const std::vector<Value> &before) {
                                 return step(k, form, in, index, before);
                             },
                             {"user.py", 70});
    }
    if (form.first_apart) {
        carries.clear();
    }
    for (int64_t j = 0; j < keys / block; ++j) {
        carries = step(k, form, in, i32(k, j), carries);
    }
    return carries;
}

void online(Kernel &k, const Form &form) {
    Inputs in = inputs(k);
    std::vector<Value> last = blockwise(k, form, in);
    k.out(k.op(Op::Div, {last[2], last[1]}), "o");
}

/// The same by `softmax`.
void whole(Kernel &k, const Form &form) {
    Inputs in = inputs(k);
    Value s = k.op(Op::Matmul, {in.q, k.b.load(in.k)}, {{"trans_b", true}});
    s = k.op(Op::Mul, {s, f32(k, scale)});
    if (form.causal) {
        s = k.op(Op::CausalMask, {s, i32(k, 2)});
    }
    k.out(k.op(Op::Matmul, {k.op(Op::Softmax, {s}), k.b.load(in.v)}), "o");
}

const Form same_as_softmax[] = {
    {},
    {.start = -1e30},
    {.start = std::numeric_limits<float>::lowest()},
    {.slices = true},
    {.accumulates = true},
    {.causal = true},
    {.in_line = true},
    {.in_line = true, .start = -1e30},
    {.in_line = true, .first_apart = true},
    {.in_line = true, .slices = true, .accumulates = true},
    {.in_line = true, .first_apart = true, .causal = true},
};

TEST(OnlineRules, MakeTheSameOfBlocksAndOfSoftmax) {
    for (const Form &form : same_as_softmax) {
        Kernel by_blocks;
        online(by_blocks, form);
        Rewritten blocks(by_blocks);
        Kernel at_once;
        whole(at_once, form);
        Rewritten softmax(at_once);
        EXPECT_TRUE(blocks.fired("online-softmax")) << blocks.why() << blocks.before->str();
        EXPECT_EQ(blocks.text(), softmax.text()) << blocks.why();
        EXPECT_TRUE(rc::check([&] {
            expect_equal(blocks,
                         {random_tensor(rows, depth), random_tensor(keys, depth),
                          random_tensor(keys, depth)},
                         1e-5F);
        }));
    }
}

TEST(OnlineRules, KeepWhatElseIsAskedOfTheBlocks) {
    for (bool in_line : {false, true}) {
        Kernel k;
        Inputs in = inputs(k);
        std::vector<Value> last = blockwise(k, {.in_line = in_line, .narrow = true}, in);
        k.out(last[2], "acc");
        k.out(k.op(Op::Add, {last[0], k.op(Op::Log, {last[1]})}), "lse");
        Rewritten r(k);
        EXPECT_TRUE(r.fired("online-softmax")) << r.why();
        EXPECT_EQ(r.fired("maximum-of-blocks"), in_line);
        EXPECT_EQ(r.count(Op::ForiLoop), 0) << r.text();
        EXPECT_EQ(r.count(Op::Rowmax), 1) << r.text();
        EXPECT_TRUE(rc::check([&] {
            expect_equal(r,
                         {random_tensor(rows, depth), random_tensor(keys, depth),
                          random_tensor(keys, depth)},
                         3e-3F);
        }));
    }
}

TEST(OnlineRules, TakeStatisticsAlone) {
    Kernel k;
    Value x = k.in("x", 3, 12);
    Value low =
        k.op(Op::Broadcast, {f32(k, -infinity)}, {{"rows", Affine(3)}, {"columns", Affine(1)}});
    Value zero = k.op(Op::Broadcast, {f32(k, 0)}, {{"rows", Affine(3)}, {"columns", Affine(1)}});
    std::vector<Value> last = k.b.fori_loop(
        i32(k, 0), i32(k, 3), {zero, low},
        [&](Value index, const std::vector<Value> &c) -> std::vector<Value> {
            Value column = k.op(Op::Mul, {i32(k, 4), index});
            Value s = k.op(Op::Slice, {x, i32(k, 0), column},
                           {{"rows", Affine(3)}, {"columns", Affine(4)}});
            Value m = k.op(Op::Maximum, {k.op(Op::Rowmax, {s}), c[1]});
            Value alpha = k.op(Op::Exp, {k.op(Op::Sub, {c[1], m})});
            Value p = k.op(Op::Exp, {k.op(Op::Sub, {s, m})});
            return {k.op(Op::Add, {k.op(Op::Mul, {c[0], alpha}), k.op(Op::Rowsum, {p})}), m};
        });
    k.out(k.op(Op::Div, {k.op(Op::Exp, {k.op(Op::Sub, {x, last[1]})}), last[0]}));
    Rewritten r(k);
    Kernel softmax;
    softmax.out(softmax.op(Op::Softmax, {softmax.in("x", 3, 12)}));
    EXPECT_EQ(r.text(), Rewritten(softmax).text()) << r.why();
    EXPECT_TRUE(rc::check([&] { expect_equal(r, {random_tensor(3, 12)}, 1e-5F); }));
}

TEST(OnlineRules, TakeBlocksFromTheMiddle) {
    Kernel k;
    online(k, {.first_block = 1});
    Rewritten r(k);
    EXPECT_TRUE(r.fired("online-softmax")) << r.why();
    EXPECT_THAT(r.text(), HasSubstr("load %k, "));
    EXPECT_TRUE(rc::check([&] {
        expect_equal(
            r, {random_tensor(rows, depth), random_tensor(keys, depth), random_tensor(keys, depth)},
            1e-5F);
    }));
}

TEST(OnlineRules, TakeOneBlock) {
    Kernel k;
    online(k, {.first_block = 2});
    Rewritten r(k);
    EXPECT_TRUE(r.fired("run-loop-in-line"));
    EXPECT_TRUE(r.fired("online-softmax")) << r.why();
    EXPECT_EQ(r.count(Op::Exp), 1) << r.text();
    EXPECT_TRUE(rc::check([&] {
        expect_equal(
            r, {random_tensor(rows, depth), random_tensor(keys, depth), random_tensor(keys, depth)},
            1e-5F);
    }));
}

TEST(OnlineRules, SayInWhichRowsBlocksAreNoSoftmax) {
    TensorView q = tensor(rows, depth, [](int64_t) { return 1.0F; });
    TensorView low = tensor(keys, depth, [](int64_t i) { return i < 16 ? -infinity : 1.0F; });
    TensorView v = tensor(keys, depth, [](int64_t i) { return static_cast<float>(i); });
    Kernel k;
    online(k, {});
    Rewritten r(k);
    std::vector<float> before = run(*r.before, {q, low, v});
    std::vector<float> after = run(*r.after, {q, low, v});
    EXPECT_TRUE(std::isnan(before[0])) << "the first block has no number";
    EXPECT_FLOAT_EQ(after[0], 30.0F);
}

/// Why blocks of a loop stay as they are.
std::string why_not(const std::function<void(Kernel &k)> &build) {
    Kernel k;
    build(k);
    Rewritten r(k);
    EXPECT_FALSE(r.fired("online-softmax")) << r.text();
    return r.why();
}

/// A loop over blocks of `x` [3, 12] whose scores are `score(window, index, carries)`.
void loop(Kernel &k, Value start, Value hi,
          const std::function<Value(Value window, Value index, Value l)> &score,
          const std::function<Value(Value l)> &sum = nullptr, int64_t stride = 4) {
    Value x = k.in("x", 3, 12);
    Value zero = k.op(Op::Broadcast, {f32(k, 0)}, {{"rows", Affine(3)}, {"columns", Affine(1)}});
    std::vector<Value> last = k.b.fori_loop(
        i32(k, 0), hi, {start, zero},
        [&](Value index, const std::vector<Value> &c) -> std::vector<Value> {
            Value s = k.op(Op::Slice, {x, i32(k, 0), k.op(Op::Mul, {i32(k, stride), index})},
                           {{"rows", Affine(3)}, {"columns", Affine(4)}});
            s = score(s, index, c[1]);
            Value m = k.op(Op::Maximum, {c[0], k.op(Op::Rowmax, {s})});
            Value alpha = k.op(Op::Exp, {k.op(Op::Sub, {c[0], m})});
            Value p = k.op(Op::Exp, {k.op(Op::Sub, {s, m})});
            Value l = k.op(Op::Add, {k.op(Op::Mul, {c[1], alpha}), k.op(Op::Rowsum, {p})});
            return {m, sum ? sum(l) : l};
        },
        {"user.py", 80});
    k.out(last[1]);
}

Value column_of(Kernel &k, double value, DType dtype = DType::F32) {
    return k.op(Op::Broadcast, {k.b.constant(value, dtype)},
                {{"rows", Affine(3)}, {"columns", Affine(1)}});
}

TEST(OnlineRules, SayWhyBlocksStay) {
    auto plain = [](Value s, Value, Value) { return s; };
    const std::string prefix = "user.py:80: online-softmax: not applied: ";
    EXPECT_THAT(why_not([&](Kernel &k) {
                    loop(k, column_of(k, -infinity), k.scalar("n", DType::I32), plain);
                }),
                HasSubstr(prefix + "how many blocks there are is known at run time only\n"));
    EXPECT_THAT(why_not([&](Kernel &k) { loop(k, column_of(k, -5), i32(k, 3), plain); }),
                HasSubstr(prefix + "the maximum does not start at -inf, or at -1e30 or less, or a "
                                   "sum or product not at 0\n"));
    EXPECT_THAT(why_not([&](Kernel &k) {
                    loop(k, column_of(k, -infinity), i32(k, 3), plain,
                         [&](Value l) { return k.op(Op::Sqrt, {l}); });
                }),
                HasSubstr(prefix + "more is carried than the maximum, its sums and its "
                                   "products\n"));
    EXPECT_THAT(why_not([&](Kernel &k) {
                    loop(k, column_of(k, -infinity), i32(k, 3), [&](Value s, Value, Value l) {
                        return k.op(Op::Add, {s, l});
                    });
                }),
                HasSubstr(prefix + "a block of scores or values depends on other blocks\n"));
    EXPECT_THAT(
        why_not([&](Kernel &k) { loop(k, column_of(k, -infinity), i32(k, 3), plain, nullptr, 3); }),
        HasSubstr(prefix + "the blocks are no neighbouring windows of a tile that is only "
                           "read\n"));
    EXPECT_THAT(why_not([&](Kernel &k) {
                    loop(k, column_of(k, -infinity), i32(k, 3), [&](Value s, Value, Value) {
                        return k.op(Op::Mul, {s, k.op(Op::Rowsum, {s})});
                    });
                }),
                HasSubstr(prefix + "an operation does not work on each block by itself\n"));
    EXPECT_THAT(why_not([&](Kernel &k) {
                    Value f64 = column_of(k, -infinity, DType::F64);
                    loop(
                        k, f64, i32(k, 3),
                        [&](Value s, Value, Value) {
                            return k.op(Op::Cast, {s}, {{"dtype", std::string("f64")}});
                        },
                        [&](Value l) {
                            return k.op(Op::Cast, {l}, {{"dtype", std::string("f32")}});
                        });
                }),
                HasSubstr("more is carried"));
    EXPECT_THAT(why_not([&](Kernel &k) {
                    int y = k.tile("z", Direction::Out, 3, 4);
                    loop(k, column_of(k, -infinity), i32(k, 3), [&](Value s, Value, Value) {
                        k.b.store(y, s);
                        return s;
                    });
                }),
                HasSubstr(prefix + "the body stores what other iterations could read\n"));
}

}  // namespace
}  // namespace pto::wsp::kernel
