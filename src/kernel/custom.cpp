#include "pto/wsp/kernel/custom.h"

#include <fmt/format.h>

#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

std::string constant_text(const CppBody::Constant &constant) {
    auto text =
        std::visit([](const auto &value) { return attribute_text(value); }, constant.second);
    return constant.first + " = " + text;
}

/// Tasks may run in any order, and the model counts them in program order: what a body would add
/// while it runs has no place there.
void refuse_cycles(const std::string &name, const CustomBody *body, const Loc &at) {
    const auto *cpp = dynamic_cast<const CppBody *>(body);
    if (cpp != nullptr && cpp->text.find("cpu_sim::add_cycles") != std::string::npos) {
        throw CompileError(
            at,
            fmt::format("kernel '{}': pto::cpu_sim::add_cycles is not supported: a custom body "
                        "costs no virtual cycles",
                        name),
            {}, "leave the call out, or write the kernel in tile operations");
    }
}

}  // namespace

std::string CppBody::str() const {
    std::string head = form == Form::Unit ? "unit" : "body";
    for (const Constant &constant : constants) {
        head += "\n" + constant_text(constant);
    }
    for (const std::string &include : includes) {
        head += "\n#include " + include;
    }
    for (const std::string &directory : include_dirs) {
        head += "\n-I" + directory;
    }
    return head + "\n" + text;
}

std::shared_ptr<const TileProgram> custom_program(std::string name, std::vector<Param> params,
                                                  std::shared_ptr<const CustomBody> body, Loc at) {
    refuse_cycles(name, body.get(), at);
    auto program = std::make_shared<TileProgram>();
    program->name = std::move(name);
    program->params = std::move(params);
    program->custom = std::move(body);
    program->at = std::move(at);
    program->blocks.emplace_back();
    verify(*program);
    return program;
}

}  // namespace pto::wsp::kernel
