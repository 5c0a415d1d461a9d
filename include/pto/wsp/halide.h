#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <Halide.h>

#include "pto/wsp/lower/pipeline_body.h"
#include "pto/wsp/program/kernels.h"

/// Kernels that are Halide pipelines. The one header that includes Halide.h: who includes it
/// compiles and links against Halide.
namespace pto::wsp {

/// The inputs of a kernel, as the pipeline of a Halide user reads them. Dimensions are in NumPy's
/// order: `x(row, column)`, and columns are what lies side by side. The sizes of a tile, which may
/// be partial, are `x.dim(0).extent()` and `x.dim(1).extent()`.
class HalideInputs {
public:
    HalideInputs(std::string kernel, const std::vector<kernel::Param> &params)
        : kernel_(std::move(kernel)) {
        for (const kernel::Param &param : params) {
            if (param.kind == kernel::Param::Kind::Scalar) {
                scalars_.emplace(param.name,
                                 Halide::Param<>(scalar_type(param.type.dtype), param.name));
            } else if (param.direction == kernel::Direction::In) {
                images_.emplace_back(lower::pipeline_type(param.type.dtype), 2, param.name);
            }
        }
    }

    /// The input tile of that name; its elements have its dtype, and are read as such.
    /// TypeCheckError when there is none.
    const Halide::ImageParam &operator[](const NameAt &name) const {
        for (const Halide::ImageParam &image : images_) {
            if (image.name() == name.name) {
                return image;
            }
        }
        throw TypeCheckError(name.at, "kernel '" + kernel_ + "': no input '" + name.name + "'");
    }
    /// The scalar of that name; F16 and BF16 ones are 32-bit floats. TypeCheckError when there is
    /// none.
    Halide::Expr scalar(const NameAt &name) const {
        auto found = scalars_.find(name.name);
        if (found == scalars_.end()) {
            throw TypeCheckError(name.at,
                                 "kernel '" + kernel_ + "': no scalar '" + name.name + "'");
        }
        return found->second;
    }
    /// The input tiles, in order.
    const std::vector<Halide::ImageParam> &images() const { return images_; }

private:
    static Halide::Type scalar_type(DType dtype) {
        return is_float(dtype) && dtype != DType::F64 ? Halide::Float(32)
                                                      : lower::pipeline_type(dtype);
    }

    std::string kernel_;
    std::vector<Halide::ImageParam> images_;
    std::map<std::string, Halide::Param<>> scalars_;
};

/// A kernel that is a Halide pipeline with the schedule that its Funcs have. `pipeline` is called
/// once and returns a Func for each output, in order, of its dtype and with the dimensions
/// (row, column). Loops are serial: a kernel runs inside a task. CompileError for what Halide
/// refuses.
///
/// ```
/// const Kernel blur = halide_kernel(
///     "blur", {In("x", Tile(64, 66, DType::F32)), Out("y", Tile(64, 64, DType::F32))},
///     [](const HalideInputs &k) {
///         Halide::Var r("r"), c("c");
///         Halide::Func y("y");
///         y(r, c) = (k["x"](r, c) + k["x"](r, c + 1) + k["x"](r, c + 2)) / 3.0f;
///         y.reorder(c, r).vectorize(c, 16);
///         return std::vector<Halide::Func>{y};
///     });
/// ```
inline Kernel
halide_kernel(const std::string &name, const std::vector<kernel::Param> &parameters,
              const std::function<std::vector<Halide::Func>(const HalideInputs &)> &pipeline,
              const Loc &at = Loc::here()) {
    try {
        const HalideInputs inputs(name, parameters);
        return Kernel(kernel::custom_program(name, parameters,
                                             lower::pipeline_body(name, parameters, inputs.images(),
                                                                  pipeline(inputs), at),
                                             at),
                      at);
    } catch (const Halide::Error &error) {
        throw CompileError(at, "kernel '" + name + "': Halide: " + error.what());
    }
}

}  // namespace pto::wsp
