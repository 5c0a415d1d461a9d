#include "pto/wsp/workload/builder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>

#include "pto/wsp/workload/names.h"
#include "workload/check_task.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

namespace {

constexpr std::array<const char *, 10> creation_letters = {"b", "h", "s", "d", "i",
                                                           "j", "k", "l", "m", "n"};

/// `name` with every character that an identifier cannot have replaced.
std::string identifier_of(const std::string &name) {
    std::string result;
    for (const char c : name) {
        const bool fits = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
        result += fits ? c : '_';
    }
    const bool starts = !result.empty() && std::isdigit(static_cast<unsigned char>(result[0])) == 0;
    return starts ? result : "_" + result;
}

/// A node with the ids of its loop variables replaced.
class Renamer {
public:
    explicit Renamer(std::function<std::string(const std::string &)> fresh)
        : fresh_(std::move(fresh)) {}

    NodePtr rename(const NodePtr &node) {
        auto kind = std::visit(
            Overloaded{
                [&](const TaskNode &task) -> decltype(Node::kind) { return rename_task(task); },
                [&](const LoopNode &loop) -> decltype(Node::kind) { return rename_loop(loop); },
                [&](GroupNode group) -> decltype(Node::kind) {
                    for (NodePtr &child : group.children) {
                        child = rename(child);
                    }
                    return group;
                },
                [&](CallNode call) -> decltype(Node::kind) {
                    call.body = rename(call.body);
                    return call;
                },
            },
            node->kind);
        return std::make_shared<const Node>(Node{std::move(kind), node->at});
    }

private:
    LoopNode rename_loop(LoopNode loop) {
        const std::string old = loop.variable.id;
        const auto affine = affine_;
        const auto scalar = scalar_;
        loop.variable.id = fresh_(old);
        affine_.insert_or_assign(old, Affine::variable(loop.variable.id));
        scalar_.insert_or_assign(old, ScalarExpr::variable(loop.variable.id));
        loop.body = rename(loop.body);
        affine_ = affine;
        scalar_ = scalar;
        return loop;
    }

    TaskNode rename_task(TaskNode task) const {
        for (ScalarExpr &axis : task.axes) {
            axis = axis.substitute(scalar_);
        }
        for (TaskArgument &argument : task.arguments) {
            if (auto *expr = std::get_if<ScalarExpr>(&argument.value)) {
                *expr = expr->substitute(scalar_);
            } else if (auto *region = std::get_if<Region>(&argument.value)) {
                rename_region(*region);
            }
        }
        return task;
    }

    void rename_region(Region &region) const {
        for (Affine &offset : region.offsets) {
            offset = offset.substitute(affine_);
        }
        for (Region::Bound &bound : region.bounds) {
            bound.offset = bound.offset.substitute(affine_);
        }
        for (auto *valid : {&region.valid_rows, &region.valid_columns}) {
            if (*valid) {
                *valid = (*valid)->substitute(scalar_);
            }
        }
    }

    std::function<std::string(const std::string &)> fresh_;
    std::map<std::string, Affine> affine_;
    std::map<std::string, ScalarExpr> scalar_;
};

}  // namespace

struct Builder::Impl {
    /// Something that is open: the kind of node it becomes, without its body.
    struct Frame {
        std::variant<LoopNode, GroupNode, CallNode> kind;
        std::vector<NodePtr> statements;
        std::string letter;  ///< of a loop
        Loc at;
    };

    std::string name;
    Loc at;
    OnError on_error = OnError::Throw;
    std::vector<Frame> frames;  ///< the first is the body of the workload
    std::set<std::string> ids;
    size_t loops = 0;
    std::vector<TypeCheckError> errors;

    std::string fresh_id(const std::string &base) {
        std::string id = base;
        for (int n = 1; !ids.insert(id).second; ++n) {
            id = base + "." + std::to_string(n);
        }
        return id;
    }

    std::vector<LoopVar *> open_loops() {
        std::vector<LoopVar *> result;
        for (Frame &frame : frames) {
            if (auto *loop = std::get_if<LoopNode>(&frame.kind)) {
                result.push_back(&loop->variable);
            }
        }
        return result;
    }

    /// Adds a name that the user did not give, unless an open loop already has it.
    void add_name(LoopVar &variable, const std::string &name) {
        const std::vector<LoopVar *> path = open_loops();
        const bool taken = std::ranges::any_of(path, [&](const LoopVar *other) {
            return std::ranges::find(other->names, name) != other->names.end() ||
                   (other != &variable && other->id == name);
        });
        if (!taken) {
            variable.names.push_back(name);
        }
    }

    void add(NodePtr node) { frames.back().statements.push_back(std::move(node)); }
};

namespace {

/// The statements of a body as one node.
NodePtr body_of(std::vector<NodePtr> statements, const Loc &at) {
    if (statements.size() == 1) {
        return statements.front();
    }
    return std::make_shared<const Node>(Node{GroupNode{false, std::move(statements)}, at});
}

}  // namespace

Builder::Builder(std::string name, Loc at, OnError on_error) : impl_(std::make_unique<Impl>()) {
    impl_->name = std::move(name);
    impl_->at = at;
    impl_->on_error = on_error;
    impl_->frames.push_back({GroupNode{}, {}, "", std::move(at)});
}

Builder::~Builder() = default;
Builder::Builder(Builder &&) noexcept = default;
Builder &Builder::operator=(Builder &&) noexcept = default;

std::string Builder::open_loop(bool sequential, Axis axis, std::vector<std::string> names, Loc at) {
    if (axis.size < 0) {
        throw CompileError(at, "axis size is " + std::to_string(axis.size) + ", must be >= 0",
                           {{axis.at, "the axis is made here"}});
    }
    LoopNode loop;
    loop.sequential = sequential;
    for (std::string &name : names) {
        if (!name.empty() &&
            std::ranges::find(loop.variable.names, name) == loop.variable.names.end()) {
            loop.variable.names.push_back(std::move(name));
        }
    }
    const size_t number = impl_->loops++;
    const std::string letter =
        number < creation_letters.size() ? creation_letters[number] : std::string();
    std::string base = letter.empty() ? "axis" : letter;
    if (!loop.variable.names.empty()) {
        base = identifier_of(loop.variable.names.front());
    }
    loop.variable.id = impl_->fresh_id(base);
    loop.variable.axis = std::move(axis);
    loop.variable.at = at;
    std::string id = loop.variable.id;
    impl_->frames.push_back({std::move(loop), {}, letter, std::move(at)});
    return id;
}

void Builder::open_group(bool sequential, Loc at) {
    impl_->frames.push_back({GroupNode{sequential, {}}, {}, "", std::move(at)});
}

void Builder::open_call(std::string name, Loc at) {
    impl_->frames.push_back({CallNode{std::move(name), nullptr}, {}, "", std::move(at)});
}

void Builder::close(Loc at) {
    if (impl_->frames.size() <= 1) {
        throw CompileError(at, "workload " + impl_->name + ": nothing is open");
    }
    Impl::Frame &frame = impl_->frames.back();
    if (auto *loop = std::get_if<LoopNode>(&frame.kind); loop != nullptr && !frame.letter.empty()) {
        impl_->add_name(loop->variable, frame.letter);
    }
    auto kind = std::visit(Overloaded{
                               [&](LoopNode &loop) -> decltype(Node::kind) {
                                   loop.body = body_of(std::move(frame.statements), frame.at);
                                   return std::move(loop);
                               },
                               [&](GroupNode &group) -> decltype(Node::kind) {
                                   group.children = std::move(frame.statements);
                                   return std::move(group);
                               },
                               [&](CallNode &call) -> decltype(Node::kind) {
                                   call.body = body_of(std::move(frame.statements), frame.at);
                                   return std::move(call);
                               },
                           },
                           frame.kind);
    auto node = std::make_shared<const Node>(Node{std::move(kind), frame.at});
    impl_->frames.pop_back();
    impl_->add(std::move(node));
}

int Builder::depth() const {
    return static_cast<int>(impl_->frames.size()) - 1;
}

void Builder::include(const Workload &workload, Loc at) {
    Renamer renamer([&](const std::string &id) { return impl_->fresh_id(id); });
    impl_->add(std::make_shared<const Node>(
        Node{CallNode{workload.name, renamer.rename(workload.root)}, std::move(at)}));
    impl_->errors.insert(impl_->errors.end(), workload.type_errors.begin(),
                         workload.type_errors.end());
}

void Builder::task(KernelPtr kernel, std::vector<ScalarExpr> axes, std::vector<Argument> arguments,
                   Loc at) {
    const std::vector<LoopVar *> path = impl_->open_loops();
    try {
        TaskNode task =
            check_task(kernel, std::move(axes), arguments, LoopPath(path.begin(), path.end()), at);
        if (!task.axes.empty() && task.axes.back().op() == ScalarExpr::Op::Var) {
            const auto variable = std::ranges::find(path, task.axes.back().name(), &LoopVar::id);
            impl_->add_name(**variable, kernel->name);
        }
        impl_->add(std::make_shared<const Node>(Node{std::move(task), std::move(at)}));
    } catch (const TypeCheckError &error) {
        if (impl_->on_error == OnError::Throw) {
            throw;
        }
        impl_->errors.push_back(error);
    }
}

Workload Builder::finish() {
    if (impl_->frames.size() != 1) {
        throw CompileError(impl_->frames.back().at, "workload " + impl_->name + ": " +
                                                        std::to_string(depth()) +
                                                        " loops or groups are still open");
    }
    Workload workload;
    workload.name = impl_->name;
    workload.at = impl_->at;
    workload.root = body_of(std::move(impl_->frames.front().statements), impl_->at);
    workload.type_errors = std::move(impl_->errors);
    *this = Builder("");
    return workload;
}

}  // namespace pto::wsp::workload
