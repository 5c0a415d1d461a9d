#include "join_blocks.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <limits>

namespace pto::wsp::kernel {

namespace {

size_t at(int index) {
    return static_cast<size_t>(index);
}

JoinedPtr made(Op op, Attributes attributes, std::vector<JoinedPtr> operands) {
    return std::make_shared<Joined>(Joined{-1, op, std::move(attributes), std::move(operands)});
}

JoinedPtr outside(Value value) {
    return std::make_shared<Joined>(Joined{value});
}

JoinedPtr number(int64_t value) {
    return made(Op::Constant, {{"dtype", std::string("i32")}, {"value", value}}, {});
}

Affine &along(TileType &type, Axis axis) {
    return axis == Axis::Rows ? type.rows : type.columns;
}

const char *dim_name(Axis axis) {
    return axis == Axis::Rows ? "rows" : "columns";
}

Axis other(Axis axis) {
    return axis == Axis::Rows ? Axis::Columns : Axis::Rows;
}

bool is_spread(TileType type, Axis axis) {
    return along(type, axis) == Affine(1);
}

bool is_number(const JoinedPtr &tile, int64_t value) {
    return tile->value < 0 && tile->op == Op::Constant &&
           std::get<int64_t>(tile->attributes.at("value")) == value;
}

}  // namespace

Value build(TileRebuild &to, const JoinedPtr &tile) {
    std::map<const Joined *, Value> known;
    std::function<Value(const JoinedPtr &)> make = [&](const JoinedPtr &each) {
        auto found = known.find(each.get());
        if (found != known.end()) {
            return found->second;
        }
        std::vector<Value> operands;
        for (const JoinedPtr &operand : each->operands) {
            operands.push_back(make(operand));
        }
        Value value = each->value >= 0 ? to(each->value)
                                       : to.op(each->op, std::move(operands), each->attributes);
        known.emplace(each.get(), value);
        return value;
    };
    return make(tile);
}

BlockJoin::BlockJoin(const TileGraph &graph, rewrite::NodeId loop, int64_t lo, int64_t hi)
    : graph_(graph), body_(&graph.body(loop)), block_(graph.loop(loop).block), lo_(lo),
      count_(hi - lo) {}

BlockJoin::BlockJoin(const TileGraph &graph, int64_t count) : graph_(graph), count_(count) {}

const Node &BlockJoin::node(Value value) const {
    const TileProgram &p = *graph_.program();
    int made_by = p.values[at(value)].node;
    if (made_by < 0 || p.nodes[at(made_by)].op == Op::ForiLoop) {
        throw Unjoined::Carried;
    }
    return p.nodes[at(made_by)];
}

bool BlockJoin::is_outside(Value value) const {
    return body_ == nullptr || graph_.block_of(value) < block_;
}

bool BlockJoin::all_same(const std::vector<Value> &blocks) const {
    return std::all_of(blocks.begin(), blocks.end(),
                       [&](Value block) { return block == blocks[0]; });
}

std::vector<Value> BlockJoin::operand(const std::vector<Value> &blocks, size_t index) const {
    std::vector<Value> operands;
    operands.reserve(blocks.size());
    for (Value block : blocks) {
        operands.push_back(node(block).operands[index]);
    }
    return operands;
}

Affine BlockJoin::size(const Affine &block) const {
    return block * count_;
}

JoinedPtr BlockJoin::shared(const std::vector<Value> &blocks) {
    if (!all_same(blocks)) {
        throw Unjoined::Operation;
    }
    if (is_outside(blocks[0])) {
        return outside(blocks[0]);
    }
    if (blocks[0] == body_->arguments[0]) {
        throw Unjoined::Operation;
    }
    constexpr int in_common = -1;
    if (JoinedPtr known = known_[{{blocks[0]}, in_common}]) {
        return known;
    }
    const Node &each = node(blocks[0]);
    if (each.op == Op::Load &&
        graph_.program()->params[at(param_of(each))].direction != Direction::In) {
        throw Unjoined::Window;
    }
    std::vector<JoinedPtr> operands;
    for (Value operand : each.operands) {
        operands.push_back(shared({operand}));
    }
    known_[{{blocks[0]}, in_common}] = made(each.op, each.attributes, std::move(operands));
    return known_[{{blocks[0]}, in_common}];
}

JoinedPtr BlockJoin::part(const std::vector<Value> &blocks, Axis axis) {
    return is_spread(graph_.type(blocks[0]), axis) ? shared(blocks) : join(blocks, axis);
}

JoinedPtr BlockJoin::join(const std::vector<Value> &blocks, Axis axis) {
    const Key key{blocks, static_cast<int>(axis)};
    if (JoinedPtr known = known_[key]) {
        return known;
    }
    TileType type = graph_.type(blocks[0]);
    if (body_ == nullptr && blocks.size() == 1) {
        return outside(blocks[0]);
    }
    if (is_spread(type, axis) || !along(type, axis).as_constant()) {
        throw Unjoined::Operation;
    }
    for (Value block : blocks) {
        if (is_outside(block) && body_ != nullptr) {
            throw Unjoined::Window;
        }
        const Node &each = node(block);
        if (each.op != node(blocks[0]).op || !(graph_.type(block) == type) ||
            each.attributes != node(blocks[0]).attributes) {
            throw Unjoined::Operation;
        }
    }
    known_[key] = joined_node(blocks, axis);
    return known_[key];
}

JoinedPtr BlockJoin::joined_node(const std::vector<Value> &blocks, Axis axis) {
    const Node &first = node(blocks[0]);
    switch (first.op) {
    case Op::Load:
    case Op::Slice:
        return joined_window(blocks, axis);
    case Op::Matmul:
        return joined_product(blocks, axis);
    case Op::CausalMask:
        return joined_mask(blocks, axis);
    case Op::Transpose:
        return made(Op::Transpose, {}, {join(operand(blocks, 0), other(axis))});
    case Op::Broadcast: {
        TileType type = graph_.type(blocks[0]);
        along(type, axis) = size(along(type, axis));
        return made(Op::Broadcast, {{"rows", type.rows}, {"columns", type.columns}},
                    {part(operand(blocks, 0), axis)});
    }
    case Op::RowIndex:
    case Op::ColumnIndex:
        return joined_leaf(blocks, axis);
    case Op::Add:
        if (JoinedPtr positions = joined_positions(blocks, axis)) {
            return positions;
        }
        return joined_elementwise(blocks, axis);
    default:
        if (info(first.op).kind != OpKind::Elementwise) {
            throw Unjoined::Operation;
        }
        return joined_elementwise(blocks, axis);
    }
}

JoinedPtr BlockJoin::joined_elementwise(const std::vector<Value> &blocks, Axis axis) {
    const Node &first = node(blocks[0]);
    std::vector<JoinedPtr> operands;
    for (size_t i = 0; i < first.operands.size(); ++i) {
        operands.push_back(part(operand(blocks, i), axis));
    }
    return made(first.op, first.attributes, std::move(operands));
}

JoinedPtr BlockJoin::joined_product(const std::vector<Value> &blocks, Axis axis) {
    const Node &first = node(blocks[0]);
    const bool left = axis == Axis::Rows;
    const bool turned = has_flag(first.attributes, left ? "trans_a" : "trans_b");
    std::vector<JoinedPtr> operands(2);
    operands[left ? 0 : 1] = join(operand(blocks, left ? 0 : 1), turned ? other(axis) : axis);
    operands[left ? 1 : 0] = shared(operand(blocks, left ? 1 : 0));
    if (first.operands.size() > 2) {
        operands.push_back(join(operand(blocks, 2), axis));
    }
    return made(Op::Matmul, first.attributes, std::move(operands));
}

/// Positions that do not run along the axis are repeated; those that do start anew in each block.
JoinedPtr BlockJoin::joined_leaf(const std::vector<Value> &blocks, Axis axis) {
    const Node &first = node(blocks[0]);
    if ((first.op == Op::RowIndex) == (axis == Axis::Rows)) {
        throw Unjoined::Window;
    }
    Attributes attributes = first.attributes;
    Affine &dim = std::get<Affine>(attributes.at(dim_name(axis)));
    dim = size(dim);
    return made(first.op, attributes, {});
}

/// column_index + 16 * i is the column of the whole; null for any other sum.
JoinedPtr BlockJoin::joined_positions(const std::vector<Value> &blocks, Axis axis) {
    const Op position = axis == Axis::Rows ? Op::RowIndex : Op::ColumnIndex;
    for (size_t i : {size_t{0}, size_t{1}}) {
        std::vector<Value> index = operand(blocks, i);
        std::vector<Value> shift = operand(blocks, 1 - i);
        TileType type = graph_.type(index[0]);
        bool fits = std::all_of(index.begin(), index.end(), [&](Value value) {
            return graph_.op(value) == static_cast<rewrite::OpId>(position);
        });
        if (!fits || is_spread(type, axis) || !graph_.type(shift[0]).is_scalar()) {
            continue;
        }
        JoinedPtr first = first_of(shift, *along(type, axis).as_constant());
        Attributes attributes = node(index[0]).attributes;
        Affine &dim = std::get<Affine>(attributes.at(dim_name(axis)));
        dim = size(dim);
        JoinedPtr whole = made(position, attributes, {});
        return is_number(first, 0) ? whole : made(Op::Add, {}, {whole, first});
    }
    return nullptr;
}

JoinedPtr BlockJoin::joined_mask(const std::vector<Value> &blocks, Axis axis) {
    TileType type = graph_.type(blocks[0]);
    int64_t step = *along(type, axis).as_constant() * (axis == Axis::Rows ? 1 : -1);
    std::vector<JoinedPtr> operands{join(operand(blocks, 0), axis)};
    std::vector<Value> offsets;
    for (Value block : blocks) {
        const std::vector<Value> &own = node(block).operands;
        offsets.push_back(own.size() > 1 ? own[1] : rewrite::no_node);
    }
    JoinedPtr first = first_of(offsets, step);
    if (!is_number(first, 0)) {
        operands.push_back(first);
    }
    return made(Op::CausalMask, {}, std::move(operands));
}

JoinedPtr BlockJoin::joined_window(const std::vector<Value> &blocks, Axis axis) {
    const Node &first = node(blocks[0]);
    const bool is_load = first.op == Op::Load;
    const size_t places = is_load ? 0 : 1;
    if (first.operands.size() != places + 2) {
        throw Unjoined::Window;
    }
    TileType whole;
    std::vector<JoinedPtr> operands;
    if (is_load) {
        const Param &param = graph_.program()->params[at(param_of(first))];
        if (param.direction != Direction::In) {
            throw Unjoined::Window;
        }
        whole = param.type;
    } else {
        whole = graph_.type(first.operands[0]);
        operands.push_back(shared(operand(blocks, 0)));
    }
    TileType type = graph_.type(blocks[0]);
    const int64_t step = *along(type, axis).as_constant();
    along(type, axis) = size(along(type, axis));
    for (Axis each : {Axis::Rows, Axis::Columns}) {
        operands.push_back(first_of(operand(blocks, places + (each == Axis::Rows ? 0 : 1)),
                                    each == axis ? step : 0));
    }
    const JoinedPtr &begin = operands[places + (axis == Axis::Rows ? 0 : 1)];
    std::optional<int64_t> rest = (along(whole, axis) - along(type, axis)).as_constant();
    bool inside = rest && *rest >= 0 &&
                  (begin->value >= 0 || begin->op != Op::Constant ||
                   std::get<int64_t>(begin->attributes.at("value")) <= *rest);
    if (!inside) {
        throw Unjoined::Window;
    }
    bool all =
        type == whole && is_number(operands[places], 0) && is_number(operands[places + 1], 0);
    if (all) {
        return is_load ? made(Op::Load, {{"param", first.attributes.at("param")}}, {})
                       : operands[0];
    }
    Attributes attributes = first.attributes;
    attributes["rows"] = type.rows;
    attributes["columns"] = type.columns;
    return made(first.op, attributes, std::move(operands));
}

std::optional<BlockJoin::Linear> BlockJoin::linear(Value scalar) const {
    if (scalar == rewrite::no_node) {
        return Linear{};
    }
    if (body_ != nullptr && scalar == body_->arguments[0]) {
        return Linear{1, 0, {}};
    }
    if (std::optional<double> known = graph_.constant(scalar)) {
        return Linear{0, static_cast<int64_t>(*known), {}};
    }
    const auto op = graph_.op(scalar);
    std::span<const Value> operands = graph_.operands(scalar);
    auto is = [&](Op wanted) { return op == static_cast<rewrite::OpId>(wanted); };
    if (is(Op::Add) || is(Op::Sub) || is(Op::Mul)) {
        std::optional<Linear> a = linear(operands[0]);
        std::optional<Linear> b = linear(operands[1]);
        if (a && b && is(Op::Mul)) {
            Linear &factor = a->coefficient == 0 && a->others.empty() ? *a : *b;
            Linear &rest = &factor == &*a ? *b : *a;
            constexpr int64_t most = int64_t{1} << 31;
            bool small = std::abs(factor.constant) <= most && std::abs(rest.constant) <= most &&
                         std::abs(rest.coefficient) <= most;
            if (factor.coefficient == 0 && factor.others.empty() && rest.others.empty() && small) {
                return Linear{
                    rest.coefficient * factor.constant, rest.constant * factor.constant, {}};
            }
        } else if (a && b && (is(Op::Add) || b->others.empty())) {
            int sign = is(Op::Add) ? 1 : -1;
            a->coefficient += sign * b->coefficient;
            a->constant += sign * b->constant;
            a->others.insert(a->others.end(), b->others.begin(), b->others.end());
            return a;
        }
    }
    if (is(Op::Neg)) {
        std::optional<Linear> a = linear(operands[0]);
        if (a && a->others.empty()) {
            return Linear{-a->coefficient, -a->constant, {}};
        }
    }
    return is_outside(scalar) ? std::optional<Linear>(Linear{0, 0, {scalar}}) : std::nullopt;
}

JoinedPtr BlockJoin::scalar(const Linear &place) const {
    constexpr int64_t most = std::numeric_limits<int32_t>::max();
    if (place.constant > most || place.constant < -most) {
        throw Unjoined::Window;
    }
    JoinedPtr sum = place.constant == 0 && !place.others.empty() ? nullptr : number(place.constant);
    for (Value each : place.others) {
        sum = sum == nullptr ? outside(each) : made(Op::Add, {}, {outside(each), sum});
    }
    return sum;
}

JoinedPtr BlockJoin::first_of(const std::vector<Value> &places, int64_t step) const {
    std::optional<Linear> first = linear(places[0]);
    if (!first) {
        throw Unjoined::Window;
    }
    if (body_ != nullptr) {
        if (first->coefficient != step) {
            throw Unjoined::Window;
        }
        first->constant += step * lo_;
        return scalar(*first);
    }
    for (size_t j = 1; j < places.size(); ++j) {
        std::optional<Linear> each = linear(places[j]);
        if (!each || each->others != first->others ||
            each->constant != first->constant + static_cast<int64_t>(j) * step) {
            throw Unjoined::Window;
        }
    }
    return scalar(*first);
}

}  // namespace pto::wsp::kernel
