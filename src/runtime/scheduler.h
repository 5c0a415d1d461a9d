#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "runtime/busy_time.h"
#include "runtime/deque.h"
#include "runtime/inbox.h"
#include "runtime/job.h"
#include "runtime/sleepers.h"
#include "runtime/timer.h"

namespace pto::wsp::runtime {

/// What belongs to one thread of a scheduler.
struct alignas(64) Worker {
    int index = 0;
    uint32_t random = 1;
    uint32_t turns = 0;
    bool running = false;  ///< see Scheduler::activity
    BusyTime busy;         ///< in which it was running
    Deque<Job> deque;
    Inbox inbox;
};

/// Threads that take jobs: from their inbox, from their deque, from the common queue, and else from
/// the deques of others. A worker without work looks around for some microseconds and then sleeps.
class Scheduler {
public:
    /// ExecutionError when a thread cannot be started.
    explicit Scheduler(int workers);
    ~Scheduler();

    int workers() const { return static_cast<int>(workers_.size()); }

    /// Queues a job that any worker may take, by the thread of `me`.
    void push(Worker &me, Job &job) {
        me.deque.push(&job);
        sleepers_.wake_one();
    }
    /// The same for several jobs, the first of which `me` itself takes first.
    void push_all(Worker &me, std::span<Job *const> jobs) {
        if (!jobs.empty()) {
            me.deque.push_all(jobs);
            sleepers_.wake(static_cast<int>(jobs.size()));
        }
    }
    /// Queues a job that any worker takes once its own deque is empty. From any thread.
    void inject(Job &job);
    /// Queues a job that only worker `index` may run. From any thread.
    void deliver(int index, Job &job);
    /// Queues a job at `time`, as `deliver` does, or for -1 as `inject`.
    void inject_at(Job &job, int index, Timer::Clock::time_point time) {
        timer_.add(job, index, time);
    }
    /// Calls `call` at `time`; false when no thread can be started for that.
    bool call_at(std::function<void()> call, Timer::Clock::time_point time) {
        return timer_.add(std::move(call), time);
    }
    /// Wakes up to `count` sleepers.
    void wake(int count) { sleepers_.wake(count); }
    bool has_inbox(const Worker &me) const { return !me.inbox.empty(); }

    /// A worker is *running* while it goes from task to task, in short gaps between tasks too, so
    /// that this costs nothing per task. `activity` is a mark to be given to `overlapped` later.
    uint64_t activity() const { return activity_.load(std::memory_order_relaxed); }
    /// Whether another worker than the calling, running one was running at any time since `mark`.
    bool overlapped(uint64_t mark) const {
        return static_cast<uint32_t>(mark) > 1 || activity() >> 32 != mark >> 32;
    }
    void set_running(Worker &me, bool running) {
        if (me.running != running) {
            me.running = running;
            me.busy.add(running);
            // Low half: workers running now; high half: how often one began.
            activity_.fetch_add(running ? (uint64_t(1) << 32) + 1 : ~uint64_t(0),
                                std::memory_order_relaxed);
        }
    }

    /// How long worker `index` has been running since the executor was made, in ticks.
    int64_t busy_ticks(int index) const {
        return workers_[static_cast<size_t>(index)]->busy.ticks();
    }

    void run_started(Run &run);
    /// Called before the run may be destroyed.
    void forget(Run &run);
    /// The last use of the scheduler by a run.
    void run_ended();
    /// Cancels the runs in flight and waits until the last has ended; false on timeout.
    bool cancel_all(std::optional<std::chrono::nanoseconds> timeout);

private:
    void start_threads();
    void stop_threads();
    void work(Worker &me);
    Job *own_job(Worker &me);
    Job *take_injected();
    Job *steal(Worker &me);
    Job *search(Worker &me);
    Job *look_around(Worker &me);
    bool sees_work(const Worker &me) const;

    std::vector<std::unique_ptr<Worker>> workers_;
    std::vector<std::thread> threads_;
    Sleepers sleepers_;
    std::atomic<bool> stop_ = false;
    alignas(64) std::atomic<uint64_t> activity_ = 0;
    alignas(64) std::atomic<int64_t> injected_count_ = 0;
    std::mutex injected_mutex_;
    std::deque<Job *> injected_;
    std::mutex runs_mutex_;
    int64_t run_count_ = 0;
    std::vector<Run *> runs_;  ///< those that can be cancelled
    std::condition_variable runs_ended_;
    Timer timer_;
};

}  // namespace pto::wsp::runtime
