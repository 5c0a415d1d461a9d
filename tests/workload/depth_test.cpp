#include <gmock/gmock.h>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/graph.h"
#include "pto/wsp/workload/parse.h"
#include "workload/samples.h"

namespace pto::wsp::workload {
namespace {

using namespace test;
using testing::HasSubstr;
using Op = ScalarExpr::Op;

constexpr int loops = 1000;
constexpr int operations = 10000;

/// One task inside `loops` loops, the first of them of the given size, the others of 1.
Workload nested(int count, int64_t first, bool sequential = false) {
    const TensorPtr x = tensor("X", {4, 8, 8});
    Builder builder("nested");
    std::string outermost;
    for (int i = 0; i < count; ++i) {
        Axis axis;
        axis.size = i == 0 ? first : 1;
        const std::string id = builder.open_loop(sequential, axis);
        outermost = i == 0 ? id : outermost;
    }
    builder.task(declare("k", {tile("x", kernel::Direction::InOut, 8, 8)}), {},
                 {arg(index(whole(x), at(outermost)))});
    for (int i = 0; i < count; ++i) {
        builder.close();
    }
    return builder.finish();
}

/// `operations` of them within each other; every value is in 0...3 where those of `i` are.
ScalarExpr deep(const std::string &i) {
    ScalarExpr expr = ScalarExpr::variable(i);
    const Op ops[] = {Op::Add, Op::Min, Op::Mod, Op::Max, Op::FloorDiv};
    const int64_t by[] = {1, 3, 4, 0, 1};
    for (int n = 0; n < operations; ++n) {
        expr = ScalarExpr::make(ops[n % 5], {expr, by[n % 5]});
    }
    return expr;
}

TEST(Depth, AThousandNestedLoopsAreBuiltPrintedReadAndEnumerated) {
    const Workload workload = nested(loops, 4);
    EXPECT_EQ(nesting(*workload.root), loops + 1);
    const std::string text = workload.str();
    const Workload read = parse_workload(text);
    EXPECT_EQ(read.str(), text);
    EXPECT_EQ(read.task_count(), 4);
    std::vector<int64_t> seen;
    read.enumerate([&](const Task &task) {
        EXPECT_EQ(task.indices.size(), static_cast<size_t>(loops));
        seen.push_back(task.indices.front().second);
        return true;
    });
    EXPECT_EQ(seen, (std::vector<int64_t>{0, 1, 2, 3}));
    EXPECT_TRUE(analyse_dependence(read).is_static());
    EXPECT_EQ(task_graph(read).vertices.size(), 4u);
    EXPECT_THAT(read.type_str(), HasSubstr("Dense[4] × Dense[1]"));
}

TEST(Depth, TrackedAndIncludedLoopsToo) {
    const Workload workload = nested(loops, 4, true);
    EXPECT_EQ(parse_workload(workload.str()).str(), workload.str());
    EXPECT_FALSE(analyse_dependence(workload, {{"stream", {}, 2, false, {}}}).is_static());
    Builder outer("outer");
    (void)outer.open_loop(false, Axis{Axis::Kind::Dense, 3, "", {}});
    outer.include(workload);
    outer.close();
    EXPECT_EQ(outer.finish().task_count(), 12);
}

TEST(Depth, NestingIsBounded) {
    const Workload deepest = nested(max_nesting - 1, 2);
    EXPECT_EQ(parse_workload(deepest.str()).task_count(), 2);
    EXPECT_TRUE(analyse_dependence(deepest).is_static());
    EXPECT_THAT(error_of<CompileError>([] { (void)nested(max_nesting, 2); }),
                HasSubstr("workload nested: statements nest deeper than 2500"));
    const Workload half = nested(max_nesting - 10, 2);
    Builder outer("outer");
    for (int i = 0; i < 20; ++i) {
        (void)outer.open_loop(false, Axis{Axis::Kind::Dense, 2, "", {}});
    }
    outer.include(half);
    for (int i = 0; i < 20; ++i) {
        outer.close();
    }
    EXPECT_THAT(error_of<CompileError>([&] { (void)outer.finish(); }),
                HasSubstr("workload outer: statements nest deeper than 2500"));
}

TEST(Depth, DeepExpressionsAreCheckedPrintedReadAndEnumerated) {
    const TensorPtr x = tensor("X", {4, 8, 8});
    Builder builder("deep");
    const std::string i = builder.open_loop(false, Axis{Axis::Kind::Dense, 4, "", {}});
    const ScalarExpr expr = deep(i);
    const std::string j = builder.open_loop(
        false, Axis{Axis::Kind::DenseDyn, ScalarExpr::make(Op::Add, {expr, 1}), "", {}});
    builder.open_when(ScalarExpr::make(Op::Le, {expr, 3}));
    const KernelPtr k =
        declare("k", {tile("x", kernel::Direction::InOut, 8, 8), scalar("n", DType::U8)});
    builder.task(k, {expr}, {arg(index(whole(x), builder.index_of(expr))), arg(expr)});
    builder.close();
    builder.close();
    builder.close();
    const Workload workload = builder.finish();
    const std::string text = workload.str();
    const Workload read = parse_workload(text);
    EXPECT_EQ(read.str(), text);
    const auto value = expr.evaluate({{i, 2}});
    bool found = false;
    read.enumerate([&](const Task &task) {
        found = found || (task.get(i, {}) == 2 && task.params.front() == value);
        return true;
    });
    EXPECT_TRUE(found);
    (void)analyse_dependence(read);
    (void)task_graph(read);
}

TEST(Depth, RangesOfDeepExpressionsAreKnown) {
    Builder builder("deep");
    const TensorPtr x = tensor("X", {4, 8, 8});
    const std::string i = builder.open_loop(false, Axis{Axis::Kind::Dense, 4, "", {}});
    ScalarExpr over = deep(i);
    for (int n = 0; n < operations; ++n) {
        over = ScalarExpr::make(Op::Add, {over, n % 2 == 0 ? 1 : -1});
    }
    const KernelPtr k = declare("k", {scalar("n", DType::U8)});
    builder.task(k, {}, {arg(over)});
    EXPECT_THAT(error_of<TypeCheckError>([&] {
                    builder.task(k, {}, {arg(ScalarExpr::make(Op::Sub, {over, 4}))});
                }),
                HasSubstr("lies in -1...-1, but U8 holds 0...255"));
    EXPECT_THAT(error_of<TypeCheckError>([&] {
                    builder.task(k, {},
                                 {arg(ScalarExpr::make(
                                     Op::FloorDiv, {1, ScalarExpr::make(Op::Sub, {over, 3})}))});
                }),
                HasSubstr("may be 0"));
}

}  // namespace
}  // namespace pto::wsp::workload
