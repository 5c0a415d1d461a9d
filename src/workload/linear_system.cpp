#include "workload/linear_system.h"

#include <algorithm>

namespace pto::wsp::workload {

namespace {

/// Products of values up to this size, and sums of some of them, stay far inside 128 bits.
constexpr Wide too_large = static_cast<Wide>(1) << 60;
constexpr int max_rounds = 32;

bool is_large(Wide value) {
    return value > too_large || value < -too_large;
}

}  // namespace

int LinearSystem::variable(Wide low, Wide high) {
    ranges_.push_back({low, high});
    return static_cast<int>(ranges_.size()) - 1;
}

void LinearSystem::restrict_to(int variable, Wide low, Wide high) {
    Range &range = ranges_[static_cast<size_t>(variable)];
    range = {std::max(range.low, low), std::min(range.high, high)};
}

void LinearSystem::require(const Terms &terms, Wide low, Wide high) {
    Sum sum{{}, low, high};
    for (const auto &[variable, coefficient] : terms) {
        const auto same = std::ranges::find(sum.terms, variable, &std::pair<int, Wide>::first);
        if (same == sum.terms.end()) {
            sum.terms.emplace_back(variable, coefficient);
        } else {
            same->second += coefficient;
        }
    }
    std::erase_if(sum.terms, [](const auto &term) { return term.second == 0; });
    const bool large =
        is_large(low) || is_large(high) || std::ranges::any_of(sum.terms, [&](const auto &term) {
            const Range &range = ranges_[static_cast<size_t>(term.first)];
            return is_large(term.second) || is_large(range.low) || is_large(range.high);
        });
    if (!large) {
        sums_.push_back(std::move(sum));
    }
}

/// False when a range gets empty.
bool LinearSystem::propagate(const Sum &sum, std::vector<Range> &ranges, bool &changed) {
    Range total{0, 0};
    for (const auto &[variable, coefficient] : sum.terms) {
        total = total + ranges[static_cast<size_t>(variable)] * coefficient;
    }
    if (total.low > sum.high || total.high < sum.low) {
        return false;
    }
    for (const auto &[variable, coefficient] : sum.terms) {
        Range &range = ranges[static_cast<size_t>(variable)];
        const Range own = range * coefficient;
        // What the other variables leave for this one.
        const Wide low = sum.low - (total.high - own.high);
        const Wide high = sum.high - (total.low - own.low);
        const Wide factor = coefficient < 0 ? -coefficient : coefficient;
        const Range bound = coefficient < 0
                                ? Range{-floor_div(high, factor), -ceil_div(low, factor)}
                                : Range{ceil_div(low, factor), floor_div(high, factor)};
        const Range next{std::max(range.low, bound.low), std::min(range.high, bound.high)};
        if (next.low > next.high) {
            return false;
        }
        changed |= next.low != range.low || next.high != range.high;
        range = next;
    }
    return true;
}

/// False when no multiple of the gcd of the open coefficients lies in the range.
bool LinearSystem::divides(const Sum &sum, const std::vector<Range> &ranges) {
    Wide fixed = 0;
    Wide gcd = 0;
    for (const auto &[variable, coefficient] : sum.terms) {
        const Range &range = ranges[static_cast<size_t>(variable)];
        if (range.low == range.high) {
            fixed += range.low * coefficient;
        } else {
            gcd = wide_gcd(gcd, coefficient);
        }
    }
    if (gcd == 0) {
        return sum.low <= fixed && fixed <= sum.high;
    }
    return floor_div(sum.high - fixed, gcd) >= ceil_div(sum.low - fixed, gcd);
}

bool LinearSystem::has_no_solution() const {
    std::vector<Range> ranges = ranges_;
    if (std::ranges::any_of(ranges, [](const Range &range) { return range.low > range.high; })) {
        return true;
    }
    bool changed = true;
    for (int round = 0; changed && round < max_rounds; ++round) {
        changed = false;
        for (const Sum &sum : sums_) {
            if (!propagate(sum, ranges, changed) || !divides(sum, ranges)) {
                return true;
            }
        }
    }
    return false;
}

}  // namespace pto::wsp::workload
