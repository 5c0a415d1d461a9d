#include "pto/wsp/program/kernels.h"

#include <fmt/format.h>

#include "building.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

tile::Param Parameters::operator[](const NameAt &name) const {
    return {builder_, find(name.name, kernel::Param::Kind::Tile, name.at)};
}

tile::Tile Parameters::scalar(const std::string &name, const Loc &at) const {
    return {builder_, builder_.scalar(find(name, kernel::Param::Kind::Scalar, at))};
}

int Parameters::find(const std::string &name, kernel::Param::Kind kind, const Loc &at) const {
    auto found = indices_.find(name);
    if (found == indices_.end()) {
        std::vector<std::string> names;
        for (const auto &[known, index] : indices_) {
            names.push_back(known);
        }
        const std::string near = nearest_name(name, names);
        throw TypeCheckError(at, fmt::format("kernel '{}': no parameter '{}'", kernel_, name), {},
                             (near.empty() ? "" : "did you mean '" + near + "'? ") +
                                 "the parameters are " + join(names));
    }
    const kernel::Param &param = builder_.param_info(found->second);
    if (param.kind != kind) {
        const bool is_tile = param.kind == kernel::Param::Kind::Tile;
        throw TypeCheckError(at,
                             fmt::format("kernel '{}': '{}' is a {}, not a {}", kernel_, name,
                                         is_tile ? "tile" : "scalar", is_tile ? "scalar" : "tile"),
                             {{param.at, "declared here"}},
                             is_tile ? fmt::format("k[\"{}\"]", name)
                                     : fmt::format("k.scalar(\"{}\")", name));
    }
    return found->second;
}

Kernel::Kernel(std::string name, std::vector<kernel::Param> parameters, Loc at)
    : handle_(std::make_shared<const workload::Kernel>(
          workload::Kernel{std::move(name), std::move(parameters), nullptr, std::move(at)})) {}

Kernel::Kernel(std::string name, const std::vector<kernel::Param> &parameters,
               const std::function<void(const Parameters &)> &body, Loc at) {
    kernel::Builder builder(name, at);
    std::map<std::string, int> indices;
    for (const kernel::Param &param : parameters) {
        indices[param.name] = builder.param(param);
    }
    body(Parameters(builder, std::move(indices), name));
    std::shared_ptr<const kernel::TileProgram> program = builder.finish();
    handle_ = std::make_shared<const workload::Kernel>(
        workload::Kernel{std::move(name), parameters, std::move(program), std::move(at)});
}

Kernel::Kernel(std::shared_ptr<const kernel::TileProgram> program, Loc at)
    : handle_(std::make_shared<const workload::Kernel>(
          workload::Kernel{program->name, program->params, program, std::move(at)})) {}

std::shared_ptr<const kernel::TileProgram> Kernel::ir(const Loc &at) const {
    if (is_declaration()) {
        throw CompileError(at, fmt::format("kernel '{}' has no body: it is a declaration", name()),
                           {{handle_->at, "declared here"}},
                           "supply it with program.register_kernel(name, implementation)");
    }
    return handle_->program;
}

void BoundKernel::operator()(std::initializer_list<TaskInput> arguments, const Loc &at) const {
    Building *building = Building::current();
    if (building == nullptr) {
        throw CompileError(
            at, fmt::format("kernel '{}' is called outside the body of a workload", kernel_->name),
            {}, "run it on tensors with compile(), or call it in the body of a Workload");
    }
    std::vector<workload::Argument> passed;
    size_t position = 0;
    for (const TaskInput &argument : arguments) {
        workload::Argument made{argument.name(), ScalarExpr(0), argument.at()};
        size_t index = 0;
        if (argument.name().empty()) {
            index = position++;
        } else {
            while (index < kernel_->params.size() &&
                   kernel_->params[index].name != argument.name()) {
                ++index;
            }
        }
        if (const auto *tensor = std::get_if<Tensor>(&argument.value())) {
            if (!tensor->is_writeable() && index < kernel_->params.size() &&
                kernel_->params[index].direction != kernel::Direction::In) {
                throw TypeCheckError(
                    argument.at(),
                    fmt::format("kernel '{}': '{}' is written but its array is read-only",
                                kernel_->name, kernel_->params[index].name),
                    {{tensor->region().tensor->at, tensor->name() + " is made here"}});
            }
            made.value = tensor->region();
        } else if (const auto *expr = std::get_if<ScalarExpr>(&argument.value())) {
            made.value = *expr;
        } else {
            made.value = std::get<double>(argument.value());
        }
        passed.push_back(std::move(made));
    }
    building->builder.task(kernel_, axes_, std::move(passed), at);
}

}  // namespace pto::wsp
