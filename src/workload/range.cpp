#include "workload/range.h"

#include <algorithm>

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

std::optional<Range> range_of_quotient(const ScalarExpr &expr, const Sizes &sizes) {
    const auto by = range_of_sum(0, expr.operands()[1], sizes);
    if (!by || by->low <= 0) {
        return std::nullopt;
    }
    const auto of = range_of_sum(0, expr.operands()[0], sizes);
    if (expr.op() == ScalarExpr::Op::Mod) {
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

std::optional<Range> range_of_product(const ScalarExpr &expr, const Sizes &sizes) {
    auto a = range_of_sum(0, expr.operands()[0], sizes);
    auto b = range_of_sum(0, expr.operands()[1], sizes);
    a = a ? inside_int64(*a) : a;
    b = b ? inside_int64(*b) : b;
    if (!a || !b) {
        return std::nullopt;
    }
    const auto [low, high] =
        std::minmax({a->low * b->low, a->low * b->high, a->high * b->low, a->high * b->high});
    return Range{low, high};
}

std::optional<Range> range_of_either(const Affine &base, const ScalarExpr &expr,
                                     const Sizes &sizes) {
    const auto &operands = expr.operands();
    const size_t first = expr.op() == ScalarExpr::Op::Select ? 1 : 0;
    auto a = range_of_sum(base, operands[first], sizes);
    auto b = range_of_sum(base, operands[first + 1], sizes);
    if (expr.op() != ScalarExpr::Op::Select && (a || b)) {
        // What is known of one side bounds the other.
        a = a ? a : all_values;
        b = b ? b : all_values;
    }
    if (!a || !b) {
        return std::nullopt;
    }
    switch (expr.op()) {
    case ScalarExpr::Op::Min:
        return Range{std::min(a->low, b->low), std::min(a->high, b->high)};
    case ScalarExpr::Op::Max:
        return Range{std::max(a->low, b->low), std::max(a->high, b->high)};
    default:
        return Range{std::min(a->low, b->low), std::max(a->high, b->high)};
    }
}

}  // namespace

std::optional<Range> range_of_sum(const Affine &base, const ScalarExpr &expr, const Sizes &sizes) {
    const auto known = [&](const Affine &affine) {
        return std::ranges::all_of(affine.terms(),
                                   [&](const auto &term) { return sizes.contains(term.first); });
    };
    if (!known(base)) {
        return std::nullopt;
    }
    if (const auto affine = expr.as_affine()) {
        if (!known(*affine)) {
            return std::nullopt;
        }
        return range_of(base + *affine, sizes);
    }
    using Op = ScalarExpr::Op;
    const auto plus_base = [&](std::optional<Range> range) {
        return range ? std::optional<Range>(*range + range_of(base, sizes)) : std::nullopt;
    };
    switch (expr.op()) {
    case Op::Min:
    case Op::Max:
    case Op::Select:
        return range_of_either(base, expr, sizes);
    case Op::Add: {
        const auto left = expr.operands()[0].as_affine();
        const auto right = expr.operands()[1].as_affine();
        if (left) {
            return range_of_sum(base + *left, expr.operands()[1], sizes);
        }
        if (right) {
            return range_of_sum(base + *right, expr.operands()[0], sizes);
        }
        const auto a = range_of_sum(base, expr.operands()[0], sizes);
        const auto b = range_of_sum(0, expr.operands()[1], sizes);
        return a && b ? std::optional<Range>(*a + *b) : std::nullopt;
    }
    case Op::Sub: {
        const auto right = expr.operands()[1].as_affine();
        if (right) {
            return range_of_sum(base - *right, expr.operands()[0], sizes);
        }
        const auto a = range_of_sum(base, expr.operands()[0], sizes);
        const auto b = range_of_sum(0, expr.operands()[1], sizes);
        return a && b ? std::optional<Range>(*a + *b * -1) : std::nullopt;
    }
    case Op::Mul:
        return plus_base(range_of_product(expr, sizes));
    case Op::FloorDiv:
    case Op::Mod:
        return plus_base(range_of_quotient(expr, sizes));
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

const ScalarExpr *divisor_that_may_be_zero(const ScalarExpr &expr, const Sizes &sizes) {
    for (const ScalarExpr &operand : expr.operands()) {
        if (const ScalarExpr *found = divisor_that_may_be_zero(operand, sizes)) {
            return found;
        }
    }
    if (expr.op() != ScalarExpr::Op::FloorDiv && expr.op() != ScalarExpr::Op::Mod) {
        return nullptr;
    }
    const ScalarExpr &divisor = expr.operands()[1];
    const auto range = range_of_sum(0, divisor, sizes);
    return range && (range->low > 0 || range->high < 0) ? nullptr : &divisor;
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
