#include <algorithm>
#include <map>
#include <string>

#include "runtime/processes.h"
#include "runtime/wait_until.h"

namespace pto::wsp::runtime {

namespace {

/// A list of gathered tasks that is longer than that many windows loses those that have ended.
constexpr size_t most_windows = 2;

}  // namespace

void Processes::use_events() {
    std::map<const Signal *, bool> records;
    size_t lists = 0;
    for (const EventSite &event : graph_.events) {
        records[event.signal.get()] |= event.side == Signal::Side::Record;
        lists = std::max(lists, static_cast<size_t>(event.gathers + 1));
    }
    gathered_.resize(lists);
    std::map<const Signal *, Signal::Use *> uses;
    for (const EventSite &event : graph_.events) {
        Signal::Use *&use = uses[event.signal.get()];
        if (use == nullptr) {
            uses_.push_back(
                std::make_unique<Signal::Use>(event.signal, records[event.signal.get()], user_));
            use = uses_.back().get();
        }
        use_of_event_.push_back(use);
    }
}

void Processes::leave() {
    for (Channel &channel : channels_) {
        channel.leave();
    }
    user_->leave();
    for (State &state : states_) {
        state.met.reset();
    }
    use_of_event_.clear();
    uses_.clear();
}

void Processes::gather(Submission &submission, const Tracking &tracking, const TaskSite &site) {
    if (site.event >= 0) {
        const EventSite &event = graph_.events[static_cast<size_t>(site.event)];
        std::vector<int64_t> &before = gathered_[static_cast<size_t>(event.gathers)];
        for (int64_t number : before) {
            submission.follow(number);
        }
        before.clear();
        event.signal->expect();
    }
    for (int list : site.gathered_by) {
        std::vector<int64_t> &tasks = gathered_[static_cast<size_t>(list)];
        if (tasks.size() >= most_windows * static_cast<size_t>(graph_.window)) {
            tasks.erase(tasks.begin(),
                        std::lower_bound(tasks.begin(), tasks.end(), tracking.oldest));
        }
        tasks.push_back(tracking.next);
    }
}

/// Whether some of the tasks that were gathered have not ended; the process waits for them then.
bool Processes::awaits_gathered(const Tracking &tracking, int gathers) {
    if (gathers < 0) {
        return false;
    }
    std::vector<int64_t> &tasks = gathered_[static_cast<size_t>(gathers)];
    std::copy_if(tasks.begin(), tasks.end(), std::back_inserter(current_->awaited),
                 [&](int64_t task) { return !tracking.has_ended(task); });
    tasks = current_->awaited;
    if (tasks.empty()) {
        return false;
    }
    wait_for_awaited();
    return true;
}

bool Processes::meet(const Tracking &tracking, int32_t site) {
    if (asks_in_vain()) {
        return false;
    }
    State &state = *current_;
    if (state.met == nullptr) {
        if (awaits_gathered(tracking, event_of(site).gathers)) {
            return false;
        }
        begin_to_meet(site);
    }
    if (!state.met->is_over() && !is_too_late(site)) {
        state.wait.what = Wait::For::Event;
        state.wait.site = site;
        return false;
    }
    state.met.reset();
    return true;
}

void Processes::begin_to_meet(int32_t site) {
    const EventSite &event = event_of(site);
    const auto number = static_cast<size_t>(graph_.sites[static_cast<size_t>(site)].event);
    current_->met = std::make_unique<Signal::Wait>(*use_of_event_[number], event.side);
    current_->deadline.reset();
    if (event.timeout && *event.timeout <= longest_wait) {
        current_->deadline = Timer::Clock::now() + *event.timeout;
        if (!run_.call_at([user = user_] { user->wake(); }, *current_->deadline)) {
            fail("no thread can be started to wait for event " + event.signal->name());
        }
    }
}

/// Whether the timeout has passed, with which the run fails.
bool Processes::is_too_late(int32_t site) {
    const State &state = *current_;
    if (!state.deadline || Timer::Clock::now() < *state.deadline) {
        return false;
    }
    const EventSite &event = event_of(site);
    const bool records = event.side == Signal::Side::Record;
    std::string seconds = std::to_string(std::chrono::duration<double>(*event.timeout).count());
    seconds.erase(seconds.find_last_not_of('0') + 1);
    seconds.erase(seconds.find_last_not_of('.') + 1);
    run_.fail(FailureKind::EventTimeout, graph_.sites[static_cast<size_t>(site)].at,
              std::string(records ? "record" : "synchronize") + ": event '" + event.signal->name() +
                  "' was not " + (records ? "taken" : "recorded") + " within " + seconds + " s");
    return true;
}

void Processes::poked() {
    for (State &state : states_) {
        if (state.wait.what == Wait::For::Event) {
            wake(state);
        }
    }
}

bool Processes::waits_outside(bool forsaken) {
    std::vector<State *> waiting;
    std::vector<Signal::Wait *> waits;
    bool in_time = false;
    for (State &state : states_) {
        if (state.wait.what == Wait::For::Event) {
            waiting.push_back(&state);
            waits.push_back(state.met.get());
            in_time = in_time || state.deadline;
        }
    }
    if (waits.empty() || in_time) {
        // Who waits for a time goes on at that time.
        return in_time;
    }
    const bool was_stalled = user_->is_stalled();
    const bool may_be_helped = Signal::stall(*user_, waits, forsaken);
    for (State *state : waiting) {
        if (state->met->is_over()) {
            wake(*state);
        }
    }
    if (!was_stalled && !runnable()) {
        for (const std::unique_ptr<Signal::Use> &use : uses_) {
            use->tell_stall();
        }
    }
    return may_be_helped || runnable();
}

std::vector<Note> Processes::event_waits() const {
    std::vector<Note> notes;
    for (const State &state : states_) {
        if (state.wait.what == Wait::For::Event) {
            notes.push_back({place_of(state), wait_of(state)});
        }
    }
    return notes;
}

}  // namespace pto::wsp::runtime
