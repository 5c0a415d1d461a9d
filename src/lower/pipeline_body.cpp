#include <fmt/format.h>

#include "pipeline_statement.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/hash.h"

namespace pto::wsp::lower {

using kernel::Direction;
using kernel::Param;

namespace {

void check_output(const std::string &kernel, const Param &param, const Halide::Func &func,
                  const Loc &at) {
    auto fail = [&](const std::string &text) {
        throw CompileError(
            at, fmt::format("kernel '{}': the Func of '{}' {}", kernel, param.name, text),
            {{param.at, "declared here"}});
    };
    if (!func.defined()) {
        fail("is not defined");
    }
    if (func.outputs() != 1) {
        fail(fmt::format("has {} values, not 1", func.outputs()));
    }
    if (func.dimensions() != 2) {
        fail(fmt::format("has {} dimensions, not 2: (row, column)", func.dimensions()));
    }
    const Halide::Type wanted = pipeline_type(param.type.dtype);
    if (func.type() != wanted) {
        fail(fmt::format("is {}, '{}' is {}", Halide::type_to_c_type(func.type(), false),
                         param.name, info(param.type.dtype).user_name));
    }
}

}  // namespace

Halide::Type pipeline_type(DType dtype) {
    const int bits = 8 * size_bytes(dtype);
    switch (info(dtype).kind) {
    case DTypeKind::Float:
        return dtype == DType::BF16 ? Halide::BFloat(16) : Halide::Float(bits);
    case DTypeKind::Signed:
        return Halide::Int(bits);
    default:
        return Halide::UInt(bits);
    }
}

Halide::Pipeline PipelineBody::pipeline() const {
    std::vector<Halide::Func> funcs;
    for (const Output &output : outputs) {
        funcs.push_back(output.func);
    }
    return Halide::Pipeline(funcs);
}

std::shared_ptr<const kernel::CustomBody>
pipeline_body(const std::string &kernel, const std::vector<Param> &params,
              const std::vector<Halide::ImageParam> &inputs,
              const std::vector<Halide::Func> &outputs, const Loc &at) {
    auto body = std::make_shared<PipelineBody>();
    size_t written = 0;
    for (size_t p = 0; p < params.size(); ++p) {
        if (params[p].kind == Param::Kind::Scalar) {
            continue;
        }
        if (params[p].direction == Direction::In) {
            body->inputs.push_back({p, inputs.at(body->inputs.size())});
            continue;
        }
        if (params[p].direction == Direction::InOut) {
            throw CompileError(params[p].at,
                               fmt::format("kernel '{}': '{}' is read and written, but a pipeline "
                                           "reads its inputs and writes its outputs",
                                           kernel, params[p].name),
                               {},
                               "declare an input and an output; one tensor may be given for "
                               "both");
        }
        if (written < outputs.size()) {
            check_output(kernel, params[p], outputs[written], at);
            body->outputs.push_back({p, outputs[written]});
        }
        ++written;
    }
    if (written != outputs.size() || written == 0) {
        throw CompileError(at,
                           fmt::format("kernel '{}' has {} outputs, its pipeline gives {} Funcs",
                                       kernel, written, outputs.size()));
    }
    try {
        std::vector<uint8_t> bytes;
        Halide::serialize_pipeline(body->pipeline(), bytes);
        body->digest =
            content_hash({reinterpret_cast<const char *>(bytes.data()), bytes.size()}).hex();
    } catch (const Halide::Error &error) {
        throw CompileError(at, fmt::format("kernel '{}': Halide: {}", kernel, error.what()));
    }
    return body;
}

}  // namespace pto::wsp::lower
