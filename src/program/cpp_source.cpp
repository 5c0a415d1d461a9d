#include <filesystem>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "pto/wsp/program/kernels.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

namespace fs = std::filesystem;
using kernel::CppBody;

/// `path` beside the file that names it, else as it is.
std::string found_path(const std::string &path, const Loc &at) {
    const fs::path beside = fs::path(at.file).parent_path() / path;
    std::error_code ignored;
    return fs::path(path).is_relative() && fs::exists(beside, ignored) ? beside.string() : path;
}

void read_file(CppBody &body, const char *option, const std::string &path, const Loc &at) {
    const std::string found = found_path(path, at);
    std::ifstream file(found, std::ios::binary);
    std::ostringstream text;
    if (!fs::is_regular_file(found) || !(text << file.rdbuf())) {
        throw CompileError(at, fmt::format("{}: {} cannot be read", option, quoted(path)), {},
                           fs::path(path).is_absolute()
                               ? ""
                               : fmt::format("it is looked for beside {} and in {}",
                                             fs::path(at.file).filename().string(),
                                             fs::current_path().string()));
    }
    body.text = text.str();
    body.text_at = {fs::absolute(found).lexically_normal().string(), 1};
}

}  // namespace

std::shared_ptr<const CppBody> cpp_body(const CppSource &source) {
    const int given = (source.text.empty() ? 0 : 1) + (source.body_path.empty() ? 0 : 1) +
                      (source.unit_path.empty() ? 0 : 1);
    if (given != 1) {
        throw CompileError(source.at,
                           fmt::format("a C++ body is one of a text, a body's path and a unit's "
                                       "path, and {} are given",
                                       given == 0 ? "none" : std::to_string(given)));
    }
    auto body = std::make_shared<CppBody>();
    body->includes = source.includes;
    body->constants = source.constants;
    for (const std::string &include : source.includes) {
        if (include.empty() || include.find('\n') != std::string::npos) {
            throw CompileError(source.at,
                               fmt::format("cpp_includes: {} is no include", quoted(include)), {},
                               "\"<cmath>\", \"mine.h\"");
        }
    }
    for (const std::string &directory : source.include_dirs) {
        body->include_dirs.push_back(fs::absolute(found_path(directory, source.at)).string());
    }
    body->origin = "cpp_src";
    if (!source.text.empty()) {
        body->text = source.text;
        body->text_at = source.text_at;
    } else if (!source.body_path.empty()) {
        read_file(*body, "cpp_body_path", source.body_path, source.at);
    } else {
        body->form = CppBody::Form::Unit;
        read_file(*body, "cpp_tu_path", source.unit_path, source.at);
    }
    return body;
}

Kernel::Kernel(std::string name, std::vector<kernel::Param> parameters, const CppSource &body,
               Loc at)
    : Kernel(kernel::custom_program(std::move(name), std::move(parameters), cpp_body(body), at),
             at) {}

}  // namespace pto::wsp
