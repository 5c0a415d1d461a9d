#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "pto/wsp/rewrite/pattern.h"
#include "pto/wsp/support/loc.h"

namespace pto::wsp::rewrite {

/// Where replacements are built: the next graph, while it grows. A level's own class adds its
/// building calls.
class Rebuild {
public:
    virtual ~Rebuild() = default;
    /// The node of the new graph that stands for `old` of the old one.
    virtual NodeId operator()(NodeId old) = 0;
};

/// What the engine needs of an intermediate representation. A graph never changes: rewriting makes
/// another one.
class Graph {
public:
    virtual ~Graph() = default;

    /// Nodes are numbered 0...size() - 1.
    virtual NodeId size() const = 0;
    /// Negative for nodes that no operation made.
    virtual OpId op(NodeId node) const = 0;
    virtual std::span<const NodeId> operands(NodeId node) const = 0;
    /// How many operands (and results of the whole) the node is.
    virtual int uses(NodeId node) const = 0;
    /// The value of a node that is a known number.
    virtual std::optional<double> constant(NodeId node) const = 0;
    /// Where the user wrote it.
    virtual Loc where(NodeId node) const = 0;
    /// `matmul [512, 64]`: for reasons.
    virtual std::string text(NodeId node) const = 0;

    /// Gives the node that replaces `old`, built into the new graph, or `no_node` to copy it.
    using Replace = std::function<NodeId(NodeId old, Rebuild &to)>;
    /// A copy, operands before users, with every node for which `replace` gives another replaced.
    /// Throws InternalError when a replacement is of another type than what it replaces.
    virtual std::shared_ptr<const Graph> rebuild(const Replace &replace) const = 0;
};

}  // namespace pto::wsp::rewrite
