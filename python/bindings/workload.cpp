#include "arrays.h"
#include "bindings.h"
#include "channels.h"

#include <set>
#include <utility>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/nets.h"
#include "pto/wsp/workload/parse.h"
#include "pto/wsp/workload/slots.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::python {

namespace {

using workload::Argument;
using workload::Axis;
using workload::Builder;
using workload::Kernel;
using workload::KernelPtr;
using workload::Region;
using workload::Task;
using workload::Tensor;
using workload::Workload;
using KernelHandle = std::shared_ptr<Kernel>;
using TensorHandle = std::shared_ptr<Tensor>;
using ArgumentValue = std::variant<Region, ScalarExpr, uint64_t, double>;

void bind_region(py::module_ &module) {
    py::class_<Tensor, TensorHandle>(module, "TensorHandle")
        .def(py::init([](std::string name, const TensorView &view, const Loc &at) {
                 return std::make_shared<Tensor>(Tensor{std::move(name), view, at, false});
             }),
             py::arg("name"), py::arg("view"), py::arg("at"))
        .def_readwrite("name", &Tensor::name)
        .def_readonly("view", &Tensor::view);
    py::class_<Region>(module, "Region")
        .def_static(
            "whole", [](const TensorHandle &tensor) { return workload::whole(tensor, user_loc()); },
            py::arg("tensor"))
        .def(
            "index",
            [](const Region &region, const Affine &i) {
                return workload::index(region, i, user_loc());
            },
            py::arg("i"))
        .def(
            "slice",
            [](const Region &region, const Affine &begin, const Affine &end) {
                return workload::slice(region, begin, end, user_loc());
            },
            py::arg("begin"), py::arg("end"))
        .def(
            "valid",
            [](const Region &region, std::optional<ScalarExpr> rows,
               std::optional<ScalarExpr> columns) {
                return workload::valid(region, std::move(rows), std::move(columns), user_loc());
            },
            py::arg("rows") = std::nullopt, py::arg("columns") = std::nullopt)
        .def_property_readonly("shape", &Region::shape)
        .def_property_readonly("dtype",
                               [](const Region &region) { return region.tensor->view.dtype; })
        .def_readonly("offsets", &Region::offsets)
        .def("__str__", &Region::str);
}

Axis axis_of(const std::string &kind, const ScalarExpr &size, const std::string &name) {
    Axis axis;
    axis.kind = workload::parse_axis_kind(kind).value();
    axis.size = size;
    axis.name = name;
    axis.at = user_loc();
    return axis;
}

void bind_builder(py::module_ &module) {
    py::class_<Kernel, KernelHandle>(module, "Kernel")
        .def(py::init([](std::string name, std::vector<kernel::Param> params,
                         const std::shared_ptr<kernel::TileProgram> &program, const Loc &at) {
                 return std::make_shared<Kernel>(
                     Kernel{std::move(name), std::move(params), program, at});
             }),
             py::arg("name"), py::arg("params"), py::arg("program"), py::arg("at"))
        .def_readonly("name", &Kernel::name)
        .def_readonly("params", &Kernel::params)
        .def_property_readonly("program",
                               [](const Kernel &kernel) {
                                   return std::const_pointer_cast<kernel::TileProgram>(
                                       kernel.program);
                               })
        .def_property_readonly("is_declaration",
                               [](const Kernel &kernel) { return kernel.program == nullptr; });

    py::class_<Builder> builder(module, "WorkloadBuilder");
    bind_channel_statements(builder);
    bind_event_statements(builder);
    builder.def(py::init<std::string, Loc>(), py::arg("name"), py::arg("at"))
        .def(
            "open_loop",
            [](Builder &builder, bool sequential, int64_t depth, const std::string &kind,
               const ScalarExpr &size, const std::string &axis_name,
               std::vector<std::string> names) {
                return builder.open_loop({sequential, depth}, axis_of(kind, size, axis_name),
                                         std::move(names), user_loc());
            },
            py::arg("sequential"), py::arg("depth"), py::arg("kind"), py::arg("size"),
            py::arg("axis_name"), py::arg("names"))
        .def(
            "open_selected",
            [](Builder &builder, const ScalarExpr &size, const std::string &table,
               const ScalarExpr &first, const std::string &axis_name,
               std::vector<std::string> names) {
                return builder.open_selected(axis_of("Sparse", size, axis_name), table, first,
                                             std::move(names), user_loc());
            },
            py::arg("size"), py::arg("table"), py::arg("first"), py::arg("axis_name"),
            py::arg("names"))
        .def(
            "open_range",
            [](Builder &builder, bool sequential, int64_t depth, const std::string &kind,
               const ScalarExpr &size, const Affine &start, int64_t step,
               const std::string &axis_name, std::vector<std::string> names) {
                Builder::RangeVariable variable =
                    builder.open_range({sequential, depth}, axis_of(kind, size, axis_name), start,
                                       step, std::move(names), user_loc());
                return std::make_pair(std::move(variable.id), std::move(variable.index));
            },
            py::arg("sequential"), py::arg("depth"), py::arg("kind"), py::arg("size"),
            py::arg("start"), py::arg("step"), py::arg("axis_name"), py::arg("names"))
        .def(
            "open_when",
            [](Builder &builder, const ScalarExpr &predicate) {
                builder.open_when(predicate, user_loc());
            },
            py::arg("predicate"))
        .def("open_otherwise", [](Builder &builder) { builder.open_otherwise(user_loc()); })
        .def(
            "index_of",
            [](Builder &builder, const ScalarExpr &expr) {
                return builder.index_of(expr, user_loc());
            },
            py::arg("expr"))
        .def("expression_of", &Builder::expression_of, py::arg("index"))
        .def("set_symbol", &Builder::set_symbol, py::arg("name"), py::arg("value"))
        .def(
            "set_table",
            [](Builder &builder, const std::string &name, const IntegerArray &values) {
                builder.set_table(name, values_of(values));
            },
            py::arg("name"), py::arg("values"))
        .def(
            "set_slot",
            [](Builder &builder, int64_t slot, const ScalarExpr &value) {
                builder.set_slot(slot, value, user_loc());
            },
            py::arg("slot"), py::arg("value"))
        .def(
            "load_slot",
            [](Builder &builder, int64_t slot, const Region &element) {
                builder.load_slot(slot, element, user_loc());
            },
            py::arg("slot"), py::arg("element"))
        .def(
            "open_group",
            [](Builder &builder, bool sequential) { builder.open_group(sequential, user_loc()); },
            py::arg("sequential"))
        .def(
            "open_call",
            [](Builder &builder, std::string name) {
                builder.open_call(std::move(name), user_loc());
            },
            py::arg("name"))
        .def("close", [](Builder &builder) { builder.close(user_loc()); })
        .def_property_readonly("depth", &Builder::depth)
        .def_property_readonly("statements", &Builder::statements)
        .def(
            "gather",
            [](Builder &builder, const std::vector<size_t> &numbers, bool sequential) {
                builder.gather(numbers, sequential, user_loc());
            },
            py::arg("numbers"), py::arg("sequential"))
        .def(
            "include",
            [](Builder &builder, const Workload &other) {
                const Builder::Renamed renamed = builder.include(other, user_loc());
                return std::make_pair(renamed.symbols, renamed.tables);
            },
            py::arg("workload"))
        .def(
            "task",
            [](Builder &builder, const KernelHandle &kernel, std::vector<ScalarExpr> axes,
               const std::vector<std::pair<std::string, ArgumentValue>> &arguments) {
                std::vector<Argument> passed;
                passed.reserve(arguments.size());
                for (const auto &[name, value] : arguments) {
                    Argument argument{name, ScalarExpr(0), user_loc()};
                    std::visit([&](const auto &given) { argument.value = given; }, value);
                    passed.push_back(std::move(argument));
                }
                builder.task(kernel, std::move(axes), std::move(passed), user_loc());
            },
            py::arg("kernel"), py::arg("axes"), py::arg("arguments"))
        .def("finish", &Builder::finish);
}

/// A task that outlives its enumeration.
struct TaskCopy {
    Task task;
    std::shared_ptr<const Workload> owner;

    explicit TaskCopy(const Task &seen, std::shared_ptr<const Workload> from)
        : task(seen), owner(std::move(from)) {}

    /// Of variables that have a name.
    std::map<std::string, int64_t> known_values() const {
        std::map<std::string, int64_t> by_id;
        for (const auto &[variable, value] : task.indices) {
            if (!variable->hidden) {
                by_id[variable->id] = value;
            }
        }
        return by_id;
    }

    std::map<std::string, int64_t> values() const {
        std::map<std::string, int64_t> by_id;
        for (const auto &[variable, value] : task.indices) {
            by_id[variable->id] = value;
        }
        return by_id;
    }
};

/// What `region` covers where the loop variables have `values`.
TensorView view_of(const Region &region, const std::map<std::string, int64_t> &values) {
    TensorView view = region.tensor->view;
    int64_t offset = 0;
    for (size_t dim = 0; dim < region.offsets.size(); ++dim) {
        offset += region.offsets[dim].evaluate(values) * view.strides[dim];
    }
    view.data = static_cast<char *>(view.data) + offset * size_bytes(view.dtype);
    const Shape strides = std::exchange(view.strides, {});
    view.shape.clear();
    for (const int dim : region.keep) {
        view.shape.push_back(region.extents[static_cast<size_t>(dim)]);
        view.strides.push_back(strides[static_cast<size_t>(dim)]);
    }
    return view;
}

/// The memory that the task's tile arguments are bound to, in parameter order; without what tokens
/// carry, which is a program's own.
std::vector<std::pair<std::string, TensorView>> resources(const TaskCopy &copy) {
    std::vector<std::pair<std::string, TensorView>> views;
    for (const workload::TaskArgument &argument : copy.task.node->arguments) {
        const auto *region = std::get_if<Region>(&argument.value);
        if (region != nullptr && !region->tensor->own) {
            views.emplace_back(region->tensor->name, view_of(*region, copy.values()));
        }
    }
    return views;
}

void bind_task(py::module_ &module) {
    py::class_<TaskCopy>(module, "TaskHandle")
        .def_property_readonly("id", [](const TaskCopy &copy) { return copy.task.id; })
        .def_property_readonly("kernel",
                               [](const TaskCopy &copy) {
                                   return std::const_pointer_cast<Kernel>(copy.task.node->kernel);
                               })
        .def_property_readonly("params", [](const TaskCopy &copy) { return copy.task.params; })
        .def_property_readonly("indices", &TaskCopy::known_values)
        .def("resources", &resources)
        .def(
            "get",
            [](const TaskCopy &copy, const std::string &axis) {
                return copy.task.get(axis, user_loc());
            },
            py::arg("axis"));
}

/// Tasks number `first` to `first + count`.
std::vector<TaskCopy> tasks(const std::shared_ptr<Workload> &workload, int64_t first,
                            int64_t count) {
    std::vector<TaskCopy> found;
    workload->enumerate([&](const Task &task) {
        if (task.id >= first && task.id - first < count) {
            found.emplace_back(task, workload);
        }
        return task.id - first < count - 1;
    });
    return found;
}

/// Names of the tensors that some task writes.
std::set<std::string> written(const Workload &workload) {
    std::set<std::string> names;
    workload::for_each_task(
        *workload.root,
        [&](const workload::TaskNode &task, const workload::LoopPath &, const workload::Node &) {
            for (const workload::TaskArgument &argument : task.arguments) {
                const auto *region = std::get_if<Region>(&argument.value);
                if (region && !region->tensor->own && argument.direction != kernel::Direction::In) {
                    names.insert(region->tensor->name);
                }
            }
        });
    return names;
}

/// For each name of a run-time size, the symbols that it means.
std::map<std::string, std::set<std::string>> axes(const Workload &workload) {
    std::map<std::string, std::set<std::string>> names;
    workload::for_each_node(
        *workload.root, [&](const workload::Node &node, const workload::LoopPath &) {
            const auto *loop = std::get_if<workload::LoopNode>(&node.kind);
            if (loop == nullptr || loop->variable.axis.size.op() != ScalarExpr::Op::Symbol) {
                return;
            }
            const std::string &symbol = loop->variable.axis.size.name();
            names[symbol].insert(symbol);
            for (const std::string &name : loop->variable.names) {
                names[name].insert(symbol);
            }
            if (!loop->variable.axis.name.empty()) {
                names[loop->variable.axis.name].insert(symbol);
            }
        });
    return names;
}

}  // namespace

void bind_workload(py::module_ &module) {
    bind_region(module);
    bind_builder(module);
    bind_task(module);
    py::class_<Workload, std::shared_ptr<Workload>>(module, "WorkloadIR")
        .def_readonly("name", &Workload::name)
        .def("type_str", &Workload::type_str)
        .def("kind", &Workload::kind)
        .def("racing_writes", &workload::racing_writes)
        .def("unfilled_slots", &workload::unfilled_slots)
        .def("task_count", &Workload::task_count)
        .def("tasks", &tasks, py::arg("first"), py::arg("count"))
        .def("kernels",
             [](const Workload &workload) {
                 std::vector<KernelHandle> handles;
                 for (const KernelPtr &kernel : workload.kernels()) {
                     handles.push_back(std::const_pointer_cast<Kernel>(kernel));
                 }
                 return handles;
             })
        .def("tensors",
             [](const Workload &workload) {
                 std::vector<TensorHandle> handles;
                 for (const auto &tensor : workload.tensors()) {
                     if (!tensor->own) {
                         handles.push_back(std::const_pointer_cast<Tensor>(tensor));
                     }
                 }
                 return handles;
             })
        .def("symbols", &Workload::symbols)
        .def("tables", &Workload::tables)
        .def("axes", &axes)
        .def(
            "set_table",
            [](Workload &workload, const std::string &name, const IntegerArray &values) {
                workload.data.tables.insert_or_assign(name, values_of(values));
            },
            py::arg("name"), py::arg("values"))
        .def("has_channels", &Workload::has_channels)
        .def("check_nets", [](const Workload &workload) { workload::check_nets(*workload.root); })
        .def("written", &written)
        .def("__str__", &Workload::str);
    module.def(
        "parse_workload",
        [](const std::string &text, const std::string &origin) {
            return workload::parse_workload(text, origin);
        },
        py::arg("text"), py::arg("origin") = "workload");
}

}  // namespace pto::wsp::python
