#include <algorithm>
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "kernel_call.h"
#include "kernel_code.h"
#include "loaded_kernel.h"
#include "pto/wsp/backend/cpu/cpp_body.h"
#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/runtime/arena.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

struct CompiledKernel::Impl {
    std::shared_ptr<const kernel::TileProgram> program;
    std::shared_ptr<const kernel::TileProgram> lowered;  ///< with the Symbols that have values
    KernelOptions options;
    lower::Target target;

    std::mutex mutex;
    std::map<std::string, LoadedKernel> variants;  ///< by layouts
    std::string code;
    std::optional<lower::KernelVariant> prepared;
    Reasons reasons;
    backend::cpu::Externals bodies;
    std::string body_symbol;

    std::vector<lower::ParamLayout> plain_layouts() const {
        return std::vector<lower::ParamLayout>(program->params.size());
    }

    KernelRequest request(std::vector<lower::ParamLayout> layouts) const {
        return {lowered,
                std::move(layouts),
                options.schedule,
                {options.block_m, options.block_n, options.block_k},
                {},
                body_symbol};
    }

    void compile_body(const Loc &at) {
        if (program->custom != nullptr &&
            (options.block_m != 0 || options.block_n != 0 || options.block_k != 0)) {
            throw ScheduleError(at,
                                fmt::format("kernel '{}' has a body in {}: BLOCK_M, BLOCK_N and "
                                            "BLOCK_K have no meaning for it",
                                            program->name, program->custom->language()));
        }
        KernelRequest wanted = request(plain_layouts());
        bool hit = true;
        wanted.compile_body(target, bodies, &hit, at);
        body_symbol = wanted.body_symbol;
    }

    const LoadedKernel &variant(std::vector<lower::ParamLayout> layouts) {
        std::scoped_lock lock(mutex);
        KernelRequest wanted = request(std::move(layouts));
        std::string key = wanted.key();
        auto it = variants.find(key);
        if (it != variants.end()) {
            return it->second;
        }
        return variants.emplace(key, load_kernel(wanted, target, bodies)).first->second;
    }

    /// The plain variant as lowering sees it.
    const lower::KernelVariant &plain() {
        std::scoped_lock lock(mutex);
        if (!prepared) {
            prepared = prepare(request(plain_layouts()), target, &reasons);
        }
        return *prepared;
    }
};

void CompiledKernel::operator()(const std::vector<KernelArgument> &arguments, const Loc &at) const {
    Impl &impl = *impl_;
    KernelCall call = bind_call(*impl.program, impl.options.symbols, arguments, at);
    if (call.writes_nothing) {
        return;
    }
    const LoadedKernel &variant = impl.variant(call.layouts);
    struct Closure {
        abi::KernelFn function;
        const int64_t *slots;
    } closure{variant.function, call.slots.data()};
    const char *text = nullptr;
    int status = runtime::guarded_call(
        [](void *data) {
            auto *call = static_cast<Closure *>(data);
            return static_cast<int>(call->function(call->slots));
        },
        &closure, &text);
    if (status != 0) {
        throw KernelError(
            at, fmt::format("{}: {}", impl.program->name, text != nullptr ? text : "failed"));
    }
}

const std::string &CompiledKernel::code() const {
    const lower::KernelVariant &variant = impl_->plain();
    std::scoped_lock lock(impl_->mutex);
    const auto *cpp = dynamic_cast<const kernel::CppBody *>(impl_->program->custom.get());
    if (impl_->code.empty() && cpp != nullptr) {
        impl_->code = backend::cpu::cpp_unit(*impl_->program);
    } else if (impl_->code.empty()) {
        impl_->code = lower::lower_kernel(variant, impl_->program->name, impl_->target).text();
    }
    return impl_->code;
}

std::string CompiledKernel::loop_nest() const {
    return lower::loop_nest(impl_->plain(), impl_->target);
}

const schedule::KernelSchedule &CompiledKernel::schedule() const {
    return impl_->plain().schedule;
}

Reasons CompiledKernel::explain() const {
    impl_->plain();
    return impl_->reasons;
}

namespace {

/// `program` with `values` for its Symbols. CompileError when it has no such Symbol or a value is
/// no size.
std::shared_ptr<const kernel::TileProgram>
with_symbols(const std::shared_ptr<const kernel::TileProgram> &program,
             const std::map<std::string, int64_t> &values, const Loc &at) {
    if (values.empty()) {
        return program;
    }
    std::vector<std::string> known = program->symbols();
    std::map<std::string, Affine> sizes;
    for (const auto &[name, value] : values) {
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            throw CompileError(at,
                               fmt::format("kernel '{}' has no symbol '{}'", program->name, name),
                               {}, known.empty() ? "it has none" : "symbols: " + join(known));
        }
        if (value < 0 || value > max_extent) {
            throw CompileError(at, fmt::format("kernel '{}': {} is {}, must be in [0, {}]",
                                               program->name, name, value, max_extent));
        }
        sizes.emplace(name, value);
    }
    return kernel::substitute_dims(*program, sizes);
}

}  // namespace

CompiledKernel compile_kernel(std::shared_ptr<const kernel::TileProgram> program,
                              const KernelOptions &options, const Loc &at) {
    if (options.target != "cpu" && options.target != "cpu_sim") {
        throw CompileError(at, fmt::format("unknown target '{}'", options.target), {},
                           "targets: cpu, cpu_sim");
    }
    auto impl = std::make_shared<CompiledKernel::Impl>();
    impl->lowered = with_symbols(program, options.symbols, at);
    impl->program = std::move(program);
    impl->options = options;
    impl->target = lower::host_target();
    impl->compile_body(at);
    impl->variant(impl->plain_layouts());
    return CompiledKernel(impl);
}

}  // namespace pto::wsp
