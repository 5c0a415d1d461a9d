#include "pto/wsp/halide.h"

#include <cmath>

#include "program/samples.h"

namespace pto::wsp::test {
namespace {

using Funcs = std::vector<Halide::Func>;

/// y(r, c) = a (x(r, c) + x(r, c + 1)).
Kernel pairs(const std::function<void(Halide::Func &, Halide::Var &, Halide::Var &)> &schedule) {
    return halide_kernel("pairs",
                         {In("x", Tile(8, 33, F32)), Scalar("a", F32), Out("y", Tile(8, 32, F32))},
                         [&](const HalideInputs &k) {
                             Halide::Var r("r"), c("c");
                             Halide::Func y("y");
                             y(r, c) = k.scalar("a") * (k["x"](r, c) + k["x"](r, c + 1));
                             schedule(y, r, c);
                             return Funcs{y};
                         });
}

Kernel plain_pairs() {
    return pairs([](Halide::Func &, Halide::Var &, Halide::Var &) {});
}

float expected(const Tensor &x, int64_t r, int64_t c) {
    const TensorView view = x.view();
    const auto *data = static_cast<const float *>(view.data);
    const float *at = data + r * view.strides[0] + c * view.strides[1];
    return 0.5F * (at[0] + at[view.strides[1]]);
}

void expect_pairs(const Tensor &x, const Tensor &y) {
    for (int64_t r = 0; r < 8; ++r) {
        for (int64_t c = 0; c < 32; ++c) {
            EXPECT_EQ(y.span<float>()[static_cast<size_t>(r * 32 + c)], expected(x, r, c));
        }
    }
}

TEST(HalideKernel, runs_with_any_schedule) {
    const Tensor x("x", {8, 33}, F32), y("y", {8, 32}, F32);
    fill(x);
    for (const Kernel &kernel :
         {plain_pairs(), pairs([](Halide::Func &f, Halide::Var &r, Halide::Var &c) {
              f.reorder(c, r).vectorize(c, 16).unroll(r, 2);
          })}) {
        kernel.compile()({x.view(), 0.5, y.view()});
        expect_pairs(x, y);
    }
}

TEST(HalideKernel, takes_strides) {
    const Tensor wide("wide", {8, 66}, F32), y("y", {8, 32}, F32);
    fill(wide);
    TensorView every_other = wide.view();
    every_other.shape = {8, 33};
    every_other.strides = {66, 2};
    const Tensor x("x", every_other);
    plain_pairs().compile()({every_other, 0.5, y.view()});
    expect_pairs(x, y);
}

TEST(HalideKernel, takes_part_in_workloads) {
    const Kernel kernel = pairs(
        [](Halide::Func &f, Halide::Var &r, Halide::Var &c) { f.reorder(c, r).vectorize(c, 8); });
    const Tensor X("X", {3, 8, 33}, F32), Y("Y", {3, 8, 32}, F32);
    fill(X);
    const Workload work("work", [&] {
        for (const auto &b : P(Dense(3))) {
            kernel[b]({X[b], 0.5, Y[b]});
        }
    });
    Program program = work.compile();
    run(program);
    for (int64_t b = 0; b < 3; ++b) {
        for (int64_t r = 0; r < 8; ++r) {
            for (int64_t c = 0; c < 32; ++c) {
                EXPECT_EQ(Y.span<float>()[static_cast<size_t>((b * 8 + r) * 32 + c)],
                          expected(X[b], r, c));
            }
        }
    }
}

TEST(HalideKernel, partial_tiles_are_not_left) {
    const CompiledKernel kernel = plain_pairs().compile();
    std::vector<float> x(6 * 21, 1), y(6 * 20, -1);
    auto view = [](std::vector<float> &data, int64_t rows, int64_t columns, int64_t stride) {
        return TensorView{data.data(), F32, {rows, columns}, {stride, 1}, nullptr};
    };
    kernel({view(x, 5, 21, 21), 0.5, view(y, 5, 19, 20)});
    EXPECT_EQ(y[4 * 20 + 18], 1);
    EXPECT_EQ(y[4 * 20 + 19], -1);
    EXPECT_EQ(y[5 * 20], -1);
    EXPECT_EQ(error_of<KernelError>([&] {
                  kernel({view(x, 5, 20, 21), 0.5, view(y, 5, 20, 20)});
              }),
              "pairs: Halide: Input buffer x is accessed outside of its columns");
}

TEST(HalideKernel, has_all_element_types) {
    for (const DType dtype : {DType::I8, DType::U16, DType::I64, DType::F64, DType::F16}) {
        const Kernel twice =
            halide_kernel("twice", {In("x", Tile(2, 4, dtype)), Out("y", Tile(2, 4, dtype))},
                          [](const HalideInputs &k) {
                              Halide::Var r, c;
                              Halide::Func f;
                              f(r, c) = k["x"](r, c) + k["x"](r, c);
                              return Funcs{f};
                          });
        EXPECT_FALSE(twice.compile().code().empty()) << info(dtype).name;
    }
    const Tensor x("x", {2, 4}, DType::I64), y("y", {2, 4}, DType::I64);
    for (size_t i = 0; i < 8; ++i) {
        x.span<int64_t>()[i] = (int64_t{1} << 40) + static_cast<int64_t>(i);
    }
    const Kernel twice =
        halide_kernel("twice", {In("x", Tile(2, 4, DType::I64)), Out("y", Tile(2, 4, DType::I64))},
                      [](const HalideInputs &k) {
                          Halide::Var r, c;
                          Halide::Func f;
                          f(r, c) = k["x"](r, c) * 2;
                          return Funcs{f};
                      });
    twice.compile()({x.view(), y.view()});
    EXPECT_EQ(y.span<int64_t>()[7], 2 * ((int64_t{1} << 40) + 7));
}

TEST(HalideKernel, several_outputs_and_intermediate_funcs) {
    const Kernel kernel = halide_kernel(
        "stats",
        {In("x", Tile(4, 16, F32)), Out("mean", Tile(4, 1, F32)), Out("centred", Tile(4, 16, F32))},
        [](const HalideInputs &k) {
            Halide::Var r("r"), c("c");
            Halide::RDom i(0, k["x"].dim(1).extent());
            Halide::Func mean("mean"), centred("centred");
            mean(r, c) = 0.0F;
            mean(r, c) += k["x"](r, i) / 16.0F;
            centred(r, c) = k["x"](r, c) - mean(r, 0);
            mean.compute_root();
            return Funcs{mean, centred};
        });
    const Tensor x("x", {4, 16}, F32), mean("mean", {4, 1}, F32), centred("centred", {4, 16}, F32);
    fill(x);
    const CompiledKernel compiled = kernel.compile();
    compiled({x.view(), mean.view(), centred.view()});
    for (size_t i = 0; i < 64; ++i) {
        EXPECT_EQ(centred.span<float>()[i], x.span<float>()[i] - mean.span<float>()[i / 16]);
    }
    EXPECT_NE(compiled.loop_nest().find("produce mean"), std::string::npos);
    EXPECT_EQ(kernel.ir()->hash(), Kernel(kernel.ir()).ir()->hash());
}

TEST(HalideKernel, overlapping_arguments_are_as_distinct_ones) {
    const Kernel shift =
        halide_kernel("shift", {In("x", Tile(1, 64, F32)), Out("y", Tile(1, 64, F32))},
                      [](const HalideInputs &k) {
                          Halide::Var r, c;
                          Halide::Func f;
                          f(r, c) = k["x"](r, c) + 1.0F;
                          f.vectorize(c, 16);
                          return Funcs{f};
                      });
    std::vector<float> data(80);
    for (size_t i = 0; i < data.size(); ++i) {
        data[i] = static_cast<float>(i);
    }
    auto view = [&](size_t from) {
        return TensorView{&data[from], F32, {1, 64}, {64, 1}, nullptr};
    };
    shift.compile()({view(0), view(1)});
    for (size_t i = 0; i < 64; ++i) {
        EXPECT_EQ(data[i + 1], static_cast<float>(i + 1));
    }
}

TEST(HalideKernel, refuses_threads) {
    const Kernel kernel =
        pairs([](Halide::Func &f, Halide::Var &r, Halide::Var &) { f.parallel(r); });
    EXPECT_EQ(error_of<CompileError>([&] { kernel.compile(); }),
              "kernel 'pairs': its schedule has a parallel loop | leave parallel() out: a kernel "
              "is serial inside a task, and tasks run in parallel");
}

TEST(HalideKernel, refuses_schedules_of_ours) {
    KernelOptions options;
    options.schedule = schedule::KernelSchedule();
    EXPECT_EQ(error_of<ScheduleError>([&] { plain_pairs().compile(options); }),
              "kernel 'pairs' has a body in Halide: there is nothing that a schedule could apply "
              "to");
}

TEST(HalideKernel, errors_of_halide_are_ours) {
    const std::string text = error_of<CompileError>([] {
        halide_kernel("wrong", {In("x", Tile(2, 4, F32)), Out("y", Tile(2, 4, F32))},
                      [](const HalideInputs &k) {
                          Halide::Var r;
                          Halide::Func f;
                          f(r) = k["x"](r);
                          return Funcs{f};
                      });
    });
    EXPECT_TRUE(text.starts_with("kernel 'wrong': Halide: ")) << text;
}

template <class Body> std::string refusal(const std::vector<kernel::Param> &params, Body body) {
    try {
        halide_kernel("k", params, body);
    } catch (const CompileError &error) {
        return error.text() + (error.hint().empty() ? "" : " | " + error.hint());
    }
    return "nothing is thrown";
}

TEST(HalideKernel, checks_its_funcs) {
    const std::vector<kernel::Param> params = {In("x", Tile(2, 4, F32)), Out("y", Tile(2, 4, F32))};
    Halide::Var r, c;
    EXPECT_EQ(refusal(params, [](const HalideInputs &) { return Funcs{}; }),
              "kernel 'k' has 1 outputs, its pipeline gives 0 Funcs");
    EXPECT_EQ(refusal(params, [](const HalideInputs &) { return Funcs{Halide::Func()}; }),
              "kernel 'k': the Func of 'y' is not defined");
    EXPECT_EQ(refusal(params,
                      [&](const HalideInputs &) {
                          Halide::Func f;
                          f(r) = 1.0F;
                          return Funcs{f};
                      }),
              "kernel 'k': the Func of 'y' has 1 dimensions, not 2: (row, column)");
    EXPECT_EQ(refusal(params,
                      [&](const HalideInputs &) {
                          Halide::Func f;
                          f(r, c) = 1;
                          return Funcs{f};
                      }),
              "kernel 'k': the Func of 'y' is int32_t, 'y' is F32");
    EXPECT_EQ(refusal({InOut("y", Tile(2, 4, F32))}, [](const HalideInputs &) { return Funcs{}; }),
              "kernel 'k': 'y' is read and written, but a pipeline reads its inputs and writes its "
              "outputs | declare an input and an output; one tensor may be given for both");
    EXPECT_EQ(refusal(params,
                      [](const HalideInputs &k) {
                          (void)k["z"];
                          return Funcs{};
                      }),
              "kernel 'k': no input 'z'");
}

}  // namespace
}  // namespace pto::wsp::test
