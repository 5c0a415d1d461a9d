#include "pto/wsp/lower/expand.h"
#include "pto/wsp/lower/lower.h"

#include <functional>
#include <iostream>
#include <mutex>
#include <sstream>

#include <fmt/format.h>

#include "apply_steps.h"
#include "custom_statement.h"
#include "halide_messages.h"
#include "module_impl.h"
#include "pipeline_statement.h"
#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/support/error.h"
#include "region_funcs.h"
#include "stable_names.h"
#include "statements.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;

std::string ParamLayout::str() const {
    return fmt::format("{}{}{}{}", unit_columns ? "unit" : "strided", partial ? " partial" : "",
                       wide ? " wide" : "", copied ? " copied" : "");
}

std::string Module::text() const {
    std::ostringstream out;
    out << impl_->module;
    return with_stable_names(out.str());
}

namespace {

/// Halide prints loop nests to the error stream only.
std::string captured_loop_nest(Halide::Pipeline pipeline) {
    static std::mutex mutex;
    std::scoped_lock lock(mutex);
    std::ostringstream out;
    std::streambuf *before = std::cerr.rdbuf(out.rdbuf());
    try {
        pipeline.print_loop_nest();
    } catch (...) {
        std::cerr.rdbuf(before);
        throw;
    }
    std::cerr.rdbuf(before);
    return out.str();
}

/// Runs `f`; what Halide refuses becomes an error of ours that names the kernel.
template <typename F> auto translating_errors(const KernelVariant &variant, F f) {
    log_halide_warnings();
    try {
        return f();
    } catch (const Halide::CompileError &error) {
        if (variant.program->custom != nullptr) {
            throw CompileError(
                variant.program->at,
                fmt::format("kernel '{}': Halide: {}", variant.program->name, error.what()));
        }
        throw ScheduleError(variant.program->at,
                            fmt::format("kernel '{}' cannot be lowered with this schedule: {}",
                                        variant.program->name, error.what()));
    } catch (const Halide::InternalError &error) {
        throw InternalError("lower-kernel", error.what());
    }
}

Stmt statement_of(const KernelVariant &variant, const Target &target) {
    return variant.program->custom != nullptr
               ? custom_statement(variant, target)
               : kernel_statement(variant, schedule::outline(*variant.program), target);
}

}  // namespace

Module make_module(const std::string &name, const Target &target) {
    log_halide_warnings();
    Halide::Module module(name, code_target(target, false));
    module.set_any_strict_float(true);
    return Module(std::make_shared<Module::Impl>(Module::Impl{module}));
}

void append_kernel(const Module &module, const KernelVariant &variant, const std::string &symbol,
                   const Target &target) {
    translating_errors(variant, [&] {
        Halide::Module &to = module.impl().module;
        to.append(LoweredFunc(symbol, kernel_arguments(*variant.program),
                              statement_of(variant, target), Halide::LinkageType::External));
        to.append(packed_wrapper(*variant.program, symbol));
    });
}

Module lower_kernel(const KernelVariant &variant, const std::string &symbol, const Target &target) {
    Module module = make_module(symbol, target);
    append_kernel(module, variant, symbol, target);
    return module;
}

std::string loop_nest(const KernelVariant &variant, const Target &) {
    const auto *pipeline = dynamic_cast<const PipelineBody *>(variant.program->custom.get());
    if (pipeline != nullptr) {
        return translating_errors(variant,
                                  [&] { return captured_loop_nest(pipeline->pipeline()); });
    }
    if (variant.program->custom != nullptr) {
        return fmt::format("{} body of {}\n", variant.program->custom->language(),
                           variant.program->name);
    }
    return translating_errors(variant, [&] {
        schedule::Outline outline = schedule::outline(*variant.program);
        std::string text;
        std::function<void(const std::vector<schedule::Statement> &, std::string)> print =
            [&](const std::vector<schedule::Statement> &list, const std::string &indent) {
                for (const schedule::Statement &each : list) {
                    if (const auto *loop = std::get_if<schedule::CarriedLoop>(&each.kind)) {
                        text += indent + "for " + outline.names[static_cast<size_t>(loop->node)] +
                                ":\n";
                        print(loop->body, indent + "  ");
                        continue;
                    }
                    if (const auto *tile = std::get_if<schedule::PrintStatement>(&each.kind)) {
                        text += indent + outline.names[static_cast<size_t>(tile->node)] + "\n";
                        continue;
                    }
                    const auto &region = std::get<schedule::Region>(each.kind);
                    if (region.stores.empty() && region.outputs.empty()) {
                        continue;
                    }
                    RegionFuncs funcs = build_region(variant, outline, region);
                    apply_steps(variant.schedule, outline, region, funcs);
                    std::istringstream lines(captured_loop_nest(Halide::Pipeline(funcs.roots)));
                    for (std::string line; std::getline(lines, line);) {
                        text += indent + line + "\n";
                    }
                }
            };
        print(outline.statements, "");
        return text;
    });
}

}  // namespace pto::wsp::lower
