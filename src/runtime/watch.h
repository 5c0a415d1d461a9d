#pragma once

#include <cstdint>
#include <vector>

#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/runtime/observer.h"
#include "runtime/tracking.h"

namespace pto::wsp::runtime {

/// What a dynamic run keeps to tell its observer: the numbers of tasks, which their slots in the
/// window do not hold. Empty without an observer.
class Watch {
public:
    Watch(Observer *observer, const DynamicGraph &graph)
        : observer_(observer), graph_(graph),
          whole_graph_(observer_ != nullptr && observer_->detail() == Detail::Graph) {}

    /// Whether anybody looks at all.
    explicit operator bool() const { return observer_ != nullptr; }
    /// Null unless the expander is looked at.
    Observer *expander() const { return whole_graph_ ? observer_ : nullptr; }

    /// The run uses `tracking` from now on. std::bad_alloc.
    void begin(Tracking &tracking);
    /// The tracking goes back to where others get it from.
    void end(Tracking &tracking) const { tracking.befores = nullptr; }

    /// The task that is being submitted, tracked but not visible to workers yet.
    void submitted(const Tracking &tracking, const Task &task, const int64_t *cells,
                   const int64_t *frame) {
        if (observer_ != nullptr) {
            tell_submitted(tracking, task, cells, frame);
        }
    }

    void began(const Task &task, int worker) const { observer_->began(worker, work(task)); }
    void ended(const Task &task, int worker, int64_t tasks, abi::Status status) const {
        observer_->ended(worker, work(task), tasks, status);
    }

private:
    struct Numbers {
        int64_t submission = 0;
        int64_t task = -1;
    };

    Work work(const Task &task) const {
        const Numbers &numbers = numbers_[task.index];
        return {task.site, numbers.submission, 1, numbers.task};
    }
    void tell_submitted(const Tracking &tracking, const Task &task, const int64_t *cells,
                        const int64_t *frame);

    Observer *const observer_;
    const DynamicGraph &graph_;
    const bool whole_graph_;
    int64_t first_ = 0;  ///< number of the run's first task in the tracking
    int64_t tasks_ = 0;  ///< submitted so far, without joins
    /// By slot of the window. Written before the task is published, read until it has ended.
    std::vector<Numbers> numbers_;
    std::vector<int64_t> befores_;  ///< that the task being submitted waits for, as tracked
    std::vector<int64_t> values_;
};

}  // namespace pto::wsp::runtime
