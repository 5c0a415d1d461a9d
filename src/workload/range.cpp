#include "workload/range.h"

#include <algorithm>
#include <bit>
#include <unordered_map>
#include <unordered_set>

#include "pto/wsp/core/scalar_text.h"

namespace pto::wsp::workload {

Sizes sizes_of(const LoopPath &path) {
    Sizes sizes;
    for (const LoopVar *variable : path) {
        const auto size = range_of_sum(0, variable->axis.size, sizes);
        if (!variable->value && size && size->high <= INT64_MAX) {
            sizes[variable->id] = std::max<int64_t>(static_cast<int64_t>(size->high), 0);
        }
    }
    return sizes;
}

Range operator+(const Range &a, const Range &b) {
    return {a.low + b.low, a.high + b.high};
}

Range operator*(const Range &a, Wide factor) {
    const Range result{a.low * factor, a.high * factor};
    return factor >= 0 ? result : Range{result.high, result.low};
}

Range range_of(const Affine &expr, const Sizes &sizes) {
    Range result{expr.constant(), expr.constant()};
    for (const auto &[name, coefficient] : expr.terms()) {
        const auto size = sizes.find(name);
        const Range values = size == sizes.end() ? any_value : Range{0, size->second - 1};
        result = result + values * coefficient;
    }
    return result;
}

Range intersection(const Range &a, const Range &b) {
    return {std::max(a.low, b.low), std::min(a.high, b.high)};
}

namespace {

constexpr Range all_values{INT64_MIN, INT64_MAX};

/// Empty when values may leave int64, where the program's arithmetic would wrap.
std::optional<Range> inside_int64(const Range &range) {
    const bool inside = range.low >= all_values.low && range.high <= all_values.high;
    return inside ? std::optional<Range>(range) : std::nullopt;
}

/// The values of `base + expr`.
struct Sum {
    Affine base;
    const ScalarExpr *expr = nullptr;
};
using Ranges = std::vector<std::optional<Range>>;

std::optional<Range> range_of_quotient(ScalarExpr::Op op, const std::optional<Range> &of,
                                       const std::optional<Range> &by) {
    if (!by || by->low <= 0 || by->low > by->high) {
        return std::nullopt;
    }
    if (op == ScalarExpr::Op::Mod) {
        const bool one_round = of && by->low == by->high &&
                               floor_div(of->low, by->low) == floor_div(of->high, by->low);
        const Wide before = one_round ? floor_div(of->low, by->low) * by->low : 0;
        return one_round ? Range{of->low - before, of->high - before} : Range{0, by->high - 1};
    }
    if (!of) {
        return std::nullopt;
    }
    return Range{std::min(floor_div(of->low, by->low), floor_div(of->low, by->high)),
                 std::max(floor_div(of->high, by->low), floor_div(of->high, by->high))};
}

std::optional<Range> range_of_product(std::optional<Range> a, std::optional<Range> b) {
    a = a ? inside_int64(*a) : a;
    b = b ? inside_int64(*b) : b;
    if (!a || !b) {
        return std::nullopt;
    }
    const auto [low, high] =
        std::minmax({a->low * b->low, a->low * b->high, a->high * b->low, a->high * b->high});
    return Range{low, high};
}

/// Of `& | ^`; known where the sign of the result is.
std::optional<Range> range_of_bits(ScalarExpr::Op op, std::optional<Range> a,
                                   std::optional<Range> b) {
    a = a ? inside_int64(*a) : a;
    b = b ? inside_int64(*b) : b;
    const bool positive_a = a && a->low >= 0;
    const bool positive_b = b && b->low >= 0;
    if (op == ScalarExpr::Op::BitAnd && (positive_a || positive_b)) {
        const Wide most = std::min(positive_a ? a->high : Wide{INT64_MAX},
                                   positive_b ? b->high : Wide{INT64_MAX});
        return Range{0, most};
    }
    if (!positive_a || !positive_b) {
        return std::nullopt;
    }
    const auto most = static_cast<uint64_t>(std::max(a->high, b->high));
    return Range{0, (Wide{1} << std::bit_width(most)) - 1};
}

/// As of the product with, or the quotient by, a power of 2.
std::optional<Range> range_of_shift(ScalarExpr::Op op, const std::optional<Range> &of,
                                    const std::optional<Range> &by) {
    if (!by || by->low < 0 || by->high > 62 || by->low > by->high) {
        return std::nullopt;
    }
    const Range factors{Wide{1} << static_cast<int>(by->low),
                        Wide{1} << static_cast<int>(by->high)};
    return op == ScalarExpr::Op::ShiftLeft
               ? range_of_product(of, factors)
               : range_of_quotient(ScalarExpr::Op::FloorDiv, of, factors);
}

std::optional<Range> range_of_either(ScalarExpr::Op op, std::optional<Range> a,
                                     std::optional<Range> b) {
    if (op != ScalarExpr::Op::Select && (a || b)) {
        // What is known of one side bounds the other.
        a = a ? a : all_values;
        b = b ? b : all_values;
    }
    if (!a || !b) {
        return std::nullopt;
    }
    switch (op) {
    case ScalarExpr::Op::Min:
        return Range{std::min(a->low, b->low), std::min(a->high, b->high)};
    case ScalarExpr::Op::Max:
        return Range{std::max(a->low, b->low), std::max(a->high, b->high)};
    default:
        return Range{std::min(a->low, b->low), std::max(a->high, b->high)};
    }
}

/// Ranges of one expression and of what it is made of. Sums that wait for those of their parts are
/// on a stack of their own: expressions may be deeper than the program's.
class RangeAnalysis {
public:
    RangeAnalysis(const ScalarExpr &root, const Sizes &sizes)
        : forms_(root.affine_forms()), sizes_(sizes) {}

    /// `expr` is the root or a part of it.
    std::optional<Range> range(const Affine &base, const ScalarExpr &expr) {
        std::vector<Waiting> stack;
        stack.push_back(begin({base, &expr}));
        while (true) {
            Waiting &top = stack.back();
            if (top.ranges.size() < top.parts.size()) {
                stack.push_back(begin(top.parts[top.ranges.size()]));
                continue;
            }
            const std::optional<Range> found = finish(top);
            stack.pop_back();
            if (stack.empty()) {
                return found;
            }
            stack.back().ranges.push_back(found);
        }
    }

private:
    struct Waiting {
        Sum sum;
        std::optional<std::optional<Range>> known;
        std::vector<Sum> parts;
        Ranges ranges;  ///< of the parts, as far as they are known
    };

    bool is_known(const Affine &affine) const {
        return std::ranges::all_of(affine.terms(),
                                   [&](const auto &term) { return sizes_.contains(term.first); });
    }

    const std::optional<Affine> &form(const ScalarExpr &expr) const {
        return forms_.at(expr.identity());
    }

    Waiting begin(Sum sum) const {
        const ScalarExpr &expr = *sum.expr;
        Waiting waiting{std::move(sum), {}, {}, {}};
        const Affine &base = waiting.sum.base;
        const bool bare = base == Affine(0);
        if (const auto found = ranges_.find(expr.identity()); bare && found != ranges_.end()) {
            waiting.known = found->second;
        } else if (!is_known(base) || (form(expr) && !is_known(*form(expr)))) {
            waiting.known = std::optional<Range>();
        } else if (form(expr)) {
            waiting.known = range_of(base + *form(expr), sizes_);
        } else {
            waiting.parts = parts_of(base, expr);
        }
        return waiting;
    }

    std::vector<Sum> parts_of(const Affine &base, const ScalarExpr &expr) const {
        using Op = ScalarExpr::Op;
        const std::vector<ScalarExpr> &x = expr.operands();
        switch (expr.op()) {
        case Op::Min:
        case Op::Max:
            return {{base, &x[0]}, {base, &x[1]}};
        case Op::Select:
            return {{base, &x[1]}, {base, &x[2]}};
        case Op::Add:
            if (form(x[0])) {
                return {{base + *form(x[0]), &x[1]}};
            }
            if (form(x[1])) {
                return {{base + *form(x[1]), &x[0]}};
            }
            return {{base, &x[0]}, {0, &x[1]}};
        case Op::Sub:
            if (form(x[1])) {
                return {{base - *form(x[1]), &x[0]}};
            }
            return {{base, &x[0]}, {0, &x[1]}};
        case Op::Mul:
        case Op::FloorDiv:
        case Op::Mod:
        case Op::BitAnd:
        case Op::BitOr:
        case Op::BitXor:
        case Op::ShiftLeft:
        case Op::ShiftRight:
            return {{0, &x[0]}, {0, &x[1]}};
        default:
            return {};
        }
    }

    std::optional<Range> finish(const Waiting &waiting) {
        if (waiting.known) {
            return *waiting.known;
        }
        const std::optional<Range> found = combine(waiting);
        if (waiting.sum.base == Affine(0)) {
            ranges_.emplace(waiting.sum.expr->identity(), found);
        }
        return found;
    }

    std::optional<Range> combine(const Waiting &waiting) const {
        using Op = ScalarExpr::Op;
        const Ranges &x = waiting.ranges;
        const auto plus_base = [&](const std::optional<Range> &range) {
            return range ? std::optional<Range>(*range + range_of(waiting.sum.base, sizes_))
                         : std::nullopt;
        };
        const Op op = waiting.sum.expr->op();
        switch (op) {
        case Op::Min:
        case Op::Max:
        case Op::Select:
            return range_of_either(op, x[0], x[1]);
        case Op::Add:
        case Op::Sub:
            if (x.size() == 1) {
                return x[0];
            }
            return x[0] && x[1] ? std::optional<Range>(*x[0] + *x[1] * (op == Op::Add ? 1 : -1))
                                : std::nullopt;
        case Op::Mul:
            return plus_base(range_of_product(x[0], x[1]));
        case Op::FloorDiv:
        case Op::Mod:
            return plus_base(range_of_quotient(op, x[0], x[1]));
        case Op::BitAnd:
        case Op::BitOr:
        case Op::BitXor:
            return plus_base(range_of_bits(op, x[0], x[1]));
        case Op::ShiftLeft:
        case Op::ShiftRight:
            return plus_base(range_of_shift(op, x[0], x[1]));
        case Op::Eq:
        case Op::Ne:
        case Op::Lt:
        case Op::Le:
        case Op::Gt:
        case Op::Ge:
        case Op::And:
        case Op::Or:
        case Op::Not:
            return plus_base(Range{0, 1});
        default:
            return std::nullopt;
        }
    }

    ScalarExpr::AffineForms forms_;
    const Sizes &sizes_;
    std::unordered_map<const void *, std::optional<Range>> ranges_;  ///< without a base
};

}  // namespace

std::optional<Range> range_of_sum(const Affine &base, const ScalarExpr &expr, const Sizes &sizes) {
    return RangeAnalysis(expr, sizes).range(base, expr);
}

namespace {

/// What is wrong with the right operand of `part`.
std::optional<UnsafeOperand> unsafe_right(const ScalarExpr &part, RangeAnalysis &analysis) {
    using Op = ScalarExpr::Op;
    const bool divides = part.op() == Op::FloorDiv || part.op() == Op::Mod;
    if (!divides && part.op() != Op::ShiftLeft && part.op() != Op::ShiftRight) {
        return std::nullopt;
    }
    const ScalarExpr &operand = part.operands()[1];
    const auto range = analysis.range(0, operand);
    if (divides) {
        return range && (range->low > 0 || range->high < 0)
                   ? std::nullopt
                   : std::optional(UnsafeOperand{
                         &operand, "the divisor " + shown(operand) + " may be 0",
                         "divide by a number or by an expression that is at least 1"});
    }
    return range && range->low >= 0 && range->high <= 63
               ? std::nullopt
               : std::optional(UnsafeOperand{
                     &operand, "the shift count " + shown(operand) + " may be outside 0...63",
                     "keep it inside, as in n % 64"});
}

}  // namespace

std::optional<UnsafeOperand> unsafe_operand(const ScalarExpr &expr, const Sizes &sizes) {
    using Op = ScalarExpr::Op;
    RangeAnalysis analysis(expr, sizes);
    std::unordered_set<const void *> seen;
    std::vector<const ScalarExpr *> pending{&expr};
    while (!pending.empty()) {
        const ScalarExpr &part = *pending.back();
        pending.pop_back();
        if (!seen.insert(part.identity()).second) {
            continue;
        }
        if (auto found = unsafe_right(part, analysis)) {
            return found;
        }
        const bool first_only =
            part.op() == Op::And || part.op() == Op::Or || part.op() == Op::Select;
        for (size_t i = first_only ? 1 : part.operands().size(); i-- > 0;) {
            pending.push_back(&part.operands()[i]);
        }
    }
    return std::nullopt;
}

std::string wide_text(Wide value) {
    if (value < 0) {
        return "-" + wide_text(-value);
    }
    const auto digit = static_cast<char>('0' + static_cast<int>(value % 10));
    return (value >= 10 ? wide_text(value / 10) : "") + digit;
}

Wide wide_gcd(Wide a, Wide b) {
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b != 0) {
        const Wide rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

Wide floor_div(Wide a, Wide b) {
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}
Wide ceil_div(Wide a, Wide b) {
    return -floor_div(-a, b);
}

}  // namespace pto::wsp::workload
