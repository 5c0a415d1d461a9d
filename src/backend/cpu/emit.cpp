#include "pto/wsp/backend/cpu/loader.h"

#include <map>
#include <utility>

#include <fmt/format.h>

#include "backend/cpu/memory_file.h"
#include "lower/module_impl.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::backend::cpu {
namespace {

constexpr const char *pass = "emit-object";

std::string one_line(std::string text) {
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

}  // namespace

std::string emit_object(const lower::Module &module) {
    // Halide's API hands out objects as files only.
    const MemoryFile file("pto_wsp_object", pass);
    const Halide::Module &lowered = module.impl().module;
    try {
        lowered.compile({{Halide::OutputFileType::object, file.path()}});
    } catch (const Halide::Error &error) {
        throw InternalError(pass, fmt::format("Halide refused module {}: {}", lowered.name(),
                                              one_line(error.what())));
    }
    std::string bytes = file.read();
    if (bytes.empty()) {
        throw InternalError(pass, fmt::format("module {} gave an empty object", lowered.name()));
    }
    return bytes;
}

}  // namespace pto::wsp::backend::cpu
