#include "pto/wsp/kernel/program.h"

#include <set>

#include <fmt/format.h>

#include "print.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

std::string TileType::str() const {
    return fmt::format("tile<{}x{}x{}>", dim_text(rows), dim_text(columns), pto::wsp::name(dtype));
}

std::string TileType::shape_str() const {
    return fmt::format("[{}, {}]", rows.str(), columns.str());
}

std::string TileType::user_str() const {
    return fmt::format("Tile[{}, {}, {}]", rows.str(), columns.str(), info(dtype).user_name);
}

double number_of(const Attribute &value) {
    const auto *integer = std::get_if<int64_t>(&value);
    return integer != nullptr ? static_cast<double>(*integer) : std::get<double>(value);
}

std::string attribute_text(const Attribute &value) {
    struct Printer {
        std::string operator()(bool v) const { return v ? "true" : "false"; }
        std::string operator()(int64_t v) const { return std::to_string(v); }
        std::string operator()(double v) const {
            std::string text = number_text(v);
            return text.find_first_not_of("-0123456789") == std::string::npos ? text + ".0" : text;
        }
        std::string operator()(const std::string &v) const { return quoted(v); }
        std::string operator()(const Affine &v) const { return "[" + v.str() + "]"; }
    };
    return std::visit(Printer{}, value);
}

std::string name(Direction direction) {
    switch (direction) {
    case Direction::In:
        return "in";
    case Direction::Out:
        return "out";
    default:
        return "inout";
    }
}

int param_of(const Node &node) {
    return static_cast<int>(std::get<int64_t>(node.attributes.at("param")));
}

size_t first_offset(Op op) {
    return op == Op::Load ? 0 : op == Op::StoreMasked ? 2 : 1;
}

bool is_window(const Node &node) {
    return node.operands.size() > first_offset(node.op);
}

std::string print_title(const Node &node) {
    return fmt::format("{} ({})", std::get<std::string>(node.attributes.at("label")),
                       std::get<std::string>(node.attributes.at("place")));
}

std::string loop_symbol(const Node &node) {
    auto it = node.attributes.find("symbol");
    const auto *symbol =
        it == node.attributes.end() ? nullptr : std::get_if<std::string>(&it->second);
    return symbol == nullptr ? "" : *symbol;
}

bool has_flag(const Attributes &attributes, const char *name) {
    auto it = attributes.find(name);
    return it != attributes.end() && std::get<bool>(it->second);
}

bool looks_for_nan(const Node &node, DType dtype) {
    return info(node.op).is_extreme() && is_float(dtype) &&
           !has_flag(node.attributes, "ignore_nan");
}

bool skips_zeros(const Node &node, DType dtype) {
    return is_float(dtype) && has_flag(node.attributes, "skip_zeros");
}

int TileProgram::param_index(std::string_view name) const {
    for (size_t p = 0; p < params.size(); ++p) {
        if (params[p].name == name) {
            return static_cast<int>(p);
        }
    }
    return -1;
}

std::vector<std::string> TileProgram::symbols() const {
    std::set<std::string> names;
    auto add = [&](const Affine &dim) {
        for (const auto &[name, coefficient] : dim.terms()) {
            names.insert(name);
        }
    };
    for (const Param &param : params) {
        add(param.type.rows);
        add(param.type.columns);
    }
    for (const ValueInfo &value : values) {
        add(value.type.rows);
        add(value.type.columns);
    }
    for (const Node &node : nodes) {
        names.erase(loop_symbol(node));
    }
    return {names.begin(), names.end()};
}

std::string TileProgram::str() const {
    return print(*this, name);
}

Hash128 TileProgram::hash() const {
    return content_hash(print(*this, "kernel"));
}

}  // namespace pto::wsp::kernel
