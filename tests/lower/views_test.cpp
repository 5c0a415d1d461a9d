#include <rapidcheck.h>

#include "kernel/kernel_builder.h"
#include "kernel/random_program.h"
#include "lower/compiled.h"

/// Arguments of every layout, of fewer elements than declared, and that overlap.
namespace pto::wsp::lower {
namespace {

using kernel::Op;

/// Rows normalised in place, a transpose, a product, several types and stores.
constexpr const char *mixed_text =
    R"(kernel @mixed(%x: in tile<17x33xf16>, %w: in tile<20x33xf32>, %z: inout tile<17x1xf32>, %y: out tile<17x20xf32>, %t: out tile<33x17xbf16>) {
  %0 = load %x : tile<17x33xf16>
  %1 = load %w : tile<20x33xf32>
  %2 = load %z : tile<17x1xf32>
  %3 = cast %0 {dtype = "f32"} : tile<17x33xf32>
  %4 = mul %3, %2 : tile<17x33xf32>
  %5 = matmul %4, %1 {trans_b = true} : tile<17x20xf32>
  store %y, %5
  %6 = rowsum %5 : tile<17x1xf32>
  %7 = add %2, %6 : tile<17x1xf32>
  store %z, %7
  %8 = transpose %4 : tile<33x17xf32>
  %9 = cast %8 {dtype = "bf16"} : tile<33x17xbf16>
  store %t, %9
}
)";

void check_placements(const std::shared_ptr<const kernel::TileProgram> &program,
                      const CompiledKernel &compiled, unsigned seed) {
    Random random(seed);
    PlacedArguments placed(*program, Data::Whole, random, [&](size_t p) {
        bool input = program->params[p].direction == kernel::Direction::In;
        return static_cast<Placement>(
            pick(random, 0, (input ? placements : writable_placements) - 1));
    });
    auto expected = evaluated(*program, placed.arguments);
    compiled(placed.arguments);
    expect_results(*program, placed.arguments, expected, same_value());
    placed.expect_rest_untouched(*program);
}

TEST(Views, AnyStridesGiveTheSame) {
    auto program = program_of(mixed_text);
    CompiledKernel compiled = compile_kernel(program);
    for (unsigned seed = 0; seed < 60; ++seed) {
        SCOPED_TRACE(seed);
        check_placements(program, compiled, seed);
    }
}

/// Views of a part of what was declared.
TensorView part(const TensorView &view, int64_t rows, int64_t columns) {
    TensorView result = view;
    result.shape = {rows, columns};
    return result;
}

TEST(Views, PartialTilesComputeWhatIsThere) {
    auto program = program_of(R"(kernel @norm(%x: in tile<17x33xf32>, %y: out tile<17x33xf32>) {
  %0 = load %x : tile<17x33xf32>
  %1 = rowmax %0 : tile<17x1xf32>
  %2 = sub %0, %1 : tile<17x33xf32>
  %3 = rowsum %2 : tile<17x1xf32>
  %4 = add %2, %3 : tile<17x33xf32>
  store %y, %4
}
)");
    CompiledKernel compiled = compile_kernel(program);
    Random random(11);
    for (auto [rows, columns] : {std::array{17, 33},
                                 {1, 33},
                                 {17, 1},
                                 {16, 32},
                                 {3, 17},
                                 {1, 1},
                                 {0, 33},
                                 {17, 0},
                                 {0, 0}}) {
        SCOPED_TRACE(fmt::format("{} x {}", rows, columns));
        Placed x(17, 33, DType::F32, Placement::Padded, Data::Whole, random);
        Placed y(17, 33, DType::F32, Placement::Contiguous, Data::Whole, random);
        Arguments arguments{part(x.view, rows, columns), part(y.view, rows, columns)};
        auto expected = evaluated(*program, arguments);
        compiled(arguments);
        expect_results(*program, arguments, expected, same_value());
        y.view.shape = {rows, columns};
        EXPECT_TRUE(y.rest_untouched(rows * columns == 0));
    }
}

TEST(Views, PartialDepthOfAProductIsSummedAsFarAsItIs) {
    auto program = program_of(
        R"(kernel @mm(%a: in tile<33x17xf32>, %b: in tile<17x20xf32>, %y: out tile<33x20xf32>) {
  %0 = load %a : tile<33x17xf32>
  %1 = load %b : tile<17x20xf32>
  %2 = matmul %0, %1 : tile<33x20xf32>
  store %y, %2
}
)");
    CompiledKernel compiled = compile_kernel(program);
    Random random(12);
    for (auto [m, n, k] :
         {std::array{33, 20, 17}, {32, 20, 17}, {1, 3, 17}, {33, 20, 1}, {5, 16, 8}}) {
        SCOPED_TRACE(fmt::format("{} x {} x {}", m, n, k));
        Placed a(33, 17, DType::F32, Placement::Contiguous, Data::Whole, random);
        Placed b(17, 20, DType::F32, Placement::Transposed, Data::Whole, random);
        Placed y(33, 20, DType::F32, Placement::Contiguous, Data::Whole, random);
        Arguments arguments{part(a.view, m, k), part(b.view, k, n), part(y.view, m, n)};
        auto expected = evaluated(*program, arguments);
        compiled(arguments);
        expect_results(*program, arguments, expected, same_value());
        y.view.shape = {m, n};
        EXPECT_TRUE(y.rest_untouched(false));
    }
}

TEST(Views, InputsThatOverlapAResultAreReadBeforeItIsWritten) {
    auto program = program_of(
        R"(kernel @mm(%a: in tile<16x16xf32>, %b: in tile<16x16xf32>, %y: out tile<16x16xf32>) {
  %0 = load %a : tile<16x16xf32>
  %1 = load %b : tile<16x16xf32>
  %2 = matmul %0, %1 : tile<16x16xf32>
  store %y, %2
}
)");
    CompiledKernel compiled = compile_kernel(program);
    Random random(13);
    for (int64_t shift : {0, 1, 16, -5, 200}) {
        for (bool transposed : {false, true}) {
            Placed block(64, 16, DType::F32, Placement::Contiguous, Data::Whole, random);
            TensorView a = part(block.view, 16, 16);
            a.data = static_cast<float *>(block.view.data) + 256;
            TensorView y = a;
            y.data = static_cast<float *>(a.data) + shift;
            if (transposed) {
                std::swap(a.strides[0], a.strides[1]);
            }
            Placed b(16, 16, DType::F32, Placement::Contiguous, Data::Whole, random);
            Arguments arguments{a, b.view, y};
            auto expected = evaluated(*program, arguments);
            compiled(arguments);
            expect_results(*program, arguments, expected, same_value());
        }
    }
}

TEST(Views, RandomProgramsOnRandomViewsGiveWhatTheEvaluatorGives) {
    kernel::RandomProgramOptions options;
    options.sizes = {1, 3, 17, 33};
    options.allowed = is_exact;
    EXPECT_TRUE(rc::check("compiled = evaluated", [&] {
        auto program = kernel::random_program(options);
        Random random(static_cast<unsigned>(*rc::gen::inRange(0, 1 << 20)));
        PlacedArguments placed(*program, Data::Awkward, random, [&](size_t p) {
            bool input = program->params[p].direction == kernel::Direction::In;
            return static_cast<Placement>(
                pick(random, 0, (input ? placements : writable_placements) - 1));
        });
        auto expected = evaluated(*program, placed.arguments);
        compile_kernel(program)(placed.arguments);
        placed.expect_rest_untouched(*program);
        RC_ASSERT(expect_results(*program, placed.arguments, expected, same_value()));
    }));
}

TEST(Views, RandomProgramsWithSumsGiveWhatTheEvaluatorGives) {
    kernel::RandomProgramOptions options;
    options.sizes = {1, 3, 17, 33};
    options.dtypes = {DType::F32, DType::I32};
    options.max_ops = 5;
    // Sums of whole numbers are exact in any order while they stay small.
    options.allowed = [](Op op) {
        return op != Op::Mul && op != Op::Div && op != Op::Sqrt &&
               (is_exact(op) || op == Op::Rowsum || op == Op::Matmul);
    };
    EXPECT_TRUE(rc::check("compiled = evaluated", [&] {
        auto program = kernel::random_program(options);
        Random random(static_cast<unsigned>(*rc::gen::inRange(0, 1 << 20)));
        PlacedArguments placed(*program, Data::Whole, random,
                               [](size_t) { return Placement::Contiguous; });
        auto expected = evaluated(*program, placed.arguments);
        compile_kernel(program)(placed.arguments);
        placed.expect_rest_untouched(*program);
        RC_ASSERT(
            expect_results(*program, placed.arguments, expected, Tolerance{1e-6, 1e-6, false}));
    }));
}

}  // namespace
}  // namespace pto::wsp::lower
