#pragma once

#include <utility>
#include <vector>

#include "workload/range.h"

namespace pto::wsp::workload {

/// Integer variables in ranges, and linear sums of them that must lie in ranges. Decides whether
/// there is surely no solution, by interval propagation (each sum bounds each of its variables) and
/// divisibility (the gcd of the coefficients must hit the range). Never says so wrongly; may miss
/// it, also because it gives up after some rounds.
///
/// Exact for mixed radix: from 512*x + 64*y in [-63, 63] and y in [-7, 7] follows x = 0, then y =
/// 0.
class LinearSystem {
public:
    using Terms = std::vector<std::pair<int, Wide>>;  ///< variable, coefficient

    /// A variable in [low, high]; returns its number.
    int variable(Wide low, Wide high);
    void restrict_to(int variable, Wide low, Wide high);
    /// low <= sum of terms <= high. A variable may appear more than once. A sum that could leave
    /// 128 bits is left out.
    void require(const Terms &terms, Wide low, Wide high);
    bool has_no_solution() const;

private:
    struct Sum {
        Terms terms;
        Wide low;
        Wide high;
    };

    static bool propagate(const Sum &sum, std::vector<Range> &ranges, bool &changed);
    static bool divides(const Sum &sum, const std::vector<Range> &ranges);

    std::vector<Range> ranges_;
    std::vector<Sum> sums_;
};

}  // namespace pto::wsp::workload
