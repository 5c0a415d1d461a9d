#pragma once

#include <pybind11/native_enum.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/core/affine.h"
#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/type.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/loc.h"
#include "pto/wsp/support/reason.h"

/// The native half of the Python package: names of the C++ interface for Python, one file per
/// concept, and no meaning of its own.
namespace pto::wsp::python {

namespace py = pybind11;

/// The innermost Python frame outside the package: where the user's call stands. Unknown when there
/// is none.
Loc user_loc();

/// The Python exception of class `name` that says what `error` says.
py::object python_error(const char *name, const PtoError &error);

/// The error classes, the source locations, the log.
void bind_errors(py::module_ &module);
/// Element types, affine and scalar expressions.
void bind_core(py::module_ &module);
/// Distributions, layouts of memory, layouts over bits.
void bind_layout(py::module_ &module);
/// Memory as NumPy sees it.
void bind_tensor(py::module_ &module);
/// The tile language: the table of operations, the builder, tile programs.
void bind_kernel(py::module_ &module);
/// The algebra of tasks.
void bind_workload(py::module_ &module);
/// Channels between processes.
void bind_channels(py::module_ &module);
/// Its nodes and the rules over them.
void bind_workload_rules(py::module_ &module);
/// Steps inside a kernel and between tasks, as data.
void bind_schedule(py::module_ &module);
/// What was recorded of runs.
void bind_trace(py::module_ &module);
/// What is compiled and runs.
void bind_program(py::module_ &module);
void bind_event(py::module_ &module);
/// Ready-made kernels, on arrays and as tile programs.
void bind_library(py::module_ &module);

}  // namespace pto::wsp::python

namespace pybind11::detail {

/// `Loc` is `(file, line)` in Python.
template <> struct type_caster<pto::wsp::Loc> {
    PYBIND11_TYPE_CASTER(pto::wsp::Loc, const_name("tuple[str, int]"));

    bool load(handle source, bool) {
        if (!isinstance<tuple>(source) || len(source) != 2) {
            return false;
        }
        const auto pair = reinterpret_borrow<tuple>(source);
        value.file = pair[0].cast<std::string>();
        value.line = pair[1].cast<int>();
        return true;
    }
    static handle cast(const pto::wsp::Loc &loc, return_value_policy, handle) {
        return pybind11::make_tuple(loc.file, loc.line).release();
    }
};

/// `DType` is `pto_wsp.DType` in Python, or its name; the mask of comparisons is the text `mask`.
template <> struct type_caster<pto::wsp::DType> {
    PYBIND11_TYPE_CASTER(pto::wsp::DType, const_name("DType"));

    bool load(handle source, bool) {
        const object name = getattr(source, "value", source);
        if (!isinstance<str>(name)) {
            return false;
        }
        value = pto::wsp::parse_dtype(name.cast<std::string>(), pto::wsp::python::user_loc());
        return true;
    }
    static handle cast(pto::wsp::DType dtype, return_value_policy, handle) {
        const str name(pto::wsp::name(dtype));
        if (dtype == pto::wsp::DType::Mask) {
            return str(name).release();
        }
        return module_::import("pto_wsp.dtypes").attr("DType")(name).release();
    }
};

}  // namespace pybind11::detail
