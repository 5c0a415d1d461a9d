#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/names.h"

namespace pto::wsp::workload {

/// What a Builder has open, and what it has built and named so far.
struct Builder::Impl {
    /// Something that is open: the kind of node it becomes, without its body.
    struct Frame {
        std::variant<LoopNode, GroupNode, CallNode, BranchNode, SendNode, ConsumeNode, NetNode>
            kind;
        std::vector<NodePtr> statements;
        std::string letter;  ///< of a loop
        Loc at;
        bool with_outer = false;  ///< closes what it is in, too
        bool is_scope = false;    ///< of `P.pipe()`
    };

    std::string name;
    Loc at;
    OnError on_error = OnError::Throw;
    std::vector<Frame> frames;  ///< the first is the body of the workload
    std::set<std::string> ids;
    std::map<std::string, int64_t> numbers;  ///< last one given to a name
    size_t loops = 0;
    std::vector<TypeCheckError> errors;
    std::vector<std::unique_ptr<LoopVar>> defined;  ///< variables that tasks may use anywhere
    std::set<int> filled;                           ///< slots
    std::map<int, Loc> tried;                       ///< slots that hold the results of tries
    int tasks = 0;
    RunData data;

    void add(NodePtr node) { frames.back().statements.push_back(std::move(node)); }
    /// Adds a statement inside the definitions that it needs.
    void add_with(const std::vector<const LoopVar *> &definitions, NodePtr node);
    /// A net behind another one, of explicit processes, becomes part of it.
    void add_net(NetNode net, const Loc &at);

    template <class Kind> void open(Kind kind, const Loc &at, std::string letter = "") {
        check_nesting(frames.size(), at);
        frames.push_back({std::move(kind), {}, std::move(letter), at});
    }
    std::string open(LoopNode loop, std::vector<std::string> names, Loc at);
    /// A loop that counts for the variable that `open_value` opens next.
    std::string open_counter(const Order &order, Axis axis, const std::string &name, Loc at);
    /// A variable with a value, which closes together with what it is in.
    std::string open_value(ScalarExpr value, std::vector<std::string> names, Loc at);

    std::vector<LoopVar *> open_loops();
    /// The `consume` that is open with this token. CompileError when there is none.
    ConsumeNode &consume(const std::string &token, const Loc &at);
    /// True inside of a branch.
    bool is_conditional() const;
    /// Loops around and the definitions that a statement needs.
    LoopPath path_with(const std::vector<const LoopVar *> &definitions);

    /// `wanted`, or its name with the next number that is free.
    std::string fresh_id(const std::string &wanted);
    /// Adds a name that the user did not give, unless an open loop already has it.
    void add_name(LoopVar &variable, const std::string &name);
    /// The variable with that value, made when there is none.
    Affine value_variable(const ScalarExpr &expr, const Loc &at);
    /// The defined variables that `used` leads to, in the order of their definitions.
    std::vector<const LoopVar *> definitions_of(std::set<std::string> used) const;

    /// A slot that nothing in the workload fills, for the result of a try.
    int free_slot(const Loc &at);
    /// Notes that `what` fills the slot. CompileError when it holds the result of a try.
    void fill(int slot, const std::string &what, const Loc &at);
    SendNode new_send(const ChannelPtr &channel, Sending how, const Loc &at);

    /// CompileError when `expr` uses a variable of no loop around.
    void check_scope(const ScalarExpr &expr, const std::string &what, const Loc &at);
    void check_nesting(size_t levels, const Loc &at) const;
    void check_axis(const Axis &axis, const Order &order, const Loc &at);
    /// CompileError in a loop, branch or process, where no net can stand.
    void refuse_net(const std::string &what, const Loc &at) const;
};

/// `statement`, which a `send` sends. CompileError when it is not one kernel call.
NodePtr sent_call(NodePtr statement, const Loc &at);

/// The variables that the offsets and sizes of `region` use, added to `names`.
void add_variables(std::set<std::string> &names, const Region &region);

/// A name made of `name`: every character that an identifier cannot have replaced.
std::string identifier_of(const std::string &name);

/// The statements of a body as one node.
NodePtr body_of(std::vector<NodePtr> statements, const Loc &at);

}  // namespace pto::wsp::workload
