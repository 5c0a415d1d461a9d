#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/cells.h"
#include "runtime/lost_tasks.h"
#include "runtime/prepared_graph.h"
#include "runtime/window.h"

namespace pto::wsp::runtime {

/// The memory by which tasks of a dynamic graph are tracked. Task numbers go on from run to run, so
/// that what an earlier run left in windows and cells counts as ended and nothing is cleared.
struct Tracking {
    Tracking(int64_t window_size, int argument_count, int waiter_count, int64_t cell_count)
        : window(window_size, argument_count, waiter_count), cells(cell_count) {}

    /// Of a task that has been submitted, or 0.
    bool has_ended(int64_t number) const {
        return number < oldest || Window::ended(window.task(number));
    }

    /// A task of the current step that becomes visible at its end.
    struct Held {
        Task *task;
        uint32_t links;  ///< to tasks that it waits for; 0: it is ready
    };

    Window window;
    Cells cells;
    std::vector<Held> held;  ///< those of the step that do not wait for the step's own tasks alone
    int64_t next = 1;        ///< number of the next task
    int64_t step_begin = 1;  ///< number of the first task of the current step
    int64_t oldest = 1;      ///< all tasks before have ended
    /// Where there is one, gets whatever a submission depends on from task `observed_from` on,
    /// ended or not; may have a task more than once.
    std::vector<int64_t> *befores = nullptr;
    int64_t observed_from = 1;
};

/// The next task of a run while it is being submitted.
class Submission {
public:
    /// `lost`: what is lost so far; null while no task of the run has failed.
    Submission(Tracking &tracking, const LostTasks *lost)
        : tracking_(tracking), lost_(lost), number_(tracking.next), oldest_(tracking.oldest),
          remembered_(tracking.befores != nullptr ? tracking.observed_from : tracking.oldest),
          looks_back_(lost != nullptr || tracking.befores != nullptr),
          task_(tracking.window.open(number_)) {
        // Of no task that is linked later, and never that of this one as a successor.
        task_.mark = mark_of(false);
        if (lost != nullptr) {
            task_.lost.store(false, std::memory_order_relaxed);
        }
    }

    Task &task() const { return task_; }

    /// The task touches `cell`: it waits for whom it has to. std::bad_alloc.
    void touch(int64_t cell, const PreparedAccess &access) {
        auto after_writer = [&](int64_t before) { after(before, access.needs_writer); };
        if (access.writes) {
            tracking_.cells.write(cell, number_, after_writer,
                                  [&](int64_t before) { after(before, access.needs_readers); });
        } else {
            // Whoever needs the readers has to find the lost ones among them.
            const bool keeps = access.needs_readers && lost_ != nullptr;
            tracking_.cells.read(cell, number_, keeps ? 0 : remembered_ - 1, after_writer);
        }
    }

    /// The task waits for that one, whatever becomes of it. std::bad_alloc.
    void follow(int64_t before) { after(before, false); }

    /// The task will not run.
    void lose() { task_.lost.store(true, std::memory_order_relaxed); }

    /// The task is complete; it becomes visible to others at the end of the step.
    void finish() {
        tracking_.next++;
        if (outside_ || links_ == 0) {
            tracking_.held.push_back({&task_, links_});
        } else {
            Window::release_private(task_, links_);
        }
    }

private:
    void after(int64_t before, bool needs) {
        // Neither what has ended nor the task itself.
        if (static_cast<uint64_t>(before - oldest_) < static_cast<uint64_t>(number_ - oldest_)) {
            wait_for(before, needs);
        }
        if (looks_back_) {
            look_back(before, needs);
        }
    }
    void wait_for(int64_t before, bool needs);
    /// Of runs that are disturbed or observed.
    void look_back(int64_t before, bool needs);
    uint32_t mark_of(bool needs) const {
        return static_cast<uint32_t>(number_) << 1 | static_cast<uint32_t>(needs);
    }

    Tracking &tracking_;
    const LostTasks *lost_;
    int64_t number_;
    int64_t oldest_;
    int64_t remembered_;  ///< readers before need not be remembered
    bool looks_back_;     ///< also at tasks that have left the window
    Task &task_;
    uint32_t links_ = 0;
    bool outside_ = false;  ///< waits for a task of an earlier step
};

/// Keeps the memory of a few ended runs for the next ones, which spares them its page faults.
class TrackingPool {
public:
    /// std::bad_alloc when there is no memory.
    std::unique_ptr<Tracking> take(int64_t window_size, int argument_count, int waiter_count,
                                   int64_t cell_count);
    /// Takes back the memory of a run all tasks of which have ended.
    void put(std::unique_ptr<Tracking> tracking);

private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Tracking>> kept_;  ///< the one used last at the end
};

}  // namespace pto::wsp::runtime
