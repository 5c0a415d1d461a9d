#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "pto/wsp/workload/dependence.h"
#include "workload/frame.h"
#include "workload/range.h"

namespace pto::wsp::workload {

/// Tensors that share memory.
struct Storage {
    std::string name;  ///< of its tensors
    bool written = false;
    Frame frame;  ///< of `tensors`
    std::vector<TensorPtr> tensors;
};

/// What a task does to a storage: a box in the frame. An inexact storage has boxes without
/// dimensions: they all meet.
struct DataAccess {
    int storage = 0;
    int argument = 0;
    bool reads = false;
    bool writes = false;
    std::vector<Affine> offsets;
    std::vector<int64_t> extents;  ///< all > 0
    /// Of a partial tile along a dimension: at most that many of `extents` are touched.
    struct Limit {
        size_t dim = 0;
        ScalarExpr size = 0;
    };
    std::vector<Limit> valid;
    /// Where the offsets lie, whatever their variables are: a region is inside its tensor.
    std::vector<Range> limits;
};

/// A place that makes tasks or fills a slot.
struct Site {
    const TaskNode *task = nullptr;  ///< null: `slot` is not
    const SlotNode *slot = nullptr;
    const Node *node = nullptr;
    LoopPath path;
    std::vector<DataAccess> accesses;
    Sizes sizes;                           ///< of the loops of `path`
    std::map<std::string, size_t> levels;  ///< place of each loop variable in `path`, by id
};

/// All task places of a workload in program order, with what they touch.
class AccessTable {
public:
    /// With Data::Bytes accesses are intervals of bytes, from the first to the last that they
    /// touch.
    explicit AccessTable(const Node &root, OrderRules::Data data = OrderRules::Data::Exact);
    /// Of one task inside loops.
    AccessTable(const TaskNode &task, const LoopPath &path);

    const std::vector<Site> &sites() const { return sites_; }
    /// The site that `node` is; null when it is none, or in a loop without iterations.
    const Site *find(const Node &node) const;
    const std::vector<Storage> &storages() const { return storages_; }
    const Storage &storage(const DataAccess &access) const {
        return storages_[static_cast<size_t>(access.storage)];
    }
    std::vector<TensorMemory> memory() const;

private:
    void add_site(Site site);
    void add_access(Site &site, const Region &region, int argument, kernel::Direction direction);
    void finish(OrderRules::Data data = OrderRules::Data::Exact);
    void add_accesses(Site &site);
    void make_interval(DataAccess &access, const Region &region) const;

    std::vector<Site> sites_;
    std::unordered_map<const Node *, size_t> by_node_;
    std::vector<Storage> storages_;
    std::vector<TensorPtr> tensors_;
    std::map<const Tensor *, std::pair<int, size_t>> places_;  ///< storage, index in it
};

/// How the indices of two tasks are related in the loops around both: equal in the first `level`
/// of them, then (unless `difference` is 0) those of the first task larger (1) or smaller (-1) in
/// the next, and anything further inside. `next` is the same for the loop right inside that one.
struct Relation {
    size_t level = 0;
    int difference = 0;
    int next = 0;
};

/// Number of loops around both, from the outermost on.
size_t common_loops(const LoopPath &a, const LoopPath &b);

/// What an access of the site is to.
const Region &region_of(const Site &site, const DataAccess &access);

/// The range of the offset of an access along one dimension.
Range range_of_offset(const Site &site, const DataAccess &access, size_t dim);

/// True unless it is certain that no two tasks, one of `a` and one of `b`, of that relation touch
/// an element in common through these accesses.
bool may_meet(const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b,
              const Relation &relation);

/// Two accesses, one of them a write, that may touch an element in common.
struct Conflict {
    const Site *a = nullptr;
    const DataAccess *of_a = nullptr;
    const Site *b = nullptr;
    const DataAccess *of_b = nullptr;
    std::string str(const AccessTable &table) const;
};

/// The first conflict between tasks of `a` and `b` of one of these relations.
std::optional<Conflict> find_conflict(const Site &a, const Site &b,
                                      const std::vector<Relation> &relations);

/// Relations of two different iterations of the loops [first, last) around both, those outside
/// equal.
std::vector<Relation> different_iterations(size_t first, size_t last);

}  // namespace pto::wsp::workload
