#include <stdexcept>

#include "program/samples.h"

namespace pto::wsp::test {
namespace {

TEST(FrontDoor, kernels_are_texts) {
    EXPECT_EQ(increment().ir()->str(),
              "kernel @increment(%x: in tile<2x4xf32>, %y: out tile<2x4xf32>) {\n"
              "  %0 = load %x : tile<2x4xf32>\n"
              "  %1 = constant {dtype = \"f32\", value = 1.0} : tile<1x1xf32>\n"
              "  %2 = add %0, %1 : tile<2x4xf32>\n"
              "  store %y, %2\n"
              "}\n");
}

TEST(FrontDoor, errors_of_tiles_stand_at_their_line) {
    int line = 0;
    try {
        const Kernel kernel("bad",
                            {In("a", Tile(128, 64, F32)), In("b", Tile(256, 64, F32)),
                             Out("c", Tile(128, 64, F32))},
                            [&](const Parameters &k) {
                                line = __LINE__ + 1;
                                store(k["c"], matmul(k["a"], k["b"]));
                            });
        FAIL() << "nothing is thrown";
    } catch (const TypeCheckError &error) {
        EXPECT_EQ(error.text(), "matmul: inner dimensions differ: [128, 64] x [256, 64]");
        EXPECT_EQ(error.at().line, line);
        EXPECT_NE(error.at().file.find("front_door_test.cpp"), std::string::npos);
    }
}

TEST(FrontDoor, unknown_parameters_are_refused) {
    const std::vector<kernel::Param> parameters{In("scores", small_tile()), Scalar("n", F32),
                                                Out("y", small_tile())};
    const auto with = [&](const std::function<void(const Parameters &)> &body) {
        return error_of<TypeCheckError>([&] { Kernel("bad", parameters, body); });
    };
    EXPECT_EQ(with([](const Parameters &k) { k["score"]; }),
              "kernel 'bad': no parameter 'score' | did you mean 'scores'? the parameters are n, "
              "scores, y");
    EXPECT_EQ(with([](const Parameters &k) { k["n"]; }),
              "kernel 'bad': 'n' is a scalar, not a tile | k.scalar(\"n\")");
    EXPECT_EQ(with([](const Parameters &k) { k.scalar("y"); }),
              "kernel 'bad': 'y' is a tile, not a scalar | k[\"y\"]");
}

/// What emitting one task says.
template <class... Input> std::string refused(const Kernel &kernel, const Input &...inputs) {
    return error_of<TypeCheckError>([&] {
        Workload("bad", [&] {
            for (auto i : P(4)) {
                kernel[i]({TaskInput(inputs)...});
            }
        });
    });
}

TEST(FrontDoor, calls_are_checked) {
    const Tensor A("A", {2, 4}), B("B", {2, 4}), wide("wide", {2, 8}),
        half("half", {2, 4}, DType::F16);
    const Kernel copy = increment();
    EXPECT_EQ(refused(copy, A), "increment: argument y is missing | increment: takes 2 arguments "
                                "(x, y), got 1");
    EXPECT_EQ(refused(copy, A, B, A), "increment: takes 2 arguments (x, y), got 3");
    EXPECT_EQ(refused(copy, A, TaskInput("z", B)),
              "increment: no parameter is called \"z\" | parameters: x, y");
    EXPECT_EQ(refused(copy, wide, B),
              "increment: x: expected Tile[2, 4, F32], got wide[0:2, 0:8] of shape [2, 8] | take a "
              "part, as in wide.slice(0, 4)");
    EXPECT_EQ(refused(copy, half, B), "increment: x: expected F32, got F16 of half[0:2, 0:4]");
    const std::vector<float> constants(8);
    EXPECT_EQ(refused(copy, A, Tensor("C", std::span(constants), {2, 4})),
              "kernel 'increment': 'y' is written but its array is read-only");
}

TEST(FrontDoor, calls_stand_at_their_line) {
    const Tensor A("A", {4, 2, 4}), B("B", {4, 2, 4});
    const Kernel copy = increment();
    int line = 0;
    try {
        Workload("bad", [&] {
            for (auto i : P(Dense(4, "i"))) {
                line = __LINE__ + 1;
                copy[i]({A[i + 1], B[i]});
            }
        });
        FAIL() << "nothing is thrown";
    } catch (const TypeCheckError &error) {
        EXPECT_EQ(error.at().line, line);
        EXPECT_EQ(error.text(), "increment: x = A[i + 1, 0:2, 0:4]: dimension 0 of A reaches index "
                                "4, but its extent is 4 (i in Dense[4])");
    }
}

TEST(FrontDoor, errors_can_be_collected) {
    const Tensor A("A", {2, 4});
    const Workload bad("bad", [&] { increment()({A}); }, {.fail_on_type_error = false});
    ASSERT_EQ(bad.type_errors().size(), 1u);
    EXPECT_EQ(error_of<TypeCheckError>([&] { bad.compile(); }),
              bad.type_errors()[0].text() + " | " + bad.type_errors()[0].hint());
}

TEST(FrontDoor, workloads_have_bodies) {
    const Tensor A("A", {4, 2, 4}), B("B", {4, 2, 4});
    const Kernel copy = increment();
    EXPECT_EQ(error_of<CompileError>([&] {
                  copy({A[0], B[0]});
              }),
              "kernel 'increment' is called outside the body of a workload | run it on tensors "
              "with compile(), or call it in the body of a Workload");
    EXPECT_EQ(error_of<CompileError>([&] {
                  for (auto i : P(4)) {
                      static_cast<void>(i);
                  }
              }),
              "P is used outside the body of a workload | use it in the body of a Workload");
    EXPECT_EQ(error_of<CompileError>([&] {
                  Workload("left", [&] {
                      for (auto [i, j] : P.seq(4, 2)) {
                          copy[{i, j}]({A[i], B[i]});
                          break;
                      }
                  });
              }),
              "loop P.seq(Dense[4], Dense[2]) is left before its end | the body runs once for all "
              "iterations, so break and return have no meaning in it");
    EXPECT_EQ(error_of<CompileError>([&] {
                  Workload("negative", [&] {
                      for (auto i : P(-1)) {
                          copy[i]({A[i], B[i]});
                      }
                  });
              }),
              "axis size is -1, must be >= 0");
    const Workload one("one", [&] { copy({A[0], B[0]}); });
    EXPECT_EQ(error_of<CompileError>([&] { one(); }),
              "workload 'one' is used outside the body of a workload | use it in the body of a "
              "Workload");
    EXPECT_EQ(error_of<CompileError>([&] { Workload("outer", [&] { combine({one}); }); }),
              "combine is used in the body of a workload | call the workloads one after another "
              "there, or group them outside");
    EXPECT_EQ(error_of<CompileError>([&] { Workload("outer", [&] { one.streams(2)(); }); }),
              "'one' has a schedule of its own: streams(2) | schedule the whole");
}

TEST(FrontDoor, what_a_body_throws_leaves_nothing) {
    const Tensor A("A", {4, 2, 4}), B("B", {4, 2, 4});
    const Kernel copy = increment();
    EXPECT_THROW(Workload("throws",
                          [&] {
                              for (auto i : P(4)) {
                                  copy[i]({A[i], B[i]});
                                  throw std::runtime_error("mine");
                              }
                          }),
                 std::runtime_error);
    EXPECT_THROW(Kernel("throws", {In("x", small_tile())},
                        [](const Parameters &) { throw std::runtime_error("mine"); }),
                 std::runtime_error);
    EXPECT_THROW(copy({A[0], B[0]}), CompileError);
    const Workload good("good", [&] { copy({A[0], B[0]}); });
    EXPECT_EQ(good.kind(), "task");
    EXPECT_EQ(good.task_count(), 1);
}

TEST(FrontDoor, tensors_are_views) {
    std::vector<int32_t> data(24);
    for (int n = 0; n < 24; ++n) {
        data[static_cast<size_t>(n)] = n;
    }
    const Tensor T("T", std::span(data), {2, 3, 4});
    EXPECT_EQ(T.dtype(), DType::I32);
    EXPECT_EQ(T[1][-1].span<int32_t>()[0], 20);
    EXPECT_EQ(T[0].slice(1, 3).shape(), (Shape{2, 4}));
    EXPECT_EQ(T[0].slice(1, 3).span<int32_t>()[0], 4);
    EXPECT_EQ(T.nbytes(), 96);
    EXPECT_EQ(error_of<TypeCheckError>([&] { T[2].view(); }),
              "tensor view T[2, 0:3, 0:4] leaves T of shape [2, 3, 4]");
    EXPECT_EQ(error_of<TypeCheckError>([&] { T.span<float>(); }),
              "span: T[0:2, 0:3, 0:4] is I32, not F32");
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  Tensor("X", std::span(data), {5, 5});
              }),
              "Tensor: shape [5, 5] has 25 elements, the data 24");
    EXPECT_EQ(error_of<TypeCheckError>([&] { Tensor("X", std::span(data), {24}, DType::F16); }),
              "Tensor: F16 has 2 bytes, an element of the data 4");
    EXPECT_EQ(error_of<TypeCheckError>([&] { T[AxisVar::variable("i")].view(); }),
              "tensor view T[i, 0:3, 0:4] moves with a loop variable and has no data of its own | "
              "pass it to a kernel in the workload");
}

TEST(FrontDoor, kernels_run_on_tensors) {
    const Tensor A("A", {2, 4}), B("B", {2, 4});
    fill(A);
    increment().compile()({A.view(), B.view()});
    EXPECT_EQ(B.span<float>()[5], A.span<float>()[5] + 1);
}

TEST(FrontDoor, RaggedRowsAndSelectedPlaces) {
    const Tensor x("x", {6, 2, 4}), y("y", {6, 2, 4});
    fill(x);
    fill(y, 2);
    const Kernel add = accumulate(), copy = increment();
    const Ragged rows("rows", {3, 0, 2});
    const Sparse places("places", {0, 1, 1, 3}, {4, 0, 2});
    EXPECT_EQ(rows.total(), 5);
    EXPECT_EQ(places.nnz(), 3);
    const Workload workload("tables", [&] {
        for (auto b : P(3)) {
            for (auto t : P(rows[b])) {
                add({x[b], y[t]});
            }
            for (auto i : P.sel(places[b])) {
                copy({x[i], y[b]});
            }
            P.when(rows.length(b) >= 2 && !equal(as_expr(b), 0), [&] { copy({y[b], x[b]}); });
        }
    });
    expect_sequential_result(workload);
    Program program = workload.compile();
    run(program);
    EXPECT_EQ(program.stats().task_count, 5 + 3 + 1);
    program.set_tables(
        {{"rows", std::make_shared<const std::vector<int64_t>>(std::vector<int64_t>{1, 1, 1})}});
    run(program);
    EXPECT_EQ(program.stats().task_count, 3 + 3 + 0);
}

TEST(FrontDoor, AllPlacesOfRaggedRows) {
    const Tensor x("x", {6, 2, 4}), y("y", {6, 2, 4}), z("z", {3, 2, 4});
    fill(x);
    const Kernel add = accumulate(), copy = increment();
    const Ragged rows = Ragged::of_offsets("rows", {0, 3, 3, 5});
    EXPECT_EQ(rows.lengths(), (std::vector<int64_t>{3, 0, 2}));
    EXPECT_EQ(rows.total(), 5);
    const Workload workload("places", [&] {
        for (auto i : P(rows)) {
            copy({x[i], y[i]});
        }
        for (auto b : P(3)) {
            for (auto t : P(rows[b])) {
                add({y[rows.offset(b) + as_expr(t)], z[b]});
            }
        }
    });
    expect_sequential_result(workload);
    Program program = workload.compile();
    run(program);
    EXPECT_EQ(program.stats().task_count, 5 + 5);
    const auto float_of = [](const Tensor &tensor, size_t tile) {
        return tensor.span<float>()[tile * 8];
    };
    std::ranges::fill(y.span<float>(), 0.0F);
    std::ranges::fill(z.span<float>(), 0.0F);
    program.set_tables(
        {{"rows", std::make_shared<const std::vector<int64_t>>(std::vector<int64_t>{0, 1, 2, 6})}});
    run(program);
    EXPECT_EQ(program.stats().task_count, 6 + 6);
    EXPECT_EQ(float_of(y, 5), float_of(x, 5) + 1);
    EXPECT_EQ(float_of(z, 1), 0.5F * float_of(y, 1));

    EXPECT_EQ(error_of<CompileError>([&] {
                  const Ragged lengths("lengths", {1, 2});
                  Workload("w", [&] {
                      for (auto i : P(lengths)) {
                          copy({x[i], y[i]});
                      }
                  });
              }),
              "'lengths' is made of lengths: where its rows start is not known to a run | "
              "Ragged::of_offsets(name, offsets)");
    EXPECT_EQ(error_of<TypeCheckError>([] {
                  Ragged::of_offsets("r", {0, 2, 1});
              }),
              "Ragged: offsets must start at 0 and not decrease");
    EXPECT_EQ(error_of<CompileError>([&] { (void)x[symbol_u64("n") % 2]; }).substr(0, 28),
              "an index that a run decides ");
}

TEST(FrontDoor, WrongRowsAreRefused) {
    EXPECT_EQ(error_of<TypeCheckError>([] {
                  Ragged("r", {1, -2});
              }),
              "Ragged: length 1 is -2, must be >= 0");
    EXPECT_EQ(error_of<TypeCheckError>([] {
                  Sparse("s", {0, 3, 2}, {0, 1});
              }),
              "Sparse: indptr must start at 0 and not decrease");
    EXPECT_EQ(error_of<TypeCheckError>([] {
                  Sparse("s", {0, 3}, {0, 1});
              }),
              "Sparse: indptr ends at 3, there are 2 indices");
    EXPECT_EQ(error_of<TypeCheckError>([] {
                  Sparse("s", {0, 1}, {-1});
              }),
              "Sparse: index 0 is -1, must be >= 0");
    const auto build = [](const std::function<void(AxisVar)> &body) {
        const Workload made("w", [&] {
            for (auto b : P(2)) {
                body(b);
            }
        });
    };
    EXPECT_EQ(error_of<CompileError>([&] {
                  build([](const AxisVar &b) {
                      const Ragged one("r", {1, 2}), other("r", {2, 1});
                      (void)one.length(b);
                      (void)other.length(b);
                  });
              }),
              "two axes with other data are called 'r' | give each of them a name of its own");
    EXPECT_EQ(error_of<CompileError>([&] { build([](const AxisVar &) { (void)P.sel(4); }); }),
              "P.sel: Dense[4] selects no places | P.sel(sparse[b]), with a Sparse");
    EXPECT_EQ(error_of<CompileError>([&] {
                  build([](const AxisVar &b) {
                      const Sparse places("s", {0, 1, 1}, {4});
                      for (auto i : P.seq(places[b])) {
                          (void)i;
                      }
                  });
              }),
              "P.seq takes no selected places | P.sel(sparse[b]) in any order");
}

TEST(FrontDoor, ExpressionsAreCompared) {
    const AxisVar b = AxisVar::variable("b");
    EXPECT_EQ((b + 1 < 3).str(), "((b + 1) < 3)");
    EXPECT_EQ((2 >= b).str(), "(2 >= b)");
    EXPECT_EQ((slot_u64(0) <= b || b > slot_u64(1)).str(), "((slot(0) <= b) or (b > slot(1)))");
    EXPECT_EQ((!not_equal(b, 2)).str(), "(not (b != 2))");
    EXPECT_EQ(select(b < 2, b, 7).str(), "select((b < 2), b, 7)");
    EXPECT_EQ(((b & 6) | 1).str(), "((b & 6) | 1)");
    EXPECT_EQ((7 ^ (b >> 1)).str(), "(7 ^ (b >> 1))");
    EXPECT_EQ((1 << (b + 1)).str(), "(1 << (b + 1))");
}

TEST(FrontDoor, RunTimeSizesBranchesAndSlots) {
    const Tensor x("x", {6, 2, 4}), y("y", {6, 2, 4});
    const Tensor counts("counts", {6, 1}, DType::I32);
    fill(x);
    fill(y, 2);
    counts.span<int32_t>()[2] = 1;
    const Kernel add = accumulate(), copy = increment();
    const Workload workload("run_time", [&] {
        slot_set_u64(1, 3);
        for (auto i : P(DenseDyn(symbol_u64("n"), "rows"))) {
            slot_load_u64(0, counts[i][0]);
            P.when(slot_u64(0), [&] { copy[i]({x[i], y[i]}); });
            P.otherwise([&] { add[i]({x[i], y[i]}); });
        }
        for (auto i : P.pipe(4, 2)) {
            for (auto j : P.seq(DenseDyn(3 - i))) {
                add({y[i + j], x[i]});
            }
        }
    });
    EXPECT_EQ(workload.str(), "Workload[combine(increment, accumulate), Combined]");
    workload::Workload with_data = workload.built();
    with_data.data.symbols["n"] = 4;
    expect_sequential_result(Workload(with_data));

    Program program = workload.compile();
    EXPECT_EQ(error_of<ExecutionError>([&] { program.execute(); }),
              "symbol 'n' has no value | set it: program.set_symbol_u64(\"n\", 4)");
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  program.set_symbols({{"m", 1}});
              }),
              "the program has no symbol 'm' | symbols: n");
    EXPECT_EQ(error_of<TypeCheckError>([&] {
                  program.set_tables({{"m", nullptr}});
              }),
              "the program has no table 'm' | it has none");
    program.set_symbols({{"n", 2}});
    run(program);
    EXPECT_EQ(program.stats().task_count, 2 + 3 + 2 + 1);
    program.set_symbols({{"n", 7}});
    const std::string text = error_of<ExecutionError>([&] { program.execute(); });
    EXPECT_NE(text.find("whose extent is 6: the index is 6, allowed is 0...5"), text.npos) << text;
}

TEST(FrontDoor, SymbolsAreFloatsAndAddresses) {
    const Kernel scaled("scaled",
                        {In("x", Tile(1, 4, F32)), Out("y", Tile(1, 4, F32)), Scalar("f", F32)},
                        [](const Parameters &k) { store(k["y"], k["x"] * k.scalar("f")); });
    const Tensor x("x", {3, 4}), y("y", {3, 4});
    std::ranges::fill(x.span<float>(), 2.0F);
    const Workload workload("scaling", [&] {
        for (auto i : P(3)) {
            scaled({x[i], y[i], Symbol("alpha")});
        }
    });
    Program program = workload.compile();
    EXPECT_EQ(error_of<ExecutionError>([&] { program.execute(); }),
              "symbol 'alpha' has no value | set it: program.set_symbol_f32(\"alpha\", 0.5)");
    for (const double alpha : {0.5, -1.75}) {
        program.set_symbol_f32("alpha", alpha);
        run(program);
        EXPECT_EQ(y.span<float>()[11], 2 * alpha);
    }
    program.set_symbols({{"alpha", 3}});
    run(program);
    EXPECT_EQ(y.span<float>()[11], 6);
    const int pointed = 0;
    EXPECT_EQ(error_of<TypeCheckError>([&] { program.set_symbol_ptr("alpha", &pointed); }),
              "set_symbol_ptr: symbol 'alpha' is a float, got an address | use set_symbol_f32");
    EXPECT_EQ(error_of<TypeCheckError>([&] { program.set_symbol_f32("beta", 1); }),
              "the program has no symbol 'beta' | symbols: alpha");
}

TEST(FrontDoor, WrongPipesBranchesAndWindows) {
    EXPECT_EQ(error_of<CompileError>([] { P.pipe(4, 0); }), "P.pipe: depth is 0, must be >= 1");
    EXPECT_EQ(error_of<CompileError>([] { Workload("alone", [] { P.otherwise([] {}); }); }),
              "P.otherwise: there is no P.when right before it | with P.when(condition): ... then "
              "with P.otherwise(): ...");
    const Tensor x("x", {2, 2, 4}), y("y", {2, 2, 4});
    const Kernel copy = increment();
    const Workload workload("one", [&] { copy({x[0], y[1]}); });
    EXPECT_EQ(error_of<ScheduleError>([&] { workload.task_graph(0); }),
              "window: stall: size must be an integer >= 1, is 0");
    expect_sequential_result(workload.task_graph(1));
    EXPECT_EQ(workload.task_graph(8).schedule().str(), "task_graph(window=stall(8))");
}

}  // namespace
}  // namespace pto::wsp::test
