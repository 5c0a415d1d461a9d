#include "lane_extremes.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;

namespace {

/// The extreme of all lanes of `x`, of which there are a power of two.
Expr extreme_by_halves(Expr x, bool largest) {
    while (x.type().lanes() > 1) {
        const int half = x.type().lanes() / 2;
        const std::string name = unique_name("lanes");
        Expr lanes = Variable::make(x.type(), name);
        Expr low = Shuffle::make_slice(lanes, 0, 1, half);
        Expr high = Shuffle::make_slice(lanes, half, 1, half);
        x = Let::make(name, x, largest ? Max::make(low, high) : Min::make(low, high));
    }
    return x;
}

class HalveLaneExtremes : public IRMutator {
    using IRMutator::visit;

    Expr visit(const VectorReduce *op) override {
        const bool extreme = op->op == VectorReduce::Max || op->op == VectorReduce::Min;
        const int lanes = op->value.type().lanes();
        const bool halves = op->type.lanes() == 1 && (lanes & (lanes - 1)) == 0;
        if (!extreme || !halves || !op->type.is_float()) {
            return IRMutator::visit(op);
        }
        return extreme_by_halves(mutate(op->value), op->op == VectorReduce::Max);
    }
};

}  // namespace

Stmt halve_lane_extremes(const Stmt &statement) {
    return HalveLaneExtremes().mutate(statement);
}

}  // namespace pto::wsp::lower
