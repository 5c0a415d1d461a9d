#include "arrays.h"

#include <pybind11/numpy.h>

#include <fmt/format.h>

#include "dlpack.h"

namespace pto::wsp::python {

std::shared_ptr<void> keep_alive(py::object object) {
    return {object.release().ptr(), [](void *kept) {
                if (Py_IsInitialized()) {
                    const py::gil_scoped_acquire gil;
                    Py_DECREF(static_cast<PyObject *>(kept));
                }
            }};
}

namespace {

std::string type_name(const py::handle &object) {
    return Py_TYPE(object.ptr())->tp_name;
}

/// What an argument is called in errors.
struct Named {
    const char *kernel;
    const char *name;
    const Loc &at;

    [[noreturn]] void fail(const std::string &text, const std::string &hint = "") const {
        throw TypeCheckError(at, fmt::format("{}: '{}' {}", kernel, name, text), {}, hint);
    }
};

std::optional<DType> find_dtype(DTypeKind kind, int bytes) {
    for (const DTypeInfo &row : dtypes()) {
        if (row.kind == kind && row.bytes == bytes && row.dtype != DType::BF16 &&
            row.dtype != DType::Mask) {
            return row.dtype;
        }
    }
    return std::nullopt;
}

ArrayArgument view_of_numpy(const py::array &array, const Named &argument) {
    ArrayArgument result;
    const py::dtype dtype = array.dtype();
    std::optional<DType> found;
    switch (dtype.kind()) {
    case 'b':
        result.is_bool = true;
        found = DType::U8;
        break;
    case 'f':
        found = find_dtype(DTypeKind::Float, static_cast<int>(dtype.itemsize()));
        break;
    case 'i':
        found = find_dtype(DTypeKind::Signed, static_cast<int>(dtype.itemsize()));
        break;
    case 'u':
        found = find_dtype(DTypeKind::Unsigned, static_cast<int>(dtype.itemsize()));
        break;
    default:
        if (py::str(dtype).cast<std::string>() == "bfloat16") {
            found = DType::BF16;
        }
    }
    const bool is_swapped = dtype.byteorder() == '>';
    if (!found || is_swapped) {
        argument.fail(fmt::format("is an array of {}, which is no element type",
                                  py::str(dtype).cast<std::string>()),
                      is_swapped ? "convert it to this machine's byte order: array.astype('=...')"
                                 : "");
    }
    result.view.data = const_cast<void *>(array.data());
    result.view.dtype = *found;
    const py::ssize_t item = size_bytes(*found);
    for (py::ssize_t dim = 0; dim < array.ndim(); ++dim) {
        if (array.strides(dim) % item != 0) {
            argument.fail(fmt::format("has a stride of {} bytes in dimension {}, no multiple of "
                                      "its element's {}",
                                      array.strides(dim), dim, item),
                          "copy the array: np.ascontiguousarray(array)");
        }
        result.view.shape.push_back(array.shape(dim));
        result.view.strides.push_back(array.strides(dim) / item);
    }
    result.view.owner = keep_alive(array);
    return result;
}

/// Gives an exported tensor back to who exported it.
struct Returned {
    dlpack::ManagedTensor *managed;
    ~Returned() {
        if (managed->deleter != nullptr) {
            managed->deleter(managed);
        }
    }
};

ArrayArgument view_of_dlpack(const py::object &array, const Named &argument) {
    py::object exported;
    try {
        exported = array.attr("__dlpack__")();
    } catch (py::error_already_set &error) {
        if (!error.matches(PyExc_BufferError) && !error.matches(PyExc_RuntimeError) &&
            !error.matches(PyExc_TypeError)) {
            throw;
        }
        argument.fail(fmt::format("does not share its memory: {}",
                                  py::str(error.value()).cast<std::string>()),
                      "no gradients are kept here: pass a detached tensor in CPU memory");
    }
    auto *managed =
        static_cast<dlpack::ManagedTensor *>(PyCapsule_GetPointer(exported.ptr(), "dltensor"));
    if (managed == nullptr) {
        throw py::error_already_set();
    }
    PyCapsule_SetName(exported.ptr(), "used_dltensor");
    const dlpack::Tensor &tensor = managed->tensor;
    ArrayArgument result;
    result.view.owner = {managed, [](dlpack::ManagedTensor *kept) {
                             const py::gil_scoped_acquire gil;
                             const Returned returned{kept};
                         }};
    if (tensor.device.type != dlpack::cpu) {
        argument.fail("is not in the memory of the CPU", "move it: tensor.cpu()");
    }
    std::optional<DType> found;
    switch (tensor.type.lanes == 1 ? tensor.type.code : uint8_t{dlpack::other}) {
    case dlpack::boolean:
        result.is_bool = true;
        found = DType::U8;
        break;
    case dlpack::floating:
        found = find_dtype(DTypeKind::Float, tensor.type.bits / 8);
        break;
    case dlpack::bfloat:
        found = DType::BF16;
        break;
    case dlpack::signed_integer:
        found = find_dtype(DTypeKind::Signed, tensor.type.bits / 8);
        break;
    case dlpack::unsigned_integer:
        found = find_dtype(DTypeKind::Unsigned, tensor.type.bits / 8);
        break;
    default:
        break;
    }
    if (!found) {
        argument.fail(fmt::format("is a {} of elements of {} bits of kind {}, which are no element "
                                  "type",
                                  type_name(array), tensor.type.bits, tensor.type.code));
    }
    result.view.data = static_cast<char *>(tensor.data) + tensor.byte_offset;
    result.view.dtype = *found;
    result.view.shape.assign(tensor.shape, tensor.shape + tensor.rank);
    result.view.strides = tensor.strides == nullptr
                              ? contiguous_strides(result.view.shape)
                              : Shape(tensor.strides, tensor.strides + tensor.rank);
    return result;
}

bool is_own_tensor(const py::object &array) {
    return py::isinstance(array, py::module_::import("pto_wsp.tensor").attr("Tensor"));
}

}  // namespace

ArrayArgument view_of_any(const py::object &array, const char *kernel, const char *name,
                          const Loc &at) {
    const Named argument{kernel, name, at};
    if (py::isinstance<py::array>(array)) {
        if (py::hasattr(array, "mask")) {
            argument.fail("is a masked array, whose mask would be ignored",
                          "pass array.filled(value), or array.data for what is below the mask");
        }
        return view_of_numpy(py::reinterpret_borrow<py::array>(array), argument);
    }
    if (py::hasattr(array, "__dlpack__")) {
        return view_of_dlpack(array, argument);
    }
    if (is_own_tensor(array)) {
        return {array.attr("view").cast<TensorView>(), false};
    }
    argument.fail(fmt::format("is a {}, expected an array", type_name(array)),
                  "pass a NumPy array, a Tensor or an object with __dlpack__");
}

py::object empty_like(const py::object &like, const Shape &shape, DType dtype) {
    const char *numpy_name = info(dtype).numpy_name;
    if (py::hasattr(like, "new_empty")) {
        const py::module_ torch = py::module_::import("torch");
        const py::object wanted = torch.attr(dtype == DType::BF16 ? "bfloat16" : numpy_name);
        return like.attr("new_empty")(py::tuple(py::cast(shape)), py::arg("dtype") = wanted);
    }
    if (is_own_tensor(like)) {
        return py::type::of(like)(py::arg("shape") = py::tuple(py::cast(shape)),
                                  py::arg("dtype") = dtype);
    }
    if (dtype == DType::BF16) {
        const py::module_ types = py::module_::import("ml_dtypes");
        return py::array(py::dtype::from_args(types.attr("bfloat16")), shape);
    }
    return py::array(py::dtype(numpy_name), shape);
}

void require_writeable(const py::object &out, const char *kernel, const Loc &at) {
    bool writeable = true;
    if (py::isinstance<py::array>(out)) {
        writeable = py::reinterpret_borrow<py::array>(out).writeable();
    } else if (is_own_tensor(out)) {
        writeable = out.attr("writeable").cast<bool>();
    }
    if (!writeable) {
        throw TypeCheckError(at, fmt::format("{}: 'out' is a read-only array", kernel));
    }
}

}  // namespace pto::wsp::python
