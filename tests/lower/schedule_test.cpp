#include <rapidcheck.h>

#include "lower/compiled.h"
#include "pto/wsp/kernel/rules.h"
#include "pto/wsp/schedule/outline.h"
#include "support/expect_error.h"

/// Schedules never change results, and what cannot be applied is refused with its reason.
namespace pto::wsp::lower {
namespace {

using schedule::FuncOutline;
using schedule::KernelSchedule;
using schedule::Tail;

constexpr const char *matmul_text =
    R"(kernel @mm(%a: in tile<33x17xf32>, %b: in tile<17x20xf32>, %y: out tile<33x20xf32>) {
  %0 = load %a : tile<33x17xf32>
  %1 = load %b : tile<17x20xf32>
  %2 = matmul %0, %1 : tile<33x20xf32>
  %3 = relu %2 : tile<33x20xf32>
  store %y, %3
}
)";

constexpr const char *softmax_text =
    R"(kernel @sm(%x: in tile<17x33xf32>, %y: out tile<17x33xf32>) {
  %0 = load %x : tile<17x33xf32>
  %1 = softmax %0 : tile<17x33xf32>
  store %y, %1
}
)";

constexpr const char *attention_text =
    R"(kernel @attn(%q: in tile<33x8xf32>, %k: in tile<20x8xf32>, %v: in tile<20x8xf32>, %o: out tile<33x8xf32>) {
  %0 = load %q : tile<33x8xf32>
  %1 = load %k : tile<20x8xf32>
  %2 = matmul %0, %1 {trans_b = true} : tile<33x20xf32>
  %3 = softmax %2 : tile<33x20xf32>
  %4 = load %v : tile<20x8xf32>
  %5 = matmul %3, %4 : tile<33x8xf32>
  store %o, %5
}
)";

/// x + 1 in place, then a second region that loads it again.
constexpr const char *in_place_text =
    R"(kernel @add(%x: in tile<17x33xf32>, %z: inout tile<17x33xf32>) {
  %0 = load %x : tile<17x33xf32>
  %1 = load %z : tile<17x33xf32>
  %2 = add %0, %1 : tile<17x33xf32>
  store %z, %2
}
)";

constexpr const char *exp_text =
    R"(kernel @exp(%x: in tile<17x33xf32>, %y: out tile<17x33xf32>) {
  %0 = load %x : tile<17x33xf32>
  %1 = exp %0 : tile<17x33xf32>
  store %y, %1
}
)";

KernelOptions with(const KernelSchedule &schedule) {
    KernelOptions options;
    options.schedule = schedule;
    return options;
}

bool same_under(const std::shared_ptr<const kernel::TileProgram> &program,
                const KernelSchedule &schedule) {
    return check_program(program, Data::Ordinary, std::nullopt, 3, with(schedule));
}

/// A random step for one of `funcs`; many are illegal.
KernelSchedule random_schedule(const schedule::Outline &outline) {
    auto choose = [](int low, int high) {
        return *rc::gen::resize(100, rc::gen::inRange(low, high + 1));
    };
    KernelSchedule schedule;
    std::vector<std::string> placed;
    // Consumers first, so that their loops exist when a producer is placed there.
    for (size_t f = outline.funcs.size(); f-- > 0;) {
        const FuncOutline &func = outline.funcs[f];
        if (!func.is_root() && choose(0, 2) != 0) {
            std::vector<std::string> readers;
            for (const FuncOutline &each : outline.funcs) {
                if (std::find(each.reads.begin(), each.reads.end(), func.name) !=
                    each.reads.end()) {
                    readers.push_back(each.name);
                }
            }
            bool has_loops = readers.size() == 1 &&
                             std::find(placed.begin(), placed.end(), readers[0]) != placed.end();
            bool root = choose(0, 9) == 0 ? choose(0, 1) == 0 : !has_loops || choose(0, 1) == 0;
            schedule = root ? schedule.compute_root(func.name)
                            : schedule.compute_at(func.name, readers[0], "rows");
        } else if (!func.is_root()) {
            continue;
        }
        const int factors[] = {1, 2, 3, 4, 8, 16};
        placed.push_back(func.name);
        int by = factors[choose(0, 5)];
        const Tail tails[] = {Tail::Auto, Tail::GuardWithIf, Tail::Predicate};
        Tail tail = tails[choose(0, 2)];
        switch (choose(0, 5)) {
        case 0:
            schedule = schedule.vectorize(func.name, "columns", by, tail);
            break;
        case 1:
            schedule = schedule.split(func.name, "columns", by, "co", "ci", tail)
                           .reorder(func.name, {"co", "rows", "ci"});
            break;
        case 2:
            schedule = schedule.unroll(func.name, "columns", by, tail);
            break;
        case 3:
            schedule = schedule.fuse(func.name, "rows", "columns", "both");
            break;
        case 4:
            schedule = schedule.split(func.name, "columns", by, "co", "ci", tail)
                           .vectorize(func.name, "ci");
            break;
        default:
            break;
        }
        if (func.has_reduction() && choose(0, 1) == 0) {
            schedule = schedule.split(func.name, "k", by, "ko", "ki");
        }
    }
    return schedule;
}

void check_random_schedules(const char *text) {
    auto program = program_of(text);
    auto rewritten = kernel::rewrite_tile_program(*program, nullptr);
    schedule::Outline outline = schedule::outline(*rewritten);
    int applied = 0;
    int refused = 0;
    ASSERT_TRUE(rc::check("scheduled = unscheduled", [&] {
        KernelSchedule schedule = random_schedule(outline);
        try {
            bool same = same_under(program, schedule);
            ++applied;
            if (!same) {
                RC_FAIL(schedule.str());
            }
        } catch (const ScheduleError &error) {
            ++refused;
            // Reasons are ours, not Halide's.
            if (error.text().find("cannot be lowered") != std::string::npos) {
                RC_FAIL(error.text() + "\n" + schedule.str());
            }
        }
    }));
    EXPECT_GT(applied, refused);
}

TEST(Schedule, RandomStepsOnMatmulChangeNothing) {
    check_random_schedules(matmul_text);
}
TEST(Schedule, RandomStepsOnSoftmaxChangeNothing) {
    check_random_schedules(softmax_text);
}
TEST(Schedule, RandomStepsOnAttentionChangeNothing) {
    check_random_schedules(attention_text);
}

TEST(Schedule, EachStepOnMatmulChangesNothing) {
    auto program = program_of(matmul_text);
    KernelSchedule none;
    for (const KernelSchedule &schedule : {
             none,
             none.tile("store0", 4, 8),
             none.split("store0", "rows", 4, "ro", "ri", Tail::Predicate),
             none.split("store0", "rows", 4, "ro", "ri", Tail::ShiftInwards),
             none.split("store0", "columns", 5, "co", "ci", Tail::RoundUp),
             none.compute_root("matmul0.sum").vectorize("matmul0.sum", "columns", 8),
             none.compute_root("matmul0.sum").split("matmul0.sum", "k", 4, "ko", "ki"),
             none.compute_root("matmul0.sum").rfactor("matmul0.sum", "k", 4),
             none.compute_root("matmul0").store_in("matmul0", "heap"),
             none.split("store0", "rows", 8, "ro", "ri").compute_at("matmul0.sum", "store0", "ro"),
             none.compute_at("matmul0.b", "store0", "rows").compute_root("matmul0.sum"),
             none.bound("store0", "rows", 33).unroll("store0", "columns", 4),
             none.fuse("store0", "rows", "columns", "all").vectorize("store0", "all", 8),
             none.compute_root("matmul0.sum").stage("load0", "matmul0.sum", "rows"),
             none.compute_root("matmul0.sum").stage("load0", "matmul0.sum", "root"),
         }) {
        SCOPED_TRACE(schedule.str());
        try {
            same_under(program, schedule);
        } catch (const ScheduleError &error) {
            // compute_at below a root consumer is the one above that must be refused.
            EXPECT_EQ(error.text(),
                      "compute_at(\"matmul0.b\", consumer=\"store0\", "
                      "dim=\"rows\"): 'matmul0.sum' reads it outside of 'store0.rows'");
        }
    }
}

TEST(Schedule, ShiftingTheLastTileOfAResultKeepsIt) {
    // 33 rows are 5 of 8, then 3 of 2; and 11 of 3, then 2 of 6.
    EXPECT_TRUE(same_under(program_of(matmul_text),
                           KernelSchedule()
                               .unroll("store0", "rows", 8)
                               .split("store0", "rows", 2, "ro", "ri", Tail::ShiftInwards)));
    EXPECT_TRUE(same_under(program_of(matmul_text),
                           KernelSchedule()
                               .split("store0", "rows", 3, "ro", "ri", Tail::RoundUp)
                               .split("store0", "ro", 6, "a", "b", Tail::ShiftInwards)));
    EXPECT_TRUE(same_under(program_of(softmax_text),
                           KernelSchedule().vectorize("store0", "columns", 8, Tail::ShiftInwards)));
}

std::string refused(const char *program, const KernelSchedule &schedule, const std::string &text) {
    return expect_error<ScheduleError>([&] { compile_kernel(program_of(program), with(schedule)); },
                                       text);
}

TEST(Schedule, UnknownNamesAreRefusedWithTheKnownOnes) {
    KernelSchedule none;
    EXPECT_EQ(refused(matmul_text, none.compute_root("matmul1"),
                      "compute_root(\"matmul1\"): there is no func 'matmul1' here"),
              "funcs: load0, load1, matmul0, matmul0.b, matmul0.sum, relu0, store0");
    EXPECT_EQ(refused(matmul_text, none.vectorize("store0", "depth", 8),
                      "vectorize(\"store0\", dim=\"depth\", by=8): 'store0' has no loop 'depth'"),
              "loops, outermost first: rows, columns");
    EXPECT_EQ(refused(matmul_text, none.store_in("matmul0.sum", "disk"),
                      "store_in(\"matmul0.sum\", memory=\"disk\"): unknown memory 'disk'"),
              "memories: heap, stack, register");
    EXPECT_EQ(refused(matmul_text,
                      none.then({schedule::StepKind::Vectorize,
                                 "store0",
                                 {{"dim", std::string("columns")},
                                  {"by", int64_t{8}},
                                  {"tail", std::string("maybe")}},
                                 {}}),
                      "vectorize(\"store0\", dim=\"columns\", by=8, tail=\"maybe\"): unknown tail "
                      "'maybe'"),
              "tails: auto, guard, round_up, shift, predicate");
}

TEST(Schedule, PlacesWhereAFuncIsNotReadAreRefused) {
    KernelSchedule none;
    refused(matmul_text, none.compute_at("relu0", "matmul0", "rows"),
            "compute_at(\"relu0\", consumer=\"matmul0\", dim=\"rows\"): 'matmul0' does not read "
            "'relu0'");
    EXPECT_EQ(refused(matmul_text, none.compute_root("store0"),
                      "compute_root(\"store0\"): 'store0' writes the kernel's result; it is always "
                      "at the root"),
              "");
}

TEST(Schedule, PlacesAreJudgedAfterTheLastStep) {
    KernelSchedule none;
    EXPECT_EQ(refused(matmul_text, none.compute_at("matmul0", "relu0", "rows"),
                      "compute_at(\"matmul0\", consumer=\"relu0\", dim=\"rows\"): 'relu0' has no "
                      "loops: it is computed where it is used"),
              "place 'relu0' by compute_root or compute_at");
    refused(matmul_text,
            none.split("store0", "rows", 8, "ro", "ri")
                .compute_at("matmul0.sum", "store0", "ro")
                .compute_at("matmul0.b", "store0", "ri"),
            "compute_at(\"matmul0.b\", consumer=\"store0\", dim=\"ri\"): 'matmul0.sum' reads it "
            "outside of 'store0.ri'");
    refused(
        matmul_text,
        none.compute_at("relu0", "store0", "rows").split("store0", "rows", 8, "ro", "ri"),
        "compute_at(\"relu0\", consumer=\"store0\", dim=\"rows\"): 'store0' has no loop 'rows'");
    EXPECT_TRUE(same_under(
        program_of(matmul_text),
        none.compute_at("relu0", "store0", "columns").vectorize("store0", "columns", 8)));
}

TEST(Schedule, StagedCopiesHavePlacesLikeOthers) {
    KernelSchedule none;
    EXPECT_TRUE(same_under(program_of(exp_text), none.stage("exp0", "store0", "rows")
                                                     .compute_at("exp0", "exp0.staged", "rows")
                                                     .compute_at("load0", "store0", "rows")));
    refused(exp_text, none.stage("exp0", "store0", "rows").split("store0", "rows", 4, "ro", "ri"),
            "stage(\"exp0\", consumer=\"store0\", dim=\"rows\"): 'store0' has no loop 'rows'");
}

TEST(Schedule, NamesOfLoopsAreNames) {
    refused(matmul_text, KernelSchedule().split("store0", "rows", 4, "a b", "c"),
            "split(\"store0\", dim=\"rows\", by=4, outer=\"a b\", inner=\"c\"): \"a b\" is no name "
            "of a loop");
    refused(matmul_text, KernelSchedule().vectorize("store0", "rows", (int64_t{1} << 32) + 1),
            "vectorize(\"store0\", dim=\"rows\", by=4294967297): 'by' is 4294967297, more than "
            "1048576");
}

TEST(Schedule, TailsThatLeaveOrRepeatAResultAreRefused) {
    KernelSchedule none;
    EXPECT_EQ(refused(matmul_text, none.vectorize("store0", "columns", 8, Tail::RoundUp),
                      "vectorize(\"store0\", dim=\"columns\", by=8, tail=\"round_up\"): rounding "
                      "columns up to a multiple of 8 would leave 'store0'"),
              "tails that fit: guard, predicate");
    // What is left of 33 rows outside of the unrolled ones is 5 iterations, under the name of all.
    refused(
        matmul_text,
        none.unroll("store0", "rows", 8).split("store0", "rows", 6, "ro", "ri", Tail::ShiftInwards),
        "split(\"store0\", dim=\"rows\", by=6, outer=\"ro\", inner=\"ri\", tail=\"shift\"): "
        "shifting "
        "the last tile of rows needs an extent of at least 6 and data that is not updated in "
        "place");
    refused(matmul_text,
            none.unroll("store0", "rows", 3, Tail::RoundUp)
                .split("store0", "rows", 3, "ro", "ri", Tail::RoundUp),
            "split(\"store0\", dim=\"rows\", by=3, outer=\"ro\", inner=\"ri\", tail=\"round_up\"): "
            "rounding rows up to a multiple of "
            "3 would leave 'store0'");
    refused(matmul_text,
            none.split("store0", "rows", 11, "ro", "ri", Tail::RoundUp)
                .fuse("store0", "ri", "columns", "rows")
                .split("store0", "rows", 33, "a", "b", Tail::RoundUp),
            "split(\"store0\", dim=\"rows\", by=33, outer=\"a\", inner=\"b\", tail=\"round_up\"): "
            "rounding rows up to a multiple of "
            "33 would leave 'store0'");
    EXPECT_EQ(refused(in_place_text, none.vectorize("store0", "columns", 8, Tail::ShiftInwards),
                      "vectorize(\"store0\", dim=\"columns\", by=8, tail=\"shift\"): shifting the "
                      "last tile of columns needs an extent of at least 8 and data that is not "
                      "updated in place"),
              "tails that fit: guard, predicate");
}

TEST(Schedule, FactorsBoundsAndReductionsAreChecked) {
    KernelSchedule none;
    refused(matmul_text, none.split("store0", "rows", 0, "a", "b"),
            "split(\"store0\", dim=\"rows\", by=0, outer=\"a\", inner=\"b\"): 'by' is 0, not at "
            "least 1");
    EXPECT_EQ(refused(matmul_text, none.bound("store0", "rows", 32),
                      "bound(\"store0\", dim=\"rows\", extent=32): rows of 'store0' cannot be "
                      "proven to be 32"),
              "its size is 33");
    EXPECT_EQ(refused(matmul_text, none.rfactor("matmul0.sum", "columns", 4),
                      "rfactor(\"matmul0.sum\", dim=\"columns\", by=4): 'columns' is not a "
                      "reduction"),
              "reductions have the dim k");
    refused(matmul_text, none.split("store0", "rows", 4, "columns", "b"),
            "split(\"store0\", dim=\"rows\", by=4, outer=\"columns\", inner=\"b\"): 'store0' "
            "already has a loop 'columns'");
    refused(matmul_text, none.split("store0", "rows", 4, "a", "a"),
            "split(\"store0\", dim=\"rows\", by=4, outer=\"a\", inner=\"a\"): 'outer' and 'inner' "
            "are both 'a'");
    refused(matmul_text, none.reorder("store0", {"rows", "rows"}),
            "reorder(\"store0\", dims=[\"rows\",\"rows\"]): a loop is named twice");
    EXPECT_EQ(refused(matmul_text, none.fuse("store0", "columns", "rows", "all"),
                      "fuse(\"store0\", outer=\"columns\", inner=\"rows\", into=\"all\"): only a "
                      "loop and the one right inside it, of one kind, can be fused"),
              "loops, outermost first: rows, columns");
}

TEST(Schedule, DefaultScheduleGivenBackIsTheSame) {
    for (const char *text : {matmul_text, softmax_text, attention_text, in_place_text}) {
        auto program = program_of(text);
        KernelSchedule given = compile_kernel(program).schedule();
        EXPECT_FALSE(given.steps().empty());
        KernelSchedule parsed = KernelSchedule::parse(Json::parse(given.json().dump()), "given");
        EXPECT_EQ(parsed, given);
        Random random(5);
        PlacedArguments first(*program, Data::Ordinary, random,
                              [](size_t) { return Placement::Contiguous; });
        random.seed(5);
        PlacedArguments second(*program, Data::Ordinary, random,
                               [](size_t) { return Placement::Contiguous; });
        compile_kernel(program)(first.arguments);
        compile_kernel(program, with(parsed))(second.arguments);
        EXPECT_EQ(difference(std::get<TensorView>(first.arguments.back()),
                             std::get<TensorView>(second.arguments.back()), exact()),
                  "");
    }
}

TEST(Schedule, ProbesForNaNStandWhereTheirValueIsRead) {
    constexpr const char *text = R"(kernel @top(%x: in tile<17x33xf32>, %y: out tile<17x33xf32>) {
  %0 = load %x : tile<17x33xf32>
  %1 = rowmax %0 : tile<17x1xf32>
  %2 = sub %0, %1 : tile<17x33xf32>
  store %y, %2
}
)";
    KernelSchedule none;
    EXPECT_TRUE(same_under(
        program_of(text),
        none.compute_at("rowmax0", "store0", "rows").compute_at("rowmax0.nan", "store0", "rows")));
    EXPECT_TRUE(
        same_under(program_of(text), none.compute_root("rowmax0").compute_root("rowmax0.nan")));
    EXPECT_EQ(refused(text,
                      none.compute_root("rowmax0").compute_at("rowmax0.nan", "rowmax0", "rows"),
                      "compute_at(\"rowmax0.nan\", consumer=\"rowmax0\", dim=\"rows\"): 'rowmax0' "
                      "does not read 'rowmax0.nan'"),
              "legal: store0.rows, store0.columns, sub0.rows, sub0.columns");
}

TEST(Schedule, StepsOfAnotherRegionAreNotForThisOne) {
    constexpr const char *text = R"(kernel @two(%x: in tile<17x33xf32>, %z: inout tile<17x33xf32>) {
  %0 = load %x : tile<17x33xf32>
  %1 = exp %0 : tile<17x33xf32>
  store %z, %1
  %2 = load %z : tile<17x33xf32>
  %3 = rowsum %2 : tile<17x1xf32>
  %4 = mul %0, %3 : tile<17x33xf32>
  store %z, %4
}
)";
    KernelSchedule none;
    EXPECT_TRUE(same_under(
        program_of(text),
        none.vectorize("store0", "columns", 8).compute_at("rowsum0", "mul0.out", "rows")));
    refused(text, none.compute_at("exp0", "store1", "rows"),
            "compute_at(\"exp0\", consumer=\"store1\", dim=\"rows\"): there is no func 'store1' "
            "here");
    refused(text, none.compute_root("store2"),
            "compute_root(\"store2\"): there is no func 'store2' here");
}

TEST(Schedule, BlockSizesOnlyChangeTheOrder) {
    KernelOptions options;
    options.block_m = 5;
    options.block_n = 16;
    options.block_k = 3;
    for (const char *text : {matmul_text, attention_text}) {
        EXPECT_TRUE(check_program(program_of(text), Data::Ordinary, std::nullopt, 7, options));
    }
}

TEST(LoopNest, ShowsLoopsUnderTheNamesOfSteps) {
    std::string text = compile_kernel(program_of(matmul_text),
                                      with(KernelSchedule()
                                               .split("store0", "rows", 8, "block", "row")
                                               .compute_at("matmul0.sum", "store0", "block")))
                           .loop_nest();
    for (const char *expected :
         {"produce store0", "for rows.block", "produce matmul0_sum", "for rows.row"}) {
        EXPECT_NE(text.find(expected), std::string::npos) << expected << " in\n" << text;
    }
    EXPECT_LT(text.find("for rows.block"), text.find("produce matmul0_sum"));
}

}  // namespace
}  // namespace pto::wsp::lower
