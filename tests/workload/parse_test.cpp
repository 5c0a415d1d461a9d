#include "pto/wsp/workload/parse.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

using testing::HasSubstr;

const char *const sample =
    "tensor Q: f32[4, 8, 512, 64]\n"
    "tensor \"größe\": f16[16, 4] strides [1, 16]\n"
    "tensor R: f32[512, 64] strides [-64, 0] at Q + 131072\n"
    "tensor S: f32[1] at Q - 4\n"
    "kernel scale(in x: f32[512, 64], out y: f32[N, 64], f: f32, n: i32)\n"
    "kernel small(inout in: f16[4, in.columns], in: f32)\n"
    "workload example {\n"
    "  parallel b in batch: Dense[4] as b, batch {\n"
    "    task scale[b](in Q[b, 0, 0:512, 0:64], out Q[b, 1, 0:512, 0:64], -0.5, (b + 1))\n"
    "    seq s in Dense[3] {\n"
    "      task small(inout \"größe\"[4*s:4*s + 4, 0:4] valid(rows = 2, columns = (s + 1)), inf)\n"
    "    }\n"
    "  }\n"
    "  sequential {\n"
    "    combine {\n"
    "    }\n"
    "    call inner {\n"
    "      task scale(in R[0:512, 0:64], out Q[0, 0, 0:512, 0:64], 2, 7)\n"
    "      task small(inout \"größe\"[0:4, 0:4], nan)\n"
    "    }\n"
    "  }\n"
    "}\n";

TEST(Parse, PrintsTheSameText) {
    const std::string printed = parse_workload(sample).str();
    EXPECT_EQ(parse_workload(printed).str(), printed);
    EXPECT_THAT(printed, HasSubstr("seq s in Dense[3] {"));
    EXPECT_THAT(printed, HasSubstr("-0.5"));
    EXPECT_THAT(printed, HasSubstr("tensor R: f32[512, 64] strides [-64, 0] at Q + 131072\n"));
}

TEST(Parse, ReadsIntegersThatOnlyU64Has) {
    const std::string text = "tensor Y: f32[1, 4]\n"
                             "kernel k(out a: f32[1, 4], n: u64)\n"
                             "workload w {\n"
                             "  task k(out Y[0:1, 0:4], 18446744073709551615)\n"
                             "}\n";
    EXPECT_EQ(parse_workload(text).str(), text);
}

std::string refused(const std::string &text) {
    return error_of<IRConversionError>([&] { parse_workload(text, "file.txt"); });
}

TEST(Parse, FarPlacesTakeNoMemory) {
    const Workload workload =
        parse_workload("tensor Y: f32[1, 4]\n"
                       "tensor X: f32[1, 4] at Y + 1099511627000\n"
                       "kernel k(out a: f32[1, 4], out b: f32[1, 4])\n"
                       "workload w { task k(out Y[0:1, 0:4], out X[0:1, 0:4]) }");
    const std::vector<TensorPtr> tensors = workload.tensors();
    ASSERT_EQ(tensors.size(), 2u);
    const auto *y = static_cast<const char *>(tensors[0]->view.data);
    const auto *x = static_cast<const char *>(tensors[1]->view.data);
    EXPECT_EQ(x - y, 1099511627000);
    EXPECT_EQ(*x, 0);
}

TEST(Parse, NamesWhatIsWrong) {
    EXPECT_THAT(refused("tensor X: f32[-1]\nworkload w {}"),
                HasSubstr("file.txt:1: error: tensor X has the negative shape [-1]"));
    EXPECT_THAT(refused("tensor X: f32[4] strides [1, 2]\nworkload w {}"),
                HasSubstr("tensor X has 1 dimensions and 2 strides"));
    EXPECT_THAT(refused("tensor X: f32[4]\ntensor X: f32[4]\nworkload w {}"),
                HasSubstr("file.txt:2: error: tensor X is declared twice"));
    EXPECT_THAT(refused("tensor X: f32[4] at Y + 4\nworkload w {}"),
                HasSubstr("no tensor is called \"Y\""));
    EXPECT_THAT(refused("tensor Y: f32[4] tensor X: f32[4] at Y + 99999999999999\nworkload w {}"),
                HasSubstr("tensor X reaches too far from its place"));
    EXPECT_THAT(refused("tensor Y: f32[4]\ntensor X: f32[4] at Y - -9223372036854775808\n"
                        "workload w {}"),
                HasSubstr("file.txt:2: error: tensor X reaches too far from its place"));
    EXPECT_THAT(refused("tensor Y: f32[4]\ntensor X: f32[4, 4] strides [4611686018427387904, 1]\n"
                        "  at Y + 4\nworkload w {}"),
                HasSubstr("file.txt:2: error: tensor X: the bytes of shape [4, 4] with strides"));
    EXPECT_THAT(refused("kernel k() kernel k() workload w {}"),
                HasSubstr("kernel k is declared twice"));
    EXPECT_THAT(refused("workload w { task k() }"), HasSubstr("no kernel is called \"k\""));
    EXPECT_THAT(refused("kernel k() workload w { task k(1) }"),
                HasSubstr("kernel k takes 0 arguments, here are more"));
    EXPECT_THAT(refused("workload w { parallel i in Dense[2] { parallel i in Dense[2] {} } }"),
                HasSubstr("a loop around has the variable i already"));
    EXPECT_THAT(refused("workload w { parallel i in Dense[-2] {} }"), HasSubstr("axis size is -2"));
    EXPECT_THAT(
        refused("tensor X: f32[4] kernel k(in x: f32[1, 4]) workload w { task k(in X[0, 0]) }"),
        HasSubstr("X has 1 dimensions, here are 2"));
    EXPECT_THAT(refused("workload w { loop }"), HasSubstr("task, parallel, seq"));
    EXPECT_THAT(refused("workload w {} 1"), HasSubstr("the end"));
    std::string deep = "workload w ";
    for (int i = 0; i < 100000; ++i) {
        deep += "{ combine ";
    }
    EXPECT_THAT(refused(deep), HasSubstr("nested deeper than 2500"));
    std::string uneven = "workload w {";
    for (int i = 0; i < 2000; ++i) {
        uneven += "parallel i" + std::to_string(i) + " in Dense[1] { combine {} ";
    }
    EXPECT_THAT(refused(uneven + std::string(2001, '}')), HasSubstr("nested deeper than 2500"));
}

TEST(Parse, ChecksTasks) {
    EXPECT_THAT(error_of<TypeCheckError>([] {
                    parse_workload("tensor X: f32[4]\nkernel k(in x: f32[1, 4])\n"
                                   "workload w {\n task k(in X[1:5]) }");
                }),
                HasSubstr("workload:4: error: k: x = X[1:5]: dimension 0 of X reaches index 4"));
}

TEST(Parse, SurvivesAnyBytes) {
    EXPECT_TRUE(rc::check("a damaged text is read or refused", [] {
        std::string text = sample;
        const int edits = *rc::gen::inRange(1, 6);
        for (int i = 0; i < edits; ++i) {
            const auto at = *rc::gen::inRange<size_t>(0, text.size());
            const auto length = *rc::gen::inRange<size_t>(0, 12);
            const auto from = *rc::gen::inRange<size_t>(0, text.size());
            text.replace(at, length, text.substr(from, *rc::gen::inRange<size_t>(0, 12)));
        }
        try {
            const std::string printed = parse_workload(text).str();
            RC_ASSERT(parse_workload(printed).str() == printed);
        } catch (const CompileError &) {
            RC_TAG("refused");
        }
    }));
}

}  // namespace
}  // namespace pto::wsp::workload::test
