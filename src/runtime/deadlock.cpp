#include <algorithm>
#include <string>
#include <vector>

#include "runtime/processes.h"

namespace pto::wsp::runtime {

/// A process that could end the wait of another, null when there is none.
const Processes::State *Processes::helper_of(const State &state) const {
    const auto first_alive = [&](const std::vector<int> &numbers) -> const State * {
        const auto found = std::find_if(numbers.begin(), numbers.end(), [&](int number) {
            const State &other = states_[static_cast<size_t>(number)];
            return other.started && !other.ended;
        });
        return found == numbers.end() ? nullptr : &states_[static_cast<size_t>(*found)];
    };
    const Wait &wait = state.wait;
    if (wait.what == Wait::For::Event) {
        return first_alive(others_at(state));
    }
    if (wait.what == Wait::For::Processes) {
        std::vector<int> numbers;
        for (int32_t i = 0; i < wait.count; i++) {
            numbers.push_back(wait.first + i);
        }
        return first_alive(numbers);
    }
    for (int32_t channel : wait.channels) {
        const Channel &on = channels_[static_cast<size_t>(channel)];
        const bool receives = wait.what == Wait::For::Token;
        if (const State *helper = first_alive(receives ? on.senders() : on.receivers())) {
            return helper;
        }
    }
    return nullptr;
}

/// The processes that may do what is on the other side of the event that one waits for.
std::vector<int> Processes::others_at(const State &state) const {
    const EventSite &mine = event_of(state.wait.site);
    std::vector<int> numbers;
    for (const TaskSite &site : graph_.sites) {
        if (site.event < 0) {
            continue;
        }
        const EventSite &event = graph_.events[static_cast<size_t>(site.event)];
        if (event.signal == mine.signal && event.side != mine.side) {
            numbers.push_back(site.process);
        }
    }
    return numbers;
}

std::string Processes::wait_of(const State &state) const {
    const Wait &wait = state.wait;
    std::string text = &state == states_.data() ? "the workload" : "process " + state.process->name;
    if (wait.what == Wait::For::Event) {
        const EventSite &event = event_of(wait.site);
        const bool records = event.side == Signal::Side::Record;
        return text + " waits " + (records ? "until somebody synchronizes with" : "for") +
               " event '" + event.signal->name() + "'";
    }
    if (wait.what == Wait::For::Processes) {
        return text + " waits for the end of others";
    }
    std::string names;
    for (int32_t channel : wait.channels) {
        names += (names.empty() ? "" : " or ") + graph_.channels[static_cast<size_t>(channel)].name;
    }
    if (wait.what == Wait::For::Token) {
        return text + " waits to receive from " + names + " (empty)";
    }
    const Channel &channel = channels_[static_cast<size_t>(wait.channels[0])];
    const std::string depth = "depth " + std::to_string(channel.spec().depth);
    if (wait.what == Wait::For::Taken) {
        return text + " waits until what it sent to " + names + " is taken (" + depth + ")";
    }
    return text + " waits to send to " + names + (channel.full() ? " (full, " : " (") + depth + ")";
}

/// Why nobody ends the wait.
std::string Processes::dead_end_of(const State &state) const {
    if (state.wait.what == Wait::For::Event) {
        const bool records = event_of(state.wait.site).side == Signal::Side::Record;
        return std::string(", which nobody can ") + (records ? "come to" : "record") + " any more";
    }
    const bool receives = state.wait.what == Wait::For::Token;
    const auto not_started = [&](int number) {
        return !states_[static_cast<size_t>(number)].started;
    };
    for (int32_t number : state.wait.channels) {
        const Channel &channel = channels_[static_cast<size_t>(number)];
        const std::vector<int> &others = receives ? channel.senders() : channel.receivers();
        const auto later = std::find_if(others.begin(), others.end(), not_started);
        if (later != others.end()) {
            return ", where process " + graph_.processes[static_cast<size_t>(*later)].name +
                   " has not been started";
        }
    }
    return receives ? ", which no process sends to" : ", which no process receives from any more";
}

Loc Processes::place_of(const State &state) const {
    const auto site = static_cast<size_t>(state.wait.site);
    return site < graph_.sites.size() ? graph_.sites[site].at : state.process->at;
}

void Processes::report_deadlock() {
    // From each process to one that it waits for, until that has been seen or there is none. The
    // workload itself comes last: it waits for processes, so it is never the reason.
    const auto waits = [](const State &state) { return state.wait.what != Wait::For::Nothing; };
    auto first = std::find_if(states_.begin() + 1, states_.end(), waits);
    std::vector<const State *> path{first == states_.end() ? states_.data() : &*first};
    const State *next = helper_of(*path.back());
    while (next != nullptr && std::find(path.begin(), path.end(), next) == path.end()) {
        path.push_back(next);
        next = helper_of(*next);
    }
    // Only the circle, or only the process that nobody helps.
    path.erase(path.begin(),
               next != nullptr ? std::find(path.begin(), path.end(), next) : path.end() - 1);
    std::string text = "deadlock: ";
    for (const State *state : path) {
        text += wait_of(*state) + (next != nullptr ? " <- " : dead_end_of(*state));
    }
    if (next != nullptr) {
        text += "process " + next->process->name;
    }
    std::vector<Note> notes;
    for (const State &state : states_) {
        const bool told = path.size() == 1 && path[0] == &state;
        if (waits(state) && &state != states_.data() && !told) {
            notes.push_back({place_of(state), wait_of(state)});
        }
    }
    run_.fail(FailureKind::Channel, place_of(*path[0]), text, std::move(notes));
}

}  // namespace pto::wsp::runtime
