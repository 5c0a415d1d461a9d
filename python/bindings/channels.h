#pragma once

#include "bindings.h"

#include "pto/wsp/workload/builder.h"

namespace pto::wsp::python {

/// What the builder does with channels and processes.
void bind_channel_statements(py::class_<workload::Builder> &builder);
/// And with events.
void bind_event_statements(py::class_<workload::Builder> &builder);

}  // namespace pto::wsp::python
