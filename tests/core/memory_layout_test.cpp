#include "pto/wsp/core/memory_layout.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <numeric>
#include <set>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

int draw(int first, int last) {
    return *rc::gen::inRange(first, last + 1);
}

Shape any_shape(int rank) {
    Shape shape;
    for (int dim = 0; dim < rank; ++dim) {
        shape.push_back(draw(1, 5));
    }
    return shape;
}

std::vector<int> any_permutation(int rank) {
    std::vector<int> order(static_cast<size_t>(rank));
    std::iota(order.begin(), order.end(), 0);
    for (size_t i = order.size(); i > 1; --i) {
        std::swap(order[i - 1], order[static_cast<size_t>(draw(0, static_cast<int>(i) - 1))]);
    }
    return order;
}

/// Coordinates of a row-major index.
Shape coordinates_of(int64_t index, const Shape &shape) {
    Shape result(shape.size());
    for (size_t dim = shape.size(); dim-- > 0;) {
        result[dim] = index % shape[dim];
        index /= shape[dim];
    }
    return result;
}

TEST(MemLayout, Text) {
    EXPECT_EQ(MemLayout::row_major({8, 64}).str(), "MemLayout((64, 1), shape=(8, 64))");
    EXPECT_EQ(MemLayout::col_major({8, 64}).str(), "MemLayout((1, 8), shape=(8, 64))");
    EXPECT_EQ(MemLayout::make({64}).str(), "MemLayout((64,))");
    EXPECT_EQ(MemLayout::make({4, 4}, std::vector<int>{1, 0}, Swizzle{2, 0, 2}, 2).str(),
              "MemLayout((4, 4), order=(1, 0), swizzle=(2, 0, 2), pack=2)");
}

TEST(MemLayout, Order) {
    EXPECT_EQ(MemLayout::row_major({2, 3, 4}).order, (std::vector<int>{0, 1, 2}));
    EXPECT_EQ(MemLayout::col_major({2, 3, 4}).order, (std::vector<int>{2, 1, 0}));
    EXPECT_EQ(MemLayout::make({1, 8}).order, (std::vector<int>{1, 0}));
}

TEST(MemLayout, TilesAreSeenInTheSameMemory) {
    const MemLayout tiles = MemLayout::row_major({8, 6}).tile({4, 3});
    EXPECT_EQ(tiles.strides, (Shape{24, 3, 6, 1}));
    EXPECT_EQ(*tiles.shape, (Shape{2, 2, 4, 3}));
}

TEST(MemLayout, ComposeScales) {
    EXPECT_EQ(MemLayout::row_major({2, 4}).compose(MemLayout::make({3})).strides, (Shape{12, 3}));
}

TEST(MemLayout, Errors) {
    expect_error<CompileError>(
        [] {
            MemLayout::make({-1, 1});
        },
        "MemLayout: strides (-1, 1) has an entry below 0");
    expect_error<CompileError>(
        [] {
            MemLayout::make({4, 1}, std::vector<int>{0, 0});
        },
        "MemLayout: order (0, 0) is no permutation of 2 dimensions");
    EXPECT_EQ(expect_error<CompileError>(
                  [] {
                      MemLayout::make({4, 1}, std::vector<int>{1, 0});
                  },
                  "MemLayout: order (1, 0) (slowest first) contradicts strides (4, 1)"),
              "the strides have the order (0, 1)");
    expect_error<CompileError>(
        [] {
            MemLayout::make({4, 1}, {}, Swizzle{1, 0, 0});
        },
        "MemLayout: swizzle (1, 0, 0) is not (bits >= 0, base >= 0, shift "
        ">= 1) of 62 bits in all");
    expect_error<CompileError>([] { MemLayout::make({1}, {}, {}, 0); },
                               "MemLayout: pack is 0, not a number of elements >= 1");
    expect_error<CompileError>(
        [] {
            MemLayout::make({1}, {}, {}, 1, Shape{2, 2});
        },
        "MemLayout: shape has 2 entries for 1 dimensions");
    expect_error<CompileError>(
        [] {
            MemLayout::row_major({2, 2}).permute({0, 2});
        },
        "MemLayout: permute: (0, 2) is no permutation of 2 dimensions");
    expect_error<CompileError>(
        [] {
            MemLayout::row_major({8, 6}).tile({3, 3});
        },
        "MemLayout: tile (3, 3) does not divide shape (8, 6)");
    expect_error<CompileError>(
        [] {
            MemLayout::row_major({8, 6}).tile({0, 3});
        },
        "MemLayout: tile (0, 3) has an entry below 1");
    expect_error<CompileError>(
        [] {
            MemLayout::row_major({2, 2}).place({0, 2});
        },
        "MemLayout: place: coordinates (0, 2) are not inside MemLayout((2, 1), shape=(2, 2))");
    EXPECT_EQ(expect_error<CompileError>(
                  [] {
                      MemLayout::make({4, 1}).compose(MemLayout::row_major({2, 2}));
                  },
                  "MemLayout: compose: the shape of MemLayout((4, 1)) is not known"),
              "make it with row_major(shape) or col_major(shape), or give shape=");
    expect_error<CompileError>(
        [] {
            MemLayout::row_major({6}).compose(MemLayout::col_major({2, 3}));
        },
        "MemLayout: compose: dimension 0 of MemLayout((1,), shape=(6,)) has no single stride in "
        "MemLayout((1, 2), shape=(2, 3))");
    expect_error<CompileError>(
        [] { MemLayout::make({1}, {}, {}, 2).compose(MemLayout::make({3})); },
        "MemLayout: compose: MemLayout((1,), pack=2) swizzles or packs, so its places are in no "
        "order that MemLayout((3,)) could take");
    expect_error<CompileError>([] { MemLayout::make({1}).linear(); },
                               "MemLayout: linear: the shape of MemLayout((1,)) is not known");
}

RC_GTEST_PROP(MemLayout, RowAndColumnMajorFillMemory, ()) {
    const Shape shape = any_shape(draw(1, 3));
    for (const MemLayout &layout : {MemLayout::row_major(shape), MemLayout::col_major(shape)}) {
        std::set<int64_t> places;
        for (int64_t i = 0; i < element_count(shape); ++i) {
            places.insert(layout.place(coordinates_of(i, shape)));
        }
        RC_ASSERT(places.size() == static_cast<size_t>(element_count(shape)));
        RC_ASSERT(*places.rbegin() == element_count(shape) - 1);
    }
}

RC_GTEST_PROP(MemLayout, PermutePermutesCoordinates, ()) {
    const int rank = draw(1, 4);
    const MemLayout layout = MemLayout::row_major(any_shape(rank));
    const std::vector<int> permutation = any_permutation(rank);
    const MemLayout moved = layout.permute(permutation);
    for (int64_t i = 0; i < element_count(*layout.shape); ++i) {
        const Shape at = coordinates_of(i, *layout.shape);
        Shape to;
        for (const int dim : permutation) {
            to.push_back(at[static_cast<size_t>(dim)]);
        }
        RC_ASSERT(moved.place(to) == layout.place(at));
    }
    RC_ASSERT(MemLayout::make(moved.strides, moved.order, {}, 1, moved.shape) == moved);
}

RC_GTEST_PROP(MemLayout, ComposeIsPlaceAfterPlace, ()) {
    const MemLayout inner = MemLayout::row_major(any_shape(2)).permute(any_permutation(2));
    const Shape outer_shape = any_shape(draw(1, 2));
    const MemLayout outer = MemLayout::col_major(outer_shape).compose(MemLayout::make({2}));
    std::optional<MemLayout> made;
    try {
        made = inner.compose(outer);
    } catch (const CompileError &) {
        RC_DISCARD("no strides");
    }
    for (int64_t i = 0; i < element_count(*inner.shape); ++i) {
        const Shape at = coordinates_of(i, *inner.shape);
        RC_ASSERT(made->place(at) == outer.place(coordinates_of(inner.place(at), outer_shape)));
    }
}

RC_GTEST_PROP(MemLayout, TileKeepsPlaces, ()) {
    const Shape tile = any_shape(2);
    const Shape tiles = any_shape(2);
    const MemLayout layout = MemLayout::row_major({tile[0] * tiles[0], tile[1] * tiles[1]});
    const MemLayout tiled = layout.tile(tile);
    for (int64_t i = 0; i < element_count(*layout.shape); ++i) {
        const Shape at = coordinates_of(i, *layout.shape);
        RC_ASSERT(tiled.place({at[0] / tile[0], at[1] / tile[1], at[0] % tile[0],
                               at[1] % tile[1]}) == layout.place(at));
    }
}

RC_GTEST_PROP(MemLayout, LinearIsTheSameMap, ()) {
    const int rows = draw(0, 3);
    const int columns = draw(0, 3);
    const Shape shape = {1 << rows, 1 << columns};
    MemLayout layout = draw(0, 1) != 0 ? MemLayout::row_major(shape) : MemLayout::col_major(shape);
    if (rows + columns > 0) {
        const int shift = draw(1, rows + columns);
        layout.swizzle = Swizzle{draw(0, rows + columns - shift), 0, shift};
    }
    const LinearLayout linear = layout.linear();
    for (int64_t i = 0; i < element_count(shape); ++i) {
        RC_ASSERT(linear.apply(i) == layout.place(coordinates_of(i, shape)));
    }
}

}  // namespace
}  // namespace pto::wsp
