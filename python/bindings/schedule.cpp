#include "bindings.h"

#include "pto/wsp/schedule/step.h"
#include "pto/wsp/schedule/tasks.h"
#include "pto/wsp/support/json.h"

namespace pto::wsp::python {

using schedule::Dispatch;
using schedule::KernelSchedule;
using schedule::TaskSchedule;

void bind_schedule(py::module_ &module) {
    py::class_<KernelSchedule>(module, "KernelSchedule")
        .def_static(
            "from_json",
            [](const std::string &text, const std::string &origin) {
                return KernelSchedule::parse(parse_json(text, origin), origin);
            },
            py::arg("text"), py::arg("origin") = "schedule")
        .def("json", [](const KernelSchedule &schedule) { return canonical_json(schedule.json()); })
        .def("__eq__", [](const KernelSchedule &a, const KernelSchedule &b) { return a == b; })
        .def("__str__", &KernelSchedule::str);

    py::class_<Dispatch>(module, "Dispatch")
        .def_static(
            "round_robin",
            [](int64_t lanes) {
                return Dispatch{Dispatch::Policy::RoundRobin, lanes, 0};
            },
            py::arg("lanes"))
        .def_static(
            "affinity",
            [](const ScalarExpr &key) {
                return Dispatch{Dispatch::Policy::Affinity, 0, key};
            },
            py::arg("key"))
        .def("__eq__", [](const Dispatch &a, const Dispatch &b) { return a == b; });

    py::class_<TaskSchedule>(module, "TaskSchedule")
        .def(py::init([](std::optional<Dispatch> dispatch, int64_t streams,
                         std::optional<ScalarExpr> stream_key, int64_t window) {
                 return TaskSchedule{std::move(dispatch), streams, std::move(stream_key), window};
             }),
             py::arg("dispatch") = std::nullopt, py::arg("streams") = 0,
             py::arg("stream_key") = std::nullopt, py::arg("window") = 0)
        .def_readonly("dispatch", &TaskSchedule::dispatch)
        .def_readonly("streams", &TaskSchedule::streams)
        .def_readonly("stream_key", &TaskSchedule::stream_key)
        .def_readonly("window", &TaskSchedule::window)
        .def_static(
            "from_json",
            [](const std::string &text, const std::string &origin) {
                return TaskSchedule::parse(parse_json(text, origin), origin);
            },
            py::arg("text"), py::arg("origin") = "schedule")
        .def("json", [](const TaskSchedule &schedule) { return canonical_json(schedule.json()); })
        .def("__eq__", [](const TaskSchedule &a, const TaskSchedule &b) { return a == b; })
        .def("__str__", &TaskSchedule::str);
}

}  // namespace pto::wsp::python
