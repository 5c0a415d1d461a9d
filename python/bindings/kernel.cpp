#include "bindings.h"

#include <pybind11/functional.h>

#include "pto/wsp/kernel/builder.h"
#include "pto/wsp/kernel/coverage.h"
#include "pto/wsp/kernel/evaluate.h"
#include "pto/wsp/kernel/op.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/program/kernels.h"
#include "pto/wsp/support/printing.h"

namespace pto::wsp::python {

namespace {

using kernel::Accuracy;
using kernel::Attributes;
using kernel::Builder;
using kernel::CoverageCell;
using kernel::Direction;
using kernel::OpInfo;
using kernel::OpKind;
using kernel::Param;
using kernel::TileProgram;
using kernel::TileType;
using kernel::Value;

void bind_types(py::module_ &module) {
    py::class_<TileType>(module, "TileType")
        .def(py::init([](DType dtype, const Affine &rows, const Affine &columns) {
                 return TileType{dtype, rows, columns};
             }),
             py::arg("dtype"), py::arg("rows") = Affine(1), py::arg("columns") = Affine(1))
        .def_readonly("dtype", &TileType::dtype)
        .def_readonly("rows", &TileType::rows)
        .def_readonly("columns", &TileType::columns)
        .def_property_readonly("is_scalar", &TileType::is_scalar)
        .def("__eq__", [](const TileType &a, const TileType &b) { return a == b; })
        .def("__hash__", [](const TileType &type) { return py::hash(py::str(type.str())); })
        .def("__str__", &TileType::str)
        .def("shape_str", &TileType::shape_str)
        .def("user_str", &TileType::user_str);

    py::native_enum<Direction>(module, "Direction", "enum.Enum")
        .value("In", Direction::In)
        .value("Out", Direction::Out)
        .value("InOut", Direction::InOut)
        .finalize();

    py::class_<Param>(module, "Param")
        .def_static(
            "tile",
            [](const std::string &name, Direction direction, const TileType &type, const Loc &at) {
                return Param{name, Param::Kind::Tile, direction, type, at};
            },
            py::arg("name"), py::arg("direction"), py::arg("type"), py::arg("at"))
        .def_static(
            "scalar",
            [](const std::string &name, DType dtype, const Loc &at) {
                return Param{name, Param::Kind::Scalar, Direction::In, TileType{dtype, 1, 1}, at};
            },
            py::arg("name"), py::arg("dtype"), py::arg("at"))
        .def_readonly("name", &Param::name)
        .def_property_readonly("is_tile",
                               [](const Param &param) { return param.kind == Param::Kind::Tile; })
        .def_readonly("direction", &Param::direction)
        .def_readonly("type", &Param::type)
        .def_readonly("at", &Param::at);
}

void bind_ops(py::module_ &module) {
    py::native_enum<OpKind>(module, "OpKind", "enum.Enum")
        .value("Memory", OpKind::Memory)
        .value("Effect", OpKind::Effect)
        .value("Leaf", OpKind::Leaf)
        .value("Elementwise", OpKind::Elementwise)
        .value("Reduction", OpKind::Reduction)
        .value("ColumnReduction", OpKind::ColumnReduction)
        .value("Matrix", OpKind::Matrix)
        .value("Shape", OpKind::Shape)
        .value("RowShape", OpKind::RowShape)
        .value("Sorting", OpKind::Sorting)
        .value("Composite", OpKind::Composite)
        .value("Control", OpKind::Control)
        .finalize();
    py::class_<OpInfo>(module, "OpInfo")
        .def_property_readonly("name", [](const OpInfo &row) { return row.name; })
        .def_readonly("kind", &OpInfo::kind)
        .def_property_readonly("operands", [](const OpInfo &row) { return row.operands; })
        .def_property_readonly("attributes", [](const OpInfo &row) { return row.attributes; })
        .def_property_readonly("doc", [](const OpInfo &row) { return row.doc; });
    module.def("ops", [] {
        std::vector<OpInfo> rows;
        for (const OpInfo &row : kernel::ops()) {
            rows.push_back(row);
        }
        return rows;
    });
}

void bind_coverage(py::module_ &module) {
    py::class_<kernel::ComposedInfo>(module, "ComposedInfo")
        .def_readonly("name", &kernel::ComposedInfo::name)
        .def_readonly("operations", &kernel::ComposedInfo::operations)
        .def_readonly("vector", &kernel::ComposedInfo::vector);
    module.def("composed", [] {
        auto rows = kernel::composed();
        return std::vector<kernel::ComposedInfo>(rows.begin(), rows.end());
    });
    py::native_enum<Accuracy::Kind>(module, "AccuracyKind", "enum.Enum")
        .value("Exact", Accuracy::Kind::Exact)
        .value("Rounded", Accuracy::Kind::Rounded)
        .value("Ulps", Accuracy::Kind::Ulps)
        .value("Sum", Accuracy::Kind::Sum)
        .value("Product", Accuracy::Kind::Product)
        .value("Row", Accuracy::Kind::Row)
        .finalize();
    py::class_<CoverageCell>(module, "CoverageCell")
        .def_readonly("primitive", &CoverageCell::primitive)
        .def_readonly("dtype", &CoverageCell::dtype)
        .def_property_readonly("kind", [](const CoverageCell &cell) { return cell.accuracy.kind; })
        .def_property_readonly(
            "ulps", [](const CoverageCell &cell) { return cell.accuracy.ulps(cell.dtype); })
        .def_readonly("refusal", &CoverageCell::refusal)
        .def("__str__", &CoverageCell::str);
    module.def("coverage", &kernel::coverage);
}

void bind_builder(py::module_ &module) {
    py::class_<Builder>(module, "KernelBuilder")
        .def(py::init<std::string, Loc>(), py::arg("name"), py::arg("at"))
        .def("param", &Builder::param, py::arg("param"))
        .def("scalar", &Builder::scalar, py::arg("index"))
        .def(
            "op",
            [](Builder &builder, const std::string &name, std::vector<Value> operands,
               Attributes attributes) {
                const OpInfo *row = kernel::find_op(name);
                if (row == nullptr) {
                    throw CompileError(user_loc(), "no operation '" + name + "'");
                }
                return builder.op(row->op, std::move(operands), std::move(attributes), user_loc());
            },
            py::arg("name"), py::arg("operands"), py::arg("attributes") = Attributes{})
        .def(
            "constant",
            [](Builder &builder, const std::variant<int64_t, uint64_t, double> &value,
               const std::optional<DType> &dtype) {
                const auto number =
                    std::visit([](auto held) { return kernel::Number(held); }, value);
                return dtype ? builder.constant(number, *dtype, user_loc())
                             : builder.constant(number, user_loc());
            },
            py::arg("value"), py::arg("dtype") = std::nullopt)
        .def(
            "load", [](Builder &builder, int param) { return builder.load(param, user_loc()); },
            py::arg("param"))
        .def(
            "operand",
            [](Builder &builder, int param) { return builder.operand(param, user_loc()); },
            py::arg("param"))
        .def(
            "load_window",
            [](Builder &builder, int param, Value row, Value column, const Affine &rows,
               const Affine &columns) {
                return builder.load(param, row, column, rows, columns, user_loc());
            },
            py::arg("param"), py::arg("row"), py::arg("column"), py::arg("rows"),
            py::arg("columns"))
        .def(
            "store",
            [](Builder &builder, int param, Value value) {
                builder.store(param, value, user_loc());
            },
            py::arg("param"), py::arg("value"))
        .def(
            "store_window",
            [](Builder &builder, int param, Value value, Value row, Value column) {
                builder.store(param, value, row, column, user_loc());
            },
            py::arg("param"), py::arg("value"), py::arg("row"), py::arg("column"))
        .def(
            "masked",
            [](Builder &builder, Value loaded, Value mask) {
                return builder.masked(loaded, mask, user_loc());
            },
            py::arg("loaded"), py::arg("mask"))
        .def(
            "store_masked",
            [](Builder &builder, int param, Value value, Value mask,
               const std::optional<std::pair<Value, Value>> &offset) {
                if (offset) {
                    builder.store_masked(param, value, mask, offset->first, offset->second,
                                         user_loc());
                } else {
                    builder.store_masked(param, value, mask, user_loc());
                }
            },
            py::arg("param"), py::arg("value"), py::arg("mask"), py::arg("offset") = std::nullopt)
        .def(
            "print",
            [](Builder &builder, Value value, const std::string &label) {
                builder.print(value, label, user_loc());
            },
            py::arg("value"), py::arg("label") = "")
        .def(
            "fori_loop",
            [](Builder &builder, Value lo, Value hi, std::vector<Value> carries,
               const std::function<std::vector<Value>(Value, const std::vector<Value> &)> &body) {
                return builder.fori_loop(lo, hi, std::move(carries), body, user_loc());
            },
            py::arg("lo"), py::arg("hi"), py::arg("carries"), py::arg("body"))
        .def("type", &Builder::type, py::arg("value"), py::return_value_policy::copy)
        .def("where", &Builder::where, py::arg("value"))
        .def("finish", [](Builder &builder) {
            return std::const_pointer_cast<TileProgram>(builder.finish());
        });
}

void bind_custom(py::module_ &module) {
    py::class_<CppSource>(module, "CppSource")
        .def(py::init([](std::string text, std::string body_path, std::string unit_path,
                         std::vector<std::string> includes, std::vector<std::string> include_dirs,
                         std::vector<kernel::CppBody::Constant> constants, Loc at,
                         const std::optional<Loc> &text_at) {
                 return CppSource{std::move(text),         std::move(body_path),
                                  std::move(unit_path),    std::move(includes),
                                  std::move(include_dirs), std::move(constants),
                                  std::move(at),           text_at.value_or(Loc())};
             }),
             py::kw_only(), py::arg("text"), py::arg("body_path"), py::arg("unit_path"),
             py::arg("includes"), py::arg("include_dirs"), py::arg("constants"), py::arg("at"),
             py::arg("text_at"));
    module.def(
        "cpp_program",
        [](std::string name, std::vector<Param> params, CppSource source) {
            const Loc at = source.at;
            return std::const_pointer_cast<TileProgram>(
                kernel::custom_program(std::move(name), std::move(params), cpp_body(source), at));
        },
        py::arg("name"), py::arg("params"), py::arg("source"));
}

void bind_tile_program(py::module_ &module) {
    py::class_<TileProgram, std::shared_ptr<TileProgram>>(module, "TileProgram")
        .def_readonly("name", &TileProgram::name)
        .def_readonly("params", &TileProgram::params)
        .def_readonly("at", &TileProgram::at)
        .def("symbols", &TileProgram::symbols)
        .def("op_names",
             [](const TileProgram &program) {
                 std::vector<std::string> names;
                 for (const kernel::Node &node : program.nodes) {
                     names.emplace_back(kernel::name(node.op));
                 }
                 return names;
             })
        .def("hash", [](const TileProgram &program) { return program.hash().hex(); })
        .def("__str__", &TileProgram::str);
    module.def(
        "parse_tile_program",
        [](const std::string &text, const std::string &origin) {
            return std::const_pointer_cast<TileProgram>(kernel::parse_tile_program(text, origin));
        },
        py::arg("text"), py::arg("origin") = "tile program");
    module.def(
        "evaluate",
        [](const TileProgram &program,
           const std::vector<std::variant<TensorView, int64_t, uint64_t, double>> &arguments,
           const std::map<std::string, int64_t> &symbols) {
            std::vector<kernel::Argument> passed;
            for (const auto &argument : arguments) {
                std::visit([&](const auto &value) { passed.emplace_back(value); }, argument);
            }
            kernel::evaluate(program, passed, symbols);
        },
        py::arg("program"), py::arg("arguments"),
        py::arg("symbols") = std::map<std::string, int64_t>{},
        "The slow reference evaluator: the oracle of tests.");
}

/// To `sys.stdout` as it is now, so that notebooks and tests see it.
void print_to_python(std::string_view text) {
    if (!Py_IsInitialized()) {
        return;
    }
    const py::gil_scoped_acquire gil;
    try {
        py::object out = py::module_::import("sys").attr("stdout");
        if (!out.is_none()) {
            out.attr("write")(py::str(text.data(), text.size()));
            out.attr("flush")();
        }
    } catch (py::error_already_set &error) {
        error.discard_as_unraisable("pto_wsp: while printing a tile");
    }
}

}  // namespace

void bind_kernel(py::module_ &module) {
    set_print_sink(&print_to_python);
    bind_types(module);
    bind_ops(module);
    bind_coverage(module);
    bind_builder(module);
    bind_tile_program(module);
    bind_custom(module);
}

}  // namespace pto::wsp::python
