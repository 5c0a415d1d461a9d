#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pto/wsp/core/affine.h"
#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/workload/channel.h"
#include "pto/wsp/workload/event.h"

namespace pto::wsp::workload {

/// What a kernel is to a workload: a name, its parameters and, unless it is only declared, its
/// tile program. Two kernels of one name are two objects.
struct Kernel {
    std::string name;
    std::vector<kernel::Param> params;
    std::shared_ptr<const kernel::TileProgram> program;  ///< null: a declaration
    Loc at;
};
using KernelPtr = std::shared_ptr<const Kernel>;

/// An iteration space. What it is made of is in `size`, an expression over loop variables around
/// it, symbols, tables and slots; a negative size counts as 0. The kind is for types and texts.
struct Axis {
    enum class Kind { Dense, DenseDyn, Ragged, Sparse };
    Kind kind = Kind::Dense;
    ScalarExpr size = 0;
    std::string name;  ///< of the variable that holds it, for types and texts; may be empty
    Loc at;

    /// The size when it is the same in every run, at least 0.
    std::optional<int64_t> constant() const;
    std::string type_str() const;  ///< `Dense[8]`, `DenseDyn`
    std::string str() const;       ///< `Dense[8]`, `DenseDyn[symbol(n)]`
};
/// `Dense`, `DenseDyn`, `Ragged`, `Sparse`.
const char *name(Axis::Kind kind);
std::optional<Axis::Kind> parse_axis_kind(std::string_view text);

/// A loop variable. `id` is unique in the workload and is what Affine and ScalarExpr name (`b`,
/// `b.1`); `names` are all the names a user may say, in API.md 4's precedence.
///
/// A variable with a `value` is no counter: its axis has size 1, and it stands for that expression
/// over variables around it, evaluated where its body begins.
struct LoopVar {
    std::string id;
    std::vector<std::string> names;
    Axis axis;
    Loc at;
    std::optional<ScalarExpr> value;
    bool hidden = false;  ///< counts for a variable with a value; no name of its own
    /// Comes with a token of a channel: known when one is sent or taken, and any integer until
    /// then. Its size (of a counter) or value is the variable itself.
    bool token = false;
};
/// A variable that comes with a token; a `counter` takes other values in each iteration of its
/// `consume`, any other has one value there.
LoopVar token_variable(std::string id, std::vector<std::string> names, bool counter,
                       Loc at = Loc::here());

/// A tensor that tasks touch. Its data may be rebound between runs; shape, dtype and strides stay.
struct Tensor {
    std::string name;
    TensorView view;
    Loc at;
    /// What tokens carry: has no memory here, a program gives it some of its own.
    bool own = false;
};
using TensorPtr = std::shared_ptr<const Tensor>;

/// A rectangular affine region of a tensor: per dimension of the tensor an offset (affine in loop
/// variables) and an extent. `keep` are the dimensions that remain in the view (the others have
/// extent 1). A task's tile argument has its trailing two kept dimensions as rows and columns
/// (one kept dimension: a single row); leading kept dimensions must have extent 1.
struct Region {
    TensorPtr tensor;
    std::vector<Affine> offsets;
    std::vector<int64_t> extents;
    std::vector<int> keep;
    /// `valid(rows=, columns=)`: the tile is partial; null means the whole extent.
    std::optional<ScalarExpr> valid_rows;
    std::optional<ScalarExpr> valid_columns;
    Loc at;

    /// A view that was taken of a smaller view: [offset, offset + extent) of `size` places.
    /// Checked when a task takes the region; not part of its text.
    struct Bound {
        int dim = 0;
        Affine offset;
        int64_t extent = 1;
        int64_t size = 0;
    };
    std::vector<Bound> bounds;

    /// Extents of the kept dimensions.
    Shape shape() const;
    std::string str() const;  ///< `Q[b, h, 0:512, 0:64]`
};

/// The whole of `tensor`; the start of `index` and `slice`.
Region whole(TensorPtr tensor, Loc at = Loc::here());
/// `region[i]`: the first kept dimension fixed. A negative integer counts from the end, as in
/// NumPy. TypeCheckError when no dimension is left.
Region index(const Region &region, const Affine &i, Loc at = Loc::here());
/// `region.slice(begin, end)`: [begin, end) of the first kept dimension. TypeCheckError unless
/// `end - begin` is a constant >= 0.
Region slice(const Region &region, const Affine &begin, const Affine &end, Loc at = Loc::here());
/// `region.valid(rows, columns)`: only that many rows and columns are read or written; of a partial
/// region, those that both leave. `index` and `slice` of a dimension with a limit are
/// TypeCheckErrors.
Region valid(const Region &region, std::optional<ScalarExpr> rows,
             std::optional<ScalarExpr> columns, Loc at = Loc::here());

/// One argument of a task. A float parameter that is given an integer expression converts its
/// value.
struct TaskArgument {
    kernel::Direction direction = kernel::Direction::In;
    std::variant<Region, ScalarExpr, double, uint64_t>
        value;  ///< tile, integer scalar, float scalar, integer past int64
};

struct Node;
/// An immutable node, shared by the workloads that contain it.
using NodePtr = std::shared_ptr<const Node>;

/// low <= value <= high, which could not be proven: looked at where a task is made, which does not
/// run and ends the run with an error when it does not hold. Made by the checker, not printed.
struct RunTimeCheck {
    ScalarExpr value = 0;
    int64_t low = 0;
    int64_t high = 0;
    std::string text;  ///< what has the value: `k: x = X[b, 0:4]: dimension 0 of X: the start`
    Loc at;
};

/// One call of a kernel.
struct TaskNode {
    KernelPtr kernel;
    std::vector<ScalarExpr> axes;  ///< of `kernel[axes](...)`
    std::vector<TaskArgument> arguments;
    std::vector<RunTimeCheck> checks;
    int mark = -1;  ///< by which records of events know it; no two calls have the same
};
/// `P(...)` (parallel), `P.seq(...)` or `P.pipe(...)`: one loop variable each; `P(a, b)` nests two.
struct LoopNode {
    bool sequential = false;
    LoopVar variable;
    NodePtr body;
    int64_t depth = 0;  ///< of `P.pipe`: at most that many iterations run at a time; 0: any number
};
/// `P.when(...)` and `P.otherwise()`: the body of the first predicate that is not 0.
struct BranchNode {
    struct Case {
        ScalarExpr predicate = 0;
        NodePtr body;
    };
    std::vector<Case> cases;
    NodePtr otherwise;  ///< null: nothing
};
/// `slot_set_u64` and `slot_load_u64`: leaves an integer for what follows in program order. An
/// element is read after the tasks before that write it.
struct SlotNode {
    int slot = 0;
    std::variant<ScalarExpr, Region> value;  ///< a region of one element of an integer tensor
    std::vector<RunTimeCheck> checks;
};
/// `combine(...)` or a body of several statements (unordered but for data), `sequential(...)`.
struct GroupNode {
    bool sequential = false;
    std::vector<NodePtr> children;
};
/// A nested workload call: keeps its name for printing; means its body.
struct CallNode {
    std::string name;
    NodePtr body;
};
/// `send(channel, task)`: once there is room, submits the task and puts a token into the channel.
/// The token is the subscripts of the task (its number, where there are none).
struct SendNode {
    ChannelPtr channel;
    LoopVar number;   ///< of the token: 0, 1, ... in the channel
    NodePtr body;     ///< one task, inside the variables with a value that it needs
    int result = -1;  ///< of `try_send`: the slot that becomes 1, or 0 where nothing is sent
};
/// `consume(channels)`: a sequential loop over the tokens of some channels until all are closed.
struct ConsumeNode {
    std::vector<ChannelPtr> channels;
    LoopVar number;               ///< of the token in its channel
    LoopVar which;                ///< from which of the channels it comes
    std::vector<LoopVar> values;  ///< that it has, as far as they are used
    NodePtr body;
};
/// `channel.close()`: nothing more is sent.
struct CloseNode {
    ChannelPtr channel;
};
/// `record(event)` and `synchronize(event)`. A record of a latched event holds up nothing that
/// follows: it comes when the tasks before it in program order (in its process) have ended. What
/// follows a synchronize, or a record of a rendezvous, in its process waits for the other side.
struct EventNode {
    EventPtr event;
    bool records = false;
    std::optional<std::vector<int>> after;  ///< only tasks with these marks, of all before
    std::optional<double> timeout_s;        ///< the run fails when it has passed; none: waits

    /// Whether the process waits there.
    bool waits() const { return !records || event->depth == 0; }
};
/// Sequential threads of control that run together and end together. Between them, order comes from
/// tokens: what is done in the body of a `consume` comes after the task that was sent, and a token
/// is stored until then.
struct NetNode {
    struct Process {
        std::string name;
        std::vector<ChannelPtr> consumes;
        std::vector<ChannelPtr> produces;
        NodePtr body;
        Loc at;
    };
    std::vector<Process> processes;
};

/// One node of the tree, with the line that made it.
struct Node {
    std::variant<TaskNode, LoopNode, GroupNode, CallNode, BranchNode, SlotNode, SendNode,
                 ConsumeNode, CloseNode, NetNode, EventNode>
        kind;
    Loc at;
};

/// A workload has no more nodes within each other: what walks over the tree may recurse.
inline constexpr int max_nesting = 2500;
/// Nodes within each other, 1 of a task.
int nesting(const Node &root);

/// The variables that what is in the node sees, outermost first: one of a loop, those of a token.
std::vector<const LoopVar *> variables_in(const Node &node);
std::vector<LoopVar *> variables_in(Node &node);
/// Whether the body is one task, inside variables with a value.
bool is_sent_call(const SendNode &send);
/// The task that is sent.
const TaskNode &sent_task(const SendNode &send);
/// What the token carries: subscripts of the task, or its own number.
std::vector<ScalarExpr> token_values(const SendNode &send);

/// Calls `visit` for each child in program order, those of all cases of a branch.
void for_each_child(const Node &node, const std::function<void(const NodePtr &)> &visit);
/// The body that runs where `value` gives the values of predicates; null: none does.
const Node *taken_body(const BranchNode &branch,
                       const std::function<int64_t(const ScalarExpr &)> &value);
/// The same node with `change(child)` in place of each child.
Node with_children(const Node &node, const std::function<NodePtr(const NodePtr &)> &change);
/// Calls `visit` for each expression of the node itself: sizes, values, predicates, subscripts,
/// arguments, `valid` sizes, checks; not of variables that come with tokens. It may be replaced.
void for_each_expression(Node &node, const std::function<void(ScalarExpr &)> &visit);

/// A task as `enumerate` gives it.
struct Task {
    int64_t id = 0;
    const TaskNode *node = nullptr;
    /// Enclosing loops, outermost first, with the values of their variables.
    std::vector<std::pair<const LoopVar *, int64_t>> indices;
    std::vector<int64_t> params;  ///< values of the kernel's subscripts

    /// The value of the loop variable with that name (see `find_variable` in names.h);
    /// ScheduleError listing the known names otherwise.
    int64_t get(const std::string &axis, const Loc &at) const;
};

/// Number of tasks below `node`, where it is the same in every run; CompileError past 2^63.
std::optional<int64_t> constant_task_count(const Node &node);

/// An immutable task-graph expression.
struct Workload {
    std::string name;
    NodePtr root;
    Loc at;
    /// Found by a builder that collects errors; the calls they are about are not in the tree, and
    /// the workload cannot be compiled.
    std::vector<TypeCheckError> type_errors;
    /// Values of symbols and tables as far as they are known; a run may be given others.
    RunData data;

    /// `Workload[Dense[4] × Dense[8], attn, Independent]`
    std::string type_str() const;
    /// `parallel`, `seq`, `pipe`, `sel`, `task`, `combine`, `sequential`, `when`, `slot`, `net`,
    /// `send`, `consume`, `close`, `record`, `synchronize`.
    std::string kind() const;
    /// Text that `parse_workload` reads back to the same text. Stands alone: tensors (shape,
    /// strides, memory that they share) and kernels (parameters) are declared in it.
    std::string str() const;
    /// The text without the values of symbols and tables, which no code depends on.
    std::string code_text() const;
    /// Number of tasks with the data that it has. CompileError past 2^63, without a symbol's value,
    /// and when slots decide.
    int64_t task_count() const;
    /// Calls `visit` for each task in program order until it returns false. Never holds more than
    /// one task. Processes of a net take turns, each until it waits; ChannelError where all wait,
    /// CompileError for `try_send`, which depends on time.
    void enumerate(const std::function<bool(const Task &)> &visit) const;
    std::set<std::string> symbols() const;  ///< names of those that it uses
    std::set<std::string> tables() const;   ///< names of those that it uses
    bool uses_slots() const;
    bool has_channels() const;                 ///< sends or consumes something
    std::vector<ChannelPtr> channels() const;  ///< in order of first use
    std::vector<EventPtr> events() const;      ///< in order of first use
    std::vector<TensorPtr> tensors() const;    ///< in order of first use
    std::vector<KernelPtr> kernels() const;
};

}  // namespace pto::wsp::workload
