#include "workload/live_accesses.h"

#include <algorithm>
#include <numeric>

namespace pto::wsp::workload {

bool Live::meets(const Live &other) const {
    for (size_t d = 0; d < first.size(); ++d) {
        if (first[d] >= other.first[d] + other.extents[d] ||
            other.first[d] >= first[d] + extents[d]) {
            return false;
        }
    }
    return true;
}

bool Live::covers(const Live &other) const {
    for (size_t d = 0; d < first.size(); ++d) {
        if (first[d] > other.first[d] ||
            first[d] + extents[d] < other.first[d] + other.extents[d]) {
            return false;
        }
    }
    return true;
}

void LiveAccesses::expect(const DataAccess &access) {
    for (size_t d = 0; d < std::min(access.extents.size(), bucket_dims); ++d) {
        if (d == unit_.size()) {
            unit_.push_back(access.extents[d]);
        }
        unit_[d] = std::min(unit_[d], access.extents[d]);
    }
}

std::vector<uint64_t> LiveAccesses::buckets(const Live &box) const {
    std::vector<uint64_t> result{0};
    for (size_t d = 0; d < unit_.size(); ++d) {
        const auto low = static_cast<int64_t>(floor_div(box.first[d], unit_[d]));
        const auto high =
            static_cast<int64_t>(floor_div(box.first[d] + box.extents[d] - 1, unit_[d]));
        if ((high - low + 1) > max_buckets / static_cast<int64_t>(result.size())) {
            return {};
        }
        std::vector<uint64_t> next;
        for (const uint64_t before : result) {
            for (int64_t i = low; i <= high; ++i) {
                // Buckets that fall together are searched together: a mixed key is enough.
                next.push_back((before * 0x9E3779B97F4A7C15u) ^ static_cast<uint64_t>(i));
            }
        }
        result = std::move(next);
    }
    return result;
}

std::vector<size_t> LiveAccesses::near(const Live &box) {
    std::vector<size_t> found;
    const std::vector<uint64_t> touched = buckets(box);
    if (touched.empty()) {
        found.resize(all_.size());
        std::iota(found.begin(), found.end(), size_t{0});
    }
    for (const uint64_t bucket : touched) {
        std::vector<size_t> &there = by_bucket_[bucket];
        std::erase_if(there, [&](size_t i) { return removed_[i]; });
        found.insert(found.end(), there.begin(), there.end());
    }
    if (!touched.empty()) {
        std::erase_if(wide_, [&](size_t i) { return removed_[i]; });
        found.insert(found.end(), wide_.begin(), wide_.end());
    }
    std::ranges::sort(found);
    found.erase(std::unique(found.begin(), found.end()), found.end());
    std::erase_if(found, [&](size_t i) { return removed_[i]; });
    return found;
}

std::vector<const Live *> LiveAccesses::meeting(const Live &box) {
    std::vector<const Live *> result;
    for (const size_t i : near(box)) {
        if (all_[i].meets(box)) {
            result.push_back(&all_[i]);
        }
    }
    return result;
}

void LiveAccesses::add(Live box) {
    const size_t number = all_.size();
    const std::vector<uint64_t> touched = buckets(box);
    for (const uint64_t bucket : touched) {
        by_bucket_[bucket].push_back(number);
    }
    if (touched.empty()) {
        wide_.push_back(number);
    }
    all_.push_back(std::move(box));
    removed_.push_back(false);
}

void LiveAccesses::remove_covered(const Live &box) {
    for (const size_t i : near(box)) {
        if (all_[i].vertex != box.vertex && box.covers(all_[i])) {
            removed_[i] = true;
        }
    }
}

}  // namespace pto::wsp::workload
