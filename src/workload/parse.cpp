#include "pto/wsp/workload/parse.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>

#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/workload/nets.h"
#include "workload/check_task.h"
#include "workload/declarations.h"

namespace pto::wsp::workload {

namespace {

constexpr int64_t most_marks = int64_t{1} << 30;

class Parser {
public:
    Parser(std::string_view text, const std::string &origin) : reader_(text, origin) {}

    Workload parse() {
        declared_ = parse_declarations(reader_);
        Workload workload;
        workload.data = std::move(declared_.data);
        workload.at = reader_.loc();
        reader_.expect("workload");
        workload.name = reader_.name();
        workload.root = parse_statements();
        if (const int levels = nesting(*workload.root); levels > max_nesting) {
            refuse(workload.at, too_deep());
        }
        check_nets(*workload.root);
        check_events(*workload.root);
        if (!reader_.at_end()) {
            reader_.fail("the end");
        }
        return workload;
    }

private:
    EventNode parse_event(bool records) {
        const Loc at = reader_.loc();
        EventNode node{declared(declared_.events, "event", reader_.name(), at), records, {}, {}};
        if (records && reader_.accept("after")) {
            node.after.emplace();
            for (const int64_t mark : reader_.integers()) {
                node.after->push_back(static_cast<int>(mark));
            }
        }
        if (reader_.accept("timeout")) {
            const double seconds = reader_.number();
            if (!(seconds >= 0)) {
                refuse(at, "a timeout is not >= 0");
            }
            node.timeout_s = seconds;
        }
        return node;
    }

    ChannelPtr channel() {
        const Loc at = reader_.loc();
        return declared(declared_.channels, "channel", reader_.name(), at);
    }

    std::vector<ChannelPtr> channels() {
        std::vector<ChannelPtr> result;
        do {
            result.push_back(channel());
        } while (reader_.accept(","));
        return result;
    }

    using Variables = std::vector<std::unique_ptr<LoopVar>>;

    /// A statement whose body is being read.
    struct Open {
        std::variant<LoopNode, GroupNode, CallNode, BranchNode, SendNode, ConsumeNode, NetNode,
                     NetNode::Process>
            kind;
        std::vector<NodePtr> statements;
        Loc at;
        Loc body_at;
        Variables variables;  ///< that its body sees
    };

    static std::string too_deep() { return "nested deeper than " + std::to_string(max_nesting); }

    template <class Kind> static NodePtr make(Kind kind, const Loc &at) {
        return std::make_shared<const Node>(Node{std::move(kind), at});
    }

    template <class Kind> void open(Kind kind, const Loc &at, Variables variables = {}) {
        const Loc body_at = reader_.loc();
        reader_.expect("{");
        if (open_.size() > static_cast<size_t>(max_nesting)) {
            refuse(reader_.loc(), too_deep());
        }
        for (const std::unique_ptr<LoopVar> &variable : variables) {
            path_.push_back(variable.get());
        }
        open_.push_back({std::move(kind), {}, at, body_at, std::move(variables)});
    }

    /// A body in braces, with all that is in it. What is open is on a stack of its own: a text may
    /// be nested deeper than the program's stack is.
    NodePtr parse_statements() {
        open(CallNode{}, reader_.loc());
        while (true) {
            if (!reader_.accept("}")) {
                parse_statement();
                continue;
            }
            if (open_.size() == 1) {
                return take_body();
            }
            close();
        }
    }

    /// The statements of what was opened last, as one node.
    NodePtr take_body() {
        Open &last = open_.back();
        std::vector<NodePtr> statements = std::move(last.statements);
        last.statements.clear();
        return statements.size() == 1 ? statements.front()
                                      : make(GroupNode{false, std::move(statements)}, last.body_at);
    }

    void close() {
        Open &last = open_.back();
        const Loc at = last.at;
        if (auto *branch = std::get_if<BranchNode>(&last.kind)) {
            if (continues(*branch)) {
                return;
            }
            conditions_--;
        } else if (auto *loop = std::get_if<LoopNode>(&last.kind)) {
            loop->body = take_body();
            loop->variable = std::move(*last.variables[0]);
        } else if (auto *group = std::get_if<GroupNode>(&last.kind)) {
            group->children = std::move(last.statements);
        } else if (auto *call = std::get_if<CallNode>(&last.kind)) {
            call->body = take_body();
        } else if (!std::holds_alternative<NetNode>(last.kind)) {
            close_channel(last);
        }
        path_.resize(path_.size() - last.variables.size());
        if (auto *process = std::get_if<NetNode::Process>(&last.kind)) {
            NetNode::Process made = std::move(*process);
            open_.pop_back();
            std::get<NetNode>(open_.back().kind).processes.push_back(std::move(made));
            return;
        }
        NodePtr node = std::visit(
            [&](auto &kind) -> NodePtr {
                if constexpr (std::is_same_v<std::decay_t<decltype(kind)>, NetNode::Process>) {
                    return nullptr;
                } else {
                    return make(std::move(kind), at);
                }
            },
            last.kind);
        open_.pop_back();
        open_.back().statements.push_back(std::move(node));
    }

    /// The end of a send, of a consume or of a process.
    void close_channel(Open &last) {
        NodePtr body = take_body();
        if (auto *send = std::get_if<SendNode>(&last.kind)) {
            send->number = std::move(*last.variables[0]);
            send->body = std::move(body);
            if (!is_sent_call(*send)) {
                refuse(last.at, "what is sent is one task");
            }
        } else if (auto *consume = std::get_if<ConsumeNode>(&last.kind)) {
            consume->number = std::move(*last.variables[0]);
            consume->which = std::move(*last.variables[1]);
            for (size_t i = 2; i < last.variables.size(); ++i) {
                consume->values.push_back(std::move(*last.variables[i]));
            }
            consume->body = std::move(body);
        } else {
            std::get<NetNode::Process>(last.kind).body = std::move(body);
        }
    }

    /// True when another case of the branch begins behind the body that ends here.
    bool continues(BranchNode &branch) {
        const bool is_last = branch.cases.back().body != nullptr;
        (is_last ? branch.otherwise : branch.cases.back().body) = take_body();
        if (is_last) {
            return false;
        }
        const bool another = reader_.accept("orwhen");
        if (another) {
            branch.cases.push_back({parse_expr(), nullptr});
        }
        if (!another && !reader_.accept("otherwise")) {
            return false;
        }
        open_.back().body_at = reader_.loc();
        reader_.expect("{");
        return true;
    }

    void add(NodePtr node) { open_.back().statements.push_back(std::move(node)); }

    /// A kind of statement.
    struct Statement {
        const char *word;                              ///< it begins with
        void (*parse)(Parser &parser, const Loc &at);  ///< what is behind the word
    };
    static const std::vector<Statement> statements;

    void parse_statement() {
        const Loc at = reader_.loc();
        if (std::holds_alternative<NetNode>(open_.back().kind)) {
            return parse_process(at);
        }
        for (const Statement &statement : statements) {
            if (reader_.accept(statement.word)) {
                return statement.parse(*this, at);
            }
        }
        std::vector<std::string> words;
        words.reserve(statements.size());
        for (const Statement &statement : statements) {
            words.emplace_back(statement.word);
        }
        reader_.fail(join(words) + " or }");
    }

    /// A variable that comes with a token.
    void add_token(Variables &variables, bool counter, const Loc &at, bool is_named = false) {
        std::string id = reader_.identifier();
        const auto has_id = [&](const auto &variable) { return variable->id == id; };
        if (std::ranges::any_of(path_, has_id) || std::ranges::any_of(variables, has_id)) {
            refuse(at, "a loop around has the variable " + id + " already");
        }
        std::vector<std::string> known = is_named ? names() : std::vector<std::string>{};
        variables.push_back(std::make_unique<LoopVar>(
            token_variable(std::move(id), std::move(known), counter, at)));
    }

    std::vector<std::string> names() {
        std::vector<std::string> result;
        if (reader_.accept("as")) {
            do {
                result.push_back(reader_.name());
            } while (reader_.accept(","));
        }
        return result;
    }

    void parse_process(const Loc &at) {
        NetNode::Process process;
        process.at = at;
        reader_.expect("process");
        process.name = reader_.name();
        if (reader_.accept("consumes")) {
            process.consumes = channels();
        }
        if (reader_.accept("produces")) {
            process.produces = channels();
        }
        open(std::move(process), at);
    }

    void parse_try(const Loc &at) {
        SendNode send;
        send.result = parse_slot_number(at);
        reader_.expect("send");
        parse_send(std::move(send), at);
    }

    void parse_send(SendNode send, const Loc &at) {
        send.channel = channel();
        reader_.expect("token");
        Variables variables;
        add_token(variables, false, at);
        open(std::move(send), at, std::move(variables));
    }

    void parse_consume(const Loc &at) {
        ConsumeNode consume;
        consume.channels = channels();
        reader_.expect("token");
        Variables variables;
        add_token(variables, true, at);
        reader_.expect("from");
        add_token(variables, false, at);
        while (reader_.accept("value")) {
            add_token(variables, false, at, true);
        }
        open(std::move(consume), at, std::move(variables));
    }

    int parse_slot_number(const Loc &at) {
        const int64_t slot = reader_.integer();
        if (slot < 0 || slot >= slot_words) {
            refuse(at, "slot " + std::to_string(slot) + " is not in 0..." +
                           std::to_string(slot_words - 1));
        }
        return static_cast<int>(slot);
    }

    /// An expression over the variables around.
    ScalarExpr parse_expr() {
        const Loc at = reader_.loc();
        ScalarExpr expr = ScalarExpr::parse(reader_);
        for (const std::string &name : expr.variables()) {
            if (std::ranges::find(path_, name, &LoopVar::id) == path_.end()) {
                refuse(at, shown(expr) + " uses " + name + ", which is no variable around it");
            }
        }
        return expr;
    }

    SlotNode parse_slot(const Loc &at) {
        const int slot = parse_slot_number(at);
        reader_.expect("=");
        if (reader_.accept("element")) {
            return check_slot_load(slot, parse_region(), path_, conditions_ > 0, at);
        }
        return {slot, parse_expr(), {}};
    }

    void parse_when(const Loc &at) {
        conditions_++;
        open(BranchNode{{{parse_expr(), nullptr}}, nullptr}, at);
    }

    /// `(2)` of a pipe.
    int64_t depth(const Loc &at) {
        reader_.expect("(");
        const int64_t depth = reader_.integer();
        reader_.expect(")");
        if (depth < 1) {
            refuse(at, "the depth of a pipe is " + std::to_string(depth) + ", must be >= 1");
        }
        return depth;
    }

    void parse_let(const Loc &at) {
        std::unique_ptr<LoopVar> variable = new_variable(at);
        reader_.expect("=");
        variable->axis.size = 1;
        variable->value = parse_expr();
        open_loop({}, std::move(variable), at);
    }

    void parse_loop(LoopNode loop, const Loc &at) {
        std::unique_ptr<LoopVar> variable = new_variable(at);
        parse_axis(variable->axis, at);
        open_loop(std::move(loop), std::move(variable), at);
    }

    std::unique_ptr<LoopVar> new_variable(const Loc &at) {
        auto variable = std::make_unique<LoopVar>();
        variable->at = at;
        variable->axis.at = at;
        variable->id = reader_.identifier();
        if (std::ranges::find(path_, variable->id, &LoopVar::id) != path_.end()) {
            refuse(at, "a loop around has the variable " + variable->id + " already");
        }
        return variable;
    }

    void open_loop(LoopNode loop, std::unique_ptr<LoopVar> variable, const Loc &at) {
        variable->hidden = reader_.accept("hidden");
        variable->names = names();
        Variables variables;
        variables.push_back(std::move(variable));
        open(std::move(loop), at, std::move(variables));
    }

    void parse_axis(Axis &axis, const Loc &at) {
        reader_.expect("in");
        if (reader_.peek(1).text == ":") {
            axis.name = reader_.name();
            reader_.expect(":");
        }
        const std::optional<Axis::Kind> kind = parse_axis_kind(reader_.peek().text);
        if (!kind) {
            reader_.fail("Dense, DenseDyn, Ragged or Sparse");
        }
        reader_.next();
        axis.kind = *kind;
        reader_.expect("[");
        axis.size = parse_expr();
        reader_.expect("]");
        if (axis.size.op() == ScalarExpr::Op::Const && axis.size.value() < 0) {
            refuse(at, "axis size is " + axis.size.str() + ", must be >= 0");
        }
    }

    TaskNode parse_task(const Loc &at) {
        const std::string name = reader_.name();
        const KernelPtr &kernel = declared(declared_.kernels, "kernel", name, at);
        std::vector<ScalarExpr> axes;
        if (reader_.accept("[")) {
            reader_.list("]", [&] { axes.push_back(ScalarExpr::parse(reader_)); });
        }
        std::vector<Argument> arguments;
        reader_.expect("(");
        reader_.list(")", [&] {
            const size_t number = arguments.size();
            if (number >= kernel->params.size()) {
                refuse(at, "kernel " + name + " takes " + std::to_string(kernel->params.size()) +
                               " arguments, here are more");
            }
            arguments.push_back(parse_argument(kernel->params[number]));
        });
        TaskNode task = check_task(kernel, std::move(axes), arguments, path_, conditions_ > 0, at);
        if (reader_.accept("mark")) {
            const int64_t mark = reader_.integer();
            if (mark < 0 || mark > most_marks || !marks_.insert(mark).second) {
                refuse(at, "mark " + std::to_string(mark) + " is none, or that of another task");
            }
            task.mark = static_cast<int>(mark);
        }
        return task;
    }

    Argument parse_argument(const kernel::Param &param) {
        Argument argument;
        argument.at = reader_.loc();
        if (param.kind == kernel::Param::Kind::Tile) {
            reader_.expect(kernel::name(param.direction));
            argument.value = parse_region();
            return argument;
        }
        const Token &token = reader_.peek();
        const bool number = token.kind == Token::Kind::Float ||
                            token.kind == Token::Kind::Integer || token.text == "-";
        uint64_t large = 0;
        const char *end = token.text.data() + token.text.size();
        if (is_float(param.type.dtype) && number) {
            argument.value = reader_.number();
        } else if (param.type.dtype == DType::U64 && token.kind == Token::Kind::Integer &&
                   std::from_chars(token.text.data(), end, large).ec == std::errc() &&
                   large > INT64_MAX) {
            reader_.number();
            argument.value = large;
        } else {
            argument.value = ScalarExpr::parse(reader_);
        }
        return argument;
    }

    Region parse_region() {
        const Loc at = reader_.loc();
        Region region;
        region.at = at;
        region.tensor = declared(declared_.tensors, "tensor", reader_.name(), at);
        reader_.expect("[");
        reader_.list("]", [&] {
            const Affine begin = Affine::parse(reader_);
            int64_t extent = 1;
            if (reader_.accept(":")) {
                const auto length = (Affine::parse(reader_) - begin).as_constant();
                if (!length || *length < 0) {
                    refuse(at, "the length of a range is not a constant >= 0");
                }
                extent = *length;
                region.keep.push_back(static_cast<int>(region.offsets.size()));
            }
            region.offsets.push_back(begin);
            region.extents.push_back(extent);
        });
        if (region.offsets.size() != region.tensor->view.shape.size()) {
            refuse(at, region.tensor->name + " has " +
                           std::to_string(region.tensor->view.shape.size()) +
                           " dimensions, here are " + std::to_string(region.offsets.size()));
        }
        parse_valid(region);
        return region;
    }

    void parse_valid(Region &region) {
        if (!reader_.accept("valid")) {
            return;
        }
        reader_.expect("(");
        if (reader_.accept("rows")) {
            reader_.expect("=");
            region.valid_rows = ScalarExpr::parse(reader_);
        }
        if ((!region.valid_rows || reader_.accept(",")) && reader_.accept("columns")) {
            reader_.expect("=");
            region.valid_columns = ScalarExpr::parse(reader_);
        }
        reader_.expect(")");
    }

    TextReader reader_;
    Declarations declared_;
    std::set<int64_t> marks_;
    LoopPath path_;
    std::vector<Open> open_;  ///< the first is the body of the workload
    int conditions_ = 0;      ///< branches around
};

const std::vector<Parser::Statement> Parser::statements = {
    {"task", [](Parser &p, const Loc &at) { p.add(make(p.parse_task(at), at)); }},
    {"parallel", [](Parser &p, const Loc &at) { p.parse_loop({}, at); }},
    {"seq",
     [](Parser &p, const Loc &at) {
         p.parse_loop({true, {}, {}, 0}, at);
     }},
    {"pipe",
     [](Parser &p, const Loc &at) {
         p.parse_loop({false, {}, {}, p.depth(at)}, at);
     }},
    {"let", [](Parser &p, const Loc &at) { p.parse_let(at); }},
    {"when", [](Parser &p, const Loc &at) { p.parse_when(at); }},
    {"slot", [](Parser &p, const Loc &at) { p.add(make(p.parse_slot(at), at)); }},
    {"combine",
     [](Parser &p, const Loc &at) {
         p.open(GroupNode{false, {}}, at);
     }},
    {"sequential",
     [](Parser &p, const Loc &at) {
         p.open(GroupNode{true, {}}, at);
     }},
    {"call",
     [](Parser &p, const Loc &at) {
         p.open(CallNode{p.reader_.name(), nullptr}, at);
     }},
    {"net", [](Parser &p, const Loc &at) { p.open(NetNode{}, at); }},
    {"send", [](Parser &p, const Loc &at) { p.parse_send({}, at); }},
    {"try", [](Parser &p, const Loc &at) { p.parse_try(at); }},
    {"consume", [](Parser &p, const Loc &at) { p.parse_consume(at); }},
    {"close", [](Parser &p, const Loc &at) { p.add(make(CloseNode{p.channel()}, at)); }},
    {"record", [](Parser &p, const Loc &at) { p.add(make(p.parse_event(true), at)); }},
    {"synchronize", [](Parser &p, const Loc &at) { p.add(make(p.parse_event(false), at)); }},
};

}  // namespace

Workload parse_workload(std::string_view text, const std::string &origin) {
    return Parser(text, origin).parse();
}

}  // namespace pto::wsp::workload
