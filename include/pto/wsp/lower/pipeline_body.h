#pragma once

#include <memory>
#include <vector>

#include "pto/wsp/kernel/custom.h"

namespace Halide {
class Func;
class ImageParam;
struct Type;
}  // namespace Halide

namespace pto::wsp::lower {

/// The type of elements of `dtype` in memory.
Halide::Type pipeline_type(DType dtype);

/// A Halide pipeline as the body of a kernel with the parameters `params`: an image for each input
/// and a Func for each output, in their order, with rows as first dimension and columns as second.
/// Scalars are Halide parameters of their name. Schedules are those of the Funcs. CompileError at
/// `at` when an output has no Func, or one of another type or rank; what Halide finds wrong comes
/// as an error of ours.
std::shared_ptr<const kernel::CustomBody>
pipeline_body(const std::string &kernel, const std::vector<kernel::Param> &params,
              const std::vector<Halide::ImageParam> &inputs,
              const std::vector<Halide::Func> &outputs, const Loc &at);

}  // namespace pto::wsp::lower
