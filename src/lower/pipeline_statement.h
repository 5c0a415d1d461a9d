#pragma once

#include <mutex>
#include <vector>

#include <Halide.h>

#include "pto/wsp/lower/lower.h"
#include "pto/wsp/lower/pipeline_body.h"

namespace pto::wsp::lower {

/// See pipeline_body.
struct PipelineBody : kernel::CustomBody {
    struct Input {
        size_t param;
        Halide::ImageParam image;
    };
    struct Output {
        size_t param;
        Halide::Func func;
    };

    std::vector<Input> inputs;
    std::vector<Output> outputs;
    std::string digest;           ///< of the serialized pipeline
    mutable std::mutex lowering;  ///< strides of the images are set for each lowering

    std::string language() const override { return "Halide"; }
    std::string str() const override { return digest; }
    Halide::Pipeline pipeline() const;
};

/// The statement of a kernel that is a Halide pipeline. What Halide asserts of sizes and of the
/// parts that are read becomes an error of the task. CompileError when the schedule starts threads.
Halide::Internal::Stmt pipeline_statement(const KernelVariant &variant, const PipelineBody &body,
                                          const Target &target);

}  // namespace pto::wsp::lower
