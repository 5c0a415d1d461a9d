#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "pto/wsp/kernel/builder.h"
#include "rules_graph.h"

/// Bounds what a causal mask hides. A kernel `store(O, f(causal_mask(s)))`, where f works row by
/// row and everything that the mask hides is neutral to it, becomes a loop over blocks of rows in
/// which only the first n_kv columns exist:
/// ```
/// for i in [0, rows / 64):  n_kv = 64 * i + 64 + offset
///     x = causal_mask(slice(s, 64 * i, 0, [64, n_kv]), 64 * i + offset)
///     store(O, f(x), 64 * i, 0)
/// ```
/// Right operands of products inside f lose the rows that meet hidden columns; those of products
/// below the mask are transposed once, outside of the loop.
namespace pto::wsp::kernel {

namespace {

constexpr int64_t block_rows = 64;

size_t at(int index) {
    return static_cast<size_t>(index);
}

/// Why a kernel is left as it is.
struct NotBounded {
    std::string why;
};

class CausalRows {
public:
    CausalRows(const TileProgram &program, const Node &mask)
        : p_(program), mask_(mask), symbols_(program.symbols()), builder_(program.name, program.at),
          outside_(program.values.size(), -1), masked_(program.values.size(), false),
          prepared_(program.values.size(), false) {
        for (const Node &node : p_.nodes) {
            bool masked =
                &node == &mask_ || std::any_of(node.operands.begin(), node.operands.end(),
                                               [&](Value operand) { return masked_[at(operand)]; });
            for (Value result : node.results) {
                masked_[at(result)] = masked;
            }
        }
    }

    std::shared_ptr<const TileProgram> run() {
        check_shape();
        for (const Param &param : p_.params) {
            builder_.param(param);
        }
        for (int n : p_.blocks[0].nodes) {
            const Node &node = p_.nodes[at(n)];
            if (node.op == Op::Store) {
                store(node);
            }
        }
        return builder_.finish();
    }

private:
    /// One loop over blocks, or one block: its first row and its sizes.
    struct Blocks {
        Value row;     ///< first row, an i32 scalar
        Value offset;  ///< of the mask in this block
        Affine rows;
        Affine columns;  ///< that the mask leaves
        std::vector<Value> made;
    };

    void check_shape() {
        if (p_.blocks.size() != 1) {
            throw NotBounded{"the kernel has a loop of its own"};
        }
        std::optional<int64_t> rows = type(mask_.results[0]).rows.as_constant();
        std::optional<int64_t> columns = type(mask_.results[0]).columns.as_constant();
        if (!rows || !columns) {
            throw NotBounded{"the mask's sizes are known at run time only"};
        }
        rows_ = *rows;
        columns_ = *columns;
        if (mask_.operands.size() > 1) {
            const Node *constant = node_of(mask_.operands[1]);
            if (constant == nullptr || constant->op != Op::Constant) {
                throw NotBounded{"the mask's offset is known at run time only"};
            }
            offset_ = std::get<int64_t>(constant->attributes.at("value"));
        }
        if (offset_ < 0 || offset_ > std::numeric_limits<int32_t>::max() - rows_) {
            throw NotBounded{fmt::format("the mask's offset {} hides whole rows", offset_)};
        }
        if (rows_ < 2 * block_rows) {
            throw NotBounded{
                fmt::format("{} rows are fewer than two blocks of {}", rows_, block_rows)};
        }
        for (const Node &node : p_.nodes) {
            if (node.op == Op::Load && p_.params[at(param_of(node))].direction != Direction::In) {
                throw NotBounded{"the kernel reads what it writes"};
            }
            if (has_effect(node.op) && node.op != Op::Store) {
                throw NotBounded{fmt::format("{} is of whole tiles", name(node.op))};
            }
            if (node.op == Op::Store && node.operands.size() > 1) {
                throw NotBounded{"the result is stored in windows"};
            }
        }
    }

    const TileType &type(Value value) const { return p_.type(value); }

    const Node *node_of(Value value) const {
        int node = p_.values[at(value)].node;
        return node < 0 ? nullptr : &p_.nodes[at(node)];
    }

    bool below_mask(Value value) const { return !reaches_mask(value); }

    bool reaches_mask(Value value) const { return masked_[at(value)]; }

    /// What hidden elements of `value` hold, when its columns are those of the mask.
    std::optional<double> fill(Value value) const {
        const Node *node = node_of(value);
        if (node == nullptr || !reaches_mask(value)) {
            return std::nullopt;
        }
        constexpr double infinity = std::numeric_limits<double>::infinity();
        if (node == &mask_) {
            return -infinity;
        }
        OpKind kind = info(node->op).kind;
        if (kind != OpKind::Elementwise) {
            return std::nullopt;
        }
        std::optional<double> x = fill(node->operands[0]);
        if (!x || (node->operands.size() > 1 && !(type(node->operands[1]).columns == Affine(1)))) {
            return std::nullopt;
        }
        switch (node->op) {
        case Op::Sub:
        case Op::Add:
            return *x == -infinity ? x : std::nullopt;
        case Op::Exp:
            return *x == -infinity ? std::optional<double>(0.0) : std::nullopt;
        case Op::Mul:
        case Op::Div:
            return *x == 0 ? x : std::nullopt;
        case Op::Cast:
            return x;
        default:
            return std::nullopt;
        }
    }

    void store(const Node &node) {
        int param = param_of(node);
        Value value = node.operands[0];
        if (!reaches_mask(value)) {
            builder_.store(param, outside(value), node.at);
            return;
        }
        if (!(type(value).rows == Affine(rows_))) {
            throw NotBounded{"the result's rows are not those of the mask"};
        }
        prepare(value);
        int64_t blocks = rows_ / block_rows;
        int64_t growing = std::clamp<int64_t>((columns_ - offset_) / block_rows, 0, blocks);
        loop(param, value, 0, growing, true, node.at);
        loop(param, value, growing, blocks, false, node.at);
        int64_t rest = rows_ - blocks * block_rows;
        if (rest > 0) {
            int64_t first = blocks * block_rows;
            Blocks tail{i32(first), i32(first + offset_), rest, std::min(columns_, rows_ + offset_),
                        std::vector<Value>(p_.values.size(), -1)};
            builder_.store(param, inside(value, tail), tail.row, i32(0), node.at);
        }
    }

    void loop(int param, Value value, int64_t begin, int64_t end, bool growing, const Loc &at) {
        if (begin == end) {
            return;
        }
        std::string symbol;
        do {
            symbol = fmt::format("block{}", loops_++);
        } while (std::ranges::count(symbols_, symbol) > 0);
        builder_.fori_loop(
            i32(begin), i32(end), {},
            [&](Value index, const std::vector<Value> &) -> std::vector<Value> {
                Value row = builder_.op(Op::Mul, {index, i32(block_rows)}, {}, at);
                Value offset =
                    offset_ == 0 ? row : builder_.op(Op::Add, {row, i32(offset_)}, {}, at);
                Affine columns =
                    growing ? Affine::variable(symbol, block_rows) + Affine(block_rows + offset_)
                            : Affine(columns_);
                Blocks block{row, offset, block_rows, columns,
                             std::vector<Value>(p_.values.size(), -1)};
                builder_.store(param, inside(value, block), row, i32(0), at);
                return {};
            },
            at, symbol);
    }

    Value i32(int64_t value) { return builder_.constant(value, DType::I32, p_.at); }

    /// Makes before the loop what all blocks share: transposed right operands below the mask.
    void prepare(Value value) {
        const Node *node = node_of(value);
        if (node == nullptr || prepared_[at(value)]) {
            return;
        }
        prepared_[at(value)] = true;
        if (node->op == Op::Matmul && below_mask(value) && has_flag(node->attributes, "trans_b")) {
            builder_.op(Op::Transpose, {outside(node->operands[1])}, {}, node->at);
        }
        for (Value operand : node->operands) {
            prepare(operand);
        }
    }

    /// `value` whole, as it was; products below the mask take their right operand transposed.
    Value outside(Value value) {
        if (outside_[at(value)] >= 0) {
            return outside_[at(value)];
        }
        outside_[at(value)] = whole(value, outside_);
        return outside_[at(value)];
    }

    Value whole(Value value, std::vector<Value> &made) {
        if (made[at(value)] >= 0) {
            return made[at(value)];
        }
        const Node *node = node_of(value);
        if (node == nullptr) {
            return builder_.scalar(p_.values[at(value)].param);
        }
        std::vector<Value> operands;
        for (Value operand : node->operands) {
            operands.push_back(whole(operand, made));
        }
        Attributes attributes = node->attributes;
        if (&made != &outside_ && node->op == Op::Matmul && attributes.erase("trans_b") > 0) {
            operands[1] = builder_.op(Op::Transpose, {outside(node->operands[1])}, {}, node->at);
        }
        return made[at(value)] = builder_.op(node->op, operands, attributes, node->at);
    }

    Value slice(Value of, Value row, const Affine &rows, const Affine &columns, const Loc &where) {
        return builder_.op(Op::Slice, {of, row, i32(0)}, {{"rows", rows}, {"columns", columns}},
                           where);
    }

    /// Rows of `value` that belong to `block`, and the columns that the mask leaves.
    Value inside(Value value, Blocks &block) {
        if (block.made[at(value)] >= 0) {
            return block.made[at(value)];
        }
        return block.made[at(value)] = make_inside(value, block);
    }

    Value make_inside(Value value, Blocks &block) {
        const Node *node = node_of(value);
        if (node == &mask_) {
            std::vector<Value> scratch(p_.values.size(), -1);
            Value x = slice(whole(mask_.operands[0], scratch), block.row, block.rows, block.columns,
                            mask_.at);
            return builder_.op(Op::CausalMask, {x, block.offset}, {}, mask_.at);
        }
        if (!reaches_mask(value)) {
            std::vector<Value> scratch(p_.values.size(), -1);
            Value all = whole(value, scratch);
            return type(value).rows == Affine(rows_)
                       ? slice(all, block.row, block.rows, type(value).columns, p_.at)
                       : all;
        }
        return operation(*node, value, block);
    }

    Value operation(const Node &node, Value value, Blocks &block) {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        std::optional<double> first = fill(node.operands[0]);
        auto need = [&](double neutral) {
            if (first && *first != neutral) {
                throw NotBounded{fmt::format("{} would miss what the mask hides", name(node.op))};
            }
        };
        switch (info(node.op).kind) {
        case OpKind::Elementwise:
            if (first && !fill(value)) {
                throw NotBounded{
                    fmt::format("{} makes something of what the mask hides", name(node.op))};
            }
            for (size_t i = 1; i < node.operands.size(); ++i) {
                if (fill(node.operands[i])) {
                    throw NotBounded{
                        fmt::format("{} mixes masked and other columns", name(node.op))};
                }
            }
            break;
        case OpKind::Reduction:
            if (node.op != Op::Rowsum && node.op != Op::Rowmax) {
                throw NotBounded{fmt::format("{} counts hidden columns", name(node.op))};
            }
            need(node.op == Op::Rowmax ? -infinity : 0);
            break;
        case OpKind::Matrix:
            return product(node, block, first);
        default:
            throw NotBounded{fmt::format("{} does not work row by row", name(node.op))};
        }
        std::vector<Value> operands;
        for (Value operand : node.operands) {
            operands.push_back(inside(operand, block));
        }
        return builder_.op(node.op, operands, node.attributes, node.at);
    }

    Value product(const Node &node, Blocks &block, std::optional<double> left) {
        if ((left && *left != 0) || has_flag(node.attributes, "trans_a") ||
            reaches_mask(node.operands[1])) {
            throw NotBounded{"a product does not take the masked rows from the left"};
        }
        std::vector<Value> scratch(p_.values.size(), -1);
        Value b = whole(node.operands[1], scratch);
        if (left) {
            bool transposed = has_flag(node.attributes, "trans_b");
            const TileType &full = type(node.operands[1]);
            b = slice(b, i32(0), transposed ? full.rows : block.columns,
                      transposed ? block.columns : full.columns, node.at);
        }
        std::vector<Value> operands{inside(node.operands[0], block), b};
        if (node.operands.size() > 2) {
            operands.push_back(inside(node.operands[2], block));
        }
        return builder_.op(node.op, operands, node.attributes, node.at);
    }

    const TileProgram &p_;
    const Node &mask_;
    std::vector<std::string> symbols_;
    Builder builder_;
    std::vector<Value> outside_;
    std::vector<bool> masked_;    ///< of a value: made from the mask
    std::vector<bool> prepared_;  ///< of a value: `prepare` was there
    int64_t rows_ = 0;
    int64_t columns_ = 0;
    int64_t offset_ = 0;
    int loops_ = 0;
};

}  // namespace

std::shared_ptr<const TileProgram> bound_causal_rows(std::shared_ptr<const TileProgram> program,
                                                     Reasons *reasons) {
    const Node *mask = nullptr;
    int masks = 0;
    for (const Node &node : program->nodes) {
        if (node.op == Op::CausalMask) {
            mask = &node;
            ++masks;
        }
    }
    if (mask == nullptr) {
        return program;
    }
    auto explain = [&](bool happened, const std::string &text) {
        if (reasons != nullptr) {
            reasons->push_back({"bound-causal-rows", happened, text, mask->at});
        }
    };
    if (masks > 1) {
        explain(false, fmt::format("the kernel has {} causal masks", masks));
        return program;
    }
    try {
        std::shared_ptr<const TileProgram> bounded = CausalRows(*program, *mask).run();
        explain(true, fmt::format("rows in blocks of {}, each up to its last visible column",
                                  block_rows));
        return bounded;
    } catch (const NotBounded &reason) {
        explain(false, reason.why);
        return program;
    }
}

}  // namespace pto::wsp::kernel
