#include <bit>
#include <vector>

#include <fmt/format.h>

#include "pto/wsp/backend/cpu/cpp_body.h"
#include "pto/wsp/core/abi.h"
#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::backend::cpu {
namespace {

using kernel::CppBody;
using kernel::Direction;
using kernel::Param;

std::string element_type(DType dtype) {
    switch (dtype) {
    case DType::F16:
        return "pto::wsp::Float16";
    case DType::BF16:
        return "pto::wsp::BFloat16";
    case DType::F32:
        return "float";
    case DType::F64:
        return "double";
    default:
        return fmt::format("std::{}int{}_t", info(dtype).kind == DTypeKind::Unsigned ? "u" : "",
                           8 * size_bytes(dtype));
    }
}

std::string type_of(const Param &param) {
    if (param.kind == Param::Kind::Tile) {
        return fmt::format("pto::wsp::TileRef<{}{}>",
                           param.direction == Direction::In ? "const " : "",
                           element_type(param.type.dtype));
    }
    const bool narrow = is_float(param.type.dtype) && param.type.dtype != DType::F64;
    return narrow ? "float" : element_type(param.type.dtype);
}

struct ConstantText {
    std::string operator()(bool value) const { return fmt::format("bool {{}} = {}", value); }
    std::string operator()(int64_t value) const {
        return fmt::format("std::int64_t {{}} = {}ll", value);
    }
    std::string operator()(double value) const {
        return fmt::format("double {{}} = __builtin_bit_cast(double, {:#x}ull)",
                           std::bit_cast<uint64_t>(value));
    }
    std::string operator()(const std::string &value) const {
        std::string text = quoted(value);
        for (size_t i = 0; (i = text.find_first_of("{}", i)) != std::string::npos; i += 2) {
            text.insert(i, 1, text[i]);
        }
        return fmt::format("const char *{{}} = {}", text);
    }
};

/// `constexpr std::int64_t N = 4;`
std::string constant_line(const CppBody::Constant &constant) {
    return "    [[maybe_unused]] constexpr " +
           fmt::format(fmt::runtime(std::visit(ConstantText(), constant.second)), constant.first) +
           ";\n";
}

/// Makes what follows count as line `at` of its file.
std::string line_mark(const Loc &at) {
    return fmt::format("#line {} {}\n", std::max(at.line, 1), quoted(at.file));
}

std::string include_line(const std::string &include) {
    const bool bare = include.front() != '<' && include.front() != '"';
    return "#include " + (bare ? quoted(include) : include) + "\n";
}

std::string comment(const kernel::TileProgram &program) {
    std::vector<std::string> params;
    for (const Param &param : program.params) {
        params.push_back(type_of(param) + " " + param.name);
    }
    return fmt::format("{}({})", program.name, join(params));
}

/// The function that is called with the slots of core/abi.h and calls `function` with arguments.
/// Elements of a row mostly lie side by side: for that case there is code that knows it.
std::string entry(const kernel::TileProgram &program, const std::string &function,
                  const std::vector<std::string> &constants) {
    std::string strided, unit;
    std::vector<std::string> conditions = {"true"};
    std::vector<std::string> strided_names, unit_names;
    int slot = 0;
    for (size_t p = 0; p < program.params.size(); ++p) {
        const Param &param = program.params[p];
        const std::string type = type_of(param);
        const std::string name = fmt::format("argument{}", p);
        strided_names.push_back(name);
        if (param.kind == Param::Kind::Scalar) {
            const std::string value =
                type == "float"    ? fmt::format("__builtin_bit_cast(float, "
                                                    "static_cast<std::uint32_t>(slots[{}]))",
                                                 slot)
                : type == "double" ? fmt::format("__builtin_bit_cast(double, slots[{}])", slot)
                                   : fmt::format("static_cast<{}>(slots[{}])", type, slot);
            strided += fmt::format("        const {} {} = {};\n", type, name, value);
            unit_names.push_back(name);
            slot += 1;
            continue;
        }
        auto tile = [&](const std::string &column_stride) {
            const std::string element =
                type.substr(type.find('<') + 1, type.size() - type.find('<') - 2);
            return fmt::format("(reinterpret_cast<{} *>(slots[{}]), slots[{}], slots[{}], "
                               "slots[{}], {});\n",
                               element, slot, slot + 3, slot + 4, slot + 1, column_stride);
        };
        strided += fmt::format("        const {} {}{}", type, name,
                               tile(fmt::format("slots[{}]", slot + 2)));
        unit += fmt::format("            const {} unit{}{}", type, p, tile("1"));
        conditions.push_back(fmt::format("slots[{}] == 1", slot + 2));
        unit_names.push_back(fmt::format("unit{}", p));
        slot += abi::tile_slots;
    }
    strided_names.insert(strided_names.end(), constants.begin(), constants.end());
    unit_names.insert(unit_names.end(), constants.begin(), constants.end());
    return fmt::format(
        R"(extern "C" [[gnu::visibility("default")]] const char *
pto_wsp_entry([[maybe_unused]] const std::int64_t *slots) noexcept {{
    static thread_local char failure[1024];
    try {{
{}        if ({}) {{
{}            {}({});
        }} else {{
            {}({});
        }}
        return nullptr;
    }} catch (const std::exception &error) {{
        std::strncpy(failure, error.what(), sizeof failure - 1);
    }} catch (...) {{
        std::strncpy(failure, "an exception that is no std::exception", sizeof failure - 1);
    }}
    return failure;
}}
)",
        strided, join(conditions, " && "), unit, function, join(unit_names), function,
        join(strided_names));
}

std::string body_function(const kernel::TileProgram &program, const CppBody &body,
                          const Loc &text_at) {
    std::vector<std::string> params;
    for (const Param &param : program.params) {
        params.push_back(fmt::format("[[maybe_unused]] const {} {}", type_of(param), param.name));
    }
    std::string text = "namespace {\n[[gnu::always_inline]] inline void\npto_wsp_body(" +
                       join(params) + ") {\n    using namespace pto::wsp;\n";
    for (const CppBody::Constant &constant : body.constants) {
        text += constant_line(constant);
    }
    return text + "    {\n" + line_mark(text_at) + body.text + "\n" +
           line_mark({generated_file, 1}) + "    }\n}\n}\n";
}

}  // namespace

std::string cpp_unit(const kernel::TileProgram &program) {
    const auto &body = dynamic_cast<const CppBody &>(*program.custom);
    const Loc text_at = body.text_at.known() ? body.text_at : Loc{body.origin, 1};
    std::string text = "// " + comment(program) + "\n#include \"pto/wsp/core/tile_ref.h\"\n" +
                       "#include <exception>\n#include <cstring>\n";
    for (const std::string &include : body.includes) {
        text += line_mark(program.at) + include_line(include);
    }
    text += line_mark({generated_file, 1});
    if (body.form == CppBody::Form::Body) {
        return text + body_function(program, body, text_at) + entry(program, "pto_wsp_body", {});
    }
    std::vector<std::string> constants;
    std::string values;
    for (const CppBody::Constant &constant : body.constants) {
        const std::string name = "pto_wsp_constant_" + constant.first;
        values += constant_line({name, constant.second});
        constants.push_back(name);
    }
    return text + line_mark(text_at) + body.text + "\n" + line_mark({generated_file, 1}) + values +
           entry(program, "::" + program.name, constants);
}

}  // namespace pto::wsp::backend::cpu
