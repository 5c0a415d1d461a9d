#include "pto/wsp/workload/nets.h"

#include <algorithm>
#include <map>
#include <set>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/names.h"
#include "workload/channel_use.h"
#include "workload/node_visit.h"
#include "workload/stored_buffers.h"
#include "workload/structure.h"

namespace pto::wsp::workload {

namespace {

/// Makes processes of the statements of a body.
class NetMaker {
public:
    NodePtr make(const NodePtr &node) {
        if (!ChannelUse::outside_nets(*node).is_some()) {
            return node;
        }
        const auto *group = std::get_if<GroupNode>(&node->kind);
        if (group != nullptr && group->sequential) {
            return std::make_shared<const Node>(
                with_children(*node, [&](const NodePtr &child) { return make(child); }));
        }
        std::vector<NodePtr> statements;
        flatten(node, statements);
        statements = with_processes(statements);
        if (statements.size() == 1) {
            return statements.front();
        }
        return std::make_shared<const Node>(
            Node{GroupNode{false, std::move(statements)}, node->at});
    }

private:
    /// The statements of groups and calls in which channels are used, one by one.
    static void flatten(const NodePtr &node, std::vector<NodePtr> &out) {
        const auto *group = std::get_if<GroupNode>(&node->kind);
        const auto *call = std::get_if<CallNode>(&node->kind);
        const bool opens = call != nullptr || (group != nullptr && !group->sequential);
        if (!opens || !ChannelUse::outside_nets(*node).is_some()) {
            out.push_back(node);
            return;
        }
        for_each_child(*node, [&](const NodePtr &child) { flatten(child, out); });
    }

    /// Runs of statements that use channels, each cut where no channel goes across.
    std::vector<NodePtr> with_processes(const std::vector<NodePtr> &statements) {
        std::vector<NodePtr> result;
        for (size_t i = 0; i < statements.size();) {
            const auto *group = std::get_if<GroupNode>(&statements[i]->kind);
            if (!ChannelUse::outside_nets(*statements[i]).is_some()) {
                result.push_back(statements[i++]);
            } else if (group != nullptr) {
                result.push_back(make(statements[i++]));
            } else {
                const size_t end = end_of_net(statements, i);
                result.push_back(net_of({statements.begin() + static_cast<ptrdiff_t>(i),
                                         statements.begin() + static_cast<ptrdiff_t>(end)}));
                i = end;
            }
        }
        return result;
    }

    static size_t end_of_net(const std::vector<NodePtr> &statements, size_t first) {
        size_t end = first + 1;
        std::set<const Channel *> open = ChannelUse::outside_nets(*statements[first]).all();
        size_t last = first;
        for (; last < statements.size(); ++last) {
            const ChannelUse use = ChannelUse::outside_nets(*statements[last]);
            if (!use.is_some() || std::holds_alternative<GroupNode>(statements[last]->kind)) {
                break;
            }
            const std::set<const Channel *> mine = use.all();
            if (std::ranges::any_of(mine, [&](const Channel *c) { return open.contains(c); })) {
                for (size_t i = end; i <= last; ++i) {
                    open.merge(ChannelUse::outside_nets(*statements[i]).all());
                }
                end = last + 1;
            }
        }
        return end;
    }

    NodePtr net_of(const std::vector<NodePtr> &statements) {
        NetNode net;
        std::set<std::string> names;
        for (const NodePtr &statement : statements) {
            const ChannelUse use = ChannelUse::outside_nets(*statement);
            std::string base = "process";
            for_each_task(*statement, [&](const TaskNode &task, const LoopPath &, const Node &) {
                base = base == "process" ? task.kernel->name : base;
            });
            std::string name = base;
            for (int n = 2; !names.insert(name).second; ++n) {
                name = base + "_" + std::to_string(n);
            }
            net.processes.push_back(
                {std::move(name), use.consumed(), use.sent(), statement, statement->at});
        }
        return std::make_shared<const Node>(Node{std::move(net), statements.front()->at});
    }
};

std::string channel_text(const Channel &channel) {
    return "channel " + quoted(channel.name);
}

/// The checks of one net.
class NetCheck {
public:
    explicit NetCheck(const NetNode &net) : net_(net) {
        for (const NetNode::Process &process : net.processes) {
            uses_.push_back(ChannelUse::of(*process.body));
        }
    }

    void run() const {
        for (size_t i = 0; i < net_.processes.size(); ++i) {
            check_process(net_.processes[i], uses_[i]);
        }
        for (size_t i = 0; i < net_.processes.size(); ++i) {
            check_ends(net_.processes[i], uses_[i]);
        }
    }

private:
    static void check_process(const NetNode::Process &process, const ChannelUse &use) {
        if (has_net(*process.body)) {
            throw CompileError(process.at,
                               "process " + quoted(process.name) + " has processes inside", {},
                               "start them side by side, in the body of the workload");
        }
        check_declared(process, use.sends, process.produces, "sends to", "produces");
        check_declared(process, use.consumes, process.consumes, "consumes", "consumes");
        for (const auto &[channel, at] : use.consumes) {
            if (use.sends.contains(channel) && !use.closes.contains(channel)) {
                throw CompileError(
                    at,
                    "process " + quoted(process.name) + " sends to " + channel_text(*channel) +
                        " and consumes it until it is closed: it would wait for itself",
                    {{use.sends.at(channel), "sent here"}},
                    "use two processes, one statement of the workload each (a net of processes "
                    "cannot stand in a loop or branch), or close the channel in the body");
            }
        }
    }

    static void check_declared(const NetNode::Process &process, const ChannelUse::Set &used,
                               const std::vector<ChannelPtr> &declared, const char *what,
                               const char *how) {
        for (const auto &[channel, at] : used) {
            if (std::ranges::find(declared, channel) == declared.end()) {
                throw CompileError(at,
                                   "process " + quoted(process.name) + " " + what + " " +
                                       channel_text(*channel) + ", which it does not declare",
                                   {{process.at, "the process"}, {channel->at, "the channel"}},
                                   std::string("declare it: .") + how + "(...)");
            }
        }
    }

    bool any_process(const ChannelPtr &channel,
                     const std::vector<ChannelPtr> NetNode::Process::*which) const {
        return std::ranges::any_of(net_.processes, [&](const NetNode::Process &process) {
            return std::ranges::count(process.*which, channel) > 0;
        });
    }

    /// Each channel has both ends, and its tokens the values that are used.
    void check_ends(const NetNode::Process &process, const ChannelUse &use) const {
        for (const ChannelPtr &channel : process.consumes) {
            if (!any_process(channel, &NetNode::Process::produces)) {
                throw CompileError(use.place(channel, process.at),
                                   "nothing sends to " + channel_text(*channel) +
                                       ", which process " + quoted(process.name) + " consumes",
                                   {{channel->at, "made here"}},
                                   "send to it in a statement of the same net: with no other "
                                   "statement between");
            }
        }
        for (const ChannelPtr &channel : process.produces) {
            if (!any_process(channel, &NetNode::Process::consumes)) {
                throw CompileError(use.place(channel, process.at),
                                   "nothing consumes " + channel_text(*channel) +
                                       ", which process " + quoted(process.name) + " sends to",
                                   {{channel->at, "made here"}},
                                   "consume it in a statement of the same net: with no other "
                                   "statement between");
            }
        }
        for_each_node(*process.body, [&](const Node &node, const LoopPath &) {
            if (const auto *consume = std::get_if<ConsumeNode>(&node.kind)) {
                check_values(*consume, node.at);
            }
        });
    }

    void check_values(const ConsumeNode &consume, const Loc &at) const {
        for (const ChannelPtr &channel : consume.channels) {
            for (const ChannelUse &use : uses_) {
                for (const SendNode *send : use.sent_nodes) {
                    const size_t count = token_values(*send).size();
                    if (send->channel != channel || consume.values.empty() ||
                        consume.values.size() == count) {
                        continue;
                    }
                    const TaskNode &task = sent_task(*send);
                    throw CompileError(
                        at,
                        "a token of " + channel_text(*channel) + " has " + std::to_string(count) +
                            (count == 1 ? " value" : " values") + " (the subscripts of " +
                            task.kernel->name + "), here " + std::to_string(consume.values.size()) +
                            " are used",
                        {{use.sends.at(channel), "sent here"}},
                        count > 1 ? "unpack it: with consume(channel) as (b, h): ..." : "");
                }
            }
        }
    }

    const NetNode &net_;
    std::vector<ChannelUse> uses_;
};

/// The frame of slots is that of a process.
class SlotCheck {
public:
    explicit SlotCheck(const Node &root) { collect(root, nullptr); }

    void run() const {
        for (const auto &[slot, owner, at] : used_) {
            const auto filled = filled_.find(slot);
            if (filled != filled_.end() &&
                (filled->second.size() > 1 || !filled->second.contains(owner))) {
                throw CompileError(at,
                                   "slot " + std::to_string(slot) + " is used in " + name(owner) +
                                       " and filled in " + name(other(filled->second, owner)),
                                   {},
                                   "the slots of a process are its own: fill it where it is used");
            }
        }
    }

private:
    using Owner = const NetNode::Process *;

    static std::string name(Owner owner) {
        return owner == nullptr ? "the workload" : "process " + quoted(owner->name);
    }

    static Owner other(const std::set<Owner> &owners, Owner owner) {
        return *std::ranges::find_if(owners, [&](Owner each) { return each != owner; });
    }

    void collect(const Node &node, Owner owner) {
        Node copy = node;
        for_each_expression(copy, [&](const ScalarExpr &expr) { add_used(expr, owner, node.at); });
        if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
            filled_[slot->slot].insert(owner);
            used_.push_back({slot->slot, owner, node.at});
        }
        if (const auto *send = std::get_if<SendNode>(&node.kind); send && send->result >= 0) {
            filled_[send->result].insert(owner);
        }
        const auto *net = std::get_if<NetNode>(&node.kind);
        size_t next = 0;
        for_each_child(node, [&](const NodePtr &child) {
            collect(*child, net == nullptr ? owner : &net->processes[next++]);
        });
    }

    void add_used(const ScalarExpr &expr, Owner owner, const Loc &at) {
        if (expr.op() == ScalarExpr::Op::Slot) {
            used_.push_back({static_cast<int>(expr.value()), owner, at});
        }
        if (expr.has_slots()) {
            for (const ScalarExpr &operand : expr.operands()) {
                add_used(operand, owner, at);
            }
        }
    }

    struct Use {
        int slot = 0;
        Owner owner = nullptr;
        Loc at;
    };
    std::vector<Use> used_;
    std::map<int, std::set<Owner>> filled_;
};

void check_place(const Node &node, const char *around) {
    if (std::holds_alternative<NetNode>(node.kind) && around != nullptr) {
        throw CompileError(node.at, std::string("a net of processes stands in a ") + around, {},
                           "processes are started once, by the body of the workload; loop inside "
                           "of them");
    }
    if (std::holds_alternative<LoopNode>(node.kind)) {
        around = "loop";
    } else if (std::holds_alternative<BranchNode>(node.kind)) {
        around = "branch";
    }
    if (const auto *net = std::get_if<NetNode>(&node.kind)) {
        NetCheck(*net).run();
        return;
    }
    for_each_child(node, [&](const NodePtr &child) { check_place(*child, around); });
}

/// What is sent or consumed without a net to be in.
void check_outside(const Node &root) {
    const ChannelUse use = ChannelUse::outside_nets(root);
    if (const auto unsent = use.consumed_only()) {
        throw CompileError(unsent->second, "nothing sends to " + channel_text(*unsent->first), {},
                           "a channel is sent to and consumed in the same workload; connect(...) "
                           "joins processes that are built apart");
    }
    if (const auto lost = use.sent_only()) {
        throw CompileError(lost->second, "nothing consumes " + channel_text(*lost->first), {},
                           "a channel is sent to and consumed in the same workload; connect(...) "
                           "joins processes that are built apart");
    }
    if (use.is_some()) {
        throw CompileError(use.first_place(), "a channel is used outside of a process");
    }
}

}  // namespace

NodePtr with_nets(const NodePtr &root) {
    const ChannelUse use = ChannelUse::outside_nets(*root);
    if (use.consumed_only() || use.sent_only()) {
        return root;
    }
    if (!has_channels(*root)) {
        return root;
    }
    const NodePtr made = NetMaker().make(root);
    check_nets(*made);
    return with_stored_buffers(made);
}

/// Taking a token ends the body of the one before it in the channel, whose place is used again.
static void check_nesting(const Node &node, std::vector<const Node *> &around) {
    const auto *consume = std::get_if<ConsumeNode>(&node.kind);
    if (consume != nullptr) {
        for (const Node *outer : around) {
            const auto &others = std::get<ConsumeNode>(outer->kind).channels;
            for (const ChannelPtr &channel : consume->channels) {
                if (std::ranges::find(others, channel) != others.end()) {
                    throw CompileError(node.at,
                                       channel_text(*channel) +
                                           " is consumed inside the body of a token of its own",
                                       {{outer->at, "the outer consume"}},
                                       "take the tokens one after another, in one consume");
                }
            }
        }
        around.push_back(&node);
    }
    for_each_child(node, [&](const NodePtr &child) { check_nesting(*child, around); });
    if (consume != nullptr) {
        around.pop_back();
    }
}

void check_nets(const Node &root) {
    if (!has_channels(root)) {
        return;
    }
    std::vector<const Node *> consumes;
    check_nesting(root, consumes);
    for_each_node(root, [](const Node &node, const LoopPath &) {
        if (const auto *send = std::get_if<SendNode>(&node.kind)) {
            if (!is_sent_call(*send)) {
                throw CompileError(node.at, "send: what is sent is not one kernel call");
            }
        }
    });
    check_outside(root);
    check_place(root, nullptr);
    SlotCheck(root).run();
}

}  // namespace pto::wsp::workload
