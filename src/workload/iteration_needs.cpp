#include "workload/iteration_needs.h"

#include <algorithm>
#include <memory>
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
    std::vector<int64_t> indices(int64_t iteration, int64_t of) const {
        std::vector<int64_t> result(sizes_.size());
        for (size_t i = sizes_.size(); i-- > 0;) {
            const int64_t size = sizes_[i] > 0 ? sizes_[i] : std::max<int64_t>(of / known_, 1);
            result[i] = iteration % size;
            iteration /= size;
        }
        return result;
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

/// What an iteration of a nest does to a storage.
class Access {
public:
    Access(const Site &site, const DataAccess &access, const LoopPath &nest) {
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

    Box box(const std::vector<int64_t> &indices) const {
        Box result;
        for (const Dim &dim : dims_) {
            Range first = dim.inside;
            for (size_t i = 0; i < indices.size(); ++i) {
                first = first + Range{1, 1} * (Wide{dim.factors[i]} * indices[i]);
            }
            first = intersection(first, dim.limits);
            first = first.low <= first.high ? first : dim.limits;
            result.push_back({first.low, first.high + dim.extent - 1});
        }
        return result;
    }

private:
    struct Dim {
        std::vector<int64_t> factors;  ///< of the indices of the nest's loops
        Range inside;                  ///< of the offset, from loops inside and values
        int64_t extent = 1;
        Range limits;
    };
    std::vector<Dim> dims_;
};

struct Needs {
    Counter writer;
    Counter reader;
    std::vector<std::pair<Access, Access>> pairs;  ///< a write and a read of one storage
};

NeedsLost needs_of(const std::shared_ptr<const Needs> &needs, const std::vector<int64_t> &lost,
                   int64_t of, int64_t mine) {
    std::vector<std::vector<Box>> boxes(needs->pairs.size());
    for (const int64_t iteration : lost) {
        const std::vector<int64_t> indices = needs->writer.indices(iteration, of);
        for (size_t i = 0; i < boxes.size(); ++i) {
            boxes[i].push_back(needs->pairs[i].first.box(indices));
        }
    }
    return [needs, boxes = std::move(boxes), mine](int64_t iteration) {
        const std::vector<int64_t> indices = needs->reader.indices(iteration, mine);
        for (size_t i = 0; i < boxes.size(); ++i) {
            const Box own = needs->pairs[i].second.box(indices);
            if (std::ranges::any_of(boxes[i], [&](const Box &box) { return meet(box, own); })) {
                return true;
            }
        }
        return false;
    };
}

}  // namespace

IterationNeeds iteration_needs(const NestSites &writer, const NestSites &reader,
                               const AccessTable &table) {
    const std::optional<Counter> from = Counter::of(writer.nest->loops);
    const std::optional<Counter> to = Counter::of(reader.nest->loops);
    if (!from || !to) {
        return {};
    }
    auto needs = std::make_shared<Needs>(Needs{*from, *to, {}});
    for (size_t i = writer.first; i < writer.last; ++i) {
        for (size_t j = reader.first; j < reader.last; ++j) {
            const Site &a = table.sites()[i];
            const Site &b = table.sites()[j];
            for (const DataAccess &write : a.accesses) {
                for (const DataAccess &read : b.accesses) {
                    if (write.writes && read.reads && write.storage == read.storage) {
                        needs->pairs.emplace_back(Access(a, write, writer.nest->loops),
                                                  Access(b, read, reader.nest->loops));
                    }
                }
            }
        }
    }
    return [needs = std::shared_ptr<const Needs>(std::move(needs))](
               const std::vector<int64_t> &lost, int64_t of, int64_t mine) {
        return needs_of(needs, lost, of, mine);
    };
}

}  // namespace pto::wsp::workload
