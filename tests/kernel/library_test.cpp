#include "pto/wsp/kernel/library.h"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/random_program.h"
#include "pto/wsp/kernel/evaluate.h"
#include "support/expect_error.h"

namespace pto::wsp::kernels {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr DType F16 = DType::F16, F32 = DType::F32;
constexpr double infinity = std::numeric_limits<double>::infinity();

std::vector<std::string> names(const ProgramPtr &program) {
    std::vector<std::string> result;
    for (const kernel::Param &param : program->params) {
        result.push_back(param.name);
    }
    return result;
}

TensorView tile(int64_t rows, int64_t columns, const std::vector<double> &elements,
                DType dtype = F32) {
    return kernel::filled_tensor(rows, columns, dtype, [&](int64_t r, int64_t c) {
        return elements[static_cast<size_t>(r * columns + c)];
    });
}

/// The last argument after the reference evaluator has run.
std::vector<double> result(const ProgramPtr &program, std::vector<kernel::Argument> arguments,
                           int64_t rows, int64_t columns, DType dtype = F32) {
    TensorView out = tile(rows, columns, std::vector<double>(rows * columns, -7), dtype);
    arguments.emplace_back(out);
    kernel::evaluate(*program, arguments);
    std::vector<double> elements;
    for (int64_t i = 0; i < rows * columns; ++i) {
        elements.push_back(kernel::element_of(out, i));
    }
    return elements;
}

void expect_near(const std::vector<double> &got, const std::vector<double> &expected) {
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(got[i], expected[i], 1e-6) << "element " << i;
    }
}

TEST(Library, parameters_stand_in_the_order_of_the_formula) {
    EXPECT_THAT(names(matmul_program({.bias = F32})), ElementsAre("a", "b", "bias", "out"));
    EXPECT_THAT(names(softmax_program({F32, 2, 3})), ElementsAre("x", "out"));
    EXPECT_THAT(names(layernorm_program({{F32, 2, 3}})), ElementsAre("x", "gamma", "beta", "out"));
    EXPECT_THAT(names(rmsnorm_program({{F32, 2, 3}})), ElementsAre("x", "gamma", "out"));
    EXPECT_THAT(names(rope_program({F32, 2, 4}, RopeForm::Half, F32)),
                ElementsAre("x", "cos", "sin", "out"));
    EXPECT_THAT(names(swiglu_program({F32, 2, 4})), ElementsAre("gate", "up", "out"));
    EXPECT_THAT(names(attention_program(
                    {.query_start = std::nullopt, .mask = DType::U8, .has_alibi = true})),
                ElementsAre("q", "k", "v", "mask", "slopes", "query_start", "out"));
}

TEST(Library, narrow_floats_are_computed_in_f32_and_rounded_once) {
    const std::string text = rmsnorm_program({{F16, 4, 8}, F32})->str();
    EXPECT_THAT(text, HasSubstr("%x: in tile<4x8xf16>"));
    EXPECT_THAT(text, HasSubstr("%gamma: in tile<1x8xf32>"));
    EXPECT_THAT(text, HasSubstr("cast %0 {dtype = \"f32\"}"));
    EXPECT_THAT(text, HasSubstr("%out: out tile<4x8xf16>"));
}

TEST(Library, a_product_takes_its_bias_before_its_activation) {
    const ProgramPtr program = matmul_program(
        {.rows = 1, .columns = 2, .depth = 2, .bias = F32, .activation = Activation::Relu});
    expect_near(result(program,
                       {tile(1, 2, {1, 2}), tile(2, 2, {1, -1, 1, -1}), tile(1, 2, {-1, 1})}, 1, 2),
                {2, 0});
}

TEST(Library, norms_are_those_of_their_papers) {
    const TensorView x = tile(1, 4, {1, 2, 3, 6});
    const TensorView gamma = tile(1, 4, {1, 1, 2, 1}), beta = tile(1, 4, {0, 0, 1, 0});
    const double deviation = std::sqrt(3.5);
    expect_near(result(layernorm_program({{F32, 1, 4}, {}, 0.0}), {x, gamma, beta}, 1, 4),
                {-2 / deviation, -1 / deviation, 1, 3 / deviation});
    const double size = std::sqrt(12.5);
    expect_near(result(rmsnorm_program({{F32, 1, 4}, {}, 0.0}), {x, gamma}, 1, 4),
                {1 / size, 2 / size, 6 / size, 6 / size});
}

TEST(Library, rope_turns_halves_or_neighbours) {
    const TensorView x = tile(1, 4, {1, 2, 3, 4});
    const TensorView cos = tile(1, 2, {0, 1}), sin = tile(1, 2, {1, 0});
    expect_near(result(rope_program({F32, 1, 4}, RopeForm::Half, F32), {x, cos, sin}, 1, 4),
                {-3, 2, 1, 4});
    expect_near(result(rope_program({F32, 1, 4}, RopeForm::Interleaved, F32), {x, cos, sin}, 1, 4),
                {-2, 1, 3, 4});
}

/// Attention whose scores are all 0: each row is the mean of the values that it sees.
std::vector<double> mean_seen(AttentionSpec spec, std::vector<kernel::Argument> further = {}) {
    spec.rows = 3;
    spec.keys = 4;
    spec.depth = 1;
    std::vector<kernel::Argument> arguments{tile(3, 1, {0, 0, 0}), tile(4, 1, {5, 6, 7, 8}),
                                            tile(4, 1, {1, 2, 4, 8})};
    arguments.insert(arguments.end(), further.begin(), further.end());
    return result(attention_program(spec), arguments, 3, 1);
}

TEST(Library, rows_of_attention_see_the_keys_of_their_options) {
    expect_near(mean_seen({}), {3.75, 3.75, 3.75});
    expect_near(mean_seen({.is_causal = true}), {1, 1.5, 7.0 / 3});
    expect_near(mean_seen({.query_start = 1, .is_causal = true}), {1.5, 7.0 / 3, 3.75});
    expect_near(mean_seen({.left = 1, .right = 0}), {1, 1.5, 3});
    expect_near(mean_seen({.left = 0, .right = 1}), {1.5, 3, 6});
    expect_near(mean_seen({.query_start = std::nullopt, .is_causal = true}, {-1.0}), {0, 1, 1.5});
    expect_near(mean_seen({.mask = DType::U8},
                          {tile(3, 4, {1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0}, DType::U8)}),
                {4.5, 0, 2});
}

TEST(Library, float_masks_are_added_and_minus_infinity_hides) {
    const double log2 = std::log(2.0);
    expect_near(mean_seen({.mask = F32}, {tile(3, 4,
                                               {log2, 0, -infinity, -infinity,  //
                                                -infinity, -infinity, -infinity, -infinity,
                                                -infinity, 3, -infinity, -infinity})}),
                {4.0 / 3, 0, 2});
}

TEST(Library, alibi_takes_slope_times_distance_away) {
    const double log2 = std::log(2.0);
    expect_near(mean_seen({.is_causal = true, .has_alibi = true}, {tile(3, 1, {0, log2, log2})}),
                {1, (0.5 * 1 + 2) / 1.5, (0.25 * 1 + 0.5 * 2 + 4) / 1.75});
}

TEST(Library, what_does_not_fit_is_an_error) {
    expect_error<TypeCheckError>(
        [] {
            softmax_program({DType::I32, 2, 3});
        },
        "softmax: 'x' is I32, not a float");
    expect_error<TypeCheckError>(
        [] {
            rope_program({F32, 2, 3}, RopeForm::Half, F32);
        },
        "rope: 'x' is [2, 3], its columns must be an even number");
    expect_error<TypeCheckError>([] { attention_program({.mask = DType::I8}); },
                                 "attention: the mask is I8, neither U8 nor a float");
    expect_error<TypeCheckError>([] { attention_program({.left = -1}); },
                                 "attention: the window reaches -1 keys far");
    EXPECT_EQ(expect_error<TypeCheckError>([] { parse_activation("swish"); },
                                           "unknown activation 'swish'"),
              "activations: relu, gelu, silu, tanh, sigmoid");
    expect_error<TypeCheckError>(
        [] { matmul_program({.dtype = DType::I8, .activation = Activation::Relu}); },
        "matmul with an activation: 'a' is I8, not a float");
}

}  // namespace
}  // namespace pto::wsp::kernels
