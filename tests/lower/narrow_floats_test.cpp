#include <bit>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>

#include "kernel/kernel_builder.h"
#include "lower/compiled.h"
#include "lower/module_impl.h"
#include "program/kernel_code.h"

/// F16 and BF16 come out the same, bit for bit, whatever instructions a machine has.
namespace pto::wsp::lower {
namespace {

using kernel::Op;
using testing::HasSubstr;
using testing::Not;

/// From machines without any conversion to this one; those that this one cannot run are left out.
std::vector<std::string> targets() {
    const std::string host = host_target().text;
    std::vector<std::string> found{"x86-64-linux", "x86-64-linux-avx-avx2-fma-sse41",
                                   "x86-64-linux-avx-avx2-f16c-fma-sse41"};
    for (const char *wide : {"avx512_skylake", "avx512_zen4", "avx512_sapphirerapids"}) {
        found.push_back(std::string("x86-64-linux-avx-avx2-avx512-") + wide + "-f16c-fma-sse41");
    }
    std::erase_if(found, [&](const std::string &target) {
        std::istringstream features(target.substr(std::string("x86-64-linux").size()));
        for (std::string feature; std::getline(features, feature, '-');) {
            if (!feature.empty() && ("-" + host + "-").find("-" + feature + "-") == host.npos) {
                return true;
            }
        }
        return false;
    });
    found.push_back(host);
    return found;
}

/// Compiles for `target` while it lives.
class ForTarget {
public:
    explicit ForTarget(const std::string &target) {
        if (const char *set = std::getenv("PTO_WSP_TARGET")) {
            before_ = set;
        }
        setenv("PTO_WSP_TARGET", target.c_str(), 1);
    }
    ~ForTarget() {
        if (before_) {
            setenv("PTO_WSP_TARGET", before_->c_str(), 1);
        } else {
            unsetenv("PTO_WSP_TARGET");
        }
    }
    ForTarget(const ForTarget &) = delete;
    ForTarget &operator=(const ForTarget &) = delete;

private:
    std::optional<std::string> before_;
};

uint16_t word_of(DType dtype, float value) {
    return dtype == DType::F16 ? float_to_half(value) : float_to_bfloat(value);
}

float value_of(DType dtype, uint16_t word) {
    return dtype == DType::F16 ? half_to_float(word) : bfloat_to_float(word);
}

/// Each word of `dtype`, what lies in the middle to the next, its neighbours, and many others.
std::vector<float> awkward_floats(DType dtype) {
    std::vector<float> values;
    auto add = [&](uint32_t bits) { values.push_back(std::bit_cast<float>(bits)); };
    for (uint32_t word = 0; word < 65535; ++word) {
        float low = value_of(dtype, static_cast<uint16_t>(word));
        float high = value_of(dtype, static_cast<uint16_t>(word + 1));
        auto middle = std::bit_cast<uint32_t>(
            std::isinf(high) && std::isfinite(low) && dtype == DType::F16
                ? std::copysign(65520.0f, low)
                : static_cast<float>((static_cast<double>(low) + static_cast<double>(high)) / 2));
        for (uint32_t bits : {std::bit_cast<uint32_t>(low), middle - 1, middle, middle + 1}) {
            add(bits);
        }
    }
    for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 8191) {
        add(static_cast<uint32_t>(bits));
    }
    for (uint32_t sign : {0u, 0x80000000u}) {
        for (uint32_t bits = 0; bits < 23; ++bits) {
            add(sign | 0x7f800000u | (1u << bits));  // NaN, also those whose payload would vanish
            add(sign | (1u << bits));                // subnormals
        }
        add(sign | 0x7f7fffffu);
        add(sign | 0x7fffffffu);
    }
    return values;
}

/// `cast` of a tile [rows, columns] of `from` to `to`, loaded and stored.
std::shared_ptr<const kernel::TileProgram> conversion(int64_t rows, int64_t columns, DType from,
                                                      DType to) {
    kernel::TestKernel k;
    kernel::Value x = k.x(rows, columns, from);
    k.b.store(k.out("y", rows, columns, to),
              k.op(Op::Cast, {x}, {{"dtype", std::string(pto::wsp::name(to))}}));
    return k.b.finish();
}

/// Vectors, and rows too short for one.
constexpr int64_t row_lengths[] = {1024, 3};

TEST(NarrowFloats, EveryWordIsReadAlikeOnEveryTarget) {
    for (const std::string &target : targets()) {
        ForTarget compiled_for(target);
        for (DType dtype : {DType::F16, DType::BF16}) {
            for (int64_t columns : row_lengths) {
                int64_t rows = (65536 + columns - 1) / columns;
                TensorView x = allocate_tensor({rows, columns}, dtype);
                TensorView y = allocate_tensor({rows, columns}, DType::F32);
                auto *words = static_cast<uint16_t *>(x.data);
                for (int64_t i = 0; i < rows * columns; ++i) {
                    words[i] = static_cast<uint16_t>(i);
                }
                compile_kernel(conversion(rows, columns, dtype, DType::F32))({x, y});
                for (int64_t i = 0; i < rows * columns; ++i) {
                    // BF16 is the upper half of F32: nothing is converted.
                    uint32_t expected = dtype == DType::BF16
                                            ? uint32_t{words[i]} << 16
                                            : std::bit_cast<uint32_t>(half_to_float(words[i]));
                    ASSERT_EQ(static_cast<uint32_t *>(y.data)[i], expected)
                        << pto::wsp::name(dtype) << " " << words[i] << " on " << target;
                }
            }
        }
    }
}

TEST(NarrowFloats, FloatsAreRoundedAlikeOnEveryTarget) {
    for (DType dtype : {DType::F16, DType::BF16}) {
        const std::vector<float> values = awkward_floats(dtype);
        for (const std::string &target : targets()) {
            ForTarget compiled_for(target);
            for (int64_t columns : row_lengths) {
                int64_t rows = static_cast<int64_t>(values.size()) / columns;
                TensorView x = allocate_tensor({rows, columns}, DType::F32);
                TensorView y = allocate_tensor({rows, columns}, dtype);
                std::memcpy(x.data, values.data(), static_cast<size_t>(x.nbytes()));
                compile_kernel(conversion(rows, columns, DType::F32, dtype))({x, y});
                for (int64_t i = 0; i < rows * columns; ++i) {
                    float value = static_cast<float *>(x.data)[i];
                    ASSERT_EQ(static_cast<uint16_t *>(y.data)[i], word_of(dtype, value))
                        << pto::wsp::name(dtype) << " of " << std::hexfloat << value << " ("
                        << std::hex << std::bit_cast<uint32_t>(value) << ") on " << target;
                }
            }
        }
    }
}

/// Between two operations a value is rounded, too: x -> x * 1 in `dtype`, read as F32.
TEST(NarrowFloats, IntermediateValuesAreRoundedAlikeOnEveryTarget) {
    for (DType dtype : {DType::F16, DType::BF16}) {
        const std::vector<float> values = awkward_floats(dtype);
        for (const std::string &target : targets()) {
            ForTarget compiled_for(target);
            int64_t columns = 1024;
            int64_t rows = static_cast<int64_t>(values.size()) / columns;
            kernel::TestKernel k;
            kernel::Value in = k.x(rows, columns, DType::F32);
            kernel::Value narrow =
                k.op(Op::Cast, {in}, {{"dtype", std::string(pto::wsp::name(dtype))}});
            k.b.store(k.out("y", rows, columns, DType::F32),
                      k.op(Op::Cast, {narrow}, {{"dtype", std::string("f32")}}));
            TensorView x = allocate_tensor({rows, columns}, DType::F32);
            TensorView y = allocate_tensor({rows, columns}, DType::F32);
            std::memcpy(x.data, values.data(), static_cast<size_t>(x.nbytes()));
            compile_kernel(k.b.finish())({x, y});
            for (int64_t i = 0; i < rows * columns; ++i) {
                float value = static_cast<float *>(x.data)[i];
                ASSERT_EQ(static_cast<uint32_t *>(y.data)[i],
                          std::bit_cast<uint32_t>(value_of(dtype, word_of(dtype, value))))
                    << pto::wsp::name(dtype) << " of " << std::hexfloat << value << " on "
                    << target;
            }
        }
    }
}

/// Sums and extremes are computed under promises that their results break here.
TEST(NarrowFloats, ResultsThatAreNotFiniteArrive) {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    const float rows[][2] = {{infinity, -infinity},
                             {infinity, 1},
                             {65504, 65504},
                             {std::numeric_limits<float>::quiet_NaN(), 1},
                             {3, 4}};
    constexpr int64_t columns = 128;
    for (const std::string &target : targets()) {
        ForTarget compiled_for(target);
        for (DType dtype : {DType::F16, DType::BF16}) {
            for (Op op : {Op::Rowsum, Op::Rowmax, Op::Colsum, Op::Colmax}) {
                bool over_rows = op == Op::Colsum || op == Op::Colmax;
                kernel::TestKernel k;
                kernel::Value x = over_rows ? k.x(5, columns, dtype) : k.x(5, 2, dtype);
                k.b.store(k.out("y", over_rows ? 1 : 5, over_rows ? columns : 1, dtype),
                          k.op(op, {x}));
                auto program = k.b.finish();
                TensorView in = allocate_tensor({5, over_rows ? columns : 2}, dtype);
                for (int64_t r = 0; r < 5; ++r) {
                    for (int64_t c = 0; c < in.shape[1]; ++c) {
                        set(in, r, c, static_cast<Element>(rows[(r + c / 2) % 5][c % 2]));
                    }
                }
                Arguments arguments{
                    in, allocate_tensor({over_rows ? 1 : 5, over_rows ? columns : 1}, dtype)};
                auto expected = evaluated(*program, arguments);
                compile_kernel(program)(arguments);
                EXPECT_TRUE(expect_results(*program, arguments, expected, same_value()))
                    << kernel::name(op) << " on " << target;
            }
        }
    }
}

/// The assembly of `program` for `target`, with the schedule that it would get.
std::string assembly(const std::shared_ptr<const kernel::TileProgram> &program,
                     const std::string &text) {
    Target target = parse_target(text);
    KernelRequest request;
    request.program = program;
    request.layouts.resize(program->params.size());
    KernelVariant variant = prepare(request, target, nullptr);
    std::string file = testing::TempDir() + "/narrow_floats.s";
    lower_kernel(variant, "k", target)
        .impl()
        .module.compile({{Halide::OutputFileType::assembly, file}});
    std::ifstream in(file);
    return {std::istreambuf_iterator<char>(in), {}};
}

TEST(NarrowFloats, MachinesOfTodayConvertByOneInstruction) {
    auto program = [](DType dtype) {
        kernel::TestKernel k;
        kernel::Value x = k.x(64, 256, dtype);
        kernel::Value y = k.x(64, 256, dtype);
        k.b.store(k.out("z", 64, 256, dtype), k.op(Op::Mul, {k.op(Op::Add, {x, y}), y}));
        return k.b.finish();
    };
    for (const char *target : {"x86-64-linux-avx-avx2-f16c-fma-sse41",
                               "x86-64-linux-avx-avx2-avx512-avx512_skylake-f16c-fma-sse41"}) {
        std::string text = assembly(program(DType::F16), target);
        EXPECT_THAT(text, HasSubstr("vcvtph2ps"));
        EXPECT_THAT(text, HasSubstr("vcvtps2ph"));
        // Nothing but conversions, sums and products: no choice, no mask, no fence.
        for (const char *other : {"vpavg", "blend", "vpcmp", "vpand", "vpor", "vptern"}) {
            EXPECT_THAT(text, Not(HasSubstr(other))) << target;
        }
    }
    std::string bfloat = "x86-64-linux-avx-avx2-avx512-avx512_zen4-f16c-fma-sse41";
    EXPECT_THAT(assembly(program(DType::BF16), bfloat), HasSubstr("vcvtne2ps2bf16"));
    EXPECT_THAT(assembly(program(DType::BF16), bfloat), Not(HasSubstr("vpavg")));
}

std::shared_ptr<const kernel::TileProgram> product(int64_t m, int64_t n, int64_t k, bool trans_a,
                                                   bool trans_b) {
    kernel::TestKernel t;
    kernel::Value a = trans_a ? t.x(k, m, DType::BF16) : t.x(m, k, DType::BF16);
    kernel::Value b = trans_b ? t.x(n, k, DType::BF16) : t.x(k, n, DType::BF16);
    t.b.store(t.out("y", m, n),
              t.op(Op::Matmul, {a, b}, {{"trans_a", trans_a}, {"trans_b", trans_b}}));
    return t.b.finish();
}

/// By pairs where the machine has an instruction for them, else one by one.
TEST(NarrowFloats, ProductsOfBf16AgreeWithTheEvaluatorOnEveryTarget) {
    for (const std::string &target : targets()) {
        ForTarget compiled_for(target);
        for (bool trans_a : {false, true}) {
            for (bool trans_b : {false, true}) {
                for (auto [m, n, k] :
                     {std::array{33, 20, 64}, {64, 64, 32}, {5, 1, 6}, {1, 7, 3}}) {
                    EXPECT_TRUE(check_program(product(m, n, k, trans_a, trans_b), Data::Ordinary))
                        << target;
                }
            }
        }
        EXPECT_TRUE(check_program(product(17, 48, 128, false, false), Data::Whole, exact()))
            << target;
    }
}

TEST(NarrowFloats, ProductsOfBf16TakeTheMachinesDotProduct) {
    auto program = product(64, 64, 64, false, false);
    std::string base = "x86-64-linux-avx-avx2-avx512-";
    for (const char *machine : {"avx512_zen4", "avx512_sapphirerapids"}) {
        EXPECT_THAT(assembly(program, base + machine + "-f16c-fma-sse41"), HasSubstr("vdpbf16ps"));
    }
    EXPECT_THAT(assembly(program, base + "avx512_skylake-f16c-fma-sse41"),
                Not(HasSubstr("vdpbf16ps")));
    EXPECT_THAT(assembly(product(64, 64, 63, false, false), base + "avx512_zen4-f16c-fma-sse41"),
                Not(HasSubstr("vdpbf16ps")));
}

TEST(NarrowFloats, PairsOfOtherProductsAreRefused) {
    kernel::TestKernel t;
    kernel::Value a = t.x(4, 6);
    kernel::Value b = t.x(6, 8);
    try {
        t.op(Op::Matmul, {a, b}, {{"pairs", true}});
        FAIL() << "no error";
    } catch (const TypeCheckError &error) {
        EXPECT_THAT(error.text(), HasSubstr("pairs are of bf16 and of an even inner dimension"));
    }
}

TEST(NarrowFloats, KernelsOfF16PrintNothing) {
    auto program = program_of(R"(kernel @f(%x: in tile<32x64xf16>, %y: out tile<32x64xf16>) {
  %0 = load %x : tile<32x64xf16>
  %1 = softmax %0 : tile<32x64xf16>
  %2 = add %1, %0 : tile<32x64xf16>
  store %y, %2
}
)");
    TensorView x = allocate_tensor({32, 64}, DType::F16);
    TensorView y = allocate_tensor({32, 64}, DType::F16);
    std::memset(x.data, 0, static_cast<size_t>(x.nbytes()));
    for (const std::string &target : targets()) {
        ForTarget compiled_for(target);
        testing::internal::CaptureStdout();
        testing::internal::CaptureStderr();
        compile_kernel(program)({x, y});
        EXPECT_EQ(testing::internal::GetCapturedStdout(), "") << target;
        EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << target;
    }
}

}  // namespace
}  // namespace pto::wsp::lower
