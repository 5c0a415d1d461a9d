#include "workload/channel_use.h"

#include <algorithm>

namespace pto::wsp::workload {

void ChannelUse::Set::add(const ChannelPtr &channel, const Loc &at) {
    if (!contains(channel)) {
        places_.emplace_back(channel, at);
    }
}

const Loc *ChannelUse::Set::find(const ChannelPtr &channel) const {
    const auto found = std::ranges::find(places_, channel, &Places::value_type::first);
    return found == places_.end() ? nullptr : &found->second;
}

std::vector<ChannelPtr> ChannelUse::Set::channels() const {
    std::vector<ChannelPtr> result;
    std::ranges::transform(places_, std::back_inserter(result), &Places::value_type::first);
    return result;
}

ChannelUse ChannelUse::of(const Node &node) {
    ChannelUse use;
    use.collect(node, true);
    return use;
}

ChannelUse ChannelUse::outside_nets(const Node &node) {
    ChannelUse use;
    use.collect(node, false);
    return use;
}

void ChannelUse::collect(const Node &node, bool into_nets) {
    if (const auto *send = std::get_if<SendNode>(&node.kind)) {
        sends.add(send->channel, node.at);
        sent_nodes.push_back(send);
    } else if (const auto *consume = std::get_if<ConsumeNode>(&node.kind)) {
        for (const ChannelPtr &channel : consume->channels) {
            consumes.add(channel, node.at);
        }
    } else if (const auto *close = std::get_if<CloseNode>(&node.kind)) {
        sends.add(close->channel, node.at);
        closes.add(close->channel, node.at);
    }
    if (into_nets || !std::holds_alternative<NetNode>(node.kind)) {
        for_each_child(node, [&](const NodePtr &child) { collect(*child, into_nets); });
    }
}

std::set<const Channel *> ChannelUse::all() const {
    std::set<const Channel *> result;
    for (const Set *set : {&sends, &consumes}) {
        for (const auto &[channel, at] : *set) {
            result.insert(channel.get());
        }
    }
    return result;
}

namespace {

std::optional<std::pair<ChannelPtr, Loc>> in_first_only(const ChannelUse::Set &first,
                                                        const ChannelUse::Set &second) {
    for (const auto &place : first) {
        if (!second.contains(place.first)) {
            return place;
        }
    }
    return std::nullopt;
}

}  // namespace

std::optional<std::pair<ChannelPtr, Loc>> ChannelUse::consumed_only() const {
    return in_first_only(consumes, sends);
}

std::optional<std::pair<ChannelPtr, Loc>> ChannelUse::sent_only() const {
    return in_first_only(sends, consumes);
}

const Loc &ChannelUse::first_place() const {
    return (sends.empty() ? consumes : sends).begin()->second;
}

Loc ChannelUse::place(const ChannelPtr &channel, const Loc &otherwise) const {
    const Loc *found = sends.find(channel);
    found = found == nullptr ? consumes.find(channel) : found;
    return found == nullptr ? otherwise : *found;
}

}  // namespace pto::wsp::workload
