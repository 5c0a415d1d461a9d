#include "runtime/static_run.h"

#include <algorithm>
#include <chrono>

#include "pto/wsp/runtime/arena.h"
#include "runtime/task_counter.h"

namespace pto::wsp::runtime {

namespace {

/// A claim takes this part of what is left, divided by the number of workers.
constexpr int64_t claims_per_worker = 4;
/// Of a worker's first claim in a phase, when it does not know yet how long an iteration takes.
constexpr int64_t first_claim = 8;
constexpr int64_t longest_chunk_ns = 4'000'000;

size_t count_loops(const std::vector<Phase> &phases) {
    size_t count = 0;
    for (const Phase &phase : phases) {
        count += phase.size();
    }
    return count;
}

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
      lost_loops_(count_loops(phases_)), tickets_(static_cast<size_t>(scheduler.workers())) {
    for (Ticket &ticket : tickets_) {
        ticket.run = this;
    }
    int32_t loops = 0;
    for (size_t i = 0; i < phases_.size(); i++) {
        progress_[i].first_loop = loops;
        loops += static_cast<int32_t>(phases_[i].size());
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

void StaticRun::run_job(Job &job, Worker &me) {
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
    using Clock = std::chrono::steady_clock;
    Progress &progress = progress_[phase];
    int64_t most = first_claim;
    Range range;
    while (claim(progress, most, range)) {
        int64_t count = range.end - range.begin;
        bool timed = count < progress.iterations;  // else there is no next claim
        Clock::time_point begin = timed ? Clock::now() : Clock::time_point();
        run_range(phase, range, me);
        if (progress.remaining.fetch_sub(count, std::memory_order_acq_rel) == count) {
            return true;
        }
        if (timed) {
            auto time = std::chrono::nanoseconds(Clock::now() - begin).count();
            int64_t per_iteration = time / count;
            most = per_iteration == 0 ? INT64_MAX
                                      : std::max<int64_t>(longest_chunk_ns / per_iteration, 1);
        }
    }
    return false;
}

bool StaticRun::begin_phase(size_t phase, Worker &me) {
    int64_t iterations = 0;
    for (; phase < phases_.size() && !cancelled(); phase++) {
        Progress &progress = progress_[phase];
        for (const StaticLoop &loop : phases_[phase]) {
            if (is_lost(loop)) {
                const auto place = static_cast<size_t>(progress.first_loop);
                lost_loops_[place + progress.loop_ends.size()] = true;
                skip(loop, iterations_of(loop), me);
            } else {
                iterations += iterations_of(loop);
            }
            progress.loop_ends.push_back(iterations);
        }
        if (iterations > 0) {
            progress.iterations = iterations;
            progress.remaining.store(iterations, std::memory_order_relaxed);
            break;
        }
    }
    if (iterations == 0) {
        if (phase < phases_.size()) {
            give_up();
        }
        current_.store(phases_.size(), std::memory_order_seq_cst);
        end();
        return false;
    }
    current_.store(phase, std::memory_order_seq_cst);
    invite(iterations - 1, me);
    return true;
}

void StaticRun::invite(int64_t others, Worker &me) {
    int count = static_cast<int>(std::min<int64_t>(others, scheduler_.workers() - 1));
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

void StaticRun::run_chunk(const StaticLoop &loop, int32_t number, Range range, Worker &me) {
    if (cancelled()) {
        give_up();
        skip(loop, range.end - range.begin, me);
        return;
    }
    scheduler_.set_running(me, true);
    uint64_t mark = scheduler_.activity();
    int64_t counted = counted_tasks();
    int64_t passed = 0;
    CancelPoint cancel_point(cancelled_flag());
    while (range.begin < range.end) {
        Chunk chunk{loop, bindings_.data(), range, observer_.get(), me.index, {number, 0, 0}};
        *pto_wsp_progress() = range.begin;
        const int64_t counted_before = counted_tasks();
        const char *text = nullptr;
        abi::Status status = guarded_call(&Chunk::call, &chunk, &text);
        // Where it failed, else behind the last one.
        const int64_t ended = status == 0 ? range.end : *pto_wsp_progress();
        passed += ended - range.begin;
        const int64_t tasks = count_tasks(loop, ended - range.begin, counted_before);
        if (status != 0 && observer_ != nullptr) {
            chunk.ended(ended - chunk.work.first, status);
        }
        if (cancel_point.take_ended()) {
            give_up();
            skip(loop, range.end - range.begin, me);
            add(tally(me).skipped, loop.tasks_per_iteration < 0 ? 0 : -tasks);
            break;
        }
        if (status != 0) {
            const int64_t passed_tasks = (ended - range.begin) * loop.tasks_per_iteration;
            fail_iteration(loop, {number, ended, 1}, tasks - passed_tasks, status, text, me);
        }
        range.begin = ended + (status == 0 ? 0 : 1);
    }
    const int64_t tasks = count_tasks(loop, passed, counted);
    add(tally(me).tasks, tasks);
    add(tally(me).parallel_tasks, scheduler_.overlapped(mark) ? tasks : 0);
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
    lost_loops_[static_cast<size_t>(at.site)].store(true, std::memory_order_relaxed);
}

bool StaticRun::is_lost(const StaticLoop &loop) const {
    return std::any_of(loop.needs.begin(), loop.needs.end(), [&](int earlier) {
        return lost_loops_[static_cast<size_t>(earlier)].load(std::memory_order_relaxed);
    });
}

/// Counts tasks that do not run, where their number is known.
void StaticRun::skip(const StaticLoop &loop, int64_t iterations, Worker &me) {
    add(tally(me).skipped, iterations * std::max<int64_t>(loop.tasks_per_iteration, 0));
}

}  // namespace pto::wsp::runtime
