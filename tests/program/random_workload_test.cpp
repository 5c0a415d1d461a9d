#include <random>

#include "program/samples.h"

namespace pto::wsp::test {
namespace {

/// Trees of loops and calls whose tasks touch three small tensors wherever they like.
class RandomBody {
public:
    explicit RandomBody(unsigned seed) : random_(seed) {
        for (const Tensor &tensor : tensors_) {
            fill(tensor, seed++);
        }
    }

    void statements() {
        const int count = below(3) + 1;
        for (int n = 0; n < count; ++n) {
            below(3) == 0 || variables_.size() == 3 ? task() : loop();
        }
    }

private:
    static constexpr int64_t places = 24;

    int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

    void loop() {
        const Dense axis(below(4) + 1);
        if (below(3) == 0) {
            for (auto i : P.seq(axis)) {
                body(i, axis.size);
            }
        } else {
            for (auto i : P(axis)) {
                body(i, axis.size);
            }
        }
    }

    void body(const AxisVar &variable, int64_t size) {
        variables_.push_back({variable, size});
        statements();
        variables_.pop_back();
    }

    /// A place that all iterations have.
    Tensor somewhere() {
        Affine index(below(6));
        for (const auto &[variable, size] : variables_) {
            const int factor = below(4) - 1;
            index = index + variable * factor;
            if (factor < 0) {
                index = index + (size - 1);
            }
        }
        return tensors_[static_cast<size_t>(below(3))][index];
    }

    void task() {
        std::vector<Tensor> to{somewhere(), somewhere(), somewhere()};
        switch (below(3)) {
        case 0:
            add_({to[0], to[1]});
            break;
        case 1:
            copy_({to[0], to[1]});
            break;
        default:
            mix_({to[0], to[1], to[2]});
        }
    }

    std::mt19937 random_;
    std::vector<Tensor> tensors_{
        {"A", {places, 2, 4}}, {"B", {places, 2, 4}}, {"C", {places, 2, 4}}};
    std::vector<std::pair<AxisVar, int64_t>> variables_;
    Kernel add_ = accumulate(), copy_ = increment(), mix_ = mix();
};

TEST(RandomWorkloads, DISABLED_give_the_sequential_result) {
    for (unsigned seed = 1; seed <= 40; ++seed) {
        RandomBody body(seed);
        const Workload workload("random", [&] { body.statements(); });
        SCOPED_TRACE(seed);
        expect_sequential_result(workload);
        if (seed % 4 == 0) {
            expect_sequential_result(workload.streams(3));
        }
        if (::testing::Test::HasFailure()) {
            return;
        }
    }
}

class Workers : public ::testing::TestWithParam<const char *> {};

TEST_P(Workers, give_the_sequential_result) {
    EXPECT_TRUE(
        passes_in_new_process("RandomWorkloads.*:Order.*", {{"PTO_WSP_WORKERS", GetParam()}}));
}

INSTANTIATE_TEST_SUITE_P(Each, Workers, ::testing::Values("1", "2", "4", "8"));

}  // namespace
}  // namespace pto::wsp::test
