#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/rewritten.h"

namespace pto::wsp::kernel {
namespace {

using ::testing::HasSubstr;

using Body = std::function<std::vector<Value>(Value index, const std::vector<Value> &carries)>;

Value i32(Kernel &k, int64_t value) {
    return k.b.constant(value, DType::I32);
}

std::vector<Value> loop(Kernel &k, Value lo, Value hi, const std::vector<Value> &carries,
                        const Body &body) {
    return k.b.fori_loop(lo, hi, carries, body, {"user.py", 60});
}

void expect_equal_bits(const Rewritten &r) {
    EXPECT_TRUE(rc::check([&] {
        if (std::string found = difference_of_bits(r, true); !found.empty()) {
            RC_FAIL(found);
        }
    }));
}

TEST(LoopRules, DropLoopsThatNeverRun) {
    for (bool known : {true, false}) {
        Kernel k;
        Value x = k.in("x", 2, 3);
        Value n = k.scalar("n", DType::I32);
        k.out(loop(k, known ? i32(k, 4) : n, known ? i32(k, 4) : n, {x},
                   [&](Value, const std::vector<Value> &c) -> std::vector<Value> {
                       return {k.op(Op::Exp, {c[0]})};
                   })[0]);
        Rewritten r(k);
        EXPECT_TRUE(r.fired("drop-loop"));
        EXPECT_EQ(r.after->nodes.size(), 2U) << r.text();
        expect_equal_bits(r);
    }
}

TEST(LoopRules, RunLoopsOfOneIterationInLine) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    int y = k.tile("y", Direction::Out, 2, 3);
    std::vector<Value> results =
        loop(k, i32(k, 7), i32(k, 8), {x, x},
             [&](Value index, const std::vector<Value> &c) -> std::vector<Value> {
                 Value sum = k.op(Op::Add, {c[0], k.op(Op::Cast, {index}, {{"dtype", "f32"}})});
                 k.b.store(y, sum);
                 return {c[1], sum};
             });
    k.out(k.op(Op::Sub, {results[0], results[1]}), "z");
    Rewritten r(k);
    EXPECT_TRUE(r.fired("run-loop-in-line"));
    EXPECT_EQ(r.count(Op::ForiLoop), 0) << r.text();
    EXPECT_EQ(r.count(Op::Store), 2);
    expect_equal_bits(r);
}

TEST(LoopRules, SayWhyALoopStays) {
    Kernel k;
    Value x = k.in("x", 4, 3);
    int y = k.tile("y", Direction::Out, 4, 3);
    loop(k, i32(k, 1), i32(k, 0), {}, [&](Value, const std::vector<Value> &) {
        k.b.store(y, x);
        return std::vector<Value>{};
    });
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::ForiLoop), 1);
    EXPECT_EQ(r.why(), "user.py:60: drop-loop: not applied: its body has the stores of an output, "
                       "which must be there\n");
    Kernel named;
    Value z = named.in("x", 4, 3);
    int out = named.tile("y", Direction::Out, 4, 3);
    named.b.fori_loop(
        i32(named, 0), i32(named, 1), {},
        [&](Value index, const std::vector<Value> &) {
            Affine rows = Affine::variable("i") + Affine(1);
            Value part =
                named.op(Op::Slice, {z, index, index}, {{"rows", rows}, {"columns", Affine(2)}});
            named.b.store(out, part, index, index);
            return std::vector<Value>{};
        },
        {"user.py", 61}, "i");
    EXPECT_THAT(Rewritten(named).why(), HasSubstr("user.py:61: run-loop-in-line: not applied: dims "
                                                  "in its body name its index\n"));
}

TEST(LoopRules, DropTilesThatAreCarriedForNothing) {
    Kernel k;
    Value x = k.in("x", 2, 3);
    Value n = k.op(Op::Minimum, {k.scalar("n", DType::I32), i32(k, 5)});
    std::vector<Value> results =
        loop(k, i32(k, 0), n, {x, x, x, x},
             [&](Value, const std::vector<Value> &c) -> std::vector<Value> {
                 Value unused = k.op(Op::Tanh, {k.op(Op::Mul, {c[1], c[2]})});
                 return {k.op(Op::Add, {c[0], c[3]}), unused, c[1], k.op(Op::Neg, {c[3]})};
             });
    k.out(results[0]);
    Rewritten r(k);
    EXPECT_EQ(r.count(Op::Tanh), 0) << r.text();
    EXPECT_EQ(r.count(Op::Mul), 0);
    for (const Node &node : r.after->nodes) {
        EXPECT_TRUE(node.op != Op::ForiLoop || node.results.size() == 2U) << r.text();
    }
    expect_equal_bits(r);
}

/// In which block an operation stands: 0 is outside of loops.
int block_of(const TileProgram &program, Op op) {
    for (size_t b = 0; b < program.blocks.size(); ++b) {
        for (int n : program.blocks[b].nodes) {
            if (program.nodes[static_cast<size_t>(n)].op == op) {
                return static_cast<int>(b);
            }
        }
    }
    return -1;
}

TEST(LoopRules, MakeOnceWhatEachIterationWouldMakeAnew) {
    Kernel k;
    Value x = k.in("x", 3, 3);
    Value n = k.op(Op::Minimum, {k.scalar("n", DType::I32), i32(k, 3)});
    k.out(loop(k, i32(k, 0), n, {x},
               [&](Value outer, const std::vector<Value> &c) -> std::vector<Value> {
                   return loop(k, i32(k, 0), n, {c[0]},
                               [&](Value, const std::vector<Value> &inner) -> std::vector<Value> {
                                   Value out = k.op(Op::Rowmax, {k.op(Op::Tanh, {x})});
                                   Value middle = k.op(Op::Cast, {outer}, {{"dtype", "f32"}});
                                   middle = k.op(Op::Sigmoid, {k.op(Op::Mul, {x, middle})});
                                   Value sum = k.op(Op::Add, {inner[0], out});
                                   return {k.op(Op::Maximum, {sum, middle})};
                               });
               })[0]);
    Rewritten r(k);
    EXPECT_TRUE(r.fired("hoist-invariant"));
    EXPECT_EQ(block_of(*r.after, Op::Tanh), 0) << r.text();
    EXPECT_EQ(block_of(*r.after, Op::Rowmax), 0) << r.text();
    EXPECT_EQ(block_of(*r.after, Op::Sigmoid), 1) << r.text();
    EXPECT_EQ(block_of(*r.after, Op::Maximum), 2) << r.text();
    expect_equal_bits(r);
}

TEST(LoopRules, KeepWhatIsMadeAgainForNothing) {
    Kernel k;
    Value row = k.in("row", 1, 3);
    Value column = k.in("column", 3, 1);
    Value n = k.scalar("n", DType::I32);
    Value zero = k.op(Op::Mul, {row, column});
    k.out(loop(k, i32(k, 0), n, {zero},
               [&](Value, const std::vector<Value> &c) -> std::vector<Value> {
                   return {k.op(Op::Add, {c[0], k.op(Op::Add, {row, column}, {}, 62)})};
               })[0]);
    Rewritten r(k);
    EXPECT_FALSE(r.any_fired()) << r.text();
    EXPECT_THAT(r.why(), HasSubstr("user.py:62: hoist-invariant: not applied: it only spreads what "
                                   "it is made of\n"));
}

}  // namespace
}  // namespace pto::wsp::kernel
