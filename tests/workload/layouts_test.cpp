#include "pto/wsp/workload/layouts.h"

#include <gtest/gtest.h>

#include "pto/wsp/kernel/tile.h"
#include "support/expect_error.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

KernelPtr product() {
    kernel::Builder b("product");
    const pto::wsp::tile::Param a = pto::wsp::tile::input(b, "a", {DType::F32, 4, 8});
    const pto::wsp::tile::Param c = pto::wsp::tile::input(b, "b", {DType::F32, 8, 4});
    const pto::wsp::tile::Param y = pto::wsp::tile::output(b, "y", {DType::F32, 4, 4});
    pto::wsp::tile::store(y, pto::wsp::tile::matmul(a, c));
    const auto program = b.finish();
    return std::make_shared<Kernel>(Kernel{program->name, program->params, program, {}});
}

TensorLayout sharded(int dim, int rank, int mesh_axis) {
    return TensorLayout::sharded(dim, rank, mesh_axis);
}

TEST(CheckLayouts, DimensionsMeetAsTheKernelPairsThem) {
    const KernelPtr kernel = product();
    const Region a = whole(tensor("A", {4, 8}));
    const Region b = whole(tensor("B", {8, 4}));
    const auto check = [&](const TensorLayout &of_a, const TensorLayout &of_b) {
        check_layouts(*kernel, {{0, a, of_a}, {1, b, of_b}}, {"user.py", 30});
    };
    EXPECT_NO_THROW(check(sharded(0, 2, 0), sharded(1, 2, 1)));
    EXPECT_NO_THROW(check(sharded(1, 2, 0), sharded(0, 2, 0)));
    EXPECT_NO_THROW(check(sharded(1, 2, 0), TensorLayout::replicated(2)));
    EXPECT_EQ(expect_error<LayoutIncompatibleError>(
                  [&] { check(sharded(1, 2, 0), sharded(0, 2, 1)); },
                  "kernel 'product': 'a' is Layout(R, S(0)) and 'b' is Layout(S(1), R): one "
                  "dimension of both is S(0) and S(1)"),
              "redistribute one of the two, as in relayout(B, to=...)");
}

TEST(CheckLayouts, DimensionsMeetWhereOneVariableIndexesThem) {
    const KernelPtr kernel = declare(
        "copy", {tile("x", kernel::Direction::In, 4, 4), tile("y", kernel::Direction::Out, 4, 4)});
    const TensorPtr x = tensor("X", {2, 4, 4});
    const TensorPtr y = tensor("Y", {2, 4, 4});
    const auto check = [&](const Affine &i, const Affine &j) {
        check_layouts(*kernel, {{0, index(whole(x), i), sharded(0, 3, 0)},
                                {1, index(whole(y), j), sharded(0, 3, 1)}});
    };
    EXPECT_NO_THROW(check(at("i"), at("j")));
    EXPECT_NO_THROW(check(0, 0));
    expect_error<LayoutIncompatibleError>(
        [&] { check(at("i"), at("i")); },
        "kernel 'copy': 'x' is Layout(S(0), R, R) and 'y' is Layout(S(1), R, R): one dimension of "
        "both is S(0) and S(1)");
}

}  // namespace
}  // namespace pto::wsp::workload::test
