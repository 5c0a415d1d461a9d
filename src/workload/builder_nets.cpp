#include <algorithm>
#include <utility>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/nets.h"
#include "workload/builder_state.h"

namespace pto::wsp::workload {

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

NodePtr sent_call(NodePtr statement, const Loc &at) {
    SendNode send;
    send.body = std::move(statement);
    if (send.body == nullptr || !is_sent_call(send)) {
        throw CompileError(at, "send: what is sent is not one kernel call", {},
                           "send(channel, load[i](X[i])): the call is the token's task");
    }
    return send.body;
}

int Builder::send_last(const ChannelPtr &channel, Sending how, Loc at) {
    std::vector<NodePtr> &statements = impl_->frames.back().statements;
    NodePtr call = sent_call(statements.empty() ? nullptr : statements.back(), at);
    SendNode send = impl_->new_send(channel, how, at);
    const int slot = send.result;
    send.body = std::move(call);
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

}  // namespace pto::wsp::workload
