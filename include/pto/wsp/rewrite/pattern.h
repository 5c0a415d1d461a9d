#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pto::wsp::rewrite {

/// A node of the graph that is rewritten; what it names is the graph's business.
using NodeId = int32_t;
inline constexpr NodeId no_node = -1;

/// An operation of the graph, numbered by the graph. Negative: none; no operation pattern fits.
using OpId = int;

/// What a rule looks for, as data. Composed by the functions below and read by the engine, e.g.
/// with a level's own names for its operations: `div(exp(any("x")).as("e"), rowsum(same("e")))`.
struct Pattern {
    enum class Kind : uint8_t {
        Any,          ///< any node
        Same,         ///< the node that is captured as `name` elsewhere
        Constant,     ///< a node whose value is known; with `value`: that value, bit by bit
        Op,           ///< an operation on operands
        Either,       ///< one of `operands`, tried in order
        MaybeAbsent,  ///< an operand that may be missing; captured when it is there
        Hole,         ///< inside the wrapper of `optional`: what is wrapped
    };
    Kind kind = Kind::Any;
    OpId op = -1;
    bool any_order = false;
    std::string name;  ///< of the capture; empty: not captured
    std::optional<double> value;
    std::vector<Pattern> operands;

    /// Also captures the node.
    Pattern as(std::string capture) &&;
    /// The two operands may come in either order.
    Pattern commutative() &&;
    /// `exp(any("x"))`, operations as `#7`: for errors and tests.
    std::string str() const;
};

/// Any node, captured as `name`.
Pattern any(std::string name);
/// The node captured as `name` elsewhere in the pattern.
Pattern same(std::string name);
/// A node of known value, captured as `name`.
Pattern constant(std::string name);
/// A node of exactly this value: -0.0 is not 0.0, and a NaN is each NaN.
Pattern constant(double value);
/// Operation `op` on exactly these operands.
Pattern op(OpId op, std::vector<Pattern> operands);
/// One of several patterns, in order of preference.
Pattern either(std::vector<Pattern> patterns);
/// Last operand of an operation: a node captured as `name`, or nothing.
Pattern maybe(std::string name);
/// Where the wrapped node stands in the wrapper of `optional`.
Pattern it();
/// `inner`, or `wrapper` with `inner` in the place of `it()`:
/// `optional(add(it(), any("offset")), row_index())`.
Pattern optional(const Pattern &wrapper, const Pattern &inner);

/// The nodes that a rule's pattern found.
class Match {
public:
    static constexpr int max_captures = 16;
    static constexpr int max_operations = 24;

    /// The node in the place of the whole pattern: what the replacement replaces.
    NodeId root() const { return root_; }
    /// The node captured as `name`; InternalError when the pattern has no such capture or the
    /// optional part that has it is absent.
    NodeId operator[](std::string_view name) const;
    bool has(std::string_view name) const { return find(name) != no_node; }
    /// The nodes of the pattern's operations, the root first.
    std::span<const NodeId> operations() const {
        return {operations_, static_cast<size_t>(operation_count_)};
    }

private:
    friend class Matcher;

    NodeId find(std::string_view name) const;

    const std::vector<std::string> *names_ = nullptr;
    NodeId root_ = no_node;
    NodeId captures_[max_captures] = {};
    NodeId operations_[max_operations] = {};
    int operation_count_ = 0;
};

class Graph;

/// A pattern ready to be matched.
class Matcher {
public:
    /// InternalError for a pattern that cannot be matched: its root is not one operation, a name is
    /// captured twice or by nothing but `same`, more than 16 captures, 24 operations, or 8 operands
    /// of one.
    explicit Matcher(const Pattern &pattern);

    /// Operation of the root.
    OpId root_op() const { return root_op_; }
    /// Tries the ways in which the pattern fits at `node`, in order, until `accept` takes one.
    bool match(const Graph &graph, NodeId node,
               const std::function<bool(const Match &)> &accept) const;

private:
    /// A pattern with its capture's index, in `steps_`.
    struct Step {
        Pattern::Kind kind;
        bool any_order;
        OpId op;
        int capture;  ///< -1: none
        std::optional<double> value;
        std::vector<int> operands;
    };
    struct Goal;
    struct Search;

    int compile(const Pattern &pattern);
    /// Whether the goals can be met; each choice goes on with the rest of them.
    bool solve(Search &search, const Goal *goals) const;
    bool solve_operation(Search &search, const Step &step, const Goal &goal) const;
    bool bind(Search &search, const Step &step, const Goal &goal) const;

    OpId root_op_ = -1;
    std::vector<std::string> names_;
    std::vector<Step> steps_;
};

}  // namespace pto::wsp::rewrite
