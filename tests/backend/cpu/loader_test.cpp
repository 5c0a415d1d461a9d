#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "backend/cpu/pipelines.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::backend::cpu {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string &scale_by_three() {
    static const std::string bytes = emit_object(scale_pipeline(3));
    return bytes;
}

/// Text of the InternalError of loading `bytes`, or empty.
std::string load_error(const std::string &bytes) {
    try {
        load_object(bytes, "broken");
    } catch (const InternalError &error) {
        return error.what();
    }
    return "";
}

/// Places in an ELF header; <elf.h> and Halide.h do not go together.
constexpr size_t elf_type_at = 16;
constexpr size_t elf_sections_at = 40;

/// A function that calls C function `callee`.
std::string object_calling(const std::string &callee) {
    Halide::ImageParam in(Halide::Float(32), 1);
    Halide::Var x;
    Halide::Func out("out");
    out(x) = Halide::Internal::Call::make(Halide::Float(32), callee, {in(x)},
                                          Halide::Internal::Call::PureExtern);
    return emit_object(pipeline(out, {in}, "caller"));
}

/// True when `address` is in memory that may be executed.
bool is_executable(const void *address) {
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        uintptr_t begin = 0;
        uintptr_t end = 0;
        char dash = 0;
        std::string rights;
        std::istringstream(line) >> std::hex >> begin >> dash >> end >> rights;
        const auto at = reinterpret_cast<uintptr_t>(address);
        if (begin <= at && at < end) {
            return rights.find('x') != std::string::npos;
        }
    }
    return false;
}

TEST(LoadObject, RunsTheCode) {
    EXPECT_FLOAT_EQ(run_scale(*load_object(scale_by_three(), "scale")), 24.0f);
}

TEST(LoadObject, KeepsObjectsOfTheSameSymbolsApart) {
    const auto by_three = load_object(scale_by_three(), "scale");
    const auto by_five = load_object(emit_object(scale_pipeline(5)), "scale");
    EXPECT_FLOAT_EQ(run_scale(*by_three), 24.0f);
    EXPECT_FLOAT_EQ(run_scale(*by_five), 40.0f);
}

TEST(LoadObject, UnloadsWithTheLastReference) {
    auto object = load_object(scale_by_three(), "scale");
    auto second = object;
    const void *code = object->address("scale");
    object.reset();
    EXPECT_TRUE(is_executable(code));
    second.reset();
    EXPECT_FALSE(is_executable(code));
}

TEST(LoadObject, CodeIsNotWritable) {
    // Writing to code must fault: a stray store of a kernel may not change kernels.
    const auto object = load_object(scale_by_three(), "scale");
    auto *code = static_cast<volatile char *>(object->address("scale"));
    EXPECT_DEATH(*code = 0, "");
}

TEST(LoadObject, NamesAnAbsentSymbolAndThoseThatAreThere) {
    const auto object = load_object(scale_by_three(), "scale");
    try {
        object->address("skale");
        FAIL() << "expected an InternalError";
    } catch (const InternalError &error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("load-object"),
                                        HasSubstr("object scale: no symbol skale among scale")));
    }
}

TEST(LoadObject, RefusesSymbolsOutsideTheTable) {
    EXPECT_THAT(load_error(object_calling("no_such_function")),
                HasSubstr("object broken: needs symbol no_such_function that the engine does not "
                          "supply"));
    // There in this process, and still out of reach.
    EXPECT_THAT(load_error(object_calling("drand48")), HasSubstr("needs symbol drand48"));
}

TEST(LoadObject, RefusesObjectsOfOtherMachines) {
    const Halide::Target arm("arm-64-linux");
    Halide::Var x;
    Halide::Func out("out");
    out(x) = 1.0f * x;
    EXPECT_THAT(load_error(emit_object(pipeline(out, {}, "out", arm))),
                HasSubstr("not an object for this machine: not for x86-64"));
}

TEST(LoadObject, RefusesWhatIsNoObjectAndGoesOn) {
    for (const std::string bytes : {"", "x", "\177ELF", "not an object file at all, just text"}) {
        EXPECT_THAT(load_error(bytes), HasSubstr("object broken: ")) << '"' << bytes << '"';
    }
    EXPECT_FLOAT_EQ(run_scale(*load_object(scale_by_three(), "scale")), 24.0f);
}

RC_GTEST_PROP(LoadObject, RefusesTruncatedObjects, ()) {
    const auto size = *rc::gen::inRange<size_t>(0, scale_by_three().size());
    RC_ASSERT(!load_error(scale_by_three().substr(0, size)).empty());
}

RC_GTEST_PROP(LoadObject, RefusesRandomBytes, (const std::string &tail)) {
    const std::string header = *rc::gen::element<std::string>("", "\177ELF\2\1\1");
    RC_ASSERT(!load_error(header + tail).empty());
}

RC_GTEST_PROP(LoadObject, SurvivesDamagedObjects, ()) {
    std::string bytes = scale_by_three();
    const auto changes = *rc::gen::inRange(1, 4);
    for (int i = 0; i < changes; ++i) {
        // The tables at both ends are what matters; changed code is never run here.
        const size_t edge = *rc::gen::inRange<size_t>(0, bytes.size() / 3);
        const size_t at = *rc::gen::arbitrary<bool>() ? edge : bytes.size() - 1 - edge;
        bytes[at] = static_cast<char>(bytes[at] ^ *rc::gen::inRange(1, 256));
    }
    load_error(bytes);
}

TEST(LoadObject, NamesTheFlaw) {
    const std::string whole = scale_by_three();
    const auto with = [&](size_t at, char byte) {
        std::string bytes = whole;
        bytes[at] = byte;
        return bytes;
    };
    const std::string prefix = "object broken: not an object for this machine: ";
    EXPECT_THAT(load_error("text"), HasSubstr(prefix + "not an ELF file"));
    EXPECT_THAT(load_error(whole.substr(0, 40)), HasSubstr(prefix + "cut short"));
    EXPECT_THAT(load_error(whole.substr(0, whole.size() - 1)), HasSubstr(prefix + "cut short"));
    EXPECT_THAT(load_error(with(elf_type_at, 2)), HasSubstr(prefix + "not relocatable"));
    EXPECT_THAT(load_error(with(elf_sections_at + 7, 1)), HasSubstr(prefix + "no sections"));
}

TEST(LoadObject, ManyThreadsLoadAndUnload) {
    const std::string by_seven = emit_object(scale_pipeline(7));
    std::vector<std::thread> threads;
    std::atomic<int> right = 0;
    for (int t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 25; ++i) {
                const bool three = (t + i) % 2 == 0;
                const auto object = load_object(three ? scale_by_three() : by_seven, "scale");
                right += run_scale(*object) == (three ? 24.0f : 56.0f);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(right, 200);
}

TEST(LoadObject, LivesBesideHalidesOwnLlvm) {
    Halide::Var x;
    for (int factor = 2; factor < 5; ++factor) {
        Halide::Func jit;
        jit(x) = x * factor;
        const Halide::Buffer<int> result = jit.realize({9});
        const auto object = load_object(emit_object(scale_pipeline(factor)), "scale");
        EXPECT_EQ(result(8), 8 * factor);
        EXPECT_FLOAT_EQ(run_scale(*object), 8.0f * static_cast<float>(factor));
    }
}

TEST(LoadObject, SuppliesScratchMemory) {
    Halide::ImageParam in(Halide::Float(32), 1);
    Halide::Var x;
    Halide::Func twice("twice"), out("out");
    twice(x) = in(x)*2.0f;
    out(x) = twice(x) + twice(x + 1);
    twice.compute_root();
    const auto object = load_object(emit_object(pipeline(out, {in}, "scratch")), "scratch");
    Halide::Buffer<float> input(1001), output(1000);
    input.for_each_element([&](int i) { input(i) = static_cast<float>(i); });
    auto *scratch =
        reinterpret_cast<int (*)(halide_buffer_t *, halide_buffer_t *)>(object->address("scratch"));
    ASSERT_EQ(scratch(input.raw_buffer(), output.raw_buffer()), 0);
    EXPECT_FLOAT_EQ(output(999), 2.0f * 999 + 2.0f * 1000);
}

TEST(LoadObject, SuppliesMathOnAPlainMachine) {
    // Without SSE4.1 and F16C even rounding and f16 conversions are calls.
    const Halide::Target plain("x86-64-linux");
    Halide::ImageParam in(Halide::Float(32), 1);
    Halide::Var x;
    Halide::Func out("out");
    const Halide::Expr value = in(x);
    out(x) = {sin(value),
              tanh(value),
              pow(value, 1.5f),
              floor(value) + ceil(value) + round(value) + trunc(value),
              cast<float>(cast(Halide::Float(16), cast<double>(value) / 3)),
              atan2(value, 2.0f) + acosh(value + 1.0f)};
    const auto object = load_object(emit_object(pipeline(out, {in}, "math", plain)), "math");
    using Buffer = Halide::Buffer<float>;
    Buffer input(4);
    std::vector<Buffer> outputs;
    for (int i = 0; i < 6; ++i) {
        outputs.emplace_back(4);
    }
    input.for_each_element([&](int i) { input(i) = 0.3f + 1.25f * static_cast<float>(i); });
    using B = halide_buffer_t *;
    auto *math = reinterpret_cast<int (*)(B, B, B, B, B, B, B)>(object->address("math"));
    ASSERT_EQ(math(input.raw_buffer(), outputs[0].raw_buffer(), outputs[1].raw_buffer(),
                   outputs[2].raw_buffer(), outputs[3].raw_buffer(), outputs[4].raw_buffer(),
                   outputs[5].raw_buffer()),
              0);
    for (int i = 0; i < 4; ++i) {
        const float v = input(i);
        EXPECT_NEAR(outputs[0](i), std::sin(v), 1e-6f);
        EXPECT_NEAR(outputs[1](i), std::tanh(v), 1e-6f);
        EXPECT_NEAR(outputs[2](i), std::pow(v, 1.5f), 1e-5f);
        EXPECT_EQ(outputs[3](i), std::floor(v) + std::ceil(v) + std::nearbyint(v) + std::trunc(v));
        EXPECT_NEAR(outputs[4](i), v / 3, 1e-3f);
        EXPECT_NEAR(outputs[5](i), std::atan2(v, 2.0f) + std::acosh(v + 1.0f), 1e-6f);
    }
}

TEST(HostSymbol, IsNullOutsideTheTable) {
    EXPECT_NE(host_symbol("expf"), nullptr);
    EXPECT_NE(host_symbol("pto_wsp_submit"), nullptr);
    EXPECT_EQ(host_symbol("system"), nullptr);
    EXPECT_EQ(host_symbol(""), nullptr);
}

/// The bits of a bfloat16 or binary16 that travels in a vector register.
uint16_t low_bits(float in_register) {
    return static_cast<uint16_t>(std::bit_cast<uint32_t>(in_register));
}

float widened(uint16_t bfloat) {
    return std::bit_cast<float>(uint32_t{bfloat} << 16);
}

/// Rounds to the nearest bfloat16 by looking at both neighbours.
uint16_t nearest_bfloat(double value) {
    const auto below =
        static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(value)) >> 16);
    uint16_t best = below;
    for (int step = -1; step <= 1; ++step) {
        const auto candidate = static_cast<uint16_t>(below + step);
        const double distance = std::fabs(widened(candidate) - value);
        const double best_distance = std::fabs(widened(best) - value);
        if (distance < best_distance || (distance == best_distance && candidate % 2 == 0)) {
            best = candidate;
        }
    }
    return best;
}

RC_GTEST_PROP(HostSymbol, ConvertsToBfloatInOneRounding, ()) {
    const auto from_float = reinterpret_cast<float (*)(float)>(host_symbol("__truncsfbf2"));
    const auto from_double = reinterpret_cast<float (*)(double)>(host_symbol("__truncdfbf2"));
    const auto bfloat = *rc::gen::inRange<uint16_t>(0x0100, 0x7e00);
    // Around the middle between two neighbours, where a second rounding would go wrong.
    const double middle = (static_cast<double>(widened(bfloat)) + widened(bfloat + 1)) / 2;
    const double nudge = *rc::gen::element(-1e-3, -1e-12, 0.0, 1e-12, 1e-3);
    const double value = middle * (1 + nudge) * *rc::gen::element(-1.0, 1.0);
    RC_ASSERT(low_bits(from_double(value)) == nearest_bfloat(value));
    const auto as_float = static_cast<float>(value);
    RC_ASSERT(low_bits(from_float(as_float)) == nearest_bfloat(as_float));
}

TEST(HostSymbol, ConvertsSpecialValuesToBfloat) {
    const auto convert = reinterpret_cast<float (*)(double)>(host_symbol("__truncdfbf2"));
    const double infinity = std::numeric_limits<double>::infinity();
    EXPECT_EQ(low_bits(convert(infinity)), 0x7f80);
    EXPECT_EQ(low_bits(convert(-infinity)), 0xff80);
    EXPECT_EQ(low_bits(convert(1e300)), 0x7f80);
    EXPECT_EQ(low_bits(convert(-0.0)), 0x8000);
    EXPECT_EQ(low_bits(convert(1e-300)), 0);
    EXPECT_TRUE(std::isnan(widened(low_bits(convert(std::nan(""))))));
}

TEST(HostSymbol, ConvertsHalfByTheOldNames) {
    const auto to_float = reinterpret_cast<float (*)(uint16_t)>(host_symbol("__gnu_h2f_ieee"));
    const auto to_half = reinterpret_cast<uint16_t (*)(float)>(host_symbol("__gnu_f2h_ieee"));
    EXPECT_EQ(to_float(0x3c00), 1.0f);
    EXPECT_EQ(to_float(0x0001), std::ldexp(1.0f, -24));
    for (uint32_t bits = 0; bits < 0x7c01; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        ASSERT_EQ(to_half(to_float(half)), half);
    }
    EXPECT_EQ(to_half(65520.0f), 0x7c00);
}

}  // namespace
}  // namespace pto::wsp::backend::cpu
