#include "workload/access.h"

#include <algorithm>
#include <set>

#include "pto/wsp/support/text.h"
#include "workload/linear_system.h"
#include "workload/storage.h"

namespace pto::wsp::workload {

namespace {

bool may_run(const LoopPath &path) {
    return std::ranges::all_of(
        path, [](const LoopVar *variable) { return variable->axis.constant() != 0; });
}

/// Calls `visit(region, argument, direction)` for what the site touches.
template <class Visit> void for_each_region(const Site &site, Visit visit) {
    if (site.slot != nullptr) {
        if (const auto *region = std::get_if<Region>(&site.slot->value)) {
            visit(*region, 0, kernel::Direction::In);
        }
        return;
    }
    for (size_t i = 0; i < site.task->arguments.size(); ++i) {
        const TaskArgument &argument = site.task->arguments[i];
        if (const auto *region = std::get_if<Region>(&argument.value)) {
            visit(*region, static_cast<int>(i), argument.direction);
        }
    }
}

/// True when the values of some variable have no known range.
bool has_unknown_size(const Site &site) {
    return site.sizes.size() < site.path.size();
}

/// The linear system "both tasks touch one element". Its variables are made when first needed: most
/// loops around a task have no part in an offset.
class Meeting {
public:
    Meeting(const Site &a, const Site &b, const Relation &relation)
        : a_(a), b_(b), relation_(relation), common_(common_loops(a.path, b.path)) {
        for (size_t level = relation.level; level < relation.level + 2; ++level) {
            if (sign(level) != 0) {
                difference(level);
            }
        }
    }

    /// The offset of a region lies inside its tensor.
    void require_inside(const DataAccess &of_a, const DataAccess &of_b, size_t dim) {
        LinearSystem::Terms terms;
        each_term(a_, of_a.offsets[dim], [&](size_t level, Wide coefficient) {
            terms.emplace_back(level < common_ ? index(level) : own(own_a_, a_, level),
                               coefficient);
        });
        require_in(terms, of_a, dim);
        terms.clear();
        each_term(b_, of_b.offsets[dim], [&](size_t level, Wide coefficient) {
            if (level >= common_) {
                terms.emplace_back(own(own_b_, b_, level), coefficient);
                return;
            }
            terms.emplace_back(index(level), coefficient);
            terms.emplace_back(difference(level), -coefficient);
        });
        require_in(terms, of_b, dim);
    }

    /// Both boxes meet along one dimension: -extent_a < offset_a - offset_b < extent_b. With
    /// a's index x and the difference d of the indices, b's is x - d.
    void require_overlap(const Affine &offset_a, int64_t extent_a, const Affine &offset_b,
                         int64_t extent_b) {
        LinearSystem::Terms terms;
        each_term(a_, offset_a, [&](size_t level, Wide of_a) {
            if (level >= common_) {
                terms.emplace_back(own(own_a_, a_, level), of_a);
            } else if (const Wide of_b = offset_b.coefficient(a_.path[level]->id); of_a != of_b) {
                terms.emplace_back(index(level), of_a - of_b);
            }
        });
        each_term(b_, offset_b, [&](size_t level, Wide of_b) {
            if (level >= common_) {
                terms.emplace_back(own(own_b_, b_, level), -of_b);
                return;
            }
            terms.emplace_back(difference(level), of_b);
            if (offset_a.coefficient(b_.path[level]->id) == 0) {
                terms.emplace_back(index(level), -of_b);
            }
        });
        const Wide constant = static_cast<Wide>(offset_a.constant()) - offset_b.constant();
        system_.require(terms, 1 - static_cast<Wide>(extent_a) - constant, extent_b - 1 - constant);
    }

    bool impossible() const { return system_.has_no_solution(); }

private:
    static constexpr int none = -1;

    /// Calls `visit(level, coefficient)` for the terms of loops around the site.
    template <class Visit>
    static void each_term(const Site &site, const Affine &offset, Visit visit) {
        for (const auto &[name, coefficient] : offset.terms()) {
            if (const auto level = site.levels.find(name); level != site.levels.end()) {
                visit(level->second, Wide{coefficient});
            }
        }
    }

    /// Of the difference of the indices in a common loop; 0: of any.
    int sign(size_t level) const {
        if (level == relation_.level) {
            return relation_.difference;
        }
        return level == relation_.level + 1 ? relation_.next : 0;
    }

    static Range range_in(const Site &site, size_t level) {
        const LoopVar &variable = *site.path[level];
        const auto size = site.sizes.find(variable.id);
        if (size != site.sizes.end()) {
            return {0, Wide{size->second} - 1};
        }
        return variable.value ? any_value : Range{0, any_value.high};
    }

    void require_in(const LinearSystem::Terms &terms, const DataAccess &access, size_t dim) {
        const Wide constant = access.offsets[dim].constant();
        system_.require(terms, access.limits[dim].low - constant,
                        access.limits[dim].high - constant);
    }

    static int &place(std::map<size_t, int> &variables, size_t level) {
        return variables.try_emplace(level, none).first->second;
    }

    /// a's index minus b's in a common loop.
    int difference(size_t level) {
        int &variable = place(differences_, level);
        if (variable == none) {
            const Range values = range_in(a_, level);
            variable = system_.variable(values.low - values.high, values.high - values.low);
            if (level < relation_.level) {
                system_.restrict_to(variable, 0, 0);
            } else if (sign(level) > 0) {
                system_.restrict_to(variable, 1, any_value.high);
            } else if (sign(level) < 0) {
                system_.restrict_to(variable, -any_value.high, -1);
            }
        }
        return variable;
    }

    /// a's index in a common loop.
    int index(size_t level) {
        int &variable = place(indices_, level);
        if (variable == none) {
            const Range values = range_in(a_, level);
            variable = system_.variable(values.low, values.high);
            system_.require({{variable, 1}, {difference(level), -1}}, values.low, values.high);
        }
        return variable;
    }

    /// The index in a loop around this site alone.
    int own(std::map<size_t, int> &variables, const Site &site, size_t level) {
        int &variable = place(variables, level);
        if (variable == none) {
            const Range values = range_in(site, level);
            variable = system_.variable(values.low, values.high);
        }
        return variable;
    }

    const Site &a_;
    const Site &b_;
    const Relation relation_;
    size_t common_ = 0;
    LinearSystem system_;
    std::map<size_t, int> differences_;
    std::map<size_t, int> indices_;
    std::map<size_t, int> own_a_;
    std::map<size_t, int> own_b_;
};

}  // namespace

size_t common_loops(const LoopPath &a, const LoopPath &b) {
    size_t common = 0;
    while (common < a.size() && common < b.size() && a[common] == b[common]) {
        common++;
    }
    return common;
}

bool may_meet(const Site &a, const DataAccess &of_a, const Site &b, const DataAccess &of_b,
              const Relation &relation) {
    if (of_a.storage != of_b.storage) {
        return false;
    }
    // A variable with a value has one iteration.
    if ((relation.difference != 0 && a.path[relation.level]->value) ||
        (relation.next != 0 && a.path[relation.level + 1]->value)) {
        return false;
    }
    Meeting meeting(a, b, relation);
    const bool bounded = has_unknown_size(a) || has_unknown_size(b);
    for (size_t d = 0; d < of_a.offsets.size(); ++d) {
        if (bounded) {
            meeting.require_inside(of_a, of_b, d);
        }
        meeting.require_overlap(of_a.offsets[d], of_a.extents[d], of_b.offsets[d], of_b.extents[d]);
    }
    return !meeting.impossible();
}

std::optional<Conflict> find_conflict(const Site &a, const Site &b,
                                      const std::vector<Relation> &relations) {
    for (const DataAccess &of_a : a.accesses) {
        for (const DataAccess &of_b : b.accesses) {
            if (!of_a.writes && !of_b.writes) {
                continue;
            }
            for (const Relation &relation : relations) {
                if (may_meet(a, of_a, b, of_b, relation)) {
                    return Conflict{&a, &of_a, &b, &of_b};
                }
            }
        }
    }
    return std::nullopt;
}

std::vector<Relation> different_iterations(size_t first, size_t last) {
    std::vector<Relation> result;
    for (size_t level = first; level < last; ++level) {
        result.push_back({level, 1});
        result.push_back({level, -1});
    }
    return result;
}

std::string Conflict::str(const AccessTable &table) const {
    const auto side = [](const Site &site, const DataAccess &access) {
        const Region &region = region_of(site, access);
        const std::string name = site.task != nullptr ? site.task->kernel->name : "slot_load_u64";
        return name + (access.writes ? " writes " : " reads ") + region.str() + " (" +
               (region.at.known() ? region.at : site.node->at).str() + ")";
    };
    const Storage &storage = table.storage(*of_a);
    const bool same_access = of_a == of_b;
    std::string text = side(*a, *of_a);
    text += same_access ? " in different iterations, which" : " and " + side(*b, *of_b) + ", which";
    text += " may share elements";
    if (!storage.frame.exact) {
        text += storage.tensors.size() > 1
                    ? " (" + storage.name + " share memory in a way that is not analysed)"
                    : " (places of " + storage.name + " are one element)";
    }
    return text;
}

const Region &region_of(const Site &site, const DataAccess &access) {
    return site.slot != nullptr
               ? std::get<Region>(site.slot->value)
               : std::get<Region>(site.task->arguments[static_cast<size_t>(access.argument)].value);
}

Range range_of_offset(const Site &site, const DataAccess &access, size_t dim) {
    const Range &limits = access.limits[dim];
    const Range range = intersection(range_of(access.offsets[dim], site.sizes), limits);
    return range.low <= range.high ? range : Range{limits.low, limits.low};
}

AccessTable::AccessTable(const Node &root, OrderRules::Data data) {
    for_each_node(root, [&](const Node &node, const LoopPath &path) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            add_site({task, nullptr, &node, path, {}, {}, {}});
        } else if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
            add_site({nullptr, slot, &node, path, {}, {}, {}});
        }
    });
    finish(data);
}

AccessTable::AccessTable(const TaskNode &task, const LoopPath &path) {
    add_site({&task, nullptr, nullptr, path, {}, {}, {}});
    finish();
}

void AccessTable::add_site(Site site) {
    for_each_region(site, [&](const Region &region, int, kernel::Direction) {
        if (places_.try_emplace(region.tensor.get()).second) {
            tensors_.push_back(region.tensor);
        }
    });
    if (may_run(site.path)) {
        site.sizes = sizes_of(site.path);
        for (size_t level = 0; level < site.path.size(); ++level) {
            site.levels.emplace(site.path[level]->id, level);
        }
        by_node_.try_emplace(site.node, sites_.size());
        sites_.push_back(std::move(site));
    }
}

void AccessTable::finish(OrderRules::Data data) {
    const std::vector<int> numbers = storage_numbers(tensors_);
    for (size_t i = 0; i < tensors_.size(); ++i) {
        const auto number = static_cast<size_t>(numbers[i]);
        storages_.resize(std::max(storages_.size(), number + 1));
        Storage &storage = storages_[number];
        places_[tensors_[i].get()] = {numbers[i], storage.tensors.size()};
        storage.tensors.push_back(tensors_[i]);
        storage.name += (storage.name.empty() ? "" : ", ") + tensors_[i]->name;
    }
    for (Storage &storage : storages_) {
        std::vector<const TensorView *> views;
        for (const TensorPtr &tensor : storage.tensors) {
            views.push_back(&tensor->view);
        }
        storage.frame = frame_of(views);
    }
    for (Site &site : sites_) {
        for_each_region(site, [&](const Region &region, int argument, kernel::Direction direction) {
            add_access(site, region, argument, direction);
            if (data == OrderRules::Data::Bytes && !site.accesses.empty() &&
                site.accesses.back().argument == argument) {
                make_interval(site.accesses.back(), region);
            }
        });
    }
}

namespace {

/// How many places of the dimension are touched; null: the whole extent.
const ScalarExpr *valid_size(const Region &region, size_t dim) {
    const auto is_last = [&](size_t from_last) {
        const size_t kept = region.keep.size();
        return kept > from_last && region.keep[kept - 1 - from_last] == static_cast<int>(dim);
    };
    const std::optional<ScalarExpr> none;
    const std::optional<ScalarExpr> &size = is_last(0)   ? region.valid_columns
                                            : is_last(1) ? region.valid_rows
                                                         : none;
    return size ? &*size : nullptr;
}

/// Narrows the access to the places that `size` surely leaves.
void limit(DataAccess &access, size_t dim, const ScalarExpr &size, const Sizes &sizes) {
    const auto range = range_of_sum(0, size, sizes);
    int64_t &extent = access.extents[dim];
    if (range) {
        extent = static_cast<int64_t>(std::clamp<Wide>(range->high, 0, extent));
    }
    if (!range || range->low < extent) {
        access.valid.push_back({dim, size});
    }
}

}  // namespace

void AccessTable::make_interval(DataAccess &access, const Region &region) const {
    const TensorView &view = region.tensor->view;
    const auto address = [](const TensorPtr &tensor) {
        const auto [low, high] = tensor->view.byte_extent();
        return static_cast<const char *>(tensor->view.data) + low;
    };
    const char *first = address(std::ranges::min(storage(access).tensors, {}, address));
    const int64_t size = size_bytes(view.dtype);
    const int64_t origin = static_cast<const char *>(view.data) - first;
    Affine begin = origin;
    int64_t low = origin;
    int64_t high = origin;
    int64_t length = size;
    for (size_t d = 0; d < region.offsets.size(); ++d) {
        const int64_t stride = view.strides[d] * size;
        const int64_t reach = (region.extents[d] - 1) * stride;
        // With a negative stride the last place of the region is its lowest.
        begin = begin + region.offsets[d] * stride + std::min<int64_t>(reach, 0);
        length += std::abs(reach);
        const bool partial = region.valid_rows || region.valid_columns;
        const int64_t last = view.shape[d] - (partial ? 1 : region.extents[d]);
        low += std::min<int64_t>(last * stride, 0) + std::min<int64_t>(reach, 0);
        high += std::max<int64_t>(last * stride, 0) + std::min<int64_t>(reach, 0);
    }
    access.offsets = {begin};
    access.extents = {length};
    access.limits = {{low, high}};
    access.valid.clear();
}

void AccessTable::add_access(Site &site, const Region &region, int argument,
                             kernel::Direction direction) {
    if (std::ranges::find(region.extents, 0) != region.extents.end()) {
        return;
    }
    const auto [number, index] = places_.at(region.tensor.get());
    Storage &storage = storages_[static_cast<size_t>(number)];
    DataAccess access;
    access.storage = number;
    access.argument = argument;
    access.reads = direction != kernel::Direction::Out;
    access.writes = direction != kernel::Direction::In;
    storage.written |= access.writes;
    const bool partial = region.valid_rows || region.valid_columns;
    if (storage.frame.exact) {
        const Frame::Placement &placement = storage.frame.placements[index];
        access.offsets.assign(placement.origin.begin(), placement.origin.end());
        access.extents.assign(placement.origin.size(), 1);
        for (const int64_t origin : placement.origin) {
            access.limits.push_back({origin, origin});
        }
        for (size_t d = 0; d < placement.dims.size(); ++d) {
            if (placement.dims[d] >= 0) {
                const auto to = static_cast<size_t>(placement.dims[d]);
                access.offsets[to] = access.offsets[to] + region.offsets[d];
                access.extents[to] = region.extents[d];
                if (const ScalarExpr *size = valid_size(region, d)) {
                    limit(access, to, *size, site.sizes);
                }
                // A partial tile may begin where a whole one would not fit.
                access.limits[to].high +=
                    region.tensor->view.shape[d] - (partial ? 0 : region.extents[d]);
            }
        }
    }
    if (std::ranges::find(access.extents, 0) == access.extents.end()) {
        site.accesses.push_back(std::move(access));
    }
}

const Site *AccessTable::find(const Node &node) const {
    const auto found = by_node_.find(&node);
    return found == by_node_.end() ? nullptr : &sites_[found->second];
}

std::vector<TensorMemory> AccessTable::memory() const {
    std::vector<TensorMemory> result;
    for (const TensorPtr &tensor : tensors_) {
        const int number = places_.at(tensor.get()).first;
        const Storage &storage = storages_[static_cast<size_t>(number)];
        result.push_back({tensor, number, storage.written, storage.frame.exact});
    }
    return result;
}

}  // namespace pto::wsp::workload
