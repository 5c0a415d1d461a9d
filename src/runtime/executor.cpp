#include "pto/wsp/runtime/executor.h"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>

#include "pto/wsp/support/env.h"
#include "runtime/dynamic_run.h"
#include "runtime/scheduler.h"
#include "runtime/static_run.h"

namespace pto::wsp::runtime {

namespace {

constexpr int most_workers = 1024;

std::atomic<int> forks = 0;
std::atomic<Executor *> shared_executor = nullptr;

void forget_threads_after_fork() {
    forks.fetch_add(1, std::memory_order_relaxed);
    shared_executor.store(nullptr, std::memory_order_relaxed);
}

int register_fork_handler() {
    return pthread_atfork(nullptr, nullptr, &forget_threads_after_fork);
}

/// Tasks must not run into objects of the user that the exit of the process destroys.
void end_shared_runs() {
    constexpr std::chrono::seconds longest{10};
    if (Executor *executor = shared_executor.load(std::memory_order_acquire)) {
        executor->cancel_all(longest);
    }
}

int checked_workers(int workers) {
    if (workers < 0 || workers > most_workers) {
        throw ExecutionError({}, "executor: expected 1..." + std::to_string(most_workers) +
                                     " workers, found " + std::to_string(workers));
    }
    return workers == 0 ? env::workers() : workers;
}

}  // namespace

int fork_count() {
    return forks.load(std::memory_order_relaxed);
}

struct Executor::Impl {
    explicit Impl(int workers) : scheduler(workers) {}

    TrackingPool pool;  ///< outlives the scheduler's runs
    Scheduler scheduler;
    int generation = fork_count();
};

Executor::Executor(int workers) {
    static const int registered = register_fork_handler();
    (void)registered;
    impl_ = std::make_unique<Impl>(checked_workers(workers));
}

Executor::~Executor() {
    if (impl_->generation != fork_count()) {
        // In the child of a fork there are no threads to end or wait for.
        (void)impl_.release();
    }
}

int Executor::workers() const {
    return impl_->scheduler.workers();
}

std::shared_ptr<Execution> Executor::start(std::shared_ptr<const Plan> plan,
                                           std::vector<int64_t> bindings,
                                           std::shared_ptr<Observer> observer) {
    if (impl_->generation != fork_count()) {
        throw ExecutionError({}, "executor: its threads are in the parent of this process", {},
                             "make an executor after the fork");
    }
    std::shared_ptr<Run> run;
    if (std::holds_alternative<DynamicGraph>(*plan)) {
        run = std::make_shared<DynamicRun>(impl_->scheduler, impl_->pool, std::move(plan),
                                           std::move(bindings), std::move(observer));
    } else {
        run = std::make_shared<StaticRun>(impl_->scheduler, std::move(plan), std::move(bindings),
                                          std::move(observer));
    }
    run->launch();
    return run;
}

bool Executor::cancel_all(std::optional<std::chrono::nanoseconds> timeout) {
    return impl_->scheduler.cancel_all(timeout);
}

Executor &Executor::shared() {
    static const int registered = std::atexit(&end_shared_runs);
    (void)registered;
    Executor *executor = shared_executor.load(std::memory_order_acquire);
    if (executor == nullptr) {
        auto made = std::make_unique<Executor>();
        if (shared_executor.compare_exchange_strong(executor, made.get(),
                                                    std::memory_order_acq_rel)) {
            // Never destroyed: when the process ends its threads may still be in a task.
            executor = made.release();
        }
    }
    return *executor;
}

}  // namespace pto::wsp::runtime
