#include "channels.h"

#include <algorithm>
#include <chrono>

#include "pto/wsp/program/event.h"
#include "pto/wsp/program/program.h"

namespace pto::wsp::python {

namespace {

using Wait = bool (Event::*)(const Event::Timeout &) const;

/// Waits without the GIL, in slices, so that a signal (Ctrl-C) is seen meanwhile.
bool wait(const Event &event, Wait function, double timeout_s) {
    using namespace std::chrono;
    constexpr nanoseconds slice = milliseconds(20);
    constexpr double longest_s = 1e9;
    const auto until = steady_clock::now() +
                       duration_cast<nanoseconds>(duration<double>(std::min(timeout_s, longest_s)));
    while (true) {
        const nanoseconds left = until - steady_clock::now();
        bool done = false;
        {
            const py::gil_scoped_release release;
            done = (event.*function)(std::clamp(left, nanoseconds(0), slice));
        }
        if (done || left <= slice) {
            return done;
        }
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
        }
    }
}

}  // namespace

void bind_event(py::module_ &module) {
    py::class_<Event>(module, "Event")
        .def(py::init([](std::string name, int64_t depth) {
                 return Event(std::move(name), depth, user_loc());
             }),
             py::arg("name"), py::arg("depth"))
        .def_property_readonly("name", &Event::name)
        .def_property_readonly("depth", &Event::depth)
        .def(
            "record",
            [](const Event &event, double timeout_s) {
                return wait(event, &Event::record, timeout_s);
            },
            py::arg("timeout_s"))
        .def("record_after", &Event::record_after, py::arg("program"),
             py::call_guard<py::gil_scoped_release>())
        .def(
            "synchronize",
            [](const Event &event, double timeout_s) {
                return wait(event, &Event::synchronize, timeout_s);
            },
            py::arg("timeout_s"))
        .def("query", &Event::query)
        .def("is_pending", &Event::is_pending);
}

void bind_event_statements(py::class_<workload::Builder> &builder) {
    builder.def_property_readonly("tasks", &workload::Builder::tasks)
        .def(
            "record",
            [](workload::Builder &self, const Event &event, std::optional<std::vector<int>> after,
               std::optional<double> timeout_s) {
                self.record(event.handle(), std::move(after), timeout_s, user_loc());
            },
            py::arg("event"), py::arg("after"), py::arg("timeout_s"))
        .def(
            "synchronize",
            [](workload::Builder &self, const Event &event, std::optional<double> timeout_s) {
                self.synchronize(event.handle(), timeout_s, user_loc());
            },
            py::arg("event"), py::arg("timeout_s"));
}

}  // namespace pto::wsp::python
