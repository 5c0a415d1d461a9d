#include "bindings.h"

PYBIND11_MODULE(_pto_wsp, module) {
    module.doc() = "Native half of pto_wsp: the names of its C++ interface, and nothing else.";
    pto::wsp::python::bind_errors(module);
    pto::wsp::python::bind_core(module);
    pto::wsp::python::bind_layout(module);
    pto::wsp::python::bind_tensor(module);
    pto::wsp::python::bind_kernel(module);
    pto::wsp::python::bind_channels(module);
    pto::wsp::python::bind_workload(module);
    pto::wsp::python::bind_workload_rules(module);
    pto::wsp::python::bind_schedule(module);
    pto::wsp::python::bind_trace(module);
    pto::wsp::python::bind_program(module);
    pto::wsp::python::bind_event(module);
    pto::wsp::python::bind_library(module);
}
