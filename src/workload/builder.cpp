#include "pto/wsp/workload/builder.h"

#include <algorithm>
#include <set>
#include <utility>

#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/workload/nets.h"
#include "workload/builder_state.h"
#include "workload/check_task.h"
#include "workload/node_visit.h"
#include "workload/renamer.h"
#include "workload/structure.h"

namespace pto::wsp::workload {

namespace {

/// Moves the `when`s at the end of `statements` into the branch that an `otherwise` ends.
void take_chain(std::vector<NodePtr> &statements, BranchNode &branch) {
    while (!statements.empty()) {
        const auto *when = std::get_if<BranchNode>(&statements.back()->kind);
        if (when == nullptr || when->otherwise != nullptr) {
            return;
        }
        branch.cases.insert(branch.cases.begin(), when->cases.begin(), when->cases.end());
        statements.pop_back();
    }
}

}  // namespace

Builder::Builder(std::string name, Loc at, OnError on_error) : impl_(std::make_unique<Impl>()) {
    impl_->name = std::move(name);
    impl_->at = at;
    impl_->on_error = on_error;
    impl_->frames.push_back({GroupNode{}, {}, "", std::move(at)});
}

Builder::~Builder() = default;
Builder::Builder(Builder &&) noexcept = default;
Builder &Builder::operator=(Builder &&) noexcept = default;

std::string Builder::open_loop(Order order, Axis axis, std::vector<std::string> names, Loc at) {
    impl_->check_axis(axis, order, at);
    LoopNode loop;
    loop.sequential = order.sequential;
    loop.depth = order.depth;
    loop.variable.axis = std::move(axis);
    return impl_->open(std::move(loop), std::move(names), std::move(at));
}

std::string Builder::open_selected(Axis axis, const std::string &table, ScalarExpr first,
                                   std::vector<std::string> names, Loc at) {
    impl_->check_scope(first, "the first place", at);
    const std::string place = impl_->open_counter({}, std::move(axis), "place", at);
    return impl_->open_value(
        ScalarExpr::load(table, ScalarExpr::make(ScalarExpr::Op::Add,
                                                 {std::move(first), ScalarExpr::variable(place)})),
        std::move(names), std::move(at));
}

Builder::RangeVariable Builder::open_range(Order order, Axis axis, const Affine &start,
                                           int64_t step, std::vector<std::string> names, Loc at) {
    impl_->check_scope(ScalarExpr::from(start), "the start", at);
    const std::string count = impl_->open_counter(order, std::move(axis), "count", at);
    Affine value = start + Affine::variable(count, step);
    std::string id = impl_->open_value(ScalarExpr::from(value), std::move(names), std::move(at));
    return {std::move(id), std::move(value)};
}

void Builder::open_when(ScalarExpr predicate, Loc at) {
    if (predicate.op() == ScalarExpr::Op::BitXor && predicate.operands()[1] == ScalarExpr(-1)) {
        throw CompileError(at, "P.when: " + shown(predicate) + " inverts bits and is 0 only for -1",
                           {}, "write x == 0, which is true where x is 0");
    }
    impl_->check_scope(predicate, "the predicate", at);
    impl_->open(BranchNode{{{std::move(predicate), nullptr}}, nullptr}, at);
}

void Builder::open_otherwise(Loc at) {
    const std::vector<NodePtr> &before = impl_->frames.back().statements;
    const auto *when = before.empty() ? nullptr : std::get_if<BranchNode>(&before.back()->kind);
    if (when == nullptr || when->otherwise != nullptr) {
        throw CompileError(at, "P.otherwise: there is no P.when right before it", {},
                           "with P.when(condition): ... then with P.otherwise(): ...");
    }
    impl_->open(BranchNode{}, at);
}

Affine Builder::index_of(const ScalarExpr &expr, const Loc &at) {
    using Op = ScalarExpr::Op;
    const ScalarExpr::AffineForms forms = expr.affine_forms();
    Affine index;
    std::vector<std::pair<const ScalarExpr *, Affine>> pending{{&expr, 1}};
    while (!pending.empty()) {
        const auto [part, factor] = pending.back();
        pending.pop_back();
        const std::vector<ScalarExpr> &x = part->operands();
        const auto times = [&by = factor](const ScalarExpr &constant) {
            return by * constant.value();
        };
        if (const auto &form = forms.at(part->identity())) {
            index = index + *form * factor.constant();
        } else if (part->op() == Op::Add || part->op() == Op::Sub) {
            pending.emplace_back(&x[1], part->op() == Op::Add ? factor : factor * -1);
            pending.emplace_back(&x[0], factor);
        } else if (part->op() == Op::Mul && x[0].op() == Op::Const) {
            pending.emplace_back(&x[1], times(x[0]));
        } else if (part->op() == Op::Mul && x[1].op() == Op::Const) {
            pending.emplace_back(&x[0], times(x[1]));
        } else {
            index = index + impl_->value_variable(*part, at) * factor.constant();
        }
    }
    return index;
}

ScalarExpr Builder::expression_of(const Affine &index) const {
    ScalarExpr result = ScalarExpr::from(index);
    const auto definitions = impl_->definitions_of(result.variables());
    for (size_t i = definitions.size(); i-- > 0;) {
        result = result.substitute({{definitions[i]->id, *definitions[i]->value}});
    }
    return result;
}

void Builder::open_group(bool sequential, Loc at) {
    impl_->open(GroupNode{sequential, {}}, at);
}

void Builder::open_scope(Loc at) {
    impl_->frames.push_back({GroupNode{false, {}}, {}, "", std::move(at)});
    impl_->frames.back().is_scope = true;
}

void Builder::open_call(std::string name, Loc at) {
    impl_->open(CallNode{std::move(name), nullptr}, at);
}

void Builder::close(Loc at) {
    if (impl_->frames.size() <= 1) {
        throw CompileError(at, "workload " + impl_->name + ": nothing is open");
    }
    Impl::Frame &frame = impl_->frames.back();
    if (std::holds_alternative<SendNode>(frame.kind) && frame.statements.empty()) {
        impl_->frames.pop_back();
        return;
    }
    if (auto *loop = std::get_if<LoopNode>(&frame.kind); loop != nullptr && !frame.letter.empty()) {
        impl_->add_name(loop->variable, frame.letter);
    }
    auto kind =
        std::visit(Overloaded{
                       [&](LoopNode &loop) -> decltype(Node::kind) {
                           loop.body = body_of(std::move(frame.statements), frame.at);
                           return std::move(loop);
                       },
                       [&](GroupNode &group) -> decltype(Node::kind) {
                           group.children = std::move(frame.statements);
                           return std::move(group);
                       },
                       [&](CallNode &call) -> decltype(Node::kind) {
                           call.body = body_of(std::move(frame.statements), frame.at);
                           return std::move(call);
                       },
                       [&](SendNode &send) -> decltype(Node::kind) {
                           const bool one = frame.statements.size() == 1;
                           send.body = sent_call(one ? frame.statements[0] : nullptr, frame.at);
                           return std::move(send);
                       },
                       [&](ConsumeNode &consume) -> decltype(Node::kind) {
                           consume.body = body_of(std::move(frame.statements), frame.at);
                           return std::move(consume);
                       },
                       [&](NetNode &net) -> decltype(Node::kind) {
                           net.processes.front().body =
                               body_of(std::move(frame.statements), frame.at);
                           return std::move(net);
                       },
                       [&](BranchNode &branch) -> decltype(Node::kind) {
                           NodePtr body = body_of(std::move(frame.statements), frame.at);
                           (branch.cases.empty() ? branch.otherwise : branch.cases.front().body) =
                               std::move(body);
                           return std::move(branch);
                       },
                   },
                   frame.kind);
    const bool with_outer = frame.with_outer;
    const bool is_scope = frame.is_scope;
    const Loc opened = frame.at;
    impl_->frames.pop_back();
    if (auto *net = std::get_if<NetNode>(&kind)) {
        impl_->add_net(std::move(*net), opened);
        return;
    }
    if (auto *branch = std::get_if<BranchNode>(&kind); branch != nullptr && branch->cases.empty()) {
        take_chain(impl_->frames.back().statements, *branch);
    }
    auto node = std::make_shared<const Node>(Node{std::move(kind), opened});
    if (is_scope && has_channels(*node)) {
        impl_->refuse_net("P.pipe() with processes", opened);
    }
    impl_->add(std::move(node));
    if (with_outer) {
        close(std::move(at));
    }
}

size_t Builder::statements() const {
    return impl_->frames.back().statements.size();
}

void Builder::gather(const std::vector<size_t> &numbers, bool sequential, Loc at) {
    std::vector<NodePtr> &statements = impl_->frames.back().statements;
    GroupNode group{sequential, {}};
    for (const size_t number : numbers) {
        if (number >= statements.size() || statements[number] == nullptr) {
            throw CompileError(at, "a part of the group is no statement of this body");
        }
        group.children.push_back(std::exchange(statements[number], nullptr));
    }
    auto node = std::make_shared<const Node>(Node{std::move(group), std::move(at)});
    if (numbers.empty()) {
        statements.push_back(std::move(node));
        return;
    }
    statements[*std::ranges::min_element(numbers)] = std::move(node);
    std::erase(statements, nullptr);
}

int Builder::depth() const {
    return static_cast<int>(impl_->frames.size()) - 1;
}

void Builder::set_symbol(const std::string &name, int64_t value) {
    impl_->data.symbols.insert_or_assign(name, value);
}

void Builder::set_table(const std::string &name, RunData::Values values) {
    impl_->data.tables.insert_or_assign(name, std::move(values));
}

namespace {

/// Adds `from` to `to`; what has the name of something else gets another one, noted in `renamed`.
template <class Value, class Same>
void merge_names(const std::map<std::string, Value> &from, std::map<std::string, Value> &to,
                 std::map<std::string, std::string> &renamed, Same same) {
    for (const auto &[name, value] : from) {
        std::string free = name;
        for (int n = 1; to.contains(free) && !same(to.at(free), value); ++n) {
            free = name + "." + std::to_string(n);
        }
        to.insert_or_assign(free, value);
        if (free != name) {
            renamed.emplace(name, free);
        }
    }
}

}  // namespace

Builder::Renamed Builder::include(const Workload &workload, Loc at) {
    Renamed renamed;
    merge_names(workload.data.symbols, impl_->data.symbols, renamed.symbols, std::equal_to<>());
    merge_names(workload.data.tables, impl_->data.tables, renamed.tables,
                [](const RunData::Values &a, const RunData::Values &b) { return *a == *b; });
    if (has_net(*workload.root)) {
        impl_->refuse_net("workload " + workload.name + " has processes and", at);
    }
    Renamer renamer([&](const std::string &id) { return impl_->fresh_id(id); }, renamed.symbols,
                    renamed.tables, impl_->tasks);
    impl_->add(std::make_shared<const Node>(
        Node{CallNode{workload.name, renamer.rename(workload.root)}, std::move(at)}));
    impl_->errors.insert(impl_->errors.end(), workload.type_errors.begin(),
                         workload.type_errors.end());
    return renamed;
}

namespace {

std::set<std::string> variables_of(const std::vector<ScalarExpr> &axes,
                                   const std::vector<Argument> &arguments) {
    std::set<std::string> names;
    for (const ScalarExpr &axis : axes) {
        names.merge(axis.variables());
    }
    for (const Argument &argument : arguments) {
        if (const auto *region = std::get_if<Region>(&argument.value)) {
            add_variables(names, *region);
        } else if (const auto *expr = std::get_if<ScalarExpr>(&argument.value)) {
            names.merge(expr->variables());
        }
    }
    return names;
}

}  // namespace

void Builder::task(KernelPtr kernel, std::vector<ScalarExpr> axes, std::vector<Argument> arguments,
                   Loc at) {
    const auto definitions = impl_->definitions_of(variables_of(axes, arguments));
    const std::vector<LoopVar *> open = impl_->open_loops();
    try {
        for (const LoopVar *definition : definitions) {
            if (!std::ranges::all_of(definition->value->variables(), [&](const std::string &name) {
                    return std::ranges::find(open, name, &LoopVar::id) != open.end() ||
                           std::ranges::find(definitions, name, &LoopVar::id) != definitions.end();
                })) {
                throw TypeCheckError(at, kernel->name + ": index " + shown(*definition->value) +
                                             " uses a variable of a loop that is not around");
            }
        }
        TaskNode task = check_task(kernel, std::move(axes), arguments,
                                   impl_->path_with(definitions), impl_->is_conditional(), at);
        task.mark = impl_->tasks++;
        if (!task.axes.empty() && task.axes.back().op() == ScalarExpr::Op::Var) {
            const auto variable = std::ranges::find(open, task.axes.back().name(), &LoopVar::id);
            if (variable != open.end()) {
                impl_->add_name(**variable, kernel->name);
            }
        }
        impl_->add_with(definitions,
                        std::make_shared<const Node>(Node{std::move(task), std::move(at)}));
    } catch (const TypeCheckError &error) {
        if (impl_->on_error == OnError::Throw) {
            throw;
        }
        impl_->errors.push_back(error);
    }
}

void Builder::set_slot(int64_t slot, ScalarExpr value, Loc at) {
    SlotNode node;
    (void)ScalarExpr::slot(slot);
    node.slot = static_cast<int>(slot);
    impl_->fill(node.slot, "slot_set_u64", at);
    const auto definitions = impl_->definitions_of(value.variables());
    if (definitions.empty()) {
        impl_->check_scope(value, "slot_set_u64: the value", at);
    }
    node.value = std::move(value);
    impl_->add_with(definitions,
                    std::make_shared<const Node>(Node{std::move(node), std::move(at)}));
}

void Builder::load_slot(int64_t slot, const Region &element, Loc at) {
    (void)ScalarExpr::slot(slot);
    impl_->fill(static_cast<int>(slot), "slot_load_u64", at);
    std::set<std::string> names;
    add_variables(names, element);
    const auto definitions = impl_->definitions_of(std::move(names));
    SlotNode node = check_slot_load(static_cast<int>(slot), element, impl_->path_with(definitions),
                                    impl_->is_conditional(), at);
    impl_->add_with(definitions,
                    std::make_shared<const Node>(Node{std::move(node), std::move(at)}));
}

Workload Builder::finish() {
    if (impl_->frames.size() != 1) {
        throw CompileError(impl_->frames.back().at, "workload " + impl_->name + ": " +
                                                        std::to_string(depth()) +
                                                        " loops or groups are still open");
    }
    Workload workload;
    workload.name = impl_->name;
    workload.at = impl_->at;
    workload.root = body_of(std::move(impl_->frames.front().statements), impl_->at);
    impl_->check_nesting(static_cast<size_t>(nesting(*workload.root)), impl_->at);
    workload.root = with_nets(workload.root);
    check_events(*workload.root);
    workload.type_errors = std::move(impl_->errors);
    workload.data = std::move(impl_->data);
    *this = Builder("");
    return workload;
}

}  // namespace pto::wsp::workload
