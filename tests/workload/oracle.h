#pragma once

#include <bitset>
#include <cstdint>
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
    bool sequential = false;
    int64_t index = 0;
};

struct Instance {
    const TaskNode *task = nullptr;
    std::vector<int64_t> indices;  ///< of all loops around
    std::map<std::string, int64_t> values;
    std::vector<Way> way;
    std::set<const char *> reads;
    std::set<const char *> writes;
};

/// Every task in program order.
class Oracle {
public:
    static constexpr size_t max_tasks = 160;

    explicit Oracle(const Workload &workload) { walk(*workload.root); }

    const std::vector<Instance> &tasks() const { return tasks_; }

    /// Some element is touched by both and written by one.
    static bool conflict(const Instance &a, const Instance &b) {
        return meet(a.writes, b.writes) || meet(a.writes, b.reads) || meet(a.reads, b.writes);
    }

    /// The structure (`P.seq`, `sequential`) puts them in order.
    static bool ordered(const Instance &a, const Instance &b) {
        for (size_t i = 0; i < std::min(a.way.size(), b.way.size()); ++i) {
            if (a.way[i].index != b.way[i].index) {
                return a.way[i].sequential;
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

    void walk(const Node &node) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            add(*task);
        } else if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
            for (int64_t i = 0; i < *loop->variable.axis.constant(); ++i) {
                current_.way.push_back({&node, loop->sequential, i});
                current_.indices.push_back(i);
                current_.values[loop->variable.id] = i;
                walk(*loop->body);
                current_.indices.pop_back();
                current_.way.pop_back();
            }
            current_.values.erase(loop->variable.id);
        } else if (const auto *group = std::get_if<GroupNode>(&node.kind)) {
            for (size_t i = 0; i < group->children.size(); ++i) {
                current_.way.push_back({&node, group->sequential, static_cast<int64_t>(i)});
                walk(*group->children[i]);
                current_.way.pop_back();
            }
        } else {
            walk(*std::get<CallNode>(node.kind).body);
        }
    }

    void add(const TaskNode &task) {
        Instance instance = current_;
        instance.task = &task;
        for (const TaskArgument &argument : task.arguments) {
            if (const auto *region = std::get_if<Region>(&argument.value)) {
                touch(instance, *region, argument.direction, 0, 0);
            }
        }
        tasks_.push_back(std::move(instance));
    }

    static void touch(Instance &instance, const Region &region, kernel::Direction direction,
                      size_t dim, int64_t offset) {
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
        for (int64_t i = 0; i < region.extents[dim]; ++i) {
            touch(instance, region, direction, dim + 1, offset + (first + i) * view.strides[dim]);
        }
    }

    Instance current_;
    std::vector<Instance> tasks_;
};

}  // namespace pto::wsp::workload::test
