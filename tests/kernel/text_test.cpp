#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "kernel/kernel_builder.h"
#include "kernel/random_program.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/error.h"
#include "support/expect_error.h"

namespace pto::wsp::kernel {
namespace {

const std::string sample =
    R"(kernel @blocked(%x: in tile<(2*N + 1)x64xf16>, %n: scalar<i32>, %y: inout tile<(2*N + 1)x64xf32>) {
  %0 = load %x : tile<(2*N + 1)x64xf16>
  %1 = constant {dtype = "f32", value = -inf} : tile<1x1xf32>
  %2 = constant {dtype = "i32", value = 3} : tile<1x1xi32>
  %3 = fori_loop %2, %n, %0 do (%4, %5) {
    %6 = load %y, %4, %2 {columns = [4], rows = [N]} : tile<(N)x4xf32>
    store %y, %6, %2, %4
    fori_loop %2, %4 do (%7) {
      yield
    }
    yield %5
  }
  %8 = matmul %3, %0 {trans_b = true} : tile<(2*N + 1)x(2*N + 1)xf32>
  %9 = maximum %8, %1 : tile<(2*N + 1)x(2*N + 1)xf32>
}
)";

std::string refusal(const std::string &text) {
    try {
        parse_tile_program(text, "t");
    } catch (const CompileError &error) {
        return error.what();
    }
    return "no error";
}

/// A kernel of one input `%x` with this body.
std::string with_body(const std::string &body) {
    return "kernel @k(%x: in tile<4x4xf32>, %y: out tile<4x4xf32>, %n: scalar<i32>) {\n" + body +
           "\n}\n";
}

TEST(Text, ReadsBack) {
    auto program = parse_tile_program(sample);
    EXPECT_EQ(program->str(), sample);
    EXPECT_EQ(program->symbols(), std::vector<std::string>{"N"});
    EXPECT_EQ(program->param_index("n"), 1);
    EXPECT_EQ(program->param_index("m"), -1);
    EXPECT_EQ(program->nodes[0].at, (Loc{"tile program", 2}));
}

TEST(Text, QuotesNames) {
    const std::string text = "kernel @\"d\xc3\xa9"
                             "j\xc3\xa0 vu\"() {\n}\n";
    EXPECT_EQ(parse_tile_program(text)->str(), text);
    expect_error<CompileError>([] { Builder("\xff"); }, "the name of a kernel is not utf-8");
}

TEST(Text, NeedsNoParticularLayout) {
    auto program = parse_tile_program("kernel @k(%x:in tile<4x4xf32>){%a=load %x:tile<4x4xf32>"
                                      "# comment\n%b = exp %a : tile<4x4xf32>}");
    EXPECT_EQ(program->str(), "kernel @k(%x: in tile<4x4xf32>) {\n"
                              "  %0 = load %x : tile<4x4xf32>\n"
                              "  %1 = exp %0 : tile<4x4xf32>\n"
                              "}\n");
}

TEST(Text, MayLeaveOutWhatHasADefault) {
    auto program = parse_tile_program("kernel @k() {\n"
                                      "  %0 = iota_u32 {columns = [32]} : tile<1x32xu32>\n"
                                      "}\n");
    EXPECT_EQ(program->str(), "kernel @k() {\n"
                              "  %0 = iota_u32 {columns = [32], rows = [1]} : tile<1x32xu32>\n"
                              "}\n");
    TileProgram without = *program;
    without.nodes[0].attributes.erase("rows");
    expect_error<TypeCheckError>([&] { verify(without); },
                                 "iota_u32: the attribute 'rows' is missing");
}

TEST(Hash, IsOfContentAlone) {
    auto program = parse_tile_program(sample);
    std::string renamed = sample;
    renamed.replace(renamed.find("blocked"), 7, "other");
    EXPECT_EQ(parse_tile_program(renamed)->hash(), program->hash());
    std::string changed = sample;
    changed.replace(changed.find("value = 3"), 9, "value = 2");
    EXPECT_NE(parse_tile_program(changed)->hash(), program->hash());
    EXPECT_EQ(parse_tile_program("kernel @k(%x: in tile<4x4xf32>) {\n}\n")->hash().hex(),
              "bc70912ffa604de76d7ffe1c9e1d441a");
}

TEST(Hash, DoesNotDependOnHowValuesAreNumbered) {
    auto program = parse_tile_program("kernel @k(%x: in tile<4x4xf32>, %n: scalar<i32>) {\n"
                                      "  %0 = load %x : tile<4x4xf32>\n"
                                      "  %1 = exp %0 : tile<4x4xf32>\n"
                                      "}\n");
    TestKernel k;
    k.in("x", 4, 4);
    k.scalar("n", DType::I32);
    k.op(Op::Exp, {k.b.load(0)});
    EXPECT_EQ(k.b.finish()->hash(), program->hash());
    TileProgram swapped = *program;
    std::swap(swapped.values[1], swapped.values[2]);
    swapped.nodes[0].results = {2};
    swapped.nodes[1].results = {1};
    swapped.nodes[1].operands = {2};
    EXPECT_NE(swapped.values[1].node, program->values[1].node);
    EXPECT_EQ(swapped.hash(), program->hash());
}

TEST(Text, NamesWhatIsWrong) {
    EXPECT_EQ(refusal("kernel k() {}"), "t:1: error: expected '@', found 'k'");
    EXPECT_EQ(refusal("kernel @k() {} x"), "t:1: error: expected the end of the kernel, found 'x'");
    EXPECT_EQ(refusal("kernel @k(%x: at tile<4x4xf32>) {}"),
              "t:1: error: expected in, out, inout or scalar, found 'at'");
    EXPECT_EQ(refusal("kernel @k(%x: in tile<4 4xf32>) {}"),
              "t:1: error: expected a name, found '4'");
    EXPECT_EQ(refusal("kernel @k(%x: in tile<4x>) {}"),
              "t:1: error: expected an integer, found '>'");
    EXPECT_EQ(refusal("kernel @k(%x: in tile<4x99999999999999999999xf32>) {}"),
              "t:1: error: expected a type such as tile<512x64xf32>, found '>'");
    EXPECT_EQ(refusal("kernel @k(%x: scalar<i32>, %x: scalar<i32>) {}"),
              "t:1: error: there are two parameters 'x'");
    EXPECT_EQ(refusal(with_body("\n%0 = frobnicate %n : tile<1x1xi32>")),
              "t:3: error: there is no operation 'frobnicate'");
    EXPECT_EQ(refusal(with_body("%0 = neg %1 : tile<1x1xi32>")),
              "t:2: error: %1 is not made before it is used");
    EXPECT_EQ(refusal(with_body("%0 = neg %x : tile<1x1xi32>")),
              "t:2: error: %x is a tile parameter; load reads it");
    EXPECT_EQ(refusal(with_body("%0 = load %n : tile<1x1xi32>")),
              "t:2: error: load: 'n' is a scalar, not a tile");
    EXPECT_EQ(refusal(with_body("%0 = load %m : tile<1x1xi32>")),
              "t:2: error: there is no parameter 'm'");
    EXPECT_EQ(refusal(with_body("%0 = neg %n : tile<1x1xi32>\n%0 = abs %n : tile<1x1xi32>")),
              "t:3: error: %0 is made twice");
    EXPECT_EQ(refusal(with_body("neg %n")), "t:2: error: neg has 0 results");
    EXPECT_EQ(refusal(with_body("%0 = cast %n {dtype = \"f32\", dtype = \"f16\"} : tile<1x1xf32>")),
              "t:2: error: the attribute 'dtype' is given twice");
    EXPECT_EQ(refusal(with_body("%0 = fori_loop %n, %n do (%1) {\nyield\n}")),
              "t:2: error: fori_loop has 2 operands and 1 results, expected 2 more operands than "
              "results");
    EXPECT_EQ(refusal(with_body("fori_loop %n, %n do (%1, %2) {\nyield\n}")),
              "t:2: error: the body takes more than 1 arguments");
}

TEST(Text, IsVerified) {
    EXPECT_EQ(refusal(with_body("\n%0 = load %x : tile<4x5xf32>")),
              "t:3: error: load gives tile<4x4xf32>, not tile<4x5xf32>");
    EXPECT_EQ(refusal(with_body("%0 = load %x : tile<4x4xf32>\nstore %x, %0")),
              "t:3: error: store: 'x' is an input\n"
              "t:1: note: 'x' is declared here\n"
              "t:1: note: value is Tile[4, 4, F32] of 'x', declared here\n"
              "hint: declare it Out or InOut");
    EXPECT_EQ(refusal(with_body("%0 = load %y : tile<4x4xf32>")),
              "t:2: error: load: the output 'y' is read before anything is stored to it\n"
              "t:1: note: 'y' is declared here\n"
              "hint: declare it InOut to read what it held before");
    EXPECT_EQ(refusal(with_body("fori_loop %n, %n do (%1) {\n%2 = neg %1 : tile<1x1xi32>\n"
                                "yield\n}\n%3 = neg %2 : tile<1x1xi32>")),
              "t:6: error: kernel 'k': neg uses a value that is not made before it, or only in the "
              "body of a loop");
}

TEST(Text, BoundsNesting) {
    std::string text = "kernel @k(%n: scalar<i32>) {\n";
    for (int i = 0; i < 100000; ++i) {
        text += "fori_loop %n, %n do (%i" + std::to_string(i) + ") {\n";
    }
    EXPECT_EQ(refusal(text), "t:66: error: loops nest deeper than 64");
    EXPECT_EQ(refusal("kernel @k(%x: in tile<" + std::string(100000, '(')),
              "t:1: error: expected an integer or a variable, found '('");
}

TEST(Text, OfRandomProgramsReadsBack) {
    EXPECT_TRUE(rc::check("parse(print(program)) is the program", [] {
        auto program = random_program();
        const std::string text = program->str();
        std::shared_ptr<const TileProgram> again;
        try {
            again = parse_tile_program(text);
        } catch (const CompileError &error) {
            RC_FAIL(std::string(error.what()) + "\n" + text);
        }
        RC_ASSERT(again->str() == text);
        RC_ASSERT(again->hash() == program->hash());
        RC_ASSERT(again->values.size() == program->values.size());
    }));
}

TEST(Text, SurvivesDamage) {
    EXPECT_TRUE(rc::check("a damaged text is read or refused", [] {
        std::string text = random_program()->str();
        static const std::vector<std::string> pieces = {"%0",
                                                        "%1",
                                                        "{",
                                                        "}",
                                                        "(",
                                                        ")",
                                                        "tile<",
                                                        "fori_loop",
                                                        "yield",
                                                        "store",
                                                        "load %x0",
                                                        ",",
                                                        "[N]",
                                                        "-",
                                                        "=",
                                                        "9",
                                                        "x",
                                                        "\"",
                                                        "99999999999999999999",
                                                        "1e999",
                                                        "rows = "};
        for (int edits = *rc::gen::inRange(1, 6); edits > 0; --edits) {
            const auto at = *rc::gen::inRange<size_t>(0, text.size() + 1);
            const auto length = *rc::gen::inRange<size_t>(0, 12);
            std::string with = pieces[*rc::gen::inRange<size_t>(0, pieces.size())];
            if (*rc::gen::inRange(0, 2) == 0) {
                with = text.substr(*rc::gen::inRange<size_t>(0, text.size() + 1),
                                   *rc::gen::inRange<size_t>(0, 40));
            }
            text.replace(at, length, with);
        }
        try {
            const std::string printed = parse_tile_program(text)->str();
            RC_ASSERT(parse_tile_program(printed)->str() == printed);
        } catch (const CompileError &) {
            RC_TAG("refused");
        }
    }));
}

TEST(Text, SurvivesAnyBytes) {
    EXPECT_TRUE(rc::check("any bytes are read or refused", [](const std::string &bytes) {
        try {
            parse_tile_program("kernel @k(%x: in tile<4x4xf32>) {" + bytes);
        } catch (const CompileError &) {
        }
    }));
}

}  // namespace
}  // namespace pto::wsp::kernel
