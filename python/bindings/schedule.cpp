#include "bindings.h"

#include "pto/wsp/schedule/step.h"
#include "pto/wsp/schedule/tasks.h"
#include "pto/wsp/support/json.h"

namespace pto::wsp::python {

using schedule::KernelSchedule;
using schedule::Policy;
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

    py::class_<Policy>(module, "Policy")
        .def_static(
            "parse",
            [](const std::string &part, const std::string &text) {
                return Policy::parse(part, parse_json(text, part), user_loc());
            },
            py::arg("part"), py::arg("text"))
        .def_property_readonly("part",
                               [](const Policy &policy) { return schedule::name(policy.part()); })
        .def_property_readonly("name", &Policy::name)
        .def("json", [](const Policy &policy) { return canonical_json(policy.json()); })
        .def("__eq__", [](const Policy &a, const Policy &b) { return a == b; })
        .def("__str__", &Policy::str);
    module.def(
        "check_policy",
        [](const Policy &policy, const workload::Workload &workload) {
            schedule::check_policy(policy, workload, user_loc());
        },
        py::arg("policy"), py::arg("workload"));

    py::class_<TaskSchedule>(module, "TaskSchedule")
        .def(py::init<>())
        .def("including", &TaskSchedule::with, py::arg("policy"))
        .def("merged", &TaskSchedule::merged, py::arg("later"))
        .def("parts",
             [](const TaskSchedule &schedule) {
                 std::vector<Policy> policies;
                 for (const auto &[part, policy] : schedule.parts()) {
                     policies.push_back(policy);
                 }
                 return policies;
             })
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
