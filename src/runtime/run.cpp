#include "runtime/run.h"

#include <new>
#include <string_view>

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

void Run::fail(std::string_view subject, const Loc &at, abi::Status status, const char *text) {
    cancel();
    std::lock_guard lock(mutex_);
    if (failures_++ > 0) {
        return;
    }
    try {
        const std::optional<Loc> place = take_failure_place();
        failed_at_ = place.value_or(at);
        failure_ = place ? "" : std::string(subject) + ": ";
        if (text != nullptr) {
            failure_ += trimmed(text);
        } else {
            failure_ += "returned status " + std::to_string(status) + ", expected 0";
        }
    } catch (const std::bad_alloc &) {
        // Short enough to need no memory.
        failure_ = "out of memory";
    }
}

void Run::fail(FailureKind kind, const Loc &at, const std::string &text, std::vector<Note> notes) {
    cancel();
    std::lock_guard lock(mutex_);
    if (failures_++ > 0) {
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

void Run::rethrow() const {
    std::unique_lock lock(mutex_);
    if (failures_ == 0) {
        return;
    }
    std::string text = failure_;
    if (failures_ > 1) {
        text += " (and " + std::to_string(failures_ - 1) + " more)";
    }
    Loc at = failed_at_;
    std::vector<Note> notes = failure_notes_;
    lock.unlock();
    switch (failure_kind_) {
    case FailureKind::Kernel:
        break;
    case FailureKind::Channel:
        throw ChannelError(at, text, notes);
    case FailureKind::ChannelClosed:
        throw ChannelClosed(at, text, notes);
    }
    throw KernelError(at, text, notes);
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
    }
    stats.window_stalls = window_stalls_.load(std::memory_order_relaxed);
    stats.most_in_flight = most_in_flight_.load(std::memory_order_relaxed);
    Clock::time_point until = is_complete() ? ended_ : Clock::now();
    stats.execute_ms = std::chrono::duration<double, std::milli>(until - started_).count();
    return stats;
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
    {
        std::lock_guard lock(mutex_);
        complete_.store(true, std::memory_order_release);
        ended_changed_.notify_all();
    }
    Scheduler &scheduler = scheduler_;
    scheduler.forget(*this);
    // The plan may own code and memory of the user: it goes before the executor reports the end.
    self.reset();
    scheduler.run_ended();
}

}  // namespace pto::wsp::runtime
