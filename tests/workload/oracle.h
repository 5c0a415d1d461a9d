#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "pto/wsp/workload/dependence.h"
#include "workload/samples.h"

/// A brute-force account of what a workload orders: every task with the elements it touches, every
/// pair compared.
namespace pto::wsp::workload::test {

/// A place on the way from the root to a task: the iteration of a loop or the child of a group.
struct Way {
    const Node *node = nullptr;
    int64_t apart = 0;  ///< items that far apart are in order; 0: none are
    int64_t index = 0;
};

/// Names what makes a task or fills a slot.
inline std::uintptr_t place_of(const TaskNode *task, const SlotNode *slot) {
    return task != nullptr ? reinterpret_cast<std::uintptr_t>(task)
                           : reinterpret_cast<std::uintptr_t>(slot);
}

/// A task, or a slot that is filled with an element of a tensor.
struct Instance {
    const TaskNode *task = nullptr;
    const SlotNode *slot = nullptr;
    int64_t number = 0;            ///< tasks before
    std::vector<int64_t> indices;  ///< of all loops around
    std::map<std::string, int64_t> values;
    std::vector<Way> way;
    std::set<const char *> reads;
    std::set<const char *> writes;

    std::uintptr_t place() const { return place_of(task, slot); }
};

/// Every task in program order. Tensors hold what they hold before the run: slots are filled with
/// elements that no task writes.
class Oracle {
public:
    static constexpr size_t max_tasks = 160;

    explicit Oracle(const Workload &workload) : Oracle(*workload.root, workload.data, {}) {}
    /// Of a part, inside loops of these values.
    Oracle(const Node &root, const RunData &data, std::map<std::string, int64_t> values)
        : data_(data), slots_(slot_words, 0) {
        current_.values = std::move(values);
        walk(root);
    }

    const std::vector<Instance> &tasks() const { return tasks_; }
    /// False when a check of a region fails while the workload runs.
    bool is_inside() const { return inside_; }

    /// Some element is touched by both and written by one.
    static bool conflict(const Instance &a, const Instance &b) {
        return meet(a.writes, b.writes) || meet(a.writes, b.reads) || meet(a.reads, b.writes);
    }

    /// The structure (`P.seq`, `P.pipe`, `sequential`) puts them in order.
    static bool ordered(const Instance &a, const Instance &b) {
        for (size_t i = 0; i < std::min(a.way.size(), b.way.size()); ++i) {
            if (a.way[i].index != b.way[i].index) {
                const int64_t apart = a.way[i].apart;
                return apart > 0 && (b.way[i].index - a.way[i].index) % apart == 0;
            }
        }
        return false;
    }

private:
    static bool meet(const std::set<const char *> &a, const std::set<const char *> &b) {
        for (const char *element : a) {
            if (b.count(element) != 0) {
                return true;
            }
        }
        return false;
    }

    int64_t value_of(const ScalarExpr &expr) const {
        return expr.evaluate(current_.values, &data_, slots_.data());
    }

    void walk(const Node &node) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            add(*task);
        } else if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
            fill(*slot);
        } else if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
            walk_loop(node, *loop);
        } else if (const auto *group = std::get_if<GroupNode>(&node.kind)) {
            for (size_t i = 0; i < group->children.size(); ++i) {
                current_.way.push_back({&node, group->sequential, static_cast<int64_t>(i)});
                walk(*group->children[i]);
                current_.way.pop_back();
            }
        } else if (const auto *branch = std::get_if<BranchNode>(&node.kind)) {
            const Node *body =
                taken_body(*branch, [this](const ScalarExpr &expr) { return value_of(expr); });
            if (body != nullptr) {
                walk(*body);
            }
        } else {
            walk(*std::get<CallNode>(node.kind).body);
        }
    }

    void walk_loop(const Node &node, const LoopNode &loop) {
        const LoopVar &variable = loop.variable;
        const int64_t size = value_of(variable.axis.size);
        for (int64_t i = 0; i < size; ++i) {
            const int64_t value = variable.value ? value_of(*variable.value) : i;
            current_.way.push_back({&node, loop.sequential ? 1 : loop.depth, i});
            current_.indices.push_back(value);
            current_.values[variable.id] = value;
            walk(*loop.body);
            current_.indices.pop_back();
            current_.way.pop_back();
        }
        current_.values.erase(variable.id);
    }

    void check(const std::vector<RunTimeCheck> &checks) {
        for (const RunTimeCheck &each : checks) {
            const int64_t value = value_of(each.value);
            inside_ = inside_ && value >= each.low && value <= each.high;
        }
    }

    void add(const TaskNode &task) {
        check(task.checks);
        Instance instance = current_;
        instance.task = &task;
        instance.number = number_++;
        for (const TaskArgument &argument : task.arguments) {
            if (const auto *region = std::get_if<Region>(&argument.value); region && inside_) {
                touch(instance, *region, argument.direction);
            }
        }
        tasks_.push_back(std::move(instance));
    }

    void fill(const SlotNode &slot) {
        check(slot.checks);
        int64_t &to = slots_[static_cast<size_t>(slot.slot)];
        if (const auto *expr = std::get_if<ScalarExpr>(&slot.value)) {
            to = value_of(*expr);
            return;
        }
        Instance instance = current_;
        instance.slot = &slot;
        instance.number = number_;
        const auto &region = std::get<Region>(slot.value);
        if (inside_) {
            touch(instance, region, kernel::Direction::In);
            int32_t element = 0;
            std::memcpy(&element, *instance.reads.begin(), sizeof(element));
            to = element;
        }
        tasks_.push_back(std::move(instance));
    }

    void touch(Instance &instance, const Region &region, kernel::Direction direction) const {
        Shape extents = region.extents;
        const auto limit = [&](const std::optional<ScalarExpr> &size, size_t from_last) {
            if (size) {
                int64_t &extent =
                    extents[static_cast<size_t>(region.keep[region.keep.size() - 1 - from_last])];
                extent = std::clamp<int64_t>(value_of(*size), 0, extent);
            }
        };
        limit(region.valid_rows, 1);
        limit(region.valid_columns, 0);
        touch(instance, region, extents, direction, 0, 0);
    }

    static void touch(Instance &instance, const Region &region, const Shape &extents,
                      kernel::Direction direction, size_t dim, int64_t offset) {
        const TensorView &view = region.tensor->view;
        if (dim == view.shape.size()) {
            const char *element =
                static_cast<const char *>(view.data) + offset * size_bytes(view.dtype);
            if (direction != kernel::Direction::Out) {
                instance.reads.insert(element);
            }
            if (direction != kernel::Direction::In) {
                instance.writes.insert(element);
            }
            return;
        }
        const int64_t first = region.offsets[dim].evaluate(instance.values);
        for (int64_t i = 0; i < extents[dim]; ++i) {
            touch(instance, region, extents, direction, dim + 1,
                  offset + (first + i) * view.strides[dim]);
        }
    }

    const RunData &data_;
    std::vector<int64_t> slots_;
    Instance current_;
    std::vector<Instance> tasks_;
    int64_t number_ = 0;
    bool inside_ = true;
};

}  // namespace pto::wsp::workload::test
