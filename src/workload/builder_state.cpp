#include "workload/builder_state.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/support/text.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

namespace {

constexpr std::array<const char *, 10> creation_letters = {"b", "h", "s", "d", "i",
                                                           "j", "k", "l", "m", "n"};

}  // namespace

std::string identifier_of(const std::string &name) {
    std::string result;
    for (const char c : name) {
        const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
        result += fits ? c : '_';
    }
    const bool starts = !result.empty() && std::isdigit(static_cast<unsigned char>(result[0])) == 0;
    return starts ? result : "_" + result;
}

NodePtr body_of(std::vector<NodePtr> statements, const Loc &at) {
    if (statements.size() == 1) {
        return statements.front();
    }
    return std::make_shared<const Node>(Node{GroupNode{false, std::move(statements)}, at});
}

void add_variables(std::set<std::string> &names, const Region &region) {
    for (const Affine &offset : region.offsets) {
        for (const auto &[name, coefficient] : offset.terms()) {
            names.insert(name);
        }
    }
    for (const auto *size : {&region.valid_rows, &region.valid_columns}) {
        if (*size) {
            names.merge((*size)->variables());
        }
    }
}

std::string Builder::Impl::fresh_id(const std::string &wanted) {
    std::string id = wanted;
    const std::string name = wanted.substr(0, wanted.find('.'));
    while (!ids.insert(id).second) {
        id = name + "." + std::to_string(++numbers[name]);
    }
    return id;
}

std::vector<LoopVar *> Builder::Impl::open_loops() {
    std::vector<LoopVar *> result;
    for (Frame &frame : frames) {
        if (auto *loop = std::get_if<LoopNode>(&frame.kind)) {
            result.push_back(&loop->variable);
        } else if (auto *send = std::get_if<SendNode>(&frame.kind)) {
            result.push_back(&send->number);
        } else if (auto *consume = std::get_if<ConsumeNode>(&frame.kind)) {
            result.insert(result.end(), {&consume->number, &consume->which});
            for (LoopVar &value : consume->values) {
                result.push_back(&value);
            }
        }
    }
    return result;
}

void Builder::Impl::refuse_net(const std::string &what, const Loc &at) const {
    const auto around = std::ranges::find_if(frames, [](const Frame &frame) {
        return !std::holds_alternative<GroupNode>(frame.kind) &&
               !std::holds_alternative<CallNode>(frame.kind);
    });
    if (around == frames.end()) {
        return;
    }
    const bool loop = std::holds_alternative<LoopNode>(around->kind);
    const bool branch = std::holds_alternative<BranchNode>(around->kind);
    throw CompileError(at,
                       what + " stands in a " +
                           (loop     ? "loop"
                            : branch ? "branch"
                                     : "process"),
                       {{around->at, "which begins here"}},
                       "processes are started once, by the body of the workload; loop inside of "
                       "them");
}

bool Builder::Impl::is_conditional() const {
    return std::ranges::any_of(
        frames, [](const Frame &frame) { return std::holds_alternative<BranchNode>(frame.kind); });
}

int Builder::Impl::free_slot(const Loc &at) {
    for (int slot = slot_words - 1; slot >= 0; --slot) {
        if (!filled.contains(slot) && tried.emplace(slot, at).second) {
            return slot;
        }
    }
    throw CompileError(at, "try_send: no slot is free for its result");
}

void Builder::Impl::fill(int slot, const std::string &what, const Loc &at) {
    const auto taken = tried.find(slot);
    if (taken != tried.end()) {
        throw CompileError(
            at, what + ": slot " + std::to_string(slot) + " holds the result of a try_send",
            {{taken->second, "made here"}}, "use a smaller slot");
    }
    filled.insert(slot);
}

ConsumeNode &Builder::Impl::consume(const std::string &token, const Loc &at) {
    for (Frame &frame : frames) {
        auto *consume = std::get_if<ConsumeNode>(&frame.kind);
        if (consume != nullptr && consume->number.id == token) {
            return *consume;
        }
    }
    throw CompileError(at, "a token is used outside of the body that consumes it", {},
                       "use it inside: with consume(channel) as t: ...");
}

SendNode Builder::Impl::new_send(const ChannelPtr &channel, Sending how, const Loc &at) {
    SendNode send;
    send.channel = channel;
    send.number = token_variable(fresh_id("token"), {}, false, at);
    send.result = how == Sending::Tries ? free_slot(at) : -1;
    return send;
}

void Builder::Impl::add_net(NetNode net, const Loc &at) {
    std::vector<NodePtr> &statements = frames.back().statements;
    if (!statements.empty()) {
        if (const auto *before = std::get_if<NetNode>(&statements.back()->kind)) {
            NetNode both = *before;
            std::ranges::move(net.processes, std::back_inserter(both.processes));
            statements.back() =
                std::make_shared<const Node>(Node{std::move(both), statements.back()->at});
            return;
        }
    }
    add(std::make_shared<const Node>(Node{std::move(net), at}));
}

void Builder::Impl::add_name(LoopVar &variable, const std::string &name) {
    const std::vector<LoopVar *> path = open_loops();
    const bool taken = std::ranges::any_of(path, [&](const LoopVar *other) {
        return std::ranges::find(other->names, name) != other->names.end() ||
               (other != &variable && other->id == name);
    });
    if (!taken) {
        variable.names.push_back(name);
    }
}

void Builder::Impl::check_scope(const ScalarExpr &expr, const std::string &what, const Loc &at) {
    const LoopPath path = path_with({});
    const std::set<std::string> names = expr.variables();
    const auto unknown = std::ranges::find_if(names, [&](const std::string &name) {
        return std::ranges::find(path, name, &LoopVar::id) == path.end();
    });
    if (unknown != names.end()) {
        throw CompileError(at,
                           what + " " + shown(expr) + " uses " + *unknown +
                               ", which is no variable of a loop around it",
                           {}, scope_hint(*unknown, path, "it"));
    }
}

std::vector<const LoopVar *> Builder::Impl::definitions_of(std::set<std::string> used) const {
    std::vector<const LoopVar *> result;
    for (size_t i = defined.size(); i-- > 0;) {
        if (used.contains(defined[i]->id)) {
            result.insert(result.begin(), defined[i].get());
            used.merge(defined[i]->value->variables());
        }
    }
    return result;
}

LoopPath Builder::Impl::path_with(const std::vector<const LoopVar *> &definitions) {
    const std::vector<LoopVar *> open = open_loops();
    LoopPath path(open.begin(), open.end());
    path.insert(path.end(), definitions.begin(), definitions.end());
    return path;
}

void Builder::Impl::add_with(const std::vector<const LoopVar *> &definitions, NodePtr node) {
    check_nesting(frames.size() + definitions.size(), node->at);
    for (size_t i = definitions.size(); i-- > 0;) {
        LoopNode loop;
        loop.variable = *definitions[i];
        const Loc at = node->at;
        loop.body = std::move(node);
        node = std::make_shared<const Node>(Node{std::move(loop), at});
    }
    add(std::move(node));
}

std::string Builder::Impl::open(LoopNode loop, std::vector<std::string> names, Loc at) {
    LoopVar &variable = loop.variable;
    for (std::string &name : names) {
        if (!name.empty() && std::ranges::find(variable.names, name) == variable.names.end()) {
            variable.names.push_back(std::move(name));
        }
    }
    std::string letter;
    if (!variable.hidden) {
        const size_t number = loops++;
        letter = number < creation_letters.size() ? creation_letters[number] : "";
    }
    std::string base = letter.empty() ? "axis" : letter;
    if (!variable.names.empty()) {
        base = identifier_of(variable.names.front());
    }
    variable.id = fresh_id(base);
    variable.at = at;
    std::string id = variable.id;
    open(std::move(loop), at, letter);
    return id;
}

std::string Builder::Impl::open_counter(const Order &order, Axis axis, const std::string &name,
                                        Loc at) {
    check_axis(axis, order, at);
    LoopNode loop;
    loop.sequential = order.sequential;
    loop.depth = order.depth;
    loop.variable.axis = std::move(axis);
    loop.variable.hidden = true;
    std::string id = open(std::move(loop), {name}, std::move(at));
    std::get<LoopNode>(frames.back().kind).variable.names.clear();
    return id;
}

std::string Builder::Impl::open_value(ScalarExpr value, std::vector<std::string> names, Loc at) {
    LoopNode loop;
    loop.variable.axis.size = 1;
    loop.variable.value = std::move(value);
    std::string id = open(std::move(loop), std::move(names), std::move(at));
    frames.back().with_outer = true;
    return id;
}

void Builder::Impl::check_nesting(size_t levels, const Loc &at) const {
    if (levels > static_cast<size_t>(max_nesting)) {
        throw CompileError(at, "workload " + name + ": statements nest deeper than " +
                                   std::to_string(max_nesting));
    }
}

void Builder::Impl::check_axis(const Axis &axis, const Order &order, const Loc &at) {
    if (axis.size.op() == ScalarExpr::Op::Const && axis.size.value() < 0) {
        throw CompileError(at, "axis size is " + axis.size.str() + ", must be >= 0",
                           {{axis.at, "the axis is made here"}});
    }
    check_scope(axis.size, "the size", at);
    if (order.depth < 0) {
        throw CompileError(at,
                           "P.pipe: depth is " + std::to_string(order.depth) + ", must be >= 1");
    }
}

Affine Builder::Impl::value_variable(const ScalarExpr &expr, const Loc &at) {
    for (const std::unique_ptr<LoopVar> &known : defined) {
        if (*known->value == expr) {
            return Affine::variable(known->id);
        }
    }
    auto variable = std::make_unique<LoopVar>();
    variable->id = fresh_id("value");
    variable->axis.size = 1;
    variable->value = expr;
    variable->hidden = true;
    variable->at = at;
    defined.push_back(std::move(variable));
    return Affine::variable(defined.back()->id);
}

}  // namespace pto::wsp::workload
