#include "bindings.h"

#include <pybind11/operators.h>

#include "pto/wsp/core/dtype.h"
#include "pto/wsp/core/fingerprint.h"
#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::python {

namespace {

void bind_dtype(py::module_ &module) {
    py::class_<DTypeInfo>(module, "DTypeInfo")
        .def_property_readonly("name", [](const DTypeInfo &row) { return row.name; })
        .def_property_readonly("user_name", [](const DTypeInfo &row) { return row.user_name; })
        .def_property_readonly("numpy_name", [](const DTypeInfo &row) { return row.numpy_name; })
        .def_readonly("bytes", &DTypeInfo::bytes)
        .def_property_readonly("is_float",
                               [](const DTypeInfo &row) { return row.kind == DTypeKind::Float; });
    module.def("dtypes", [] {
        std::vector<DTypeInfo> rows;
        for (const DTypeInfo &row : dtypes()) {
            rows.push_back(row);
        }
        return rows;
    });
}

void bind_affine(py::module_ &module) {
    py::class_<Affine>(module, "Affine")
        .def(py::init<int64_t>(), py::arg("constant") = 0)
        .def_static("variable", &Affine::variable, py::arg("name"), py::arg("coefficient") = 1)
        .def_static(
            "parse",
            [](const std::string &text) {
                TextReader reader(text, "expression");
                Affine parsed = Affine::parse(reader);
                if (!reader.at_end()) {
                    reader.fail("the end of the expression");
                }
                return parsed;
            },
            py::arg("text"))
        .def_property_readonly("constant", &Affine::constant)
        .def_property_readonly("terms", &Affine::terms)
        .def("as_constant", &Affine::as_constant)
        .def("substitute", &Affine::substitute, py::arg("values"))
        .def("evaluate", &Affine::evaluate, py::arg("values"))
        .def(py::self + py::self)
        .def(py::self - py::self)  // NOLINT(misc-redundant-expression)
        .def("__mul__", [](const Affine &a, int64_t factor) { return a * factor; })
        .def(py::self == py::self)  // NOLINT(misc-redundant-expression)
        .def("__hash__", [](const Affine &a) { return py::hash(py::str(a.str())); })
        .def("__str__", &Affine::str)
        .def("__repr__", &Affine::str);
}

void bind_scalar_expr(py::module_ &module) {
    py::class_<ScalarExpr> expr(module, "ScalarExpr");
    py::native_enum<ScalarExpr::Op>(expr, "Op", "enum.Enum")
        .value("Add", ScalarExpr::Op::Add)
        .value("Sub", ScalarExpr::Op::Sub)
        .value("Mul", ScalarExpr::Op::Mul)
        .value("FloorDiv", ScalarExpr::Op::FloorDiv)
        .value("Mod", ScalarExpr::Op::Mod)
        .value("BitAnd", ScalarExpr::Op::BitAnd)
        .value("BitOr", ScalarExpr::Op::BitOr)
        .value("BitXor", ScalarExpr::Op::BitXor)
        .value("ShiftLeft", ScalarExpr::Op::ShiftLeft)
        .value("ShiftRight", ScalarExpr::Op::ShiftRight)
        .value("Min", ScalarExpr::Op::Min)
        .value("Max", ScalarExpr::Op::Max)
        .value("Eq", ScalarExpr::Op::Eq)
        .value("Ne", ScalarExpr::Op::Ne)
        .value("Lt", ScalarExpr::Op::Lt)
        .value("Le", ScalarExpr::Op::Le)
        .value("Gt", ScalarExpr::Op::Gt)
        .value("Ge", ScalarExpr::Op::Ge)
        .value("And", ScalarExpr::Op::And)
        .value("Or", ScalarExpr::Op::Or)
        .value("Not", ScalarExpr::Op::Not)
        .value("Select", ScalarExpr::Op::Select)
        .value("CastU64", ScalarExpr::Op::CastU64)
        .finalize();
    expr.def(py::init<int64_t>(), py::arg("value"))
        .def_static("variable", &ScalarExpr::variable, py::arg("name"))
        .def_static("symbol", &ScalarExpr::symbol, py::arg("name"))
        .def_static("slot", &ScalarExpr::slot, py::arg("slot"))
        .def_static("load", &ScalarExpr::load, py::arg("table"), py::arg("index"))
        .def_static("param", py::overload_cast<int64_t>(&ScalarExpr::param), py::arg("index"))
        .def_static("param", py::overload_cast<const std::string &>(&ScalarExpr::param),
                    py::arg("name"))
        .def_static("from_affine", &ScalarExpr::from, py::arg("affine"))
        .def_static("make", &ScalarExpr::make, py::arg("op"), py::arg("operands"))
        .def_static(
            "parse",
            [](const std::string &text, const std::string &origin) {
                return ScalarExpr::parse(text, origin);
            },
            py::arg("text"), py::arg("origin") = "expression")
        .def("variables", &ScalarExpr::variables)
        .def("substitute", &ScalarExpr::substitute, py::arg("values"))
        .def(
            "evaluate",
            [](const ScalarExpr &expr, const std::map<std::string, int64_t> &values) {
                return expr.evaluate(values);
            },
            py::arg("values"))
        .def("as_affine", &ScalarExpr::as_affine)
        .def("is_truth", &ScalarExpr::is_truth)
        .def("shown", &shown)
        .def("__str__", &ScalarExpr::str);
}

}  // namespace

void bind_core(py::module_ &module) {
    bind_dtype(module);
    bind_affine(module);
    bind_scalar_expr(module);
    module.def("nearest_name", &nearest_name, py::arg("name"), py::arg("known"));
    module.def("host_fingerprint", [] { return host_fingerprint().str(); });
}

}  // namespace pto::wsp::python
