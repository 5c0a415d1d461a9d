#include <map>
#include <set>

#include <fmt/format.h>

#include "check.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

/// Walks a program in order. Nothing is assumed of it: it may be hand-made or read from a text.
class Verifier {
public:
    explicit Verifier(const TileProgram &program)
        : program_(program), visible_(program.values.size(), false),
          entered_(program.blocks.size(), false), visited_(program.nodes.size(), false),
          stored_(program.params.size(), false) {}

    void run() {
        check_params();
        check_loop_symbols();
        for (size_t v = 0; v < program_.values.size(); ++v) {
            check_value(v);
        }
        if (program_.blocks.empty() || !program_.blocks[0].arguments.empty() ||
            !program_.blocks[0].yields.empty()) {
            fail(program_.at, "the root block has arguments or yields, or there is none");
        }
        enter(0, program_.at);
        for (size_t n = 0; n < program_.nodes.size(); ++n) {
            if (!visited_[n]) {
                fail(program_.nodes[n].at, fmt::format("node {} is in no block", n));
            }
        }
    }

private:
    [[noreturn]] void fail(const Loc &at, const std::string &text) const {
        throw TypeCheckError(at, fmt::format("kernel '{}': {}", program_.name, text));
    }

    void check_params() {
        std::set<std::string> names;
        for (const Param &param : program_.params) {
            check_param(program_.name, param);
            if (!names.insert(param.name).second) {
                fail(param.at, fmt::format("there are two parameters '{}'", param.name));
            }
            for (const Affine &dim : {param.type.rows, param.type.columns}) {
                for (const auto &[name, coefficient] : dim.terms()) {
                    param_symbols_.insert(name);
                }
            }
        }
    }

    void check_loop_symbols() {
        for (const Node &node : program_.nodes) {
            std::string symbol = loop_symbol(node);
            if (!symbol.empty() && (!is_identifier(symbol) || param_symbols_.count(symbol) > 0 ||
                                    !loop_symbols_.emplace(symbol, false).second)) {
                fail(node.at, fmt::format("{} cannot name the index of a loop, or names two",
                                          quoted(symbol)));
            }
        }
    }

    void check_value(size_t v) {
        const ValueInfo &value = program_.values[v];
        if (value.param < 0) {
            return;
        }
        if (static_cast<size_t>(value.param) >= program_.params.size() || value.node >= 0) {
            fail(value.at, fmt::format("value {} is of no parameter", v));
        }
        const Param &param = program_.params[static_cast<size_t>(value.param)];
        if (param.kind != Param::Kind::Scalar || !(param.type == value.type)) {
            fail(value.at, fmt::format("value {} is not the scalar '{}'", v, param.name));
        }
        visible_[v] = true;
    }

    void require_visible(Value value, const std::string &user, const Loc &at) const {
        if (value < 0 || static_cast<size_t>(value) >= visible_.size()) {
            fail(at, fmt::format("{} uses value {}, which does not exist", user, value));
        }
        if (!visible_[static_cast<size_t>(value)]) {
            fail(at, fmt::format("{} uses a value that is not made before it, or only in the body "
                                 "of a loop",
                                 user));
        }
    }

    /// Makes `value`, whose maker is node `node` (or -1), visible in the block.
    void define(Value value, int node, const Loc &at, std::vector<Value> &defined) {
        if (value < 0 || static_cast<size_t>(value) >= visible_.size()) {
            fail(at, fmt::format("value {} does not exist", value));
        }
        const ValueInfo &info = program_.values[static_cast<size_t>(value)];
        if (visible_[static_cast<size_t>(value)] || info.node != node || info.param >= 0) {
            fail(at, fmt::format("value {} is made twice", value));
        }
        visible_[static_cast<size_t>(value)] = true;
        defined.push_back(value);
    }

    void enter(int index, const Loc &at) {
        if (index < 0 || static_cast<size_t>(index) >= program_.blocks.size() ||
            entered_[static_cast<size_t>(index)]) {
            fail(at, fmt::format("block {} is not the body of one loop", index));
        }
        entered_[static_cast<size_t>(index)] = true;
        if (++depth_ > max_nesting + 1) {
            fail(at, fmt::format("loops nest deeper than {}", max_nesting));
        }
        const Block &block = program_.blocks[static_cast<size_t>(index)];
        std::vector<Value> defined;
        for (Value argument : block.arguments) {
            define(argument, -1, at, defined);
        }
        for (int n : block.nodes) {
            if (n < 0 || static_cast<size_t>(n) >= visited_.size() ||
                visited_[static_cast<size_t>(n)]) {
                fail(at, fmt::format("node {} is not in one block", n));
            }
            visited_[static_cast<size_t>(n)] = true;
            visit(n, defined);
        }
        for (Value yielded : block.yields) {
            require_visible(yielded, "yield", at);
        }
        for (Value value : defined) {
            visible_[static_cast<size_t>(value)] = false;
        }
        --depth_;
    }

    void visit(int n, std::vector<Value> &defined) {
        const Node &node = program_.nodes[static_cast<size_t>(n)];
        for (Value operand : node.operands) {
            require_visible(operand, name(node.op), node.at);
        }
        if (node.op == Op::ForiLoop) {
            loop(node);
        } else {
            operation(node);
        }
        for (Value result : node.results) {
            define(result, n, node.at, defined);
        }
    }

    void operation(const Node &node) {
        TileType type = check_node(program_, node);
        size_t results = has_effect(node.op) ? 0 : 1;
        if (node.results.size() != results || node.block >= 0) {
            fail(node.at, fmt::format("{} has {} results", name(node.op), node.results.size()));
        }
        if (results == 1) {
            require_type(node.results[0], type, name(node.op), node.at);
            check_symbols(type.rows, node.at);
            check_symbols(type.columns, node.at);
        }
        if (info(node.op).kind == OpKind::Memory) {
            order(node);
        }
    }

    /// A dim names the indices of loops around it only.
    void check_symbols(const Affine &dim, const Loc &at) const {
        for (const auto &[name, coefficient] : dim.terms()) {
            auto loop = loop_symbols_.find(name);
            if (loop != loop_symbols_.end() && !loop->second) {
                fail(at, fmt::format("{} names the index of a loop outside of it", dim.str()));
            }
        }
    }

    void require_type(Value value, const TileType &type, const std::string &what, const Loc &at) {
        if (value < 0 || static_cast<size_t>(value) >= program_.values.size()) {
            fail(at, fmt::format("value {} does not exist", value));
        }
        if (!(program_.type(value) == type)) {
            throw TypeCheckError(at, fmt::format("{} gives {}, not {}", what, type.str(),
                                                 program_.type(value).str()));
        }
    }

    /// An output holds nothing before it is stored to.
    void order(const Node &node) {
        auto index = static_cast<size_t>(std::get<int64_t>(node.attributes.at("param")));
        const Param &param = program_.params[index];
        if (node.op == Op::Store) {
            stored_[index] = true;
        } else if (node.op == Op::Load && param.direction == Direction::Out && !stored_[index]) {
            throw TypeCheckError(
                node.at,
                fmt::format("load: the output '{}' is read before anything is stored to it",
                            param.name),
                {{param.at, fmt::format("'{}' is declared here", param.name)}},
                "declare it InOut to read what it held before");
        }
    }

    void loop(const Node &node) {
        std::string symbol = loop_symbol(node);
        if (node.operands.size() < 2 || node.attributes.size() != (symbol.empty() ? 0U : 1U)) {
            fail(node.at, "fori_loop has no bounds, or attributes other than its symbol");
        }
        check_index(program_, "fori_loop: lo", node.operands[0], node.at);
        check_index(program_, "fori_loop: hi", node.operands[1], node.at);
        size_t carries = node.operands.size() - 2;
        if (!symbol.empty()) {
            loop_symbols_[symbol] = true;
        }
        enter(node.block, node.at);
        if (!symbol.empty()) {
            loop_symbols_[symbol] = false;
        }
        const Block &body = program_.blocks[static_cast<size_t>(node.block)];
        if (node.results.size() != carries || body.yields.size() != carries ||
            body.arguments.size() != carries + 1) {
            fail(node.at, fmt::format("fori_loop carries {} values, its body takes {} and yields "
                                      "{}, and {} result",
                                      carries, body.arguments.size(), body.yields.size(),
                                      node.results.size()));
        }
        check_index(program_, "fori_loop: the index", body.arguments[0], node.at);
        for (size_t c = 0; c < carries; ++c) {
            const TileType &type = program_.type(node.operands[c + 2]);
            std::string what = fmt::format("carry {} of fori_loop", c);
            require_type(body.arguments[c + 1], type, what, node.at);
            require_type(body.yields[c], type, what, node.at);
            require_type(node.results[c], type, what, node.at);
        }
    }

    const TileProgram &program_;
    std::vector<bool> visible_;
    std::vector<bool> entered_;
    std::vector<bool> visited_;
    std::vector<bool> stored_;
    std::set<std::string> param_symbols_;
    std::map<std::string, bool> loop_symbols_;  ///< and whether we are in that loop
    int depth_ = 0;
};

}  // namespace

void verify(const TileProgram &program) {
    Verifier(program).run();
}

}  // namespace pto::wsp::kernel
