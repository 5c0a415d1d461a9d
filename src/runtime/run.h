#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pto/wsp/runtime/executor.h"
#include "runtime/job.h"
#include "runtime/scheduler.h"

namespace pto::wsp::runtime {

/// Which class of error a run ends with.
enum class FailureKind { Kernel, Channel, ChannelClosed };

/// What all executions share: completion, errors, cancellation, figures. Keeps itself alive from
/// `launch` until it has ended.
class Run : public Execution, public std::enable_shared_from_this<Run> {
public:
    Run(Scheduler &scheduler, std::shared_ptr<const Plan> plan, std::vector<int64_t> bindings,
        std::shared_ptr<Observer> observer);

    bool is_complete() const override { return complete_.load(std::memory_order_acquire); }
    bool wait(std::optional<std::chrono::nanoseconds> timeout) override;
    void rethrow() const override;
    RunStats stats() const override;
    void cancel() override { cancelled_.store(true, std::memory_order_relaxed); }
    /// Records an error at the user's line and cancels the rest. Does not throw.
    void fail(FailureKind kind, const Loc &at, const std::string &text,
              std::vector<Note> notes = {});

    /// Queues the first job.
    void launch();
    /// Runs one job of this run on the thread of `me`.
    virtual void run_job(Job &job, Worker &me) = 0;
    void count_steal(Worker &me) { add(tally(me).steals, 1); }

protected:
    virtual Job &first_job() = 0;

    /// Figures of one worker, written by it alone.
    struct alignas(64) Tally {
        std::atomic<int64_t> tasks = 0;
        std::atomic<int64_t> parallel_tasks = 0;
        std::atomic<int64_t> steals = 0;
        int64_t busy_at_start = 0;  ///< see Scheduler::busy_ticks
        int64_t busy_at_end = 0;    ///< set before complete_
    };
    Tally &tally(const Worker &me) { return tallies_[static_cast<size_t>(me.index)]; }
    static void add(std::atomic<int64_t> &figure, int64_t amount) {
        figure.store(figure.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }

    bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
    /// Records that `subject` (`kernel 'name'`) failed and cancels the rest. Does not throw, also
    /// without memory for the text.
    void fail(std::string_view subject, const Loc &at, abi::Status status, const char *text);
    /// Marks the run as ended and lets go of it: nothing of it may be used afterwards.
    void end();

    Scheduler &scheduler_;
    const std::shared_ptr<const Plan> plan_;
    const std::vector<int64_t> bindings_;
    const std::shared_ptr<Observer> observer_;  ///< may be null
    std::atomic<int64_t> window_stalls_ = 0;    ///< see RunStats
    std::atomic<int64_t> most_in_flight_ = 0;

private:
    using Clock = std::chrono::steady_clock;

    std::vector<Tally> tallies_;
    std::atomic<bool> cancelled_ = false;
    std::atomic<bool> complete_ = false;
    Clock::time_point started_;
    Clock::time_point ended_;  ///< set before complete_
    std::shared_ptr<Run> self_;

    mutable std::mutex mutex_;
    std::condition_variable ended_changed_;
    int64_t failures_ = 0;
    FailureKind failure_kind_ = FailureKind::Kernel;
    Loc failed_at_;
    std::string failure_;
    std::vector<Note> failure_notes_;
};

}  // namespace pto::wsp::runtime
