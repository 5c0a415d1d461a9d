#include "pto/wsp/workload/parse.h"

#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>

#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/nets.h"
#include "workload/check_task.h"

namespace pto::wsp::workload {

namespace {

/// Bytes from a tensor's memory to that of another placed at it, and to either's ends.
constexpr int64_t longest_table = int64_t{1} << 30;
constexpr int64_t most_marks = int64_t{1} << 30;
constexpr int64_t farthest_place = int64_t{1} << 40;

/// `at <tensor> + <bytes>` of a tensor.
struct Placement {
    size_t tensor = 0;
    size_t base = 0;
    int64_t bytes = 0;
};

class Parser {
public:
    Parser(std::string_view text, const std::string &origin) : reader_(text, origin) {}

    Workload parse() {
        while (reader_.peek().text == "tensor") {
            parse_tensor();
        }
        place_tensors();
        while (reader_.peek().text == "kernel") {
            parse_kernel();
        }
        while (reader_.peek().text == "channel") {
            parse_channel();
        }
        while (reader_.peek().text == "event") {
            parse_event();
        }
        Workload workload;
        parse_data(workload.data);
        workload.at = reader_.loc();
        reader_.expect("workload");
        workload.name = any_name();
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
    std::string any_name() {
        return reader_.peek().kind == Token::Kind::String ? reader_.string() : reader_.identifier();
    }

    template <class Parse> void list(std::string_view close, Parse parse) {
        if (reader_.accept(close)) {
            return;
        }
        do {
            parse();
        } while (reader_.accept(","));
        reader_.expect(close);
    }

    Shape integers() {
        Shape result;
        reader_.expect("[");
        list("]", [&] { result.push_back(reader_.integer()); });
        return result;
    }

    [[noreturn]] static void refuse(const Loc &at, const std::string &text) {
        throw IRConversionError(at, text);
    }

    void parse_tensor() {
        const Loc at = reader_.loc();
        reader_.expect("tensor");
        Tensor tensor;
        tensor.at = at;
        tensor.name = any_name();
        reader_.expect(":");
        tensor.view.dtype = parse_dtype(reader_.identifier(), at);
        tensor.view.shape = integers();
        if (std::ranges::any_of(tensor.view.shape, [](int64_t size) { return size < 0; })) {
            refuse(at, "tensor " + tensor.name + " has the negative shape " +
                           shape_text(tensor.view.shape));
        }
        tensor.own = reader_.accept("own");
        tensor.view.strides = contiguous_strides(tensor.view.shape);
        if (reader_.accept("strides")) {
            tensor.view.strides = integers();
        }
        if (tensor.view.strides.size() != tensor.view.shape.size()) {
            refuse(at, "tensor " + tensor.name + " has " +
                           std::to_string(tensor.view.shape.size()) + " dimensions and " +
                           std::to_string(tensor.view.strides.size()) + " strides");
        }
        if (reader_.accept("at")) {
            const size_t base = tensor_number(any_name(), at);
            const bool minus = reader_.accept("-");
            if (!minus) {
                reader_.expect("+");
            }
            const int64_t bytes = reader_.integer();
            if (bytes > farthest_place || bytes < -farthest_place) {
                refuse(at, "tensor " + tensor.name + " reaches too far from its place");
            }
            placements_.push_back({tensors_.size(), base, minus ? -bytes : bytes});
        }
        if (!tensor_numbers_.emplace(tensor.name, tensors_.size()).second) {
            refuse(at, "tensor " + tensor.name + " is declared twice");
        }
        tensors_.push_back(std::make_shared<Tensor>(std::move(tensor)));
    }

    size_t tensor_number(const std::string &name, const Loc &at) const {
        const auto found = tensor_numbers_.find(name);
        if (found == tensor_numbers_.end()) {
            refuse(at, "no tensor is called " + quoted(name));
        }
        return found->second;
    }

    /// Gives memory to tensors that share it.
    void place_tensors() {
        std::map<size_t, std::vector<Placement>> groups;
        for (const Placement &placement : placements_) {
            std::vector<Placement> &group = groups[placement.base];
            if (group.empty()) {
                group.push_back({placement.base, placement.base, 0});
            }
            group.push_back(placement);
        }
        for (const auto &[base, group] : groups) {
            place_group(group);
        }
    }

    void place_group(const std::vector<Placement> &group) {
        int64_t low = 0;
        int64_t high = 0;
        for (const Placement &placement : group) {
            const Tensor &tensor = *tensors_[placement.tensor];
            if (tensor.view.data != nullptr) {
                refuse(tensor.at,
                       "tensor " + tensor.name + " is placed at a tensor that is placed");
            }
            const auto [begin, end] = extent_of(tensor);
            if (begin < -farthest_place || end > farthest_place) {
                refuse(tensor.at, "tensor " + tensor.name + " reaches too far from its place");
            }
            low = std::min(low, placement.bytes + begin);
            high = std::max(high, placement.bytes + end);
        }
        const std::shared_ptr<void> memory = reserve(static_cast<size_t>(high - low));
        if (memory == nullptr) {
            refuse(tensors_[group.front().tensor]->at,
                   "cannot reserve " + std::to_string(high - low) + " bytes");
        }
        for (const Placement &placement : group) {
            TensorView &view = tensors_[placement.tensor]->view;
            view.data = static_cast<char *>(memory.get()) + (placement.bytes - low);
            view.owner = memory;
        }
    }

    static std::pair<int64_t, int64_t> extent_of(const Tensor &tensor) {
        try {
            return tensor.view.byte_extent();
        } catch (const CompileError &error) {
            refuse(tensor.at, "tensor " + tensor.name + ": " + error.text());
        }
    }

    /// Zeros that take memory only where they are written: what a text says of addresses may be
    /// far larger than what its workload touches. Null when there is no room.
    static std::shared_ptr<void> reserve(size_t bytes) {
        bytes = std::max<size_t>(bytes, 1);
        void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            return nullptr;
        }
        return {memory, [bytes](void *mapped) { munmap(mapped, bytes); }};
    }

    void parse_kernel() {
        auto kernel = std::make_shared<Kernel>();
        kernel->at = reader_.loc();
        reader_.expect("kernel");
        kernel->name = any_name();
        reader_.expect("(");
        list(")", [&] { kernel->params.push_back(parse_param()); });
        const std::string name = kernel->name;
        const Loc at = kernel->at;
        if (!kernels_.emplace(name, std::move(kernel)).second) {
            refuse(at, "kernel " + name + " is declared twice");
        }
    }

    void parse_data(RunData &data) {
        while (reader_.peek().text == "symbol") {
            reader_.next();
            const std::string name = reader_.identifier();
            reader_.expect("=");
            data.symbols.insert_or_assign(name, reader_.integer());
        }
        while (reader_.peek().text == "table") {
            const Loc at = reader_.loc();
            reader_.next();
            const std::string name = reader_.identifier();
            Shape values;
            if (reader_.accept(":")) {
                const int64_t count = reader_.integer();
                if (count < 0 || count > longest_table) {
                    refuse(at, "table " + name + " has " + std::to_string(count) + " values");
                }
                values.assign(static_cast<size_t>(count), 0);
                reader_.expect("values");
            } else {
                reader_.expect("=");
                values = integers();
            }
            data.tables.insert_or_assign(
                name, std::make_shared<const std::vector<int64_t>>(values.begin(), values.end()));
        }
    }

    void parse_channel() {
        const Loc at = reader_.loc();
        reader_.expect("channel");
        const std::string name = any_name();
        reader_.expect(":");
        if (!channels_.emplace(name, make_channel(name, reader_.integer(), at)).second) {
            refuse(at, "channel " + name + " is declared twice");
        }
    }

    void parse_event() {
        const Loc at = reader_.loc();
        reader_.expect("event");
        const std::string name = any_name();
        reader_.expect(":");
        const int64_t depth = reader_.integer();
        if (depth != 0 && depth != 1) {
            refuse(at, "event " + name + " has the depth " + std::to_string(depth));
        }
        auto event = std::make_shared<const Event>(Event{name, depth, at, nullptr});
        if (!events_.emplace(name, std::move(event)).second) {
            refuse(at, "event " + name + " is declared twice");
        }
    }

    EventNode parse_event_node(bool records) {
        const Loc at = reader_.loc();
        const auto found = events_.find(any_name());
        if (found == events_.end()) {
            refuse(at, "no event has that name");
        }
        EventNode node{found->second, records, {}, {}};
        if (records && reader_.accept("after")) {
            node.after.emplace();
            for (const int64_t mark : integers()) {
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
        const std::string name = any_name();
        const auto found = channels_.find(name);
        if (found == channels_.end()) {
            refuse(at, "no channel is called " + quoted(name));
        }
        return found->second;
    }

    std::vector<ChannelPtr> channels() {
        std::vector<ChannelPtr> result;
        do {
            result.push_back(channel());
        } while (reader_.accept(","));
        return result;
    }

    kernel::Param parse_param() {
        kernel::Param param;
        param.at = reader_.loc();
        bool tile = false;
        for (const auto direction :
             {kernel::Direction::In, kernel::Direction::Out, kernel::Direction::InOut}) {
            if (!tile && reader_.peek().text == kernel::name(direction) &&
                reader_.peek(1).text != ":") {
                reader_.next();
                param.direction = direction;
                tile = true;
            }
        }
        param.name = any_name();
        reader_.expect(":");
        param.type.dtype = parse_dtype(reader_.identifier(), param.at);
        if (tile) {
            reader_.expect("[");
            param.type.rows = Affine::parse(reader_);
            reader_.expect(",");
            param.type.columns = Affine::parse(reader_);
            reader_.expect("]");
        } else {
            param.kind = kernel::Param::Kind::Scalar;
        }
        return param;
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

    void parse_statement() {
        const Loc at = reader_.loc();
        if (std::holds_alternative<NetNode>(open_.back().kind)) {
            return parse_process(at);
        }
        if (reader_.accept("task")) {
            return add(make(parse_task(at), at));
        }
        if (reader_.accept("combine")) {
            return open(GroupNode{false, {}}, at);
        }
        if (reader_.accept("sequential")) {
            return open(GroupNode{true, {}}, at);
        }
        if (reader_.accept("call")) {
            return open(CallNode{any_name(), nullptr}, at);
        }
        if (reader_.accept("slot")) {
            return add(make(parse_slot(at), at));
        }
        if (reader_.accept("when")) {
            conditions_++;
            return open(BranchNode{{{parse_expr(), nullptr}}, nullptr}, at);
        }
        if (reader_.accept("net")) {
            return open(NetNode{}, at);
        }
        if (reader_.accept("close")) {
            return add(make(CloseNode{channel()}, at));
        }
        if (reader_.accept("record")) {
            return add(make(parse_event_node(true), at));
        }
        if (reader_.accept("synchronize")) {
            return add(make(parse_event_node(false), at));
        }
        if (reader_.accept("consume")) {
            return parse_consume(at);
        }
        if (reader_.peek().text == "send" || reader_.peek().text == "try") {
            return parse_send(at);
        }
        LoopNode loop;
        if (reader_.accept("let")) {
            return parse_loop(std::move(loop), true, at);
        }
        if (reader_.accept("pipe")) {
            reader_.expect("(");
            loop.depth = reader_.integer();
            reader_.expect(")");
            if (loop.depth < 1) {
                refuse(at,
                       "the depth of a pipe is " + std::to_string(loop.depth) + ", must be >= 1");
            }
            return parse_loop(std::move(loop), false, at);
        }
        loop.sequential = reader_.peek().text == "seq";
        if (reader_.accept("parallel") || reader_.accept("seq")) {
            return parse_loop(std::move(loop), false, at);
        }
        reader_.fail("task, parallel, seq, pipe, let, when, slot, combine, sequential, call, net, "
                     "send, consume, close, record, synchronize or }");
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
                result.push_back(any_name());
            } while (reader_.accept(","));
        }
        return result;
    }

    void parse_process(const Loc &at) {
        NetNode::Process process;
        process.at = at;
        reader_.expect("process");
        process.name = any_name();
        if (reader_.accept("consumes")) {
            process.consumes = channels();
        }
        if (reader_.accept("produces")) {
            process.produces = channels();
        }
        open(std::move(process), at);
    }

    void parse_send(const Loc &at) {
        SendNode send;
        if (reader_.accept("try")) {
            const int64_t slot = reader_.integer();
            check_slot(slot, at);
            send.result = static_cast<int>(slot);
        }
        reader_.expect("send");
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

    static void check_slot(int64_t slot, const Loc &at) {
        if (slot < 0 || slot >= slot_words) {
            refuse(at, "slot " + std::to_string(slot) + " is not in 0..." +
                           std::to_string(slot_words - 1));
        }
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
        const int64_t slot = reader_.integer();
        check_slot(slot, at);
        reader_.expect("=");
        if (reader_.accept("element")) {
            return check_slot_load(static_cast<int>(slot), parse_region(), path_, conditions_ > 0,
                                   at);
        }
        return {static_cast<int>(slot), parse_expr(), {}};
    }

    void parse_loop(LoopNode loop, bool is_value, const Loc &at) {
        auto variable = std::make_unique<LoopVar>();
        variable->at = at;
        variable->axis.at = at;
        variable->id = reader_.identifier();
        if (std::ranges::find(path_, variable->id, &LoopVar::id) != path_.end()) {
            refuse(at, "a loop around has the variable " + variable->id + " already");
        }
        if (is_value) {
            reader_.expect("=");
            variable->axis.size = 1;
            variable->value = parse_expr();
        } else {
            parse_axis(variable->axis, at);
        }
        variable->hidden = reader_.accept("hidden");
        variable->names = names();
        Variables variables;
        variables.push_back(std::move(variable));
        open(std::move(loop), at, std::move(variables));
    }

    void parse_axis(Axis &axis, const Loc &at) {
        reader_.expect("in");
        if (reader_.peek(1).text == ":") {
            axis.name = any_name();
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
        const std::string name = any_name();
        const auto found = kernels_.find(name);
        if (found == kernels_.end()) {
            refuse(at, "no kernel is called " + quoted(name));
        }
        const KernelPtr &kernel = found->second;
        std::vector<ScalarExpr> axes;
        if (reader_.accept("[")) {
            list("]", [&] { axes.push_back(ScalarExpr::parse(reader_)); });
        }
        std::vector<Argument> arguments;
        reader_.expect("(");
        list(")", [&] {
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
        region.tensor = tensors_[tensor_number(any_name(), at)];
        reader_.expect("[");
        list("]", [&] {
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
    std::vector<std::shared_ptr<Tensor>> tensors_;
    std::map<std::string, size_t> tensor_numbers_;
    std::vector<Placement> placements_;
    std::map<std::string, KernelPtr> kernels_;
    std::map<std::string, ChannelPtr> channels_;
    std::map<std::string, EventPtr> events_;
    std::set<int64_t> marks_;
    LoopPath path_;
    std::vector<Open> open_;  ///< the first is the body of the workload
    int conditions_ = 0;      ///< branches around
};

}  // namespace

Workload parse_workload(std::string_view text, const std::string &origin) {
    return Parser(text, origin).parse();
}

}  // namespace pto::wsp::workload
