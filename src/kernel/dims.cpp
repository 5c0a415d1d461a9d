#include "pto/wsp/kernel/dims.h"

#include <numeric>

#include <fmt/format.h>

#include "pto/wsp/support/error.h"

namespace pto::wsp::kernel {

const std::string *symbol_of(const Affine &dim) {
    bool single = dim.terms().size() == 1 && dim == Affine::variable(dim.terms().begin()->first);
    return single ? &dim.terms().begin()->first : nullptr;
}

std::string valid_rows_symbol(const Param &param) {
    return param.name + ".valid_rows";
}

std::string valid_columns_symbol(const Param &param) {
    return param.name + ".valid_columns";
}

std::shared_ptr<const TileProgram> substitute_dims(const TileProgram &program,
                                                   const std::map<std::string, Affine> &values) {
    auto result = std::make_shared<TileProgram>(program);
    auto replace = [&](TileType &type) {
        type.rows = type.rows.substitute(values);
        type.columns = type.columns.substitute(values);
    };
    for (Param &param : result->params) {
        replace(param.type);
    }
    for (ValueInfo &value : result->values) {
        replace(value.type);
    }
    for (Node &node : result->nodes) {
        for (auto &[name, attribute] : node.attributes) {
            if (auto *affine = std::get_if<Affine>(&attribute)) {
                *affine = affine->substitute(values);
            }
        }
    }
    return result;
}

namespace {

/// Whether where an element goes depends on the sizes of the tile.
bool moves_across_rows(const Node &node) {
    return info(node.op).kind == OpKind::Shape && node.op != Op::Transpose &&
           node.op != Op::Broadcast;
}

/// Union-find over the dims of a program: two for each parameter, then two for each value.
class DimClasses {
public:
    explicit DimClasses(const TileProgram &program) : program_(program) {
        parent_.resize(2 * (program.params.size() + program.values.size()));
        std::iota(parent_.begin(), parent_.end(), 0);
        for (const Node &node : program.nodes) {
            visit(node);
        }
    }

    size_t param_rows(size_t param) { return find(2 * param); }
    size_t param_columns(size_t param) { return find(2 * param + 1); }
    size_t rows(Value value) { return find(slot(value)); }
    size_t columns(Value value) { return find(slot(value) + 1); }

private:
    size_t slot(Value value) const {
        return 2 * (program_.params.size() + static_cast<size_t>(value));
    }

    size_t find(size_t dim) {
        while (parent_[dim] != dim) {
            parent_[dim] = parent_[parent_[dim]];
            dim = parent_[dim];
        }
        return dim;
    }

    void meet(size_t a, size_t b) { parent_[find(a)] = find(b); }

    /// Dims of 1 that broadcast do not meet anything.
    void meet_broadcast(Value a, Value b) {
        const TileType &x = program_.type(a);
        const TileType &y = program_.type(b);
        if (!(x.rows == Affine(1)) && !(y.rows == Affine(1))) {
            meet(slot(a), slot(b));
        }
        if (!(x.columns == Affine(1)) && !(y.columns == Affine(1))) {
            meet(slot(a) + 1, slot(b) + 1);
        }
    }

    void meet_same(Value a, Value b) {
        meet(slot(a), slot(b));
        meet(slot(a) + 1, slot(b) + 1);
    }

    static bool flag(const Node &node, const char *name) {
        auto it = node.attributes.find(name);
        return it != node.attributes.end() && std::get<bool>(it->second);
    }

    void visit(const Node &node) {
        switch (info(node.op).kind) {
        case OpKind::Memory:
            if (!is_window(node)) {
                auto param = static_cast<size_t>(std::get<int64_t>(node.attributes.at("param")));
                Value value = is_store(node.op) ? node.operands[0] : node.results[0];
                meet(slot(value), 2 * param);
                meet(slot(value) + 1, 2 * param + 1);
            }
            if (node.op == Op::StoreMasked) {
                meet_broadcast(node.operands[1], node.operands[0]);
            }
            break;
        case OpKind::Effect:
            break;
        case OpKind::Reduction:
            meet(slot(node.operands[0]), slot(node.results[0]));
            break;
        case OpKind::ColumnReduction:
            meet(slot(node.operands[0]) + 1, slot(node.results[0]) + 1);
            break;
        case OpKind::RowShape:
        case OpKind::Sorting:
            for (Value operand : node.operands) {
                meet(slot(operand), slot(node.results[0]));
            }
            break;
        case OpKind::Matrix:
            visit_matmul(node);
            break;
        case OpKind::Control:
            visit_loop(node);
            break;
        default:
            if (moves_across_rows(node)) {
                break;
            }
            if (node.op == Op::Transpose) {
                meet(slot(node.operands[0]), slot(node.results[0]) + 1);
                meet(slot(node.operands[0]) + 1, slot(node.results[0]));
                break;
            }
            for (Value operand : node.operands) {
                meet_broadcast(operand, node.results[0]);
            }
        }
    }

    void visit_matmul(const Node &node) {
        size_t a_inner = flag(node, "trans_a") ? 0 : 1;
        size_t b_inner = flag(node, "trans_b") ? 1 : 0;
        size_t a = slot(node.operands[0]);
        size_t b = slot(node.operands[1]);
        size_t result = slot(node.results[0]);
        meet(a + a_inner, b + b_inner);
        meet(a + 1 - a_inner, result);
        meet(b + 1 - b_inner, result + 1);
        if (node.operands.size() > 2) {
            meet_same(node.operands[2], node.results[0]);
        }
    }

    void visit_loop(const Node &node) {
        const Block &block = program_.blocks[static_cast<size_t>(node.block)];
        for (size_t c = 0; c < node.results.size(); ++c) {
            meet_same(node.operands[c + 2], node.results[c]);
            meet_same(block.arguments[c + 1], node.results[c]);
            meet_same(block.yields[c], node.results[c]);
        }
    }

    const TileProgram &program_;
    std::vector<size_t> parent_;
};

void refuse_windows(const TileProgram &program, const std::vector<bool> &partial) {
    for (const Node &node : program.nodes) {
        if (info(node.op).kind != OpKind::Memory) {
            continue;
        }
        auto param = static_cast<size_t>(std::get<int64_t>(node.attributes.at("param")));
        if (partial[param] && is_window(node)) {
            throw TypeCheckError(node.at,
                                 fmt::format("{}: a window of '{}' cannot be taken when its view "
                                             "is partial",
                                             name(node.op), program.params[param].name),
                                 {}, "give the task the window itself as its view");
        }
    }
}

/// Elements move to places that only whole tiles have.
void refuse_moved(const Node &node, const TileProgram &whole, const TileProgram &partial) {
    OpKind kind = info(node.op).kind;
    const bool in_rows = kind == OpKind::RowShape || kind == OpKind::Sorting;
    if (!in_rows && !moves_across_rows(node)) {
        return;
    }
    for (Value operand : node.operands) {
        const TileType &before = whole.type(operand);
        const TileType &after = partial.type(operand);
        if (!(before.columns == after.columns) || (!in_rows && !(before.rows == after.rows))) {
            throw TypeCheckError(
                node.at,
                fmt::format("{}: cannot be taken of a tile {} when views that the tile is of are "
                            "partial",
                            name(node.op), before.shape_str()),
                {}, "give the task whole views");
        }
    }
}

}  // namespace

std::vector<DimClass> dim_classes(const TileProgram &program) {
    DimClasses classes(program);
    std::map<size_t, DimClass> members;
    for (size_t p = 0; p < program.params.size(); ++p) {
        if (program.params[p].kind == Param::Kind::Tile) {
            members[classes.param_rows(p)].rows_of.push_back(static_cast<int>(p));
            members[classes.param_columns(p)].columns_of.push_back(static_cast<int>(p));
        }
    }
    std::vector<DimClass> result;
    for (auto &[dim_class, dims] : members) {
        if (dims.rows_of.size() + dims.columns_of.size() > 1) {
            result.push_back(std::move(dims));
        }
    }
    return result;
}

PartialProgram with_valid_sizes(const TileProgram &program, const std::vector<bool> &partial) {
    refuse_windows(program, partial);
    DimClasses classes(program);
    std::map<size_t, std::string> symbol;
    std::map<size_t, DimClass> members;
    for (size_t p = 0; p < program.params.size(); ++p) {
        const Param &param = program.params[p];
        if (param.kind != Param::Kind::Tile || !partial[p]) {
            continue;
        }
        symbol.try_emplace(classes.param_rows(p), valid_rows_symbol(param));
        symbol.try_emplace(classes.param_columns(p), valid_columns_symbol(param));
        members[classes.param_rows(p)].rows_of.push_back(static_cast<int>(p));
        members[classes.param_columns(p)].columns_of.push_back(static_cast<int>(p));
    }
    auto result = std::make_shared<TileProgram>(program);
    auto replace = [&](Affine &dim, size_t dim_class) {
        auto it = symbol.find(dim_class);
        if (it != symbol.end() && !(dim == Affine(1)) && symbol_of(dim) == nullptr) {
            dim = Affine::variable(it->second);
        }
    };
    for (size_t p = 0; p < program.params.size(); ++p) {
        replace(result->params[p].type.rows, classes.param_rows(p));
        replace(result->params[p].type.columns, classes.param_columns(p));
    }
    for (size_t v = 0; v < program.values.size(); ++v) {
        replace(result->values[v].type.rows, classes.rows(static_cast<Value>(v)));
        replace(result->values[v].type.columns, classes.columns(static_cast<Value>(v)));
    }
    for (const Node &node : result->nodes) {
        refuse_moved(node, program, *result);
    }
    // Operations that name their size as an attribute have that of their result.
    for (Node &node : result->nodes) {
        for (auto &[name, attribute] : node.attributes) {
            if (name == "rows" || name == "columns") {
                const TileType &type = result->type(node.results[0]);
                attribute = name == "rows" ? type.rows : type.columns;
            }
        }
    }
    PartialProgram answer{result, {}};
    for (auto &[dim_class, dims] : members) {
        if (dims.rows_of.size() + dims.columns_of.size() > 1) {
            answer.classes.push_back(std::move(dims));
        }
    }
    return answer;
}

}  // namespace pto::wsp::kernel
