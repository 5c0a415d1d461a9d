#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// What a part of a workload does to channels, with the line where it does so first.
struct ChannelUse {
    /// In the order of first use.
    using Places = std::vector<std::pair<ChannelPtr, Loc>>;

    /// Of all that is in `node`.
    static ChannelUse of(const Node &node);
    /// Of what is in `node`, but not in the nets there.
    static ChannelUse outside_nets(const Node &node);

    class Set {
    public:
        void add(const ChannelPtr &channel, const Loc &at);
        bool contains(const ChannelPtr &channel) const { return find(channel) != nullptr; }
        const Loc &at(const ChannelPtr &channel) const { return *find(channel); }
        const Loc *find(const ChannelPtr &channel) const;
        Places::const_iterator begin() const { return places_.begin(); }
        Places::const_iterator end() const { return places_.end(); }
        bool empty() const { return places_.empty(); }
        std::vector<ChannelPtr> channels() const;

    private:
        Places places_;
    };

    Set sends;  ///< closing a channel counts
    Set consumes;
    Set closes;
    std::vector<const SendNode *> sent_nodes;

    bool is_some() const { return !sends.empty() || !consumes.empty(); }
    std::set<const Channel *> all() const;
    std::vector<ChannelPtr> sent() const { return sends.channels(); }
    std::vector<ChannelPtr> consumed() const { return consumes.channels(); }
    /// A channel that is only consumed, or only sent to.
    std::optional<std::pair<ChannelPtr, Loc>> consumed_only() const;
    std::optional<std::pair<ChannelPtr, Loc>> sent_only() const;
    const Loc &first_place() const;
    /// Where `channel` is used, or `otherwise`.
    Loc place(const ChannelPtr &channel, const Loc &otherwise) const;

private:
    void collect(const Node &node, bool into_nets);
};

}  // namespace pto::wsp::workload
