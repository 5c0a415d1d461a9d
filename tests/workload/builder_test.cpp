#include "pto/wsp/workload/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/workload/parse.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

using kernel::Direction;
using testing::AllOf;
using testing::HasSubstr;

const LoopVar &variable_of(const NodePtr &node) {
    return std::get<LoopNode>(node->kind).variable;
}
const NodePtr &body_of(const NodePtr &node) {
    return std::get<LoopNode>(node->kind).body;
}

Axis dense(int64_t size) {
    return {Axis::Kind::Dense, size, "", {}};
}

/// A workload of one loop over `size` with one task of a copy kernel (64 x 32 tiles).
class Copy : public testing::Test {
protected:
    KernelPtr copy = declare("copy", {tile("x", Direction::In, 64, 32), scalar("n", DType::I32),
                                      tile("y", Direction::Out, 64, 32)});
    TensorPtr x = tensor("X", {4, 64, 32});
    TensorPtr y = tensor("Y", {4, 64, 32});
    Builder builder{"w"};
    std::string i = builder.open_loop(false, dense(4), {"i"});

    Region tile_of(const TensorPtr &t, const Affine &place) {
        return index(whole(t, {"user.py", 20}), place, {"user.py", 21});
    }
    Argument good_x() { return arg(tile_of(x, at(i))); }
    Argument good_y() { return arg(tile_of(y, at(i))); }
    std::string refused(std::vector<Argument> arguments, std::vector<ScalarExpr> axes = {}) {
        return error_of<TypeCheckError>([&] {
            builder.task(copy, axes, std::move(arguments), {"user.py", 30});
        });
    }
};

TEST_F(Copy, Fits) {
    builder.task(copy, {var(i)}, {good_x(), arg(var(i)), good_y()});
    builder.task(
        copy, {},
        {arg("y", tile_of(y, at(i))), Argument{"n", 3.0, {}}, arg("x", tile_of(x, at(i)))});
    builder.close();
    EXPECT_EQ(builder.finish().task_count(), 8);
}

TEST_F(Copy, MissingArgument) {
    EXPECT_THAT(refused({good_x(), arg(var(i))}),
                AllOf(HasSubstr("user.py:30: error: copy: argument y is missing"),
                      HasSubstr("user.py:6: note: copy is declared here"),
                      HasSubstr("hint: copy: takes 3 arguments (x, n, y), got 2")));
}

TEST_F(Copy, ExtraArgument) {
    EXPECT_THAT(refused({good_x(), arg(var(i)), good_y(), arg(var(i))}),
                HasSubstr("user.py:30: error: copy: takes 3 arguments (x, n, y), got 4"));
}

TEST_F(Copy, UnknownArgumentName) {
    EXPECT_THAT(refused({good_x(), arg("yy", tile_of(y, at(i)))}),
                AllOf(HasSubstr("user.py:30: error: copy: no parameter is called \"yy\""),
                      HasSubstr("hint: did you mean y? parameters: x, n, y")));
}

TEST_F(Copy, ArgumentTwice) {
    EXPECT_THAT(refused({good_x(), arg("x", tile_of(x, at(i)))}),
                HasSubstr("copy: argument x is given twice"));
}

TEST_F(Copy, WrongDtype) {
    const TensorPtr half = tensor("H", {4, 64, 32}, DType::F16);
    EXPECT_THAT(
        refused({arg(tile_of(half, at(i))), arg(var(i)), good_y()}),
        AllOf(HasSubstr("user.py:21: error: copy: x: expected F32, got F16 of H[i, 0:64, 0:32]"),
              HasSubstr("user.py:3: note: H: f16[4, 64, 32]"),
              HasSubstr("user.py:7: note: x is declared here")));
}

TEST_F(Copy, WrongShape) {
    const TensorPtr wide = tensor("W", {4, 64, 48});
    EXPECT_THAT(refused({arg(tile_of(wide, at(i))), arg(var(i)), good_y()}),
                AllOf(HasSubstr("user.py:21: error: copy: x: expected Tile[64, 32, F32], got W[i, "
                                "0:64, 0:48] of shape [64, 48]"),
                      HasSubstr("hint: take a part, as in W.slice(0, 32)")));
    const TensorPtr small = tensor("S", {4, 50, 32});
    EXPECT_THAT(refused({arg(tile_of(small, at(i))), arg(var(i)), good_y()}),
                HasSubstr("hint: a partial tile is declared, as in .valid(rows=50, cols=32)"));
}

TEST_F(Copy, TooManyDimensions) {
    EXPECT_THAT(refused({arg(whole(x)), arg(var(i)), good_y()}),
                HasSubstr("hint: a tile has two dimensions; index the leading ones, as in X[i]"));
}

TEST_F(Copy, NumberForATileAndTileForANumber) {
    EXPECT_THAT(refused({arg(ScalarExpr(3)), arg(var(i)), good_y()}),
                HasSubstr("copy: x: expected Tile[64, 32, F32], got the number 3"));
    EXPECT_THAT(refused({good_x(), good_x(), good_y()}),
                HasSubstr("copy: n: expected Scalar[I32], got the view X[i, 0:64, 0:32]"));
    EXPECT_THAT(refused({good_x(), Argument{"", 2.5, {}}, good_y()}),
                HasSubstr("copy: n: expected an integer (I32), got 2.5"));
}

TEST_F(Copy, NumbersOutsideOfTheirType) {
    const auto with = [&](const Argument &n) { return refused({good_x(), n, good_y()}); };
    const std::string holds = "I32 holds -2147483648...2147483647";
    EXPECT_THAT(with(arg(ScalarExpr(3000000000))), HasSubstr("copy: n = 3000000000: " + holds));
    EXPECT_THAT(with(Argument{"", -3e9, {}}), HasSubstr("copy: n = -3000000000: " + holds));
    EXPECT_THAT(with(Argument{"", 2.5, {}}),
                HasSubstr("copy: n: expected an integer (I32), got 2.5"));
    EXPECT_THAT(with(arg(ScalarExpr::make(ScalarExpr::Op::Mul, {var(i), 1000000000}))),
                AllOf(HasSubstr("lies in 0...3000000000, but " + holds),
                      HasSubstr("hint: bound it, as in max(min(n, high), low)")));
    const ScalarExpr bounded = ScalarExpr::make(
        ScalarExpr::Op::Min, {ScalarExpr::make(ScalarExpr::Op::Mul, {var(i), 1000000000}), 7});
    builder.task(copy, {}, {good_x(), arg(bounded), good_y()});
}

TEST_F(Copy, NumbersThatMayDivideByZero) {
    using Op = ScalarExpr::Op;
    const auto with = [&](const ScalarExpr &n) { return refused({good_x(), arg(n), good_y()}); };
    EXPECT_THAT(
        with(ScalarExpr::make(Op::FloorDiv, {10, var(i)})),
        AllOf(HasSubstr("copy: n = (10 // i): the divisor i may be 0"),
              HasSubstr("hint: divide by a number or by an expression that is at least 1")));
    EXPECT_THAT(with(ScalarExpr::make(Op::Mod, {ScalarExpr::make(Op::FloorDiv, {1, var(i)}), 3})),
                HasSubstr("the divisor i may be 0"));
    const ScalarExpr positive = ScalarExpr::make(Op::Add, {var(i), 1});
    builder.task(copy, {},
                 {good_x(), arg(ScalarExpr::make(Op::FloorDiv, {10, positive})), good_y()});
}

/// Of `text` with `i` in 0...3 the range that an error shows, or nothing when it fits.
TEST_F(Copy, BitsAndShiftsHaveARange) {
    const auto fits = [&](const std::string &text) {
        builder.task(copy, {}, {good_x(), arg(ScalarExpr::parse(text)), good_y()});
    };
    const auto lies_in = [&](const std::string &text, const std::string &range) {
        EXPECT_THAT(refused({good_x(), arg(ScalarExpr::parse(text)), good_y()}),
                    HasSubstr("lies in " + range + ", but"))
            << text;
    };
    fits("symbol(n) & 1023");
    fits("(i | 12) ^ 5");
    fits("1 << i");
    fits("symbol(n) >> 40 & i");
    lies_in("(i * i & 3) * 1000000000", "0...3000000000");
    lies_in("(i | 4) * 1000000000", "0...7000000000");
    lies_in("(i ^ 1) * 1000000000", "0...3000000000");
    lies_in("1000000000 << i", "1000000000...8000000000");
    lies_in("-1000000000 << i", "-8000000000...-1000000000");
    lies_in("8000000000 >> i", "1000000000...8000000000");
}

TEST_F(Copy, ProductsOfVariablesHaveARange) {
    using Op = ScalarExpr::Op;
    const ScalarExpr square = ScalarExpr::make(Op::Mul, {var(i), var(i)});
    builder.task(copy, {}, {good_x(), arg(square), good_y()});
    EXPECT_THAT(refused({good_x(), arg(ScalarExpr::make(Op::Mul, {square, 1000000000})), good_y()}),
                HasSubstr("lies in 0...9000000000, but I32 holds"));
}

TEST_F(Copy, OffsetsLeaveTheTensor) {
    EXPECT_THAT(
        refused({arg(tile_of(x, at(i) + 1)), arg(var(i)), good_y()}),
        AllOf(HasSubstr("user.py:21: error: copy: x = X[i + 1, 0:64, 0:32]: dimension 0 of X "
                        "reaches index 4, but its extent is 4 (i in Dense[4])"),
              HasSubstr("user.py:3: note: X is made here")));
    EXPECT_THAT(refused({arg(tile_of(x, at(i) * 2)), arg(var(i)), good_y()}),
                HasSubstr("dimension 0 of X reaches index 6, but its extent is 4 (i in Dense[4])"));
    EXPECT_THAT(
        refused({arg(tile_of(x, at(i) - 1)), arg(var(i)), good_y()}),
        HasSubstr("dimension 0 of X starts at -1, before 0; its extent is 4 (i in Dense[4])"));
    EXPECT_THAT(refused({arg(tile_of(x, 4)), arg(var(i)), good_y()}),
                HasSubstr("dimension 0 of X reaches index 4, but its extent is 4"));
}

TEST_F(Copy, OffsetsLeaveTheViewTheyAreTakenOf) {
    const TensorPtr z = tensor("Z", {8, 64, 32});
    const Region half = slice(whole(z), 0, 3);
    EXPECT_THAT(
        refused({arg(index(half, at(i))), arg(var(i)), good_y()}),
        HasSubstr("dimension 0 of the view it is taken of reaches index 3, but its extent is 3"));
}

TEST_F(Copy, NegativeConstantsCountFromTheEnd) {
    EXPECT_EQ(index(whole(x), -1).str(), "X[3, 0:64, 0:32]");
    EXPECT_EQ(slice(index(whole(x), 0), 32, -16).str(), "X[0, 32:48, 0:32]");
}

TEST_F(Copy, VariableOfAnotherLoop) {
    EXPECT_THAT(refused({arg(tile_of(x, at("j"))), arg(var(i)), good_y()}),
                AllOf(HasSubstr("copy: x = X[j, 0:64, 0:32] uses j, which is no variable of a loop "
                                "around this task"),
                      HasSubstr("hint: loops around it: i")));
    EXPECT_THAT(refused({good_x(), arg(var(i)), good_y()}, {var("j")}),
                HasSubstr("copy: subscript j uses j"));
}

TEST_F(Copy, SliceOfUnknownLength) {
    EXPECT_THAT(
        error_of<TypeCheckError>([&] {
            slice(whole(x), at(i), at(i) * 2, {"user.py", 5});
        }),
        HasSubstr("user.py:5: error: slice(i, 2*i) of X[0:4, 0:64, 0:32]: the length i is not "
                  "a constant >= 0"));
}

TEST_F(Copy, BroadcastViewsAreNotWritten) {
    auto flat = std::make_shared<Tensor>(*y);
    flat->view.strides = {0, 0, 1};
    EXPECT_THAT(refused({good_x(), arg(var(i)), arg(tile_of(flat, at(i)))}),
                HasSubstr("cannot be written: the stride of its dimension 1 is 0"));
}

TEST_F(Copy, CollectsErrors) {
    Builder collecting("w", {"user.py", 1}, Builder::OnError::Collect);
    collecting.task(copy, {}, {}, {"user.py", 30});
    const Workload w = collecting.finish();
    ASSERT_EQ(w.type_errors.size(), 1U);
    EXPECT_EQ(w.type_errors[0].text(), "copy: argument x is missing");
    EXPECT_EQ(w.task_count(), 0);
}

TEST(Partial, LastTile) {
    const KernelPtr scale = declare("scale", {tile("x", Direction::InOut, 64, 32)});
    const TensorPtr x = tensor("X", {500, 32});
    Builder builder("w");
    const std::string i = builder.open_loop(false, dense(8), {"i"});
    const Region part = slice(whole(x), at(i) * 64, at(i) * 64 + 64);
    EXPECT_THAT(error_of<TypeCheckError>([&] { builder.task(scale, {}, {arg(part)}); }),
                AllOf(HasSubstr("dimension 0 of X reaches index 511, but its extent is 500"),
                      HasSubstr("hint: a partial last tile is declared with .valid(...)")));
    const auto rows = [&](int64_t total) {
        return ScalarExpr::parse("min(" + std::to_string(total) + " - 64 * i, 64)");
    };
    builder.task(scale, {}, {arg(valid(part, rows(500), std::nullopt))});
    EXPECT_THAT(error_of<TypeCheckError>(
                    [&] { builder.task(scale, {}, {arg(valid(part, rows(501), std::nullopt))}); }),
                HasSubstr("reaches index 500, but its extent is 500"));
    EXPECT_THAT(error_of<TypeCheckError>(
                    [&] { builder.task(scale, {}, {arg(valid(part, rows(440), std::nullopt))}); }),
                HasSubstr("lies in -8...64, allowed is 0...64"));
}

TEST(Symbols, UnifyWithExtents) {
    const KernelPtr k = declare("k", {tile("a", Direction::In, at("N"), 32),
                                      tile("b", Direction::Out, at("N") * 2 + 1, at("M"))});
    const TensorPtr a = tensor("A", {5, 32});
    const TensorPtr b = tensor("B", {11, 7});
    Builder builder("w");
    builder.task(k, {}, {arg(whole(a)), arg(whole(b))});
    const Workload w = builder.finish();
    EXPECT_EQ(task_symbols(std::get<TaskNode>(w.root->kind), {}),
              (std::map<std::string, int64_t>{{"M", 7}, {"N", 5}}));
    Builder other("w");
    EXPECT_THAT(
        error_of<TypeCheckError>([&] {
            other.task(k, {}, {arg(whole(a)), arg(whole(tensor("C", {12, 7}), {"user.py", 9}))});
        }),
        HasSubstr("user.py:9: error: k: b: expected Tile[2*N + 1, M, F32], got C[0:12, 0:7] of "
                  "shape [12, 7]: 2*N + 1, which the other arguments make 11 is not 12"));
}

TEST(Symbols, Undetermined) {
    const KernelPtr k = declare("k", {tile("a", Direction::In, at("N") + at("M"), 32)});
    Builder builder("w");
    EXPECT_THAT(error_of<TypeCheckError>([&] {
                    builder.task(k, {}, {arg(whole(tensor("A", {5, 32})))});
                }),
                HasSubstr("k: a: the arguments do not determine"));
}

TEST(Symbols, ViewOfAnyExtent) {
    const KernelPtr k = declare("k", {tile("a", Direction::In, at("a.rows"), at("a.columns")),
                                      tile("b", Direction::In, at("b.rows"), at("b.columns"))});
    Builder builder("w");
    builder.task(k, {}, {arg(whole(tensor("A", {5, 32}))), arg(whole(tensor("B", {7})))});
    EXPECT_EQ(task_symbols(std::get<TaskNode>(builder.finish().root->kind), {}),
              (std::map<std::string, int64_t>{
                  {"a.columns", 32}, {"a.rows", 5}, {"b.columns", 7}, {"b.rows", 1}}));
}

TEST(LoopNames, Precedence) {
    const KernelPtr k = declare("attn", {});
    Builder builder("w");
    const std::string first = builder.open_loop(false, dense(2), {"h", "heads", "h"});
    const std::string second = builder.open_loop(false, dense(2));
    builder.task(k, {var(first), var(second)}, {});
    builder.close();
    builder.close();
    const std::string third = builder.open_loop(true, dense(2), {"h"});
    builder.close();
    const Workload w = builder.finish();
    EXPECT_EQ(first, "h");
    EXPECT_EQ(second, "h.1");
    EXPECT_EQ(third, "h.2");
    const auto &group = std::get<GroupNode>(w.root->kind);
    EXPECT_FALSE(group.sequential);
    EXPECT_THAT(variable_of(group.children[0]).names, testing::ElementsAre("h", "heads", "b"));
    EXPECT_THAT(variable_of(body_of(group.children[0])).names, testing::ElementsAre("attn"));
    EXPECT_THAT(variable_of(group.children[1]).names, testing::ElementsAre("h", "s"));
}

TEST(Include, GivesVariablesNewIds) {
    const Workload inner = parse_workload("tensor X: f32[4, 8]\n"
                                          "kernel k(in x: f32[1, 8], n: i32)\n"
                                          "workload inner { parallel b in Dense[4] as b {\n"
                                          "task k[b](in X[b, 0:8], b + 1) } }");
    Builder builder("outer");
    builder.include(inner);
    builder.include(inner);
    const Workload w = builder.finish();
    EXPECT_EQ(w.task_count(), 8);
    EXPECT_THAT(w.str(), AllOf(HasSubstr("call inner {\n    parallel b in Dense[4] as b {"),
                               HasSubstr("parallel b.1 in Dense[4] as b {"),
                               HasSubstr("task k[b.1](in X[b.1, 0:8], ")));
}

TEST(Structure, OpenAndClose) {
    Builder builder("w");
    EXPECT_THAT(error_of<CompileError>([&] {
                    builder.close({"user.py", 4});
                }),
                HasSubstr("user.py:4: error: workload w: nothing is open"));
    builder.open_group(true, {"user.py", 5});
    EXPECT_THAT(error_of<CompileError>([&] { builder.finish(); }),
                HasSubstr("user.py:5: error: workload w: 1 loops or groups are still open"));
    EXPECT_THAT(error_of<CompileError>([&] {
                    builder.open_loop(false, dense(-1), {}, {"user.py", 6});
                }),
                HasSubstr("user.py:6: error: axis size is -1, must be >= 0"));
}

}  // namespace
}  // namespace pto::wsp::workload::test
