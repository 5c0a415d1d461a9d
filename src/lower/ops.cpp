#include "ops.h"

#include <array>

#include "pto/wsp/support/error.h"

/// The lowering table: one entry for every row of kernel/ops.def, in its order.
namespace pto::wsp::lower {

/// Rows that the statements around the regions handle.
#define PTO_WSP_STATEMENT(op)                                                                      \
    template <> void define_op<kernel::Op::op>(Definition &) {                                     \
        throw InternalError("lower",                                                               \
                            std::string(kernel::name(kernel::Op::op)) + " is a statement");        \
    }
PTO_WSP_STATEMENT(Load)
PTO_WSP_STATEMENT(Store)
PTO_WSP_STATEMENT(StoreMasked)
PTO_WSP_STATEMENT(Print)
PTO_WSP_STATEMENT(ForiLoop)
#undef PTO_WSP_STATEMENT

#define PTO_WSP_TILE_OP(op, ...) template <> void define_op<kernel::Op::op>(Definition &);
#include "pto/wsp/kernel/ops.def"
#undef PTO_WSP_TILE_OP

namespace {

constexpr std::array<void (*)(Definition &), kernel::op_count> table = {
#define PTO_WSP_TILE_OP(op, ...) &define_op<kernel::Op::op>,
#include "pto/wsp/kernel/ops.def"
#undef PTO_WSP_TILE_OP
};

}  // namespace

void define(Definition &definition) {
    table[static_cast<size_t>(definition.node.op)](definition);
    definition.result.one_row = definition.type.rows == Affine(1);
    definition.result.one_column = definition.type.columns == Affine(1);
}

}  // namespace pto::wsp::lower
