#include "workload/iteration_needs.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "pto/wsp/workload/parse.h"
#include "workload/static_plan.h"

namespace pto::wsp::workload::test {
namespace {

const char *const declarations = "tensor A: f32[64, 64]\n"
                                 "tensor B: f32[64, 64]\n"
                                 "kernel copy(in x: f32[R, C], out y: f32[R, C])\n"
                                 "symbol n = 5\n"
                                 "workload w {\n";

/// What an iteration of the last of two nests needs of the first.
IterationNeeds needs_of(const std::string &statements) {
    const Workload workload = parse_workload(declarations + statements + "}\n");
    const AccessTable table(*workload.root);
    const StaticPlan plan = plan_static(workload.root, table);
    EXPECT_TRUE(plan.phases) << plan.why_not;
    const StaticNest &last = plan.phases->back().back();
    EXPECT_EQ(last.needs.size(), 1U);
    EXPECT_EQ(last.needs[0].loop, 0);
    return last.needs[0].iterations;
}

/// The iterations out of `mine` that need iteration `lost` out of `of`.
std::vector<int64_t> lost_with(const IterationNeeds &needs, int64_t lost, int64_t of,
                               int64_t mine) {
    const NeedsLost needs_lost = needs({lost}, of, mine);
    std::vector<int64_t> result;
    for (int64_t i = 0; i < mine; ++i) {
        if (needs_lost(i)) {
            result.push_back(i);
        }
    }
    return result;
}

using Iterations = std::vector<int64_t>;

const std::string writes = "parallel i in Dense[8] { parallel j in Dense[4] {\n"
                           "task copy(in B[i, 16*j:16*j + 16], out A[i, 16*j:16*j + 16]) } }\n";

TEST(IterationNeeds, TheOnesThatReadIt) {
    const auto needs =
        needs_of(writes + "parallel j in Dense[4] { parallel i in Dense[8] {\n"
                          "task copy(in A[7 - i, 16*j:16*j + 16], out B[i, 16*j:16*j + 16]) } }\n");
    // (i, j) = (2, 3) is read by (j, i) = (3, 5).
    EXPECT_EQ(lost_with(needs, 2 * 4 + 3, 32, 32), Iterations{3 * 8 + 5});
    const NeedsLost both = needs({0, 31}, 32, 32);
    EXPECT_TRUE(both(7));
    EXPECT_TRUE(both(24));
    EXPECT_FALSE(both(0));
}

TEST(IterationNeeds, LoopsInsideAndHalvesOfATile) {
    EXPECT_EQ(lost_with(needs_of(writes + "parallel i in Dense[64] { seq j in Dense[2] {\n"
                                          "task copy(in A[i, 16*j:16*j + 16], "
                                          "out B[i, 16*j:16*j + 16]) } }\n"),
                        5 * 4 + 1, 32, 64),
              Iterations{5});
    const auto halves = needs_of(writes + "parallel i in Dense[8] { parallel j in Dense[8] {\n"
                                          "task copy(in A[i, 8*j:8*j + 8], "
                                          "out B[i, 8*j:8*j + 8]) } }\n");
    EXPECT_EQ(lost_with(halves, 5 * 4 + 1, 32, 64), (Iterations{5 * 8 + 2, 5 * 8 + 3}));
}

TEST(IterationNeeds, OneSizeThatTheRunDecides) {
    const auto needs = needs_of("parallel i in Dense[8] { parallel j in DenseDyn[symbol(n)] {\n"
                                "task copy(in B[i, j:j + 1], out A[i, j:j + 1]) } }\n"
                                "parallel j in DenseDyn[symbol(n)] { parallel i in Dense[8] {\n"
                                "task copy(in A[i, j:j + 1], out B[i, j:j + 1]) } }\n");
    EXPECT_EQ(lost_with(needs, 2 * 5 + 4, 40, 40), Iterations{4 * 8 + 2});
    EXPECT_EQ(lost_with(needs, 2 * 3 + 1, 24, 24), Iterations{1 * 8 + 2});
}

TEST(IterationNeeds, NothingIsKnownOfSeveralSuchSizes) {
    EXPECT_FALSE(needs_of("parallel i in DenseDyn[symbol(n)] { parallel j in DenseDyn[symbol(n)] {"
                          "task copy(in B[i, j:j + 1], out A[i, j:j + 1]) } }\n"
                          "parallel i in Dense[8] { parallel j in Dense[8] {\n"
                          "task copy(in A[i, j:j + 1], out B[i, j:j + 1]) } }\n"));
}

TEST(IterationNeeds, ASequenceNeedsAll) {
    EXPECT_FALSE(needs_of("sequential {\n" + writes + writes + "}\n"));
}

/// A nest of two loops over tiles of `rows` x `columns`, of which one argument moves as `place`.
struct RandomNest {
    int64_t height = *rc::gen::inRange(1, 6);
    int64_t width = *rc::gen::inRange(1, 6);
    int64_t rows = *rc::gen::inRange(1, 4);
    int64_t columns = *rc::gen::inRange(1, 4);
    bool swaps = *rc::gen::arbitrary<bool>();

    std::string loops() const {
        const std::string first = "parallel i in Dense[" + std::to_string(height) + "] {";
        const std::string second = "parallel j in Dense[" + std::to_string(width) + "] {";
        return swaps ? second + first : first + second;
    }
    std::string region(const std::string &tensor) const {
        const auto along = [](const std::string &id, int64_t size) {
            const std::string from = std::to_string(size) + "*" + id;
            return from + ":" + from + " + " + std::to_string(size);
        };
        return tensor + "[" + along("i", rows) + ", " + along("j", columns) + "]";
    }
    /// Rows and columns of the iteration's tile.
    std::pair<Range, Range> tile(int64_t iteration) const {
        const int64_t i = swaps ? iteration % height : iteration / width;
        const int64_t j = swaps ? iteration / height : iteration % width;
        return {{i * rows, i * rows + rows - 1}, {j * columns, j * columns + columns - 1}};
    }
};

RC_GTEST_PROP(IterationNeeds, AreThoseThatShareElements, ()) {
    const RandomNest a;
    const RandomNest b;
    const auto needs = needs_of(a.loops() + "task copy(in " + a.region("B") + ", out " +
                                a.region("A") + ") } }\n" + b.loops() + "task copy(in " +
                                b.region("A") + ", out " + b.region("B") + ") } }\n");
    const int64_t lost = *rc::gen::inRange<int64_t>(0, a.height * a.width);
    const auto [rows, columns] = a.tile(lost);
    Iterations expected;
    for (int64_t i = 0; i < b.height * b.width; ++i) {
        const auto [own_rows, own_columns] = b.tile(i);
        if (rows.low <= own_rows.high && own_rows.low <= rows.high &&
            columns.low <= own_columns.high && own_columns.low <= columns.high) {
            expected.push_back(i);
        }
    }
    RC_ASSERT(lost_with(needs, lost, a.height * a.width, b.height * b.width) == expected);
}

}  // namespace
}  // namespace pto::wsp::workload::test
