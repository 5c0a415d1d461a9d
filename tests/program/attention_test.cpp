#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "pto/wsp/wsp.h"

namespace pto::wsp {
namespace {

constexpr int64_t batch = 4, heads = 8, rows = 512, depth = 64;

void fill(const Tensor &tensor, unsigned seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float &x : tensor.span<float>()) {
        x = normal(random);
    }
}

/// softmax(q k^T / sqrt(depth)) v in float64, one head.
std::vector<double> attention_in_float64(std::span<const float> q, std::span<const float> k,
                                         std::span<const float> v) {
    std::vector<double> result(rows * depth, 0.0);
    std::vector<double> scores(rows);
    for (int64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (int64_t c = 0; c < rows; ++c) {
            double dot = 0;
            for (int64_t d = 0; d < depth; ++d) {
                dot += static_cast<double>(q[r * depth + d]) * k[c * depth + d];
            }
            scores[c] = std::exp(dot * 0.125);
            sum += scores[c];
        }
        for (int64_t c = 0; c < rows; ++c) {
            for (int64_t d = 0; d < depth; ++d) {
                result[r * depth + d] += scores[c] / sum * v[c * depth + d];
            }
        }
    }
    return result;
}

// Each of the 32 tasks is one head of one sequence:
//
//   for b, h:  O[b][h] = softmax(Q[b][h] K[b][h]^T / 8) V[b][h]
TEST(Attention, of_all_heads_is_that_of_float64) {
    const Tensor Q("Q", {batch, heads, rows, depth}), K("K", {batch, heads, rows, depth});
    const Tensor V("V", {batch, heads, rows, depth}), O("O", {batch, heads, rows, depth});
    fill(Q, 1);
    fill(K, 2);
    fill(V, 3);
    const Tile tile(rows, depth, DType::F32);
    const Kernel attn("attn", {In("Q", tile), In("K", tile), In("V", tile), Out("O", tile)},
                      [](const Parameters &k) {
                          auto scores = matmul(k["Q"], k["K"], {.trans_b = true}) * 0.125;
                          store(k["O"], matmul(softmax(scores), k["V"]));
                      });
    const Workload attention("attention", [&] {
        for (auto [b, h] : P(Dense(batch), Dense(heads))) {
            attn[{b, h}]({Q[b][h], K[b][h], V[b][h], O[b][h]});
        }
    });
    EXPECT_EQ(attention.str(), "Workload[Dense[4] × Dense[8], attn, Independent]");
    EXPECT_EQ(attention.task_count(), 32);

    Program program = attention.compile();
    program.execute();
    program.synchronize();

    EXPECT_EQ(program.stats().task_count, 32);
    double worst = 0;
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t h = 0; h < heads; ++h) {
            const std::vector<double> expected =
                attention_in_float64(Q[b][h].span<const float>(), K[b][h].span<const float>(),
                                     V[b][h].span<const float>());
            const std::span<const float> got = O[b][h].span<const float>();
            for (size_t i = 0; i < expected.size(); ++i) {
                worst = std::max(worst, std::abs(expected[i] - got[i]));
            }
        }
    }
    EXPECT_LT(worst, 2e-6);
}

}  // namespace
}  // namespace pto::wsp
