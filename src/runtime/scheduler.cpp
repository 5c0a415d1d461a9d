#include "runtime/scheduler.h"

#include <pthread.h>

#include <algorithm>
#include <string>
#include <system_error>

#include "pto/wsp/support/error.h"
#include "runtime/blocked_signals.h"
#include "runtime/run.h"
#include "runtime/wait_until.h"

namespace pto::wsp::runtime {

namespace {

/// Between two looks at the common queue when a worker's own deque never runs empty.
constexpr uint32_t turns_per_look = 64;
/// Rounds of an idle worker before it sleeps, some tens of microseconds in all.
constexpr int idle_rounds = 256;
constexpr int longest_pause = 32;
/// From this round on an idle worker lets other threads have the core between its looks.
constexpr int first_yielding_round = 192;

void pause(int times) {
    for (int i = 0; i < times; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#else
        std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
    }
}

uint32_t next_random(uint32_t &state) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

}  // namespace

Scheduler::Scheduler(int workers)
    : sleepers_(workers),
      timer_([this](Job &job, int index) { index < 0 ? inject(job) : deliver(index, job); }) {
    for (int i = 0; i < workers; i++) {
        workers_.push_back(std::make_unique<Worker>());
        workers_.back()->index = i;
        workers_.back()->random = 0x9e3779b9U * static_cast<uint32_t>(i + 1);
    }
    try {
        start_threads();
    } catch (const std::system_error &error) {
        size_t started = threads_.size();
        stop_threads();
        throw ExecutionError({},
                             "started " + std::to_string(started) + " of " +
                                 std::to_string(workers) + " worker threads: " + error.what(),
                             {}, "set PTO_WSP_WORKERS to a smaller number");
    }
}

Scheduler::~Scheduler() {
    {
        std::unique_lock lock(runs_mutex_);
        runs_ended_.wait(lock, [&] { return run_count_ == 0; });
    }
    stop_threads();
}

void Scheduler::start_threads() {
    BlockedSignals blocked;
    threads_.reserve(workers_.size());
    for (const auto &worker : workers_) {
        threads_.emplace_back([this, me = worker.get()] {
            pthread_setname_np(pthread_self(), ("pto_wsp/" + std::to_string(me->index)).c_str());
            work(*me);
        });
    }
}

void Scheduler::stop_threads() {
    stop_.store(true, std::memory_order_seq_cst);
    wake(workers());
    for (std::thread &thread : threads_) {
        thread.join();
    }
}

void Scheduler::run_started(Run &run) {
    std::lock_guard lock(runs_mutex_);
    run_count_++;
    runs_.push_back(&run);
}

void Scheduler::forget(Run &run) {
    std::lock_guard lock(runs_mutex_);
    runs_.erase(std::find(runs_.begin(), runs_.end(), &run));
}

void Scheduler::run_ended() {
    // Under the lock, so that the destructor cannot pass between the count and the notification.
    std::lock_guard lock(runs_mutex_);
    if (--run_count_ == 0) {
        runs_ended_.notify_all();
    }
}

bool Scheduler::cancel_all(std::optional<std::chrono::nanoseconds> timeout) {
    std::unique_lock lock(runs_mutex_);
    for (Run *run : runs_) {
        run->cancel();
    }
    return wait_until(runs_ended_, lock, timeout, [&] { return run_count_ == 0; });
}

void Scheduler::inject(Job &job) {
    {
        std::lock_guard lock(injected_mutex_);
        injected_.push_back(&job);
        injected_count_.store(static_cast<int64_t>(injected_.size()), std::memory_order_seq_cst);
    }
    sleepers_.wake_one();
}

void Scheduler::deliver(int index, Job &job) {
    workers_[static_cast<size_t>(index)]->inbox.put(job);
    sleepers_.rouse(index);
}

void Scheduler::work(Worker &me) {
    while (true) {
        Job *job = own_job(me);
        if (job == nullptr) {
            job = search(me);
            if (job == nullptr) {
                return;
            }
        }
        job->run->run_job(*job, me);
    }
}

Job *Scheduler::own_job(Worker &me) {
    if (Job *job = me.inbox.take()) {
        return job;
    }
    // Else a worker that always has work of its own would keep other runs from starting.
    if (++me.turns % turns_per_look == 0) {
        if (Job *job = take_injected()) {
            return job;
        }
    }
    if (Job *job = me.deque.pop()) {
        return job;
    }
    return take_injected();
}

Job *Scheduler::take_injected() {
    if (injected_count_.load(std::memory_order_relaxed) == 0) {
        return nullptr;
    }
    std::lock_guard lock(injected_mutex_);
    if (injected_.empty()) {
        return nullptr;
    }
    Job *job = injected_.front();
    injected_.pop_front();
    injected_count_.store(static_cast<int64_t>(injected_.size()), std::memory_order_seq_cst);
    return job;
}

Job *Scheduler::steal(Worker &me) {
    size_t count = workers_.size();
    size_t first = next_random(me.random) % count;
    for (size_t i = 0; i < count; i++) {
        Worker &victim = *workers_[(first + i) % count];
        if (&victim == &me) {
            continue;
        }
        if (Job *job = victim.deque.steal()) {
            job->run->count_steal(me);
            return job;
        }
    }
    return nullptr;
}

Job *Scheduler::search(Worker &me) {
    while (true) {
        sleepers_.begin_search();
        Job *job = look_around(me);
        sleepers_.end_search(job != nullptr, [&] { return sees_work(me); });
        if (job != nullptr) {
            return job;
        }
        if (stop_.load(std::memory_order_seq_cst) && !sees_work(me)) {
            return nullptr;
        }
        sleepers_.sleep(me.index,
                        [&] { return sees_work(me) || stop_.load(std::memory_order_seq_cst); });
    }
}

Job *Scheduler::look_around(Worker &me) {
    for (int round = 0; round < idle_rounds; round++) {
        Job *job = me.inbox.take();
        if (job == nullptr) {
            job = take_injected();
        }
        if (job == nullptr) {
            job = steal(me);
        }
        if (job != nullptr || stop_.load(std::memory_order_relaxed)) {
            return job;
        }
        set_running(me, false);
        if (round < first_yielding_round) {
            pause(round < longest_pause ? round + 1 : longest_pause);
        } else {
            std::this_thread::yield();
        }
    }
    return nullptr;
}

bool Scheduler::sees_work(const Worker &me) const {
    if (!me.inbox.empty() || injected_count_.load(std::memory_order_seq_cst) > 0) {
        return true;
    }
    for (const auto &worker : workers_) {
        if (!worker->deque.empty()) {
            return true;
        }
    }
    return false;
}

}  // namespace pto::wsp::runtime
