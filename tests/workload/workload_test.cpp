#include "pto/wsp/workload/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/parse.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

using kernel::Direction;
using testing::ElementsAre;
using testing::HasSubstr;

/// Attention over batch and heads, as the example has it.
Workload attention(int64_t batch = 4, int64_t heads = 8) {
    const KernelPtr attn =
        declare("attn", {tile("q", Direction::In, 512, 64), tile("k", Direction::In, 512, 64),
                         tile("o", Direction::Out, 512, 64)});
    const TensorPtr q = tensor("Q", {4, 8, 512, 64});
    const TensorPtr k = tensor("K", {4, 8, 512, 64});
    const TensorPtr o = tensor("O", {4, 8, 512, 64});
    Builder builder("attention");
    const std::string b =
        builder.open_loop(false, {Axis::Kind::Dense, batch, "batch", {}}, {"b", "batch"});
    const std::string h =
        builder.open_loop(false, {Axis::Kind::Dense, heads, "heads", {}}, {"h", "heads", "head"});
    const auto tile_of = [&](const TensorPtr &t) { return index(index(whole(t), at(b)), at(h)); };
    builder.task(attn, {var(b), var(h)}, {arg(tile_of(q)), arg(tile_of(k)), arg(tile_of(o))});
    builder.close();
    builder.close();
    return builder.finish();
}

TEST(Workload, DescribesAttention) {
    const Workload w = attention();
    EXPECT_EQ(w.type_str(), "Workload[Dense[4] × Dense[8], attn, Independent]");
    EXPECT_EQ(w.kind(), "parallel");
    EXPECT_EQ(w.task_count(), 32);
    EXPECT_EQ(w.tensors().size(), 3U);
    EXPECT_EQ(w.kernels().size(), 1U);
    EXPECT_EQ(w.str(), "tensor Q: f32[4, 8, 512, 64]\n"
                       "tensor K: f32[4, 8, 512, 64]\n"
                       "tensor O: f32[4, 8, 512, 64]\n"
                       "kernel attn(in q: f32[512, 64], in k: f32[512, 64], out o: f32[512, 64])\n"
                       "workload attention {\n"
                       "  parallel b in batch: Dense[4] as b, batch {\n"
                       "    parallel h in heads: Dense[8] as h, heads, head, attn {\n"
                       "      task attn[b, h](in Q[b, h, 0:512, 0:64], in K[b, h, 0:512, 0:64], "
                       "out O[b, h, 0:512, 0:64])\n"
                       "    }\n"
                       "  }\n"
                       "}\n");
}

TEST(Workload, EnumeratesInProgramOrderAndStops) {
    std::vector<std::pair<int64_t, int64_t>> seen;
    int64_t calls = 0;
    attention().enumerate([&](const Task &task) {
        seen.emplace_back(task.get("batch", {}), task.get("attn", {}));
        EXPECT_EQ(task.id, calls++);
        EXPECT_THAT(task.params, ElementsAre(seen.back().first, seen.back().second));
        return seen.size() < 10;
    });
    ASSERT_EQ(seen.size(), 10U);
    EXPECT_EQ(seen[9], std::make_pair(int64_t{1}, int64_t{1}));
}

TEST(Workload, AxesOfSizeZeroMakeNoTasks) {
    const Workload w = attention(4, 0);
    EXPECT_EQ(w.task_count(), 0);
    w.enumerate([](const Task &) {
        ADD_FAILURE();
        return true;
    });
}

TEST(Workload, EmptyInnerLoopsCostNothing) {
    const Workload w = parse_workload("kernel k()\n"
                                      "workload w { parallel i in Dense[4611686018427387904] { "
                                      "parallel j in Dense[0] { task k() } } }");
    EXPECT_EQ(w.task_count(), 0);
    w.enumerate([](const Task &) { return true; });
}

TEST(Workload, TooManyTasks) {
    const Workload w = parse_workload("kernel k()\n"
                                      "workload w { parallel i in Dense[4611686018427387904] { "
                                      "parallel j in Dense[2] { task k() } } }");
    EXPECT_THAT(error_of<CompileError>([&] { w.task_count(); }),
                HasSubstr("workload:2: error: the number of tasks passes 2^63"));
}

TEST(Workload, UnknownAxisNameListsTheKnown) {
    attention().enumerate([](const Task &task) {
        EXPECT_THAT(error_of<ScheduleError>([&] {
                        task.get("heds", Loc{"user.py", 41});
                    }),
                    testing::AllOf(HasSubstr("user.py:41: error: unknown axis name \"heds\""),
                                   HasSubstr("hint: did you mean heads? known: b, batch, h, heads, "
                                             "head, attn")));
        return false;
    });
}

TEST(Workload, TypesOfOtherShapes) {
    const std::string head = "kernel a()\nkernel b()\nworkload w {\n";
    const auto type = [&](const std::string &body) {
        return parse_workload(head + body + "}").type_str();
    };
    EXPECT_EQ(type("task a()"), "Workload[a, Independent]");
    EXPECT_EQ(type("task a() task b()"), "Workload[combine(a, b), Combined]");
    EXPECT_EQ(type("sequential { task a() task b() }"), "Workload[sequential(a, b), Sequential]");
    EXPECT_EQ(type("seq i in Dense[3] { task b() }"), "Workload[Dense[3], b, Sequential]");
    EXPECT_EQ(parse_workload(head + "call inner { seq i in Dense[3] { task b() } } }").kind(),
              "seq");
}

TEST(Names, InnermostWins) {
    LoopVar outer{"b", {"b", "batch"}, {}, {}, {}};
    LoopVar inner{"b.1", {"b", "row"}, {}, {}, {}};
    const LoopPath path{&outer, &inner};
    EXPECT_EQ(find_variable("b", path), &inner);
    EXPECT_EQ(find_variable("batch", path), &outer);
    EXPECT_EQ(find_variable("b.1", path), &inner);
    EXPECT_EQ(find_variable("z", path), nullptr);
    EXPECT_EQ(resolve_key(ScalarExpr::parse("(b + batch) % 4"), {}, path, {}).variables(),
              (std::set<std::string>{"b", "b.1"}));
}

}  // namespace
}  // namespace pto::wsp::workload::test
