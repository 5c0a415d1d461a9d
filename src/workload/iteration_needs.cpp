#include "workload/iteration_needs.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>

namespace pto::wsp::workload {

namespace {

/// The loops by which a nest counts its iterations.
class Counter {
public:
    /// Nothing when several have sizes that only the run knows.
    static std::optional<Counter> of(const LoopPath &loops) {
        Counter made;
        int open = 0;
        for (const LoopVar *variable : loops) {
            const std::optional<int64_t> size = variable->axis.constant();
            made.sizes_.push_back(size.value_or(0));
            made.known_ *= size.value_or(1);
            open += size ? 0 : 1;
        }
        return open <= 1 ? std::optional(std::move(made)) : std::nullopt;
    }

    /// The indices of the loops at an iteration out of `of`.
    void indices(int64_t iteration, int64_t of, std::vector<int64_t> &result) const {
        result.resize(sizes_.size());
        for (size_t i = sizes_.size(); i-- > 0;) {
            const int64_t size = sizes_[i] > 0 ? sizes_[i] : std::max<int64_t>(of / known_, 1);
            result[i] = iteration % size;
            iteration /= size;
        }
    }

private:
    std::vector<int64_t> sizes_;  ///< 0: the run decides
    int64_t known_ = 1;           ///< product of the others
};

/// Elements along each dimension of a storage.
using Box = std::vector<Range>;

bool meet(const Box &a, const Box &b) {
    for (size_t d = 0; d < a.size(); ++d) {
        if (a[d].low > b[d].high || b[d].low > a[d].high) {
            return false;
        }
    }
    return true;
}

/// What of a storage is lost, in the order of one dimension.
class LostBoxes {
public:
    void add(const Box &box) { boxes_.push_back(box); }

    /// When all are added.
    void sort() {
        size_t most = 0;
        for (size_t d = 0; !boxes_.empty() && d < boxes_.front().size(); ++d) {
            std::set<Wide> places;
            for (const Box &box : boxes_) {
                places.insert(box[d].low);
            }
            if (places.size() > most) {
                most = places.size();
                dim_ = d;
            }
        }
        if (most == 0) {
            return;
        }
        std::ranges::sort(boxes_, {}, [this](const Box &box) { return box[dim_].low; });
        boxes_.erase(std::unique(boxes_.begin(), boxes_.end()), boxes_.end());
        for (const Box &box : boxes_) {
            const Wide before = highest_.empty() ? box[dim_].high : highest_.back();
            highest_.push_back(std::max(before, box[dim_].high));
        }
    }

    bool meets(const Box &own) const {
        if (own.empty()) {
            return !boxes_.empty();
        }
        const auto low = [this](const Box &box) { return box[dim_].low; };
        const auto behind = std::ranges::upper_bound(boxes_, own[dim_].high, {}, low);
        for (auto i = static_cast<size_t>(behind - boxes_.begin());
             i-- > 0 && highest_[i] >= own[dim_].low;) {
            if (meet(boxes_[i], own)) {
                return true;
            }
        }
        return false;
    }

private:
    std::vector<Box> boxes_;
    size_t dim_ = 0;
    std::vector<Wide> highest_;  ///< of a box and all before it
};

/// What an iteration of a nest does to a storage.
class Access {
public:
    Access(const Site &site, const DataAccess &access, const LoopPath &nest)
        : storage_(access.storage) {
        for (size_t d = 0; d < access.offsets.size(); ++d) {
            Dim dim{{}, {}, access.extents[d], access.limits[d]};
            Affine inside = access.offsets[d];
            for (const LoopVar *variable : nest) {
                const std::string &id = variable->id;
                dim.factors.push_back(variable->value ? 0 : inside.coefficient(id));
                if (dim.factors.back() != 0) {
                    inside = inside - Affine::variable(id, dim.factors.back());
                }
            }
            dim.inside = range_of(inside, site.sizes);
            dims_.push_back(std::move(dim));
        }
    }

    int storage() const { return storage_; }

    void box(const std::vector<int64_t> &indices, Box &result) const {
        result.clear();
        for (const Dim &dim : dims_) {
            Wide at = 0;
            for (size_t i = 0; i < indices.size(); ++i) {
                at += Wide{dim.factors[i]} * indices[i];
            }
            Range first = intersection(dim.inside + Range{at, at}, dim.limits);
            first = first.low <= first.high ? first : dim.limits;
            result.push_back({first.low, first.high + dim.extent - 1});
        }
    }

    bool operator==(const Access &) const = default;

private:
    struct Dim {
        std::vector<int64_t> factors;  ///< of the indices of the nest's loops
        Range inside;                  ///< of the offset, from loops inside and values
        int64_t extent = 1;
        Range limits;
        bool operator==(const Dim &) const = default;
    };
    int storage_;
    std::vector<Dim> dims_;
};

struct Needs {
    Counter writer;
    Counter reader;
    std::vector<Access> writes;  ///< each once, as the reads
    std::vector<Access> reads;
};

NeedsLost needs_of(const std::shared_ptr<const Needs> &needs, const std::vector<int64_t> &lost,
                   int64_t of, int64_t mine) {
    std::map<int, LostBoxes> boxes;
    std::vector<int64_t> indices;
    Box box;
    for (const int64_t iteration : lost) {
        needs->writer.indices(iteration, of, indices);
        for (const Access &write : needs->writes) {
            write.box(indices, box);
            boxes[write.storage()].add(box);
        }
    }
    for (auto &[storage, of_storage] : boxes) {
        of_storage.sort();
    }
    return [needs, boxes = std::move(boxes), mine](int64_t iteration) {
        thread_local std::vector<int64_t> indices;
        thread_local Box own;
        needs->reader.indices(iteration, mine, indices);
        return std::ranges::any_of(needs->reads, [&](const Access &read) {
            read.box(indices, own);
            return boxes.at(read.storage()).meets(own);
        });
    };
}

/// What the sites of a nest write, or read.
std::vector<Access> accesses_of(const NestSites &sites, const AccessTable &table,
                                bool DataAccess::*does) {
    std::vector<Access> result;
    for (size_t i = sites.first; i < sites.last; ++i) {
        const Site &site = table.sites()[i];
        for (const DataAccess &access : site.accesses) {
            if (!(access.*does)) {
                continue;
            }
            Access made(site, access, sites.nest->loops);
            if (std::ranges::find(result, made) == result.end()) {
                result.push_back(std::move(made));
            }
        }
    }
    return result;
}

/// Leaves those to storages of `others`.
void keep_shared(std::vector<Access> &accesses, const std::vector<Access> &others) {
    std::erase_if(accesses, [&](const Access &access) {
        return std::ranges::find(others, access.storage(), &Access::storage) == others.end();
    });
}

}  // namespace

IterationNeeds iteration_needs(const NestSites &writer, const NestSites &reader,
                               const AccessTable &table) {
    const std::optional<Counter> from = Counter::of(writer.nest->loops);
    const std::optional<Counter> to = Counter::of(reader.nest->loops);
    if (!from || !to) {
        return {};
    }
    std::vector<Access> writes = accesses_of(writer, table, &DataAccess::writes);
    std::vector<Access> reads = accesses_of(reader, table, &DataAccess::reads);
    keep_shared(writes, reads);
    keep_shared(reads, writes);
    auto needs =
        std::make_shared<const Needs>(Needs{*from, *to, std::move(writes), std::move(reads)});
    return [needs](const std::vector<int64_t> &lost, int64_t of, int64_t mine) {
        return needs_of(needs, lost, of, mine);
    };
}

}  // namespace pto::wsp::workload
