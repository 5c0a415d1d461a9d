#include "arrays.h"
#include "bindings.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "pto/wsp/backend/cpu/cache.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/runtime/executor.h"

namespace pto::wsp::python {

namespace {

using kernel::TileProgram;
using workload::Kernel;
using KernelHandle = std::shared_ptr<Kernel>;

/// Throws what a signal handler raised: KeyboardInterrupt after Ctrl-C.
void check_signals() {
    if (PyErr_CheckSignals() != 0) {
        throw py::error_already_set();
    }
}

/// Ctrl-C ends what it interrupts: tasks that have not started are given up. Those that run cannot
/// be stopped; they are waited for only as long as nobody would call it slow.
void cancel_after_interrupt(Program &program) {
    constexpr std::chrono::milliseconds longest(100);
    const py::gil_scoped_release release;
    program.cancel();
    const auto until = std::chrono::steady_clock::now() + longest;
    while (!program.is_complete() && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

/// The only thread waits for the program: nobody else can signal what its runs wait for.
void forsake_alone(const Program &program) {
    if (py::module_::import("threading").attr("active_count")().cast<int>() == 1) {
        const py::gil_scoped_release release;
        program.forsake();
    }
}

/// Waits without the GIL, in slices, so that a signal (Ctrl-C) is seen while the run goes on.
bool synchronize(Program &program, std::optional<double> timeout_s) {
    using namespace std::chrono;
    constexpr nanoseconds slice = milliseconds(20);
    const auto start = steady_clock::now();
    while (true) {
        nanoseconds wait = slice;
        if (timeout_s) {
            const auto left = duration<double>(*timeout_s) - (steady_clock::now() - start);
            wait = std::clamp(duration_cast<nanoseconds>(left), nanoseconds(0), slice);
        }
        bool done = false;
        {
            const py::gil_scoped_release release;
            done = program.synchronize(wait);
        }
        if (done) {
            return true;
        }
        try {
            check_signals();
        } catch (const py::error_already_set &error) {
            if (error.matches(PyExc_KeyboardInterrupt)) {
                cancel_after_interrupt(program);
            }
            throw;
        }
        if (timeout_s && steady_clock::now() - start >= duration<double>(*timeout_s)) {
            return false;
        }
        if (!timeout_s) {
            forsake_alone(program);
        }
    }
}

/// Waits until what follows need not: it would not see a signal.
void wait_until(const Program &program, bool (Program::*is_ready)() const) {
    using namespace std::chrono;
    microseconds pause(50);
    while (true) {
        {
            const py::gil_scoped_release release;
            if ((program.*is_ready)()) {
                return;
            }
            std::this_thread::sleep_for(pause);
        }
        check_signals();
        forsake_alone(program);
        pause = std::min(pause * 2, microseconds(20000));
    }
}

void bind_options(py::module_ &module) {
    py::class_<CompileOptions>(module, "CompileOptions")
        .def(py::init(
                 [](std::string target, schedule::TaskSchedule tasks,
                    const std::vector<std::pair<KernelHandle, schedule::KernelSchedule>> &kernels,
                    int64_t block_m, int64_t block_n, int64_t block_k) {
                     CompileOptions options;
                     options.target = std::move(target);
                     options.tasks = std::move(tasks);
                     for (const auto &[kernel, schedule] : kernels) {
                         options.kernels[kernel] = schedule;
                     }
                     options.block_m = block_m;
                     options.block_n = block_n;
                     options.block_k = block_k;
                     return options;
                 }),
             py::kw_only(), py::arg("target"), py::arg("tasks"), py::arg("kernels"),
             py::arg("block_m"), py::arg("block_n"), py::arg("block_k"));
    py::class_<KernelOptions>(module, "KernelOptions")
        .def(py::init([](std::string target, std::optional<schedule::KernelSchedule> schedule,
                         int64_t block_m, int64_t block_n, int64_t block_k,
                         std::map<std::string, int64_t> symbols) {
                 return KernelOptions{std::move(target), std::move(schedule), block_m, block_n,
                                      block_k,           std::move(symbols)};
             }),
             py::kw_only(), py::arg("target"), py::arg("schedule"), py::arg("block_m"),
             py::arg("block_n"), py::arg("block_k"), py::arg("symbols"));
}

void bind_stats(py::module_ &module) {
    py::class_<Progress>(module, "Progress")
        .def_readonly("done", &Progress::done)
        .def_readonly("total", &Progress::total)
        .def_readonly("elapsed_ms", &Progress::elapsed_ms)
        .def_readonly("complete", &Progress::complete);
    py::class_<ProgramStats::Worker>(module, "WorkerStats")
        .def_readonly("task_count", &ProgramStats::Worker::task_count)
        .def_readonly("steals", &ProgramStats::Worker::steals)
        .def_readonly("busy_ms", &ProgramStats::Worker::busy_ms)
        .def_readonly("busy_fraction", &ProgramStats::Worker::busy_fraction)
        .def("__repr__", [](const ProgramStats::Worker &worker) {
            return fmt::format("<WorkerStats task_count={}, steals={}, busy_ms={:.3f}, "
                               "busy_fraction={:.3f}>",
                               worker.task_count, worker.steals, worker.busy_ms,
                               worker.busy_fraction);
        });
    py::class_<ProgramStats>(module, "ProgramStats")
        .def_readonly("compile_time_ms", &ProgramStats::compile_time_ms)
        .def_readonly("execute_time_ms", &ProgramStats::execute_time_ms)
        .def_readonly("task_count", &ProgramStats::task_count)
        .def_readonly("parallel_tasks", &ProgramStats::parallel_tasks)
        .def_readonly("window_stalls", &ProgramStats::window_stalls)
        .def_readonly("most_in_flight", &ProgramStats::most_in_flight)
        .def_readonly("kernel_cycles", &ProgramStats::kernel_cycles)
        .def_readonly("failed_tasks", &ProgramStats::failed_tasks)
        .def_readonly("skipped_tasks", &ProgramStats::skipped_tasks)
        .def_readonly("cache_hits", &ProgramStats::cache_hits)
        .def_readonly("cache_misses", &ProgramStats::cache_misses)
        .def_readonly("workers", &ProgramStats::workers)
        .def_readonly("critical_path_ms", &ProgramStats::critical_path_ms)
        .def_readonly("critical_path_note", &ProgramStats::critical_path_note)
        .def_readonly("arena_high_water_bytes", &ProgramStats::arena_high_water_bytes)
        .def_readonly("arena_huge_page_bytes", &ProgramStats::arena_huge_page_bytes)
        .def_readonly("total_cycles", &ProgramStats::total_cycles)
        .def_readonly("total_cycles_note", &ProgramStats::total_cycles_note);
}

void bind_graph(py::module_ &module) {
    using workload::TaskGraph;
    py::class_<TaskGraph::Vertex>(module, "GraphVertex")
        .def_readonly("task", &TaskGraph::Vertex::task)
        .def_readonly("name", &TaskGraph::Vertex::name)
        .def_readonly("indices", &TaskGraph::Vertex::indices)
        .def_readonly("at", &TaskGraph::Vertex::at)
        .def("__str__", &TaskGraph::Vertex::str);
    py::class_<TaskGraph::Edge>(module, "GraphEdge")
        .def_readonly("source", &TaskGraph::Edge::from)
        .def_readonly("target", &TaskGraph::Edge::to)
        .def_property_readonly(
            "cause", [](const TaskGraph::Edge &edge) { return workload::name(edge.cause); })
        .def_readonly("on", &TaskGraph::Edge::on)
        .def("__str__", &TaskGraph::Edge::str);
    py::class_<TaskGraph>(module, "TaskGraph")
        .def_readonly("vertices", &TaskGraph::vertices)
        .def_readonly("edges", &TaskGraph::edges)
        .def("dot", &TaskGraph::dot)
        .def("svg", &TaskGraph::svg);
    module.attr("max_graph_tasks") = workload::max_graph_tasks;
    py::class_<GraphCycles>(module, "GraphCycles")
        .def_readonly("critical_path", &GraphCycles::critical_path)
        .def_readonly("makespan", &GraphCycles::makespan)
        .def_readonly("note", &GraphCycles::note);
}

}  // namespace

void bind_program(py::module_ &module) {
    bind_options(module);
    bind_stats(module);
    bind_graph(module);

    // No method holds the GIL while it takes the program's lock: tasks may need the GIL to end.
    py::class_<Program>(module, "Program", py::release_gil_before_calling_cpp_dtor())
        .def("execute",
             [](Program &program) {
                 wait_until(program, &Program::can_start);
                 const py::gil_scoped_release release;
                 program.execute();
             })
        .def("synchronize", &synchronize, py::arg("timeout_s") = std::nullopt)
        .def("waits_for_events", &Program::waits_for_events)
        .def("cancel", &Program::cancel, py::call_guard<py::gil_scoped_release>())
        .def("is_complete", &Program::is_complete, py::call_guard<py::gil_scoped_release>())
        .def("progress", &Program::progress, py::call_guard<py::gil_scoped_release>())
        .def(
            "enable_tracing",
            [](Program &program, int level) {
                wait_until(program, &Program::is_complete);
                const py::gil_scoped_release release;
                program.enable_tracing(static_cast<runtime::TraceLevel>(level));
            },
            py::arg("level"))
        .def_property_readonly("trace_level",
                               [](const Program &program) {
                                   const py::gil_scoped_release release;
                                   return static_cast<int>(program.trace_level());
                               })
        .def("trace",
             [](const Program &program) {
                 const Loc at = user_loc();
                 const py::gil_scoped_release release;
                 return std::const_pointer_cast<runtime::Trace>(program.trace(at));
             })
        .def(
            "bind",
            [](Program &program, const std::map<std::string, TensorView> &tensors) {
                const Loc at = user_loc();
                const py::gil_scoped_release release;
                program.bind(tensors, at);
            },
            py::arg("tensors"))
        .def(
            "set_symbols",
            [](Program &program, const std::map<std::string, int64_t> &values) {
                const Loc at = user_loc();
                const py::gil_scoped_release release;
                program.set_symbols(values, at);
            },
            py::arg("values"))
        .def(
            "set_symbol_f32",
            [](Program &program, const std::string &name, double value) {
                const Loc at = user_loc();
                const py::gil_scoped_release release;
                program.set_symbol_f32(name, value, at);
            },
            py::arg("name"), py::arg("value"))
        .def(
            "set_symbol_ptr",
            [](Program &program, const std::string &name, const py::object &what) {
                const Loc at = user_loc();
                TensorView view;
                if (py::isinstance<py::int_>(what)) {
                    // NOLINTNEXTLINE(performance-no-int-to-ptr): Python's addresses are integers
                    view.data = reinterpret_cast<void *>(what.cast<uintptr_t>());
                } else {
                    view = view_of_any(what, "set_symbol_ptr", name.c_str(), at).view;
                }
                const py::gil_scoped_release release;
                program.set_symbol_ptr(name, view.data, view.owner, at);
            },
            py::arg("name"), py::arg("what"))
        .def(
            "set_tables",
            [](Program &program, const std::map<std::string, IntegerArray> &values) {
                std::map<std::string, RunData::Values> tables;
                for (const auto &[name, array] : values) {
                    tables.emplace(name, values_of(array));
                }
                const Loc at = user_loc();
                const py::gil_scoped_release release;
                program.set_tables(tables, at);
            },
            py::arg("values"))
        .def(
            "register_kernel",
            [](Program &program, const KernelHandle &declaration,
               const std::shared_ptr<TileProgram> &implementation) {
                const Loc at = user_loc();
                const py::gil_scoped_release release;
                program.register_kernel(workload::KernelPtr(declaration), implementation, at);
            },
            py::arg("declaration"), py::arg("implementation"))
        .def("stats", &Program::stats, py::call_guard<py::gil_scoped_release>())
        .def("graph", &Program::graph, py::arg("max_tasks"),
             py::call_guard<py::gil_scoped_release>())
        .def("graph_cycles", &Program::graph_cycles, py::call_guard<py::gil_scoped_release>())
        .def("explain", &Program::explain, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("target", &Program::target)
        .def("loop_nests", &Program::loop_nests, py::call_guard<py::gil_scoped_release>());

    module.def(
        "cancel_runs",
        [](double timeout_s) {
            const auto longest = std::chrono::duration_cast<std::chrono::nanoseconds>(
                std::chrono::duration<double>(timeout_s));
            const py::gil_scoped_release release;
            return runtime::Executor::shared().cancel_all(longest);
        },
        py::arg("timeout_s"),
        "Cancels all runs in flight and waits until they have ended; False on timeout.");
    module.def(
        "generated_objects", [] { return backend::cpu::ObjectCache::shared().stats().misses; },
        "Objects that this process has generated, not found in the cache.");
    module.def(
        "compile",
        [](const workload::Workload &workload, const CompileOptions &options) {
            const Loc at = user_loc();
            const py::gil_scoped_release release;
            return compile(workload, options, at);
        },
        py::arg("workload"), py::arg("options"));

    py::class_<CompiledKernel>(module, "CompiledKernel")
        .def(
            "__call__",
            [](const CompiledKernel &kernel,
               const std::vector<std::variant<TensorView, int64_t, uint64_t, double>> &arguments) {
                std::vector<std::variant<TensorView, double, int64_t, uint64_t>> values;
                for (const auto &argument : arguments) {
                    std::visit([&](const auto &value) { values.emplace_back(value); }, argument);
                }
                const Loc at = user_loc();
                const py::gil_scoped_release release;
                kernel(values, at);
            },
            py::arg("arguments"))
        .def_property_readonly("code", &CompiledKernel::code)
        .def("loop_nest", &CompiledKernel::loop_nest)
        .def_property_readonly("schedule", &CompiledKernel::schedule)
        .def("explain", &CompiledKernel::explain);
    module.def(
        "compile_kernel",
        [](const std::shared_ptr<TileProgram> &program, const KernelOptions &options) {
            const Loc at = user_loc();
            const py::gil_scoped_release release;
            return compile_kernel(program, options, at);
        },
        py::arg("program"), py::arg("options"));
}

}  // namespace pto::wsp::python
