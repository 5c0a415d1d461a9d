#include <cmath>

#include "program/samples.h"

namespace pto::wsp::test {
namespace {

TensorView floats(std::vector<float> &data, int64_t rows, int64_t columns) {
    return {data.data(), F32, {rows, columns}, contiguous_strides({rows, columns}), nullptr};
}

/// y = 7 in 2 N rows, where x has N.
Kernel twice_as_many(bool result_first = false) {
    const Symbol N("N");
    const In x("x", Tile(N, 4, F32));
    const Out y("y", Tile(2 * N, 4, F32));
    const std::vector<kernel::Param> params =
        result_first ? std::vector<kernel::Param>{y, x} : std::vector<kernel::Param>{x, y};
    return {"twice", params, [&](const Parameters &k) {
                store(k["y"], broadcast(tile::constant(k.builder(), 7.0, F32), 2 * N, 4));
            }};
}

TEST(CompiledKernel, writes_no_more_of_a_sum_of_symbols_than_there_is) {
    std::vector<float> x(3 * 4), y(6 * 4);
    const CompiledKernel kernel = twice_as_many().compile();
    kernel({floats(x, 3, 4), floats(y, 5, 3)});
    EXPECT_EQ(y[14], 7);
    EXPECT_EQ(y[15], 0);
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  kernel({floats(x, 2, 4), floats(y, 5, 4)});
              }),
              "twice: 'y' has 5 rows, more than the 4 declared");
    kernel({floats(x, 3, 2), floats(y, 6, 4)});
    EXPECT_EQ(y[23], 7);
}

TEST(CompiledKernel, knows_symbols_wherever_they_stand) {
    std::vector<float> x(3 * 4), y(6 * 4);
    const CompiledKernel kernel = twice_as_many(true).compile();
    kernel({floats(y, 6, 4), floats(x, 3, 4)});
    EXPECT_EQ(y[23], 7);
}

TEST(CompiledKernel, writes_results_beside_empty_ones) {
    const Symbol N("N");
    const Kernel both("both", {Out("y", Tile(N, 4, F32)), Out("z", Tile(1, 4, F32))},
                      [&](const Parameters &k) {
                          const auto seven = tile::constant(k.builder(), 7.0, F32);
                          store(k["y"], broadcast(seven, N, 4));
                          store(k["z"], broadcast(seven, 1, 4));
                      });
    std::vector<float> y(4), z(4);
    const CompiledKernel kernel = both.compile();
    kernel({floats(y, 0, 4), floats(z, 1, 4)});
    EXPECT_EQ(y, std::vector<float>(4, 0));
    EXPECT_EQ(z, std::vector<float>(4, 7));
    kernel({floats(y, 0, 4), floats(z, 0, 4)});
}

TEST(CompiledKernel, takes_integers_that_their_type_has) {
    const Kernel give("give", {Scalar("n", DType::I32), Out("y", Tile(1, 1, DType::I32))},
                      [](const Parameters &k) { store(k["y"], k.scalar("n")); });
    const CompiledKernel kernel = give.compile();
    std::vector<int32_t> y(1);
    const TensorView result{y.data(), DType::I32, {1, 1}, {1, 1}, nullptr};
    kernel({-2147483648.0, result});
    EXPECT_EQ(y[0], INT32_MIN);
    kernel({int64_t{7}, result});
    EXPECT_EQ(y[0], 7);
    const auto refused = [&](const std::variant<TensorView, double, int64_t, uint64_t> &n) {
        return error_of<TypeCheckError>([&] { kernel({n, result}); });
    };
    EXPECT_EQ(refused(int64_t{3000000000}), "give: 'n' is I32, not 3000000000");
    EXPECT_EQ(refused(2.7), "give: 'n' is I32, not 2.7");
    EXPECT_EQ(refused(std::nan("")), "give: 'n' is I32, not nan");
    EXPECT_EQ(refused(1e300), "give: 'n' is I32, not 1e+300");
    EXPECT_EQ(y[0], 7);
}

TEST(CompiledKernel, takes_integers_that_only_u64_has) {
    const Kernel give("give", {Scalar("n", DType::U64), Out("y", Tile(1, 1, DType::U64))},
                      [](const Parameters &k) { store(k["y"], k.scalar("n")); });
    const CompiledKernel kernel = give.compile();
    std::vector<uint64_t> y(1);
    kernel({UINT64_MAX - 1, TensorView{y.data(), DType::U64, {1, 1}, {1, 1}, nullptr}});
    EXPECT_EQ(y[0], UINT64_MAX - 1);
}

TEST(CompiledKernel, is_made_for_the_values_of_symbols) {
    const Symbol N("N");
    const Kernel fill("fill", {Out("y", Tile(2 * N, 4, F32))}, [&](const Parameters &k) {
        store(k["y"], broadcast(tile::constant(k.builder(), 7.0, F32), 2 * N, 4));
    });
    const auto with = [&](const std::map<std::string, int64_t> &symbols) {
        KernelOptions options;
        options.symbols = symbols;
        return fill.compile(options);
    };
    std::vector<float> y(6 * 4);
    with({{"N", 3}})({floats(y, 6, 4)});
    EXPECT_EQ(y[23], 7);
    std::vector<float> part(6 * 4);
    with({{"N", 3}})({floats(part, 5, 4)});
    EXPECT_EQ(part[20], 0);
    EXPECT_EQ(error_of<CompileError>([&] {
                  with({{"M", 3}});
              }),
              "kernel 'fill' has no symbol 'M' | symbols: N");
    EXPECT_EQ(error_of<CompileError>([&] {
                  with({{"N", int64_t{1} << 31}});
              }),
              "kernel 'fill': N is 2147483648, must be in [0, 2147483647]");

    KernelOptions three;
    three.symbols = {{"N", 3}};
    std::vector<float> x(4 * 4), z(8 * 4);
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  twice_as_many().compile(three)({floats(x, 4, 4), floats(z, 8, 4)});
              }),
              "twice: 'x' has 4 rows, but N is 3 already");
}

TEST(CompiledKernel, takes_schedules_of_texts) {
    KernelOptions options;
    options.schedule = schedule::KernelSchedule().unroll("store0", "\xff");
    EXPECT_EQ(error_of<IRConversionError>([&] { increment().compile(options); }),
              "json text is utf-8, and a string of 1 bytes is not");
}

/// A view of one element that says to have more.
TensorView repeated(std::vector<float> &data, const Shape &shape, const Shape &strides) {
    return {data.data(), F32, shape, strides, nullptr};
}

TEST(CompiledKernel, counts_elements_in_32_bits) {
    const Symbol N("N"), M("M");
    const Kernel sum("sum", {In("x", Tile(N, M, F32)), Out("y", Tile(N, 1, F32))},
                     [](const Parameters &k) { store(k["y"], rowsum(k["x"])); });
    const CompiledKernel kernel = sum.compile();
    std::vector<float> x(4, 1), y(2);
    const auto refused = [&](int64_t columns, const Shape &strides) {
        return error_of<TypeCheckError>([&] {
            kernel({repeated(x, {2, columns}, strides), floats(y, 2, 1)});
        });
    };
    const int64_t large = int64_t{1} << 31;
    EXPECT_EQ(refused((int64_t{1} << 32) + 4, {0, 0}),
              "sum: 'x' has 4294967300 columns, more than 2147483647 | pass parts of it");
    EXPECT_EQ(refused(1, {large, 1}),
              "sum: the row stride of 'x' is 2147483648 elements, more than 2147483647 | pass a "
              "copy whose elements are closer together");
    EXPECT_EQ(refused(2, {1, INT64_MIN}),
              "sum: the column stride of 'x' is -9223372036854775808 elements, more than "
              "2147483647 | pass a copy whose elements are closer together");
    // Strides of dims of one place are never used.
    kernel({repeated(x, {1, 4}, {INT64_MIN, 1}), floats(y, 1, 1)});
    EXPECT_EQ(y[0], 4);
}

TEST(Program, counts_elements_in_32_bits) {
    std::vector<float> data(1);
    const int64_t large = int64_t{1} << 31;
    const Tensor X("X", repeated(data, {2, 4}, {large, 1})), Y("Y", {2, 4});
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  Workload("far", [&] { increment()({X, Y}); }).compile();
              }),
              "increment: the row stride of 'x' is 2147483648 elements, more than 2147483647 | "
              "pass a copy whose elements are closer together");
}

TEST(Program, knows_symbols_wherever_they_stand) {
    const Symbol M("M"), L("L");
    const Kernel declared("twice", {Out("y", Tile(M, 4, F32)), In("x", Tile(L, 4, F32))});
    const auto implemented = [&](const Tensor &y, const Tensor &x) {
        Program program = Workload("doubling", [&] { declared({y, x}); }).compile();
        program.register_kernel("twice", twice_as_many(true).ir());
        return program;
    };
    const Tensor X("X", {3, 4}), Y("Y", {6, 4}), Z("Z", {7, 4});
    Program program = implemented(Y, X);
    run(program);
    EXPECT_EQ(Y.span<float>()[23], 7);
    EXPECT_EQ(error_of<TypeCheckError>([&] { implemented(Z, X); }),
              "twice: 'y' is Tile[2*N, 4, F32], the region Z[0:7, 0:4] is larger or of another "
              "size");
}

}  // namespace
}  // namespace pto::wsp::test
