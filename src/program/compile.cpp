#include <algorithm>
#include <bit>
#include <chrono>
#include <iterator>
#include <set>

#include <fmt/format.h>

#include "program_impl.h"
#include "pto/wsp/backend/cpu/cache.h"
#include "pto/wsp/backend/cpu/engine_build.h"
#include "pto/wsp/support/env.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/nets.h"
#include "task_rules.h"

namespace pto::wsp {

using workload::Region;
using workload::TaskNode;

workload::KernelPtr Program::Impl::missing_kernel() const {
    for (const workload::KernelPtr &kernel : kernels) {
        if (kernel->program == nullptr && implementations.count(kernel) == 0) {
            return kernel;
        }
    }
    return nullptr;
}

const std::shared_ptr<const kernel::TileProgram> &
Program::Impl::program_of(const workload::KernelPtr &kernel) const {
    auto supplied = implementations.find(kernel);
    return supplied == implementations.end() ? kernel->program : supplied->second;
}

void Program::Impl::require_kernels() const {
    if (workload::KernelPtr kernel = missing_kernel()) {
        throw ExecutionError(
            at, fmt::format("kernel '{}' is declared, but nothing implements it", kernel->name),
            {{kernel->at, "declared here"}},
            fmt::format("supply it: program.register_kernel(\"{}\", kernel)", kernel->name));
    }
}

namespace {

TileView tile_of(const Region &region) {
    lower::RegionTile tile = lower::region_tile(region);
    return {nullptr, tile.rows, tile.columns, tile.row_stride, tile.column_stride};
}

/// The layout that all views of a region's tile have.
lower::ParamLayout region_layout(const Region &region, const kernel::TileType &declared) {
    lower::ParamLayout layout = layout_of(tile_of(region), declared);
    layout.partial = layout.partial || region.valid_rows || region.valid_columns;
    return layout;
}

/// Values of the Symbols of `program` from the regions that the task gives it. TypeCheckError when
/// a region is larger than its parameter or none gives a Symbol its value.
std::map<std::string, Affine> region_sizes(const TaskNode &task, const kernel::TileProgram &program,
                                           const Loc &at) {
    std::map<std::string, Affine> sizes;
    auto fail = [&](const kernel::Param &param, const std::string &text) {
        throw TypeCheckError(at,
                             fmt::format("{}: '{}' is {}, {}", program.name, param.name,
                                         param.type.user_str(), text),
                             {{param.at, "declared here"}});
    };
    auto other_size = [](const Region &region) {
        return fmt::format("the region {} is larger or of another size", region.str());
    };
    auto bind = [&](const kernel::Param &param, const Affine &dim, int64_t size,
                    const Region &region) {
        const std::string *symbol = kernel::symbol_of(dim);
        if (symbol != nullptr &&
            !(sizes.try_emplace(*symbol, size).first->second == Affine(size))) {
            fail(param, other_size(region));
        }
    };
    auto compare = [&](const kernel::Param &param, const Affine &dim, int64_t size,
                       const Region &region) {
        Affine declared = dim.substitute(sizes);
        if (!declared.is_constant()) {
            fail(param,
                 fmt::format("and no region gives {} a value", declared.terms().begin()->first));
        }
        if (size > *declared.as_constant()) {
            fail(param, other_size(region));
        }
    };
    auto each_dim = [&](auto f) {
        for (size_t a = 0; a < task.arguments.size(); ++a) {
            const auto *region = std::get_if<Region>(&task.arguments[a].value);
            if (region != nullptr) {
                const kernel::Param &param = program.params[a];
                TileView tile = tile_of(*region);
                check_addressable(program.name, param.name, tile, at);
                f(param, param.type.rows, tile.rows, *region);
                f(param, param.type.columns, tile.columns, *region);
            }
        }
    };
    // All Symbols before the dims that are made of them.
    each_dim(bind);
    each_dim(compare);
    return sizes;
}

/// Expressions of one form when they are affine, so that equal ones are the same.
ScalarExpr normal_form(const ScalarExpr &size) {
    std::optional<Affine> affine = size.as_affine();
    return affine ? ScalarExpr::from(*affine) : size;
}

/// The classes of dims whose valid sizes the regions of `task` do not prove equal: of each class
/// one dim for each size. TypeCheckError when two sizes are different numbers.
std::vector<kernel::DimClass> unproven_dims(const TaskNode &task, const KernelRequest &request,
                                            const Loc &at) {
    std::vector<kernel::DimClass> result;
    for (const kernel::DimClass &dims : meeting_dims(*request.program, request.layouts)) {
        kernel::DimClass unproven;
        std::vector<ScalarExpr> sizes;
        auto meet = [&](int p, const std::optional<ScalarExpr> &valid, int64_t whole,
                        const char *what, std::vector<int> &to) {
            ScalarExpr size = normal_form(valid.value_or(whole));
            if (std::find(sizes.begin(), sizes.end(), size) != sizes.end()) {
                return;
            }
            for (const ScalarExpr &other : sizes) {
                if (size.op() == ScalarExpr::Op::Const && other.op() == ScalarExpr::Op::Const) {
                    throw TypeCheckError(
                        at, fmt::format("{}: '{}' has {} valid {}, where {} are expected",
                                        request.program->name,
                                        request.program->params[static_cast<size_t>(p)].name,
                                        size.value(), what, other.value()));
                }
            }
            sizes.push_back(size);
            to.push_back(p);
        };
        auto region = [&](int p) -> const Region & {
            return std::get<Region>(task.arguments[static_cast<size_t>(p)].value);
        };
        for (int p : dims.rows_of) {
            meet(p, region(p).valid_rows, tile_of(region(p)).rows, "rows", unproven.rows_of);
        }
        for (int p : dims.columns_of) {
            meet(p, region(p).valid_columns, tile_of(region(p)).columns, "columns",
                 unproven.columns_of);
        }
        if (sizes.size() > 1) {
            result.push_back(std::move(unproven));
        }
    }
    return result;
}

}  // namespace

std::map<const TaskNode *, std::string> Program::Impl::choose_code() {
    std::map<const TaskNode *, std::string> symbols;
    std::map<std::string, std::string> known;
    codes.clear();
    bodies.clear();
    bodies_hit = true;
    adding.clear();
    workload::for_each_task(*workload.root, [&](const TaskNode &task,
                                                const workload::LoopPath &path,
                                                const workload::Node &node) {
        const std::shared_ptr<const kernel::TileProgram> &program = program_of(task.kernel);
        std::map<std::string, Affine> sizes = region_sizes(task, *program, node.at);
        KernelRequest request;
        request.program = sizes.empty() ? program : kernel::substitute_dims(*program, sizes);
        for (size_t a = 0; a < task.arguments.size(); ++a) {
            const auto *region = std::get_if<Region>(&task.arguments[a].value);
            request.layouts.push_back(region != nullptr
                                          ? region_layout(*region, request.program->params[a].type)
                                          : lower::ParamLayout{});
        }
        for (auto [i, j] : workload::overlapping_arguments(task, path)) {
            copy_overlapping(*request.program, request.layouts, static_cast<size_t>(i),
                             static_cast<size_t>(j), node.at);
        }
        request.unproven = unproven_dims(task, request, node.at);
        request.blocks = {options.block_m, options.block_n, options.block_k};
        auto schedule = options.kernels.find(task.kernel);
        if (schedule != options.kernels.end()) {
            request.schedule = schedule->second;
        }
        request.compile_body(target, bodies, &bodies_hit, node.at);
        if (request.adds_cycles) {
            adding.insert(task.kernel);
        }
        std::string key = request.key();
        auto [it, added] = known.try_emplace(key, "");
        if (added) {
            it->second = kernel_symbol(content_hash(key));
            codes.push_back({request, it->second, task.kernel->name});
        }
        symbols[&task] = it->second;
    });
    return symbols;
}

lower::TaskLoops
Program::Impl::task_loops(const std::map<const TaskNode *, std::string> &symbols) const {
    lower::TaskLoops loops;
    loops.summary = &summary;
    loops.symbols = symbols;
    for (size_t t = 0; t < tensors.size(); ++t) {
        loops.bindings[tensors[t].get()] = static_cast<int>(t);
    }
    int next = static_cast<int>(tensors.size());
    loops.workers_binding = next++;
    for (const std::string &symbol : this->symbols) {
        const workload::SymbolUse &use = symbol_uses.at(symbol);
        if (use.kind != workload::SymbolUse::Kind::Float) {
            loops.run_symbols[symbol] = next++;
            continue;
        }
        for (const DType dtype : use.dtypes) {
            loops.run_floats[{symbol, dtype}] = next++;
        }
    }
    for (const std::string &table : tables) {
        loops.run_tables[table] = next;
        next += 2;
    }
    return loops;
}

namespace {

/// Sizes of loops that are the same in the whole run.
int64_t iterations_of(const workload::StaticNest &nest, const RunData &data) {
    int64_t product = 1;
    for (const workload::LoopVar *loop : nest.loops) {
        const int64_t size = std::max<int64_t>(loop->axis.size.evaluate({}, &data), 0);
        if (__builtin_mul_overflow(product, size, &product)) {
            throw ExecutionError(nest.at, "the number of iterations passes 2^63");
        }
    }
    return product;
}

}  // namespace

std::vector<int64_t> Program::Impl::bindings(int workers) const {
    const RunData &data = workload.data;
    std::vector<int64_t> words;
    for (const TensorView &view : views) {
        words.push_back(std::bit_cast<int64_t>(view.data));
    }
    words.push_back(workers);
    for (const std::string &symbol : symbols) {
        const workload::SymbolUse &use = symbol_uses.at(symbol);
        if (use.kind == workload::SymbolUse::Kind::Float) {
            std::ranges::transform(use.dtypes, std::back_inserter(words), [&](DType dtype) {
                return scalar_word(dtype, float_of(symbol));
            });
            continue;
        }
        const auto found = data.symbols.find(symbol);
        if (found == data.symbols.end()) {
            throw ExecutionError(at, fmt::format("symbol '{}' has no value", symbol), {},
                                 fmt::format("set it: program.set_symbol_u64(\"{}\", 4)", symbol));
        }
        words.push_back(found->second);
    }
    for (const std::string &table : tables) {
        const auto found = data.tables.find(table);
        if (found == data.tables.end()) {
            throw ExecutionError(at, fmt::format("table '{}' has no values", table));
        }
        words.push_back(std::bit_cast<int64_t>(found->second->data()));
        words.push_back(static_cast<int64_t>(found->second->size()));
    }
    if (const auto *phases = std::get_if<std::vector<workload::StaticPhase>>(&summary.plan)) {
        for (const workload::StaticPhase &phase : *phases) {
            for (const workload::StaticNest &nest : phase) {
                words.push_back(nest.iterations ? *nest.iterations : iterations_of(nest, data));
            }
        }
    }
    return words;
}

double Program::Impl::float_of(const std::string &symbol) const {
    if (const auto found = floats.find(symbol); found != floats.end()) {
        return found->second;
    }
    const auto found = workload.data.symbols.find(symbol);
    if (found == workload.data.symbols.end()) {
        throw ExecutionError(at, fmt::format("symbol '{}' has no value", symbol), {},
                             fmt::format("set it: program.set_symbol_f32(\"{}\", 0.5)", symbol));
    }
    return static_cast<double>(found->second);
}

lower::Module
Program::Impl::lower_all(const std::map<const TaskNode *, std::string> &symbols) const {
    lower::Module module = lower::make_module(workload.name, target);
    for (const Code &code : codes) {
        lower::append_kernel(module, prepare(code.request, target, nullptr), code.symbol, target);
    }
    lower::append_task_loops(module, task_loops(symbols));
    return module;
}

std::string Program::Impl::key(const std::map<const TaskNode *, std::string> &symbols) const {
    std::string text = fmt::format("program\n{}\n{}\n{}\n", target.text,
                                   backend::cpu::engine_build(), workload.code_text());
    workload::for_each_task(*workload.root, [&](const TaskNode &task, const workload::LoopPath &,
                                                const workload::Node &) {
        text += symbols.at(&task) + "\n";
        // Errors of the code name these lines.
        for (const workload::RunTimeCheck &check : task.checks) {
            text += check.at.str() + "\n";
        }
    });
    for (const workload::TensorPtr &tensor : tensors) {
        text += fmt::format("{} {} {} {}\n", tensor->name, info(tensor->view.dtype).name,
                            shape_text(tensor->view.shape), shape_text(tensor->view.strides));
    }
    for (const Code &code : codes) {
        text += code.request.key() + "\n";
    }
    return text + summary.str();
}

namespace {

/// What the errors of an independent loop call it: the kernels that it runs; and its place, that of
/// the call when there is one only.
std::pair<std::string, Loc> nest_name(const workload::StaticNest &nest) {
    std::vector<std::string> names;
    std::vector<Loc> places;
    workload::for_each_task(*nest.body, [&](const TaskNode &task, const workload::LoopPath &,
                                            const workload::Node &node) {
        if (std::find(names.begin(), names.end(), task.kernel->name) == names.end()) {
            names.push_back(task.kernel->name);
        }
        places.push_back(node.at);
    });
    return {join(names), places.size() == 1 ? places.front() : nest.at};
}

}  // namespace

namespace {

runtime::Access run_time_access(const workload::CellAccess &access,
                                const workload::CellGrid &grid) {
    using Kind = workload::CellGrid::Kind;
    runtime::Access made{access.grid, access.reads, access.writes, {}};
    // What is not written whole still holds what the writer before left there.
    made.reads = made.reads || !access.covers;
    made.spread = grid.kind == Kind::Data       ? runtime::Spread::Data
                  : grid.kind == Kind::Sequence ? runtime::Spread::Sequence
                                                : runtime::Spread::None;
    for (const workload::CellAccess::Extent &extent : access.box) {
        made.box.push_back({extent.count, extent.stride});
    }
    return made;
}

/// `signal` is that of the event, null before it is known.
runtime::EventSite event_site(const workload::TrackedSite &site,
                              std::shared_ptr<runtime::Signal> &signal) {
    const workload::Event &event = *site.event->event;
    if (signal == nullptr) {
        signal = runtime::Signal::for_plan(
            event.signal != nullptr ? std::static_pointer_cast<runtime::Signal>(event.signal)
                                    : std::make_shared<runtime::Signal>(event.name, event.depth));
    }
    runtime::EventSite made;
    made.signal = signal;
    made.side =
        site.event->records ? runtime::Signal::Side::Record : runtime::Signal::Side::Synchronize;
    made.gathers = site.gathers;
    if (site.event->timeout_s) {
        constexpr double longest_s = 1e9;
        made.timeout = std::chrono::duration_cast<std::chrono::nanoseconds>(
            std::chrono::duration<double>(std::min(*site.event->timeout_s, longest_s)));
    }
    return made;
}

}  // namespace

std::shared_ptr<const runtime::Plan>
Program::Impl::make_plan(const std::map<const TaskNode *, std::string> &symbols) const {
    if (const auto *phases = std::get_if<std::vector<workload::StaticPhase>>(&summary.plan)) {
        std::vector<runtime::Phase> result;
        int number = 0;
        const int first_size =
            static_cast<int>(tensors.size() + 1 + this->symbols.size() + 2 * tables.size());
        for (const workload::StaticPhase &phase : *phases) {
            runtime::Phase loops;
            for (const workload::StaticNest &nest : phase) {
                void *address = object->address(lower::loop_symbol(number));
                auto [name, place] = nest_name(nest);
                runtime::StaticLoop &loop = loops.emplace_back();
                loop.function = reinterpret_cast<abi::LoopFn>(address);
                loop.iterations = nest.iterations.value_or(0);
                loop.tasks_per_iteration = nest.tasks_per_iteration.value_or(-1);
                loop.name = std::move(name);
                loop.at = std::move(place);
                loop.iterations_binding = first_size + number;
                loop.needs = nest.needs;
                loop.counts_tasks = lower::counts_tasks(nest);
                if (nest.wavefront) {
                    const auto size = [&](size_t back) {
                        return *nest.loops[nest.loops.size() - back]->axis.constant();
                    };
                    loop.wavefront = {size(2), size(1)};
                }
                number++;
            }
            result.push_back(std::move(loops));
        }
        return std::make_shared<runtime::Plan>(std::move(result));
    }
    const auto &tracked = std::get<workload::TrackedPlan>(summary.plan);
    runtime::DynamicGraph graph;
    graph.processes.push_back(
        {"main",
         reinterpret_cast<abi::ExpandFn>(object->address(lower::expand_symbol)),
         lower::frame_words(tracked, tracked.program),
         {},
         {},
         {}});
    for (size_t p = 0; p < tracked.processes.size(); ++p) {
        const workload::TrackedProcess &process = tracked.processes[p];
        void *step = object->address(lower::process_symbol(static_cast<int>(p)));
        graph.processes.push_back({process.name, reinterpret_cast<abi::ExpandFn>(step),
                                   lower::frame_words(tracked, process.program), process.sends,
                                   process.receives, process.at});
    }
    for (const workload::TrackedChannel &channel : tracked.channels) {
        graph.channels.push_back({channel.channel->name, channel.channel->depth,
                                  channel.value_count, channel.slots, channel.tried,
                                  channel.channel->at, channel.channel->size});
    }
    // Which task is which is not known from its number where tokens or slots decide.
    graph.keeps_indices = graph.processes.size() > 1 || uses_slots;
    apply_rules(options.tasks, workload::constant_task_count(*workload.root), graph);
    for (const workload::CellGrid &grid : tracked.grids) {
        graph.grids.push_back(grid.cells);
    }
    std::map<workload::EventPtr, std::shared_ptr<runtime::Signal>> signals;
    for (const workload::TrackedSite &site : tracked.sites) {
        runtime::TaskSite place;
        place.name = site.name;
        place.at = site.at;
        place.process = site.process + 1;
        place.gathered_by = site.gathered_by;
        if (site.event != nullptr) {
            place.event = static_cast<int>(graph.events.size());
            graph.events.push_back(event_site(site, signals[site.event->event]));
        }
        if (site.task != nullptr) {
            place.function =
                reinterpret_cast<abi::KernelFn>(object->address(symbols.at(site.task) + ".packed"));
            apply_rules(options.tasks, site, *program_of(site.task->kernel),
                        lower::slot_count(*site.task), at, place);
        }
        for (const workload::CellAccess &access : site.accesses) {
            place.accesses.push_back(
                run_time_access(access, tracked.grids[static_cast<size_t>(access.grid)]));
        }
        graph.sites.push_back(std::move(place));
    }
    return std::make_shared<runtime::Plan>(std::move(graph));
}

void Program::Impl::build() {
    auto start = std::chrono::steady_clock::now();
    std::map<const TaskNode *, std::string> symbols = choose_code();
    if (counts_added() && summary.is_static()) {
        summary = analyse("bodies of its tasks add virtual cycles");
    }
    bool hit = false;
    Hash128 hash = content_hash(key(symbols));
    object = backend::cpu::load_cached(
        hash, [&] { return lower_all(symbols); }, workload.name, &hit, bodies);
    hit = hit && bodies_hit;
    cache_reasons = {
        {"cache", hit,
         hit ? "the program's object was there" : "the program's object had to be generated", at,
         true}};
    plan = with_loops(*make_plan(symbols));
    stats.cache_hits += hit ? 1 : 0;
    stats.cache_misses += hit ? 0 : 1;
    stats.compile_time_ms +=
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

void check_implementation(const workload::Kernel &declaration,
                          const kernel::TileProgram &implementation, const Loc &at) {
    auto fail = [&](const std::string &text) {
        throw TypeCheckError(
            at, fmt::format("register_kernel: '{}' {}", declaration.name, text),
            {{declaration.at, "declared here"}, {implementation.at, "implemented here"}});
    };
    if (declaration.params.size() != implementation.params.size()) {
        fail(fmt::format("takes {} arguments, its implementation {}", declaration.params.size(),
                         implementation.params.size()));
    }
    for (size_t p = 0; p < declaration.params.size(); ++p) {
        const kernel::Param &declared = declaration.params[p];
        const kernel::Param &given = implementation.params[p];
        if (declared.kind != given.kind || declared.direction != given.direction) {
            fail(fmt::format("declares '{}' as {} {}, its implementation as {} {}", declared.name,
                             kernel::name(declared.direction),
                             declared.kind == kernel::Param::Kind::Tile ? "tile" : "scalar",
                             kernel::name(given.direction),
                             given.kind == kernel::Param::Kind::Tile ? "tile" : "scalar"));
        }
        bool open = !declared.type.rows.is_constant() || !declared.type.columns.is_constant();
        bool fits = open ? declared.type.dtype == given.type.dtype : declared.type == given.type;
        if (!fits) {
            fail(fmt::format("declares '{}' as {}, its implementation as {}", declared.name,
                             declared.type.user_str(), given.type.user_str()));
        }
    }
}

workload::DependenceSummary Program::Impl::analyse(const std::string &tracked_because) const {
    workload::OrderRules rules = schedule::order_rules(options.tasks, env::workers(), at);
    if (rules.tracked_because.empty()) {
        rules.tracked_because = tracked_because;
    }
    workload::DependenceSummary made =
        workload::analyse_dependence(workload, schedule::lane_rules(options.tasks, at), rules);
    if (const schedule::Policy *mesh = options.tasks.find(schedule::Part::SpatialMap)) {
        made.reasons.push_back(
            {"spatial_map", true,
             fmt::format("{}: layouts are checked against the mesh; this process is all of it",
                         mesh->str()),
             at});
    }
    return made;
}

Program compile(const workload::Workload &workload, const CompileOptions &options, const Loc &at) {
    auto start = std::chrono::steady_clock::now();
    if (options.target != "cpu" && options.target != "cpu_sim") {
        throw CompileError(at, fmt::format("unknown target '{}'", options.target), {},
                           "targets: cpu, cpu_sim");
    }
    if (!workload.type_errors.empty()) {
        throw TypeCheckError(workload.type_errors.front());
    }
    workload::check_nets(*workload.root);
    workload::check_events(*workload.root);
    auto impl = std::make_shared<Program::Impl>();
    impl->workload = workload;
    impl->options = options;
    impl->target = lower::host_target();
    impl->at = at;
    schedule::check_task_schedule(options.tasks, workload, at);
    impl->summary = impl->analyse("");
    impl->tensors = workload.tensors();
    impl->kernels = workload.kernels();
    impl->uses_slots = workload.uses_slots();
    for (const workload::TensorPtr &tensor : impl->tensors) {
        impl->views.push_back(tensor->own ? allocate_tensor(tensor->view.shape, tensor->view.dtype)
                                          : tensor->view);
    }
    const std::set<std::string> symbols = workload.symbols();
    const std::set<std::string> tables = workload.tables();
    impl->symbols.assign(symbols.begin(), symbols.end());
    impl->symbol_uses = workload::symbol_uses(workload);
    impl->tables.assign(tables.begin(), tables.end());
    impl->stats.task_count = workload::constant_task_count(*workload.root).value_or(0);
    impl->stats.compile_time_ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    if (impl->missing_kernel() == nullptr) {
        impl->build();
    }
    return Program(impl);
}

}  // namespace pto::wsp
