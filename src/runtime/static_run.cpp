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
constexpr int64_t first_claim = 64;
constexpr int64_t longest_chunk_ns = 4'000'000;

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

    int64_t tasks() const {
        return loop.tasks_per_iteration < 0 ? counted_tasks() - counted
                                            : work.count * loop.tasks_per_iteration;
    }

    void ended(abi::Status status) const {
        observer->ended(worker, work, status == 0 ? tasks() : 0, status);
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
            ended(0);
        }
        return 0;
    }
};

StaticRun::StaticRun(Scheduler &scheduler, std::shared_ptr<const Plan> plan,
                     std::vector<int64_t> bindings, std::shared_ptr<Observer> observer)
    : Run(scheduler, std::move(plan), std::move(bindings), std::move(observer)),
      phases_(std::get<std::vector<Phase>>(*plan_)), progress_(phases_.size()),
      tickets_(static_cast<size_t>(scheduler.workers())) {
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
        run_range(phases_[phase], progress, range, me);
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
            iterations += iterations_of(loop);
            progress.loop_ends.push_back(iterations);
        }
        if (iterations > 0) {
            progress.iterations = iterations;
            progress.remaining.store(iterations, std::memory_order_relaxed);
            break;
        }
    }
    if (iterations == 0) {
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

void StaticRun::run_range(const Phase &phase, const Progress &progress, Range range, Worker &me) {
    const std::vector<int64_t> &ends = progress.loop_ends;
    auto loop =
        static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), range.begin) - ends.begin());
    for (int64_t begin = range.begin; begin < range.end && !cancelled(); loop++) {
        int64_t end = std::min(range.end, ends[loop]);
        int64_t first = loop == 0 ? 0 : ends[loop - 1];
        const int32_t number = progress.first_loop + static_cast<int32_t>(loop);
        if (end > begin && !run_chunk(phase[loop], number, {begin - first, end - first}, me)) {
            return;
        }
        begin = end;
    }
}

bool StaticRun::run_chunk(const StaticLoop &loop, int32_t number, Range range, Worker &me) {
    scheduler_.set_running(me, true);
    uint64_t mark = scheduler_.activity();
    int64_t counted = counted_tasks();
    Chunk chunk{loop, bindings_.data(), range, observer_.get(), me.index, {number, 0, 0}};
    const char *text = nullptr;
    abi::Status status = guarded_call(&Chunk::call, &chunk, &text);
    if (status != 0) {
        if (observer_ != nullptr) {
            chunk.ended(status);
        }
        fail("kernel " + loop.name, loop.at, status, text);
        return false;
    }
    int64_t tasks = loop.tasks_per_iteration < 0
                        ? counted_tasks() - counted
                        : (range.end - range.begin) * loop.tasks_per_iteration;
    add(tally(me).tasks, tasks);
    add(tally(me).parallel_tasks, scheduler_.overlapped(mark) ? tasks : 0);
    return true;
}

}  // namespace pto::wsp::runtime
