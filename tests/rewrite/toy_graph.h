#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "pto/wsp/rewrite/engine.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::rewrite::toy {

enum ToyOp : OpId { Var = -1, Num = 0, Add, Mul, Neg, Fused, toy_op_count };

struct ToyNode {
    OpId op = Var;
    std::vector<NodeId> operands;
    double value = 0.0;  ///< of Num; of Var: its index
    int line = 0;
    bool operator<(const ToyNode &other) const {
        return std::tie(op, operands, value) < std::tie(other.op, other.operands, other.value);
    }
};

/// Integer arithmetic in doubles, interned: the smallest graph that the engine can rewrite.
class ToyGraph : public Graph {
public:
    class Rebuild;

    NodeId add(ToyNode node) {
        auto known = interned_.find(node);
        if (known != interned_.end()) {
            return known->second;
        }
        NodeId id = size();
        interned_[node] = id;
        nodes_.push_back(std::move(node));
        uses_.push_back(0);
        return id;
    }
    NodeId var(int index) { return add({Var, {}, static_cast<double>(index), 0}); }
    NodeId num(double value) { return add({Num, {}, value, 0}); }
    NodeId make(OpId op, std::vector<NodeId> operands, int line = 0) {
        return add({op, std::move(operands), 0.0, line});
    }
    void set_result(NodeId result) {
        result_ = result;
        std::fill(uses_.begin(), uses_.end(), 0);
        uses_[at(result)] = 1;
        for (size_t i = nodes_.size(); i-- > 0;) {
            for (NodeId operand : uses_[i] > 0 ? nodes_[i].operands : std::vector<NodeId>{}) {
                uses_[at(operand)] += 1;
            }
        }
    }

    NodeId result() const { return result_; }
    double value(NodeId node, const std::vector<double> &vars) const {
        const ToyNode &each = nodes_[at(node)];
        auto operand = [&](size_t i) { return value(each.operands[i], vars); };
        switch (each.op) {
        case Num:
            return each.value;
        case Add:
            return operand(0) + operand(1);
        case Mul:
            return operand(0) * operand(1);
        case Neg:
            return -operand(0);
        case Fused:
            return operand(0) * operand(1) + (each.operands.size() > 2 ? operand(2) : 0.0);
        default:
            return vars[static_cast<size_t>(each.value)];
        }
    }
    std::string str(NodeId node) const {
        static const char *const names[] = {"num", "add", "mul", "neg", "fused"};
        const ToyNode &each = nodes_[at(node)];
        if (each.op == Var) {
            return std::string(1, static_cast<char>('x' + static_cast<int>(each.value)));
        }
        if (each.op == Num) {
            return number_text(each.value);
        }
        std::vector<std::string> operands;
        for (NodeId operand : each.operands) {
            operands.push_back(str(operand));
        }
        return std::string(names[each.op]) + "(" + join(operands) + ")";
    }
    std::string str() const { return str(result_); }

    NodeId size() const override { return static_cast<NodeId>(nodes_.size()); }
    OpId op(NodeId node) const override { return nodes_[at(node)].op; }
    std::span<const NodeId> operands(NodeId node) const override {
        return nodes_[at(node)].operands;
    }
    int uses(NodeId node) const override { return uses_[at(node)]; }
    std::optional<double> constant(NodeId node) const override {
        const ToyNode &each = nodes_[at(node)];
        return each.op == Num ? std::optional<double>(each.value) : std::nullopt;
    }
    Loc where(NodeId node) const override { return {"toy.py", nodes_[at(node)].line}; }
    std::string text(NodeId node) const override { return str(node); }
    std::shared_ptr<const Graph> rebuild(const Replace &replace) const override;

private:
    static size_t at(NodeId node) { return static_cast<size_t>(node); }

    std::vector<ToyNode> nodes_;
    std::vector<int> uses_;
    std::map<ToyNode, NodeId> interned_;
    NodeId result_ = no_node;
};

class ToyGraph::Rebuild : public rewrite::Rebuild {
public:
    NodeId operator()(NodeId old) override { return map[static_cast<size_t>(old)]; }

    std::shared_ptr<ToyGraph> graph = std::make_shared<ToyGraph>();
    std::vector<NodeId> map;
};

inline std::shared_ptr<const Graph> ToyGraph::rebuild(const Replace &replace) const {
    Rebuild to;
    for (NodeId old = 0; old < size(); ++old) {
        NodeId made = uses(old) > 0 ? replace(old, to) : no_node;
        if (made == no_node) {
            ToyNode copy = nodes_[at(old)];
            for (NodeId &operand : copy.operands) {
                operand = to(operand);
            }
            made = to.graph->add(std::move(copy));
        }
        to.map.push_back(made);
    }
    to.graph->set_result(to(result_));
    return to.graph;
}

using ToyRule = RuleFor<ToyGraph>;

inline Pattern add(Pattern a, Pattern b) {
    return op(Add, {std::move(a), std::move(b)}).commutative();
}
inline Pattern mul(Pattern a, Pattern b) {
    return op(Mul, {std::move(a), std::move(b)}).commutative();
}
inline Pattern neg(Pattern a) {
    return op(Neg, {std::move(a)});
}

}  // namespace pto::wsp::rewrite::toy
