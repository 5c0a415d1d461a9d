#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/parse.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

const std::string head =
    "tensor A: f32[64, 64] tensor B: f32[64, 64] tensor C: f32[64, 64]\n"
    "kernel copy(in x: f32[x.rows, x.columns], out y: f32[y.rows, y.columns])\n"
    "kernel fill(out y: f32[y.rows, y.columns])\n"
    "kernel add(in x: f32[x.rows, x.columns], inout y: f32[y.rows, "
    "y.columns]) kernel join(in x: f32[x.rows, x.columns], in z: f32[z.rows, z.columns], "
    "inout y: f32[y.rows, y.columns])\n"
    "workload w {\n";

Workload workload_of(const std::string &body) {
    return parse_workload(head + body + "}");
}

/// `subject: text` of each reason of the analysis.
std::vector<std::string> reasons_of(const std::string &body,
                                    const std::vector<LaneRule> &lanes = {}) {
    std::vector<std::string> result;
    for (const Reason &reason : analyse_dependence(workload_of(body), lanes).reasons) {
        result.push_back(reason.subject + ": " + reason.text);
    }
    return result;
}

std::vector<std::string> races_of(const std::string &body) {
    std::vector<std::string> result;
    for (const Reason &race : racing_writes(workload_of(body))) {
        result.push_back(race.str());
    }
    return result;
}

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

TEST(Proofs, IndependentLoop) {
    EXPECT_THAT(reasons_of("parallel i in Dense[8] { task copy(in A[i, 0:64], out B[i, 0:64]) }"),
                ElementsAre("task loop: 8 tasks run untracked in 1 phases",
                            "loop i: independent loop: no iteration touches what another one "
                            "writes"));
}

TEST(Proofs, Chain) {
    const auto reasons =
        reasons_of("parallel i in Dense[63] { task copy(in A[i, 0:64], out A[i + 1, 0:64]) }");
    ASSERT_EQ(reasons.size(), 3U);
    EXPECT_THAT(reasons[1], StartsWith("loop i: chain: each iteration depends on the one before: "
                                       "copy reads A[i, 0:64] ("));
    EXPECT_EQ(reasons[2], "tracking: would not be needed with P.seq over i: it is a chain anyway");
}

TEST(Proofs, WhatRemovesAChainsTrackingDoes) {
    EXPECT_THAT(reasons_of("seq i in Dense[63] { task copy(in A[i, 0:64], out A[i + 1, 0:64]) }"),
                ElementsAre("task loop: 63 tasks run untracked in 1 phases",
                            "loop i: its iterations are ordered by P.seq"));
}

TEST(Proofs, Reduction) {
    const auto reasons =
        reasons_of("parallel k in Dense[63] { task add(in A[k, 0:64], inout B[0, 0:64]) }");
    ASSERT_EQ(reasons.size(), 3U);
    EXPECT_THAT(reasons[1],
                StartsWith("loop k: reduction: each iteration reads and writes what the one before "
                           "wrote: add writes B[0, 0:64] ("));
    EXPECT_EQ(reasons[2],
              "tracking: would not be needed with P.seq over k: it is a reduction, in this order");
}

TEST(Proofs, AReductionInsideAParallelLoopIsABody) {
    const auto summary =
        analyse_dependence(workload_of("parallel i in Dense[8] { parallel k in Dense[8] {\n"
                                       "task add(in A[k, 0:64], inout B[i, 0:64]) } }"));
    EXPECT_EQ(summary.str(), "phase 0\n  nest over i in Dense[8]: 8 iterations of 8 tasks (add)\n");
    EXPECT_THAT(summary.reasons[2].text, StartsWith("reduction: "));
}

TEST(Proofs, Wavefront) {
    const auto reasons = reasons_of("parallel i in Dense[31] { parallel j in Dense[31] {\n"
                                    "task add(in A[i:i + 1, j + 1:j + 2],"
                                    " inout A[i + 1:i + 2, j + 1:j + 2])\n"
                                    "task add(in A[i + 1:i + 2, j:j + 1],"
                                    " inout A[i + 1:i + 2, j + 1:j + 2]) } }");
    ASSERT_EQ(reasons.size(), 4U);
    EXPECT_THAT(reasons[0], StartsWith("task loop: tracked: "));
    EXPECT_THAT(reasons[1], StartsWith("loop i: wavefront with loop j: iterations of one diagonal "
                                       "are independent; the cells of each task are tracked, as "));
    EXPECT_EQ(reasons[3],
              "tracking: would not be needed with one task for each i and j, loops of constant "
              "sizes, and nothing that asks for single tasks: it is a wavefront");
}

/// Loops i and j with what is around them, of one task that reads its neighbours.
std::string wave(const std::string &around, const std::string &up, const std::string &left) {
    return around + " parallel i in Dense[3] { parallel j in Dense[7] { task join(in " + up +
           ", in " + left + ", inout A[8*b + i + 1:8*b + i + 2, j + 1:j + 2]) } } }";
}

TEST(Proofs, AWavefrontOfOneTaskRunsInBlocks) {
    const std::string up = "A[8*b + i:8*b + i + 1, j + 1:j + 2]";
    const std::string left = "A[8*b + i + 1:8*b + i + 2, j:j + 1]";
    const auto summary =
        analyse_dependence(workload_of(wave("parallel b in Dense[2] {", up, left)));
    EXPECT_EQ(summary.str(), "phase 0\n  nest over b in Dense[2], i in Dense[3], j in Dense[7]: 42 "
                             "iterations of 1 tasks (join), a wavefront of the last two\n");
    EXPECT_EQ(summary.reasons[2].text,
              "wavefront with loop j: iterations of one diagonal are independent; blocks "
              "of them run untracked once those before them have");
}

TEST(Proofs, AWavefrontWithABranchIsTracked) {
    const auto summary = analyse_dependence(workload_of(
        "parallel i in Dense[9] { parallel j in Dense[9] { when i + j > 3 { task join(in "
        "A[i:i + 1, j + 1:j + 2], in A[i + 1:i + 2, j:j + 1], inout A[i + 1:i + 2, j + 1:j + 2])"
        " } } }"));
    EXPECT_FALSE(summary.is_static()) << summary.str();
    EXPECT_THAT(summary.reasons[1].text, StartsWith("wavefront with loop j: iterations of one "
                                                    "diagonal are independent; the cells"));
}

TEST(Proofs, WhatIsLostInAWavefrontMustBeCertain) {
    // Nothing is read of the iteration before in loop j.
    const std::string up = "A[8*b + i:8*b + i + 1, j + 1:j + 2]";
    const std::string before = "A[8*b + i:8*b + i + 1, j:j + 1]";
    const auto summary =
        analyse_dependence(workload_of(wave("parallel b in Dense[2] {", up, before)));
    EXPECT_FALSE(summary.is_static()) << summary.str();
}

TEST(Proofs, DependencesThatCrossAreNoWavefront) {
    const auto reasons = reasons_of("parallel i in Dense[31] { parallel j in Dense[31] {\n"
                                    "task add(in A[i:i + 1, j + 1:j + 2],"
                                    " inout A[i + 1:i + 2, j:j + 1]) } }");
    EXPECT_THAT(reasons[1], testing::Not(HasSubstr("wavefront")));
}

TEST(Proofs, WhatIsNotProven) {
    const auto reasons = reasons_of("parallel i in Dense[16] {\n"
                                    "task copy(in A[i, 0:64], out A[15 - i, 0:64]) }");
    ASSERT_EQ(reasons.size(), 3U);
    EXPECT_THAT(reasons[1], StartsWith("loop i: copy reads A[i, 0:64] ("));
    EXPECT_EQ(reasons[2], "tracking: would not be needed with regions that the index of loop i "
                          "keeps apart, or a tensor that the loop only writes");
}

TEST(Proofs, OtherRemedies) {
    const std::string independent =
        "parallel i in Dense[8] { task copy(in A[i, 0:64], out B[i, 0:64]) }";
    EXPECT_EQ(reasons_of(independent, {{"dispatch", {}, 2, false, {}}}).back(),
              "tracking: would not be needed with neither dispatch nor streams");
    EXPECT_EQ(reasons_of("parallel b in Dense[2] { seq s in Dense[3] { parallel i in Dense[8] {\n"
                         "task add(in A[i, 0:64], inout B[b, 0:64]) } } }")
                  .back(),
              "tracking: would not be needed with parallel loops of 64 iterations or more around "
              "loop s");
}

TEST(Races, OneRegionInEveryIteration) {
    EXPECT_THAT(races_of("parallel i in Dense[4] { task copy(in A[0, 0:64], out B[0, 0:64]) }"),
                ElementsAre("workload:6: loop i: race: copy writes B[0, 0:64] (workload:6) in "
                            "iteration i and again in iteration i + 1, and nothing reads it "
                            "between: the later one stays"));
}

TEST(Races, TwoCallsAreBothNamed) {
    EXPECT_THAT(races_of("parallel i in Dense[4] { task fill(out B[i, 0:64])\n"
                         "task copy(in A[0, 0:64], out B[i + 1, 0:64]) }"),
                ElementsAre("workload:7: loop i: race: copy writes B[i + 1, 0:64] (workload:7) "
                            "in iteration i and fill writes B[i, 0:64] (workload:6) in iteration i "
                            "+ 1, and nothing reads it between: the later one stays"));
}

TEST(Races, ARegionOfTwoLoopsIsNamedOnce) {
    EXPECT_EQ(races_of("parallel i in Dense[4] { parallel j in Dense[4] {\n"
                       "task fill(out B[0, 0:64]) } }")
                  .size(),
              1U);
}

TEST(Races, WhatIsMeant) {
    for (const char *body : {
             "parallel i in Dense[4] { task fill(out B[i, 0:64]) }",
             "seq i in Dense[4] { task fill(out B[0, 0:64]) }",
             "parallel i in Dense[1] { task fill(out B[0, 0:64]) }",
             "parallel i in Dense[4] { task add(in A[i, 0:64], inout B[0, 0:64]) }",
             "parallel i in Dense[4] { task copy(in A[i, 0:64], out B[0, 0:64])\n"
             "task copy(in B[0, 0:64], out C[i, 0:64]) }",
         }) {
        EXPECT_THAT(races_of(body), IsEmpty()) << body;
    }
}

}  // namespace
}  // namespace pto::wsp::workload::test
