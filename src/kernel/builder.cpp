#include "pto/wsp/kernel/builder.h"

#include <algorithm>
#include <map>
#include <optional>

#include <fmt/format.h>

#include "attributes.h"
#include "check.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

struct Builder::Impl {
    /// A constant without a type: no node yet.
    struct Weak {
        Number value;
        TileType alone;
        Loc at;
    };

    /// An open block and the nodes that can be found again in it, by their texts.
    struct Scope {
        int block = 0;
        std::map<std::string, Value> found;
    };

    std::shared_ptr<TileProgram> program = std::make_shared<TileProgram>();
    std::vector<Scope> scopes;  ///< outermost first
    std::vector<int> block_of;  ///< of each value
    std::vector<Weak> weak;     ///< the Value -1 - i is number i
    std::vector<int> version;   ///< of each parameter's contents
    int versions = 0;
    bool finished = false;

    void check_open(const Loc &at) const {
        if (finished) {
            throw CompileError(
                at,
                fmt::format("kernel '{}' is finished: nothing can be added to it", program->name));
        }
    }

    void check_outputs_stored() const {
        std::vector<bool> stored(program->params.size(), false);
        for (const Node &node : program->nodes) {
            if (is_store(node.op)) {
                stored[static_cast<size_t>(std::get<int64_t>(node.attributes.at("param")))] = true;
            }
        }
        for (size_t p = 0; p < stored.size(); ++p) {
            const Param &param = program->params[p];
            if (param.direction == Direction::Out && !stored[p]) {
                throw CompileError(program->at,
                                   fmt::format("kernel '{}': nothing is stored to the output '{}'",
                                               program->name, param.name),
                                   {{param.at, fmt::format("'{}' is declared here", param.name)}},
                                   fmt::format("store({}, value)", param.name));
            }
        }
    }

    const Weak *weak_of(Value value) const {
        return value < 0 ? &weak[static_cast<size_t>(-1 - value)] : nullptr;
    }

    void check_exists(const char *op, Value value, const Loc &at) const {
        int64_t lowest = -static_cast<int64_t>(weak.size());
        if (value < lowest || value >= static_cast<Value>(program->values.size())) {
            throw TypeCheckError(
                at, fmt::format("{}: an operand is no value of kernel '{}'", op, program->name));
        }
    }

    void check_usable(const char *op, Value value, const Loc &at) const {
        check_exists(op, value, at);
        if (value < 0) {
            return;
        }
        int block = block_of[static_cast<size_t>(value)];
        if (std::none_of(scopes.begin(), scopes.end(),
                         [&](const Scope &scope) { return scope.block == block; })) {
            throw TypeCheckError(
                at, fmt::format("{}: a value of a loop's body is used after the loop", op),
                {{program->values[static_cast<size_t>(value)].at, "made here"}},
                "carry it: fori_loop gives what the last iteration returned");
        }
    }

    void check_usable(const char *op, const std::vector<Value> &values, const Loc &at) const {
        for (Value value : values) {
            check_usable(op, value, at);
        }
    }

    Value add_value(ValueInfo info, int block) {
        program->values.push_back(std::move(info));
        block_of.push_back(block);
        return static_cast<Value>(program->values.size()) - 1;
    }

    int add_node(Node node, int block) {
        auto index = static_cast<int>(program->nodes.size());
        program->nodes.push_back(std::move(node));
        program->blocks[static_cast<size_t>(block)].nodes.push_back(index);
        return index;
    }

    /// What equal nodes have in common.
    std::string key(const Node &node) const {
        std::string text = name(node.op);
        std::vector<Value> operands = node.operands;
        if (node.op == Op::Add || node.op == Op::Mul) {
            std::sort(operands.begin(), operands.end());
        }
        for (Value operand : operands) {
            text += fmt::format(" %{}", operand);
        }
        for (const auto &[name, value] : node.attributes) {
            text += fmt::format(" {}={}", name, attribute_text(value));
        }
        if (node.op == Op::Load) {
            auto param = static_cast<size_t>(std::get<int64_t>(node.attributes.at("param")));
            text += fmt::format(" after {}", version[param]);
        }
        return text;
    }

    /// The value of a pure node or a load: of an equal one in an open block, or a new one
    /// in `home`.
    Value intern(Node node) { return intern(std::move(node), scopes.back()); }

    Value intern(Node node, Scope &home) {
        TileType type = check_node(*program, node);
        std::string text = key(node);
        for (const Scope &scope : scopes) {
            auto found = scope.found.find(text);
            if (found != scope.found.end()) {
                return found->second;
            }
        }
        Value value =
            add_value({type, static_cast<int>(program->nodes.size()), -1, node.at}, home.block);
        node.results = {value};
        add_node(std::move(node), home.block);
        home.found.emplace(std::move(text), value);
        return value;
    }

    void add_effect(Node node) {
        check_node(*program, node);
        if (is_store(node.op)) {
            version[static_cast<size_t>(param_of(node))] = ++versions;
        }
        add_node(std::move(node), scopes.back().block);
    }

    Value typed(Number number, DType dtype, const char *op, const Loc &at, const char *hint = "") {
        Attribute value;
        if (is_integer(dtype)) {
            if (!number.fits(dtype)) {
                std::string range = fmt::format("{} has the integers from {}",
                                                pto::wsp::info(dtype).user_name, range_text(dtype));
                throw TypeCheckError(
                    at, fmt::format("{}: {} is no {}", op, number.str(), pto::wsp::name(dtype)), {},
                    *hint != 0 ? hint : range);
            }
            if (number.is_past_i64()) {
                // Attributes are of 64 bits with sign; the bits wrap to the number.
                Value bits = typed(Number(number.integer()), DType::I64, op, at);
                return intern({Op::Cast, {bits}, {{"dtype", name(dtype)}}, {}, -1, at});
            }
            value = number.integer();
        } else {
            value = round_to(dtype, number.real());
        }
        return intern({Op::Constant,
                       {},
                       {{"dtype", std::string(pto::wsp::name(dtype))}, {"value", value}},
                       {},
                       -1,
                       at});
    }

    /// The value itself, or a weak constant as a node of `dtype` (of its own type without one).
    Value settled(Value value, std::optional<DType> dtype, const char *op, const Loc &at) {
        const Weak *constant = weak_of(value);
        if (constant == nullptr) {
            return value;
        }
        const char *hint = constant->value.is_integer() ? "" : "cast the tile to F32 first";
        return typed(constant->value, dtype.value_or(constant->alone.dtype), op, at, hint);
    }

    Value settled_index(Value value, const char *op, const Loc &at) {
        const Weak *constant = weak_of(value);
        return constant == nullptr ? value : typed(constant->value, DType::I32, op, at);
    }

    /// The type that weak operands take: that of the others, as NumPy promotes them.
    std::optional<DType> met_by_weak(const OpInfo &row, const std::vector<Value> &operands) const {
        std::optional<DType> met;
        bool any_float = false;
        for (size_t i = 0; i < operands.size(); ++i) {
            const Weak *constant = weak_of(operands[i]);
            any_float = any_float || (constant != nullptr && !constant->value.is_integer());
            DType dtype = constant != nullptr ? DType::Mask : program->type(operands[i]).dtype;
            if (dtype != DType::Mask && !is_index_operand(row, i)) {
                met = met ? promote(*met, dtype) : dtype;
            }
        }
        return !met && any_float ? DType::F32 : met;
    }

    void settle(const OpInfo &row, std::vector<Value> &operands, const Loc &at) {
        if (std::none_of(operands.begin(), operands.end(), [](Value v) { return v < 0; })) {
            return;
        }
        std::optional<DType> met = met_by_weak(row, operands);
        for (size_t i = 0; i < operands.size(); ++i) {
            operands[i] = is_index_operand(row, i) ? settled_index(operands[i], row.name, at)
                                                   : settled(operands[i], met, row.name, at);
        }
    }

    void imply_from(size_t first) {
        for (size_t node = first; node < program->nodes.size(); ++node) {
            program->writing.implied.insert(static_cast<int>(node));
        }
    }

    /// Forgets what is said of nodes from `first` on.
    void drop_writing(size_t first) {
        const auto from = static_cast<int>(first);
        for (std::set<int> *nodes : {&program->writing.operand_loads, &program->writing.implied}) {
            nodes->erase(nodes->lower_bound(from), nodes->end());
        }
    }

    Value add_op(const OpInfo &row, std::vector<Value> operands, Attributes attributes,
                 const Loc &at);
    Value store_value(const Param &param, Value value, bool window, const Loc &at);
    void check_carry(size_t index, Value before, Value after, const Loc &at) const;
    /// What was there before the body of a loop.
    struct Loop {
        int block = 0;
        size_t values = 0;
        size_t nodes = 0;
        std::vector<int> version;
        std::vector<int> inside;  ///< versions at the start of the body
    };

    Loop open_loop(const std::vector<Value> &carries, const Loc &at);
    void drop_loop(const Loop &loop);
    std::vector<Value> close_loop(const Loop &loop, Node node, std::vector<Value> yields);
};

Builder::Builder(std::string name, Loc at) : impl_(std::make_shared<Impl>()) {
    if (!is_utf8(name)) {
        throw CompileError(at, "the name of a kernel is not utf-8");
    }
    impl_->program->name = std::move(name);
    impl_->program->at = std::move(at);
    impl_->program->blocks.emplace_back();
    impl_->scopes.push_back({});
}

int Builder::param(Param param) {
    Impl &impl = *impl_;
    TileProgram &program = *impl.program;
    impl.check_open(param.at);
    if (impl.scopes.size() > 1) {
        throw CompileError(param.at, fmt::format("{}: parameter '{}' is declared in the body of a "
                                                 "loop",
                                                 program.name, param.name));
    }
    check_param(program.name, param);
    int twin = program.param_index(param.name);
    if (twin >= 0) {
        throw TypeCheckError(
            param.at, fmt::format("{}: there are two parameters '{}'", program.name, param.name),
            {{program.params[static_cast<size_t>(twin)].at, "the first is declared here"}});
    }
    auto index = static_cast<int>(program.params.size());
    if (param.kind == Param::Kind::Scalar) {
        impl.add_value({param.type, -1, index, param.at}, 0);
    }
    program.params.push_back(std::move(param));
    impl.version.push_back(0);
    return index;
}

Value Builder::scalar(int index) const {
    const std::vector<ValueInfo> &values = impl_->program->values;
    auto found = std::find_if(values.begin(), values.end(), [&](const ValueInfo &value) {
        return index >= 0 && value.param == index;
    });
    if (found == values.end()) {
        throw TypeCheckError(
            {}, fmt::format("{}: parameter number {} is no scalar", impl_->program->name, index));
    }
    return static_cast<Value>(found - values.begin());
}

Value Builder::Impl::store_value(const Param &param, Value value, bool window, const Loc &at) {
    if (value >= 0) {
        return value;
    }
    value = settled(value, param.type.dtype, "store", at);
    if (window || param.type.is_scalar()) {
        return value;
    }
    const size_t first = program->nodes.size();
    value = intern({Op::Broadcast,
                    {value},
                    {{"rows", param.type.rows}, {"columns", param.type.columns}},
                    {},
                    -1,
                    at});
    imply_from(first);
    return value;
}

Value Builder::Impl::add_op(const OpInfo &row, std::vector<Value> operands, Attributes attributes,
                            const Loc &at) {
    if (is_store(row.op) && !operands.empty()) {
        auto param = std::get<int64_t>(attributes.at("param"));
        if (param >= 0 && param < static_cast<int64_t>(program->params.size())) {
            operands[0] = store_value(program->params[static_cast<size_t>(param)], operands[0],
                                      operands.size() > first_offset(row.op), at);
        }
    }
    settle(row, operands, at);
    Node node{row.op, std::move(operands), std::move(attributes), {}, -1, at};
    if (!has_effect(row.op)) {
        return intern(std::move(node));
    }
    add_effect(std::move(node));
    return -1;
}

Value Builder::op(Op op, std::vector<Value> operands, Attributes attributes, Loc at) {
    Impl &impl = *impl_;
    impl.check_open(at);
    const OpInfo &row = info(op);
    if (row.kind == OpKind::Control) {
        throw TypeCheckError(
            at, fmt::format("{}: it has a body, which Builder::{} takes", row.name, row.name));
    }
    impl.check_usable(row.name, operands, at);
    normalise_attributes(row, attributes, at);
    return impl.add_op(row, std::move(operands), std::move(attributes), at);
}

Value Builder::hoisted_op(Op op, std::vector<Value> operands, Attributes attributes, Loc at) {
    Impl &impl = *impl_;
    impl.check_open(at);
    const OpInfo &row = info(op);
    if (row.kind == OpKind::Control || row.kind == OpKind::Memory || row.kind == OpKind::Effect) {
        throw TypeCheckError(at, fmt::format("{}: it depends on where it stands", row.name));
    }
    impl.check_usable(row.name, operands, at);
    normalise_attributes(row, attributes, at);
    impl.settle(row, operands, at);
    size_t home = 0;
    for (Value operand : operands) {
        for (size_t s = home; s < impl.scopes.size(); ++s) {
            home = impl.scopes[s].block == impl.block_of[static_cast<size_t>(operand)] ? s : home;
        }
    }
    return impl.intern({op, std::move(operands), std::move(attributes), {}, -1, at},
                       impl.scopes[home]);
}

Value Builder::load(int param, Loc at) {
    Value value = op(Op::Load, {}, {{"param", int64_t{param}}}, std::move(at));
    TileProgram &program = *impl_->program;
    program.writing.implied.erase(program.values[static_cast<size_t>(value)].node);
    return value;
}

Value Builder::operand(int param, Loc at) {
    const size_t first = node_count();
    Value value = op(Op::Load, {}, {{"param", int64_t{param}}}, std::move(at));
    TileProgram &program = *impl_->program;
    program.writing.operand_loads.insert(program.values[static_cast<size_t>(value)].node);
    imply_from(first);
    return value;
}

size_t Builder::node_count() const {
    return impl_->program->nodes.size();
}

void Builder::imply_from(size_t first) {
    impl_->imply_from(first);
}

Value Builder::constant(Number value, Loc at) {
    Impl &impl = *impl_;
    impl.check_open(at);
    DType alone = value.is_integer() ? DType::I32 : DType::F32;
    impl.weak.push_back({value, {alone, 1, 1}, std::move(at)});
    return -static_cast<Value>(impl.weak.size());
}

Value Builder::constant(Number value, DType dtype, Loc at) {
    impl_->check_open(at);
    return impl_->typed(value, dtype, "constant", at);
}

std::string Builder::label_of(Value value) const {
    const TileProgram &program = *impl_->program;
    auto param_name = [&](int param) { return program.params[static_cast<size_t>(param)].name; };
    impl_->check_exists("print", value, {});
    if (value < 0) {
        return "constant";
    }
    const ValueInfo &of = program.values[static_cast<size_t>(value)];
    if (of.node < 0) {
        return of.param < 0 ? "argument" : param_name(of.param);
    }
    const Node &node = program.nodes[static_cast<size_t>(of.node)];
    return node.op == Op::Load ? param_name(param_of(node)) : name(node.op);
}

void Builder::Impl::check_carry(size_t index, Value before, Value after, const Loc &at) const {
    const TileType &first = program->type(before);
    const TileType &next = program->type(after);
    if (first == next) {
        return;
    }
    throw TypeCheckError(
        at,
        fmt::format("fori_loop: carry {} is {} before the loop and {} after an iteration", index,
                    first.user_str(), next.user_str()),
        {origin(*program, before, "before the loop it"), origin(*program, after, "after it, it")},
        "start with a tile of that type, or cast what the body returns");
}

Builder::Impl::Loop Builder::Impl::open_loop(const std::vector<Value> &carries, const Loc &at) {
    Loop loop{static_cast<int>(program->blocks.size()),
              program->values.size(),
              program->nodes.size(),
              version,
              {}};
    std::vector<Value> arguments{add_value({{DType::I32, 1, 1}, -1, -1, at}, loop.block)};
    for (Value carry : carries) {
        arguments.push_back(add_value({program->type(carry), -1, -1, at}, loop.block));
    }
    program->blocks.push_back({arguments, {}, {}});
    scopes.push_back({loop.block, {}});
    // What the body stores, its next iteration loads: no load in it is one from before the loop.
    for (size_t p = 0; p < program->params.size(); ++p) {
        version[p] = program->params[p].direction == Direction::In ? version[p] : ++versions;
    }
    loop.inside = version;
    return loop;
}

void Builder::Impl::drop_loop(const Loop &loop) {
    while (scopes.back().block != loop.block) {
        scopes.pop_back();
    }
    scopes.pop_back();
    program->blocks.resize(static_cast<size_t>(loop.block));
    program->nodes.resize(loop.nodes);
    drop_writing(loop.nodes);
    program->values.resize(loop.values);
    block_of.resize(loop.values);
    version = loop.version;
}

std::vector<Value> Builder::Impl::close_loop(const Loop &loop, Node node,
                                             std::vector<Value> yields) {
    scopes.pop_back();
    for (size_t p = 0; p < program->params.size(); ++p) {
        version[p] = version[p] == loop.inside[p] ? loop.version[p] : ++versions;
    }
    program->blocks[static_cast<size_t>(loop.block)].yields = std::move(yields);
    node.block = loop.block;
    auto made = static_cast<int>(program->nodes.size());
    for (size_t c = 2; c < node.operands.size(); ++c) {
        TileType type = program->type(node.operands[c]);
        node.results.push_back(add_value({type, made, -1, node.at}, scopes.back().block));
    }
    std::vector<Value> results = node.results;
    add_node(std::move(node), scopes.back().block);
    return results;
}

std::vector<Value>
Builder::fori_loop(Value lo, Value hi, std::vector<Value> carries,
                   const std::function<std::vector<Value>(Value, const std::vector<Value> &)> &body,
                   Loc at, const std::string &symbol) {
    Impl &impl = *impl_;
    TileProgram &program = *impl.program;
    impl.check_open(at);
    if (impl.scopes.size() > static_cast<size_t>(max_nesting)) {
        throw CompileError(at, fmt::format("fori_loop: loops nest deeper than {}", max_nesting));
    }
    impl.check_usable("fori_loop", {lo, hi}, at);
    impl.check_usable("fori_loop", carries, at);
    Node node{Op::ForiLoop,
              {impl.settled_index(lo, "fori_loop", at), impl.settled_index(hi, "fori_loop", at)},
              {},
              {},
              -1,
              at};
    if (!symbol.empty()) {
        node.attributes["symbol"] = symbol;
    }
    check_index(program, "fori_loop: lo", node.operands[0], at);
    check_index(program, "fori_loop: hi", node.operands[1], at);
    for (Value &carry : carries) {
        carry = impl.settled(carry, std::nullopt, "fori_loop", at);
    }
    node.operands.insert(node.operands.end(), carries.begin(), carries.end());

    const Impl::Loop loop = impl.open_loop(carries, at);
    try {
        const std::vector<Value> arguments = program.blocks.back().arguments;
        std::vector<Value> yields = body(arguments[0], {arguments.begin() + 1, arguments.end()});
        impl.check_usable("fori_loop", yields, at);
        if (yields.size() != carries.size()) {
            throw TypeCheckError(at, fmt::format("fori_loop: the body carries {} values and "
                                                 "returned {}",
                                                 carries.size(), yields.size()));
        }
        for (size_t c = 0; c < yields.size(); ++c) {
            yields[c] = impl.settled(yields[c], program.type(carries[c]).dtype, "fori_loop", at);
            impl.check_carry(c, carries[c], yields[c], at);
        }
        return impl.close_loop(loop, std::move(node), std::move(yields));
    } catch (...) {
        impl.drop_loop(loop);
        throw;
    }
}

const TileType &Builder::type(Value value) const {
    impl_->check_exists("type", value, {});
    const Impl::Weak *constant = impl_->weak_of(value);
    return constant != nullptr ? constant->alone : impl_->program->type(value);
}

const Param &Builder::param_info(int index) const {
    const std::vector<Param> &params = impl_->program->params;
    if (index < 0 || static_cast<size_t>(index) >= params.size()) {
        throw TypeCheckError(
            {}, fmt::format("{}: there is no parameter number {}", impl_->program->name, index));
    }
    return params[static_cast<size_t>(index)];
}

Loc Builder::where(Value value) const {
    impl_->check_exists("where", value, {});
    const Impl::Weak *constant = impl_->weak_of(value);
    return constant != nullptr ? constant->at
                               : impl_->program->values[static_cast<size_t>(value)].at;
}

std::shared_ptr<const TileProgram> Builder::finish() {
    Impl &impl = *impl_;
    impl.check_open(impl.program->at);
    if (impl.scopes.size() > 1) {
        throw CompileError(impl.program->at,
                           fmt::format("kernel '{}' cannot be finished in the body of a loop",
                                       impl.program->name));
    }
    verify(*impl.program);
    impl.check_outputs_stored();
    impl.finished = true;
    return impl.program;
}

}  // namespace pto::wsp::kernel
