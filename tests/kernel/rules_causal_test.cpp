#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/kernel_builder.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/evaluate.h"
#include "pto/wsp/kernel/rules.h"

namespace pto::wsp::kernel {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Attention {
    int64_t rows = 160;
    int64_t keys = 160;
    int64_t offset = 0;
    bool run_time_offset = false;
    bool row_minimum = false;  ///< adds a reduction to which -inf is not neutral

    std::shared_ptr<const TileProgram> build() const {
        TestKernel k;
        Value q = k.b.load(k.in("q", rows, 16));
        Value keys_tile = k.b.load(k.in("k", keys, 16));
        Value v = k.b.load(k.in("v", keys, 16));
        Value s = k.op(Op::Matmul, {q, keys_tile}, {{"trans_b", true}});
        std::vector<Value> masked{s};
        if (run_time_offset) {
            masked.push_back(k.scalar("offset", DType::I32));
        } else if (offset != 0) {
            masked.push_back(k.b.constant(offset, DType::I32));
        }
        Value x = k.op(Op::CausalMask, masked, {}, 20);
        Value o = k.op(Op::Matmul, {k.op(Op::Softmax, {x}), v});
        if (row_minimum) {
            o = k.op(Op::Add, {o, k.op(Op::Rowmin, {x})});
        }
        k.b.store(k.out("o", rows, 16), o);
        return k.b.finish();
    }
};

TensorView random_tile(int64_t rows, int64_t columns, unsigned seed) {
    TensorView view = allocate_tensor({rows, columns}, DType::F32);
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    std::generate_n(static_cast<float *>(view.data), rows * columns,
                    [&] { return normal(generator); });
    return view;
}

std::string explained(const TileProgram &program) {
    Reasons reasons;
    rewrite_tile_program(program, &reasons);
    std::string text;
    for (const Reason &reason : reasons) {
        text += reason.str() + "\n";
    }
    return text;
}

class CausalRowsShapes : public ::testing::TestWithParam<Attention> {};

TEST_P(CausalRowsShapes, GiveWhatTheWholeRowsGive) {
    const Attention &shape = GetParam();
    std::shared_ptr<const TileProgram> before = shape.build();
    std::shared_ptr<const TileProgram> after = rewrite_tile_program(*before, nullptr);
    EXPECT_THAT(after->str(), HasSubstr("as block0 do"));
    EXPECT_EQ(parse_tile_program(after->str())->hash(), after->hash());
    std::vector<Argument> arguments{random_tile(shape.rows, 16, 1), random_tile(shape.keys, 16, 2),
                                    random_tile(shape.keys, 16, 3)};
    TensorView whole = allocate_tensor({shape.rows, 16}, DType::F32);
    TensorView blocks = allocate_tensor({shape.rows, 16}, DType::F32);
    arguments.emplace_back(whole);
    evaluate(*before, arguments);
    arguments.back() = blocks;
    evaluate(*after, arguments);
    for (int64_t i = 0; i < shape.rows * 16; ++i) {
        EXPECT_NEAR(static_cast<float *>(blocks.data)[i], static_cast<float *>(whole.data)[i],
                    2e-6);
    }
}

INSTANTIATE_TEST_SUITE_P(Shapes, CausalRowsShapes,
                         ::testing::Values(Attention{128, 128}, Attention{160, 160},
                                           Attention{200, 130}, Attention{130, 300},
                                           Attention{128, 256, 128}, Attention{192, 192, 5}));

TEST(CausalRows, FireAtTheMasksLine) {
    EXPECT_THAT(explained(*Attention{}.build()),
                HasSubstr("k.py:20: bound-causal-rows: applied: rows in blocks of 64"));
}

TEST(CausalRows, SayWhyTheyStayWhole) {
    EXPECT_THAT(explained(*Attention{96, 96}.build()),
                HasSubstr("not applied: 96 rows are fewer than two blocks of 64"));
    Attention moving;
    moving.run_time_offset = true;
    EXPECT_THAT(explained(*moving.build()),
                HasSubstr("not applied: the mask's offset is known at run time only"));
    EXPECT_THAT(explained(*Attention{160, 160, -3}.build()),
                HasSubstr("not applied: the mask's offset -3 hides whole rows"));
    Attention minimum;
    minimum.row_minimum = true;
    EXPECT_THAT(explained(*minimum.build()),
                HasSubstr("not applied: rowmin counts hidden columns"));
}

TEST(CausalRows, LeaveKernelsWithoutAMaskAlone) {
    TestKernel k;
    Value x = k.x(160, 160);
    k.b.store(k.out("o", 160, 160), k.op(Op::Exp, {x}));
    EXPECT_THAT(explained(*k.b.finish()), Not(HasSubstr("bound-causal-rows")));
}

}  // namespace
}  // namespace pto::wsp::kernel
