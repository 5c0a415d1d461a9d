#include "bindings.h"

#include "pto/wsp/runtime/trace.h"

namespace pto::wsp::python {

using runtime::Trace;

void bind_trace(py::module_ &module) {
    py::class_<Trace::Task>(module, "TraceTask")
        .def_readonly("id", &Trace::Task::id)
        .def_readonly("number", &Trace::Task::number)
        .def_readonly("site", &Trace::Task::site)
        .def_readonly("worker", &Trace::Task::worker)
        .def_readonly("begin_ns", &Trace::Task::begin_ns)
        .def_readonly("end_ns", &Trace::Task::end_ns)
        .def_readonly("tasks", &Trace::Task::tasks)
        .def_readonly("failed", &Trace::Task::failed)
        .def_readonly("submitted_ns", &Trace::Task::submitted_ns)
        .def_readonly("stream", &Trace::Task::stream)
        .def_readonly("values", &Trace::Task::values);
    py::class_<Trace::Site>(module, "TraceSite")
        .def_readonly("kernel", &Trace::Site::kernel)
        .def_readonly("at", &Trace::Site::at)
        .def_readonly("join", &Trace::Site::join)
        .def_readonly("loops", &Trace::Site::loops);
    py::class_<Trace, std::shared_ptr<Trace>>(module, "Trace")
        .def_property_readonly("level",
                               [](const Trace &trace) { return static_cast<int>(trace.level); })
        .def_readonly("workers", &Trace::workers)
        .def_readonly("duration_ns", &Trace::duration_ns)
        .def_readonly("cycles_per_ns", &Trace::cycles_per_ns)
        .def_readonly("dropped", &Trace::dropped)
        .def_readonly("tasks", &Trace::tasks)
        .def_readonly("sites", &Trace::sites)
        .def(
            "waits_for",
            [](const Trace &trace, size_t task) { return trace.waits_for(trace.tasks.at(task)); },
            py::arg("task"), "Indices in `tasks` of those that it waits for.")
        .def("critical_path", &Trace::critical_path)
        .def("summary_json", [](const Trace &trace) { return trace.summary().dump(); })
        .def("text", &Trace::text)
        .def("chrome_json", &Trace::chrome_json)
        .def("html", &Trace::html)
        .def("html_fragment", &Trace::html_fragment);
}

}  // namespace pto::wsp::python
