#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "runtime/run.h"
#include "runtime/wavefront.h"

namespace pto::wsp::runtime {

/// Runs phases of independent loops. The loops of a phase form one range of iterations, from which
/// workers claim chunks: large ones first, single iterations at the end, and none that would take
/// much longer than some milliseconds, so that a run can be cancelled.
///
/// Protocol. `next` is moved by compare-exchange, so an iteration is claimed once; `remaining`
/// counts iterations that have not ended. Whoever takes it to zero has, through its
/// acquire-release, all effects of the phase behind it and alone begins the next phase: it fills in
/// that phase's ranges and publishes them by storing `current_`. A worker takes part through a
/// ticket, which may still lie in a queue when its phase is over; it then serves the current one.
/// Wavefronts of a phase are not claimed: their blocks are jobs, queued one after another, and
/// count in `remaining`.
///
/// Failures. A chunk goes on behind an iteration that fails. The iteration is noted as lost before
/// the chunk's end is counted, so whoever begins the next phase sees it, finds out what needs it in
/// the loops there before he publishes the phase, and these iterations are left out, which makes
/// them lost too. Of a loop only its own phase adds to what is lost.
class StaticRun final : public Run {
public:
    StaticRun(Scheduler &scheduler, std::shared_ptr<const Plan> plan, std::vector<int64_t> bindings,
              std::shared_ptr<Observer> observer);

    void run_job(Job &job, Worker &me) override;

private:
    struct alignas(64) Progress {
        std::atomic<int64_t> next = 0;
        std::atomic<int64_t> remaining = 0;
        int64_t iterations = 0;          ///< to be claimed
        int32_t first_loop = 0;          ///< number of the first loop, counted over all phases
        std::vector<int64_t> loop_ends;  ///< in the phase's range
    };
    struct Range {
        int64_t begin = 0;
        int64_t end = 0;
    };
    /// Iterations of a loop that failed or did not run.
    class Lost {
    public:
        /// At least one. Where there is no memory to note it, there are many.
        void add(int64_t first, int64_t count) noexcept;
        bool any() const { return any_.load(std::memory_order_relaxed); }
        /// True when there are more than StaticLoop::most_lost: then `iterations` are some.
        bool are_many() const { return many_; }
        const std::vector<int64_t> &iterations() const { return iterations_; }

    private:
        std::atomic<bool> any_ = false;
        bool many_ = false;
        std::mutex mutex_;
        std::vector<int64_t> iterations_;
    };
    struct Chunk;
    /// A job by which a worker takes part. While queued it keeps the run alive, because it may be
    /// taken after the run's end; `keep` belongs to whoever moves `queued`.
    struct Ticket : Job {
        std::atomic<bool> queued = false;
        std::shared_ptr<Run> keep;
    };

    Job &first_job() override;
    bool is_ticket(const Job &job) const;
    bool take_up(Ticket &ticket);
    /// Begins the first phase from index `phase` on that has iterations; false when the run ended.
    bool begin_phase(size_t phase, Worker &me);
    void queue_wavefronts(size_t phase, Worker &me);
    /// Finds out which iterations of the loop need lost ones. False when all do.
    bool look_for_needs(const StaticLoop &loop, int32_t number);
    /// The first iteration of the range that needs a lost one, else its end.
    int64_t first_in_need(int32_t number, Range range) const;
    /// These are lost because others are.
    void leave_out(const StaticLoop &loop, int32_t number, Range range, Worker &me);
    void skip(const StaticLoop &loop, int64_t iterations, Worker &me);
    int64_t iterations_of(const StaticLoop &loop) const;
    void invite(int64_t others, Worker &me);
    void take_part(Worker &me);
    bool run_chunks(size_t phase, Worker &me);
    bool claim(Progress &progress, int64_t most, Range &range) const;
    void run_range(size_t phase, Range range, Worker &me);
    void run_block(Wavefront::Block &block, Worker &me);
    void run_part(Wavefront &wavefront, const Wavefront::Part &part, Worker &me);
    void run_chunk(const StaticLoop &loop, int32_t number, Range range, Worker &me);
    /// Runs the range up to an iteration that fails, which it gives; `range` is what is left then.
    std::optional<int64_t> run_some(const StaticLoop &loop, int32_t number, Range &range,
                                    Worker &me);
    void fail_iteration(const StaticLoop &loop, const Work &at, int64_t tasks, abi::Status status,
                        const char *text, Worker &me);

    static constexpr size_t not_begun = SIZE_MAX;

    const std::vector<Phase> &phases_;
    std::vector<Progress> progress_;
    std::vector<const StaticLoop *> loops_;  ///< of all phases
    std::vector<Lost> lost_;                 ///< of each
    std::vector<std::vector<NeedsLost>> needs_lost_;
    std::atomic<size_t> current_ = not_begun;
    std::vector<Ticket> tickets_;       ///< one a worker
    std::deque<Wavefront> wavefronts_;  ///< by the number of their loop
};

}  // namespace pto::wsp::runtime
