#include "bindings.h"

#include <pybind11/operators.h>

#include "pto/wsp/core/layout.h"
#include "pto/wsp/core/linear_layout.h"
#include "pto/wsp/core/memory_layout.h"
#include "pto/wsp/workload/layouts.h"

namespace pto::wsp::python {

namespace {

using SwizzleParts = std::tuple<int, int, int>;

void bind_distribution(py::module_ &module) {
    py::class_<Distribution>(module, "Distribution")
        .def(py::init([](int mesh_axis) { return Distribution{mesh_axis}; }), py::arg("mesh_axis"))
        .def_readonly("mesh_axis", &Distribution::mesh_axis)
        .def_property_readonly("replicated", &Distribution::replicated)
        .def("__str__", &Distribution::str);
    py::class_<TensorLayout>(module, "TensorLayout")
        .def(py::init([](std::vector<Distribution> dims, std::optional<MemLayout> mem) {
                 return TensorLayout::make(std::move(dims), std::move(mem), user_loc());
             }),
             py::arg("dims"), py::arg("mem") = std::nullopt)
        .def_static("replicated", &TensorLayout::replicated, py::arg("rank"))
        .def_static(
            "sharded",
            [](int dim, int rank, int mesh_axis) {
                return TensorLayout::sharded(dim, rank, mesh_axis, user_loc());
            },
            py::arg("dim"), py::arg("rank"), py::arg("mesh_axis") = 0)
        .def_readonly("dims", &TensorLayout::dims)
        .def_readonly("mem", &TensorLayout::mem)
        .def("is_replicated", &TensorLayout::is_replicated)
        .def("sharded_dims", &TensorLayout::sharded_dims)
        .def(py::self == py::self)  // NOLINT(misc-redundant-expression)
        .def("__str__", &TensorLayout::str);
    module.def(
        "layout_join",
        [](const TensorLayout &a, const TensorLayout &b) { return layout_join(a, b, user_loc()); },
        py::arg("a"), py::arg("b"));
}

void bind_memory_layout(py::module_ &module) {
    py::class_<MemLayout>(module, "MemLayout")
        .def(py::init([](Shape strides, std::optional<std::vector<int>> order,
                         std::optional<SwizzleParts> swizzle, int64_t pack,
                         std::optional<Shape> shape) {
                 std::optional<Swizzle> bits;
                 if (swizzle) {
                     const auto [count, base, shift] = *swizzle;
                     bits = Swizzle{count, base, shift};
                 }
                 return MemLayout::make(std::move(strides), std::move(order), bits, pack,
                                        std::move(shape), user_loc());
             }),
             py::arg("strides"), py::arg("order"), py::arg("swizzle"), py::arg("pack"),
             py::arg("shape"))
        .def_static(
            "row_major", [](const Shape &shape) { return MemLayout::row_major(shape, user_loc()); },
            py::arg("shape"))
        .def_static(
            "col_major", [](const Shape &shape) { return MemLayout::col_major(shape, user_loc()); },
            py::arg("shape"))
        .def(
            "permute",
            [](const MemLayout &layout, const std::vector<int> &permutation) {
                return layout.permute(permutation, user_loc());
            },
            py::arg("permutation"))
        .def(
            "compose",
            [](const MemLayout &layout, const MemLayout &outer) {
                return layout.compose(outer, user_loc());
            },
            py::arg("outer"))
        .def(
            "tile",
            [](const MemLayout &layout, const Shape &tile) {
                return layout.tile(tile, user_loc());
            },
            py::arg("tile"))
        .def(
            "place",
            [](const MemLayout &layout, const Shape &coordinates) {
                return layout.place(coordinates, user_loc());
            },
            py::arg("coordinates"))
        .def("linear", [](const MemLayout &layout) { return layout.linear(user_loc()); })
        .def_readonly("strides", &MemLayout::strides)
        .def_readonly("order", &MemLayout::order)
        .def_property_readonly("swizzle",
                               [](const MemLayout &layout) -> std::optional<SwizzleParts> {
                                   if (!layout.swizzle) {
                                       return std::nullopt;
                                   }
                                   const Swizzle &parts = *layout.swizzle;
                                   return SwizzleParts{parts.bits, parts.base, parts.shift};
                               })
        .def_readonly("pack", &MemLayout::pack)
        .def_readonly("shape", &MemLayout::shape)
        .def(py::self == py::self)  // NOLINT(misc-redundant-expression)
        .def("__str__", &MemLayout::str);
}

void bind_linear_layout(py::module_ &module) {
    py::class_<LinearLayout>(module, "LinearLayout")
        .def(py::init([](Shape shape, std::vector<int64_t> bases, int64_t places) {
                 return LinearLayout(std::move(shape), std::move(bases), places, user_loc());
             }),
             py::arg("shape"), py::arg("bases"), py::arg("places"))
        .def_static(
            "row_major",
            [](const Shape &shape) { return LinearLayout::row_major(shape, user_loc()); },
            py::arg("shape"))
        .def_static(
            "col_major",
            [](const Shape &shape) { return LinearLayout::col_major(shape, user_loc()); },
            py::arg("shape"))
        .def_static(
            "from_strides",
            [](const Shape &shape, const Shape &strides) {
                return LinearLayout::from_strides(shape, strides, user_loc());
            },
            py::arg("shape"), py::arg("strides"))
        .def_static(
            "blocked",
            [](const Shape &shape, const Shape &block) {
                return LinearLayout::blocked(shape, block, user_loc());
            },
            py::arg("shape"), py::arg("block"))
        .def_static(
            "swizzle",
            [](int64_t size, int bits, int base, int shift) {
                return LinearLayout::swizzle(size, bits, base, shift, user_loc());
            },
            py::arg("size"), py::arg("bits"), py::arg("base"), py::arg("shift"))
        .def(
            "compose",
            [](const LinearLayout &layout, const LinearLayout &inner) {
                return layout.compose(inner, user_loc());
            },
            py::arg("inner"))
        .def(
            "apply",
            [](const LinearLayout &layout, const Shape &coordinates) {
                return coordinates.size() == 1 ? layout.apply(coordinates[0], user_loc())
                                               : layout.apply(coordinates, user_loc());
            },
            py::arg("coordinates"))
        .def("inverse", [](const LinearLayout &layout) { return layout.inverse(user_loc()); })
        .def("rank", &LinearLayout::rank)
        .def("kernel", &LinearLayout::kernel)
        .def("is_injective", &LinearLayout::is_injective)
        .def("is_surjective", &LinearLayout::is_surjective)
        .def_property_readonly("shape", &LinearLayout::shape)
        .def_property_readonly("bases", &LinearLayout::bases)
        .def_property_readonly("size", &LinearLayout::size)
        .def_property_readonly("places", &LinearLayout::places)
        .def(py::self == py::self)  // NOLINT(misc-redundant-expression)
        .def("__str__", &LinearLayout::str);
}

void bind_layout_check(py::module_ &module) {
    using Distributed = std::tuple<int, workload::Region, TensorLayout>;
    module.def(
        "check_layouts",
        [](const workload::Kernel &kernel, const std::vector<Distributed> &arguments) {
            std::vector<workload::DistributedArgument> given;
            given.reserve(arguments.size());
            for (const auto &[param, region, layout] : arguments) {
                given.push_back({param, region, layout});
            }
            workload::check_layouts(kernel, given, user_loc());
        },
        py::arg("kernel"), py::arg("arguments"));
}

}  // namespace

void bind_layout(py::module_ &module) {
    bind_memory_layout(module);
    bind_distribution(module);
    bind_linear_layout(module);
    bind_layout_check(module);
}

}  // namespace pto::wsp::python
