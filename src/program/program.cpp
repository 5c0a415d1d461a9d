#include "pto/wsp/program/program.h"
#include "pto/wsp/workload/check_sizes.h"

#include <algorithm>
#include <bit>
#include <mutex>

#include <fmt/format.h>

#include "program_impl.h"
#include "pto/wsp/runtime/arena.h"
#include "pto/wsp/schedule/cycles.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

using workload::KernelPtr;

Program::Impl::~Impl() {
    for (const std::shared_ptr<StartedRun> &each : runs.all()) {
        each->run->wait(std::nullopt);
    }
}

void Program::Impl::rethrow(const StartedRun &run) const {
    constexpr size_t most_with_indices = 16;
    const auto *graph = std::get_if<runtime::DynamicGraph>(run.plan.get());
    const bool by_number = graph == nullptr || !graph->keeps_indices;
    std::vector<TaskFailure> failures;
    for (runtime::Failure &failure : run.run->failures()) {
        const bool is_known = by_number || !failure.what.indices.empty();
        failure.what.indices = failures.size() < most_with_indices && is_known
                                   ? indices_of(failure, workload, summary, run.data)
                                   : std::vector<std::pair<std::string, int64_t>>();
        failures.push_back(std::move(failure.what));
    }
    try {
        run.run->rethrow();
    } catch (const KernelError &) {
        throw KernelError(std::move(failures), run.run->failure_count());
    }
}

namespace {

/// A run in flight that writes what the next one touches, or touches what that writes; null: none.
std::shared_ptr<runtime::Execution> run_in_the_way(const Program::Impl &impl) {
    for (const std::shared_ptr<StartedRun> &each : impl.runs.all()) {
        if (!each->run->is_complete() &&
            share_memory(impl.summary.memory, each->views, impl.views)) {
            return each->run;
        }
    }
    return nullptr;
}

}  // namespace

bool Program::can_start() const {
    std::scoped_lock lock(impl_->mutex);
    return run_in_the_way(*impl_) == nullptr;
}

std::shared_ptr<runtime::Observer> Program::Impl::observe(int workers) {
    cycles = nullptr;
    std::shared_ptr<runtime::Observer> tracing = start_trace(workers);
    added = nullptr;
    const auto *graph = std::get_if<runtime::DynamicGraph>(plan.get());
    if (options.tasks.traces_cycles() && graph != nullptr) {
        cycles = std::make_shared<KernelCycles>(*graph, workers, std::move(tracing));
        tracing = cycles;
    }
    if (counts_added()) {
        added = std::make_shared<AddedCycles>(workers, std::move(tracing));
        tracing = added;
    }
    return tracing;
}

void Program::execute() {
    std::unique_lock lock(impl_->mutex);
    impl_->require_kernels();
    while (const std::shared_ptr<runtime::Execution> run = run_in_the_way(*impl_)) {
        // Others may ask for the runs meanwhile.
        lock.unlock();
        run->wait(std::nullopt);
        lock.lock();
    }
    if (const std::shared_ptr<StartedRun> failed = impl_->runs.take_failed(false)) {
        impl_->rethrow(*failed);
    }
    if (impl_->plan == nullptr) {
        impl_->build();
    }
    if (impl_->uses_slots || impl_->counts_added()) {
        impl_->forget_data();
    }
    if (!impl_->are_sizes_checked) {
        workload::check_sizes(impl_->workload);
        impl_->are_sizes_checked = true;
    }
    runtime::Executor &executor = runtime::Executor::shared();
    auto run = std::make_shared<StartedRun>();
    run->views = impl_->views;
    run->data = impl_->workload.data;
    run->owners = impl_->owners;
    run->object = impl_->object;
    run->plan = impl_->plan;
    std::vector<int64_t> bindings = impl_->bindings(executor.workers());
    run->run = executor.start(impl_->plan, std::move(bindings), impl_->observe(executor.workers()));
    impl_->runs.add(std::move(run));
}

bool Program::synchronize(std::optional<std::chrono::nanoseconds> timeout) {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    std::unique_lock lock(impl_->mutex);
    const std::vector<std::shared_ptr<StartedRun>> runs = impl_->runs.all();
    lock.unlock();
    for (const std::shared_ptr<StartedRun> &each : runs) {
        std::optional<std::chrono::nanoseconds> left = timeout;
        if (timeout) {
            left = *timeout - std::min<std::chrono::nanoseconds>(Clock::now() - start, *timeout);
        }
        if (!each->run->wait(left)) {
            return false;
        }
    }
    lock.lock();
    std::shared_ptr<StartedRun> failed = impl_->runs.take_failed(true);
    if (failed == nullptr && !runs.empty()) {
        failed = runs.back();
    }
    lock.unlock();
    if (failed != nullptr) {
        impl_->rethrow(*failed);
    }
    return true;
}

void Program::cancel() {
    std::scoped_lock lock(impl_->mutex);
    for (const std::shared_ptr<StartedRun> &each : impl_->runs.all()) {
        each->run->cancel();
    }
}

bool Program::is_complete() const {
    std::scoped_lock lock(impl_->mutex);
    return impl_->runs.are_complete();
}

void Program::forsake() const {
    std::scoped_lock lock(impl_->mutex);
    for (const std::shared_ptr<StartedRun> &each : impl_->runs.all()) {
        each->run->forsake();
    }
}

bool Program::waits_for_events() const {
    bool waits = false;
    workload::for_each_node(*impl_->workload.root, [&](const workload::Node &node, const auto &) {
        const auto *event = std::get_if<workload::EventNode>(&node.kind);
        waits = waits || (event != nullptr && event->waits());
    });
    return waits;
}

void Program::when_complete(std::function<void()> then) const {
    std::shared_ptr<StartedRun> last;
    {
        std::scoped_lock lock(impl_->mutex);
        last = impl_->runs.last();
    }
    if (last == nullptr) {
        then();
    } else {
        last->run->when_complete(std::move(then));
    }
}

Progress Program::progress() const {
    std::scoped_lock lock(impl_->mutex);
    Progress progress;
    progress.total = workload::constant_task_count(*impl_->workload.root);
    if (const std::shared_ptr<StartedRun> last = impl_->runs.last()) {
        progress.complete = last->run->is_complete();
        const runtime::RunStats stats = last->run->stats();
        progress.done = stats.tasks;
        progress.elapsed_ms = stats.execute_ms;
    }
    return progress;
}

namespace {

void check_bound(const std::string &name, const TensorView &old, const TensorView &view,
                 const Loc &at) {
    if (old.dtype != view.dtype) {
        throw TypeCheckError(at,
                             fmt::format("bind: '{}' is {}, not {}", name,
                                         info(old.dtype).user_name, info(view.dtype).user_name));
    }
    if (old.shape != view.shape) {
        throw TypeCheckError(at, fmt::format("bind: '{}' is {}, not {}", name,
                                             shape_text(old.shape), shape_text(view.shape)));
    }
    if (old.strides != view.strides) {
        throw TypeCheckError(at,
                             fmt::format("bind: '{}' has strides {}, not {}", name,
                                         shape_text(old.strides), shape_text(view.strides)),
                             {}, "copy it to the layout that the program was compiled for");
    }
}

/// The views of the program with those of `tensors` in their place.
std::vector<TensorView> bound_views(const Program::Impl &impl,
                                    const std::map<std::string, TensorView> &tensors,
                                    const Loc &at) {
    std::vector<TensorView> views = impl.views;
    for (const auto &[name, view] : tensors) {
        std::vector<std::string> names;
        bool found = false;
        for (size_t t = 0; t < views.size(); ++t) {
            if (impl.tensors[t]->own) {
                continue;
            }
            names.push_back(impl.tensors[t]->name);
            if (impl.tensors[t]->name == name) {
                check_bound(name, impl.tensors[t]->view, view, at);
                views[t] = view;
                found = true;
            }
        }
        if (!found) {
            throw TypeCheckError(at, fmt::format("bind: the program has no tensor '{}'", name), {},
                                 "tensors: " + join(names));
        }
    }
    workload::check_binding(impl.summary, views, at);
    return views;
}

}  // namespace

void Program::bind(const std::map<std::string, TensorView> &tensors, const Loc &at) {
    std::scoped_lock lock(impl_->mutex);
    impl_->views = bound_views(*impl_, tensors, at);
    impl_->forget_data();
}

void Program::set_symbols(const std::map<std::string, int64_t> &values, const Loc &at) {
    std::scoped_lock lock(impl_->mutex);
    for (const auto &[name, value] : values) {
        const bool modelled =
            name == schedule::channel_latency_symbol && impl_->options.target == "cpu_sim";
        if (!modelled && std::ranges::find(impl_->symbols, name) == impl_->symbols.end()) {
            throw TypeCheckError(at, fmt::format("the program has no symbol '{}'", name), {},
                                 impl_->symbols.empty() ? "it has none"
                                                        : "symbols: " + join(impl_->symbols));
        }
    }
    for (const auto &[name, value] : values) {
        impl_->workload.data.symbols.insert_or_assign(name, value);
        impl_->floats.erase(name);
        impl_->owners.erase(name);
    }
    impl_->forget_data();
}

const workload::SymbolUse &
Program::Impl::use_of(const std::string &symbol, const std::string &what, const std::string &given,
                      std::initializer_list<workload::SymbolUse::Kind> kinds, const Loc &at) const {
    const auto found = symbol_uses.find(symbol);
    if (found == symbol_uses.end()) {
        throw TypeCheckError(at, fmt::format("the program has no symbol '{}'", symbol), {},
                             symbols.empty() ? "it has none" : "symbols: " + join(symbols));
    }
    const workload::SymbolUse &use = found->second;
    if (std::ranges::find(kinds, use.kind) == kinds.end()) {
        throw TypeCheckError(
            at,
            fmt::format("{}: symbol '{}' is {}, got {}", what, symbol,
                        workload::values_of(use.kind), given),
            {{use.at, "used here"}},
            use.kind == workload::SymbolUse::Kind::Float
                ? "use set_symbol_f32"
                : "use set_symbol_u64; a symbol that is only given whole to parameters of floats "
                  "is a float, to parameters of U64 an address");
    }
    return use;
}

void Program::set_symbol_f32(const std::string &name, double value, const Loc &at) {
    std::scoped_lock lock(impl_->mutex);
    impl_->use_of(name, "set_symbol_f32", fmt::format("the float {}", number_text(value)),
                  {workload::SymbolUse::Kind::Float}, at);
    impl_->floats.insert_or_assign(name, value);
    impl_->forget_data();
}

void Program::set_symbol_ptr(const std::string &name, const void *address,
                             std::shared_ptr<void> owner, const Loc &at) {
    std::scoped_lock lock(impl_->mutex);
    impl_->use_of(name, "set_symbol_ptr", "an address", {workload::SymbolUse::Kind::Address}, at);
    impl_->workload.data.symbols.insert_or_assign(name, std::bit_cast<int64_t>(address));
    impl_->owners.insert_or_assign(name, std::move(owner));
    impl_->forget_data();
}

void Program::set_tables(const std::map<std::string, RunData::Values> &values, const Loc &at) {
    std::scoped_lock lock(impl_->mutex);
    for (const auto &[name, value] : values) {
        if (std::ranges::find(impl_->tables, name) == impl_->tables.end()) {
            throw TypeCheckError(at, fmt::format("the program has no table '{}'", name), {},
                                 impl_->tables.empty() ? "it has none"
                                                       : "tables: " + join(impl_->tables));
        }
    }
    for (const auto &[name, value] : values) {
        impl_->workload.data.tables.insert_or_assign(name, value);
    }
    impl_->forget_data();
}

void Program::register_kernel(const std::string &name,
                              std::shared_ptr<const kernel::TileProgram> implementation,
                              const Loc &at) {
    KernelPtr found;
    std::vector<std::string> names;
    for (const KernelPtr &kernel : impl_->kernels) {
        if (kernel->program != nullptr) {
            continue;
        }
        names.push_back(kernel->name);
        if (kernel->name != name) {
            continue;
        }
        if (found != nullptr) {
            throw ScheduleError(at,
                                fmt::format("register_kernel: two kernels are called '{}'", name),
                                {{found->at, "one"}, {kernel->at, "the other"}},
                                "pass the kernel itself instead of its name");
        }
        found = kernel;
    }
    if (found == nullptr) {
        throw ScheduleError(at, fmt::format("register_kernel: no kernel '{}' is declared", name),
                            {},
                            names.empty() ? "every kernel has a body" : "declared: " + join(names));
    }
    register_kernel(found, std::move(implementation), at);
}

void Program::register_kernel(const KernelPtr &declaration,
                              std::shared_ptr<const kernel::TileProgram> implementation,
                              const Loc &at) {
    std::unique_lock lock(impl_->mutex);
    if (std::find(impl_->kernels.begin(), impl_->kernels.end(), declaration) ==
        impl_->kernels.end()) {
        throw ScheduleError(at, fmt::format("register_kernel: the program does not call this '{}'",
                                            declaration->name));
    }
    check_implementation(*declaration, *implementation, at);
    impl_->implementations[declaration] = std::move(implementation);
    impl_->forget_data();
    impl_->plan = nullptr;
    if (impl_->missing_kernel() == nullptr) {
        impl_->build();
    }
}

void Program::enable_tracing(runtime::TraceLevel level) {
    std::unique_lock lock(impl_->mutex);
    while (!impl_->runs.are_complete()) {
        const std::shared_ptr<StartedRun> last = impl_->runs.last();
        lock.unlock();
        last->run->wait(std::nullopt);
        lock.lock();
    }
    impl_->trace_level = level;
    workload::DependenceSummary summary = impl_->analyse_for(level);
    if (summary.is_static() == impl_->summary.is_static()) {
        return;
    }
    impl_->summary = std::move(summary);
    impl_->plan = nullptr;
    if (impl_->missing_kernel() == nullptr) {
        impl_->build();
    }
}

ProgramStats Program::stats() const {
    std::scoped_lock lock(impl_->mutex);
    if (!impl_->is_modelled) {
        impl_->model_cycles();
    }
    ProgramStats stats = impl_->stats;
    const std::shared_ptr<StartedRun> last = impl_->runs.last();
    if (last != nullptr && last->run->is_complete()) {
        runtime::RunStats run = last->run->stats();
        stats.failed_tasks = run.failed;
        stats.skipped_tasks = run.skipped;
        stats.execute_time_ms = run.execute_ms;
        stats.parallel_tasks = run.parallel_tasks;
        stats.window_stalls = run.window_stalls;
        stats.most_in_flight = run.most_in_flight;
        if (impl_->cycles != nullptr) {
            stats.kernel_cycles = impl_->cycles->by_kernel();
        }
        if (!workload::constant_task_count(*impl_->workload.root)) {
            stats.task_count = run.tasks;
        }
        for (const runtime::RunStats::Worker &worker : run.workers) {
            const double fraction = run.execute_ms > 0 ? worker.busy_ms / run.execute_ms : 0;
            stats.workers.push_back({worker.tasks, worker.steals, worker.busy_ms, fraction});
        }
    }
    impl_->add_critical_path(stats);
    const runtime::ArenaStats arenas = runtime::arena_stats();
    stats.arena_high_water_bytes = arenas.high_water_bytes;
    stats.arena_huge_page_bytes = arenas.huge_page_bytes;
    return stats;
}

Reasons Program::explain() const {
    std::scoped_lock lock(impl_->mutex);
    Reasons reasons = impl_->summary.reasons;
    for (const Code &code : impl_->codes) {
        prepare(code.request, impl_->target, &reasons);
    }
    reasons.insert(reasons.end(), impl_->cache_reasons.begin(), impl_->cache_reasons.end());
    return reasons;
}

const std::string &Program::target() const {
    return impl_->options.target;
}

const workload::Workload &Program::workload() const {
    return impl_->workload;
}

std::string Program::loop_nests() const {
    std::scoped_lock lock(impl_->mutex);
    std::string text;
    for (const Code &code : impl_->codes) {
        lower::KernelVariant variant = prepare(code.request, impl_->target, nullptr);
        text += fmt::format("kernel {}:\n{}\n", variant.program->name,
                            lower::loop_nest(variant, impl_->target));
    }
    return text + impl_->summary.str();
}

}  // namespace pto::wsp
