#include "workload/cells.h"

#include <algorithm>

namespace pto::wsp::workload {

namespace {

/// a + b, kept affine where it is.
ScalarExpr sum(const ScalarExpr &a, const ScalarExpr &b) {
    const auto x = a.as_affine();
    const auto y = b.as_affine();
    if (x && y) {
        return ScalarExpr::from(*x + *y);
    }
    return ScalarExpr::make(ScalarExpr::Op::Add, {a, b});
}

/// Adds the next slower dimension to a box; joins it with the one before when they are contiguous.
void add_extent(std::vector<CellAccess::Extent> &box, int64_t count, int64_t stride) {
    if (count == 1) {
        return;
    }
    if (!box.empty() && box.back().count * box.back().stride == stride) {
        box.back().count *= count;
        return;
    }
    box.push_back({count, stride});
}

/// An access of more cells than this along a dimension makes cells longer: an access to a part, one
/// to all there is, and in all dimensions together.
constexpr int64_t max_partial_box = 16;
constexpr int64_t max_whole_box = 1024;
constexpr int64_t max_box = int64_t{1} << 14;

}  // namespace

CellMap::CellMap(const std::vector<std::pair<const Site *, const DataAccess *>> &accesses) {
    dims_.resize(accesses.front().second->offsets.size());
    for (size_t d = 0; d < dims_.size(); ++d) {
        Dimension &dim = dims_[d];
        std::vector<Range> ranges;
        ranges.reserve(accesses.size());
        for (const auto &[site, access] : accesses) {
            ranges.push_back(range_of_offset(*site, *access, d));
        }
        dim.low = std::ranges::min(ranges, {}, &Range::low).low;
        Wide end = dim.low;
        for (size_t i = 0; i < accesses.size(); ++i) {
            const auto &[site, access] = accesses[i];
            dim.add(*site, access->offsets[d], access->extents[d]);
            end = std::max(end, ranges[i].high + access->extents[d]);
        }
        dim.units = (end - dim.low) / dim.unit;
        dim.step /= dim.unit;
        dim.longest /= dim.unit;
        dim.limit_box();
    }
    while (cells() > max_cells || longest_box() > max_box) {
        Dimension &largest = *std::ranges::max_element(dims_, {}, &Dimension::cells);
        largest.coarsen();
    }
}

void CellMap::Dimension::add(const Site &site, const Affine &offset, int64_t extent) {
    unit = wide_gcd(unit, offset.constant() - low);
    unit = wide_gcd(unit, extent);
    longest = std::max<Wide>(longest, extent);
    for (const LoopVar *variable : site.path) {
        const Wide distance = wide_gcd(0, offset.coefficient(variable->id));
        if (distance != 0 && (variable->value || variable->axis.constant().value_or(2) > 1)) {
            unit = wide_gcd(unit, distance);
            step = step == 0 ? distance : std::min(step, distance);
        }
    }
}

void CellMap::Dimension::limit_box() {
    const int64_t limit = units > longest ? max_partial_box : max_whole_box;
    if (longest > limit && step > 1 && units > longest) {
        cell = std::min(step, units);
    }
    while (count(longest) > limit) {
        coarsen();
    }
}

Wide CellMap::longest_box() const {
    Wide product = 1;
    for (const Dimension &dim : dims_) {
        product = std::min<Wide>(product * dim.count(dim.longest), Wide{1} << 62);
    }
    return product;
}

int64_t CellMap::cells() const {
    Wide product = 1;
    for (const Dimension &dim : dims_) {
        product = std::min<Wide>(product * dim.cells(), Wide{1} << 62);
    }
    return static_cast<int64_t>(product);
}

CellAccess CellMap::access(const DataAccess &access) const {
    CellAccess result;
    result.reads = access.reads;
    result.writes = access.writes;
    int64_t stride = 1;
    for (size_t d = dims_.size(); d-- > 0;) {
        const Dimension &dim = dims_[d];
        const Wide length = dim.unit * dim.cell;
        const Affine offset = access.offsets[d] - static_cast<int64_t>(dim.low);
        const auto divides = [&](int64_t value) { return value % length == 0; };
        const bool aligned =
            divides(offset.constant()) &&
            std::ranges::all_of(offset.terms(), [&](const auto &t) { return divides(t.second); });
        Affine exact(offset.constant() / static_cast<int64_t>(length));
        for (const auto &[name, coefficient] : offset.terms()) {
            exact = exact + Affine::variable(name, coefficient / static_cast<int64_t>(length));
        }
        const ScalarExpr first =
            aligned
                ? ScalarExpr::from(exact * stride)
                : ScalarExpr::make(
                      ScalarExpr::Op::Mul,
                      {ScalarExpr::make(ScalarExpr::Op::FloorDiv,
                                        {ScalarExpr::from(offset), static_cast<int64_t>(length)}),
                       stride});
        result.first = sum(result.first, first);
        const Wide units = access.extents[d] / dim.unit;
        result.covers = result.covers && aligned && units % dim.cell == 0;
        const auto count =
            static_cast<int64_t>(aligned ? ceil_div(units, dim.cell) : dim.count(units));
        add_extent(result.box, count, stride);
        stride *= static_cast<int64_t>(dim.cells());
    }
    return result;
}

}  // namespace pto::wsp::workload
