#include "check.h"

#include <fmt/format.h>

#include "attributes.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

void check_arity(const OpInfo &row, size_t count, const Loc &at) {
    if (count < static_cast<size_t>(row.min_arity()) ||
        count > static_cast<size_t>(row.max_arity())) {
        throw TypeCheckError(at, fmt::format("{}: got {} operand{}, expected ({})", row.name, count,
                                             count == 1 ? "" : "s", row.operands));
    }
}

const Param &tile_param(const TileProgram &program, const Node &node) {
    auto index = std::get<int64_t>(node.attributes.at("param"));
    bool exists = index >= 0 && index < static_cast<int64_t>(program.params.size());
    if (!exists || program.params[static_cast<size_t>(index)].kind != Param::Kind::Tile) {
        throw TypeCheckError(
            node.at,
            exists ? fmt::format("{}: '{}' is a scalar, not a tile", name(node.op),
                                 program.params[static_cast<size_t>(index)].name)
                   : fmt::format("{}: there is no parameter number {}", name(node.op), index));
    }
    return program.params[static_cast<size_t>(index)];
}

/// The value of an offset that is a constant.
std::optional<int64_t> constant_of(const TileProgram &program, Value value) {
    int made_by = program.values[static_cast<size_t>(value)].node;
    if (made_by < 0 || program.nodes[static_cast<size_t>(made_by)].op != Op::Constant) {
        return std::nullopt;
    }
    const Attributes &attributes = program.nodes[static_cast<size_t>(made_by)].attributes;
    return std::get<int64_t>(attributes.at("value"));
}

/// Whether `size` elements from `offset` on can lie in `whole`: false when they surely do not.
bool may_fit(std::optional<int64_t> offset, const Affine &size, const Affine &whole) {
    if (offset && *offset < 0) {
        return false;
    }
    std::optional<int64_t> rest = (whole - size - Affine(offset.value_or(0))).as_constant();
    return !rest || *rest >= 0;
}

/// `window` at operands `first` and `first + 1` must not surely leave `whole`, which is `name`.
void check_window(const TileProgram &program, const Node &node, const TileType &whole,
                  const TileType &window, size_t first, const std::string &name) {
    if (node.operands.size() != first + 2) {
        throw TypeCheckError(node.at, fmt::format("{}: a window has a row and a column offset",
                                                  kernel::name(node.op)));
    }
    std::optional<int64_t> row = constant_of(program, node.operands[first]);
    std::optional<int64_t> column = constant_of(program, node.operands[first + 1]);
    if (may_fit(row, window.rows, whole.rows) && may_fit(column, window.columns, whole.columns)) {
        return;
    }
    auto shown = [](std::optional<int64_t> offset) {
        return offset ? std::to_string(*offset) : std::string("?");
    };
    throw TypeCheckError(node.at,
                         fmt::format("{}: the window {} at ({}, {}) leaves {}, which is {}",
                                     kernel::name(node.op), window.shape_str(), shown(row),
                                     shown(column), name, whole.shape_str()));
}

void check_window(const TileProgram &program, const Node &node, const Param &param,
                  const TileType &window, size_t first) {
    try {
        check_window(program, node, param.type, window, first, fmt::format("'{}'", param.name));
    } catch (const TypeCheckError &error) {
        throw TypeCheckError(node.at, error.text(),
                             {{param.at, fmt::format("'{}' is declared here", param.name)}});
    }
}

TileType load_type(const TileProgram &program, const Node &node) {
    const Param &param = tile_param(program, node);
    auto rows = node.attributes.find("rows");
    auto columns = node.attributes.find("columns");
    if (rows == node.attributes.end() && columns == node.attributes.end() &&
        node.operands.empty()) {
        return param.type;
    }
    if (rows == node.attributes.end() || columns == node.attributes.end()) {
        throw TypeCheckError(node.at, "load: a window has rows and columns");
    }
    TileType window{param.type.dtype, std::get<Affine>(rows->second),
                    std::get<Affine>(columns->second)};
    check_dim("load", "rows", window.rows, node.at);
    check_dim("load", "columns", window.columns, node.at);
    check_window(program, node, param, window, 0);
    return window;
}

TileType store_type(const TileProgram &program, const Node &node) {
    const Param &param = tile_param(program, node);
    Note declared{param.at, fmt::format("'{}' is declared here", param.name)};
    if (param.direction == Direction::In) {
        throw TypeCheckError(node.at, fmt::format("store: '{}' is an input", param.name),
                             {declared}, "declare it Out or InOut");
    }
    const TileType &value = program.type(node.operands[0]);
    bool converts = is_float(value.dtype) && is_float(param.type.dtype);
    if (value.dtype != param.type.dtype && !converts) {
        throw TypeCheckError(
            node.at,
            fmt::format("store: '{}' holds {}, the value is {}", param.name,
                        pto::wsp::name(param.type.dtype), pto::wsp::name(value.dtype)),
            {declared},
            value.dtype == DType::Mask ? "where(mask, a, b) makes numbers of a mask"
                                       : fmt::format("cast it first: cast(x, {})",
                                                     pto::wsp::info(param.type.dtype).user_name));
    }
    if (node.op == Op::StoreMasked) {
        check_mask("store", program.type(node.operands[1]), value, node.at);
    }
    if (is_window(node)) {
        check_window(program, node, param, value, first_offset(node.op));
    } else if (!(value.rows == param.type.rows && value.columns == param.type.columns)) {
        throw TypeCheckError(node.at,
                             fmt::format("store: '{}' is {}, the value is {}", param.name,
                                         param.type.shape_str(), value.shape_str()),
                             {declared},
                             "broadcast repeats a value; a window is stored at "
                             "an offset");
    }
    return value;
}

TileType result_type(const TileProgram &program, const Node &node) {
    const OpInfo &row = info(node.op);
    check_arity(row, node.operands.size(), node.at);
    check_attributes(row, node.attributes, node.at);
    for (size_t i = 0; i < node.operands.size(); ++i) {
        if (is_index_operand(row, i)) {
            check_index(program, fmt::format("{}: {}", row.name, operand_name(row, i)),
                        node.operands[i], node.at);
        }
    }
    if (node.op == Op::Load) {
        return load_type(program, node);
    }
    if (is_store(node.op)) {
        return store_type(program, node);
    }
    std::vector<TileType> types;
    for (Value operand : node.operands) {
        types.push_back(program.type(operand));
    }
    TileType type = row.infer(row, types, node.attributes, node.at);
    if (node.op == Op::Slice) {
        check_window(program, node, types[0], type, first_offset(node.op), "the tile");
    }
    return type;
}

}  // namespace

void check_mask(const std::string &what, const TileType &mask, const TileType &tile,
                const Loc &at) {
    if (mask.dtype != DType::Mask) {
        throw TypeCheckError(at,
                             fmt::format("{}: the mask is {} {}, not a mask", what,
                                         pto::wsp::name(mask.dtype), mask.shape_str()),
                             {}, "a comparison makes a mask");
    }
    auto fits = [](const Affine &from, const Affine &to) {
        return from == to || from == Affine(1);
    };
    if (!fits(mask.rows, tile.rows) || !fits(mask.columns, tile.columns)) {
        throw TypeCheckError(at,
                             fmt::format("{}: the mask {} does not broadcast to {}", what,
                                         mask.shape_str(), tile.shape_str()),
                             {}, "each dimension must be equal or 1");
    }
}

std::string operand_name(const OpInfo &row, size_t index) {
    std::string_view text = row.operands;
    for (; index > 0 && text.find(',') != std::string_view::npos; --index) {
        text.remove_prefix(text.find(',') + 2);
    }
    return std::string(text.substr(0, text.find_first_of(",?.")));
}

bool is_index_operand(const OpInfo &row, size_t index) {
    std::string name = operand_name(row, index);
    return name == "row" || name == "column" || name == "offset" || name == "lo" || name == "hi";
}

void check_dim(const std::string &what, const std::string &name, const Affine &dim, const Loc &at) {
    std::optional<int64_t> value = dim.as_constant();
    if (value && (*value < 0 || *value > max_dim)) {
        throw TypeCheckError(
            at, fmt::format("{}: {} is {}, must be in [0, {}]", what, name, *value, max_dim));
    }
}

void check_param(const std::string &kernel, const Param &param) {
    std::string what = fmt::format("{}: parameter '{}'", kernel, param.name);
    if (!is_identifier(param.name)) {
        throw TypeCheckError(
            param.at,
            fmt::format("{}: a parameter cannot be called {}", kernel, quoted(param.name)), {},
            "names have the letters A-Z a-z, digits, and _");
    }
    if (param.type.dtype == DType::Mask) {
        throw TypeCheckError(param.at, fmt::format("{}: a mask cannot be stored", what));
    }
    if (param.kind == Param::Kind::Scalar &&
        (!param.type.is_scalar() || param.direction != Direction::In)) {
        throw TypeCheckError(param.at,
                             fmt::format("{}: a scalar is an input of shape [1, 1]", what));
    }
    check_dim(what, "rows", param.type.rows, param.at);
    check_dim(what, "columns", param.type.columns, param.at);
}

TileType check_node(const TileProgram &program, const Node &node) {
    try {
        return result_type(program, node);
    } catch (const TypeCheckError &error) {
        std::vector<Note> notes = error.notes();
        for (size_t i = 0; i < node.operands.size(); ++i) {
            Note note = origin(program, node.operands[i], operand_name(info(node.op), i));
            if (note.at.known() && !(note.at == node.at)) {
                notes.push_back(std::move(note));
            }
        }
        throw TypeCheckError(node.at, error.text(), std::move(notes), error.hint());
    }
}

void check_index(const TileProgram &program, const std::string &what, Value value, const Loc &at) {
    const TileType &type = program.type(value);
    if (!type.is_scalar() || type.dtype != DType::I32) {
        throw TypeCheckError(
            at, fmt::format("{} is {}, expected an i32 scalar", what, type.user_str()));
    }
}

Note origin(const TileProgram &program, Value value, const std::string &name) {
    const ValueInfo &info = program.values[static_cast<size_t>(value)];
    int param = info.param;
    if (info.node >= 0 && program.nodes[static_cast<size_t>(info.node)].op == Op::Load) {
        const Node &load = program.nodes[static_cast<size_t>(info.node)];
        param = param_of(load);
    }
    if (param < 0) {
        return {info.at, fmt::format("{} is {}, made here", name, info.type.user_str())};
    }
    const Param &from = program.params[static_cast<size_t>(param)];
    return {from.at,
            fmt::format("{} is {} of '{}', declared here", name, info.type.user_str(), from.name)};
}

}  // namespace pto::wsp::kernel
