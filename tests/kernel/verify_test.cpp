#include <functional>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "kernel/random_program.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/error.h"
#include "support/expect_error.h"

namespace pto::wsp::kernel {
namespace {

const char *const sample =
    R"(kernel @k(%x: in tile<4x4xf32>, %n: scalar<i32>, %y: out tile<4x4xf32>) {
  %0 = load %x : tile<4x4xf32>
  %1 = fori_loop %n, %n, %0 do (%2, %3) {
    %4 = exp %3 : tile<4x4xf32>
    yield %4
  }
  store %y, %1
}
)";

// Indices in the sample: values 0 %n, 1 %0, 2 index, 3 argument, 4 exp, 5 loop; nodes 0 load, 1
// exp, 2 fori_loop, 3 store.
void expect_refused(const std::function<void(TileProgram &)> &damage, const std::string &text) {
    TileProgram program = *parse_tile_program(sample);
    verify(program);
    damage(program);
    expect_error<TypeCheckError>([&] { verify(program); }, text);
}

TEST(Verify, RefusesBrokenStructure) {
    expect_refused([](TileProgram &p) { p.blocks.clear(); },
                   "kernel 'k': the root block has arguments or yields, or there is none");
    expect_refused([](TileProgram &p) { p.blocks[0].yields = {1}; },
                   "kernel 'k': the root block has arguments or yields, or there is none");
    expect_refused([](TileProgram &p) { p.nodes[2].block = 0; },
                   "kernel 'k': block 0 is not the body of one loop");
    expect_refused([](TileProgram &p) { p.nodes[2].block = 9; },
                   "kernel 'k': block 9 is not the body of one loop");
    expect_refused([](TileProgram &p) { p.blocks[0].nodes.push_back(0); },
                   "kernel 'k': node 0 is not in one block");
    expect_refused([](TileProgram &p) { p.blocks[0].nodes.push_back(99); },
                   "kernel 'k': node 99 is not in one block");
    expect_refused([](TileProgram &p) { p.blocks[0].nodes.pop_back(); },
                   "kernel 'k': node 3 is in no block");
}

TEST(Verify, RefusesBrokenValues) {
    expect_refused([](TileProgram &p) { p.nodes[3].operands = {77}; },
                   "kernel 'k': store uses value 77, which does not exist");
    expect_refused([](TileProgram &p) { p.nodes[3].operands = {4}; },
                   "kernel 'k': store uses a value that is not made before it, or only in the body "
                   "of a loop");
    expect_refused([](TileProgram &p) { p.nodes[1].results = {1}; },
                   "kernel 'k': value 1 is made twice");
    expect_refused([](TileProgram &p) { p.nodes[1].results = {99}; },
                   "kernel 'k': value 99 does not exist");
    expect_refused([](TileProgram &p) { p.values[1].node = 3; },
                   "kernel 'k': value 1 is made twice");
    expect_refused([](TileProgram &p) { p.values[0].param = 0; },
                   "kernel 'k': value 0 is not the scalar 'x'");
    expect_refused([](TileProgram &p) { p.values[0].param = 9; },
                   "kernel 'k': value 0 is of no parameter");
    expect_refused([](TileProgram &p) { p.nodes[0].results = {}; },
                   "kernel 'k': load has 0 results");
}

TEST(Verify, RefusesBrokenTypes) {
    expect_refused([](TileProgram &p) { p.values[4].type.rows = 5; },
                   "exp gives tile<4x4xf32>, not tile<5x4xf32>");
    expect_refused([](TileProgram &p) { p.values[3].type.dtype = DType::F16; },
                   "exp gives tile<4x4xf16>, not tile<4x4xf32>");
    expect_refused([](TileProgram &p) { p.values[5].type.rows = 5; },
                   "carry 0 of fori_loop gives tile<4x4xf32>, not tile<5x4xf32>");
    expect_refused([](TileProgram &p) { p.values[2].type.dtype = DType::F32; },
                   "fori_loop: the index is Tile[1, 1, F32], expected an i32 scalar");
    expect_refused([](TileProgram &p) { p.nodes[2].operands[0] = 1; },
                   "fori_loop: lo is Tile[4, 4, F32], expected an i32 scalar");
    expect_refused([](TileProgram &p) { p.blocks[1].yields = {}; },
                   "kernel 'k': fori_loop carries 1 values, its body takes 2 and yields 0, and 1 "
                   "result");
    expect_refused([](TileProgram &p) { p.nodes[2].operands = {}; },
                   "kernel 'k': fori_loop has no bounds, or attributes other than its symbol");
    expect_refused([](TileProgram &p) { p.nodes[0].attributes["param"] = 0.5; },
                   "load: 'param' is 0.5, expected the index of a parameter");
    expect_refused([](TileProgram &p) { p.nodes[0].attributes["param"] = int64_t{-1}; },
                   "load: there is no parameter number -1");
    expect_refused([](TileProgram &p) { p.nodes[0].attributes.clear(); },
                   "load: the attribute 'param' is missing");
    expect_refused([](TileProgram &p) { p.params[2].name = "x"; },
                   "kernel 'k': there are two parameters 'x'");
    expect_refused([](TileProgram &p) { p.params[0].type.dtype = DType::F64; },
                   "load gives tile<4x4xf64>, not tile<4x4xf32>");
}

TEST(Verify, KeepsSymbolsOfLoopsInside) {
    auto program = [](const std::string &loop, const std::string &after) {
        return "kernel @k(%x: in tile<8x(M)xf32>, %n: scalar<i32>) {\n"
               "  %0 = load %x : tile<8x(M)xf32>\n"
               "  fori_loop %n, %n as " +
               loop +
               " do (%1) {\n"
               "    %2 = slice %0, %n, %n {columns = [2], rows = [2*I + 1]} : tile<(2*I + "
               "1)x2xf32>\n"
               "    yield\n"
               "  }\n" +
               after + "}\n";
    };
    EXPECT_EQ(parse_tile_program(program("I", ""))->str(), program("I", ""));
    EXPECT_EQ(parse_tile_program(program("I", ""))->symbols(), std::vector<std::string>{"M"});
    EXPECT_EQ(parse_tile_program(program("J", ""))->symbols(),
              (std::vector<std::string>{"I", "M"}));
    expect_error<TypeCheckError>([&] { parse_tile_program(program("M", "")); },
                                 "kernel 'k': \"M\" cannot name the index of a loop, or names two");
    const std::string late =
        "  %3 = slice %0, %n, %n {columns = [2], rows = [I]} : tile<(I)x2xf32>\n";
    expect_error<TypeCheckError>([&] { parse_tile_program(program("I", late)); },
                                 "kernel 'k': I names the index of a loop outside of it");
    const std::string twice = "  fori_loop %n, %n as I do (%4) {\n    yield\n  }\n";
    expect_error<TypeCheckError>([&] { parse_tile_program(program("I", twice)); },
                                 "kernel 'k': \"I\" cannot name the index of a loop, or names two");
}

TEST(Verify, SurvivesDamage) {
    EXPECT_TRUE(rc::check("a damaged program is refused or prints and reads back", [] {
        TileProgram p = *random_program();
        auto index = [](size_t size) { return *rc::gen::inRange(-1, static_cast<int>(size) + 2); };
        auto &node = p.nodes[*rc::gen::inRange<size_t>(0, p.nodes.size())];
        auto &block = p.blocks[*rc::gen::inRange<size_t>(0, p.blocks.size())];
        auto &value = p.values[*rc::gen::inRange<size_t>(0, p.values.size())];
        switch (*rc::gen::inRange(0, 9)) {
        case 0:
            node.op = static_cast<Op>(*rc::gen::inRange(0, op_count));
            break;
        case 1:
            node.operands.push_back(index(p.values.size()));
            break;
        case 2:
            node.results = {index(p.values.size())};
            break;
        case 3:
            node.block = index(p.blocks.size());
            break;
        case 4:
            block.nodes.push_back(index(p.nodes.size()));
            break;
        case 5:
            block.yields.push_back(index(p.values.size()));
            break;
        case 6:
            std::reverse(block.nodes.begin(), block.nodes.end());
            break;
        case 7:
            value.node = index(p.nodes.size());
            break;
        default:
            value.param = index(p.params.size());
        }
        try {
            verify(p);
        } catch (const CompileError &) {
            RC_TAG("refused");
            return;
        }
        RC_ASSERT(parse_tile_program(p.str())->hash() == p.hash());
    }));
}

}  // namespace
}  // namespace pto::wsp::kernel
