#include "pto/wsp/kernel/cycles.h"

#include <algorithm>
#include <set>

#include "pto/wsp/kernel/evaluate.h"

namespace pto::wsp::kernel {

namespace {

/// Cycles that are not known, and why.
struct Unknown {
    std::string why;
};

class CycleCount {
public:
    CycleCount(const TileProgram &program, const std::map<std::string, int64_t> &symbols,
               const std::vector<std::optional<int64_t>> &scalars)
        : program_(program), symbols_(symbols), known_(program.values.size()),
          read_(program.values.size(), false) {
        for (size_t v = 0; v < program.values.size(); ++v) {
            const int param = program.values[v].param;
            if (param >= 0 && static_cast<size_t>(param) < scalars.size()) {
                known_[v] = scalars[static_cast<size_t>(param)];
            }
        }
        for (const Node &node : program.nodes) {
            note_uses(node);
        }
    }

    int64_t count() {
        int64_t total = 0;
        for (const int param : operands_) {
            add(total, area(program_.params[static_cast<size_t>(param)].type));
        }
        add(total, block(0));
        return total;
    }

private:
    /// Uses by operations other than matmul: of parameters, and of products.
    void note_uses(const Node &node) {
        if (node.op == Op::Matmul || node.op == Op::Print) {
            return;
        }
        for (const Value operand : node.operands) {
            const int made_by = program_.values[static_cast<size_t>(operand)].node;
            if (program_.writing.operand_loads.count(made_by) > 0) {
                operands_.insert(param_of(program_.nodes[static_cast<size_t>(made_by)]));
            }
            read_[static_cast<size_t>(operand)] =
                read_[static_cast<size_t>(operand)] || !is_store(node.op);
        }
    }

    void add(int64_t &total, int64_t more) const {
        if (__builtin_add_overflow(total, more, &total)) {
            overflow();
        }
    }

    int64_t multiply(int64_t a, int64_t b) const {
        int64_t result = 0;
        if (__builtin_mul_overflow(a, b, &result)) {
            overflow();
        }
        return result;
    }

    [[noreturn]] void overflow() const {
        throw CompileError(program_.at,
                           "kernel '" + program_.name + "': its virtual cycles pass 2^63");
    }

    int64_t extent(const Affine &dim) const {
        for (const auto &[name, coefficient] : dim.terms()) {
            if (symbols_.count(name) == 0) {
                throw Unknown{"the size " + dim.str() + " in kernel '" + program_.name +
                              "' is not known"};
            }
        }
        return dim.evaluate(symbols_);
    }

    int64_t area(const TileType &type) const {
        return multiply(extent(type.rows), extent(type.columns));
    }

    int64_t area(Value value) const { return area(program_.type(value)); }

    int64_t block(int number) {
        int64_t total = 0;
        for (const int index : program_.blocks[static_cast<size_t>(number)].nodes) {
            const Node &node = program_.nodes[static_cast<size_t>(index)];
            follow(node);
            if (program_.writing.implied.count(index) == 0) {
                add(total, cost(node));
            }
        }
        return total;
    }

    int64_t cost(const Node &node) {
        switch (node.op) {
        case Op::Constant:
        case Op::IotaU32:
        case Op::ExtractTopkIndices:
        case Op::Print:
            return 0;
        case Op::Store:
        case Op::StoreMasked:
            return store(node);
        case Op::Matmul:
            return product(node);
        case Op::Rowmean:
            return multiply(2, area(node.results[0]));
        case Op::Tsort32:
            return multiply(5, area(node.operands[0]));
        case Op::ForiLoop:
            return loop(node);
        default:
            break;
        }
        // Sums and extremes give as many elements as their result is long.
        int64_t total = 0;
        for (const Value result : node.results) {
            add(total, area(result));
        }
        return total;
    }

    int64_t store(const Node &node) const {
        const TileType &from = program_.type(node.operands[0]);
        const DType to = program_.params[static_cast<size_t>(param_of(node))].type.dtype;
        const bool narrows = from.dtype == DType::F32 && (to == DType::F16 || to == DType::BF16);
        return multiply(narrows ? 2 : 1, area(from));
    }

    int64_t product(const Node &node) const {
        const TileType &a = program_.type(node.operands[0]);
        const TileType &result = program_.type(node.results[0]);
        const int64_t m = extent(result.rows);
        const int64_t n = extent(result.columns);
        const int64_t k = extent(has_flag(node.attributes, "trans_a") ? a.rows : a.columns);
        int64_t total = multiply(multiply(m, k), n);
        add(total, multiply(m, k));
        add(total, multiply(k, n));
        if (read_[static_cast<size_t>(node.results[0])]) {
            add(total, multiply(m, n));
        }
        return total;
    }

    int64_t loop(const Node &node) {
        const std::optional<int64_t> first = known_[static_cast<size_t>(node.operands[0])];
        const std::optional<int64_t> last = known_[static_cast<size_t>(node.operands[1])];
        if (!first || !last) {
            throw Unknown{"the bounds of a loop in kernel '" + program_.name + "' (" +
                          node.at.str() + ") depend on data"};
        }
        const Block &body = program_.blocks[static_cast<size_t>(node.block)];
        const auto index = static_cast<size_t>(body.arguments[0]);
        const std::string symbol = loop_symbol(node);
        const bool same = symbol.empty() && !has_loop(body);
        int64_t total = 0;
        for (int64_t i = *first; i < *last; ++i) {
            known_[index] = i;
            if (!symbol.empty()) {
                symbols_[symbol] = i;
            }
            const int64_t once = block(node.block);
            if (same) {
                return multiply(once, *last - *first);
            }
            add(total, once);
        }
        return total;
    }

    bool has_loop(const Block &block) const {
        return std::ranges::any_of(block.nodes, [&](int index) {
            return program_.nodes[static_cast<size_t>(index)].op == Op::ForiLoop;
        });
    }

    /// The value of an integer scalar, where those of its operands are known.
    void follow(const Node &node) {
        const OpInfo &row = info(node.op);
        if (node.results.size() != 1 || row.reference == nullptr) {
            return;
        }
        const TileType &type = program_.type(node.results[0]);
        std::optional<int64_t> &value = known_[static_cast<size_t>(node.results[0])];
        value.reset();
        if (!type.is_scalar() || !is_integer(type.dtype)) {
            return;
        }
        std::vector<RefTile> operands;
        for (const Value operand : node.operands) {
            const std::optional<int64_t> number = known_[static_cast<size_t>(operand)];
            if (!number) {
                return;
            }
            RefTile tile{program_.type(operand).dtype, {}, {}};
            tile.integer.setConstant(1, 1, *number);
            operands.push_back(std::move(tile));
        }
        const RefTile made = row.reference(operands, node.attributes, type);
        value = wrap_to(type.dtype, made.integer(0, 0));
    }

    const TileProgram &program_;
    std::map<std::string, int64_t> symbols_;
    std::vector<std::optional<int64_t>> known_;  ///< of integer scalars
    std::vector<bool> read_;                     ///< by an operation other than matmul and store
    std::set<int> operands_;  ///< parameters that are operands of an operation other than matmul
};

}  // namespace

Cycles cycles(const TileProgram &program, const std::map<std::string, int64_t> &symbols,
              const std::vector<std::optional<int64_t>> &scalars) {
    if (program.custom != nullptr) {
        return {};
    }
    try {
        return {CycleCount(program, symbols, scalars).count(), ""};
    } catch (const Unknown &unknown) {
        return {0, unknown.why};
    }
}

}  // namespace pto::wsp::kernel
