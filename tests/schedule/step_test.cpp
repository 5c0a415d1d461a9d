#include "pto/wsp/schedule/step.h"

#include <rapidcheck.h>

#include "support/expect_error.h"

namespace pto::wsp::schedule {
namespace {

KernelSchedule one_of_each() {
    return KernelSchedule()
        .tile("store0", 4, 8)
        .split("matmul0.sum", "k", 16, "k.o", "k.i", Tail::GuardWithIf)
        .reorder("matmul0.sum", {"k.o", "rows", "columns", "k.i"})
        .fuse("exp0", "rows", "columns", "all")
        .vectorize("exp0", "all", 8, Tail::Predicate)
        .vectorize("exp0", "columns")
        .unroll("sub0", "rows", 2, Tail::RoundUp)
        .compute_at("exp0", "store0", "rows.o")
        .compute_root("rowmax0")
        .store_in("exp0", "stack")
        .stage("load0", "matmul0.sum", "root")
        .bound("store0", "columns", 64)
        .rfactor("rowsum0", "k", 8);
}

KernelSchedule parsed(const std::string &text) {
    return KernelSchedule::parse(Json::parse(text), "s.json");
}

std::string refused(const std::string &json, const std::string &text) {
    return expect_error<ScheduleError>([&] { parsed(json); }, text);
}

TEST(Step, JsonOfEachStep) {
    const char *lines[] = {
        R"(["tile","store0",{"columns":8,"rows":4}])",
        R"(["split","matmul0.sum",{"by":16,"dim":"k","inner":"k.i","outer":"k.o","tail":"guard"}])",
        R"(["reorder","matmul0.sum",{"dims":["k.o","rows","columns","k.i"]}])",
        R"(["fuse","exp0",{"inner":"columns","into":"all","outer":"rows"}])",
        R"(["vectorize","exp0",{"by":8,"dim":"all","tail":"predicate"}])",
        R"(["vectorize","exp0",{"dim":"columns"}])",
        R"(["unroll","sub0",{"by":2,"dim":"rows","tail":"round_up"}])",
        R"(["compute_at","exp0",{"consumer":"store0","dim":"rows.o"}])",
        R"(["compute_root","rowmax0"])",
        R"(["store_in","exp0",{"memory":"stack"}])",
        R"(["stage","load0",{"consumer":"matmul0.sum","dim":"root"}])",
        R"(["bound","store0",{"dim":"columns","extent":64}])",
        R"(["rfactor","rowsum0",{"by":8,"dim":"k"}])",
    };
    KernelSchedule schedule = one_of_each();
    ASSERT_EQ(schedule.steps().size(), std::size(lines));
    for (size_t i = 0; i < std::size(lines); ++i) {
        EXPECT_EQ(schedule.steps()[i].json().dump(), lines[i]);
    }
}

TEST(Step, JsonReadsBack) {
    KernelSchedule schedule = one_of_each();
    EXPECT_EQ(parsed(schedule.json().dump()), schedule);
    EXPECT_EQ(parsed("[]"), KernelSchedule());
    EXPECT_EQ(parsed(R"([["compute_root", "exp0", {}]])"), KernelSchedule().compute_root("exp0"));
}

TEST(Step, TextIsOneCallALine) {
    EXPECT_EQ(KernelSchedule()
                  .split("s", "rows", 4, "a", "b", Tail::ShiftInwards)
                  .compute_root("t")
                  .str(),
              "split(\"s\", dim=\"rows\", by=4, outer=\"a\", inner=\"b\", tail=\"shift\")\n"
              "compute_root(\"t\")\n");
}

TEST(Step, NamesOfNoTextAreRefused) {
    const KernelSchedule schedule = KernelSchedule().split("s", "\xff", 4, "a", "b");
    expect_error<IRConversionError>([&] { schedule.str(); },
                                    "json text is utf-8, and a string of 1 bytes is not");
}

TEST(Step, CombinatorsLeaveTheirScheduleAlone) {
    const KernelSchedule empty;
    KernelSchedule one = empty.compute_root("exp0");
    EXPECT_TRUE(empty.steps().empty());
    EXPECT_EQ(one.steps().size(), 1u);
    EXPECT_FALSE(one == one.compute_root("exp0"));
}

TEST(Step, StepsKeepTheLineThatMadeThem) {
    Loc here{"s.cpp", 7};
    EXPECT_EQ(KernelSchedule().compute_root("exp0", here).steps()[0].at.line, 7);
}

TEST(Step, WrongFormsAreRefused) {
    refused(R"({})", "s.json: a schedule is a list of steps");
    for (const char *json : {R"([[]])", R"([["tile"]])", R"([[1, "f"]])", R"([["tile", 1]])",
                             R"([["tile", "f", {}, {}]])", R"(["tile"])", R"([null])"}) {
        refused(json, "s.json: step 0: a step is [\"name\", \"func\", {arguments}]");
    }
    refused(R"([["compute_root", "f"], ["tile", "f", []]])",
            "s.json: step 1: the arguments of a step are an object");
}

TEST(Step, UnknownNamesAreRefusedWithTheKnownOnes) {
    EXPECT_EQ(
        refused(R"([["vectorise", "f", {}]])", "s.json: step 0: there is no step 'vectorise'"),
        "did you mean vectorize");
    EXPECT_EQ(refused(R"([["parallel-for-each", "f", {}]])",
                      "s.json: step 0: there is no step 'parallel-for-each'"),
              "steps: tile, split, reorder, fuse, vectorize, unroll, compute_at, compute_root, "
              "store_in, stage, bound, rfactor");
    EXPECT_EQ(refused(R"([["bound", "f", {"dim": "rows", "size": 3}]])",
                      "s.json: step 0: 'bound' has no argument 'size'"),
              "arguments: dim, extent");
}

TEST(Step, ArgumentsAreTyped) {
    refused(R"([["bound", "f", {"dim": "rows"}]])",
            "s.json: step 0: 'bound' needs the argument 'extent'");
    refused(R"([["bound", "f", {"dim": "rows", "extent": "3"}]])",
            "s.json: step 0: 'extent' is \"3\", not a 64-bit integer");
    refused(R"([["bound", "f", {"dim": "rows", "extent": 3.5}]])",
            "s.json: step 0: 'extent' is 3.5, not a 64-bit integer");
    refused(R"([["bound", "f", {"dim": "rows", "extent": 9223372036854775808}]])",
            "s.json: step 0: 'extent' is 9223372036854775808, not a 64-bit integer");
    refused(R"([["bound", "f", {"dim": 1, "extent": 3}]])",
            "s.json: step 0: 'dim' is 1, not a name");
    refused(R"([["reorder", "f", {"dims": ["rows", 1]}]])",
            "s.json: step 0: 'dims' is [\"rows\",1], not a list of names");
    refused(R"([["reorder", "f", {"dims": "rows"}]])",
            "s.json: step 0: 'dims' is \"rows\", not a list of names");
}

TEST(Step, RandomSchedulesReadBack) {
    EXPECT_TRUE(rc::check("parse(json(schedule)) = schedule", [] {
        KernelSchedule schedule;
        for (int i = *rc::gen::inRange(0, 6); i > 0; --i) {
            auto func = *rc::gen::string<std::string>();
            auto dim = *rc::gen::string<std::string>();
            // JSON holds UTF-8 only.
            std::erase_if(func, [](char c) { return static_cast<unsigned char>(c) > 126; });
            std::erase_if(dim, [](char c) { return static_cast<unsigned char>(c) > 126; });
            auto by = *rc::gen::arbitrary<int64_t>();
            auto tail = static_cast<Tail>(*rc::gen::inRange(0, 5));
            schedule = *rc::gen::arbitrary<bool>()
                           ? schedule.split(func, dim, by, dim + "o", dim + "i", tail)
                           : schedule.reorder(func, {dim, func});
        }
        RC_ASSERT(parsed(schedule.json().dump()) == schedule);
    }));
}

}  // namespace
}  // namespace pto::wsp::schedule
