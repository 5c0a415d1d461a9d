#include "pto/wsp/support/error.h"

#include <gtest/gtest.h>

#include "pto/wsp/support/reason.h"

namespace pto::wsp {
namespace {

TEST(Loc, HereIsTheCallersLine) {
    Loc at = Loc::here();
    EXPECT_EQ(at.line, __LINE__ - 1);
    EXPECT_EQ(at.file, __FILE__);
    EXPECT_TRUE(at.known());
}

TEST(Loc, Text) {
    EXPECT_EQ((Loc{"file.py", 41}).str(), "file.py:41");
    EXPECT_EQ(Loc().str(), "<unknown>");
}

TEST(Error, LocationKindAndText) {
    CompileError e({"file.py", 41}, "matmul: inner dimensions differ: [128, 64] x [256, 64]");
    EXPECT_STREQ(e.what(),
                 "file.py:41: error: matmul: inner dimensions differ: [128, 64] x [256, 64]");
    EXPECT_EQ(e.text(), "matmul: inner dimensions differ: [128, 64] x [256, 64]");
    EXPECT_EQ(e.at(), (Loc{"file.py", 41}));
}

TEST(Error, NotesThenHint) {
    Loc first{"file.py", 38};
    Loc unknown;
    std::vector<Note> notes = {{first, "first made here"}, {unknown, "second is an argument"}};
    TypeCheckError e({"file.py", 41}, "shapes differ", notes, "transpose one of them");
    EXPECT_STREQ(e.what(), "file.py:41: error: shapes differ\n"
                           "file.py:38: note: first made here\n"
                           "note: second is an argument\n"
                           "hint: transpose one of them");
    EXPECT_EQ(e.notes().size(), 2u);
    EXPECT_EQ(e.hint(), "transpose one of them");
}

TEST(Error, WithoutLocation) {
    EXPECT_STREQ(ExecutionError({}, "no memory").what(), "error: no memory");
}

TEST(Error, InternalErrorNamesThePassAndAsksForAReport) {
    InternalError e("fuse-attention", "a node has no user", {"pass.cpp", 7});
    EXPECT_STREQ(e.what(),
                 "pass.cpp:7: error: internal error in fuse-attention: a node has no user\n"
                 "hint: this is a fault of pto_wsp and not of your program: please report it "
                 "together with the program that shows it");
}

TEST(Error, KindsAreCaughtByTheirBase) {
    EXPECT_THROW(throw TypeCheckError({}, "x"), CompileError);
    EXPECT_THROW(throw IRConversionError({}, "x"), CompileError);
    EXPECT_THROW(throw KernelError({}, "x"), ExecutionError);
    EXPECT_THROW(throw ScheduleError({}, "x"), PtoError);
}

TEST(Reason, SaysWhatHappenedAndWhy) {
    Reason refused{"normalise-after-product", false, "the sum has two users", {"file.py", 41}};
    EXPECT_EQ(refused.str(),
              "file.py:41: normalise-after-product: not applied: the sum has two users");
    EXPECT_EQ((Reason{"cache", true, "", {}}).str(), "cache: applied");
}

}  // namespace
}  // namespace pto::wsp
