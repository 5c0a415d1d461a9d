#include "pto/wsp/core/layout.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <optional>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

TensorLayout any_layout() {
    auto axes = *rc::gen::container<std::vector<int>>(3, rc::gen::inRange(-1, 2));
    TensorLayout layout;
    for (int axis : axes) {
        layout.dims.push_back({axis});
    }
    const int memory = *rc::gen::inRange(0, 4);
    if (memory > 1) {
        layout.mem =
            memory == 2 ? MemLayout::row_major({2, 3, 4}) : MemLayout::col_major({2, 3, 4});
    }
    return layout;
}

std::optional<TensorLayout> joined(const std::optional<TensorLayout> &a, const TensorLayout &b) {
    if (!a) {
        return std::nullopt;
    }
    try {
        return layout_join(*a, b);
    } catch (const LayoutIncompatibleError &) {
        return std::nullopt;
    }
}

TEST(Layout, Text) {
    EXPECT_EQ(TensorLayout::sharded(0, 4).str(), "Layout(S(0), R, R, R)");
    EXPECT_EQ(TensorLayout::sharded(2, 3, 1).str(), "Layout(R, R, S(1))");
    EXPECT_EQ(TensorLayout::replicated(0).str(), "Layout()");
}

TEST(Layout, ShardedDims) {
    EXPECT_TRUE(TensorLayout::replicated(3).is_replicated());
    TensorLayout layout = TensorLayout::sharded(1, 3);
    EXPECT_FALSE(layout.is_replicated());
    EXPECT_EQ(layout.sharded_dims(), std::vector<int>{1});
}

TEST(Layout, DimensionOutOfRange) {
    expect_error<TypeCheckError>([] { TensorLayout::sharded(4, 4); },
                                 "layout: dimension 4 is out of range for rank 4");
    expect_error<TypeCheckError>([] { TensorLayout::sharded(-1, 4); },
                                 "layout: dimension -1 is out of range for rank 4");
    expect_error<TypeCheckError>([] { TensorLayout::sharded(0, 4, -2); },
                                 "layout: mesh axis -2 is negative");
}

TEST(Layout, Memory) {
    const TensorLayout layout = TensorLayout::make({{0}, {}}, MemLayout::row_major({4, 8}));
    EXPECT_EQ(layout.str(), "Layout(S(0), R, mem=MemLayout((8, 1), shape=(4, 8)))");
    EXPECT_EQ(layout_join(TensorLayout::replicated(2), layout), layout);
    expect_error<TypeCheckError>(
        [] {
            TensorLayout::make({{}}, MemLayout::row_major({4, 8}));
        },
        "layout: MemLayout((8, 1), shape=(4, 8)) has 2 dimensions, the distribution 1");
    EXPECT_EQ(expect_error<LayoutIncompatibleError>(
                  [] {
                      layout_join(TensorLayout::make({{}}, MemLayout::make({1})),
                                  TensorLayout::make({{}}, MemLayout::make({2})));
                  },
                  "layouts differ in memory: Layout(R, mem=MemLayout((1,))) and "
                  "Layout(R, mem=MemLayout((2,)))"),
              "copy one of the two to the layout of the other");
}

TEST(Layout, JoinErrors) {
    EXPECT_EQ(
        expect_error<LayoutIncompatibleError>(
            [] { layout_join(TensorLayout::sharded(0, 2, 0), TensorLayout::sharded(0, 2, 1)); },
            "layouts differ in dimension 0: Layout(S(0), R) and Layout(S(1), R)"),
        "redistribute one of the two, or replicate the dimension");
    expect_error<LayoutIncompatibleError>(
        [] { layout_join(TensorLayout::replicated(2), TensorLayout::replicated(3)); },
        "layouts of different rank: Layout(R, R) and Layout(R, R, R)");
}

RC_GTEST_PROP(Layout, JoinLaws, ()) {
    TensorLayout a = any_layout();
    TensorLayout b = any_layout();
    TensorLayout c = any_layout();
    RC_ASSERT(layout_join(a, a) == a);
    RC_ASSERT(layout_join(a, TensorLayout::replicated(3)) == a);
    RC_ASSERT(joined(a, b) == joined(b, a));
    std::optional<TensorLayout> right = joined(b, c);
    RC_ASSERT(joined(joined(a, b), c) == (right ? joined(a, *right) : std::nullopt));
}

}  // namespace
}  // namespace pto::wsp
