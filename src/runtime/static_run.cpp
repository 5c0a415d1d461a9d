#include "runtime/static_run.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <new>

#include "pto/wsp/runtime/arena.h"
#include "runtime/task_counter.h"

namespace pto::wsp::runtime {

namespace {

/// A claim takes this part of what is left, divided by the number of workers.
constexpr int64_t claims_per_worker = 4;
/// Of a worker's first claim in a phase, when it does not know yet how long an iteration takes.
constexpr int64_t first_claim = 8;
constexpr double longest_chunk_ns = 4e6;

std::vector<const StaticLoop *> loops_of(const std::vector<Phase> &phases) {
    std::vector<const StaticLoop *> result;
    for (const Phase &phase : phases) {
        for (const StaticLoop &loop : phase) {
            result.push_back(&loop);
        }
    }
    return result;
}

/// How many iterations a worker may take on at once, after the time that its last ones took.
class Pace {
public:
    int64_t most() const { return most_; }
    void begin() { begin_ = Clock::now(); }
    void end(int64_t count) {
        const double time = std::chrono::duration<double, std::nano>(Clock::now() - begin_).count();
        const double most = longest_chunk_ns * static_cast<double>(count) / std::max(time, 1.0);
        most_ = static_cast<int64_t>(std::clamp(most, 1.0, 1e15));
    }

private:
    using Clock = std::chrono::steady_clock;

    int64_t most_ = first_claim;
    Clock::time_point begin_;
};

/// Tasks that have run in `iterations` of a loop and in the one that has failed, since `counted`.
int64_t count_tasks(const StaticLoop &loop, int64_t iterations, int64_t counted) {
    return loop.counts_tasks || loop.tasks_per_iteration < 0
               ? counted_tasks() - counted
               : iterations * loop.tasks_per_iteration;
}

}  // namespace

/// Part of one loop, as a closure of guarded_call.
struct StaticRun::Chunk {
    const StaticLoop &loop;
    const int64_t *bindings;
    Range range;
    Observer *observer;
    int worker;
    Work work = {};
    int64_t counted = 0;

    int run(Range part) const { return loop.function(bindings, part.begin, part.end); }

    /// Tasks in `iterations` that have passed, and those of the one that has not.
    int64_t tasks(int64_t iterations) const { return count_tasks(loop, iterations, counted); }

    /// `iterations` of what was begun have passed.
    void ended(int64_t iterations, abi::Status status) const {
        observer->ended(worker, work, tasks(iterations), status);
    }

    static int call(void *closure) {
        auto &chunk = *static_cast<Chunk *>(closure);
        return chunk.observer == nullptr ? chunk.run(chunk.range) : chunk.run_observed();
    }

    int run_observed() {
        const int64_t step = observer->detail() == Detail::Work ? range.end - range.begin : 1;
        for (int64_t at = range.begin; at < range.end; at += step) {
            work.first = at;
            work.count = step;
            counted = counted_tasks();
            observer->began(worker, work);
            if (abi::Status status = run({at, at + step})) {
                return status;
            }
            ended(step, 0);
        }
        return 0;
    }
};

StaticRun::StaticRun(Scheduler &scheduler, std::shared_ptr<const Plan> plan,
                     std::vector<int64_t> bindings, std::shared_ptr<Observer> observer)
    : Run(scheduler, std::move(plan), std::move(bindings), std::move(observer)),
      phases_(std::get<std::vector<Phase>>(*plan_)), progress_(phases_.size()),
      loops_(loops_of(phases_)), lost_(loops_.size()), needs_lost_(loops_.size()),
      tickets_(static_cast<size_t>(scheduler.workers())) {
    for (Ticket &ticket : tickets_) {
        ticket.run = this;
    }
    int32_t loops = 0;
    for (size_t i = 0; i < phases_.size(); i++) {
        progress_[i].first_loop = loops;
        for (const StaticLoop &loop : phases_[i]) {
            if (loop.wavefront) {
                wavefronts_.emplace_back(*this, loop, i, loops, scheduler.workers());
            }
            loops++;
        }
    }
}

Job &StaticRun::first_job() {
    take_up(tickets_[0]);
    return tickets_[0];
}

bool StaticRun::take_up(Ticket &ticket) {
    if (ticket.queued.exchange(true, std::memory_order_acq_rel)) {
        return false;
    }
    ticket.keep = shared_from_this();
    return true;
}

bool StaticRun::is_ticket(const Job &job) const {
    const std::less_equal<const Job *> before;
    return before(&tickets_.front(), &job) && before(&job, &tickets_.back());
}

void StaticRun::run_job(Job &job, Worker &me) {
    if (!is_ticket(job)) {
        run_block(static_cast<Wavefront::Block &>(job), me);
        return;
    }
    auto &ticket = static_cast<Ticket &>(job);
    std::shared_ptr<Run> keep = std::move(ticket.keep);
    ticket.queued.store(false, std::memory_order_seq_cst);
    take_part(me);
}

void StaticRun::take_part(Worker &me) {
    size_t phase = current_.load(std::memory_order_seq_cst);
    if (phase == not_begun) {
        if (!begin_phase(0, me)) {
            return;
        }
        phase = current_.load(std::memory_order_acquire);
    }
    while (phase < phases_.size()) {
        if (!run_chunks(phase, me) || !begin_phase(phase + 1, me)) {
            return;
        }
        phase = current_.load(std::memory_order_acquire);
    }
}

/// True when the chunk that ended last was this worker's.
bool StaticRun::run_chunks(size_t phase, Worker &me) {
    Progress &progress = progress_[phase];
    Pace pace;
    Range range;
    while (claim(progress, pace.most(), range)) {
        const int64_t count = range.end - range.begin;
        pace.begin();
        run_range(phase, range, me);
        if (progress.remaining.fetch_sub(count, std::memory_order_acq_rel) == count) {
            return true;
        }
        pace.end(count);
    }
    return false;
}

bool StaticRun::begin_phase(size_t phase, Worker &me) {
    int64_t remaining = 0;
    for (; phase < phases_.size() && !cancelled(); phase++) {
        Progress &progress = progress_[phase];
        int32_t number = progress.first_loop;
        for (const StaticLoop &loop : phases_[phase]) {
            const int64_t iterations = iterations_of(loop);
            if (look_for_needs(loop, number)) {
                remaining += iterations;
                progress.iterations += loop.wavefront ? 0 : iterations;
            } else {
                leave_out(loop, number, {0, iterations}, me);
            }
            progress.loop_ends.push_back(progress.iterations);
            number++;
        }
        if (remaining > 0) {
            progress.remaining.store(remaining, std::memory_order_relaxed);
            break;
        }
    }
    if (remaining == 0) {
        if (phase < phases_.size()) {
            give_up();
        }
        current_.store(phases_.size(), std::memory_order_seq_cst);
        end();
        return false;
    }
    const int64_t claimed = progress_[phase].iterations;
    current_.store(phase, std::memory_order_seq_cst);
    invite(claimed - 1, me);
    queue_wavefronts(phase, me);
    return claimed > 0;
}

void StaticRun::queue_wavefronts(size_t phase, Worker &me) {
    // Other workers may end the run as soon as the last block is queued.
    const std::shared_ptr<Run> keep = shared_from_this();
    for (Wavefront &wavefront : wavefronts_) {
        if (wavefront.phase() == phase && !lost_[static_cast<size_t>(wavefront.number())].any()) {
            wavefront.for_each_first([&](Wavefront::Block &block) { scheduler_.push(me, block); });
        }
    }
}

void StaticRun::invite(int64_t others, Worker &me) {
    int count = static_cast<int>(std::clamp<int64_t>(others, 0, scheduler_.workers() - 1));
    for (int i = 0; i < count; i++) {
        if (take_up(tickets_[static_cast<size_t>(i)])) {
            me.deque.push(&tickets_[static_cast<size_t>(i)]);
        }
    }
    scheduler_.wake(count);
}

int64_t StaticRun::iterations_of(const StaticLoop &loop) const {
    const int64_t iterations = loop.iterations_binding < 0
                                   ? loop.iterations
                                   : bindings_[static_cast<size_t>(loop.iterations_binding)];
    return std::max<int64_t>(iterations, 0);
}

bool StaticRun::claim(Progress &progress, int64_t most, Range &range) const {
    int64_t next = progress.next.load(std::memory_order_relaxed);
    int64_t count = 0;
    do {
        int64_t left = progress.iterations - next;
        if (left == 0) {
            return false;
        }
        count = cancelled() ? left : left / (claims_per_worker * scheduler_.workers());
        count = std::clamp<int64_t>(count, 1, cancelled() ? left : most);
    } while (!progress.next.compare_exchange_weak(next, next + count, std::memory_order_relaxed));
    range = {next, next + count};
    return true;
}

void StaticRun::run_range(size_t phase, Range range, Worker &me) {
    const Progress &progress = progress_[phase];
    const std::vector<int64_t> &ends = progress.loop_ends;
    auto loop =
        static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), range.begin) - ends.begin());
    for (int64_t begin = range.begin; begin < range.end; loop++) {
        int64_t end = std::min(range.end, ends[loop]);
        int64_t first = loop == 0 ? 0 : ends[loop - 1];
        const int32_t number = progress.first_loop + static_cast<int32_t>(loop);
        if (end > begin) {
            run_chunk(phases_[phase][loop], number, {begin - first, end - first}, me);
        }
        begin = end;
    }
}

void StaticRun::run_block(Wavefront::Block &block, Worker &me) {
    Wavefront &wavefront = *block.wavefront;
    const Wavefront::Part part = wavefront.part(block);
    run_part(wavefront, part, me);
    // Back to the queue with what follows, so that other runs get their turn.
    wavefront.for_each_freed(block, [&](Wavefront::Block &freed) { scheduler_.push(me, freed); });
    const size_t phase = wavefront.phase();
    if (progress_[phase].remaining.fetch_sub(part.size(), std::memory_order_acq_rel) ==
        part.size()) {
        const std::shared_ptr<Run> keep = shared_from_this();
        if (begin_phase(phase + 1, me)) {
            take_part(me);
        }
    }
}

void StaticRun::run_part(Wavefront &wavefront, const Wavefront::Part &part, Worker &me) {
    const StaticLoop &loop = wavefront.loop();
    Pace pace;
    for (int64_t row = part.first_row; row < part.last_row; row++) {
        const int64_t first = wavefront.iteration(part, row, 0);
        int64_t end = part.last_column;
        if (!undisturbed()) {
            const int64_t in_need =
                first_in_need(wavefront.number(), {first + part.first_column, first + end}) - first;
            if (in_need < end) {
                wavefront.lose(part, row, in_need);
            }
            end = wavefront.first_lost(part, row);
        }
        int64_t column = part.first_column;
        while (column < end) {
            const int64_t count = std::min(end - column, pace.most());
            pace.begin();
            Range range = {first + column, first + column + count};
            const std::optional<int64_t> failed = run_some(loop, wavefront.number(), range, me);
            pace.end(count);
            column += count;
            if (failed) {
                end = *failed - first + 1;
                wavefront.lose(part, row, *failed - first);
            }
        }
        leave_out(loop, wavefront.number(), {first + end, first + part.last_column}, me);
    }
}

void StaticRun::run_chunk(const StaticLoop &loop, int32_t number, Range range, Worker &me) {
    while (range.begin < range.end) {
        Range part = {range.begin, undisturbed() ? range.end : first_in_need(number, range)};
        range.begin = part.end;
        while (part.begin < part.end) {
            run_some(loop, number, part, me);
        }
        if (range.begin < range.end) {
            leave_out(loop, number, {range.begin, range.begin + 1}, me);
            range.begin++;
        }
    }
}

std::optional<int64_t> StaticRun::run_some(const StaticLoop &loop, int32_t number, Range &range,
                                           Worker &me) {
    if (cancelled()) {
        give_up();
        skip(loop, range.end - range.begin, me);
        range.begin = range.end;
        return std::nullopt;
    }
    scheduler_.set_running(me, true);
    const uint64_t mark = scheduler_.activity();
    CancelPoint cancel_point(cancelled_flag());
    Chunk chunk{loop, bindings_.data(), range, observer_.get(), me.index, {number, 0, 0}};
    *pto_wsp_progress() = range.begin;
    const int64_t counted = counted_tasks();
    const char *text = nullptr;
    const abi::Status status = guarded_call(&Chunk::call, &chunk, &text);
    // Where it failed, else behind the last one.
    const int64_t ended = status == 0 ? range.end : *pto_wsp_progress();
    const int64_t tasks = count_tasks(loop, ended - range.begin, counted);
    add(tally(me).tasks, tasks);
    add(tally(me).parallel_tasks, scheduler_.overlapped(mark) ? tasks : 0);
    if (status != 0 && observer_ != nullptr) {
        chunk.ended(ended - chunk.work.first, status);
    }
    std::optional<int64_t> failed;
    if (cancel_point.take_ended()) {
        give_up();
        skip(loop, range.end - range.begin, me);
        add(tally(me).skipped, loop.tasks_per_iteration < 0 ? 0 : -tasks);
        range.begin = range.end;
    } else if (status != 0) {
        const int64_t passed_tasks = (ended - range.begin) * loop.tasks_per_iteration;
        fail_iteration(loop, {number, ended, 1}, tasks - passed_tasks, status, text, me);
        failed = ended;
        range.begin = ended + 1;
    } else {
        range.begin = range.end;
    }
    return failed;
}

/// `at` is the iteration, of which `tasks` have run.
void StaticRun::fail_iteration(const StaticLoop &loop, const Work &at, int64_t tasks,
                               abi::Status status, const char *text, Worker &me) {
    Failure failure;
    failure.what.kernel = loop.name;
    failure.loop = at.site;
    failure.iteration = at.first;
    add(tally(me).failed, 1);
    if (loop.tasks_per_iteration >= 0) {
        add(tally(me).skipped, loop.tasks_per_iteration - tasks - 1);
    }
    record_failure("kernel " + loop.name, loop.at, status, text, std::move(failure));
    lost_[static_cast<size_t>(at.site)].add(at.first, 1);
}

void StaticRun::Lost::add(int64_t first, int64_t count) noexcept {
    std::lock_guard lock(mutex_);
    any_.store(true, std::memory_order_relaxed);
    try {
        for (int64_t i = first; i < first + count && !many_; i++) {
            many_ = iterations_.size() == StaticLoop::most_lost;
            iterations_.push_back(i);
        }
    } catch (const std::bad_alloc &) {
        many_ = true;
    }
}

bool StaticRun::look_for_needs(const StaticLoop &loop, int32_t number) {
    std::vector<NeedsLost> &found = needs_lost_[static_cast<size_t>(number)];
    for (const LoopNeed &need : loop.needs) {
        const auto earlier = static_cast<size_t>(need.loop);
        if (!lost_[earlier].any()) {
            continue;
        }
        if (!need.iterations || lost_[earlier].are_many()) {
            return false;
        }
        try {
            found.push_back(need.iterations(lost_[earlier].iterations(),
                                            iterations_of(*loops_[earlier]), iterations_of(loop)));
        } catch (const std::bad_alloc &) {
            return false;
        }
    }
    return true;
}

int64_t StaticRun::first_in_need(int32_t number, Range range) const {
    const std::vector<NeedsLost> &needs = needs_lost_[static_cast<size_t>(number)];
    if (needs.empty()) {
        return range.end;
    }
    // A cancelled run is given up anyway.
    for (int64_t i = range.begin; i < range.end && !cancelled(); i++) {
        if (std::ranges::any_of(needs, [&](const NeedsLost &lost) { return lost(i); })) {
            return i;
        }
    }
    return range.end;
}

void StaticRun::leave_out(const StaticLoop &loop, int32_t number, Range range, Worker &me) {
    if (range.begin < range.end) {
        lost_[static_cast<size_t>(number)].add(range.begin, range.end - range.begin);
        skip(loop, range.end - range.begin, me);
    }
}

/// Counts tasks that do not run, where their number is known.
void StaticRun::skip(const StaticLoop &loop, int64_t iterations, Worker &me) {
    add(tally(me).skipped, iterations * std::max<int64_t>(loop.tasks_per_iteration, 0));
}

}  // namespace pto::wsp::runtime
