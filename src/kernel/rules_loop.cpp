#include "rules_patterns.h"

#include <algorithm>

/// Loops. Those of no or of one iteration go, and what each iteration would make anew is made once
/// before the loop. Tiles that are carried for nothing go with other dead code. All of it exact.
namespace pto::wsp::kernel {

using namespace pattern;

namespace {

Pattern loop() {
    return of(Op::ForiLoop, {any("lo"), any("hi")}).as("loop");
}

/// hi - lo, when that is known.
std::optional<double> iterations(const TileGraph &graph, const Match &m) {
    if (m["lo"] == m["hi"]) {
        return 0.0;
    }
    std::optional<double> lo = graph.constant(m["lo"]);
    std::optional<double> hi = graph.constant(m["hi"]);
    return lo && hi ? std::optional<double>(*hi - *lo) : std::nullopt;
}

bool never_runs(const TileGraph &graph, const Match &m) {
    return iterations(graph, m).value_or(1.0) <= 0.0;
}

bool runs_once(const TileGraph &graph, const Match &m) {
    return iterations(graph, m) == 1.0;
}

bool stores_nothing(const TileGraph &graph, const Match &m) {
    return !graph.has_store(m["loop"]);
}

bool has_no_symbol(const TileGraph &graph, const Match &m) {
    return loop_symbol(graph.loop(m["loop"])).empty();
}

Value leave_out(TileRebuild &to, const Match &m) {
    const Node &loop = to.old().loop(m["loop"]);
    std::vector<Value> carries;
    for (size_t c = 2; c < loop.operands.size(); ++c) {
        carries.push_back(to(loop.operands[c]));
    }
    to.give(m["loop"], carries);
    return m.root();
}

Value run_in_line(TileRebuild &to, const Match &m) {
    to.give(m["loop"], to.iterate_once(m["loop"]));
    return m.root();
}

/// Whether every operand is made in a block outside of the root's; blocks are numbered from the
/// outside in, and what an operation can use lies around it.
bool is_invariant(const TileGraph &graph, const Match &m) {
    std::span<const Value> operands = graph.operands(m.root());
    return std::all_of(operands.begin(), operands.end(), [&](Value operand) {
        return graph.block_of(operand) < graph.block_of(m.root());
    });
}

/// Dims that name a loop's index have no value outside of it.
bool has_dims_of_kernel(const TileGraph &graph, const Match &m) {
    const std::vector<std::string> symbols = graph.program()->symbols();
    auto known = [&](const Affine &dim) {
        return std::all_of(dim.terms().begin(), dim.terms().end(), [&](const auto &term) {
            return std::binary_search(symbols.begin(), symbols.end(), term.first);
        });
    };
    const TileType &type = graph.type(m.root());
    return known(type.rows) && known(type.columns);
}

/// A whole scalar costs nothing, and where it is a place, lowering wants to see how it is made.
bool is_no_place(const TileGraph &graph, const Match &m) {
    const TileType &type = graph.type(m.root());
    return !type.is_scalar() || is_float(type.dtype);
}

/// An elementwise operation that spreads its operands would be read back at the cost of making it.
bool spreads_nothing(const TileGraph &graph, const Match &m) {
    const TileType &whole = graph.type(m.root());
    std::span<const Value> operands = graph.operands(m.root());
    return info(static_cast<Op>(graph.op(m.root()))).kind != OpKind::Elementwise ||
           std::any_of(operands.begin(), operands.end(), [&](Value operand) {
               const TileType &type = graph.type(operand);
               return type.rows == whole.rows && type.columns == whole.columns;
           });
}

bool is_worth_hoisting(const OpInfo &row) {
    switch (row.kind) {
    case OpKind::Elementwise:
    case OpKind::Reduction:
    case OpKind::ColumnReduction:
    case OpKind::Matrix:
    case OpKind::RowShape:
    case OpKind::Sorting:
    case OpKind::Composite:
        return true;
    default:
        return row.op == Op::Transpose;
    }
}

void add_hoisting(std::vector<rewrite::Rule> &rules) {
    for (const OpInfo &row : ops()) {
        if (!is_worth_hoisting(row)) {
            continue;
        }
        for (int arity = row.min_arity(); arity <= row.max_arity(); ++arity) {
            rules.push_back(
                TileRule("hoist-invariant",
                         rewrite::op(static_cast<int>(row.op), operands_of(arity, any)))
                    .when("", is_invariant)
                    .when("", is_no_place)
                    .when("its dims name the index of the loop", has_dims_of_kernel)
                    .when("it only spreads what it is made of", spreads_nothing)
                    .to([](TileRebuild &to, const Match &m) { return to.hoisted(m.root()); }));
        }
    }
}

rewrite::Table make_table() {
    std::vector<rewrite::Rule> rules;
    rules.push_back(
        TileRule("drop-loop", loop())
            .when("", never_runs)
            .when("its body has the stores of an output, which must be there", stores_nothing)
            .to(leave_out));
    rules.push_back(TileRule("run-loop-in-line", loop())
                        .when("", runs_once)
                        .when("dims in its body name its index", has_no_symbol)
                        .to(run_in_line));
    add_hoisting(rules);
    return {"loop", std::move(rules)};
}

}  // namespace

const rewrite::Table &loop_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
