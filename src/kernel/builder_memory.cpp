#include "pto/wsp/kernel/builder.h"

#include <fmt/format.h>

#include "check.h"

/// What a Builder reads, writes and prints.
namespace pto::wsp::kernel {

Value Builder::load(int param, Value row, Value column, Affine rows, Affine columns, Loc at) {
    return op(Op::Load, {row, column},
              {{"param", int64_t{param}}, {"rows", rows}, {"columns", columns}}, std::move(at));
}

void Builder::store(int param, Value value, Loc at) {
    op(Op::Store, {value}, {{"param", int64_t{param}}}, std::move(at));
}

void Builder::store(int param, Value value, Value row, Value column, Loc at) {
    op(Op::Store, {value, row, column}, {{"param", int64_t{param}}}, std::move(at));
}

Value Builder::masked(Value loaded, Value mask, Loc at) {
    const TileType type = this->type(loaded);
    check_mask("load", this->type(mask), type, at);
    const size_t first = node_count();
    Value zero = is_integer(type.dtype) ? constant(Number(0), type.dtype, at)
                                        : constant(Number(0.0), type.dtype, at);
    Value result = op(Op::Where, {mask, loaded, zero}, {}, std::move(at));
    imply_from(first);
    return result;
}

void Builder::store_masked(int param, Value value, Value mask, Loc at) {
    op(Op::StoreMasked, {value, mask}, {{"param", int64_t{param}}}, std::move(at));
}

void Builder::store_masked(int param, Value value, Value mask, Value row, Value column, Loc at) {
    op(Op::StoreMasked, {value, mask, row, column}, {{"param", int64_t{param}}}, std::move(at));
}

void Builder::print(Value value, const std::string &label, Loc at) {
    op(Op::Print, {value},
       {{"label", label.empty() ? label_of(value) : label}, {"place", at.str()}}, at);
}

}  // namespace pto::wsp::kernel
