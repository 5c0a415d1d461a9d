#include <algorithm>
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "kernel_code.h"
#include "pto/wsp/backend/cpu/cache.h"
#include "pto/wsp/backend/cpu/engine_build.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/runtime/arena.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

using kernel::Direction;
using kernel::Param;

namespace {

/// Code of one set of layouts.
struct Variant {
    KernelRequest request;
    std::shared_ptr<backend::cpu::LoadedObject> object;
    abi::KernelFn function = nullptr;
};

}  // namespace

struct CompiledKernel::Impl {
    std::shared_ptr<const kernel::TileProgram> program;
    KernelOptions options;
    lower::Target target;

    std::mutex mutex;
    std::map<std::string, Variant> variants;
    std::string code;
    std::optional<lower::KernelVariant> prepared;
    Reasons reasons;

    std::vector<lower::ParamLayout> plain_layouts() const {
        return std::vector<lower::ParamLayout>(program->params.size());
    }

    KernelRequest request(std::vector<lower::ParamLayout> layouts) const {
        return {program,
                std::move(layouts),
                options.schedule,
                {options.block_m, options.block_n, options.block_k},
                {}};
    }

    const Variant &variant(std::vector<lower::ParamLayout> layouts) {
        std::scoped_lock lock(mutex);
        KernelRequest wanted = request(std::move(layouts));
        std::string key = wanted.key();
        auto it = variants.find(key);
        if (it != variants.end()) {
            return it->second;
        }
        Hash128 hash = content_hash(
            fmt::format("kernel\n{}\n{}\n{}", key, target.text, backend::cpu::engine_build()));
        Variant variant;
        variant.request = wanted;
        std::string symbol = kernel_symbol(hash);
        variant.object = backend::cpu::load_cached(
            hash,
            [&] { return lower::lower_kernel(prepare(wanted, target, nullptr), symbol, target); },
            program->name);
        variant.function =
            reinterpret_cast<abi::KernelFn>(variant.object->address(symbol + ".packed"));
        return variants.emplace(key, std::move(variant)).first->second;
    }

    /// The plain variant as lowering sees it.
    const lower::KernelVariant &plain() {
        std::scoped_lock lock(mutex);
        if (!prepared) {
            prepared = prepare(request(plain_layouts()), target, &reasons);
        }
        return *prepared;
    }

    void check(const Param &param, const std::variant<TensorView, double, int64_t> &argument,
               const Loc &at) const;
    void check_valid_sizes(const std::vector<bool> &partial,
                           const std::vector<std::variant<TensorView, double, int64_t>> &arguments,
                           const Loc &at) const;
    void bind_dim(const Param &param, const Affine &dim, int64_t size, const char *what,
                  std::map<std::string, int64_t> &symbols, const Loc &at) const;
};

void CompiledKernel::Impl::bind_dim(const Param &param, const Affine &dim, int64_t size,
                                    const char *what, std::map<std::string, int64_t> &symbols,
                                    const Loc &at) const {
    if (dim.terms().size() == 1 && dim.constant() == 0 && dim.terms().begin()->second == 1) {
        auto [it, added] = symbols.try_emplace(dim.terms().begin()->first, size);
        if (!added && it->second != size) {
            throw TypeCheckError(at, fmt::format("{}: '{}' has {} {}, but {} is {} already",
                                                 program->name, param.name, size, what, it->first,
                                                 it->second));
        }
        return;
    }
    int64_t declared = dim.evaluate(symbols);
    if (size > declared) {
        throw TypeCheckError(at,
                             fmt::format("{}: '{}' has {} {}, more than the {} declared",
                                         program->name, param.name, size, what, declared),
                             {{param.at, "declared here as " + param.type.user_str()}});
    }
}

void CompiledKernel::Impl::check(const Param &param,
                                 const std::variant<TensorView, double, int64_t> &argument,
                                 const Loc &at) const {
    const auto *view = std::get_if<TensorView>(&argument);
    if ((view != nullptr) != (param.kind == Param::Kind::Tile)) {
        throw TypeCheckError(at, fmt::format("{}: '{}' takes a {}, not a {}", program->name,
                                             param.name, view == nullptr ? "tile" : "number",
                                             view == nullptr ? "number" : "tile"));
    }
    if (view == nullptr) {
        return;
    }
    if (view->rank() < 1 || view->rank() > 2) {
        throw TypeCheckError(at, fmt::format("{}: '{}' is a tile of two dimensions, not a view {}",
                                             program->name, param.name, shape_text(view->shape)));
    }
    if (view->dtype != param.type.dtype) {
        throw TypeCheckError(at, fmt::format("{}: '{}' is {}, not {}", program->name, param.name,
                                             info(param.type.dtype).user_name,
                                             info(view->dtype).user_name));
    }
}

void CompiledKernel::Impl::check_valid_sizes(
    const std::vector<bool> &partial,
    const std::vector<std::variant<TensorView, double, int64_t>> &arguments, const Loc &at) const {
    for (const kernel::DimClass &dims : kernel::with_valid_sizes(*program, partial).classes) {
        int64_t first = -1;
        auto meet = [&](int param, int64_t size, const char *what) {
            if (first >= 0 && size != first) {
                throw TypeCheckError(
                    at, fmt::format("{}: '{}' has {} valid {}, where {} are expected",
                                    program->name, program->params[static_cast<size_t>(param)].name,
                                    size, what, first));
            }
            first = size;
        };
        for (int param : dims.rows_of) {
            meet(param, tile_view(std::get<TensorView>(arguments[static_cast<size_t>(param)])).rows,
                 "rows");
        }
        for (int param : dims.columns_of) {
            meet(param,
                 tile_view(std::get<TensorView>(arguments[static_cast<size_t>(param)])).columns,
                 "columns");
        }
    }
}

void CompiledKernel::operator()(
    const std::vector<std::variant<TensorView, double, int64_t>> &arguments, const Loc &at) const {
    Impl &impl = *impl_;
    const std::vector<Param> &params = impl.program->params;
    if (arguments.size() != params.size()) {
        throw TypeCheckError(at, fmt::format("{} takes {} arguments, not {}", impl.program->name,
                                             params.size(), arguments.size()));
    }
    std::vector<lower::ParamLayout> layouts(params.size());
    std::vector<int64_t> slots;
    std::map<std::string, int64_t> symbols = impl.options.symbols;
    bool empty = false;
    for (size_t p = 0; p < params.size(); ++p) {
        impl.check(params[p], arguments[p], at);
        const auto *view = std::get_if<TensorView>(&arguments[p]);
        if (view == nullptr) {
            double number = std::holds_alternative<double>(arguments[p])
                                ? std::get<double>(arguments[p])
                                : static_cast<double>(std::get<int64_t>(arguments[p]));
            append_slot(slots, params[p].type.dtype, number);
            continue;
        }
        TileView tile = tile_view(*view);
        impl.bind_dim(params[p], params[p].type.rows, tile.rows, "rows", symbols, at);
        impl.bind_dim(params[p], params[p].type.columns, tile.columns, "columns", symbols, at);
        layouts[p] = layout_of(*view, params[p].type);
        append_slots(slots, tile);
        empty = empty ||
                (params[p].direction != Direction::In && (tile.rows == 0 || tile.columns == 0));
        for (size_t q = 0; q < p; ++q) {
            const auto *other = std::get_if<TensorView>(&arguments[q]);
            bool writes =
                params[p].direction != Direction::In || params[q].direction != Direction::In;
            if (other != nullptr && writes && may_overlap(*view, *other)) {
                copy_overlapping(*impl.program, layouts, q, p, at);
            }
        }
    }
    std::vector<bool> partial;
    for (const lower::ParamLayout &layout : layouts) {
        partial.push_back(layout.partial);
    }
    if (std::find(partial.begin(), partial.end(), true) != partial.end()) {
        impl.check_valid_sizes(partial, arguments, at);
    }
    if (empty) {
        return;
    }
    const Variant &variant = impl.variant(layouts);
    struct Closure {
        abi::KernelFn function;
        const int64_t *slots;
    } closure{variant.function, slots.data()};
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
    if (impl_->code.empty()) {
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

CompiledKernel compile_kernel(std::shared_ptr<const kernel::TileProgram> program,
                              const KernelOptions &options, const Loc &at) {
    if (options.target != "cpu" && options.target != "cpu_sim") {
        throw CompileError(at, fmt::format("unknown target '{}'", options.target), {},
                           "targets: cpu, cpu_sim");
    }
    auto impl = std::make_shared<CompiledKernel::Impl>();
    impl->program = std::move(program);
    impl->options = options;
    impl->target = lower::host_target();
    impl->variant(impl->plain_layouts());
    return CompiledKernel(impl);
}

}  // namespace pto::wsp
