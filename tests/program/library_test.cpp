#include "pto/wsp/program/library.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "program/samples.h"
#include "pto/wsp/wsp.h"

namespace pto::wsp {
namespace {

using test::error_of;

Tensor random_tensor(const Shape &shape, unsigned seed) {
    Tensor tensor("x", shape);
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float &x : tensor.span<float>()) {
        x = normal(random);
    }
    return tensor;
}

std::span<const float> elements(const TensorView &view) {
    return {static_cast<const float *>(view.data), static_cast<size_t>(element_count(view.shape))};
}

/// Whether query `r` sees key `c`.
using Sees = std::function<bool(int64_t batch, int64_t r, int64_t c)>;

/// Attention of [batch, heads, rows, depth] in float64; keys have `groups` times fewer heads.
void expect_attention(const TensorView &got, const Tensor &q, const Tensor &k, const Tensor &v,
                      const Sees &sees) {
    const Shape &rows = q.shape(), &keys = k.shape();
    ASSERT_EQ(got.shape, rows);
    const int64_t depth = rows[3], group = rows[1] / keys[1];
    const std::span<const float> out = elements(got);
    for (int64_t b = 0; b < rows[0]; ++b) {
        for (int64_t h = 0; h < rows[1]; ++h) {
            const std::span<const float> Q = q[b][h].span<const float>();
            const std::span<const float> K = k[b][h / group].span<const float>();
            const std::span<const float> V = v[b][h / group].span<const float>();
            for (int64_t r = 0; r < rows[2]; ++r) {
                std::vector<double> sum(static_cast<size_t>(depth));
                double total = 0;
                for (int64_t c = 0; c < keys[2]; ++c) {
                    if (!sees(b, r, c)) {
                        continue;
                    }
                    double dot = 0;
                    for (int64_t d = 0; d < depth; ++d) {
                        dot += static_cast<double>(Q[r * depth + d]) * K[c * depth + d];
                    }
                    const double weight = std::exp(dot / std::sqrt(static_cast<double>(depth)));
                    total += weight;
                    for (int64_t d = 0; d < depth; ++d) {
                        sum[static_cast<size_t>(d)] += weight * V[c * depth + d];
                    }
                }
                for (int64_t d = 0; d < depth; ++d) {
                    const double expected = total > 0 ? sum[static_cast<size_t>(d)] / total : 0.0;
                    ASSERT_NEAR(out[((b * rows[1] + h) * rows[2] + r) * depth + d], expected, 5e-6)
                        << b << " " << h << " " << r << " " << d;
                }
            }
        }
    }
}

TEST(Library, attention_is_that_of_float64) {
    const Tensor q = random_tensor({2, 4, 70, 16}, 1);
    const Tensor k = random_tensor({2, 2, 90, 16}, 2), v = random_tensor({2, 2, 90, 16}, 3);
    expect_attention(kernels::attention(q, k, v, {.enable_gqa = true}), q, k, v,
                     [](int64_t, int64_t, int64_t) { return true; });
    expect_attention(
        kernels::attention(q, k, v, {.is_causal = true, .enable_gqa = true, .query_start = 5}), q,
        k, v, [](int64_t, int64_t r, int64_t c) { return c <= r + 5; });
    expect_attention(
        kernels::attention(
            q, k, v,
            {.enable_gqa = true, .window = kernels::Window{7, 2}, .query_start = std::nullopt}),
        q, k, v, [](int64_t, int64_t r, int64_t c) { return c >= r + 13 && c <= r + 22; });
}

TEST(Library, lengths_are_data) {
    const Tensor q = random_tensor({2, 4, 1, 16}, 1);
    const Tensor k = random_tensor({2, 2, 90, 16}, 2), v = random_tensor({2, 2, 90, 16}, 3);
    kernels::AttentionOptions options{.enable_gqa = true};
    options.kv_lengths = {90, 3};
    kernels::attention(q, k, v, options);
    const int64_t before = kernels::library_stats().kernels;
    for (const std::vector<int64_t> &lengths :
         std::vector<std::vector<int64_t>>{{0, 90}, {17, 1}, {64, 65}}) {
        options.kv_lengths = lengths;
        expect_attention(
            kernels::attention(q, k, v, options), q, k, v,
            [&](int64_t b, int64_t, int64_t c) { return c < lengths[static_cast<size_t>(b)]; });
    }
    EXPECT_EQ(kernels::library_stats().kernels, before);
}

TEST(Library, rows_run_over_any_leading_dimensions) {
    const Tensor x = random_tensor({3, 5, 33}, 4);
    const TensorView y = kernels::softmax(x);
    ASSERT_EQ(y.shape, x.shape());
    for (int64_t row = 0; row < 15; ++row) {
        const auto from = x.span<const float>().subspan(static_cast<size_t>(row * 33), 33);
        double total = 0;
        for (const float value : from) {
            total += std::exp(static_cast<double>(value));
        }
        for (size_t c = 0; c < 33; ++c) {
            EXPECT_NEAR(elements(y)[static_cast<size_t>(row * 33) + c], std::exp(from[c]) / total,
                        1e-6);
        }
    }
}

TEST(Library, results_go_where_the_caller_says) {
    const Tensor a = random_tensor({40, 24}, 5), b = random_tensor({24, 8}, 6);
    const Tensor out("out", {40, 8});
    const TensorView given = kernels::matmul(a, b, {}, out.view());
    EXPECT_EQ(given.data, out.view().data);
    const TensorView made = kernels::matmul(a, b);
    EXPECT_TRUE(std::ranges::equal(elements(made), out.span<const float>()));
}

TEST(Library, programs_are_kernels_of_workloads) {
    const Tensor x = random_tensor({4, 8, 16}, 7);
    const Tensor gamma = random_tensor({1, 16}, 8);
    const Tensor y("y", {4, 8, 16});
    const Kernel norm(kernels::rmsnorm_program({{DType::F32, 8, 16}, {}, 1e-6}));
    Program program = Workload("normalised", [&] {
                          for (const AxisVar &i : P(Dense(4))) {
                              norm[i]({x[i], gamma, y[i]});
                          }
                      }).compile();
    test::run(program);
    const TensorView eager = kernels::rmsnorm(x, gamma[0].view(), 1e-6);
    const std::span<const float> got = y.span<const float>();
    for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_NEAR(got[i], elements(eager)[i], 1e-6);
    }
}

TEST(Library, threads_may_call_at_once) {
    const Tensor x = random_tensor({64, 40}, 9);
    const TensorView expected = kernels::softmax(x);
    std::vector<std::thread> threads;
    std::atomic<int> wrong = 0;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&] {
            for (int i = 0; i < 20; ++i) {
                wrong +=
                    std::ranges::equal(elements(kernels::softmax(x)), elements(expected)) ? 0 : 1;
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(wrong, 0);
}

TEST(Library, what_does_not_fit_is_an_error) {
    const Tensor q("q", {2, 8, 16}), k("k", {2, 9, 16});
    EXPECT_EQ(error_of<TypeCheckError>([&] { kernels::attention(q, k, q); }),
              "attention: k and v have different numbers of rows: 'q' [2, 8, 16], 'k' [2, 9, 16], "
              "'v' [2, 8, 16]");
    EXPECT_EQ(error_of<TypeCheckError>([&] { kernels::matmul(q, k); }),
              "matmul: inner dimensions differ: [2, 8, 16] x [2, 9, 16]");
    EXPECT_EQ(error_of<TypeCheckError>([&] { kernels::softmax(q, k.view()); }),
              "softmax: 'out' is [2, 9, 16], expected [2, 8, 16]");
}

}  // namespace
}  // namespace pto::wsp
