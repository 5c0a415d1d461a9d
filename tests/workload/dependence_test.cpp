#include "pto/wsp/workload/dependence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/workload/parse.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// Kernels that read x and write y of any extents.
const std::string kernels =
    "kernel copy(in x: f32[x.rows, x.columns], out y: f32[y.rows, y.columns])\n"
    "kernel fill(out y: f32[y.rows, y.columns])\n"
    "kernel add(in x: f32[x.rows, x.columns], inout y: f32[y.rows, y.columns])\n";

DependenceSummary analyse(const std::string &tensors, const std::string &body,
                          const std::vector<LaneRule> &lanes = {}) {
    return analyse_dependence(parse_workload(tensors + kernels + "workload w {\n" + body + "}"),
                              lanes);
}

const std::string square = "tensor A: f32[64, 64] tensor B: f32[64, 64]\n";

TEST(Dependence, IndependentTilesAreOneNest) {
    const auto summary = analyse(square, "parallel i in Dense[8] { parallel j in Dense[4] {\n"
                                         "task copy(in A[8*i:8*i + 8, 16*j:16*j + 16],"
                                         " out B[8*i:8*i + 8, 16*j:16*j + 16]) } }");
    EXPECT_EQ(
        summary.str(),
        "phase 0\n  nest over i in Dense[8], j in Dense[4]: 32 iterations of 1 tasks (copy)\n");
    ASSERT_EQ(summary.reasons.size(), 3U);
    EXPECT_TRUE(summary.reasons[1].happened);
    EXPECT_EQ(summary.reasons[0].text, "32 tasks run untracked in 1 phases");
}

TEST(Dependence, MixedRadixIsIndependent) {
    EXPECT_TRUE(analyse("tensor F: f32[4096]\n",
                        "parallel i in Dense[8] { parallel j in Dense[8] {\n"
                        "task fill(out F[512*i + 64*j:512*i + 64*j + 64]) } }")
                    .is_static());
    EXPECT_FALSE(analyse("tensor F: f32[4097]\n",
                         "parallel i in Dense[8] { parallel j in Dense[8] {\n"
                         "task fill(out F[512*i + 64*j:512*i + 64*j + 65]) } }")
                     .is_static());
}

TEST(Dependence, EvenAndOddPlacesAreDistinct) {
    EXPECT_EQ(analyse(square, "parallel i in Dense[32] {\n"
                              "task copy(in A[2*i, 0:64], out A[2*i + 1, 0:64]) }")
                  .str(),
              "phase 0\n  nest over i in Dense[32]: 32 iterations of 1 tasks (copy)\n");
}

TEST(Dependence, NeighboursAreTrackedAndSaidSo) {
    const auto summary = analyse(square, "parallel i in Dense[63] {\n"
                                         "task copy(in A[i, 0:64], out A[i + 1, 0:64]) }");
    EXPECT_FALSE(summary.is_static());
    EXPECT_EQ(summary.str(), "grid #0 A: 64 cells\n"
                             "site copy over i in Dense[63]\n"
                             "  reads A#0 from i\n"
                             "  writes A#0 from (i + 1)\n");
    EXPECT_THAT(summary.reasons[1].text,
                "chain: each iteration depends on the one before: copy reads A[i, 0:64] "
                "(workload:7) and copy writes A[i + 1, 0:64] (workload:7), "
                "which may share elements");
    EXPECT_FALSE(summary.reasons[1].happened);
}

TEST(Dependence, LaterStatementsThatReadAreASecondPhase) {
    const auto summary = analyse(square, "parallel i in Dense[64] { task fill(out A[i, 0:64]) }\n"
                                         "parallel j in Dense[64] {\n"
                                         "task copy(in A[0:64, j:j + 1], out B[0:64, j:j + 1]) }");
    EXPECT_EQ(summary.str(),
              "phase 0\n  nest over i in Dense[64]: 64 iterations of 1 tasks (fill)\n"
              "phase 1\n  nest over j in Dense[64]: 64 iterations of 1 tasks (copy)\n");
}

TEST(Dependence, IndependentStatementsShareAPhase) {
    const auto summary = analyse(square, "parallel i in Dense[64] { task fill(out A[i, 0:64]) }\n"
                                         "parallel j in Dense[64] { task fill(out B[j, 0:64]) }");
    EXPECT_EQ(std::get<0>(summary.plan).size(), 1U);
    EXPECT_EQ(std::get<0>(summary.plan)[0].size(), 2U);
}

TEST(Dependence, FewIterationsAreDistributedManyAreKept) {
    const auto body = [](int64_t size) {
        return "parallel i in Dense[" + std::to_string(size) +
               "] { task fill(out A[i, 0:64])\n"
               "parallel j in Dense[4] { task copy(in A[i, 16*j:16*j + 16], "
               "out B[i, 16*j:16*j + 16]) } }";
    };
    EXPECT_EQ(
        analyse(square, body(4)).str(),
        "phase 0\n  nest over i in Dense[4]: 4 iterations of 1 tasks (fill)\n"
        "phase 1\n  nest over i in Dense[4], j in Dense[4]: 16 iterations of 1 tasks (copy)\n");
    EXPECT_EQ(analyse(square, body(64)).str(),
              "phase 0\n  nest over i in Dense[64]: 64 iterations of 5 tasks (fill, copy)\n");
}

TEST(Dependence, LoopsAreNotDistributedOverABackwardDependence) {
    const auto summary =
        analyse(square, "parallel i in Dense[63] { task copy(in A[i, 0:64], out B[i, 0:64])\n"
                        "task copy(in B[i, 0:64], out A[i + 1, 0:64]) }");
    EXPECT_FALSE(summary.is_static());
}

TEST(Dependence, SequentialChainsInsideIndependentLoopsAreBodies) {
    EXPECT_EQ(analyse(square, "parallel i in Dense[8] { seq s in Dense[8] {\n"
                              "task add(in B[s, 0:64], inout A[i, 0:64]) } }")
                  .str(),
              "phase 0\n  nest over i in Dense[8]: 8 iterations of 8 tasks (add)\n");
}

TEST(Dependence, SequentialItemsWithParallelWorkAreJoined) {
    const auto summary = analyse(square, "parallel b in Dense[2] { seq s in Dense[3] {\n"
                                         "parallel i in Dense[8] {\n"
                                         "task fill(out A[8*b + i, 0:64]) } } }");
    EXPECT_EQ(summary.str(), "grid #0 A: 16 cells\n"
                             "grid #1 sequence: 2 cells\n"
                             "site fill over b in Dense[2], s in Dense[3], i in Dense[8]\n"
                             "  writes A#0 from ((8 * b) + i)\n"
                             "  reads sequence#1 from b\n"
                             "site join over b in Dense[2], s in Dense[3]\n"
                             "  reads and writes sequence#1 from b\n");
    const auto &program = std::get<TrackedPlan>(summary.plan).program;
    ASSERT_EQ(program.size(), 1U);
    ASSERT_EQ(program[0].body[0].body.size(), 2U);
    EXPECT_EQ(program[0].body[0].body[1].site, 1);
}

TEST(Dependence, SequentialGroupsOfSingleTasksNeedNoJoin) {
    const auto summary = analyse(square, "parallel i in Dense[63] {\n"
                                         "task copy(in A[i, 0:64], out A[i + 1, 0:64]) }\n"
                                         "sequential { task fill(out B[0, 0:64]) "
                                         "parallel j in Dense[2] { task fill(out B[j, 0:64]) }\n"
                                         "task fill(out B[5, 0:64]) }");
    EXPECT_THAT(summary.str(), Not(HasSubstr("join")));
}

TEST(Dependence, PartsOfOneArrayAreTellApart) {
    const std::string columns =
        "tensor X: f32[8, 64] tensor L: f32[8, 32] strides [64, 1] at X + 0\n"
        "tensor R: f32[8, 32] strides [64, 1] at X + 128\n";
    EXPECT_TRUE(analyse(columns, "parallel i in Dense[8] {\n"
                                 "task copy(in L[0:8, 0:32], out R[i, 0:32]) }")
                    .is_static());
    EXPECT_FALSE(analyse(columns, "parallel i in Dense[8] {\n"
                                  "task copy(in X[0:8, 0:33], out R[i, 0:32]) }")
                     .is_static());
}

TEST(Dependence, DistinctPartsOfAWholeShareItsStorage) {
    const auto summary = analyse("tensor X: f32[8, 64] tensor A: f32[64] at X + 0\n"
                                 "tensor B: f32[64] at X + 1024\n",
                                 "task copy(in X[0:8, 0:64], out A[0:64])\n"
                                 "task fill(out B[0:64])");
    EXPECT_EQ(std::get<0>(summary.plan).size(), 2U);
    EXPECT_EQ(summary.memory[2].storage, 0);
}

TEST(Dependence, UnknownOverlapIsOneCell) {
    const auto summary = analyse("tensor X: f32[8, 64] tensor F: f32[100] at X + 0\n",
                                 "parallel i in Dense[8] {\n"
                                 "task copy(in F[i:i + 4], out X[i, 0:64]) }");
    EXPECT_THAT(summary.str(), HasSubstr("grid #0 F, X: 1 cells"));
    EXPECT_THAT(summary.reasons[1].text,
                HasSubstr("(F, X share memory in a way that is not analysed)"));
}

TEST(Dependence, ReadOnlyTensorsAreNotTracked) {
    const auto summary =
        analyse(square, "parallel i in Dense[63] { task copy(in B[0:64, 0:64], out A[i, 0:64])\n"
                        "task add(in A[i, 0:64], inout A[i + 1, 0:64]) }");
    EXPECT_THAT(summary.str(), AllOf(HasSubstr("grid #0 A"), Not(HasSubstr("B#"))));
}

TEST(Dependence, LongHaloBoxesGetLongerCells) {
    const auto summary = analyse("tensor F: f32[4098] tensor G: f32[4098]\n",
                                 "seq s in Dense[2] { parallel i in Dense[64] {\n"
                                 "task copy(in F[64*i:64*i + 66], out G[64*i + 1:64*i + 65]) }\n"
                                 "parallel j in Dense[64] {\n"
                                 "task copy(in G[64*j:64*j + 66], out F[64*j + 1:64*j + 65]) } }");
    EXPECT_THAT(summary.str(), AllOf(HasSubstr("grid #0 F: 66 cells"),
                                     HasSubstr("reads F#0 from i, 2 cells 1 apart")));
}

TEST(Dependence, GridsOfManyDimensionsAreBounded) {
    std::string shape = "3";
    std::string place = "i";
    for (int d = 1; d < 20; ++d) {
        shape += ", 3";
        place += ", j";
    }
    const auto summary =
        analyse("tensor A: f32[" + shape + ", 3, 3]\n",
                "parallel i in Dense[3] { parallel j in Dense[3] {\n"
                "task fill(out A[" +
                    place + ", 0:1, 0:1]) task fill(out A[" + place +
                    ", 0:2, 0:1]) } }\n"
                    "parallel i in Dense[3] { seq j in Dense[3] { parallel k in Dense[2] {\n"
                    "task fill(out A[" +
                    place + ", k:k + 1, 0:3]) } } }");
    ASSERT_FALSE(summary.is_static());
    EXPECT_LE(std::get<TrackedPlan>(summary.plan).grids[0].cells, int64_t{1} << 22);
}

TEST(Pipes, AnIterationWaitsForTheOneThatLeftItsCell) {
    const auto summary = analyse(square, "pipe(2) i in DenseDyn[symbol(n)] as i {\n"
                                         "parallel h in Dense[8] as h {\n"
                                         "task fill(out A[i, 8*h:8*h + 8]) } }");
    EXPECT_EQ(summary.str(), "grid #0 pipe: 2 cells\n"
                             "site fill over i in DenseDyn[symbol(n)], h in Dense[8]\n"
                             "  reads pipe#0 from (i % 2)\n"
                             "site join over i in DenseDyn[symbol(n)]\n"
                             "  reads and writes pipe#0 from (i % 2)\n");
}

TEST(RunTimeSizes, AreProvenIndependentAndRunUntracked) {
    const auto summary = analyse(square, "parallel i in DenseDyn[symbol(n)] as i {\n"
                                         "task copy(in A[i, 0:8], out B[i, 0:8]) }");
    EXPECT_EQ(summary.str(), "phase 0\n"
                             "  nest over i in DenseDyn[symbol(n)]: any number of iterations of 1 "
                             "tasks (copy)\n");
    EXPECT_EQ(summary.reasons[0].text, "all tasks run untracked in 1 phases");
}

TEST(RunTimeSizes, PlacesFromTablesAreTracked) {
    const auto summary =
        analyse(square, "parallel i in Dense[8] as i { let e = load(places, i) as e {\n"
                        "task fill(out A[e, 0:8]) } }");
    ASSERT_FALSE(summary.is_static());
    EXPECT_THAT(summary.str(), HasSubstr("site fill over i in Dense[8], e = load(places, i)\n"
                                         "  writes A#0 from e\n"));
}

TEST(Slots, AreFilledInProgramOrder) {
    const auto summary = analyse(square, "slot 0 = 3 parallel i in Dense[8] as i {\n"
                                         "when slot(0) > i { task fill(out A[i, 0:8]) } }");
    ASSERT_FALSE(summary.is_static());
    EXPECT_EQ(summary.reasons[0].text, "tracked: slots are filled and read in program order");
}

TEST(Lanes, RoundRobinAndKeys) {
    const auto summary =
        analyse(square,
                "parallel b in Dense[4] as b, batch { parallel h in Dense[8] as h, head {\n"
                "task copy(in A[b, 8*h:8*h + 8], out B[b, 8*h:8*h + 8]) } }",
                {{"dispatch", ScalarExpr::parse("batch"), 0, true, {}},
                 {"stream", ScalarExpr::parse("head + 1"), 4, false, {}},
                 {"lane", {}, 3, false, {}}});
    EXPECT_EQ(summary.str(),
              "grid #0 dispatch: 1024 cells\n"
              "grid #1 stream: 4 cells\n"
              "grid #2 lane: 3 cells\n"
              "site copy over b in Dense[4], h in Dense[8], on worker (b % workers$)\n"
              "  reads and writes dispatch#0 from (b % workers$)\n"
              "  reads and writes stream#1 from ((h + 1) % 4)\n"
              "  reads and writes lane#2 from (number$ % 3)\n");
    EXPECT_THAT(summary.reasons[0].text,
                "tracked: tasks have lanes: dispatch by batch, stream by (head + 1), "
                "lane by number of the task");
}

TEST(Lanes, WrongKeys) {
    const auto run = [](const std::string &key) {
        return error_of<ScheduleError>([&] {
            analyse(square, "parallel b in Dense[4] as b { task fill(out A[b, 0:64]) }",
                    {{"dispatch", ScalarExpr::parse(key), 2, false, Loc{"user.py", 12}}});
        });
    };
    EXPECT_THAT(run("c"), HasSubstr("user.py:12: error: unknown axis name \"c\""));
    EXPECT_THAT(run("7 % b"), HasSubstr("user.py:12: error: key (7 % b): the divisor b may be 0"));
}

TEST(Arguments, Overlaps) {
    const auto overlaps = [](const std::string &body) {
        const Workload w = parse_workload(square + kernels + "workload w {" + body + "}");
        std::vector<std::pair<int, int>> result;
        for_each_task(*w.root, [&](const TaskNode &task, const LoopPath &path, const Node &) {
            result = overlapping_arguments(task, path);
        });
        return result;
    };
    EXPECT_TRUE(overlaps("parallel i in Dense[8] { task copy(in A[i, 0:64], out A[i + 1, 0:64]) }")
                    .empty());
    EXPECT_EQ(
        overlaps("parallel i in Dense[8] { task copy(in A[0:4, 0:64], out A[i, 0:64]) }").size(),
        1U);
}

TEST(Binding, KeepsWhatTheAnalysisReliedOn) {
    const auto summary = analyse(square, "parallel i in Dense[8] {\n"
                                         "task copy(in A[i, 0:64], out B[i, 0:64]) }");
    const TensorView a = allocate_tensor({64, 64}, DType::F32);
    const TensorView b = allocate_tensor({64, 64}, DType::F32);
    check_binding(summary, {a, b}, {});
    EXPECT_THAT(
        error_of<TypeCheckError>([&] {
            check_binding(summary, {a, a}, {"user.py", 9});
        }),
        HasSubstr("user.py:9: error: A and B share memory now and did not when the workload was "
                  "compiled"));
    const auto parts =
        analyse("tensor X: f32[8, 64] tensor R: f32[8, 32] strides [64, 1] at X + 128\n",
                "task copy(in X[0:8, 0:32], out R[0:8, 0:32])");
    TensorView x = allocate_tensor({8, 64}, DType::F32);
    TensorView r = x;
    r.shape = {8, 32};
    r.data = static_cast<char *>(x.data) + 128;
    check_binding(parts, {x, r}, {});
    r.data = static_cast<char *>(x.data) + 64;
    EXPECT_THAT(error_of<TypeCheckError>([&] {
                    check_binding(parts, {x, r}, {});
                }),
                HasSubstr("X and R do not share memory in the same way"));
}

}  // namespace
}  // namespace pto::wsp::workload::test
