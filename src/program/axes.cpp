#include "pto/wsp/program/axes.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "building.h"

namespace pto::wsp {

namespace {

RunData::Values shared(std::vector<int64_t> values) {
    return std::make_shared<const std::vector<int64_t>>(std::move(values));
}

void check_not_negative(const std::vector<int64_t> &values, const char *what, const Loc &at) {
    const auto wrong = std::ranges::find_if(values, [](int64_t value) { return value < 0; });
    if (wrong != values.end()) {
        throw TypeCheckError(
            at, fmt::format("{} {} is {}, must be >= 0", what, wrong - values.begin(), *wrong));
    }
}

/// `table[row]`, whose values the workload that is being built knows from now on.
ScalarExpr element(const std::string &table, const RunData::Values &values, const ScalarExpr &row,
                   const Loc &at) {
    Building &building = Building::required(table + "[...]", at);
    const auto [known, added] = building.tables.emplace(table, values);
    if (!added && *known->second != *values) {
        throw CompileError(at, fmt::format("two axes with other data are called '{}'", table), {},
                           "give each of them a name of its own");
    }
    building.builder.set_table(table, values);
    return ScalarExpr::load(table, row);
}

}  // namespace

Ragged::Ragged(std::string name, std::vector<int64_t> lengths, Loc at)
    : name_(std::move(name)), lengths_(lengths), table_(shared(std::move(lengths))),
      at_(std::move(at)) {
    check_not_negative(lengths_, "Ragged: length", at_);
}

Ragged Ragged::of_offsets(std::string name, std::vector<int64_t> offsets, Loc at) {
    if (offsets.empty() || offsets.front() != 0 || !std::ranges::is_sorted(offsets)) {
        throw TypeCheckError(at, "Ragged: offsets must start at 0 and not decrease");
    }
    std::vector<int64_t> lengths;
    for (size_t row = 1; row < offsets.size(); ++row) {
        lengths.push_back(offsets[row] - offsets[row - 1]);
    }
    Ragged made(std::move(name), std::move(lengths), std::move(at));
    made.table_ = shared(std::move(offsets));
    made.has_offsets_ = true;
    return made;
}

int64_t Ragged::total() const {
    return std::accumulate(lengths_.begin(), lengths_.end(), int64_t{0});
}

ScalarExpr Ragged::length(const ScalarExpr &row, const Loc &at) const {
    const ScalarExpr found = element(name_, table_, row, at);
    return has_offsets_ ? element(name_, table_, row + 1, at) - found : found;
}

ScalarExpr Ragged::offset(const ScalarExpr &row, const Loc &at) const {
    if (!has_offsets_) {
        throw CompileError(at,
                           fmt::format("'{}' is made of lengths: where its rows start is not "
                                       "known to a run",
                                       name_),
                           {{at_, "made here"}}, "Ragged::of_offsets(name, offsets)");
    }
    return element(name_, table_, row, at);
}

workload::Axis Ragged::places() const {
    return {workload::Axis::Kind::Ragged, offset(outer_size(), at_), "", at_};
}

Sparse::Sparse(std::string name, std::vector<int64_t> indptr, std::vector<int64_t> indices, Loc at)
    : name_(std::move(name)), indptr_(shared(std::move(indptr))),
      indices_(shared(std::move(indices))), at_(std::move(at)) {
    if (indptr_->empty() || indptr_->front() != 0 || !std::ranges::is_sorted(*indptr_)) {
        throw TypeCheckError(at_, "Sparse: indptr must start at 0 and not decrease");
    }
    if (indptr_->back() != nnz()) {
        throw TypeCheckError(at_, fmt::format("Sparse: indptr ends at {}, there are {} indices",
                                              indptr_->back(), nnz()));
    }
    check_not_negative(*indices_, "Sparse: index", at_);
}

AnyAxis Sparse::row(const ScalarExpr &row) const {
    const std::string starts = name_ + ".indptr";
    const std::string places = name_ + ".indices";
    const ScalarExpr first = element(starts, indptr_, row, at_);
    const ScalarExpr end = element(starts, indptr_, row + 1, at_);
    // Only the place is known where the loop begins; the table must be known before.
    (void)element(places, indices_, 0, at_);
    return {{workload::Axis::Kind::Sparse, end - first, "", at_}, places, first};
}

}  // namespace pto::wsp
