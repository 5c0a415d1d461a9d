#include "arrays.h"

#include <pybind11/numpy.h>

#include <fmt/format.h>

namespace pto::wsp::python {

namespace {

TensorView view_of_array(const py::array &array, DType dtype) {
    TensorView view;
    view.data = const_cast<void *>(array.data());
    view.dtype = dtype;
    const py::ssize_t item = size_bytes(dtype);
    if (array.itemsize() != item) {
        throw TypeCheckError(user_loc(),
                             fmt::format("tensor: elements of {} bytes cannot be {} ({} bytes)",
                                         array.itemsize(), name(dtype), item));
    }
    for (py::ssize_t dim = 0; dim < array.ndim(); ++dim) {
        if (array.strides(dim) % item != 0) {
            throw TypeCheckError(user_loc(),
                                 fmt::format("tensor: stride of {} bytes in dimension {} is not a "
                                             "multiple of the element's {} bytes",
                                             array.strides(dim), dim, item),
                                 {}, "copy the array: np.ascontiguousarray(array)");
        }
        view.shape.push_back(array.shape(dim));
        view.strides.push_back(array.strides(dim) / item);
    }
    view.owner = keep_alive(array);
    return view;
}

py::array array_of_view(const TensorView &view) {
    const py::ssize_t item = size_bytes(view.dtype);
    std::vector<py::ssize_t> shape(view.shape.begin(), view.shape.end());
    std::vector<py::ssize_t> strides;
    for (const int64_t stride : view.strides) {
        strides.push_back(stride * item);
    }
    const py::capsule base(new std::shared_ptr<void>(view.owner),
                           [](void *kept) { delete static_cast<std::shared_ptr<void> *>(kept); });
    return py::array(py::dtype(info(view.dtype).numpy_name), shape, strides, view.data, base);
}

}  // namespace

void bind_tensor(py::module_ &module) {
    py::class_<TensorView>(module, "TensorView")
        .def_static("from_array", &view_of_array, py::arg("array"), py::arg("dtype"))
        .def_static("allocate", &allocate_tensor, py::arg("shape"), py::arg("dtype"))
        .def("array", &array_of_view, "A NumPy array of the same memory.")
        .def(
            "index", [](const TensorView &view, int64_t i) { return view.index(i, user_loc()); },
            py::arg("i"))
        .def(
            "slice",
            [](const TensorView &view, int64_t begin, int64_t end) {
                return view.slice(begin, end, user_loc());
            },
            py::arg("begin"), py::arg("end"))
        .def_readonly("shape", &TensorView::shape)
        .def_readonly("strides", &TensorView::strides)
        .def_readonly("dtype", &TensorView::dtype)
        .def_property_readonly("nbytes", &TensorView::nbytes);
    module.def("shape_text", &shape_text, py::arg("shape"));
}

}  // namespace pto::wsp::python
