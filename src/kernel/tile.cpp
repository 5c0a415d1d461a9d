#include "pto/wsp/kernel/tile.h"

#include "pto/wsp/support/error.h"

namespace pto::wsp::tile {

namespace {

// Each row of the table has a function of its name in tile.h.
namespace all_rows {
#define PTO_WSP_TILE_OP(op, name, ...) using pto::wsp::tile::name;
#include "pto/wsp/kernel/ops.def"
#undef PTO_WSP_TILE_OP
}  // namespace all_rows

Builder &builder_of(const char *op, const std::vector<Operand> &operands, const Loc &at) {
    for (const Operand &operand : operands) {
        if (operand.builder() != nullptr) {
            return *operand.builder();
        }
    }
    throw TypeCheckError(at, std::string(op) + ": no operand is a tile", {},
                         "make one of them a tile: constant(builder, value, dtype)");
}

std::vector<Value> values_in(Builder &builder, const std::vector<Operand> &operands) {
    std::vector<Value> values;
    values.reserve(operands.size());
    for (const Operand &operand : operands) {
        values.push_back(operand.in(builder));
    }
    return values;
}

Param param(Builder &builder, const std::string &name, kernel::Direction direction,
            const TileType &type, const Loc &at) {
    return {builder, builder.param({name, kernel::Param::Kind::Tile, direction, type, at})};
}

}  // namespace

Value Operand::in(Builder &builder) const {
    if (!source_) {
        return builder.constant(*number_, at_);
    }
    if (&source_->builder() != &builder) {
        throw TypeCheckError(at_, "a tile of one kernel is used in another", {},
                             "pass tiles between kernels through tensors");
    }
    return source_->param_ >= 0 ? builder.operand(source_->param_, at_) : source_->value_;
}

Tile apply(Op op, const std::vector<Operand> &operands, kernel::Attributes attributes,
           const Loc &at) {
    Builder &builder = builder_of(kernel::name(op), operands, at);
    return {builder, builder.op(op, values_in(builder, operands), std::move(attributes), at)};
}

Param input(Builder &builder, const std::string &name, const TileType &type, const Loc &at) {
    return param(builder, name, kernel::Direction::In, type, at);
}

Param output(Builder &builder, const std::string &name, const TileType &type, const Loc &at) {
    return param(builder, name, kernel::Direction::Out, type, at);
}

Param in_out(Builder &builder, const std::string &name, const TileType &type, const Loc &at) {
    return param(builder, name, kernel::Direction::InOut, type, at);
}

Tile scalar(Builder &builder, const std::string &name, DType dtype, const Loc &at) {
    int index = builder.param(
        {name, kernel::Param::Kind::Scalar, kernel::Direction::In, {dtype, 1, 1}, at});
    return {builder, builder.scalar(index)};
}

Tile constant(Builder &builder, kernel::Number value, DType dtype, const Loc &at) {
    return {builder, builder.constant(value, dtype, at)};
}

Tile load(const Param &from, const Loc &at) {
    return {from.builder(), from.builder().load(from.index(), at)};
}

Tile load(const Param &from, const Operand &row, const Operand &column, const Affine &rows,
          const Affine &columns, const Loc &at) {
    Builder &builder = from.builder();
    const std::vector<Value> offsets = values_in(builder, {row, column});
    return {builder, builder.load(from.index(), offsets[0], offsets[1], rows, columns, at)};
}

Tile load_masked(const Param &from, const Tile &mask, const Loc &at) {
    Builder &builder = from.builder();
    Value loaded = builder.load(from.index(), at);
    return {builder, builder.masked(loaded, Operand(mask, at).in(builder), at)};
}

Tile load_masked(const Param &from, const Tile &mask, const Operand &row, const Operand &column,
                 const Affine &rows, const Affine &columns, const Loc &at) {
    Builder &builder = from.builder();
    Tile loaded = load(from, row, column, rows, columns, at);
    return {builder, builder.masked(loaded.value(), Operand(mask, at).in(builder), at)};
}

void store_masked(const Param &to, const Operand &value, const Tile &mask, const Loc &at) {
    Builder &builder = to.builder();
    builder.store_masked(to.index(), value.in(builder), Operand(mask, at).in(builder), at);
}

void store_masked(const Param &to, const Operand &value, const Tile &mask, const Operand &row,
                  const Operand &column, const Loc &at) {
    Builder &builder = to.builder();
    builder.store_masked(to.index(), value.in(builder), Operand(mask, at).in(builder),
                         row.in(builder), column.in(builder), at);
}

void print(const Source &x, const std::string &label, const Loc &at) {
    x.builder().print(Operand(x, at).in(x.builder()), label, at);
}

void store(const Param &to, const Operand &value, const Loc &at) {
    to.builder().store(to.index(), value.in(to.builder()), at);
}

void store(const Param &to, const Operand &value, const Operand &row, const Operand &column,
           const Loc &at) {
    Builder &builder = to.builder();
    const std::vector<Value> values = values_in(builder, {value, row, column});
    builder.store(to.index(), values[0], values[1], values[2], at);
}

namespace {

kernel::Attributes attributes_of(MatmulOptions options) {
    return {{"trans_a", options.trans_a},
            {"trans_b", options.trans_b},
            {"skip_zeros", options.skip_zeros}};
}

}  // namespace

Tile softmax(const Operand &x, SoftmaxOptions options, const Loc &at) {
    return apply(Op::Softmax, {x}, {{"safe", options.safe}}, at);
}

Tile matmul(const Operand &a, const Operand &b, MatmulOptions options, const Loc &at) {
    return apply(Op::Matmul, {a, b}, attributes_of(options), at);
}

Tile matmul(const Operand &a, const Operand &b, const Tile &accumulator, MatmulOptions options,
            const Loc &at) {
    return apply(Op::Matmul, {a, b, Operand(accumulator, at)}, attributes_of(options), at);
}

Tile where(const Operand &condition, const Operand &a, const Operand &b, const Loc &at) {
    return apply(Op::Where, {condition, a, b}, {}, at);
}

Tile cast(const Operand &x, DType dtype, const Loc &at) {
    return apply(Op::Cast, {x}, {{"dtype", pto::wsp::name(dtype)}}, at);
}

Tile slice(const Operand &x, const Operand &row, const Operand &column, const Affine &rows,
           const Affine &columns, const Loc &at) {
    return apply(Op::Slice, {x, row, column}, {{"rows", rows}, {"columns", columns}}, at);
}

Tile reshape(const Operand &x, const Affine &rows, const Affine &columns, const Loc &at) {
    return apply(Op::Reshape, {x}, {{"rows", rows}, {"columns", columns}}, at);
}

Tile extract_topk_indices(const Operand &pairs, const Affine &k, const Loc &at) {
    return apply(Op::ExtractTopkIndices, {pairs}, {{"k", k}}, at);
}

Tile topk_values(const Operand &x, const Affine &k, const Loc &at) {
    return apply(Op::TopkValues, {x}, {{"k", k}}, at);
}

Tile topk_indices(const Operand &x, const Affine &k, const Loc &at) {
    return apply(Op::TopkIndices, {x}, {{"k", k}}, at);
}

Tile iota_u32(Builder &builder, const Affine &columns, const Loc &at) {
    return {builder, builder.op(Op::IotaU32, {}, {{"columns", columns}}, at)};
}

Tile rmsnorm(const Operand &x, double eps, const Loc &at) {
    return apply(Op::Rmsnorm, {x}, {{"eps", eps}}, at);
}

Tile layernorm(const Operand &x, double eps, const Loc &at) {
    return apply(Op::Layernorm, {x}, {{"eps", eps}}, at);
}

Tile broadcast(const Operand &x, const Affine &rows, const Affine &columns, const Loc &at) {
    return apply(Op::Broadcast, {x}, {{"rows", rows}, {"columns", columns}}, at);
}

Tile row_index(Builder &builder, const Affine &rows, const Affine &columns, const Loc &at) {
    return {builder, builder.op(Op::RowIndex, {}, {{"rows", rows}, {"columns", columns}}, at)};
}

Tile column_index(Builder &builder, const Affine &columns, const Affine &rows, const Loc &at) {
    return {builder, builder.op(Op::ColumnIndex, {}, {{"rows", rows}, {"columns", columns}}, at)};
}

std::vector<Tile> fori_loop(
    const Operand &lo, const Operand &hi, const std::vector<Operand> &carries,
    const std::function<std::vector<Tile>(Tile index, const std::vector<Tile> &carries)> &body,
    const Loc &at) {
    std::vector<Operand> operands{lo, hi};
    operands.insert(operands.end(), carries.begin(), carries.end());
    Builder &builder = builder_of("fori_loop", operands, at);
    auto tiles = [&](const std::vector<Value> &values) {
        std::vector<Tile> made;
        made.reserve(values.size());
        for (Value value : values) {
            made.emplace_back(builder, value);
        }
        return made;
    };
    auto traced = [&](Value index, const std::vector<Value> &values) {
        std::vector<Value> yields;
        for (const Tile &tile : body(Tile(builder, index), tiles(values))) {
            yields.push_back(Operand(tile, at).in(builder));
        }
        return yields;
    };
    return tiles(
        builder.fori_loop(lo.in(builder), hi.in(builder), values_in(builder, carries), traced, at));
}

}  // namespace pto::wsp::tile
