#include <Eigen/Dense>

#include "program/samples.h"

namespace pto::wsp::test {
namespace {

/// Blocked Cholesky and LU, written in program order without any explicit dependence, against
/// Eigen. In a window smaller than a step of the outer loop too, and on 1, 2, 4 and 8 workers.

constexpr int64_t block = 8;
constexpr int64_t blocks = 6;
constexpr int64_t size = block * blocks;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

Tile square() {
    return {block, block, DType::F64};
}

Kernel body(const std::string &name, const std::vector<kernel::Param> &parameters,
            const std::string &text) {
    return {name, parameters,
            CppSource{.text = "const int n = " + std::to_string(block) + ";\n" + text,
                      .includes = {"<cmath>"}}};
}

/// a = L Lᵀ; leaves L.
Kernel potrf() {
    return body("potrf", {InOut("a", square())}, R"(
        for (int j = 0; j < n; ++j) {
            for (int i = j; i < n; ++i) {
                for (int k = 0; k < j; ++k)
                    a(i, j) -= a(i, k) * a(j, k);
                a(i, j) = i == j ? std::sqrt(a(j, j)) : a(i, j) / a(j, j);
                a(j, i) = i == j ? a(j, i) : 0;
            }
        }
    )");
}

/// Leaves X of X Lᵀ = b.
Kernel trsm_transposed() {
    return body("trsm_transposed", {In("l", square()), InOut("b", square())}, R"(
        for (int i = 0; i < n; ++i)
            for (int j = 0; j < n; ++j) {
                for (int k = 0; k < j; ++k)
                    b(i, j) -= b(i, k) * l(j, k);
                b(i, j) /= l(j, j);
            }
    )");
}

/// c -= x yᵀ.
Kernel syrk() {
    return body("syrk", {In("x", square()), In("y", square()), InOut("c", square())}, R"(
        for (int i = 0; i < n; ++i)
            for (int j = 0; j < n; ++j)
                for (int k = 0; k < n; ++k)
                    c(i, j) -= x(i, k) * y(j, k);
    )");
}

/// a = L U without pivots; leaves U, and L below it, whose diagonal is 1.
Kernel getrf() {
    return body("getrf", {InOut("a", square())}, R"(
        for (int k = 0; k < n; ++k)
            for (int i = k + 1; i < n; ++i) {
                a(i, k) /= a(k, k);
                for (int j = k + 1; j < n; ++j)
                    a(i, j) -= a(i, k) * a(k, j);
            }
    )");
}

/// Leaves X of L X = b.
Kernel trsm_lower() {
    return body("trsm_lower", {In("lu", square()), InOut("b", square())}, R"(
        for (int i = 0; i < n; ++i)
            for (int k = 0; k < i; ++k)
                for (int j = 0; j < n; ++j)
                    b(i, j) -= lu(i, k) * b(k, j);
    )");
}

/// Leaves X of X U = b.
Kernel trsm_upper() {
    return body("trsm_upper", {In("lu", square()), InOut("b", square())}, R"(
        for (int j = 0; j < n; ++j)
            for (int i = 0; i < n; ++i) {
                for (int k = 0; k < j; ++k)
                    b(i, j) -= b(i, k) * lu(k, j);
                b(i, j) /= lu(j, j);
            }
    )");
}

/// c -= x y.
Kernel gemm() {
    return body("gemm", {In("x", square()), In("y", square()), InOut("c", square())}, R"(
        for (int i = 0; i < n; ++i)
            for (int k = 0; k < n; ++k)
                for (int j = 0; j < n; ++j)
                    c(i, j) -= x(i, k) * y(k, j);
    )");
}

Workload cholesky(const Tensor &a) {
    return Workload("cholesky", [&] {
        for (auto k : P(blocks)) {
            potrf()[k]({a[k][k]});
            for (auto i : P(DenseDyn(blocks - 1 - k))) {
                trsm_transposed()[{k, i}]({a[k][k], a[k + 1 + i][k]});
            }
            for (auto i : P(DenseDyn(blocks - 1 - k))) {
                for (auto j : P(DenseDyn(i + 1))) {
                    syrk()[{k, i, j}]({a[k + 1 + i][k], a[k + 1 + j][k], a[k + 1 + i][k + 1 + j]});
                }
            }
        }
    });
}

Workload lu(const Tensor &a) {
    return Workload("lu", [&] {
        for (auto k : P(blocks)) {
            getrf()[k]({a[k][k]});
            for (auto j : P(DenseDyn(blocks - 1 - k))) {
                trsm_lower()[{k, j}]({a[k][k], a[k][k + 1 + j]});
            }
            for (auto i : P(DenseDyn(blocks - 1 - k))) {
                trsm_upper()[{k, i}]({a[k][k], a[k + 1 + i][k]});
            }
            for (auto [i, j] : P(DenseDyn(blocks - 1 - k), DenseDyn(blocks - 1 - k))) {
                gemm()[{k, i, j}]({a[k + 1 + i][k], a[k][k + 1 + j], a[k + 1 + i][k + 1 + j]});
            }
        }
    });
}

/// A place of `a` [blocks, blocks, block, block], as one of a matrix.
double &at(const Tensor &a, int64_t row, int64_t column) {
    const int64_t tile = row / block * blocks + column / block;
    return a
        .span<double>()[static_cast<size_t>((tile * block + row % block) * block + column % block)];
}

/// Whether the triangle of `a` below the diagonal, or that above it, is that of `wanted`.
void expect_triangle(const Tensor &a, const Matrix &wanted, bool lower) {
    for (int64_t i = 0; i < size; ++i) {
        for (int64_t j = 0; j < size; ++j) {
            if (lower ? j < i : j >= i) {
                ASSERT_NEAR(at(a, i, j), wanted(i, j), 1e-11) << i << ", " << j;
            }
        }
    }
}

/// Runs `workload` on `a` holding `start`, in windows of several sizes.
void run_on(const Tensor &a, const Matrix &start, const Workload &workload,
            const std::function<void()> &check) {
    for (const int64_t window : {0, 3, 64}) {
        for (int64_t i = 0; i < size; ++i) {
            for (int64_t j = 0; j < size; ++j) {
                at(a, i, j) = start(i, j);
            }
        }
        Program program = (window == 0 ? workload : workload.task_graph(window)).compile();
        run(program);
        check();
    }
}

TEST(Factorisation, cholesky_is_eigens) {
    std::srand(1);
    const Matrix random = Matrix::Random(size, size);
    const Matrix start = random * random.transpose() + size * Matrix::Identity(size, size);
    const Matrix wanted = start.llt().matrixL();
    const Tensor a("a", {blocks, blocks, block, block}, DType::F64);
    run_on(a, start, cholesky(a), [&] {
        expect_triangle(a, wanted, true);
        for (int64_t i = 0; i < size; ++i) {
            ASSERT_NEAR(at(a, i, i), wanted(i, i), 1e-11);
        }
    });
}

TEST(Factorisation, lu_is_eigens) {
    std::srand(2);
    const Matrix start = Matrix::Random(size, size) + 2 * size * Matrix::Identity(size, size);
    // The diagonal dominates: Eigen finds no better pivots.
    const Eigen::PartialPivLU<Matrix> found(start);
    ASSERT_TRUE(found.permutationP().indices() ==
                Eigen::VectorXi::LinSpaced(size, 0, static_cast<int>(size) - 1));
    const Tensor a("a", {blocks, blocks, block, block}, DType::F64);
    run_on(a, start, lu(a), [&] {
        expect_triangle(a, found.matrixLU(), true);
        expect_triangle(a, found.matrixLU(), false);
    });
}

class FactorisationWorkers : public ::testing::TestWithParam<const char *> {};

TEST_P(FactorisationWorkers, give_the_sequential_result) {
    EXPECT_TRUE(passes_in_new_process("Factorisation.*", {{"PTO_WSP_WORKERS", GetParam()}}));
}

INSTANTIATE_TEST_SUITE_P(Each, FactorisationWorkers, ::testing::Values("1", "2", "4", "8"));

}  // namespace
}  // namespace pto::wsp::test
