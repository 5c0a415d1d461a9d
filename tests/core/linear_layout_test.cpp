#include "pto/wsp/core/linear_layout.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

int draw(int first, int last) {
    return *rc::gen::inRange(first, last + 1);
}

/// Any map of `in` bits to `out` bits.
LinearLayout any_layout(int in, int out) {
    std::vector<int64_t> bases;
    for (int i = 0; i < in; ++i) {
        bases.push_back(draw(0, (1 << out) - 1));
    }
    return {{int64_t{1} << in}, bases, int64_t{1} << out};
}

Shape any_shape(int rank) {
    Shape shape;
    for (int dim = 0; dim < rank; ++dim) {
        shape.push_back(int64_t{1} << draw(0, 3));
    }
    return shape;
}

/// Places of all indices, ascending index.
std::vector<int64_t> places_of(const LinearLayout &layout) {
    std::vector<int64_t> places;
    for (int64_t i = 0; i < layout.size(); ++i) {
        places.push_back(layout.apply(i));
    }
    return places;
}

size_t image_size(const LinearLayout &layout) {
    const std::vector<int64_t> places = places_of(layout);
    return std::set<int64_t>(places.begin(), places.end()).size();
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

TEST(LinearLayout, Text) {
    EXPECT_EQ(LinearLayout::row_major({4, 8}).str(), "LinearLayout([4, 8] -> 32: 1 2 4 8 16)");
    EXPECT_EQ(LinearLayout::col_major({4, 8}).str(), "LinearLayout([4, 8] -> 32: 4 8 16 1 2)");
    EXPECT_EQ(LinearLayout::identity(1).str(), "LinearLayout([1] -> 1)");
}

TEST(LinearLayout, BlocksAreContiguous) {
    const LinearLayout layout = LinearLayout::blocked({4, 8}, {2, 4});
    EXPECT_EQ(layout.apply(Shape{0, 3}), 3);
    EXPECT_EQ(layout.apply(Shape{1, 0}), 4);
    EXPECT_EQ(layout.apply(Shape{0, 4}), 8);
    EXPECT_EQ(layout.apply(Shape{2, 0}), 16);
    EXPECT_EQ(layout.apply(Shape{3, 7}), 31);
}

TEST(LinearLayout, SwizzleMovesRowsAgainstEachOther) {
    // Four rows of four units: unit c of row r comes to column c ^ r.
    const LinearLayout layout = LinearLayout::swizzle(16, 2, 0, 2);
    for (int64_t r = 0; r < 4; ++r) {
        for (int64_t c = 0; c < 4; ++c) {
            EXPECT_EQ(layout.apply(4 * r + c), 4 * r + (c ^ r));
        }
    }
}

TEST(LinearLayout, BroadcastHasAKernel) {
    const LinearLayout layout = LinearLayout::from_strides({4, 8}, {0, 1});
    EXPECT_EQ(layout.rank(), 3);
    EXPECT_EQ(layout.kernel(), (std::vector<int64_t>{8, 16}));
    EXPECT_FALSE(layout.is_injective());
    EXPECT_TRUE(layout.is_surjective());
}

TEST(LinearLayout, Errors) {
    const std::string hint = expect_error<CompileError>(
        [] {
            LinearLayout::row_major({4, 12});
        },
        "linear layout: extent 1 is 12, not a power of two");
    EXPECT_EQ(hint, "a layout over bits has powers of two; MemLayout takes any extent");
    expect_error<CompileError>([] { LinearLayout::identity(0); },
                               "linear layout: extent 0 is 0, not a power of two");
    expect_error<CompileError>([] { LinearLayout::strided(4, 3); },
                               "linear layout: stride 0 is 3, not a power of two");
    expect_error<CompileError>(
        [] {
            LinearLayout::from_strides({4, 4}, {2, 1});
        },
        "linear layout: strides [2, 1] of shape [4, 4] overlap: their sum "
        "carries, which is not linear over bits");
    expect_error<CompileError>(
        [] {
            LinearLayout::from_strides({4, 4}, {1});
        },
        "linear layout: strides [1] and shape [4, 4] differ in rank");
    expect_error<CompileError>(
        [] {
            LinearLayout::blocked({4, 4}, {8, 1});
        },
        "linear layout: block [8, 1] does not divide shape [4, 4]");
    expect_error<CompileError>(
        [] {
            LinearLayout::row_major({int64_t{1} << 40, 1 << 30});
        },
        "linear layout: [1099511627776, 1073741824] has more than 2^62 "
        "elements");
    expect_error<CompileError>([] { LinearLayout({4}, {1}, 4); },
                               "linear layout: [4] has 2 bits, but there are 1 bases");
    expect_error<CompileError>(
        [] {
            LinearLayout({4}, {1, 4}, 4);
        },
        "linear layout: basis 4 is out of range for 4 places");
    EXPECT_EQ(expect_error<CompileError>([] { LinearLayout::swizzle(16, 3, 0, 2); },
                                         "linear layout: swizzle of 3 bits, base 0, shift 2 does "
                                         "not fit 16 places"),
              "bits and base are at least 0, shift at least 1, and 2^(base + shift + bits) at most "
              "the size");
    expect_error<CompileError>(
        [] { LinearLayout::identity(4).compose(LinearLayout::identity(8)); },
        "linear layout: compose: LinearLayout([8] -> 8: 1 2 4) has 8 places, "
        "LinearLayout([4] -> 4: 1 2) takes 4 indices");
    expect_error<CompileError>([] { LinearLayout::identity(4).apply(4); },
                               "linear layout: index 4 is out of range for size 4");
    expect_error<CompileError>(
        [] {
            LinearLayout::row_major({2, 4}).apply(Shape{0, 4});
        },
        "linear layout: coordinate 4 is out of range for extent 4");
    expect_error<CompileError>([] { LinearLayout::strided(4, 2).inverse(); },
                               "linear layout: inverse: LinearLayout([4] -> 8: 2 4) is not "
                               "bijective: rank 2 of 2 index bits and 3 place bits");
}

RC_GTEST_PROP(LinearLayout, ApplyIsLinearOverXor, ()) {
    const LinearLayout f = any_layout(draw(0, 7), draw(0, 7));
    const auto index = [&] { return draw(0, static_cast<int>(f.size()) - 1); };
    const int64_t a = index();
    const int64_t b = index();
    RC_ASSERT(f.apply(a ^ b) == (f.apply(a) ^ f.apply(b)));
    RC_ASSERT(f.apply(int64_t{0}) == 0);
}

RC_GTEST_PROP(LinearLayout, ComposeIsApplyAfterApplyAndAssociative, ()) {
    const int p = draw(0, 5);
    const int q = draw(0, 5);
    const int r = draw(0, 5);
    const LinearLayout h = any_layout(draw(0, 5), p);
    const LinearLayout g = any_layout(p, q);
    const LinearLayout f = any_layout(q, r);
    RC_ASSERT(f.compose(g).compose(h) == f.compose(g.compose(h)));
    for (int64_t i = 0; i < h.size(); ++i) {
        RC_ASSERT(g.compose(h).apply(i) == g.apply(h.apply(i)));
    }
    RC_ASSERT(g.compose(LinearLayout::identity(g.size())) == g);
    RC_ASSERT(LinearLayout::identity(g.places()).compose(g) == g);
}

RC_GTEST_PROP(LinearLayout, RankAndKernelCountTheImage, ()) {
    const LinearLayout f = any_layout(draw(0, 7), draw(0, 7));
    const std::vector<int64_t> kernel = f.kernel();
    RC_ASSERT(f.rank() + static_cast<int>(kernel.size()) == static_cast<int>(f.bases().size()));
    RC_ASSERT(image_size(f) == size_t{1} << f.rank());
    RC_ASSERT(f.is_injective() == kernel.empty());
    RC_ASSERT(f.is_injective() == (image_size(f) == static_cast<size_t>(f.size())));
    RC_ASSERT(f.is_surjective() == (image_size(f) == static_cast<size_t>(f.places())));
    for (const int64_t index : kernel) {
        RC_ASSERT(f.apply(index) == 0);
    }
    // The basis is independent: as many sums as subsets.
    const LinearLayout span({int64_t{1} << kernel.size()}, kernel, f.size());
    RC_ASSERT(span.is_injective());
}

RC_GTEST_PROP(LinearLayout, InverseUndoes, ()) {
    const int bits = draw(0, 6);
    const LinearLayout f = any_layout(bits, bits);
    RC_PRE(f.is_injective());
    RC_ASSERT(f.compose(f.inverse()) == LinearLayout::identity(f.places()));
    RC_ASSERT(f.inverse().compose(f) == LinearLayout::identity(f.size()));
}

RC_GTEST_PROP(LinearLayout, SwizzleIsBijective, ()) {
    const int base = draw(0, 2);
    const int shift = draw(1, 3);
    const int bits = draw(0, 3);
    const int64_t size = int64_t{1} << (base + shift + bits + draw(0, 2));
    const LinearLayout f = LinearLayout::swizzle(size, bits, base, shift);
    RC_ASSERT(f.is_injective());
    RC_ASSERT(f.is_surjective());
    if (shift >= bits) {
        RC_ASSERT(f.compose(f) == LinearLayout::identity(size));
    }
    for (int64_t i = 0; i < size; ++i) {
        const int64_t moved = (i >> (base + shift)) & ((int64_t{1} << bits) - 1);
        RC_ASSERT(f.apply(i) == (i ^ (moved << base)));
    }
}

RC_GTEST_PROP(LinearLayout, OrdersAreSumsOfStrides, ()) {
    const Shape shape = any_shape(draw(1, 3));
    const Shape reversed(shape.rbegin(), shape.rend());
    const LinearLayout rows = LinearLayout::row_major(shape);
    const LinearLayout columns = LinearLayout::col_major(shape);
    RC_ASSERT(rows.bases() == LinearLayout::identity(rows.size()).bases());
    for (int64_t i = 0; i < rows.size(); ++i) {
        const Shape at = coordinates_of(i, shape);
        const Shape back(at.rbegin(), at.rend());
        RC_ASSERT(rows.apply(at) == i);
        RC_ASSERT(columns.apply(at) == LinearLayout::row_major(reversed).apply(back));
    }
    const Shape ones(shape.size(), 1);
    RC_ASSERT(LinearLayout::blocked(shape, ones) == rows);
    RC_ASSERT(LinearLayout::blocked(shape, shape) == rows);
}

RC_GTEST_PROP(LinearLayout, BlockedIsBlockThenPlaceInTheBlock, ()) {
    const Shape block = any_shape(2);
    const Shape blocks = any_shape(2);
    const Shape shape = {block[0] * blocks[0], block[1] * blocks[1]};
    const LinearLayout layout = LinearLayout::blocked(shape, block);
    RC_ASSERT(layout.is_injective());
    for (int64_t i = 0; i < layout.size(); ++i) {
        const Shape at = coordinates_of(i, shape);
        const int64_t number = at[0] / block[0] * blocks[1] + at[1] / block[1];
        const int64_t inside = at[0] % block[0] * block[1] + at[1] % block[1];
        RC_ASSERT(layout.apply(at) == number * block[0] * block[1] + inside);
    }
}

}  // namespace
}  // namespace pto::wsp
