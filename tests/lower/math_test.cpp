#include <bit>
#include <cmath>

#include "kernel/kernel_builder.h"
#include "lower/compiled.h"

/// Errors of elementary functions against libm in double, over all of f32.
namespace pto::wsp::lower {
namespace {

using kernel::Attributes;
using kernel::Op;

constexpr int64_t rows = 64;
constexpr int64_t columns = 1024;

std::shared_ptr<const kernel::TileProgram> unary(Op op, const Attributes &attributes = {}) {
    kernel::TestKernel k;
    kernel::Value x = k.x(rows, columns);
    k.b.store(k.out("y", rows, columns), k.op(op, {x}, attributes));
    return k.b.finish();
}

/// Distance from `exact` in units of the last place of the nearest f32.
double ulps(float actual, double exact) {
    if (std::isnan(actual) || std::isnan(exact)) {
        return std::isnan(actual) == std::isnan(exact) ? 0 : 1e30;
    }
    auto nearest = static_cast<float>(exact);
    if (std::isinf(actual) || std::isinf(nearest)) {
        return actual == nearest                           ? 0
               : std::isinf(actual) && std::isinf(nearest) ? 1e30
               : std::abs(static_cast<double>(actual)) > 3.4028e38 || std::abs(exact) > 3.4028e38
                   ? 1
                   : 1e30;
    }
    int exponent = 0;
    std::frexp(exact == 0 ? actual : exact, &exponent);
    double unit = std::ldexp(1.0, std::max(exponent - 24, -149));
    return std::abs(actual - exact) / unit;
}

struct Worst {
    double error = 0;
    float at = 0;
    float actual = 0;
};

/// The greatest error of `program` against `exact` over `inputs` of each step's bits.
template <typename Exact, typename Takes>
Worst worst_error(const std::shared_ptr<const kernel::TileProgram> &program, Exact exact,
                  Takes takes) {
    CompiledKernel compiled = compile_kernel(program);
    TensorView x = allocate_tensor({rows, columns}, DType::F32);
    TensorView y = allocate_tensor({rows, columns}, DType::F32);
    auto *in = static_cast<float *>(x.data);
    const auto *out = static_cast<const float *>(y.data);
    Worst worst;
    int64_t filled = 0;
    auto run = [&] {
        compiled({x, y});
        for (int64_t i = 0; i < filled; ++i) {
            double error = ulps(out[i], exact(static_cast<double>(in[i])));
            if (error > worst.error) {
                worst = {error, in[i], out[i]};
            }
        }
        filled = 0;
    };
    auto add = [&](uint32_t bits) {
        auto value = std::bit_cast<float>(bits);
        if (takes(value)) {
            in[filled++] = value;
        }
        if (filled == rows * columns) {
            run();
        }
    };
    // A prime step meets all exponents with changing low bits.
    for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 1009) {
        add(static_cast<uint32_t>(bits));
    }
    for (uint32_t special : {0x00000000u, 0x80000000u, 0x00000001u, 0x80000001u, 0x007fffffu,
                             0x00800000u, 0x7f7fffffu, 0xff7fffffu, 0x7f800000u, 0xff800000u,
                             0x7fc00000u, 0xffc00000u, 0x3f800000u, 0xbf800000u}) {
        add(special);
    }
    // The ends of the range of e^x, densely.
    for (double end : {88.72284, -87.33654, -103.9721, -87.33}) {
        auto middle = std::bit_cast<uint32_t>(static_cast<float>(end));
        for (uint32_t bits = middle - 2000; bits < middle + 2000; ++bits) {
            add(bits);
        }
    }
    run();
    return worst;
}

bool any(float) {
    return true;
}

#define EXPECT_ULPS(worst, bound)                                                                  \
    EXPECT_LE((worst).error, bound)                                                                \
        << fmt::format("x = {:.9g} gives {:.9g}", (worst).at, (worst).actual)

TEST(Math, ExpIsWithinFiveUlpsAndHalfOfThatUpToTen) {
    Worst worst = worst_error(
        unary(Op::Exp), [](double x) { return std::exp(x); }, any);
    EXPECT_ULPS(worst, 5);
    Worst near = worst_error(
        unary(Op::Exp), [](double x) { return std::exp(x); },
        [](float x) { return std::abs(x) <= 10; });
    EXPECT_ULPS(near, 2.5);
}

TEST(Math, ExpOfNonpositiveIsWithinFiveUlpsWhereResultsAreNormal) {
    const std::shared_ptr<const kernel::TileProgram> program =
        unary(Op::Exp, {{"nonpositive", true}});
    const double least = std::log(std::ldexp(1.0, -126));
    auto exact = [](double x) { return std::exp(x); };
    Worst normal = worst_error(program, exact,
                               [&](float x) { return std::isnan(x) || (x <= 0 && x >= least); });
    EXPECT_ULPS(normal, 5);
    // Below, anything between 0 and the least normal number is right.
    Worst below = worst_error(
        program, [](double) { return std::ldexp(1.0, -127); }, [&](float x) { return x < least; });
    EXPECT_LE(below.error, std::ldexp(1.0, 22));
}

TEST(Math, LogIsWithinTwoUlps) {
    Worst worst = worst_error(
        unary(Op::Log), [](double x) { return std::log(x); }, any);
    EXPECT_ULPS(worst, 2);
}

TEST(Math, TanhIsWithinThreeUlps) {
    Worst worst = worst_error(
        unary(Op::Tanh), [](double x) { return std::tanh(x); }, any);
    EXPECT_ULPS(worst, 3);
}

TEST(Math, SqrtIsRoundedOnceAndItsInverseTwice) {
    Worst root = worst_error(
        unary(Op::Sqrt), [](double x) { return std::sqrt(x); }, any);
    EXPECT_ULPS(root, 0.5);
    Worst inverse = worst_error(
        unary(Op::Rsqrt), [](double x) { return 1 / std::sqrt(x); }, any);
    EXPECT_ULPS(inverse, 1.5);
}

TEST(Math, SigmoidIsWithinFourUlpsAndSiluWithinFive) {
    Worst sigmoid = worst_error(
        unary(Op::Sigmoid), [](double x) { return 1 / (1 + std::exp(-x)); }, any);
    EXPECT_ULPS(sigmoid, 4);
    Worst silu = worst_error(
        unary(Op::Silu), [](double x) { return x / (1 + std::exp(-x)); }, any);
    EXPECT_ULPS(silu, 5);
}

double gelu(double x) {
    return x * 0.5 * std::erfc(-x * std::sqrt(0.5));
}

TEST(Math, SineAndCosineAreWithinOneUlp) {
    EXPECT_ULPS(worst_error(
                    unary(Op::Sin), [](double x) { return std::sin(x); }, any),
                1);
    EXPECT_ULPS(worst_error(
                    unary(Op::Cos), [](double x) { return std::cos(x); }, any),
                1);
}

TEST(Math, TheErrorFunctionAndGeluAreWithinOneUlp) {
    EXPECT_ULPS(worst_error(
                    unary(Op::Erf), [](double x) { return std::erf(x); }, any),
                1);
    EXPECT_ULPS(worst_error(unary(Op::Gelu), gelu, any), 1);
}

struct Function {
    Op op;
    double (*exact)(double);
};

constexpr Function functions[] = {
    {Op::Exp, [](double x) { return std::exp(x); }},
    {Op::Log, [](double x) { return std::log(x); }},
    {Op::Sqrt, [](double x) { return std::sqrt(x); }},
    {Op::Rsqrt, [](double x) { return 1 / std::sqrt(x); }},
    {Op::Tanh, [](double x) { return std::tanh(x); }},
    {Op::Sin, [](double x) { return std::sin(x); }},
    {Op::Cos, [](double x) { return std::cos(x); }},
    {Op::Erf, [](double x) { return std::erf(x); }},
    {Op::Sigmoid, [](double x) { return 1 / (1 + std::exp(-x)); }},
    {Op::Silu, [](double x) { return x / (1 + std::exp(-x)); }},
    {Op::Gelu, gelu},
};

/// Every input there is. Rounding a result that is off by some f32 ulp gives another neighbour at
/// most where the exact one is next to the middle of two.
TEST(Math, HalfPrecisionIsRoundedToANeighbourForEveryInput) {
    for (DType dtype : {DType::F16, DType::BF16}) {
        auto value_of = dtype == DType::F16 ? half_to_float : bfloat_to_float;
        TensorView x = allocate_tensor({64, 1024}, dtype);
        TensorView y = allocate_tensor({64, 1024}, dtype);
        for (int i = 0; i < 65536; ++i) {
            static_cast<uint16_t *>(x.data)[i] = static_cast<uint16_t>(i);
        }
        for (const Function &function : functions) {
            kernel::TestKernel k;
            kernel::Value in = k.x(64, 1024, dtype);
            k.b.store(k.out("y", 64, 1024, dtype), k.op(function.op, {in}));
            compile_kernel(k.b.finish())({x, y});
            int inexact = 0;
            for (int i = 0; i < 65536; ++i) {
                double exact = function.exact(value_of(static_cast<uint16_t>(i)));
                double actual = value_of(static_cast<uint16_t *>(y.data)[i]);
                double nearest = round_to(dtype, exact);
                if (actual == nearest || (std::isnan(actual) && std::isnan(nearest))) {
                    continue;
                }
                ++inexact;
                // Not more than the f32 error away from the middle of two neighbours.
                ASSERT_LE(std::abs(actual - exact), std::abs(nearest - exact) * (1 + 1e-2))
                    << kernel::name(function.op) << " of " << value_of(static_cast<uint16_t>(i));
            }
            EXPECT_LT(inexact, dtype == DType::F16 ? 66 : 131) << kernel::name(function.op);
        }
    }
}

TEST(Math, UlpsAreCountedInTheLastPlaceOfTheResult) {
    EXPECT_EQ(ulps(1.0f, 1.0), 0);
    EXPECT_EQ(ulps(std::nextafter(1.0f, 2.0f), 1.0), 1);
    EXPECT_EQ(ulps(2e-45f, 0.0), 1);
    EXPECT_GT(ulps(0.0f, 1.0), 1e6);
}

}  // namespace
}  // namespace pto::wsp::lower
