#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
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
enum class FailureKind { Kernel, Channel, ChannelClosed, EventTimeout };

/// What all executions share: completion, errors, cancellation, figures. Keeps itself alive from
/// `launch` until it has ended.
class Run : public Execution, public std::enable_shared_from_this<Run> {
public:
    Run(Scheduler &scheduler, std::shared_ptr<const Plan> plan, std::vector<int64_t> bindings,
        std::shared_ptr<Observer> observer);

    bool is_complete() const override { return complete_.load(std::memory_order_acquire); }
    bool wait(std::optional<std::chrono::nanoseconds> timeout) override;
    std::vector<Failure> failures() const override;
    int64_t failure_count() const override;
    void rethrow() const override;
    RunStats stats() const override;
    void cancel() override {
        cancelled_.store(true, std::memory_order_relaxed);
        disturbed_.store(true, std::memory_order_relaxed);
    }
    void when_complete(std::function<void()> then) override;
    /// Records an error at the user's line, which the run ends with if it is the first, and cancels
    /// the rest. Does not throw.
    void fail(FailureKind kind, const Loc &at, const std::string &text,
              std::vector<Note> notes = {});

    /// Queues the first job.
    void launch();
    /// Runs one job of this run on the thread of `me`.
    virtual void run_job(Job &job, Worker &me) = 0;
    /// Calls `call` at `time` on another thread; false when there can be none.
    bool call_at(std::function<void()> call, Timer::Clock::time_point time) {
        return scheduler_.call_at(std::move(call), time);
    }
    void count_steal(Worker &me) { add(tally(me).steals, 1); }

protected:
    virtual Job &first_job() = 0;
    /// What a cancelled run waited for.
    virtual std::vector<Note> waited_for() const { return {}; }

    /// Figures of one worker, written by it alone.
    struct alignas(64) Tally {
        std::atomic<int64_t> tasks = 0;
        std::atomic<int64_t> parallel_tasks = 0;
        std::atomic<int64_t> steals = 0;
        std::atomic<int64_t> failed = 0;
        std::atomic<int64_t> skipped = 0;
        int64_t busy_at_start = 0;  ///< see Scheduler::busy_ticks
        int64_t busy_at_end = 0;    ///< set before complete_
    };
    Tally &tally(const Worker &me) { return tallies_[static_cast<size_t>(me.index)]; }
    static void add(std::atomic<int64_t> &figure, int64_t amount) {
        figure.store(figure.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
    }

    bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
    /// True while all tasks run: none has failed and nobody has cancelled the run. A task that is
    /// lost, and whoever finds the list of one closed, sees it false.
    bool undisturbed() const { return !disturbed_.load(std::memory_order_relaxed); }
    const std::atomic<bool> &cancelled_flag() const { return cancelled_; }
    /// Work was not done because the run was cancelled.
    void give_up() { given_up_.store(true, std::memory_order_relaxed); }
    /// Records that `subject` (`kernel name`, `task graph`) failed; `failure` says which task it
    /// is. Does not throw, also without memory for the text.
    void record_failure(std::string_view subject, const Loc &at, abi::Status status,
                        const char *text, Failure failure = {});
    /// The same for what makes tasks, and cancels the rest.
    void fail(std::string_view subject, const Loc &at, abi::Status status, const char *text);
    /// Replaces the numbers of failed tasks that are `number(old)`; each once.
    void number_failures(const std::function<int64_t(int64_t)> &number);
    /// Marks the run as ended and lets go of it: nothing of it may be used afterwards.
    void end();

    Scheduler &scheduler_;
    const std::shared_ptr<const Plan> plan_;
    const std::vector<int64_t> bindings_;
    const std::shared_ptr<Observer> observer_;  ///< may be null
    std::atomic<int64_t> window_stalls_ = 0;    ///< see RunStats
    std::atomic<int64_t> most_in_flight_ = 0;

private:
    void throw_channel_failure() const;

    using Clock = std::chrono::steady_clock;

    std::vector<Tally> tallies_;
    std::atomic<bool> cancelled_ = false;
    std::atomic<bool> disturbed_ = false;
    std::atomic<bool> given_up_ = false;
    std::atomic<bool> complete_ = false;
    Clock::time_point started_;
    Clock::time_point ended_;  ///< set before complete_
    std::shared_ptr<Run> self_;

    mutable std::mutex mutex_;
    std::condition_variable ended_changed_;
    int64_t failure_count_ = 0;  ///< also of those that are not remembered
    std::vector<Failure> failures_;
    size_t numbered_ = 0;  ///< of `failures_`, see number_failures
    FailureKind failure_kind_ = FailureKind::Kernel;
    Loc failed_at_;  ///< of a failure with a kind, as the next two
    std::string failure_;
    std::vector<Note> failure_notes_;
    std::vector<std::function<void()>> when_complete_;
};

}  // namespace pto::wsp::runtime
