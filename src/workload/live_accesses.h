#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "workload/access.h"

namespace pto::wsp::workload {

/// What a task did to a box of a storage's frame.
struct Live {
    int vertex = 0;
    bool reads = false;
    bool writes = false;
    std::vector<int64_t> first;
    std::vector<int64_t> extents;

    bool meets(const Live &other) const;
    /// Every element of `other` is one of this.
    bool covers(const Live &other) const;
};

/// Accesses to one storage that later ones may conflict with, found by where they are.
class LiveAccesses {
public:
    /// An access of the workload to this storage, before the first `add`: chooses the length of a
    /// bucket.
    void expect(const DataAccess &access);

    /// Those that share an element with `box`, in the order of `add`.
    std::vector<const Live *> meeting(const Live &box);
    void add(Live box);
    /// Removes those of other vertices that `box` covers.
    void remove_covered(const Live &box);

private:
    /// Boxes of more buckets than this are looked at by every search.
    static constexpr int64_t max_buckets = 64;
    static constexpr size_t bucket_dims = 2;

    /// The buckets that a box touches; empty: too many.
    std::vector<uint64_t> buckets(const Live &box) const;
    /// Indices of those that may meet `box`, ascending.
    std::vector<size_t> near(const Live &box);

    std::vector<Live> all_;
    std::vector<bool> removed_;
    std::unordered_map<uint64_t, std::vector<size_t>> by_bucket_;
    std::vector<size_t> wide_;
    std::vector<int64_t> unit_;  ///< length of a bucket in the first dimensions
};

}  // namespace pto::wsp::workload
