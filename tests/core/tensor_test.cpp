#include "pto/wsp/core/tensor.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

const Loc at{"user.py", 12};

TEST(Tensor, Shapes) {
    EXPECT_EQ(shape_text({4, 8, 512, 64}), "[4, 8, 512, 64]");
    EXPECT_EQ(shape_text({}), "[]");
    EXPECT_EQ(element_count({4, 8, 512, 64}), 1048576);
    EXPECT_EQ(element_count({}), 1);
    EXPECT_EQ(element_count({int64_t(1) << 40, int64_t(1) << 40, 0}), 0);
    EXPECT_EQ(contiguous_strides({4, 8, 64}), (Shape{512, 64, 1}));
    EXPECT_EQ(contiguous_strides({2, 0, 3}), (Shape{3, 3, 1}));
    EXPECT_EQ(contiguous_strides({}), Shape{});
}

TEST(Tensor, ImpossibleShapes) {
    expect_error<CompileError>(
        [] {
            element_count({int64_t(1) << 40, int64_t(1) << 40});
        },
        "the number of elements of shape [1099511627776, 1099511627776] does not fit 64 bits");
    expect_error<CompileError>([] { element_count({0, -1}); }, "negative extent in shape [0, -1]");
    expect_error<CompileError>([] { allocate_tensor({int64_t(1) << 61}, DType::F32); },
                               "the bytes of shape [2305843009213693952] does not fit 64 bits");
    expect_error<CompileError>([] { allocate_tensor({2}, DType::Mask); },
                               "a mask cannot be stored");
}

TEST(Tensor, AllocatedIsZeroAlignedAndContiguous) {
    TensorView tensor = allocate_tensor({3, 5}, DType::F32);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.data) % 64, 0u);
    EXPECT_TRUE(tensor.is_contiguous());
    EXPECT_EQ(tensor.nbytes(), 60);
    for (int i = 0; i < 15; ++i) {
        EXPECT_EQ(static_cast<float *>(tensor.data)[i], 0);
    }
    EXPECT_NE(allocate_tensor({0, 4}, DType::F64).data, nullptr);
}

TEST(Tensor, ViewsKeepTheMemoryAlive) {
    TensorView row = allocate_tensor({3, 5}, DType::I32).index(2, at);
    static_cast<int32_t *>(row.data)[4] = 9;
    EXPECT_EQ(static_cast<int32_t *>(row.data)[4], 9);
}

TEST(Tensor, IndexAndSlice) {
    TensorView tensor = allocate_tensor({4, 8, 2}, DType::I16);
    auto *data = static_cast<int16_t *>(tensor.data);
    TensorView row = tensor.index(3, at);
    EXPECT_EQ(row.data, data + 48);
    EXPECT_EQ(row.shape, (Shape{8, 2}));
    EXPECT_EQ(row.strides, (Shape{2, 1}));
    TensorView part = tensor.slice(1, 3, at);
    EXPECT_EQ(part.data, data + 16);
    EXPECT_EQ(part.shape, (Shape{2, 8, 2}));
    EXPECT_EQ(tensor.slice(4, 4, at).shape, (Shape{0, 8, 2}));
    EXPECT_EQ(tensor.slice(0, 4, at).data, tensor.data);
}

TEST(Tensor, NegativeStrides) {
    std::vector<float> memory = {0, 1, 2, 3};
    TensorView reversed{memory.data() + 3, DType::F32, {4}, {-1}, nullptr};
    EXPECT_EQ(*static_cast<float *>(reversed.index(3, at).data), 0);
    EXPECT_EQ(reversed.byte_extent(), std::make_pair(int64_t(-12), int64_t(4)));
    EXPECT_FALSE(reversed.is_contiguous());
}

TEST(Tensor, IndexErrorsAreAtTheUsersLine) {
    TensorView tensor = allocate_tensor({4, 8}, DType::F32);
    try {
        tensor.index(4, at);
        FAIL();
    } catch (const TypeCheckError &e) {
        EXPECT_STREQ(e.what(),
                     "user.py:12: error: index 4 is out of range for extent 4 of shape [4, 8]");
    }
    expect_error<TypeCheckError>([&] { tensor.index(-1, at); },
                                 "index -1 is out of range for extent 4 of shape [4, 8]");
    expect_error<TypeCheckError>([&] { tensor.slice(2, 5, at); },
                                 "slice [2, 5) is out of range for extent 4 of shape [4, 8]");
    expect_error<TypeCheckError>([&] { tensor.slice(3, 2, at); },
                                 "slice [3, 2) is out of range for extent 4 of shape [4, 8]");
    expect_error<TypeCheckError>([&] { tensor.slice(-1, 2, at); },
                                 "slice [-1, 2) is out of range for extent 4 of shape [4, 8]");
    TensorView scalar = tensor.index(0, at).index(0, at);
    expect_error<TypeCheckError>([&] { scalar.index(0, at); },
                                 "index 0 into a tensor without dimensions");
    expect_error<TypeCheckError>([&] { scalar.slice(0, 1, at); },
                                 "slice [0, 1) of a tensor without dimensions");
}

TEST(Tensor, Contiguity) {
    TensorView view{nullptr, DType::F32, {4, 1, 8}, {8, 99, 1}, nullptr};
    EXPECT_TRUE(view.is_contiguous());
    view.strides = {16, 99, 1};
    EXPECT_FALSE(view.is_contiguous());
    view.shape = {0, 1, 8};
    EXPECT_TRUE(view.is_contiguous());
}

TEST(Tensor, ExtentErrors) {
    int64_t large = std::numeric_limits<int64_t>::max() / 2;
    TensorView view{nullptr, DType::F32, {4, 2}, {large, 1}, nullptr};
    expect_error<CompileError>(
        [&] { view.byte_extent(); },
        "the bytes of shape [4, 2] with strides [4611686018427387903, 1] span more than 64 bits");
    view.shape = {4, 0};
    EXPECT_EQ(view.byte_extent(), std::make_pair(int64_t(0), int64_t(0)));
}

RC_GTEST_PROP(Tensor, ExtentHoldsEveryElementTightly, ()) {
    auto shape = *rc::gen::container<Shape>(3, rc::gen::inRange<int64_t>(1, 5));
    auto strides = *rc::gen::container<Shape>(3, rc::gen::inRange<int64_t>(-7, 8));
    TensorView view{nullptr, DType::I16, shape, strides, nullptr};
    int64_t lowest = 0;
    int64_t highest = 0;
    for (int64_t i = 0; i < shape[0]; ++i) {
        for (int64_t j = 0; j < shape[1]; ++j) {
            for (int64_t k = 0; k < shape[2]; ++k) {
                int64_t offset = i * strides[0] + j * strides[1] + k * strides[2];
                lowest = std::min(lowest, offset);
                highest = std::max(highest, offset);
            }
        }
    }
    RC_ASSERT(view.byte_extent() == std::make_pair(lowest * 2, highest * 2 + 2));
}

}  // namespace
}  // namespace pto::wsp
