#include "runtime/processes.h"

#include <algorithm>
#include <new>

namespace pto::wsp::runtime {

namespace {

/// Places of a process's turn when channels may stop it anywhere: an expander cannot leave its
/// loops, so what is left of a turn after that is spent on asking again.
constexpr int32_t fewest_places = 2;
constexpr int32_t most_places = 64;
/// Turns of a step at most, for processes that submit nothing.
constexpr int most_turns = 512;
/// A list of a body's tasks that is longer than that many windows loses those that have ended.
constexpr size_t most_windows = 2;

std::vector<int> processes_with(const DynamicGraph &graph, std::vector<int> Process::*channels,
                                int channel) {
    std::vector<int> found;
    for (size_t i = 0; i < graph.processes.size(); i++) {
        const std::vector<int> &list = graph.processes[i].*channels;
        if (std::find(list.begin(), list.end(), channel) != list.end()) {
            found.push_back(static_cast<int>(i));
        }
    }
    return found;
}

}  // namespace

Processes::Processes(const DynamicGraph &graph, Run &run, std::function<void()> wake)
    : graph_(graph), run_(run), states_(graph.processes.size()), queue_(states_.size()),
      user_(std::make_shared<SignalUser>(std::move(wake))) {
    use_events();
    for (size_t i = 0; i < states_.size(); i++) {
        states_[i].process = &graph.processes[i];
    }
    current_ = states_.data();
    for (size_t i = 0; i < graph.channels.size(); i++) {
        const auto number = static_cast<int>(i);
        for (State &state : states_) {
            const auto has = [&](const std::vector<int> &list) {
                return std::find(list.begin(), list.end(), number) != list.end();
            };
            const int roles = (has(state.process->sends) ? Sends : 0) |
                              (has(state.process->receives) ? Receives : 0);
            state.roles.push_back(static_cast<uint8_t>(roles));
        }
        channels_.emplace_back(graph.channels[i], processes_with(graph, &Process::sends, number),
                               processes_with(graph, &Process::receives, number));
        first_slot_.push_back(static_cast<int64_t>(slot_channel_.size()));
        if (channels_.back().watched()) {
            slot_channel_.resize(slot_channel_.size() +
                                     static_cast<size_t>(Channel::slots_of(graph.channels[i])),
                                 number);
        }
    }
    slot_tasks_.resize(slot_channel_.size());
    slot_receiver_.resize(slot_channel_.size());
}

int Processes::waiter_count(const DynamicGraph &graph) {
    auto count = static_cast<int64_t>(graph.processes.size());
    for (size_t i = 0; i < graph.channels.size(); i++) {
        const size_t receivers =
            processes_with(graph, &Process::receives, static_cast<int>(i)).size();
        if (Channel::is_watched(graph.channels[i], receivers)) {
            count += Channel::slots_of(graph.channels[i]);
        }
    }
    return static_cast<int>(count);
}

void Processes::begin() {
    start(states_[0]);
}

void Processes::start(State &state) {
    state.frame.assign(static_cast<size_t>(state.process->frame_words), 0);
    const bool alone = state.process->sends.empty() && state.process->receives.empty();
    state.places = alone ? INT32_MAX : fewest_places;
    state.started = true;
    live_++;
    wake(state);
}

abi::Status Processes::step(void *graph, const int64_t *bindings, int32_t budget) {
    for (int turn = 0; turn < most_turns && budget > 0 && queued_ > 0; turn++) {
        State &state = *queue_[first_queued_];
        first_queued_ = first_queued_ + 1 == queue_.size() ? 0 : first_queued_ + 1;
        queued_--;
        state.queued = false;
        current_ = &state;
        const int32_t places = std::min(state.places, budget);
        left_ = places;
        state.in_vain = 0;
        const abi::Status status =
            state.process->expand(state.frame.data(), graph, bindings, places);
        if (status != 0) {
            return status;
        }
        budget -= places - left_;
        end_turn(state);
    }
    return 0;
}

void Processes::end_turn(State &state) {
    if (state.frame[0] == -1) {
        end(state);
        return;
    }
    const bool waits = state.wait.what != Wait::For::Nothing;
    if (state.places <= most_places) {
        // About as many as it got through.
        state.places = waits ? std::max(state.places - state.in_vain, fewest_places)
                             : std::min(2 * state.places, most_places);
    }
    if (!waits) {
        wake(state);
    }
}

void Processes::wake(State &state) {
    state.wait.what = Wait::For::Nothing;
    if (!state.queued) {
        state.queued = true;
        const size_t last = first_queued_ + queued_;
        queue_[last < queue_.size() ? last : last - queue_.size()] = &state;
        queued_++;
    }
}

void Processes::wake_all(const std::vector<int> &processes, Wait::For what) {
    for (int number : processes) {
        State &state = states_[static_cast<size_t>(number)];
        if (state.wait.what == what) {
            wake(state);
        }
    }
}

void Processes::end(State &state) {
    state.ended = true;
    state.wait.what = Wait::For::Nothing;
    live_--;
    for (int channel : state.process->receives) {
        body_over(state, channel);
    }
    for (int number : state.process->sends) {
        Channel &channel = channels_[static_cast<size_t>(number)];
        if (channel.sender_ended()) {
            close(channel);
        }
    }
    for (State &other : states_) {
        if (other.wait.what == Wait::For::Processes) {
            wake(other);
        }
    }
}

void Processes::add_to_bodies(const Tracking &tracking) {
    for (const Body &body : current_->bodies) {
        std::vector<int64_t> &tasks = tasks_of(body.channel, body.slot);
        if (tasks.size() >= most_windows * static_cast<size_t>(graph_.window)) {
            tasks.erase(tasks.begin(),
                        std::lower_bound(tasks.begin(), tasks.end(), tracking.oldest));
        }
        tasks.push_back(tracking.next);
    }
}

void Processes::wait_for_awaited() {
    current_->wait.what = Wait::For::Tasks;
    asked_.push_back(current());
}

bool Processes::link_waiters(Tracking &tracking) {
    bool linked = true;
    for (int number : asked_) {
        const auto index = static_cast<size_t>(number);
        std::vector<int64_t> &tasks =
            index < states_.size() ? states_[index].awaited : slot_tasks_[index - states_.size()];
        Task &waiter = tracking.window.open_waiter(number);
        uint32_t links = 0;
        try {
            for (int64_t task : tasks) {
                if (task >= tracking.oldest) {
                    tracking.window.link(tracking.window.task(task), waiter, links);
                }
            }
        } catch (const std::bad_alloc &) {
            linked = false;
        }
        tasks.clear();
        waiters_out_++;
        if (Window::release(waiter, links)) {
            woken(tracking, waiter);
        }
    }
    asked_.clear();
    return linked;
}

void Processes::woken(const Tracking &tracking, const Task &waiter) {
    waiters_out_--;
    const auto number = static_cast<size_t>(tracking.window.waiter_number(waiter));
    if (number < states_.size()) {
        wake(states_[number]);
    } else {
        free_slot(static_cast<int64_t>(number - states_.size()));
    }
}

void Processes::fail(const std::string &text) {
    run_.fail(FailureKind::Channel, current_->process->at, text);
}

std::string Processes::subject() const {
    return current_ == states_.data() ? "task graph" : "process " + current_->process->name;
}

Loc Processes::place() const {
    return current_->process->at;
}

}  // namespace pto::wsp::runtime
