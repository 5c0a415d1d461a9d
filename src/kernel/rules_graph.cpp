#include "rules_graph.h"

#include <algorithm>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

using rewrite::no_node;
using rewrite::NodeId;

namespace {

size_t at(int index) {
    return static_cast<size_t>(index);
}

}  // namespace

TileGraph::TileGraph(std::shared_ptr<const TileProgram> program)
    : program_(std::move(program)), uses_(program_->values.size(), 0),
      live_(program_->nodes.size(), false) {
    mark_live();
}

void TileGraph::mark_live() {
    const TileProgram &p = *program_;
    std::vector<int> block_of(p.nodes.size(), 0);
    std::vector<int> loop_of(p.blocks.size(), -1);
    for (size_t b = 0; b < p.blocks.size(); ++b) {
        for (int n : p.blocks[b].nodes) {
            block_of[at(n)] = static_cast<int>(b);
            if (p.nodes[at(n)].block >= 0) {
                loop_of[at(p.nodes[at(n)].block)] = n;
            }
        }
    }
    std::vector<int> todo;
    auto need = [&](int n) {
        if (n >= 0 && !live_[at(n)]) {
            live_[at(n)] = true;
            todo.push_back(n);
        }
    };
    auto use = [&](Value value) {
        uses_[at(value)] += 1;
        need(p.values[at(value)].node);
    };
    for (size_t n = 0; n < p.nodes.size(); ++n) {
        if (p.nodes[n].op == Op::Store) {
            need(static_cast<int>(n));
        }
    }
    while (!todo.empty()) {
        int n = todo.back();
        todo.pop_back();
        const Node &node = p.nodes[at(n)];
        need(loop_of[at(block_of[at(n)])]);
        for (Value operand : node.operands) {
            use(operand);
        }
        if (node.block >= 0) {
            for (Value yielded : p.blocks[at(node.block)].yields) {
                use(yielded);
            }
        }
    }
}

const Node *TileGraph::node_of(NodeId value) const {
    int node = program_->values[at(value)].node;
    return node < 0 ? nullptr : &program_->nodes[at(node)];
}

const Attributes &TileGraph::attributes(NodeId value) const {
    static const Attributes none;
    const Node *node = node_of(value);
    return node == nullptr ? none : node->attributes;
}

std::vector<const Node *> TileGraph::users(NodeId value) const {
    std::vector<const Node *> found;
    auto among = [value](const std::vector<Value> &values) {
        return std::find(values.begin(), values.end(), value) != values.end();
    };
    for (size_t n = 0; n < program_->nodes.size(); ++n) {
        const Node &node = program_->nodes[n];
        bool yields = node.block >= 0 && among(program_->blocks[at(node.block)].yields);
        if (live_[n] && (yields || among(node.operands))) {
            found.push_back(&node);
        }
    }
    return found;
}

const Node *TileGraph::loop_of_index(NodeId value) const {
    for (const Node &node : program_->nodes) {
        if (node.block >= 0 && program_->blocks[at(node.block)].arguments[0] == value) {
            return &node;
        }
    }
    return nullptr;
}

bool TileGraph::has_dead_nodes() const {
    return std::find(live_.begin(), live_.end(), false) != live_.end();
}

NodeId TileGraph::size() const {
    return static_cast<NodeId>(program_->values.size());
}

rewrite::OpId TileGraph::op(NodeId value) const {
    const Node *node = node_of(value);
    return node == nullptr ? -1 : static_cast<rewrite::OpId>(node->op);
}

std::span<const NodeId> TileGraph::operands(NodeId value) const {
    const Node *node = node_of(value);
    return node == nullptr ? std::span<const NodeId>() : std::span<const NodeId>(node->operands);
}

int TileGraph::uses(NodeId value) const {
    return uses_[at(value)];
}

std::optional<double> TileGraph::constant(NodeId value) const {
    const Node *node = node_of(value);
    if (node == nullptr || node->op != Op::Constant) {
        return std::nullopt;
    }
    const Attribute &number = node->attributes.at("value");
    if (const auto *integer = std::get_if<int64_t>(&number)) {
        return static_cast<double>(*integer);
    }
    return std::get<double>(number);
}

Loc TileGraph::where(NodeId value) const {
    return program_->values[at(value)].at;
}

std::string TileGraph::text(NodeId value) const {
    const ValueInfo &info = program_->values[at(value)];
    if (std::optional<double> number = constant(value)) {
        return "constant " + number_text(*number);
    }
    std::string what = "argument";
    if (info.param >= 0) {
        what = program_->params[at(info.param)].name;
    } else if (info.node >= 0) {
        what = name(program_->nodes[at(info.node)].op);
    }
    return what + " " + info.type.shape_str();
}

std::shared_ptr<const rewrite::Graph> TileGraph::rebuild(const Replace &replace) const {
    return std::make_shared<TileGraph>(Rebuild(*this, replace).run());
}

TileGraph::Rebuild::Rebuild(const TileGraph &old, const Replace &replace)
    : old_(old), replace_(replace), builder_(old.program()->name, old.program()->at),
      map_(old.program()->values.size(), no_node) {}

std::shared_ptr<const TileProgram> TileGraph::Rebuild::run() {
    const TileProgram &p = *old_.program();
    for (const Param &param : p.params) {
        builder_.param(param);
    }
    for (size_t v = 0; v < p.values.size(); ++v) {
        if (p.values[v].param >= 0) {
            map_[v] = builder_.scalar(p.values[v].param);
        }
    }
    copy_block(0);
    return builder_.finish();
}

void TileGraph::Rebuild::copy_block(int block) {
    const TileProgram &p = *old_.program();
    for (int n : p.blocks[at(block)].nodes) {
        if (old_.live_[at(n)]) {
            copy_node(p.nodes[at(n)]);
        }
    }
}

void TileGraph::Rebuild::copy_node(const Node &node) {
    at_ = node.at;
    if (node.op == Op::ForiLoop) {
        copy_loop(node);
        return;
    }
    std::vector<Value> operands;
    for (Value operand : node.operands) {
        operands.push_back((*this)(operand));
    }
    Value made = node.results.empty() ? no_node : replaced(node);
    if (made == no_node) {
        made = builder_.op(node.op, std::move(operands), node.attributes, node.at);
    }
    if (!node.results.empty()) {
        map_[at(node.results[0])] = made;
    }
}

Value TileGraph::Rebuild::replaced(const Node &node) {
    Value old = node.results[0];
    Value made = old_.uses(old) == 0 ? no_node : replace_(old, *this);
    if (made != no_node && !(builder_.type(made) == old_.type(old))) {
        throw InternalError("rewrite", "a rule replaced " + old_.text(old) + " of type " +
                                           old_.type(old).str() + " by a value of type " +
                                           builder_.type(made).str());
    }
    return made;
}

void TileGraph::Rebuild::copy_loop(const Node &node) {
    const Block &block = old_.program()->blocks[at(node.block)];
    std::vector<Value> carries;
    for (size_t i = 2; i < node.operands.size(); ++i) {
        carries.push_back((*this)(node.operands[i]));
    }
    auto body = [&](Value index, const std::vector<Value> &arguments) {
        map_[at(block.arguments[0])] = index;
        for (size_t i = 0; i < arguments.size(); ++i) {
            map_[at(block.arguments[i + 1])] = arguments[i];
        }
        copy_block(node.block);
        std::vector<Value> yields;
        for (Value yielded : block.yields) {
            yields.push_back((*this)(yielded));
        }
        return yields;
    };
    std::vector<Value> results =
        builder_.fori_loop((*this)(node.operands[0]), (*this)(node.operands[1]), std::move(carries),
                           body, node.at, loop_symbol(node));
    for (size_t i = 0; i < results.size(); ++i) {
        map_[at(node.results[i])] = results[i];
    }
}

Value TileGraph::Rebuild::op(Op op, std::vector<Value> operands, Attributes attributes) {
    return builder_.op(op, std::move(operands), std::move(attributes), at_);
}

Value TileGraph::Rebuild::constant(double value, DType dtype) {
    return is_integer(dtype) ? builder_.constant(static_cast<int64_t>(value), dtype, at_)
                             : builder_.constant(value, dtype, at_);
}

Value TileGraph::Rebuild::like(Value old, std::vector<Value> operands) {
    return op(static_cast<Op>(old_.op(old)), std::move(operands), old_.attributes(old));
}

}  // namespace pto::wsp::kernel
