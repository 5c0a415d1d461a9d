#include "rules_graph.h"

#include <algorithm>
#include <set>

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
    : program_(std::move(program)), block_of_(program_->values.size(), 0),
      live_(program_->nodes.size(), false) {
    find_blocks();
    uses_.assign(at(size()), 0);
    mark_live();
}

void TileGraph::find_blocks() {
    const TileProgram &p = *program_;
    for (size_t n = 0; n < p.nodes.size(); ++n) {
        if (p.nodes[n].op == Op::ForiLoop) {
            loops_.push_back(static_cast<int>(n));
        }
    }
    for (size_t b = 0; b < p.blocks.size(); ++b) {
        for (Value argument : p.blocks[b].arguments) {
            block_of_[at(argument)] = static_cast<int>(b);
        }
        for (int n : p.blocks[b].nodes) {
            for (Value result : p.nodes[at(n)].results) {
                block_of_[at(result)] = static_cast<int>(b);
            }
        }
    }
}

namespace {

/// What the stores and prints of a program need. A loop is needed for a result, and then with the
/// tile that it carries for it and what the next one is made of, or for what its body stores.
class Liveness {
public:
    Liveness(const TileProgram &program, std::vector<int> &uses, std::vector<bool> &live)
        : p_(program), uses_(uses), live_(live), loop_of_(program.blocks.size(), -1),
          block_of_(program.nodes.size(), 0), argument_(program.values.size()) {
        for (size_t b = 0; b < p_.blocks.size(); ++b) {
            for (size_t a = 0; a < p_.blocks[b].arguments.size(); ++a) {
                argument_[at(p_.blocks[b].arguments[a])] = {static_cast<int>(b), a};
            }
            for (int n : p_.blocks[b].nodes) {
                block_of_[at(n)] = static_cast<int>(b);
                if (p_.nodes[at(n)].block >= 0) {
                    loop_of_[at(p_.nodes[at(n)].block)] = n;
                }
            }
        }
    }

    void run() {
        for (size_t n = 0; n < p_.nodes.size(); ++n) {
            if (has_effect(p_.nodes[n].op)) {
                need(static_cast<int>(n));
            }
        }
        while (!todo_.empty()) {
            int n = todo_.back();
            todo_.pop_back();
            need(loop_of_[at(block_of_[at(n)])]);
            const Node &node = p_.nodes[at(n)];
            size_t count = node.op == Op::ForiLoop ? 2 : node.operands.size();
            for (size_t i = 0; i < count; ++i) {
                use(node.operands[i]);
            }
        }
    }

private:
    void need(int n) {
        if (n >= 0 && !live_[at(n)]) {
            live_[at(n)] = true;
            todo_.push_back(n);
        }
    }

    void use(Value value) {
        uses_[at(value)] += 1;
        if (uses_[at(value)] > 1) {
            return;
        }
        int n = p_.values[at(value)].node;
        if (auto [block, index] = argument_[at(value)]; block > 0 && index > 0) {
            carry(p_.nodes[at(loop_of_[at(block)])], index - 1);
        } else if (n >= 0 && p_.nodes[at(n)].op == Op::ForiLoop) {
            const std::vector<Value> &results = p_.nodes[at(n)].results;
            carry(p_.nodes[at(n)],
                  at(static_cast<int>(std::find(results.begin(), results.end(), value) -
                                      results.begin())));
        }
        need(n);
    }

    void carry(const Node &loop, size_t index) {
        const Block &body = p_.blocks[at(loop.block)];
        if (carried_.insert(body.arguments[index + 1]).second) {
            use(loop.operands[index + 2]);
            use(body.yields[index]);
        }
    }

    const TileProgram &p_;
    std::vector<int> &uses_;
    std::vector<bool> &live_;
    std::vector<int> loop_of_;   ///< of a block
    std::vector<int> block_of_;  ///< of a node
    std::vector<std::pair<int, size_t>> argument_;
    std::set<Value> carried_;
    std::vector<int> todo_;
};

/// Whether a loop that is needed carries its tile `index` for anything.
bool is_carried(const TileProgram &p, const std::vector<int> &uses, const Node &loop,
                size_t index) {
    return uses[at(loop.results[index])] > 0 ||
           uses[at(p.blocks[at(loop.block)].arguments[index + 1])] > 0;
}

}  // namespace

void TileGraph::mark_live() {
    Liveness(*program_, uses_, live_).run();
    for (int n : loops_) {
        uses_[at(node_of_loop(n))] = live_[at(n)] ? 1 : 0;
    }
}

NodeId TileGraph::node_of_loop(int n) const {
    return value_count() +
           static_cast<NodeId>(std::lower_bound(loops_.begin(), loops_.end(), n) - loops_.begin());
}

const Node &TileGraph::loop(NodeId loop) const {
    return program_->nodes[at(loops_[at(loop - value_count())])];
}

const Block &TileGraph::body(NodeId loop) const {
    return program_->blocks[at(this->loop(loop).block)];
}

bool TileGraph::stores(int block) const {
    const std::vector<int> &nodes = program_->blocks[at(block)].nodes;
    return std::any_of(nodes.begin(), nodes.end(), [this](int n) {
        const Node &node = program_->nodes[at(n)];
        return has_effect(node.op) || (node.block >= 0 && stores(node.block));
    });
}

bool TileGraph::has_store(NodeId loop) const {
    return stores(this->loop(loop).block);
}

/// Null for what no operation of the pattern language makes: arguments, and results of loops.
const Node *TileGraph::node_of(NodeId value) const {
    int node = program_->values[at(value)].node;
    bool made = node >= 0 && program_->nodes[at(node)].op != Op::ForiLoop;
    return made ? &program_->nodes[at(node)] : nullptr;
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
    return std::find(live_.begin(), live_.end(), false) != live_.end() ||
           std::any_of(loops_.begin(), loops_.end(), [this](int n) {
               const Node &loop = program_->nodes[at(n)];
               for (size_t c = 0; c < loop.results.size(); ++c) {
                   if (!is_carried(*program_, uses_, loop, c)) {
                       return true;
                   }
               }
               return false;
           });
}

NodeId TileGraph::size() const {
    return value_count() + static_cast<NodeId>(loops_.size());
}

rewrite::OpId TileGraph::op(NodeId node) const {
    if (is_loop(node)) {
        return static_cast<rewrite::OpId>(Op::ForiLoop);
    }
    const Node *made_by = node_of(node);
    return made_by == nullptr ? -1 : static_cast<rewrite::OpId>(made_by->op);
}

std::span<const NodeId> TileGraph::operands(NodeId node) const {
    if (is_loop(node)) {
        return std::span<const NodeId>(loop(node).operands).first(2);
    }
    const Node *made_by = node_of(node);
    return made_by == nullptr ? std::span<const NodeId>()
                              : std::span<const NodeId>(made_by->operands);
}

int TileGraph::uses(NodeId value) const {
    return uses_[at(value)];
}

/// The constant that `value` is or repeats, or null.
const Node *TileGraph::constant_of(NodeId value) const {
    const Node *node = is_loop(value) ? nullptr : node_of(value);
    while (node != nullptr && node->op == Op::Broadcast) {
        node = node_of(node->operands[0]);
    }
    return node != nullptr && node->op == Op::Constant ? node : nullptr;
}

const Attribute &TileGraph::number(NodeId value) const {
    return constant_of(value)->attributes.at("value");
}

std::optional<double> TileGraph::constant(NodeId value) const {
    if (constant_of(value) == nullptr) {
        return std::nullopt;
    }
    return number_of(number(value));
}

Loc TileGraph::where(NodeId node) const {
    return is_loop(node) ? loop(node).at : program_->values[at(node)].at;
}

std::string TileGraph::text(NodeId value) const {
    if (is_loop(value)) {
        return name(Op::ForiLoop);
    }
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
            at_ = p.nodes[at(n)].at;
            if (p.nodes[at(n)].op == Op::ForiLoop) {
                copy_loop(p.nodes[at(n)], n);
            } else {
                copy_node(p.nodes[at(n)]);
            }
        }
    }
}

void TileGraph::Rebuild::copy_node(const Node &node) {
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
    if (made != no_node) {
        check_type(old, made);
    }
    return made;
}

void TileGraph::Rebuild::check_type(Value old, Value made) const {
    if (!(builder_.type(made) == old_.type(old))) {
        throw InternalError("rewrite", "a rule replaced " + old_.text(old) + " of type " +
                                           old_.type(old).str() + " by a value of type " +
                                           builder_.type(made).str());
    }
}

std::vector<Value> TileGraph::Rebuild::copy_body(int index, Value i,
                                                 const std::vector<Value> &carries) {
    const Block &block = old_.program()->blocks[at(index)];
    map_[at(block.arguments[0])] = i;
    for (size_t c = 0; c < carries.size(); ++c) {
        map_[at(block.arguments[c + 1])] = carries[c];
    }
    copy_block(index);
    std::vector<Value> yields;
    for (Value yielded : block.yields) {
        yields.push_back((*this)(yielded));
    }
    return yields;
}

void TileGraph::Rebuild::copy_loop(const Node &node, int n) {
    if (replace_(old_.node_of_loop(n), *this) != no_node) {
        return;
    }
    std::vector<size_t> kept;
    std::vector<Value> carries;
    for (size_t c = 0; c < node.results.size(); ++c) {
        if (is_carried(*old_.program(), old_.uses_, node, c)) {
            kept.push_back(c);
            carries.push_back((*this)(node.operands[c + 2]));
        }
    }
    auto body = [&](Value index, const std::vector<Value> &arguments) {
        std::vector<Value> all(node.results.size(), no_node);
        for (size_t i = 0; i < kept.size(); ++i) {
            all[kept[i]] = arguments[i];
        }
        const std::vector<Value> yields = copy_body(node.block, index, all);
        std::vector<Value> next;
        for (size_t c : kept) {
            next.push_back(yields[c]);
        }
        return next;
    };
    std::vector<Value> results =
        builder_.fori_loop((*this)(node.operands[0]), (*this)(node.operands[1]), std::move(carries),
                           body, node.at, loop_symbol(node));
    for (size_t i = 0; i < kept.size(); ++i) {
        map_[at(node.results[kept[i]])] = results[i];
    }
}

void TileGraph::Rebuild::give(NodeId loop, const std::vector<Value> &results) {
    const Node &node = old_.loop(loop);
    for (size_t c = 0; c < results.size(); ++c) {
        if (old_.uses(node.results[c]) > 0) {
            check_type(node.results[c], results[c]);
        }
        map_[at(node.results[c])] = results[c];
    }
}

std::vector<Value> TileGraph::Rebuild::iterate_once(NodeId loop) {
    const Node &node = old_.loop(loop);
    std::vector<Value> carries;
    for (size_t c = 0; c < node.results.size(); ++c) {
        carries.push_back((*this)(node.operands[c + 2]));
    }
    return copy_body(node.block, (*this)(node.operands[0]), carries);
}

Value TileGraph::Rebuild::op(Op op, std::vector<Value> operands, Attributes attributes) {
    return builder_.op(op, std::move(operands), std::move(attributes), at_);
}

Value TileGraph::Rebuild::constant(double value, DType dtype) {
    return is_integer(dtype) ? builder_.constant(static_cast<int64_t>(value), dtype, at_)
                             : builder_.constant(value, dtype, at_);
}

Value TileGraph::Rebuild::uniform(Number value, const TileType &type) {
    Value scalar = builder_.constant(value, type.dtype, at_);
    if (type.is_scalar()) {
        return scalar;
    }
    return op(Op::Broadcast, {scalar}, {{"rows", type.rows}, {"columns", type.columns}});
}

Value TileGraph::Rebuild::like(Value old, std::vector<Value> operands) {
    return op(static_cast<Op>(old_.op(old)), std::move(operands), old_.attributes(old));
}

Value TileGraph::Rebuild::hoisted(Value old) {
    std::vector<Value> operands;
    for (Value operand : old_.operands(old)) {
        operands.push_back((*this)(operand));
    }
    return builder_.hoisted_op(static_cast<Op>(old_.op(old)), std::move(operands),
                               old_.attributes(old), at_);
}

}  // namespace pto::wsp::kernel
