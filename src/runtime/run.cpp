#include "runtime/run.h"

#include <algorithm>
#include <new>
#include <string_view>
#include <tuple>

#include "pto/wsp/runtime/arena.h"
#include "runtime/ticks.h"
#include "runtime/wait_until.h"

namespace pto::wsp::runtime {

namespace {

/// Texts of generated code end with a line break or a full stop, ours with neither.
std::string_view trimmed(std::string_view text) {
    size_t end = text.find_last_not_of(". \t\r\n");
    return text.substr(0, end == std::string_view::npos ? 0 : end + 1);
}

}  // namespace

Run::Run(Scheduler &scheduler, std::shared_ptr<const Plan> plan, std::vector<int64_t> bindings,
         std::shared_ptr<Observer> observer)
    : scheduler_(scheduler), plan_(std::move(plan)), bindings_(std::move(bindings)),
      observer_(std::move(observer)), tallies_(static_cast<size_t>(scheduler.workers())),
      started_(Clock::now()) {}

void Run::launch() {
    for (size_t i = 0; i < tallies_.size(); i++) {
        tallies_[i].busy_at_start = scheduler_.busy_ticks(static_cast<int>(i));
    }
    self_ = shared_from_this();
    scheduler_.run_started(*this);
    scheduler_.inject(first_job());
}

bool Run::wait(std::optional<std::chrono::nanoseconds> timeout) {
    std::unique_lock lock(mutex_);
    return wait_until(ended_changed_, lock, timeout, [&] { return is_complete(); });
}

void Run::record_failure(std::string_view subject, const Loc &at, abi::Status status,
                         const char *text, Failure failure) {
    disturbed_.store(true, std::memory_order_relaxed);
    std::lock_guard lock(mutex_);
    failure_count_++;
    try {
        // Taken in any case: it would else be that of the thread's next error.
        const std::optional<Loc> line = take_failure_place();
        if (failures_.size() == most_failures) {
            return;
        }
        failure.what.at = line.value_or(at);
        failure.what.text = line ? "" : std::string(subject) + ": ";
        if (text != nullptr) {
            failure.what.text += trimmed(text);
        } else {
            failure.what.text += "returned status " + std::to_string(status) + ", expected 0";
        }
        failures_.push_back(std::move(failure));
    } catch (const std::bad_alloc &) {
        // Counted, and that has to do.
    }
}

void Run::fail(FailureKind kind, const Loc &at, const std::string &text, std::vector<Note> notes) {
    cancel();
    std::lock_guard lock(mutex_);
    if (failure_count_++ > 0) {
        return;
    }
    failure_kind_ = kind;
    try {
        failed_at_ = at;
        failure_ = text;
        failure_notes_ = std::move(notes);
    } catch (const std::bad_alloc &) {
        failure_ = "out of memory";
    }
}

void Run::fail(std::string_view subject, const Loc &at, abi::Status status, const char *text) {
    cancel();
    record_failure(subject, at, status, text);
}

void Run::number_failures(const std::function<int64_t(int64_t)> &number) {
    std::lock_guard lock(mutex_);
    for (; numbered_ < failures_.size(); numbered_++) {
        Failure &failure = failures_[numbered_];
        failure.task = failure.task < 0 ? -1 : number(failure.task);
    }
}

std::vector<Failure> Run::failures() const {
    std::vector<Failure> failures;
    {
        std::lock_guard lock(mutex_);
        failures = failures_;
        if (failures.size() < most_failures &&
            static_cast<int64_t>(failures.size()) < failure_count_) {
            failures.push_back(
                {{failed_at_, "", failure_.empty() ? "out of memory" : failure_, {}}});
        }
    }
    // What makes tasks failed after the tasks that it made.
    const auto place = [](const Failure &failure) {
        const bool is_task = failure.task >= 0 || failure.loop >= 0;
        return std::tuple(!is_task, failure.loop, failure.iteration, failure.task);
    };
    std::stable_sort(failures.begin(), failures.end(),
                     [&](const Failure &a, const Failure &b) { return place(a) < place(b); });
    return failures;
}

void Run::throw_channel_failure() const {
    std::unique_lock lock(mutex_);
    const Loc at = failed_at_;
    const std::string text = failure_;
    const std::vector<Note> notes = failure_notes_;
    const FailureKind kind = failure_kind_;
    lock.unlock();
    switch (kind) {
    case FailureKind::Kernel:
        return;
    case FailureKind::Channel:
        throw ChannelError(at, text, notes);
    case FailureKind::ChannelClosed:
        throw ChannelClosed(at, text, notes);
    case FailureKind::EventTimeout:
        throw EventTimeoutError(at, text, notes);
    }
}

void Run::rethrow() const {
    throw_channel_failure();
    const std::vector<Failure> failures = this->failures();
    if (!failures.empty()) {
        std::vector<TaskFailure> all;
        for (const Failure &failure : failures) {
            all.push_back(failure.what);
        }
        throw KernelError(std::move(all), failure_count());
    }
    const RunStats figures = stats();
    if (figures.cancelled && is_complete()) {
        throw CancelledError({},
                             "the run was cancelled: " + std::to_string(figures.tasks) +
                                 " of its tasks have run",
                             waited_for());
    }
}

RunStats Run::stats() const {
    RunStats stats;
    for (const Tally &tally : tallies_) {
        stats.tasks += tally.tasks.load(std::memory_order_relaxed);
        stats.parallel_tasks += tally.parallel_tasks.load(std::memory_order_relaxed);
        stats.steals += tally.steals.load(std::memory_order_relaxed);
        const auto worker = static_cast<int>(&tally - tallies_.data());
        const int64_t busy = is_complete() ? tally.busy_at_end : scheduler_.busy_ticks(worker);
        stats.workers.push_back(
            {tally.tasks.load(std::memory_order_relaxed),
             tally.steals.load(std::memory_order_relaxed),
             static_cast<double>(busy - tally.busy_at_start) * nanoseconds_per_tick() / 1e6});
        stats.failed += tally.failed.load(std::memory_order_relaxed);
        stats.skipped += tally.skipped.load(std::memory_order_relaxed);
    }
    stats.window_stalls = window_stalls_.load(std::memory_order_relaxed);
    stats.most_in_flight = most_in_flight_.load(std::memory_order_relaxed);
    stats.cancelled = given_up_.load(std::memory_order_relaxed);
    Clock::time_point until = is_complete() ? ended_ : Clock::now();
    stats.execute_ms = std::chrono::duration<double, std::milli>(until - started_).count();
    return stats;
}

int64_t Run::failure_count() const {
    std::lock_guard lock(mutex_);
    return failure_count_;
}

void Run::when_complete(std::function<void()> then) {
    {
        std::lock_guard lock(mutex_);
        if (!is_complete()) {
            when_complete_.push_back(std::move(then));
            return;
        }
    }
    then();
}

void Run::end() {
    std::shared_ptr<Run> self = std::move(self_);
    ended_ = Clock::now();
    for (size_t i = 0; i < tallies_.size(); i++) {
        tallies_[i].busy_at_end = scheduler_.busy_ticks(static_cast<int>(i));
    }
    if (observer_ != nullptr) {
        observer_->run_ended();
    }
    std::vector<std::function<void()>> then;
    {
        std::lock_guard lock(mutex_);
        complete_.store(true, std::memory_order_release);
        ended_changed_.notify_all();
        then.swap(when_complete_);
    }
    for (const std::function<void()> &call : then) {
        call();
    }
    then.clear();
    Scheduler &scheduler = scheduler_;
    scheduler.forget(*this);
    // The plan may own code and memory of the user: it goes before the executor reports the end.
    self.reset();
    scheduler.run_ended();
}

}  // namespace pto::wsp::runtime
