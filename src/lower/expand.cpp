#include "pto/wsp/lower/expand.h"

#include <functional>

#include <Halide.h>

#include "module_impl.h"
#include "pto/wsp/core/abi.h"
#include "pto/wsp/support/error.h"
#include "tile_func.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Handle;
using Halide::Int;
using Halide::Type;
using workload::GroupNode;
using workload::LoopNode;
using workload::LoopVar;
using workload::Region;
using workload::TaskNode;
using workload::TrackedStep;

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

std::string loop_symbol(int nest) {
    return "loop" + std::to_string(nest);
}

namespace {

/// Longest loop that Halide's 32-bit counters take.
constexpr int64_t longest_loop = int64_t{1} << 30;

Expr i64(int64_t value) {
    return make_const(Int(64), value);
}

Expr variable(const std::string &name) {
    return Variable::make(Int(64), name);
}

Expr word(const std::string &memory, int index) {
    return Load::make(Int(64), memory, index, {}, {}, const_true(), ModulusRemainder());
}

Stmt set_word(const std::string &memory, int index, const Expr &value) {
    return Store::make(memory, value, index, {}, const_true(), ModulusRemainder());
}

Expr affine(const Affine &value) {
    Expr sum = i64(value.constant());
    for (const auto &[name, coefficient] : value.terms()) {
        sum = sum + variable(name) * i64(coefficient);
    }
    return simplify(sum);
}

/// Halide's division leaves a remainder of at least 0; Python's has the divisor's sign.
/// The operands have names, or nested divisions would grow exponentially.
Expr with_names(const Expr &a, const Expr &b,
                const std::function<Expr(const Expr &a, const Expr &b)> &body) {
    if (is_const(b)) {
        Expr named = variable("division.of");
        return Let::make("division.of", a, body(named, b));
    }
    return Let::make(
        "division.of", a,
        Let::make("division.by", b, body(variable("division.of"), variable("division.by"))));
}

Expr floor_div(const Expr &a, const Expr &b) {
    return with_names(a, b, [](const Expr &x, const Expr &by) {
        return is_positive_const(by) ? x / by : select(by < 0 && x % by != 0, x / by - 1, x / by);
    });
}

Expr floor_mod(const Expr &a, const Expr &b) {
    return with_names(a, b, [](const Expr &x, const Expr &by) {
        return is_positive_const(by) ? x % by : select(by < 0 && x % by != 0, x % by + by, x % by);
    });
}

Expr truth(const Expr &condition) {
    return Halide::cast<int64_t>(condition);
}

Expr scalar(const ScalarExpr &value, const Expr &workers) {
    using Op = ScalarExpr::Op;
    if (value.op() == Op::Const) {
        return i64(value.value());
    }
    if (value.op() == Op::Var) {
        return value.name() == workload::workers_variable ? workers : variable(value.name());
    }
    std::vector<Expr> x;
    for (const ScalarExpr &operand : value.operands()) {
        x.push_back(scalar(operand, workers));
    }
    switch (value.op()) {
    case Op::Add:
        return x[0] + x[1];
    case Op::Sub:
        return x[0] - x[1];
    case Op::Mul:
        return x[0] * x[1];
    case Op::FloorDiv:
        return floor_div(x[0], x[1]);
    case Op::Mod:
        return floor_mod(x[0], x[1]);
    case Op::Min:
        return Halide::min(x[0], x[1]);
    case Op::Max:
        return Halide::max(x[0], x[1]);
    case Op::Eq:
        return truth(x[0] == x[1]);
    case Op::Ne:
        return truth(x[0] != x[1]);
    case Op::Lt:
        return truth(x[0] < x[1]);
    case Op::Le:
        return truth(x[0] <= x[1]);
    case Op::Gt:
        return truth(x[0] > x[1]);
    case Op::Ge:
        return truth(x[0] >= x[1]);
    case Op::And:
        return truth(x[0] != 0 && x[1] != 0);
    case Op::Or:
        return truth(x[0] != 0 || x[1] != 0);
    case Op::Not:
        return truth(x[0] == 0);
    case Op::Select:
        return select(x[0] != 0, x[1], x[2]);
    default:
        throw InternalError("expand", "an expression has no code: " + value.str());
    }
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

class LoopWriter {
public:
    explicit LoopWriter(const TaskLoops &loops)
        : loops_(loops), workers_(word("bindings", loops.workers_binding)) {}

    LoweredFunc static_loop(const workload::StaticNest &nest, int number) const {
        Stmt body = statement(*nest.body);
        // Row-major: the last loop runs fastest.
        Expr rest = variable("iteration");
        std::vector<std::pair<std::string, Expr>> lets;
        for (size_t i = nest.loops.size(); i-- > 0;) {
            Expr size = i64(nest.loops[i]->axis.size);
            lets.emplace_back(nest.loops[i]->id, i == 0 ? rest : rest % size);
            rest = rest / size;
        }
        for (const auto &[name, value] : lets) {
            body = LetStmt::make(name, simplify(value), body);
        }
        body = long_loop("iteration", variable("begin"), variable("end"), body);
        return function(loop_symbol(number),
                        {{"bindings", Handle()}, {"begin", Int(64)}, {"end", Int(64)}}, body);
    }

    LoweredFunc expander(const workload::TrackedPlan &plan) const;

private:
    static LoweredFunc function(const std::string &name,
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

    Stmt statement(const workload::Node &node) const {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            return call(*task);
        }
        if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
            return long_loop(loop->variable.id, i64(0), i64(loop->variable.axis.size),
                             statement(*loop->body));
        }
        if (const auto *group = std::get_if<GroupNode>(&node.kind)) {
            std::vector<Stmt> children;
            for (const workload::NodePtr &child : group->children) {
                children.push_back(statement(*child));
            }
            return children.empty() ? Evaluate::make(0) : Block::make(children);
        }
        return statement(*std::get<workload::CallNode>(node.kind).body);
    }

    /// The task's arguments, one a slot, as 64-bit words.
    std::vector<Expr> slots(const TaskNode &task) const {
        std::vector<Expr> result;
        for (size_t a = 0; a < task.arguments.size(); ++a) {
            const workload::TaskArgument &argument = task.arguments[a];
            DType dtype = task.kernel->params[a].type.dtype;
            if (const auto *region = std::get_if<Region>(&argument.value)) {
                add_tile(result, *region);
            } else if (const auto *expr = std::get_if<ScalarExpr>(&argument.value)) {
                result.push_back(scalar_word(dtype, scalar(*expr, workers_)));
            } else if (const auto *large = std::get_if<uint64_t>(&argument.value)) {
                result.push_back(i64(static_cast<int64_t>(*large)));
            } else {
                result.push_back(
                    i64(pto::wsp::scalar_word(dtype, std::get<double>(argument.value))));
            }
        }
        return result;
    }

    void add_tile(std::vector<Expr> &result, const Region &region) const {
        RegionTile tile = region_tile(region);
        Expr base = word("bindings", loops_.bindings.at(region.tensor.get()));
        Affine bytes = tile.offset * size_bytes(region.tensor->view.dtype);
        result.push_back(base + affine(bytes));
        result.push_back(i64(tile.row_stride));
        result.push_back(i64(tile.column_stride));
        result.push_back(valid(region.valid_rows, tile.rows));
        result.push_back(valid(region.valid_columns, tile.columns));
    }

    /// A size that a user computes is kept inside the region, whatever comes out.
    Expr valid(const std::optional<ScalarExpr> &size, int64_t whole) const {
        return size ? Halide::clamp(scalar(*size, workers_), i64(0), i64(whole)) : i64(whole);
    }

    Stmt call(const TaskNode &task) const {
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
        return Evaluate::make(
            Call::make(Int(32), loops_.symbols.at(&task), arguments, Call::Extern));
    }

    static Expr packed(std::vector<Expr> words) {
        if (words.empty()) {
            words.push_back(i64(0));
        }
        return Call::make(Handle(), Call::make_struct, words, Call::Intrinsic);
    }

    Stmt submit(const workload::TrackedPlan &plan, int site) const {
        const workload::TrackedSite &place = plan.sites[static_cast<size_t>(site)];
        std::vector<Expr> cells;
        for (const workload::CellAccess &access : place.accesses) {
            cells.push_back(scalar(access.first, workers_));
        }
        Expr worker =
            place.worker ? Halide::cast<int32_t>(scalar(*place.worker, workers_)) : Expr(-1);
        std::vector<Expr> arguments{
            Variable::make(Handle(), "graph"), site,
            packed(place.task != nullptr ? slots(*place.task) : std::vector<Expr>{}), packed(cells),
            worker};
        return Evaluate::make(Call::make(Int(32), "pto_wsp_submit", arguments, Call::Extern));
    }

    const TaskLoops &loops_;
    Expr workers_;
};

/// The tracked program as places where a task is submitted, and what leads from one to the next.
class Places {
public:
    explicit Places(const workload::TrackedPlan &plan) {
        count_loops(plan.program);
        Stmt done = set_word("frame", 0, i64(-1));
        walk(plan.program, done);
    }

    struct Place {
        int site = 0;
        Stmt advance;
    };
    const std::vector<Place> &places() const { return places_; }
    /// The frame's word that counts `loop`.
    const std::map<const LoopVar *, int> &counters() const { return counters_; }

private:
    void count_loops(const std::vector<TrackedStep> &steps) {
        for (const TrackedStep &step : steps) {
            if (step.loop != nullptr) {
                int word = static_cast<int>(counters_.size()) + 1;
                counters_.emplace(step.loop, word);
                count_loops(step.body);
            }
        }
    }

    /// Numbers the submissions of `steps`; `after` is what follows the last one.
    void walk(const std::vector<TrackedStep> &steps, const Stmt &after) {
        for (size_t i = 0; i < steps.size(); ++i) {
            bool last = i + 1 == steps.size();
            const TrackedStep &step = steps[i];
            // The first submission after this step has the next number once the step is numbered.
            int next = static_cast<int>(places_.size()) + submissions(step);
            Stmt then = last ? after : set_word("frame", 0, i64(next));
            if (step.loop == nullptr) {
                places_.push_back({step.site, then});
                continue;
            }
            int counter = counters_.at(step.loop);
            Expr count = word("frame", counter) + 1;
            auto first = static_cast<int64_t>(places_.size());
            Stmt again = Block::make(set_word("frame", counter, variable("count")),
                                     set_word("frame", 0, i64(first)));
            Stmt leave = Block::make(set_word("frame", counter, i64(0)), then);
            Stmt end = LetStmt::make(
                "count", count,
                IfThenElse::make(variable("count") < i64(step.loop->axis.size), again, leave));
            walk(step.body, end);
        }
    }

    static int submissions(const TrackedStep &step) {
        if (step.loop == nullptr) {
            return 1;
        }
        int count = 0;
        for (const TrackedStep &each : step.body) {
            count += submissions(each);
        }
        return count;
    }

    std::vector<Place> places_;
    std::map<const LoopVar *, int> counters_;
};

LoweredFunc LoopWriter::expander(const workload::TrackedPlan &plan) const {
    Places places(plan);
    // 32 bits wide, because Halide makes a switch of these comparisons and its cases are of 32
    // bits.
    Expr place_number = Variable::make(Int(32), "place");
    Stmt step;
    for (size_t p = places.places().size(); p-- > 0;) {
        const Places::Place &place = places.places()[p];
        Stmt here = Block::make(submit(plan, place.site), place.advance);
        for (const LoopVar *loop : plan.sites[static_cast<size_t>(place.site)].loops) {
            auto counter = places.counters().find(loop);
            if (counter != places.counters().end()) {
                here = LetStmt::make(loop->id, word("frame", counter->second), here);
            }
        }
        step = IfThenElse::make(place_number == static_cast<int>(p), here, step);
    }
    if (!step.defined()) {
        step = set_word("frame", 0, i64(-1));
    }
    step = LetStmt::make("place", Halide::cast<int32_t>(word("frame", 0)), step);
    Stmt body = For::make("submitted", 0, Variable::make(Int(32), "budget"), ForType::Serial,
                          Halide::Partition::Never, Halide::DeviceAPI::None, step);
    return function(
        expand_symbol,
        {{"frame", Handle()}, {"graph", Handle()}, {"bindings", Handle()}, {"budget", Int(32)}},
        body);
}

}  // namespace

int frame_words(const workload::TrackedPlan &plan) {
    return 1 + static_cast<int>(Places(plan).counters().size());
}

void append_task_loops(const Module &module, const TaskLoops &loops) {
    LoopWriter writer(loops);
    Halide::Module &target = module.impl().module;
    if (const auto *plan = std::get_if<workload::TrackedPlan>(&loops.summary->plan)) {
        target.append(writer.expander(*plan));
        return;
    }
    int number = 0;
    for (const workload::StaticPhase &phase :
         std::get<std::vector<workload::StaticPhase>>(loops.summary->plan)) {
        for (const workload::StaticNest &nest : phase) {
            target.append(writer.static_loop(nest, number++));
        }
    }
}

}  // namespace pto::wsp::lower
