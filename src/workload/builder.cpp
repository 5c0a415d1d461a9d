#include "pto/wsp/workload/builder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <utility>

#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/nets.h"
#include "workload/check_task.h"
#include "workload/node_visit.h"
#include "workload/structure.h"

namespace pto::wsp::workload {

namespace {

constexpr std::array<const char *, 10> creation_letters = {"b", "h", "s", "d", "i",
                                                           "j", "k", "l", "m", "n"};

/// `name` with every character that an identifier cannot have replaced.
std::string identifier_of(const std::string &name) {
    std::string result;
    for (const char c : name) {
        const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
        result += fits ? c : '_';
    }
    const bool starts = !result.empty() && std::isdigit(static_cast<unsigned char>(result[0])) == 0;
    return starts ? result : "_" + result;
}

/// A node with the ids of its loop variables, and names of symbols and tables, replaced.
class Renamer {
public:
    using Names = std::map<std::string, std::string>;

    /// Marks of tasks get new numbers, `tasks` and those after it.
    Renamer(std::function<std::string(const std::string &)> fresh, Names symbols, Names tables,
            int &tasks)
        : fresh_(std::move(fresh)), symbols_(std::move(symbols)), tables_(std::move(tables)),
          tasks_(tasks) {}

    NodePtr rename(const NodePtr &node) {
        Node result = *node;
        for_each_expression(result, [&](ScalarExpr &expr) {
            expr = expr.rename(symbols_, tables_).substitute(scalar_);
        });
        rename_regions(result);
        rename_marks(result);
        for (LoopVar *variable : variables_in(result)) {
            const std::string old = variable->id;
            variable->id = fresh_(old);
            if (variable->token) {
                *variable =
                    token_variable(variable->id, variable->names, !variable->value, variable->at);
            }
            // No loop has the id of one around it: what is outside of this one does not ask for it.
            affine_.insert_or_assign(old, Affine::variable(variable->id));
            scalar_.insert_or_assign(old, ScalarExpr::variable(variable->id));
        }
        result = with_children(result, [&](const NodePtr &child) { return rename(child); });
        return std::make_shared<const Node>(std::move(result));
    }

private:
    void rename_regions(Node &node) const {
        if (auto *task = std::get_if<TaskNode>(&node.kind)) {
            for (TaskArgument &argument : task->arguments) {
                if (auto *region = std::get_if<Region>(&argument.value)) {
                    rename_region(*region);
                }
            }
        } else if (auto *slot = std::get_if<SlotNode>(&node.kind)) {
            if (auto *region = std::get_if<Region>(&slot->value)) {
                rename_region(*region);
            }
        }
    }

    void rename_marks(Node &node) {
        if (auto *task = std::get_if<TaskNode>(&node.kind)) {
            const int mark = tasks_++;
            if (task->mark >= 0) {
                marks_[task->mark] = mark;
            }
            task->mark = mark;
        } else if (auto *event = std::get_if<EventNode>(&node.kind); event && event->after) {
            for (int &mark : *event->after) {
                mark = marks_.at(mark);
            }
        }
    }

    void rename_region(Region &region) const {
        for (Affine &offset : region.offsets) {
            offset = offset.substitute(affine_);
        }
        for (Region::Bound &bound : region.bounds) {
            bound.offset = bound.offset.substitute(affine_);
        }
    }

    std::function<std::string(const std::string &)> fresh_;
    Names symbols_;
    Names tables_;
    std::map<std::string, Affine> affine_;
    std::map<std::string, ScalarExpr> scalar_;
    int &tasks_;
    std::map<int, int> marks_;
};

}  // namespace

struct Builder::Impl {
    /// Something that is open: the kind of node it becomes, without its body.
    struct Frame {
        std::variant<LoopNode, GroupNode, CallNode, BranchNode, SendNode, ConsumeNode, NetNode>
            kind;
        std::vector<NodePtr> statements;
        std::string letter;  ///< of a loop
        Loc at;
        bool with_outer = false;  ///< closes what it is in, too
        bool is_scope = false;    ///< of `P.pipe()`
    };

    std::string name;
    Loc at;
    OnError on_error = OnError::Throw;
    std::vector<Frame> frames;  ///< the first is the body of the workload
    std::set<std::string> ids;
    std::map<std::string, int64_t> numbers;  ///< last one given to a name
    size_t loops = 0;
    std::vector<TypeCheckError> errors;
    std::vector<std::unique_ptr<LoopVar>> defined;  ///< variables that tasks may use anywhere
    std::set<int> filled;                           ///< slots
    std::map<int, Loc> tried;                       ///< slots that hold the results of tries
    int tasks = 0;
    RunData data;

    /// `wanted`, or its name with the next number that is free.
    std::string fresh_id(const std::string &wanted) {
        std::string id = wanted;
        const std::string name = wanted.substr(0, wanted.find('.'));
        while (!ids.insert(id).second) {
            id = name + "." + std::to_string(++numbers[name]);
        }
        return id;
    }

    std::vector<LoopVar *> open_loops() {
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

    /// What a net cannot stand in; null where it can.
    const Frame *around_net() const {
        for (const Frame &frame : frames) {
            if (!std::holds_alternative<GroupNode>(frame.kind) &&
                !std::holds_alternative<CallNode>(frame.kind)) {
                return &frame;
            }
        }
        return nullptr;
    }

    void refuse_net(const std::string &what, const Loc &at) const {
        if (const Frame *around = around_net()) {
            const bool process = !std::holds_alternative<LoopNode>(around->kind) &&
                                 !std::holds_alternative<BranchNode>(around->kind);
            throw CompileError(at,
                               what + " stands in a " +
                                   (process                                          ? "process"
                                    : std::holds_alternative<LoopNode>(around->kind) ? "loop"
                                                                                     : "branch"),
                               {{around->at, "which begins here"}},
                               "processes are started once, by the body of the workload; loop "
                               "inside of them");
        }
    }

    /// A slot that nothing in the workload fills, for the result of a try.
    int free_slot(const Loc &at) {
        for (int slot = slot_words - 1; slot >= 0; --slot) {
            if (!filled.contains(slot) && tried.emplace(slot, at).second) {
                return slot;
            }
        }
        throw CompileError(at, "try_send: no slot is free for its result");
    }

    void fill(int slot, const std::string &what, const Loc &at) {
        const auto taken = tried.find(slot);
        if (taken != tried.end()) {
            throw CompileError(
                at, what + ": slot " + std::to_string(slot) + " holds the result of a try_send",
                {{taken->second, "made here"}}, "use a smaller slot");
        }
        filled.insert(slot);
    }

    ConsumeNode &consume(const std::string &token, const Loc &at) {
        for (Frame &frame : frames) {
            auto *consume = std::get_if<ConsumeNode>(&frame.kind);
            if (consume != nullptr && consume->number.id == token) {
                return *consume;
            }
        }
        throw CompileError(at, "a token is used outside of the body that consumes it", {},
                           "use it inside: with consume(channel) as t: ...");
    }

    SendNode new_send(const ChannelPtr &channel, Sending how, const Loc &at) {
        SendNode send;
        send.channel = channel;
        send.number = token_variable(fresh_id("token"), {}, false, at);
        send.result = how == Sending::Tries ? free_slot(at) : -1;
        return send;
    }

    /// A net behind another one, of explicit processes, becomes part of it.
    void add_net(NetNode net, const Loc &at) {
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

    /// Adds a name that the user did not give, unless an open loop already has it.
    void add_name(LoopVar &variable, const std::string &name) {
        const std::vector<LoopVar *> path = open_loops();
        const bool taken = std::ranges::any_of(path, [&](const LoopVar *other) {
            return std::ranges::find(other->names, name) != other->names.end() ||
                   (other != &variable && other->id == name);
        });
        if (!taken) {
            variable.names.push_back(name);
        }
    }

    void add(NodePtr node) { frames.back().statements.push_back(std::move(node)); }

    bool is_conditional() const {
        return std::ranges::any_of(frames, [](const Frame &frame) {
            return std::holds_alternative<BranchNode>(frame.kind);
        });
    }

    /// CompileError when `expr` uses a variable of no loop around.
    void check_scope(const ScalarExpr &expr, const std::string &what, const Loc &at) {
        const LoopPath path = path_with({});
        for (const std::string &name : expr.variables()) {
            if (std::ranges::find(path, name, &LoopVar::id) == path.end()) {
                throw CompileError(at,
                                   what + " " + shown(expr) + " uses " + name +
                                       ", which is no variable of a loop around it",
                                   {}, scope_hint(name, path, "it"));
            }
        }
    }

    /// The defined variables that `used` leads to, in the order of their definitions.
    std::vector<const LoopVar *> definitions_of(std::set<std::string> used) const {
        std::vector<const LoopVar *> result;
        for (size_t i = defined.size(); i-- > 0;) {
            if (used.contains(defined[i]->id)) {
                result.insert(result.begin(), defined[i].get());
                used.merge(defined[i]->value->variables());
            }
        }
        return result;
    }

    /// The variable with that value, made when there is none.
    Affine value_variable(const ScalarExpr &expr, const Loc &at);

    /// Loops around and the definitions that a statement needs.
    LoopPath path_with(const std::vector<const LoopVar *> &definitions) {
        const std::vector<LoopVar *> open = open_loops();
        LoopPath path(open.begin(), open.end());
        path.insert(path.end(), definitions.begin(), definitions.end());
        return path;
    }

    /// Adds a statement inside the definitions that it needs.
    void add_with(const std::vector<const LoopVar *> &definitions, NodePtr node) {
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

    std::string open(LoopNode loop, std::vector<std::string> names, Loc at) {
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

    /// A loop that counts for the variable that `open_value` opens next.
    std::string open_counter(const Order &order, Axis axis, const std::string &name, Loc at) {
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

    /// A variable with a value, which closes together with what it is in.
    std::string open_value(ScalarExpr value, std::vector<std::string> names, Loc at) {
        LoopNode loop;
        loop.variable.axis.size = 1;
        loop.variable.value = std::move(value);
        std::string id = open(std::move(loop), std::move(names), std::move(at));
        frames.back().with_outer = true;
        return id;
    }

    template <class Kind> void open(Kind kind, const Loc &at, std::string letter = "") {
        check_nesting(frames.size(), at);
        frames.push_back({std::move(kind), {}, std::move(letter), at});
    }

    void check_nesting(size_t levels, const Loc &at) const {
        if (levels > static_cast<size_t>(max_nesting)) {
            throw CompileError(at, "workload " + name + ": statements nest deeper than " +
                                       std::to_string(max_nesting));
        }
    }

    void check_axis(const Axis &axis, const Order &order, const Loc &at) {
        if (axis.size.op() == ScalarExpr::Op::Const && axis.size.value() < 0) {
            throw CompileError(at, "axis size is " + axis.size.str() + ", must be >= 0",
                               {{axis.at, "the axis is made here"}});
        }
        check_scope(axis.size, "the size", at);
        if (order.depth < 0) {
            throw CompileError(at, "P.pipe: depth is " + std::to_string(order.depth) +
                                       ", must be >= 1");
        }
    }
};

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

/// The statements of a body as one node.
NodePtr body_of(std::vector<NodePtr> statements, const Loc &at) {
    if (statements.size() == 1) {
        return statements.front();
    }
    return std::make_shared<const Node>(Node{GroupNode{false, std::move(statements)}, at});
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

void Builder::open_group(bool sequential, Loc at) {
    impl_->open(GroupNode{sequential, {}}, at);
}

void Builder::open_scope(Loc at) {
    impl_->frames.push_back({GroupNode{false, {}}, {}, "", std::move(at)});
    impl_->frames.back().is_scope = true;
}

void Builder::open_process(std::string name, std::vector<ChannelPtr> consumes,
                           std::vector<ChannelPtr> produces, Loc at) {
    impl_->refuse_net("process " + quoted(name), at);
    NetNode net;
    net.processes.push_back({std::move(name), std::move(consumes), std::move(produces), {}, at});
    impl_->frames.push_back({std::move(net), {}, "", std::move(at)});
}

int Builder::open_send(const ChannelPtr &channel, Sending how, Loc at) {
    SendNode send = impl_->new_send(channel, how, at);
    const int slot = send.result;
    impl_->frames.push_back({std::move(send), {}, "", std::move(at)});
    return slot;
}

namespace {

/// One kernel call, inside the variables that it needs.
bool is_call(const Node &node) {
    const auto *loop = std::get_if<LoopNode>(&node.kind);
    return loop != nullptr ? loop->variable.value && is_call(*loop->body)
                           : std::holds_alternative<TaskNode>(node.kind);
}

[[noreturn]] void refuse_sent(const Loc &at) {
    throw CompileError(at, "send: what is sent is not one kernel call", {},
                       "send(channel, load[i](X[i])): the call is the token's task");
}

}  // namespace

int Builder::send_last(const ChannelPtr &channel, Sending how, Loc at) {
    std::vector<NodePtr> &statements = impl_->frames.back().statements;
    if (statements.empty() || !is_call(*statements.back())) {
        refuse_sent(at);
    }
    SendNode send = impl_->new_send(channel, how, at);
    const int slot = send.result;
    send.body = std::move(statements.back());
    statements.back() = std::make_shared<const Node>(Node{std::move(send), std::move(at)});
    return slot;
}

std::string Builder::open_consume(std::vector<ChannelPtr> channels, Loc at) {
    if (channels.empty()) {
        throw CompileError(at, "consume: needs at least one channel");
    }
    for (size_t i = 0; i < channels.size(); ++i) {
        if (std::count(channels.begin(), channels.end(), channels[i]) > 1) {
            throw CompileError(at,
                               "consume: channel " + quoted(channels[i]->name) + " is named twice");
        }
    }
    ConsumeNode consume;
    consume.channels = std::move(channels);
    consume.number = token_variable(impl_->fresh_id("token"), {}, true, at);
    consume.which = token_variable(impl_->fresh_id("from"), {}, false, at);
    std::string id = consume.number.id;
    impl_->frames.push_back({std::move(consume), {}, "", std::move(at)});
    return id;
}

std::string Builder::token_value(const std::string &token, size_t number,
                                 std::vector<std::string> names, const Loc &at) {
    std::vector<LoopVar> &values = impl_->consume(token, at).values;
    while (values.size() <= number) {
        const bool asked = values.size() == number;
        std::vector<std::string> own = asked ? names : std::vector<std::string>{};
        const std::string base = own.empty() ? "value" : identifier_of(own.front());
        values.push_back(token_variable(impl_->fresh_id(base), std::move(own), false, at));
    }
    return values[number].id;
}

std::string Builder::token_channel(const std::string &token, const Loc &at) {
    return impl_->consume(token, at).which.id;
}

namespace {

Region in_slot(const TensorPtr &tensor, const Affine &slot, const Loc &at) {
    return index(whole(tensor, at), slot, at);
}

ScalarExpr slot_of(const LoopVar &number, const Channel &channel) {
    return ScalarExpr::make(ScalarExpr::Op::Mod,
                            {ScalarExpr::variable(number.id), channel.slots()});
}

}  // namespace

Region Builder::sent_payload(size_t number, const kernel::TileType &type, const std::string &name,
                             const Loc &at) {
    const auto &send = std::get<SendNode>(impl_->frames.back().kind);
    const TensorPtr tensor = send.channel->payload(number, type, name, at);
    return in_slot(tensor, index_of(slot_of(send.number, *send.channel), at), at);
}

Region Builder::token_payload(const std::string &token, size_t number,
                              const std::optional<kernel::TileType> &type, const std::string &name,
                              const Loc &at) {
    const ConsumeNode &consume = impl_->consume(token, at);
    Channel &channel = *consume.channels.front();
    if (consume.channels.size() > 1) {
        throw TypeCheckError(at,
                             "a token that comes from one of several channels is used as a tile",
                             {}, "consume each channel in a process of its own");
    }
    if (!type && channel.payloads.size() <= number) {
        throw TypeCheckError(at,
                             "the tile that a token of channel " + quoted(channel.name) +
                                 " carries is not known yet",
                             {{channel.at, "made here"}},
                             "build the process that sends it first, or give the type: "
                             "Channel[Tile[rows, cols, dtype]]");
    }
    TensorPtr tensor = channel.payloads.size() > number ? channel.payloads[number]
                                                        : channel.payload(number, *type, name, at);
    return in_slot(tensor, index_of(slot_of(consume.number, channel), at), at);
}

void Builder::close_channel(const ChannelPtr &channel, Loc at) {
    impl_->add(std::make_shared<const Node>(Node{CloseNode{channel}, std::move(at)}));
}

int Builder::tasks() const {
    return impl_->tasks;
}

void Builder::record(const EventPtr &event, std::optional<std::vector<int>> after,
                     std::optional<double> timeout_s, Loc at) {
    EventNode node{event, true, std::move(after), timeout_s};
    impl_->add(std::make_shared<const Node>(Node{std::move(node), std::move(at)}));
}

void Builder::synchronize(const EventPtr &event, std::optional<double> timeout_s, Loc at) {
    EventNode node{event, false, {}, timeout_s};
    impl_->add(std::make_shared<const Node>(Node{std::move(node), std::move(at)}));
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
                           if (frame.statements.size() != 1 || !is_call(*frame.statements[0])) {
                               refuse_sent(frame.at);
                           }
                           send.body = std::move(frame.statements.front());
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
