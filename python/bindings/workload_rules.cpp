#include "bindings.h"

#include <utility>

#include "pto/wsp/workload/kinds.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/nets.h"
#include "pto/wsp/workload/rules.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::python {

namespace {

using workload::GroupNode;
using workload::LoopNode;
using workload::Node;
using workload::NodePtr;
using workload::TaskNode;
using workload::Workload;

/// A node of a workload, for rules that are written in Python.
struct NodeHandle {
    NodePtr node;
};

std::vector<NodeHandle> children_of(const Node &node) {
    std::vector<NodeHandle> children;
    workload::for_each_child(node, [&](const NodePtr &child) { children.push_back({child}); });
    return children;
}

NodeHandle group_of(bool sequential, const std::vector<NodeHandle> &children, const Loc &at) {
    GroupNode group{sequential, {}};
    for (const NodeHandle &child : children) {
        group.children.push_back(child.node);
    }
    return {std::make_shared<const Node>(Node{std::move(group), at})};
}

/// TypeCheckError unless there are as many as the kind of node has.
NodeHandle with_children(const NodeHandle &handle, const std::vector<NodeHandle> &children) {
    const Node &node = *handle.node;
    const auto *group = std::get_if<GroupNode>(&node.kind);
    if (group != nullptr) {
        return group_of(group->sequential, children, node.at);
    }
    const size_t wanted = children_of(node).size();
    if (children.size() != wanted) {
        throw TypeCheckError(user_loc(), "with_children: a node of kind " +
                                             std::string(workload::kind_of(node)) + " has " +
                                             std::to_string(wanted) + " children, not " +
                                             std::to_string(children.size()));
    }
    size_t next = 0;
    return {std::make_shared<const Node>(
        workload::with_children(node, [&](const NodePtr &) { return children[next++].node; }))};
}

const LoopNode *loop_of(const NodeHandle &handle) {
    return std::get_if<LoopNode>(&handle.node->kind);
}

/// The workload with another tree. TypeCheckError when a task in it uses a loop variable that no
/// loop around it has.
Workload with_root(const Workload &workload, const NodeHandle &root) {
    Workload result = workload;
    result.root = root.node;
    workload::check_scopes(*root.node, user_loc());
    workload::check_nets(*root.node);
    workload::check_events(*root.node);
    return result;
}

}  // namespace

void bind_workload_rules(py::module_ &module) {
    py::class_<NodeHandle> node(module, "WorkloadNode");
    node.def_property_readonly("kind",
                               [](const NodeHandle &n) { return workload::kind_of(*n.node); })
        .def_property_readonly("children", [](const NodeHandle &n) { return children_of(*n.node); })
        .def_property_readonly("kernel",
                               [](const NodeHandle &n) -> std::optional<std::string> {
                                   const auto *task = std::get_if<TaskNode>(&n.node->kind);
                                   return task == nullptr ? std::nullopt
                                                          : std::optional(task->kernel->name);
                               })
        .def_property_readonly("variable",
                               [](const NodeHandle &n) -> std::optional<std::string> {
                                   const LoopNode *loop = loop_of(n);
                                   return loop == nullptr ? std::nullopt
                                                          : std::optional(loop->variable.id);
                               })
        .def_property_readonly("axis",
                               [](const NodeHandle &n) -> std::optional<std::string> {
                                   const LoopNode *loop = loop_of(n);
                                   return loop == nullptr
                                              ? std::nullopt
                                              : std::optional(loop->variable.axis.str());
                               })
        .def_property_readonly(
            "task_count",
            [](const NodeHandle &n) { return workload::constant_task_count(*n.node); })
        .def("with_children", &with_children, py::arg("children"))
        .def_static(
            "combine",
            [](const std::vector<NodeHandle> &children) {
                return group_of(false, children, user_loc());
            },
            py::arg("children"))
        .def_static(
            "sequential",
            [](const std::vector<NodeHandle> &children) {
                return group_of(true, children, user_loc());
            },
            py::arg("children"))
        .def("__eq__", [](const NodeHandle &a, const NodeHandle &b) { return a.node == b.node; })
        .def("__hash__",
             [](const NodeHandle &n) { return std::hash<const Node *>()(n.node.get()); })
        .def("__repr__", [](const NodeHandle &n) {
            return std::string("<WorkloadNode ") + workload::kind_of(*n.node) + ">";
        });
    const std::span<const char *const> kinds = workload::node_kinds();
    py::tuple names(kinds.size());
    for (size_t i = 0; i < kinds.size(); ++i) {
        names[i] = kinds[i];
    }
    node.attr("kinds") = names;
    py::class_<Workload, std::shared_ptr<Workload>> workload = module.attr("WorkloadIR");
    workload.def_property_readonly("root", [](const Workload &w) { return NodeHandle{w.root}; })
        .def("with_root", &with_root, py::arg("root"));
    module.def("workload_tables", &workload::workload_tables);
    module.def(
        "rewrite_workload",
        [](const Workload &w, const std::string &table) {
            Reasons reasons;
            Workload result = workload::rewrite_workload(w, table, &reasons, user_loc());
            return std::pair(std::move(result), std::move(reasons));
        },
        py::arg("workload"), py::arg("table"));
}

}  // namespace pto::wsp::python
