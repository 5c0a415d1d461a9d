#include "pto/wsp/kernel/op.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "infer.h"
#include "reference.h"

namespace pto::wsp::kernel {

namespace {

constexpr std::array<OpInfo, op_count> make_table() {
    using namespace accuracy;
    return {{
#define PTO_WSP_TILE_OP(op, name, kind, operands, attributes, promises, accuracy, doc, infer,      \
                        reference)                                                                 \
    {Op::op, #name, OpKind::kind, operands, attributes, promises, accuracy, doc, infer, reference},
#include "pto/wsp/kernel/ops.def"
#undef PTO_WSP_TILE_OP
    }};
}

constexpr std::array<OpInfo, op_count> table = make_table();

constexpr bool all_state_accuracy() {
    for (const OpInfo &row : table) {
        if (row.accuracy.kind == Accuracy::Kind::Unstated) {
            return false;
        }
    }
    return true;
}
static_assert(all_state_accuracy(), "a row of ops.def does not state its accuracy");

constexpr std::array composed_table = {
#define PTO_WSP_COMPOSED(name, operations, vector) ComposedInfo{#name, operations, vector},
#include "pto/wsp/kernel/composed.def"
#undef PTO_WSP_COMPOSED
};

int count_operands(std::string_view text, bool optional) {
    int count = 0;
    while (!text.empty()) {
        size_t comma = text.find(',');
        std::string_view part = text.substr(0, comma);
        bool is_optional = part.back() == '?' || part.back() == '.';
        count += optional || !is_optional ? 1 : 0;
        text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
    }
    return count;
}

}  // namespace

int OpInfo::min_arity() const {
    return count_operands(operands, false);
}

int OpInfo::max_arity() const {
    return std::string_view(operands).find("...") != std::string_view::npos
               ? 1 << 16
               : count_operands(operands, true);
}

bool OpInfo::is_extreme() const {
    return std::string_view(promises).find("ignore_nan") != std::string_view::npos;
}

std::span<const ComposedInfo> composed() {
    return composed_table;
}

std::span<const OpInfo> ops() {
    return table;
}

const OpInfo &info(Op op) {
    return table[static_cast<size_t>(op)];
}

const OpInfo *find_op(std::string_view name) {
    const auto *it = std::find_if(table.begin(), table.end(),
                                  [&](const OpInfo &row) { return row.name == name; });
    return it == table.end() ? nullptr : it;
}

}  // namespace pto::wsp::kernel
