#pragma once

#include <memory>
#include <string>
#include <vector>

#include <Halide.h>

#include "lower/module_impl.h"
#include "pto/wsp/backend/cpu/loader.h"

namespace pto::wsp::backend::cpu {

/// `target` as lower/ gives it to the backend: objects bring no runtime and no checks.
inline Halide::Target bare(const Halide::Target &target) {
    return target.with_feature(Halide::Target::NoRuntime)
        .with_feature(Halide::Target::NoAsserts)
        .with_feature(Halide::Target::NoBoundsQuery);
}

inline lower::Module as_module(Halide::Module module) {
    return lower::Module(
        std::make_shared<lower::Module::Impl>(lower::Module::Impl{std::move(module)}));
}

/// One function `symbol` of the pipeline, whose arguments are `arguments`, then the outputs.
inline lower::Module pipeline(Halide::Func output, const std::vector<Halide::Argument> &arguments,
                              const std::string &symbol,
                              const Halide::Target &target = Halide::get_host_target()) {
    return as_module(output.compile_to_module(arguments, symbol, bare(target)));
}

/// `out(x) = in(x) * factor` of f32 as function `scale`.
inline lower::Module scale_pipeline(int factor) {
    Halide::ImageParam in(Halide::Float(32), 1, "in");
    Halide::Var x("x");
    Halide::Func out("out");
    out(x) = in(x)*factor;
    return pipeline(out, {in}, "scale");
}

/// Calls function `scale` of `object` on 1, 2, ..., 8 and returns the last result.
inline float run_scale(const LoadedObject &object) {
    auto *scale =
        reinterpret_cast<int (*)(halide_buffer_t *, halide_buffer_t *)>(object.address("scale"));
    Halide::Buffer<float> in(8), out(8);
    for (int i = 0; i < 8; ++i) {
        in(i) = static_cast<float>(i + 1);
    }
    const int status = scale(in.raw_buffer(), out.raw_buffer());
    return status == 0 ? out(7) : -1.0f;
}

}  // namespace pto::wsp::backend::cpu
