#include "pto/wsp/program/event.h"

#include <atomic>
#include <condition_variable>
#include <mutex>

#include <fmt/format.h>

#include "pto/wsp/program/program.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// Protocol of a rendezvous: whoever finds one of the other kind waiting grants it its leave and
/// goes on; else it waits for a grant. Grants are not addressed, as those who wait are alike. Who
/// gives up after a timeout takes a grant that has come meanwhile, or is no longer waiting.
struct Event::State {
    std::string name;
    int64_t depth = 1;

    std::mutex mutex;
    std::condition_variable changed;
    bool is_recorded = false;  ///< of a latched event
    int64_t pending = 0;       ///< runs that will signal
    int64_t offers = 0;        ///< signals of runs that nobody has taken
    struct Side {
        int64_t waiting = 0;
        int64_t grants = 0;
    };
    Side records, synchronizes;

    template <typename Done>
    bool wait(std::unique_lock<std::mutex> &lock, const Timeout &timeout, Done &&done) {
        // Longer than that is for ever too; it keeps the deadline inside the clock's range.
        constexpr std::chrono::hours longest{24 * 365};
        if (!timeout || *timeout > longest) {
            changed.wait(lock, done);
            return true;
        }
        return changed.wait_for(lock, *timeout, done);
    }

    bool meet(Side &mine, Side &other, const Timeout &timeout) {
        std::unique_lock lock(mutex);
        if (&mine == &synchronizes && offers > 0) {
            offers--;
            return true;
        }
        if (other.waiting > 0) {
            other.waiting--;
            other.grants++;
            changed.notify_all();
            return true;
        }
        mine.waiting++;
        if (wait(lock, timeout, [&] { return mine.grants > 0; })) {
            mine.grants--;
            return true;
        }
        mine.waiting--;
        return false;
    }

    /// A run that was waited for has ended.
    void signal() {
        const std::lock_guard lock(mutex);
        pending--;
        if (depth > 0) {
            is_recorded = is_recorded || pending == 0;
        } else if (synchronizes.waiting > 0) {
            synchronizes.waiting--;
            synchronizes.grants++;
        } else {
            offers++;
        }
        changed.notify_all();
    }
};

Event::Event(std::string name, int64_t depth, const Loc &at) : state_(std::make_shared<State>()) {
    static std::atomic<int64_t> made = 0;
    if (depth != 0 && depth != 1) {
        throw ChannelError(at, fmt::format("event: the depth is {}", depth), {},
                           "1: it stays recorded; 0: record and synchronize wait for each other");
    }
    state_->name = name.empty() ? fmt::format("event{}", made++) : std::move(name);
    state_->depth = depth;
}

const std::string &Event::name() const {
    return state_->name;
}

int64_t Event::depth() const {
    return state_->depth;
}

bool Event::record(const Timeout &timeout) const {
    State &state = *state_;
    if (state.depth == 0) {
        return state.meet(state.records, state.synchronizes, timeout);
    }
    const std::lock_guard lock(state.mutex);
    state.is_recorded = true;
    state.changed.notify_all();
    return true;
}

void Event::record_after(const Program &program) const {
    {
        const std::lock_guard lock(state_->mutex);
        state_->pending++;
        state_->is_recorded = false;
    }
    program.when_complete([state = state_] { state->signal(); });
}

bool Event::synchronize(const Timeout &timeout) const {
    State &state = *state_;
    if (state.depth == 0) {
        return state.meet(state.synchronizes, state.records, timeout);
    }
    std::unique_lock lock(state.mutex);
    return state.wait(lock, timeout, [&] { return state.is_recorded; });
}

bool Event::query() const {
    const std::lock_guard lock(state_->mutex);
    return state_->depth > 0 ? state_->is_recorded
                             : state_->offers > 0 || state_->records.waiting > 0;
}

bool Event::is_pending() const {
    const std::lock_guard lock(state_->mutex);
    return state_->pending > 0;
}

}  // namespace pto::wsp
