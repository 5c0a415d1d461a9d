#include "pto/wsp/lower/expand.h"

#include <algorithm>

#include <Halide.h>

#include "module_impl.h"
#include "pto/wsp/core/abi.h"
#include "pto/wsp/support/error.h"
#include "scalar_code.h"
#include "task_code.h"
#include "tile_func.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Handle;
using Halide::Int;
using Halide::Type;
using workload::LoopNode;
using workload::LoopVar;
using workload::Region;
using workload::TaskNode;

RegionTile region_tile(const Region &region) {
    RegionTile tile;
    const TensorView &view = region.tensor->view;
    for (size_t d = 0; d < region.offsets.size(); ++d) {
        tile.offset = tile.offset + region.offsets[d] * view.strides[d];
    }
    size_t kept = region.keep.size();
    if (kept >= 1) {
        auto column = static_cast<size_t>(region.keep[kept - 1]);
        tile.columns = region.extents[column];
        tile.column_stride = view.strides[column];
    }
    if (kept >= 2) {
        auto row = static_cast<size_t>(region.keep[kept - 2]);
        tile.rows = region.extents[row];
        tile.row_stride = view.strides[row];
    }
    return tile;
}

int slot_count(const TaskNode &node) {
    int count = 0;
    for (const kernel::Param &param : node.kernel->params) {
        count += param.kind == kernel::Param::Kind::Tile ? abi::tile_slots : 1;
    }
    return count;
}

bool counts_tasks(const workload::StaticNest &nest) {
    bool counts = !nest.tasks_per_iteration;
    workload::for_each_node(*nest.body, [&](const workload::Node &node, const auto &) {
        const auto *loop = std::get_if<LoopNode>(&node.kind);
        counts = counts || (loop != nullptr && !loop->variable.value);
    });
    return counts;
}

std::string loop_symbol(int nest) {
    return "loop" + std::to_string(nest);
}

std::string process_symbol(int process) {
    return std::string(expand_symbol) + "_process" + std::to_string(process);
}

namespace {

/// Longest loop that Halide's 32-bit counters take.
constexpr int64_t longest_loop = int64_t{1} << 30;

Expr affine(const Affine &value) {
    Expr sum = i64(value.constant());
    for (const auto &[name, coefficient] : value.terms()) {
        sum = sum + variable(name) * i64(coefficient);
    }
    return simplify(sum);
}

/// Halide's own loop for 64-bit extents: pieces of at most `longest_loop`.
Stmt long_loop(const std::string &index, const Expr &begin, const Expr &end, const Stmt &body) {
    Expr piece = Variable::make(Int(32), index + ".piece");
    Expr step = Variable::make(Int(32), index + ".step");
    Expr start = begin + Halide::cast<int64_t>(piece) * i64(longest_loop);
    Stmt inner = LetStmt::make(index, start + Halide::cast<int64_t>(step), body);
    Expr rest = Halide::cast<int32_t>(Halide::min(end - start, i64(longest_loop)));
    inner = For::make(index + ".step", 0, rest, ForType::Serial, Halide::Partition::Never,
                      Halide::DeviceAPI::None, inner);
    Expr pieces = Halide::cast<int32_t>((Halide::max(end - begin, i64(0)) + i64(longest_loop - 1)) /
                                        i64(longest_loop));
    return For::make(index + ".piece", 0, pieces, ForType::Serial, Halide::Partition::Never,
                     Halide::DeviceAPI::None, inner);
}

/// Where a run's words are.
ScalarCode scalar_code(const TaskLoops &loops, int first_slot) {
    ScalarCode code;
    code.loops = &loops;
    code.first_slot = first_slot;
    return code;
}

}  // namespace

LoopWriter::LoopWriter(const TaskLoops &loops, int first_slot)
    : loops_(loops), code_(scalar_code(loops, first_slot)) {}

LoweredFunc LoopWriter::function(const std::string &name,
                                 const std::vector<std::pair<std::string, Type>> &arguments,
                                 const Stmt &body) {
    std::vector<LoweredArgument> lowered;
    lowered.reserve(arguments.size());
    for (const auto &[argument, type] : arguments) {
        lowered.emplace_back(argument, Halide::Argument::InputScalar, type, 0,
                             Halide::ArgumentEstimates{});
    }
    return LoweredFunc(name, lowered, body, Halide::LinkageType::External);
}

LoweredFunc LoopWriter::static_loop(const workload::StaticNest &nest, int number) const {
    counts_tasks_ = counts_tasks(nest);
    Stmt body = statement(*nest.body);
    // Row-major: the last loop runs fastest. What is left for the loops outside has a name of its
    // own, or its code would grow with the square of the number of loops.
    std::string rest = "iteration$";
    std::vector<std::pair<std::string, Expr>> lets;
    std::vector<std::pair<std::string, Expr>> rests;
    std::vector<std::pair<std::string, Expr>> sizes;
    for (size_t i = nest.loops.size(); i-- > 0;) {
        const LoopVar &loop = *nest.loops[i];
        if (loop.value) {
            lets.emplace_back(loop.id, scalar(*loop.value));
            continue;
        }
        Expr size = i64(loop.axis.constant().value_or(0));
        if (!loop.axis.constant()) {
            size = variable(loop.id + ".size");
            sizes.emplace_back(loop.id + ".size", size_of(loop));
        }
        const std::string outside = loop.id + ".outside";
        lets.emplace_back(loop.id, i == 0 ? variable(rest) : variable(rest) % size);
        if (i > 0) {
            rests.emplace_back(outside, variable(rest) / size);
        }
        rest = outside;
    }
    std::ranges::reverse(rests);
    lets.insert(lets.end(), rests.begin(), rests.end());
    for (const auto &[name, value] : lets) {
        body = LetStmt::make(name, value, body);
    }
    body = Block::make(set_word("progress$", 0, variable("iteration$")), body);
    body = long_loop("iteration$", variable("begin"), variable("end"), body);
    body = LetStmt::make("progress$", Call::make(Handle(), "pto_wsp_progress", {}, Call::Extern),
                         body);
    for (const auto &[name, value] : sizes) {
        body = LetStmt::make(name, value, body);
    }
    return function(loop_symbol(number),
                    {{"bindings", Handle()}, {"begin", Int(64)}, {"end", Int(64)}}, body);
}

Expr LoopWriter::size_of(const LoopVar &loop) const {
    return Halide::max(scalar(loop.axis.size), i64(0));
}

Stmt LoopWriter::statement(const workload::Node &node) const {
    if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
        return call(*task);
    }
    if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
        const LoopVar &variable_of = loop->variable;
        Stmt body = statement(*loop->body);
        if (variable_of.value) {
            return LetStmt::make(variable_of.id, scalar(*variable_of.value), body);
        }
        const std::string size = variable_of.id + ".size";
        return LetStmt::make(size, size_of(variable_of),
                             long_loop(variable_of.id, i64(0), variable(size), body));
    }
    if (const auto *branch = std::get_if<workload::BranchNode>(&node.kind)) {
        Stmt result = branch->otherwise != nullptr ? statement(*branch->otherwise) : Stmt();
        for (size_t i = branch->cases.size(); i-- > 0;) {
            result = IfThenElse::make(scalar(branch->cases[i].predicate) != 0,
                                      statement(*branch->cases[i].body), result);
        }
        return result;
    }
    std::vector<Stmt> children;
    workload::for_each_child(
        node, [&](const workload::NodePtr &child) { children.push_back(statement(*child)); });
    return children.empty() ? Evaluate::make(0) : Block::make(children);
}

std::vector<Expr> LoopWriter::slots(const TaskNode &task) const {
    std::vector<Expr> result;
    for (size_t a = 0; a < task.arguments.size(); ++a) {
        const workload::TaskArgument &argument = task.arguments[a];
        DType dtype = task.kernel->params[a].type.dtype;
        if (const auto *region = std::get_if<Region>(&argument.value)) {
            add_tile(result, *region);
        } else if (const auto *expr = std::get_if<ScalarExpr>(&argument.value)) {
            const bool symbol = expr->op() == ScalarExpr::Op::Symbol;
            const auto given =
                symbol ? loops_.run_floats.find({expr->name(), dtype}) : loops_.run_floats.end();
            result.push_back(given != loops_.run_floats.end() ? word("bindings", given->second)
                                                              : scalar_word(dtype, scalar(*expr)));
        } else if (const auto *large = std::get_if<uint64_t>(&argument.value)) {
            result.push_back(i64(static_cast<int64_t>(*large)));
        } else {
            result.push_back(i64(pto::wsp::scalar_word(dtype, std::get<double>(argument.value))));
        }
    }
    return result;
}

Expr LoopWriter::address(const Region &region) const {
    Expr base = word("bindings", loops_.bindings.at(region.tensor.get()));
    return base + affine(region_tile(region).offset * size_bytes(region.tensor->view.dtype));
}

void LoopWriter::add_tile(std::vector<Expr> &result, const Region &region) const {
    RegionTile tile = region_tile(region);
    result.push_back(address(region));
    result.push_back(i64(tile.row_stride));
    result.push_back(i64(tile.column_stride));
    result.push_back(valid(region.valid_rows, tile.rows));
    result.push_back(valid(region.valid_columns, tile.columns));
}

Expr LoopWriter::valid(const std::optional<ScalarExpr> &size, int64_t whole) const {
    return size ? Halide::clamp(scalar(*size), i64(0), i64(whole)) : i64(whole);
}

Stmt LoopWriter::checked(const std::vector<workload::RunTimeCheck> &checks, Stmt then) const {
    for (size_t i = checks.size(); i-- > 0;) {
        const workload::RunTimeCheck &check = checks[i];
        Expr value = variable("checked$");
        Stmt fail = Evaluate::make(
            Call::make(Int(32), "pto_wsp_out_of_range",
                       {StringImm::make(check.at.file), check.at.line, StringImm::make(check.text),
                        value, i64(check.low), i64(check.high)},
                       Call::Extern));
        Stmt test = IfThenElse::make(value < i64(check.low) || value > i64(check.high), fail);
        then = Block::make(LetStmt::make("checked$", scalar(check.value), test), then);
    }
    return then;
}

Stmt LoopWriter::call(const TaskNode &task) const {
    std::vector<Expr> words = slots(task);
    std::vector<Expr> arguments;
    for (const kernel::Param &param : task.kernel->params) {
        bool tile = param.kind == kernel::Param::Kind::Tile;
        for (int i = 0; i < (tile ? abi::tile_slots : 1); ++i) {
            Expr value = words[arguments.size()];
            if (tile) {
                arguments.push_back(i == 0 ? reinterpret(Handle(), value) : value);
            } else {
                arguments.push_back(from_word(inner_type(param.type.dtype), value));
            }
        }
    }
    Stmt run =
        Evaluate::make(Call::make(Int(32), loops_.symbols.at(&task), arguments, Call::Extern));
    if (counts_tasks_) {
        run = Block::make(
            run, Evaluate::make(Call::make(Int(32), "pto_wsp_count_task", {}, Call::Extern)));
    }
    return checked(task.checks, run);
}

namespace {

void check_depth(const ScalarExpr &expr, const Loc &at) {
    if (expr.depth() > max_code_depth) {
        throw CompileError(
            at,
            "an expression is " + std::to_string(expr.depth()) +
                " levels deep, compiled are at most " + std::to_string(max_code_depth),
            {}, "leave a part of it in a slot: slot_set_u64(0, part), then slot_u64(0)");
    }
}

void check_depths(const workload::DependenceSummary &summary) {
    workload::for_each_node(*summary.root, [](const workload::Node &node,
                                              const workload::LoopPath &path) {
        if (path.size() > static_cast<size_t>(max_loop_depth)) {
            throw CompileError(node.at, "loops nest deeper than " + std::to_string(max_loop_depth) +
                                            ", more are not compiled");
        }
        // Of the node's own expressions only: its children are shared.
        workload::Node copy = node;
        workload::for_each_expression(copy,
                                      [&](const ScalarExpr &expr) { check_depth(expr, node.at); });
    });
    if (const auto *plan = std::get_if<workload::TrackedPlan>(&summary.plan)) {
        for (const workload::TrackedSite &site : plan->sites) {
            for (const workload::CellAccess &access : site.accesses) {
                check_depth(access.first, site.at);
            }
        }
    }
}

}  // namespace

void append_task_loops(const Module &module, const TaskLoops &loops) {
    check_depths(*loops.summary);
    Halide::Module &target = module.impl().module;
    if (const auto *plan = std::get_if<workload::TrackedPlan>(&loops.summary->plan)) {
        target.append(expander(*plan, plan->program, expand_symbol, loops));
        for (size_t p = 0; p < plan->processes.size(); ++p) {
            target.append(expander(*plan, plan->processes[p].program,
                                   process_symbol(static_cast<int>(p)), loops));
        }
        return;
    }
    LoopWriter writer(loops, -1);
    int number = 0;
    for (const workload::StaticPhase &phase :
         std::get<std::vector<workload::StaticPhase>>(loops.summary->plan)) {
        for (const workload::StaticNest &nest : phase) {
            target.append(writer.static_loop(nest, number++));
        }
    }
}

}  // namespace pto::wsp::lower
