#include <atomic>
#include <chrono>
#include <fstream>
#include <limits>
#include <thread>

#include "program/samples.h"
#include "pto/wsp/support/env.h"

namespace pto::wsp::test {
namespace {

/// B[i] = A[i] + 1.
struct Copying {
    Tensor A{"A", {4, 2, 4}};
    Tensor B{"B", {4, 2, 4}};

    Copying() { fill(A); }
    Workload workload(const Kernel &kernel = increment()) const {
        return {"copying", [&] {
                    for (auto i : P(4)) {
                        kernel[i]({A[i], B[i]});
                    }
                }};
    }
};

void expect_one_more(const Tensor &from, const Tensor &to) {
    for (size_t i = 0; i < from.span<float>().size(); ++i) {
        ASSERT_EQ(to.span<float>()[i], from.span<float>()[i] + 1) << "element " << i;
    }
}

TEST(Program, runs_again_with_other_data_in_place) {
    const Copying c;
    Program program = c.workload().compile();
    EXPECT_TRUE(program.is_complete());
    EXPECT_TRUE(program.synchronize());
    run(program);
    expect_one_more(c.A, c.B);
    fill(c.A, 7);
    run(program);
    expect_one_more(c.A, c.B);
    EXPECT_EQ(program.stats().task_count, 4);
    EXPECT_GE(program.stats().execute_time_ms, 0);
}

TEST(Program, binds_other_data_without_compiling) {
    const Copying c, other;
    Program program = c.workload().compile();
    const ProgramStats before = program.stats();
    fill(other.A, 9);
    program.bind({{"A", other.A}, {"B", other.B}});
    run(program);
    expect_one_more(other.A, other.B);
    EXPECT_EQ(c.B.span<float>()[0], 0);
    EXPECT_EQ(program.stats().cache_misses, before.cache_misses);
    EXPECT_EQ(program.stats().cache_hits, before.cache_hits);
    EXPECT_EQ(program.stats().compile_time_ms, before.compile_time_ms);
}

TEST(Program, binds_nothing_that_does_not_fit) {
    const Copying c, other;
    fill(other.A, 9);
    Program program = c.workload().compile();
    const Tensor wide("wide", {4, 2, 8}), integers("integers", {4, 2, 4}, DType::I32);
    TensorView strided = wide.view();
    strided.shape = {4, 2, 4};
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  program.bind({{"A", other.A}, {"X", c.A}});
              }),
              "bind: the program has no tensor 'X' | tensors: A, B");
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  program.bind({{"A", wide}});
              }),
              "bind: 'A' is [4, 2, 4], not [4, 2, 8]");
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  program.bind({{"A", integers}});
              }),
              "bind: 'A' is F32, not I32");
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  program.bind({{"A", strided}});
              }),
              "bind: 'A' has strides [8, 4, 1], not [16, 8, 1] | copy it to the layout that the "
              "program was compiled for");
    const std::vector<float> constants(32);
    const Tensor constant("constant", std::span(constants), {4, 2, 4});
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  program.bind({{"B", constant}});
              }),
              "constant[0:4, 0:2, 0:4] is read-only: its array is one of constants | pass its "
              "view() where it is only read");
    program.bind({{"A", constant.view()}});
    run(program);
    expect_one_more(constant, c.B);
    program.bind({{"A", c.A}});
    run(program);
    expect_one_more(c.A, c.B);
}

TEST(Program, takes_declared_kernels) {
    const Copying c;
    const Kernel declared("outside", {In("x", small_tile()), Out("y", small_tile())});
    Program program = c.workload(declared).compile();
    EXPECT_EQ(error_of<ExecutionError>([&] { program.execute(); }),
              "kernel 'outside' is declared, but nothing implements it | supply it: "
              "program.register_kernel(\"outside\", kernel)");
    EXPECT_EQ(error_of<ScheduleError>([&] { program.register_kernel("x", increment().ir()); }),
              "register_kernel: no kernel 'x' is declared | declared: outside");
    EXPECT_EQ(error_of<TypeCheckError>([&] { program.register_kernel("outside", mix().ir()); }),
              "register_kernel: 'outside' takes 2 arguments, its implementation 3");
    EXPECT_EQ(
        error_of<TypeCheckError>([&] { program.register_kernel("outside", accumulate().ir()); }),
        "register_kernel: 'outside' declares 'y' as out tile, its implementation as inout tile");
    program.register_kernel("outside", increment().ir());
    run(program);
    expect_one_more(c.A, c.B);
    EXPECT_EQ(error_of<CompileError>([&] { declared.ir(); }),
              "kernel 'outside' has no body: it is a declaration | supply it with "
              "program.register_kernel(name, implementation)");
}

TEST(Program, takes_kernels_of_the_declared_types_only) {
    const Symbol N("N");
    const Tensor X("X", {2, 4}), Y("Y", {2, 4});
    const Kernel declared("k", {In("x", Tile(N, 4, F32)), Out("y", Tile(N, 4, F32))});
    const auto refused = [&](const Tile &tile) {
        const Kernel given("k", {In("x", tile), Out("y", tile)},
                           [](const Parameters &k) { store(k["y"], load(k["x"])); });
        Program program = Workload("w", [&] { declared({X, Y}); }).compile();
        return error_of<TypeCheckError>([&] { program.register_kernel("k", given.ir()); });
    };
    EXPECT_EQ(refused(Tile(N, 4, DType::F16)), "register_kernel: 'k' declares 'x' as Tile[N, 4, "
                                               "F32], its implementation as Tile[N, 4, F16]");
}

TEST(Program, tells_declarations_of_one_name_apart) {
    const Copying c;
    const Kernel one("same", {In("x", small_tile()), Out("y", small_tile())});
    const Kernel two("same", {In("x", small_tile()), Out("y", small_tile())});
    Program program = Workload("both", [&] {
                          one({c.A[0], c.B[0]});
                          two({c.A[1], c.B[1]});
                      }).compile();
    EXPECT_EQ(error_of<ScheduleError>([&] { program.register_kernel("same", increment().ir()); }),
              "register_kernel: two kernels are called 'same' | pass the kernel itself instead of "
              "its name");
    const Kernel negative("negative", {In("x", small_tile()), Out("y", small_tile())},
                          [](const Parameters &k) { store(k["y"], neg(k["x"])); });
    program.register_kernel(one.handle(), increment().ir());
    program.register_kernel(two.handle(), negative.ir());
    run(program);
    EXPECT_EQ(c.B[0].span<float>()[3], c.A[0].span<float>()[3] + 1);
    EXPECT_EQ(c.B[1].span<float>()[3], -c.A[1].span<float>()[3]);
}

TEST(Program, knows_its_targets) {
    const Copying c;
    CompileOptions options;
    options.target = "gpu";
    EXPECT_EQ(error_of<CompileError>([&] { c.workload().compile(options); }),
              "unknown target 'gpu' | targets: cpu, cpu_sim");
    options.target = "cpu_sim";
    Program program = c.workload().compile(options);
    run(program);
    expect_one_more(c.A, c.B);
    EXPECT_EQ(program.target(), "cpu_sim");
    EXPECT_TRUE(program.stats().total_cycles.has_value());
    EXPECT_EQ(program.stats().total_cycles_note, "");
    const Program plain = c.workload().compile();
    EXPECT_FALSE(plain.stats().total_cycles.has_value());
    EXPECT_EQ(plain.stats().total_cycles_note, "target 'cpu' has no model: compile for cpu_sim");
}

TEST(Program, shows_its_graph) {
    const Copying c;
    CompileOptions options;
    options.target = "cpu_sim";
    const Program program = c.workload().compile(options);
    const workload::TaskGraph graph = program.graph();
    EXPECT_EQ(static_cast<int64_t>(graph.vertices.size()), program.stats().task_count);
    const GraphCycles cycles = program.graph_cycles();
    EXPECT_EQ(cycles.note, "");
    EXPECT_GT(cycles.critical_path.value_or(0), 0);
    EXPECT_LE(*cycles.critical_path, *cycles.makespan);
    EXPECT_LE(*cycles.makespan, *program.stats().total_cycles);
    EXPECT_EQ(error_of<CompileError>([&] { program.graph(0); }),
              "graph: the workload has " + std::to_string(graph.vertices.size()) +
                  " tasks, more than 0 | make the graph of a smaller one, or raise max_tasks");
}

/// Y[i] = the two rows of X from R on.
struct Windows {
    Tensor X{"X", {8, 4}};
    Tensor Y{"Y", {4, 2, 4}};
    Tensor R{"R", {1, 1}, DType::I32};
    int line = 0;

    Program compile() {
        fill(X);
        const Kernel window(
            "window",
            {In("x", Tile(8, 4, F32)), In("r", Tile(1, 1, DType::I32)), Out("y", small_tile())},
            [](const Parameters &k) { store(k["y"], load(k["x"], k["r"], 0, 2, 4)); });
        return Workload("windows",
                        [&] {
                            for (auto i : P(4)) {
                                line = __LINE__ + 1;
                                window[i]({X, R, Y[i]});
                            }
                        })
            .compile();
    }
};

TEST(Program, reads_windows_up_to_the_edges) {
    Windows w;
    Program program = w.compile();
    for (int32_t row = 0; row <= 6; ++row) {
        SCOPED_TRACE(row);
        w.R.span<int32_t>()[0] = row;
        run(program);
        EXPECT_EQ(w.Y[3].span<float>()[0], w.X[row].span<float>()[0]);
    }
}

TEST(Program, places_windows_where_a_task_computes) {
    const Tensor X("X", {8, 4}), Y("Y", {8, 4}), Z("Z", {2, 4}), R("R", {1, 1}, DType::I32);
    fill(X);
    const Kernel shift("shift",
                       {In("x", Tile(8, 4, F32)), In("r", Tile(1, 1, DType::I32)),
                        InOut("y", Tile(8, 4, F32)), Out("z", small_tile())},
                       [](const Parameters &k) {
                           auto row = load(k["r"]) * 2;
                           store(k["y"], load(k["x"], row, 0, 2, 4) + 1, row + 2, 0);
                           store(k["z"], slice(k["x"] * 3, row, 0, 2, 4));
                       });
    Program program = Workload("places", [&] { shift({X, R, Y, Z}); }).compile();
    for (int32_t r : {2, 0, 1}) {
        SCOPED_TRACE(r);
        R.span<int32_t>()[0] = r;
        run(program);
        EXPECT_EQ(Y[2 * r + 3].span<float>()[1], X[2 * r + 1].span<float>()[1] + 1);
        EXPECT_EQ(Z[1].span<float>()[1], X[2 * r + 1].span<float>()[1] * 3);
    }
}

TEST(Program, delivers_the_error_of_a_task_and_goes_on) {
    Windows w;
    Program program = w.compile();
    for (int32_t outside : {7, -1}) {
        w.R.span<int32_t>()[0] = outside;
        program.execute();
        try {
            program.synchronize();
            FAIL() << "nothing is thrown";
        } catch (const KernelError &error) {
            EXPECT_EQ(error.failures().size(), 4U);
            const TaskFailure &first = error.failures().front();
            ASSERT_EQ(first.indices.size(), 1U);
            EXPECT_EQ(first.indices[0].second, 0);
            EXPECT_EQ(error.text(), "kernel window[" + first.indices[0].first +
                                        "=0]: load: a window [2, 4] leaves 'x', which is [8, 4] "
                                        "(and 3 more)");
            EXPECT_EQ(error.at().line, w.line);
        }
        EXPECT_TRUE(program.is_complete());
        w.R.span<int32_t>()[0] = 6;
        run(program);
        EXPECT_EQ(w.Y[3].span<float>()[0], w.X[6].span<float>()[0]);
    }
}

TEST(Program, delivers_an_error_before_the_next_run) {
    Windows w;
    Program program = w.compile();
    w.R.span<int32_t>()[0] = 7;
    program.execute();
    while (!program.is_complete()) {
        std::this_thread::yield();
    }
    w.R.span<int32_t>()[0] = 6;
    EXPECT_THROW(program.execute(), KernelError);
    EXPECT_NE(w.Y[3].span<float>()[0], w.X[6].span<float>()[0]) << "the run was started";
    run(program);
    EXPECT_EQ(w.Y[3].span<float>()[0], w.X[6].span<float>()[0]);
}

TEST(Program, can_be_asked_while_another_thread_waits_to_execute) {
    const Tensor X("X", {2, 4}), Y("Y", {2, 4});
    const Kernel copy = increment();
    Program program = Workload("long", [&] {
                          for ([[maybe_unused]] auto i : P.seq(100'000'000)) {
                              copy({X, Y});
                          }
                      }).compile();
    for (bool binds : {false, true}) {
        program.execute();
        std::atomic<bool> began = false;
        std::thread other([&] {
            began = true;
            if (binds) {
                program.bind({});
            } else {
                program.execute();
            }
        });
        while (!began) {
            std::this_thread::yield();
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        EXPECT_FALSE(program.synchronize(std::chrono::milliseconds(1)));
        EXPECT_FALSE(program.is_complete());
        other.join();
        EXPECT_TRUE(program.synchronize(std::chrono::minutes(1)));
    }
}

TEST(Program, runs_beside_itself_on_other_data) {
    const Tensor X("X", {2, 4}), Y("Y", {2, 4}), Z("Z", {2, 4});
    const Kernel copy = increment();
    Program program = Workload("long", [&] {
                          for ([[maybe_unused]] auto i : P.seq(20'000'000)) {
                              copy({X, Y});
                          }
                      }).compile();
    EXPECT_TRUE(program.can_start());
    program.execute();
    EXPECT_FALSE(program.can_start());
    program.bind({{"Y", Z.view()}});
    EXPECT_TRUE(program.can_start()) << "both only read X";
    program.execute();
    program.bind({{"X", Z.view()}, {"Y", Y.view()}});
    EXPECT_FALSE(program.can_start()) << "it reads what one writes and writes what the other one "
                                         "writes";
    program.cancel();
    EXPECT_EQ(error_of<CancelledError>([&] { program.synchronize(); }).substr(0, 21),
              "the run was cancelled");
    EXPECT_TRUE(program.is_complete());
}

TEST(Program, runs_beside_another) {
    const Copying c;
    const Tensor D("D", {4, 2, 4}), E("E", {4, 2, 4});
    fill(D, 5);
    Program one = c.workload().compile();
    Program two = Workload("other", [&] {
                      const Kernel copy = increment();
                      for (auto i : P.seq(4)) {
                          copy[i]({D[i], E[i]});
                      }
                  }).compile();
    for (int n = 0; n < 100; ++n) {
        one.execute();
        two.execute();
        ASSERT_TRUE(two.synchronize(std::chrono::minutes(1)));
        ASSERT_TRUE(one.synchronize(std::chrono::minutes(1)));
    }
    expect_one_more(c.A, c.B);
    expect_one_more(D, E);
}

TEST(Program, executes_twice_without_a_wait_between) {
    const Tensor X("X", {4, 2, 4}), Y("Y", {2, 4});
    for (float &x : X.span<float>()) {
        x = 2;
    }
    const Kernel add = accumulate();
    Program program = Workload("sum", [&] {
                          for (auto i : P(4)) {
                              add[i]({X[i], Y});
                          }
                      }).compile();
    program.execute();
    program.execute();
    EXPECT_TRUE(program.synchronize(std::chrono::minutes(1)));
    EXPECT_EQ(Y.span<float>()[0], 8);
}

TEST(Data, parts_of_tiles) {
    const Tensor X("X", {5, 6}), Y("Y", {5, 6});
    fill(X);
    const Kernel whole("whole", {In("x", Tile(2, 6, F32)), Out("y", Tile(2, 6, F32))},
                       [](const Parameters &k) { store(k["y"], k["x"] - rowsum(k["x"])); });
    expect_sequential_result(Workload("partial", [&] {
        for (auto i : P(3)) {
            const ScalarExpr n = min(5 - 2 * i, 2);
            whole[i](
                {X.slice(2 * i, 2 * i + 2).valid({n, 6}), Y.slice(2 * i, 2 * i + 2).valid({n, 6})});
        }
    }));
}

/// Y = X, of views of two rows of which only some are valid.
Program partial_copy(const Tensor &X, const Tensor &Y, const ScalarExpr &of_x,
                     const ScalarExpr &of_y) {
    const Kernel copy("copy", {In("x", small_tile()), Out("y", small_tile())},
                      [](const Parameters &k) { store(k["y"], load(k["x"])); });
    return Workload("partial",
                    [&] {
                        for (auto b : P(Dense(2, "b"))) {
                            const std::map<std::string, ScalarExpr> at{{"b", as_expr(b)}};
                            copy[b]({X[b].valid({of_x.substitute(at), 4}),
                                     Y[b].valid({of_y.substitute(at), 4})});
                        }
                    })
        .compile();
}

TEST(Data, parts_of_tiles_that_meet_are_of_one_size) {
    const Tensor X("X", {2, 2, 4}), Y("Y", {2, 2, 4});
    fill(X);
    const ScalarExpr b = ScalarExpr::variable("b");
    EXPECT_EQ(error_of<TypeCheckError>([&] { partial_copy(X, Y, 2, 1); }),
              "copy: 'y' has 1 valid rows, where 2 are expected");

    Program differ = partial_copy(X, Y, 2 - b, 1 + b);
    const std::string text = error_of<KernelError>([&] { run(differ); });
    EXPECT_NE(text.find("]: the valid rows of 'y' are not as many as the valid rows of 'x', which "
                        "they meet"),
              text.npos)
        << text;
    EXPECT_EQ(Y.span<float>()[0], 0);

    Program proven = partial_copy(X, Y, 1 + b, b + 1);
    run(proven);
    EXPECT_EQ(Y[0].span<float>()[4], 0);
    EXPECT_EQ(Y[1].span<float>()[4], X[1].span<float>()[4]);

    Program equal = partial_copy(X, Y, 1 + b, min(2, 1 + b));
    run(equal);
    EXPECT_EQ(Y[0].span<float>()[4], 0);
}

TEST(Data, sizes_of_symbols) {
    const Symbol N("N");
    const Tensor X("X", {5, 4}), Y("Y", {3, 4}), A("A", {5, 4}), B("B", {3, 4});
    fill(X);
    fill(Y, 2);
    const Kernel copy("copy", {In("x", Tile(N, 4, F32)), Out("y", Tile(N, 4, F32))},
                      [](const Parameters &k) { store(k["y"], k["x"] * 2); });
    expect_sequential_result(Workload("sizes", [&] {
        copy({X, A});
        copy({{"y", B}, {"x", Y}});
    }));
}

TEST(Data, axes_of_no_places) {
    const Tensor A("A", {0, 2, 4}), B("B", {0, 2, 4});
    const Kernel copy = increment();
    const Workload empty("empty", [&] {
        for (auto i : P(0)) {
            copy[i]({A[i], B[i]});
        }
    });
    EXPECT_EQ(empty.task_count(), 0);
    Program program = empty.compile();
    run(program);
    Program nothing = Workload("nothing", [] {}).compile();
    run(nothing);
    EXPECT_EQ(nothing.stats().task_count, 0);
}

TEST(Data, of_no_number_and_no_bound) {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const float inf = std::numeric_limits<float>::infinity();
    std::vector<float> data{nan, inf, -inf, 0, -0.0f, 1, -1, 1e38f};
    std::vector<float> other{1, inf, nan, 0, 1, nan, 0, 1e38f};
    std::vector<float> sums(8), larger(8);
    const Tensor X("X", std::span<const float>(data), {2, 4});
    const Tensor Y("Y", std::span(other), {2, 4});
    const Tensor S("S", std::span(sums), {2, 4}), L("L", std::span(larger), {2, 4});
    const Kernel both("both",
                      {In("x", small_tile()), In("y", small_tile()), Out("s", small_tile()),
                       Out("l", small_tile())},
                      [](const Parameters &k) {
                          store(k["s"], (k["x"] + k["y"]) / k["y"]);
                          store(k["l"], maximum(k["x"], minimum(k["y"], 0.5)));
                      });
    expect_sequential_result(Workload("special", [&] { both({X, Y, S, L}); }));
    EXPECT_TRUE(std::isnan(larger[0]));
    EXPECT_TRUE(std::isnan(larger[2]));
}

TEST(Data, scalars_of_tasks) {
    const Tensor X("X", {4, 2, 4});
    fill(X);
    const Kernel shift("shift",
                       {InOut("x", small_tile()), Scalar("by", F32), Scalar("n", DType::I32)},
                       [](const Parameters &k) {
                           store(k["x"], k["x"] * k.scalar("by") + cast(k.scalar("n"), F32));
                       });
    expect_sequential_result(Workload("shifts", [&] {
        for (auto i : P(4)) {
            shift[i]({X[i], 0.5, 3 * i + 1});
            shift[i]({X[i], {"n", i % 2}, {"by", 2}});
        }
    }));
}

TEST(Cache, gives_what_was_compiled) {
    const Tensor A("A", {3, 2, 4}), B("B", {3, 2, 4});
    const auto made = [&] {
        const Kernel kernel("only_here", {In("x", small_tile()), Out("y", small_tile())},
                            [](const Parameters &k) { store(k["y"], k["x"] * 1.75 + 3); });
        return Workload("cached",
                        [&] {
                            for (auto i : P(3)) {
                                kernel[i]({A[i], B[i]});
                            }
                        })
            .compile();
    };
    const ProgramStats cold = made().stats(), warm = made().stats();
    EXPECT_EQ(cold.cache_misses, 1);
    EXPECT_EQ(cold.cache_hits, 0);
    EXPECT_EQ(warm.cache_misses, 0);
    EXPECT_EQ(warm.cache_hits, 1);
}

TEST(Cache, DISABLED_is_warm) {
    const Copying c;
    Program program = c.workload().compile();
    EXPECT_EQ(program.stats().cache_hits, 1);
    run(program);
    expect_one_more(c.A, c.B);
}

TEST(Cache, DISABLED_is_cold) {
    const Copying c;
    Program program = c.workload().compile();
    EXPECT_EQ(program.stats().cache_misses, 1);
    run(program);
    expect_one_more(c.A, c.B);
}

TEST(Cache, serves_other_processes) {
    const Copying c;
    c.workload().compile();
    EXPECT_TRUE(passes_in_new_process("Cache.DISABLED_is_warm", {}));
}

TEST(Cache, is_not_needed) {
    const std::string file = env::cache_dir() + "/regular";
    std::ofstream(file) << "no directory";
    for (int n = 0; n < 2; ++n) {
        EXPECT_TRUE(passes_in_new_process("Cache.DISABLED_is_cold",
                                          {{"PTO_WSP_CACHE_DIR", file + "/below"}}));
    }
}

}  // namespace
}  // namespace pto::wsp::test
