#include "program/samples.h"

namespace pto::wsp::test {
namespace {

/// y = a x.
Kernel scaled() {
    return {"scaled",
            {In("x", small_tile()), Scalar("a", F32), Out("y", small_tile())},
            CppSource{.text = R"(
                for (int64_t r = 0; r < x.rows(); ++r)
                    for (int64_t c = 0; c < x.cols(); ++c)
                        y(r, c) = std::fma(a, x(r, c), 0.0f);
            )",
                      .includes = {"<cmath>"}}};
}

TEST(CppBody, runs_in_a_workload) {
    const Kernel kernel = scaled();
    EXPECT_FALSE(kernel.is_declaration());
    const Tensor X("X", {3, 2, 4}, F32), Y("Y", {3, 2, 4}, F32);
    fill(X);
    const Workload work("work", [&] {
        for (const auto &b : P(Dense(3))) {
            kernel[b]({X[b], 2.0, Y[b]});
        }
    });
    Program program = work.compile();
    run(program);
    for (size_t i = 0; i < 24; ++i) {
        EXPECT_EQ(Y.span<float>()[i], 2 * X.span<float>()[i]);
    }
}

TEST(CppBody, supplies_a_declaration) {
    const Kernel declared("scaled",
                          {In("x", small_tile()), Scalar("a", F32), Out("y", small_tile())});
    const Tensor x("x", {2, 4}, F32), y("y", {2, 4}, F32);
    fill(x);
    const Workload work("work", [&] { declared({x, 0.5, y}); });
    Program program = work.compile();
    EXPECT_EQ(error_of<ExecutionError>([&] { program.execute(); }),
              "kernel 'scaled' is declared, but nothing implements it | supply it: "
              "program.register_kernel(\"scaled\", kernel)");
    program.register_kernel("scaled", scaled().ir());
    run(program);
    EXPECT_EQ(y.span<float>()[5], 0.5F * x.span<float>()[5]);
}

TEST(CppBody, counts_the_lines_of_its_text) {
    const Kernel wrong("wrong", {Out("y", small_tile())},
                       CppSource{.text = "y(0, 0) = 1;\ny(0, 1) = none;\n"});
    EXPECT_EQ(error_of<CompileError>([&] { wrong.compile(); }),
              "kernel 'wrong': C++: cpp_src:2: 'none' was not declared in this scope");
}

TEST(CppBody, wants_one_source) {
    EXPECT_EQ(error_of<CompileError>([] { Kernel("none", {Out("y", small_tile())}, CppSource{}); }),
              "a C++ body is one of a text, a body's path and a unit's path, and none are given");
    EXPECT_EQ(error_of<CompileError>([] {
                  Kernel("two", {Out("y", small_tile())},
                         CppSource{.text = "y(0, 0) = 1;", .unit_path = "y.cpp"});
              }),
              "a C++ body is one of a text, a body's path and a unit's path, and 2 are given");
    EXPECT_EQ(error_of<CompileError>([] {
                  Kernel("odd", {Out("y", small_tile())},
                         CppSource{.text = "y(0, 0) = 1;", .includes = {""}});
              }),
              "cpp_includes: \"\" is no include | \"<cmath>\", \"mine.h\"");
    EXPECT_TRUE(
        error_of<CompileError>(
            [] { Kernel("lost", {Out("y", small_tile())}, CppSource{.unit_path = "lost.cpp"}); })
            .starts_with("cpp_tu_path: \"lost.cpp\" cannot be read | it is looked for beside "
                         "cpp_body_test.cpp and in /"));
}

TEST(CppBody, refuses_wrong_parameters) {
    EXPECT_EQ(error_of<TypeCheckError>([] {
                  Kernel("twice", {In("x", small_tile()), Out("x", small_tile())},
                         CppSource{.text = "x(0, 0) = 1;"});
              }),
              "kernel 'twice': there are two parameters 'x'");
}

TEST(CppBody, is_not_evaluated_or_parsed) {
    const std::string text = scaled().ir()->str();
    EXPECT_EQ(error_of<IRConversionError>([&] { kernel::parse_tile_program(text); }),
              "a custom body cannot be read from a text");
}

}  // namespace
}  // namespace pto::wsp::test
