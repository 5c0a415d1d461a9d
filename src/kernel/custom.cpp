#include "pto/wsp/kernel/custom.h"

#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

std::string constant_text(const CppBody::Constant &constant) {
    auto text =
        std::visit([](const auto &value) { return attribute_text(value); }, constant.second);
    return constant.first + " = " + text;
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
