#pragma once

#include "bindings.h"
#include "pto/wsp/core/tensor.h"

#include <pybind11/numpy.h>

#include "pto/wsp/core/scalar_expr.h"

namespace pto::wsp::python {

using IntegerArray = py::array_t<int64_t, py::array::c_style | py::array::forcecast>;

/// A copy of the array, which a run may keep.
inline RunData::Values values_of(const IntegerArray &values) {
    return std::make_shared<const std::vector<int64_t>>(values.data(),
                                                        values.data() + values.size());
}

/// Keeps a Python object alive from C++ threads, which may let go of it without the GIL.
std::shared_ptr<void> keep_alive(py::object object);

/// An argument that is an array of any kind, in place.
struct ArrayArgument {
    TensorView view;  ///< booleans are U8 of 0 and 1
    bool is_bool = false;
};

/// The memory of a NumPy array (of ml_dtypes' bfloat16 too), a `pto_wsp.Tensor`, or an object with
/// `__dlpack__` on the CPU. TypeCheckError at `at` that names parameter `name` of `kernel`
/// otherwise. The view keeps `array`, or what it exported, alive.
ArrayArgument view_of_any(const py::object &array, const char *kernel, const char *name,
                          const Loc &at);

/// A new array of the kind of `like`: NumPy, PyTorch, `pto_wsp.Tensor`; NumPy for other kinds.
py::object empty_like(const py::object &like, const Shape &shape, DType dtype);

/// TypeCheckError at `at` when `out` is an array that must not be written.
void require_writeable(const py::object &out, const char *kernel, const Loc &at);

}  // namespace pto::wsp::python
