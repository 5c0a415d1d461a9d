#include "pto/wsp/schedule/heuristic.h"

#include <gtest/gtest.h>

namespace pto::wsp::schedule {
namespace {

constexpr const char *matmul_text =
    R"(kernel @mm(%a: in tile<256x128xf32>, %b: in tile<128x64xf32>, %y: out tile<256x64xf32>) {
  %0 = load %a : tile<256x128xf32>
  %1 = load %b : tile<128x64xf32>
  %2 = matmul %0, %1 : tile<256x64xf32>
  store %y, %2
}
)";

constexpr const char *rows_text = R"(kernel @rows(%x: in tile<64x48xf32>, %y: out tile<64x48xf32>) {
  %0 = load %x : tile<64x48xf32>
  %1 = rowsum %0 : tile<64x1xf32>
  %2 = sub %0, %1 : tile<64x48xf32>
  store %y, %2
}
)";

KernelSchedule schedule_of(const char *text, const Machine &machine = {},
                           const BlockSizes &blocks = {}) {
    auto program = kernel::parse_tile_program(text);
    return default_schedule(*program, outline(*program), machine, blocks);
}

/// The step of `kind` on `func`; null when there is none.
const Step *find(const KernelSchedule &schedule, StepKind kind, const std::string &func) {
    for (const Step &step : schedule.steps()) {
        if (step.kind == kind && step.func == func) {
            return &step;
        }
    }
    return nullptr;
}

TEST(Heuristic, IsDataThatReadsBack) {
    for (const char *text : {matmul_text, rows_text}) {
        KernelSchedule schedule = schedule_of(text);
        EXPECT_FALSE(schedule.steps().empty());
        EXPECT_EQ(KernelSchedule::parse(Json::parse(schedule.json().dump()), "default"), schedule);
        EXPECT_EQ(schedule, schedule_of(text)) << "the same twice";
    }
}

TEST(Heuristic, NamesOnlyFuncsOfTheOutline) {
    for (const char *text : {matmul_text, rows_text}) {
        auto program = kernel::parse_tile_program(text);
        Outline funcs = outline(*program);
        const KernelSchedule schedule = schedule_of(text);
        for (const Step &step : schedule.steps()) {
            // `f.partial` is what an rfactor of f made.
            std::string made_of = step.func.substr(0, step.func.find(".partial"));
            EXPECT_NE(funcs.find(made_of), nullptr) << step.str();
            EXPECT_TRUE(made_of == step.func ||
                        find(schedule, StepKind::Rfactor, made_of) != nullptr)
                << step.str();
        }
    }
}

TEST(Heuristic, ProductsAndRowSumsAreComputedForABlockAndInVectors) {
    KernelSchedule matmul = schedule_of(matmul_text);
    EXPECT_NE(find(matmul, StepKind::ComputeAt, "matmul0.sum"), nullptr) << matmul.str();
    EXPECT_NE(find(matmul, StepKind::Vectorize, "matmul0.sum"), nullptr) << matmul.str();
    KernelSchedule rows = schedule_of(rows_text);
    EXPECT_NE(find(rows, StepKind::ComputeAt, "rowsum0"), nullptr) << rows.str();
}

TEST(Heuristic, RightOperandsThatMeetOneRowAreNotPacked) {
    auto text = [](const std::string &rows) {
        return "kernel @k(%a: in tile<" + rows +
               "x1024xf32>, %b: in tile<1024x64xf32>, %o: out tile<" + rows +
               "x64xf32>) {\n  %0 = load %a : tile<" + rows +
               "x1024xf32>\n  %1 = load %b : tile<1024x64xf32>\n  %2 = matmul %0, %1 : tile<" +
               rows + "x64xf32>\n  store %o, %2\n}\n";
    };
    EXPECT_EQ(find(schedule_of(text("1").c_str()), StepKind::ComputeRoot, "matmul0.b"), nullptr);
    EXPECT_NE(find(schedule_of(text("2").c_str()), StepKind::ComputeRoot, "matmul0.b"), nullptr);
}

TEST(Heuristic, BlockSizesOfTheUserAreTaken) {
    std::string text = schedule_of(matmul_text, {}, {24, 0, 0}).str();
    EXPECT_NE(text.find("by=24"), std::string::npos) << text;
    EXPECT_FALSE(schedule_of(matmul_text, {}, {0, 32, 0}) ==
                 schedule_of(matmul_text, {}, {0, 8, 0}));
}

TEST(Heuristic, VectorsAreThoseOfTheMachine) {
    Machine wide;
    wide.lanes = 16;
    wide.registers = 32;
    EXPECT_FALSE(schedule_of(matmul_text, wide) == schedule_of(matmul_text));
    EXPECT_NE(schedule_of(rows_text, wide).str().find("by=16"), std::string::npos);
}

std::string sum_of(const std::string &type) {
    return "kernel @sum(%x: in " + type + ", %y: out " + type + ") {\n  %0 = load %x : " + type +
           "\n  %1 = add %0, %0 : " + type + "\n  store %y, %1\n}\n";
}

TEST(Heuristic, VectorsAreFilledWhateverTheType) {
    Machine wide;
    wide.lanes = 16;
    auto lanes = [&](const std::string &type) {
        KernelSchedule schedule = schedule_of(sum_of(type).c_str(), wide);
        const Step *step = find(schedule, StepKind::Vectorize, "store0");
        return step == nullptr ? 1 : std::get<int64_t>(step->arguments.at("by"));
    };
    EXPECT_EQ(lanes("tile<8x192xi8>"), 64);
    EXPECT_EQ(lanes("tile<8x96xf16>"), 32);
    EXPECT_EQ(lanes("tile<8x48xf32>"), 16);
    EXPECT_EQ(lanes("tile<8x24xf64>"), 8);
    // Two vectors where that leaves no tail.
    EXPECT_EQ(lanes("tile<8x256xi8>"), 128);
    EXPECT_EQ(lanes("tile<8x256xf16>"), 64);
    EXPECT_EQ(lanes("tile<8x256xf32>"), 32);
    EXPECT_EQ(lanes("tile<8x256xf64>"), 16);
    // No wider than a row.
    EXPECT_EQ(lanes("tile<8x20xi8>"), 16);
    EXPECT_EQ(lanes("tile<8x8xf32>"), 8);
    EXPECT_EQ(lanes("tile<8x3xf32>"), 1);
}

TEST(Heuristic, RegisterTilesDivideTheColumns) {
    Machine wide;
    wide.lanes = 16;
    wide.registers = 32;
    std::string text =
        R"(kernel @mm(%a: in tile<96x96xf32>, %b: in tile<96x96xf32>, %y: out tile<96x96xf32>) {
  %0 = load %a : tile<96x96xf32>
  %1 = load %b : tile<96x96xf32>
  %2 = matmul %0, %1 : tile<96x96xf32>
  store %y, %2
}
)";
    std::string schedule = schedule_of(text.c_str(), wide).str();
    EXPECT_NE(schedule.find("by=48"), std::string::npos) << schedule;
}

}  // namespace
}  // namespace pto::wsp::schedule
