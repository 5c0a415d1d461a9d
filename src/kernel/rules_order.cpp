#include <algorithm>

#include "rules_graph.h"

namespace pto::wsp::kernel {

namespace {

size_t at(int index) {
    return static_cast<size_t>(index);
}

/// Copies a program, block by block: what has an effect in its order, and before it what it needs.
class Orderer {
public:
    explicit Orderer(const TileProgram &program)
        : p_(program), builder_(program.name, program.at), map_(program.values.size(), no_value) {}

    std::shared_ptr<const TileProgram> run() {
        for (const Param &param : p_.params) {
            builder_.param(param);
        }
        for (size_t v = 0; v < p_.values.size(); ++v) {
            if (p_.values[v].param >= 0) {
                map_[v] = builder_.scalar(p_.values[v].param);
            }
        }
        block(0);
        return builder_.finish();
    }

private:
    static constexpr Value no_value = rewrite::no_node;

    /// What stays where it is among others of its kind.
    bool stays(const Node &node) const {
        return has_effect(node.op) || node.op == Op::ForiLoop ||
               (node.op == Op::Load && p_.params[at(param_of(node))].direction != Direction::In);
    }

    void block(int index) {
        for (int n : p_.blocks[at(index)].nodes) {
            const Node &node = p_.nodes[at(n)];
            if (!stays(node)) {
                continue;
            }
            for (Value operand : node.operands) {
                need(operand);
            }
            if (node.op == Op::ForiLoop) {
                loop(node);
            } else {
                copy(node);
            }
        }
    }

    /// Makes `value` and first what it is made of, unless it is there. On a stack of its own:
    /// programs may be deep.
    void need(Value value) {
        std::vector<Value> stack{value};
        while (!stack.empty()) {
            Value top = stack.back();
            if (map_[at(top)] != no_value) {
                stack.pop_back();
                continue;
            }
            const Node &node = p_.nodes[at(p_.values[at(top)].node)];
            auto missing = std::find_if(node.operands.begin(), node.operands.end(),
                                        [&](Value v) { return map_[at(v)] == no_value; });
            if (missing != node.operands.end()) {
                stack.push_back(*missing);
            } else {
                copy(node);
            }
        }
    }

    void copy(const Node &node) {
        std::vector<Value> operands;
        for (Value operand : node.operands) {
            operands.push_back(map_[at(operand)]);
        }
        Value made = builder_.op(node.op, std::move(operands), node.attributes, node.at);
        if (!node.results.empty()) {
            map_[at(node.results[0])] = made;
        }
    }

    /// What the body of a loop needs from outside of it is made before it.
    void need_outside(int block, std::vector<bool> &inside) {
        const Block &body = p_.blocks[at(block)];
        for (Value argument : body.arguments) {
            inside[at(argument)] = true;
        }
        for (int n : body.nodes) {
            const Node &node = p_.nodes[at(n)];
            need_outside(node.operands, inside);
            if (node.block >= 0) {
                need_outside(node.block, inside);
            }
            for (Value result : node.results) {
                inside[at(result)] = true;
            }
        }
        need_outside(body.yields, inside);
    }

    void need_outside(const std::vector<Value> &values, const std::vector<bool> &inside) {
        for (Value value : values) {
            if (!inside[at(value)]) {
                need(value);
            }
        }
    }

    void loop(const Node &node) {
        std::vector<bool> inside(p_.values.size(), false);
        need_outside(node.block, inside);
        std::vector<Value> carries;
        for (size_t c = 2; c < node.operands.size(); ++c) {
            carries.push_back(map_[at(node.operands[c])]);
        }
        const Block &body = p_.blocks[at(node.block)];
        auto copied = [&](Value index, const std::vector<Value> &arguments) {
            map_[at(body.arguments[0])] = index;
            for (size_t c = 0; c < arguments.size(); ++c) {
                map_[at(body.arguments[c + 1])] = arguments[c];
            }
            block(node.block);
            std::vector<Value> yields;
            for (Value yielded : body.yields) {
                need(yielded);
                yields.push_back(map_[at(yielded)]);
            }
            return yields;
        };
        std::vector<Value> results =
            builder_.fori_loop(map_[at(node.operands[0])], map_[at(node.operands[1])],
                               std::move(carries), copied, node.at, loop_symbol(node));
        for (size_t i = 0; i < results.size(); ++i) {
            map_[at(node.results[i])] = results[i];
        }
    }

    const TileProgram &p_;
    Builder builder_;
    std::vector<Value> map_;
};

}  // namespace

std::shared_ptr<const TileProgram> in_order_of_need(const TileProgram &program) {
    return Orderer(program).run();
}

}  // namespace pto::wsp::kernel
