#include "pto/wsp/workload/symbol_uses.h"

#include "pto/wsp/workload/names.h"

namespace pto::wsp::workload {

namespace {

using Kind = SymbolUse::Kind;

/// Gathers uses; one of an earlier Kind counts more.
class Uses {
public:
    void add(const Node &node) {
        // Of the node's own expressions only: its children are shared.
        Node copy = node;
        if (auto *task = std::get_if<TaskNode>(&copy.kind)) {
            take_arguments(*task, node.at);
        }
        for_each_expression(copy, [&](const ScalarExpr &expr) {
            for (const std::string &symbol : expr.names(ScalarExpr::Op::Symbol)) {
                add(symbol, Kind::Integer, node.at);
            }
        });
    }

    std::map<std::string, SymbolUse> take() { return std::move(found_); }

private:
    SymbolUse &add(const std::string &symbol, Kind kind, const Loc &at) {
        const auto [use, added] = found_.try_emplace(symbol, SymbolUse{kind, {}, at});
        // As an address a symbol is an integer; as both it is one that floats convert.
        const Kind both = added || use->second.kind == kind ? kind : Kind::Integer;
        if (both != use->second.kind) {
            use->second.kind = both;
            use->second.at = kind == Kind::Float ? use->second.at : at;
        }
        return use->second;
    }

    /// Leaves out what is no use as an integer.
    void take_arguments(TaskNode &task, const Loc &at) {
        for (size_t i = 0; i < task.arguments.size(); ++i) {
            const auto *expr = std::get_if<ScalarExpr>(&task.arguments[i].value);
            const DType dtype = task.kernel->params[i].type.dtype;
            if (expr == nullptr || expr->op() != ScalarExpr::Op::Symbol ||
                (!is_float(dtype) && dtype != DType::U64)) {
                continue;
            }
            SymbolUse &use = add(expr->name(), is_float(dtype) ? Kind::Float : Kind::Address, at);
            if (is_float(dtype)) {
                use.dtypes.insert(dtype);
            }
            task.arguments[i].value = ScalarExpr(0);
        }
        // What checks look at is what the arguments are made of.
        task.checks.clear();
    }

    std::map<std::string, SymbolUse> found_;
};

}  // namespace

const char *values_of(SymbolUse::Kind kind) {
    static constexpr const char *texts[] = {"an integer", "an integer or an address", "a float"};
    return texts[static_cast<size_t>(kind)];
}

std::map<std::string, SymbolUse> symbol_uses(const Workload &workload) {
    Uses uses;
    for_each_node(*workload.root, [&](const Node &node, const LoopPath &) { uses.add(node); });
    return uses.take();
}

}  // namespace pto::wsp::workload
