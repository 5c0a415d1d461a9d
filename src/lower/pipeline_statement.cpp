#include "pipeline_statement.h"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

#include "bind_buffers.h"
#include "pto/wsp/support/error.h"
#include "statements.h"
#include "tile_func.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Handle;
using Halide::Int;
using kernel::Param;

namespace {

constexpr const char *error_prefix = "halide_error_";

/// Asserts that depend on the sizes and values of a call, or on the schedule; of the others the
/// caller takes care.
constexpr std::array kept_asserts = {
    "access_out_of_bounds", "explicit_bounds_too_small", "constraint_violated",   "param_too",
    "requirement_failed",   "specialize_fail",           "fold_factor_too_small", "bad_fold"};

constexpr std::array<std::string_view, 5> layout_queries = {
    "_halide_buffer_get_host", "_halide_buffer_get_min", "_halide_buffer_get_max",
    "_halide_buffer_get_extent", "_halide_buffer_get_stride"};

/// Replaces asserts by code that ends the task, and finds threads.
class TranslateAsserts : public IRMutator {
public:
    bool starts_threads = false;

private:
    using IRMutator::visit;

    Stmt visit(const AssertStmt *op) override {
        const auto *message = op->message.as<Call>();
        const std::string name = message == nullptr ? "" : message->name;
        const std::string what =
            name.rfind(error_prefix, 0) == 0 ? name.substr(strlen(error_prefix)) : "";
        const bool kept = std::any_of(kept_asserts.begin(), kept_asserts.end(),
                                      [&](const char *row) { return what.rfind(row, 0) == 0; });
        return kept ? fail_unless(mutate(op->condition), text(what, *message)) : Evaluate::make(0);
    }

    Expr visit(const Call *op) override {
        if (op->name.rfind("_halide_buffer_", 0) == 0 &&
            std::find(layout_queries.begin(), layout_queries.end(), op->name) ==
                layout_queries.end()) {
            // Types, ranks and devices: of interest to asserts that are left out.
            return make_zero(op->type);
        }
        starts_threads = starts_threads || op->name == "halide_do_par_for" ||
                         op->name == "halide_do_parallel_tasks";
        return IRMutator::visit(op);
    }

    static std::string text(const std::string &what, const Call &message) {
        std::string subject;
        if (!message.args.empty()) {
            if (const auto *name = message.args[0].as<StringImm>()) {
                subject = name->value;
            }
        }
        if (what == "access_out_of_bounds" && message.args.size() > 1) {
            const auto dim = as_const_int(message.args[1]);
            return fmt::format("Halide: {} is accessed outside of its {}", subject,
                               dim && *dim == 0 ? "rows" : "columns");
        }
        std::string words = what;
        std::replace(words.begin(), words.end(), '_', ' ');
        return fmt::format("Halide: {}{}{}", words, subject.empty() ? "" : ": ", subject);
    }
};

class PipelineLowering {
public:
    PipelineLowering(const KernelVariant &variant, const PipelineBody &body, const Target &target)
        : variant_(variant), body_(body) {
        const bool wide = std::any_of(variant.layouts.begin(), variant.layouts.end(),
                                      [](const ParamLayout &layout) { return layout.wide; });
        target_ = code_target(target, wide).without_feature(Halide::Target::NoAsserts);
    }

    Stmt run() {
        for (const PipelineBody::Input &input : body_.inputs) {
            bind(input.image.name(), input.param, input.image.parameter());
        }
        for (const PipelineBody::Output &output : body_.outputs) {
            bind(output.func.name(), output.param, output.func.output_buffer().parameter());
        }
        Halide::Pipeline pipeline = body_.pipeline();
        Halide::Module module =
            pipeline.compile_to_module(pipeline.infer_arguments(), "pipeline", target_);
        TranslateAsserts translate;
        Stmt body = translate.mutate(module.get_function_by_name("pipeline").body);
        if (translate.starts_threads) {
            throw CompileError(variant_.program->at,
                               fmt::format("kernel '{}': its schedule has a parallel loop",
                                           variant_.program->name),
                               {},
                               "leave parallel() out: a kernel is serial inside a task, and "
                               "tasks run in parallel");
        }
        body = bind_buffers(body, layouts_);
        for (const Param &param : variant_.program->params) {
            if (param.kind == Param::Kind::Scalar) {
                body = LetStmt::make(
                    param.name,
                    Variable::make(inner_type(param.type.dtype), param.name + ".scalar"), body);
            }
        }
        return IfThenElse::make(some_output(), body);
    }

private:
    /// Tells Halide what is known of the buffer of parameter `index`, and where it lies.
    void bind(const std::string &buffer, size_t index, Halide::Parameter image) {
        const Param &param = variant_.program->params[index];
        const ParamLayout &layout = variant_.layouts[index];
        auto slot = [&](const char *name) {
            return Halide::cast<int32_t>(Variable::make(Int(64), param.name + name));
        };
        BufferLayout bound;
        bound.host = Variable::make(Handle(), param.name + ".host");
        auto extent = [&](const Affine &declared, const char *name) {
            const auto size = declared.as_constant();
            return size && !layout.partial ? Expr(static_cast<int32_t>(*size)) : slot(name);
        };
        bound.extents = {extent(param.type.rows, ".slot_rows"),
                         extent(param.type.columns, ".slot_columns")};
        bound.strides = {slot(".row_stride"),
                         layout.unit_columns ? Expr(1) : slot(".column_stride")};
        for (int d = 0; d < 2; ++d) {
            const auto dim = static_cast<size_t>(d);
            image.set_min_constraint(d, 0);
            image.set_extent_constraint(d,
                                        is_const(bound.extents[dim]) ? bound.extents[dim] : Expr());
            image.set_stride_constraint(d,
                                        is_const(bound.strides[dim]) ? bound.strides[dim] : Expr());
        }
        layouts_[buffer] = bound;
    }

    Expr some_output() const {
        Expr some = const_false();
        for (const PipelineBody::Output &output : body_.outputs) {
            const std::string &name = variant_.program->params[output.param].name;
            some = some || (Variable::make(Int(64), name + ".slot_rows") > make_zero(Int(64)) &&
                            Variable::make(Int(64), name + ".slot_columns") > make_zero(Int(64)));
        }
        return some;
    }

    const KernelVariant &variant_;
    const PipelineBody &body_;
    Halide::Target target_;
    std::map<std::string, BufferLayout> layouts_;
};

}  // namespace

Stmt pipeline_statement(const KernelVariant &variant, const PipelineBody &body,
                        const Target &target) {
    const std::lock_guard lock(body.lowering);
    return PipelineLowering(variant, body, target).run();
}

}  // namespace pto::wsp::lower
