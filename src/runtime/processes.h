#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pto/wsp/runtime/executor.h"
#include "runtime/channels.h"
#include "runtime/run.h"
#include "runtime/tracking.h"
#include "runtime/wake_list.h"

namespace pto::wsp::runtime {

/// What a process waits for.
struct Wait {
    enum class For {
        Nothing,    ///< it can go on
        Processes,  ///< the end of the processes [first, first + count)
        Room,       ///< room in a channel
        Taken,      ///< that its last token in a channel is taken
        Token,      ///< a token in one of its channels
        Bodies,     ///< that one of the bodies that it submitted ends
        Tasks,      ///< that some tasks end, for a slot or a record
        Event,      ///< the other side of an event
    };
    For what = For::Nothing;
    int32_t first = 0;
    int32_t count = 0;
    int32_t site = -1;              ///< whose line it waits at, -1: unknown
    std::vector<int32_t> channels;  ///< one for Room and Taken
};

/// The processes and channels of a run, used by its expander alone, so none of this is shared.
///
/// A process that can go on is in a queue, is stepped for a short *turn* when it comes to the front
/// and goes to the back. A process that waits is in no queue: what it waits for wakes it, and then
/// it asks again. As all of that is decided here, and tasks only ever wait for tasks that were
/// submitted before them, nothing can wait for ever but a process whose helpers all wait as well;
/// so when the queue is empty and no task whose end is waited for is unfinished, that is a deadlock
/// and the only one there is.
///
/// The ends of tasks come as *waiters* of the window, tasks that are never run but put into the
/// wake list when what they are linked behind has ended: one for each process, then one for each
/// slot of a watched channel, which is linked behind the body that used the slot.
class Processes {
public:
    /// Failures go to `run`; `wake` is called from any thread when an event has changed.
    Processes(const DynamicGraph &graph, Run &run, std::function<void()> wake);

    static int waiter_count(const DynamicGraph &graph);

    /// Starts process 0. std::bad_alloc.
    void begin();

    /// Whether a process can be stepped.
    bool runnable() const { return queued_ > 0; }
    /// Processes that have been started and not ended.
    int live() const { return live_; }
    /// Waiters that are on their way into the wake list.
    int waiters_out() const { return waiters_out_; }
    /// When none can be stepped and no waiter is out: whether somebody outside of the run may end
    /// the wait of a process, or has; then it can be stepped again. With `forsaken` threads of the
    /// user's do not count.
    bool waits_outside(bool forsaken);
    /// The processes that wait for events, and where.
    std::vector<Note> event_waits() const;

    /// Steps processes in turns until `budget` tasks are submitted or none can go on, or for long
    /// enough. The status of the one that failed, whose turn it then still is.
    abi::Status step(void *graph, const int64_t *bindings, int32_t budget);
    /// Of the turn: "task graph", or the process; where it is.
    std::string subject() const;
    Loc place() const;
    /// The process whose turn it is.
    int current() const { return static_cast<int>(current_ - states_.data()); }
    const int64_t *frame() const { return current_->frame.data(); }

    /// The process submits the next task. False when that passes its budget. std::bad_alloc.
    bool submits(const Tracking &tracking) {
        if (left_ == 0) {
            return false;
        }
        left_--;
        current_->last_task = tracking.next;
        if (!current_->bodies.empty()) {
            add_to_bodies(tracking);
        }
        return true;
    }

    /// The process waits for the tasks in `awaited()`, which the caller has filled.
    std::vector<int64_t> &awaited() { return current_->awaited; }
    void wait_for_awaited();
    bool is_waiting() const { return current_->wait.what != Wait::For::Nothing; }
    /// An event may have changed: those who wait for one ask again.
    void poked();
    /// Uses no events any more and has no tokens, because the run ends.
    void leave();
    /// Whether nothing goes on but by somebody outside.
    bool is_stalled() const { return user_->is_stalled(); }

    /// Whether tasks are submitted of which records want to know.
    bool gathers() const { return !gathered_.empty(); }
    /// The task that is being submitted, of that site, is gathered; a record waits for all that
    /// were gathered for it before. std::bad_alloc.
    void gather(Submission &submission, const Tracking &tracking, const TaskSite &site);
    /// A record was submitted and has come to its turn, on any thread.
    void recorded(const TaskSite &site) const {
        graph_.events[static_cast<size_t>(site.event)].signal->arrive();
    }

    /// Links the waiters that were asked for behind their tasks, which have been published. Some
    /// may turn out to have nothing to wait for. False without memory for all links.
    bool link_waiters(Tracking &tracking);
    /// A waiter came through the wake list.
    void woken(const Tracking &tracking, const Task &waiter);

    // The bodies of the functions of the same names in core/abi.h. std::bad_alloc.
    bool run_processes(int32_t first, int32_t count);
    bool may_send(int32_t channel, int32_t site);
    bool try_send(int32_t channel, int32_t site);
    int64_t next_token(int32_t channel);
    /// The token's number, -1 when the run has failed.
    int64_t send(int32_t channel, const int64_t *values, int32_t count);
    bool taken(int32_t channel);
    /// It ends the bodies of the tokens taken from these channels before, so the body of a token
    /// must not receive from its own channel.
    int32_t receive(const Tracking &tracking, std::span<const int32_t> channels,
                    std::span<int64_t> token);
    void close(int32_t channel);
    bool meet(const Tracking &tracking, int32_t site);

    /// Ends the run: none of the processes can ever go on.
    void report_deadlock();

private:
    /// A body that is being submitted, of a token of a watched channel.
    struct Body {
        int channel;
        int64_t slot;
    };
    struct State {
        const Process *process = nullptr;
        bool started = false;
        bool ended = false;
        bool queued = false;
        Wait wait;
        std::vector<int64_t> frame;
        int32_t places = 0;        ///< of its next turn
        int32_t in_vain = 0;       ///< times that it asked again in this turn
        int64_t last_task = 0;     ///< submitted since its last send, 0: none
        int64_t last_number = -1;  ///< of its last token
        std::vector<Body> bodies;  ///< that are being submitted, of watched channels
        int unfinished = 0;        ///< bodies of shared channels that are over and not ended
        std::vector<int64_t> awaited;
        std::unique_ptr<Signal::Wait> met;  ///< of an event, from the first time that it asks
        std::optional<Timer::Clock::time_point> deadline;  ///< of that wait
        std::vector<uint8_t> roles;                        ///< by channel: bits
    };
    enum Role : uint8_t { Sends = 1, Receives = 2 };

    /// Null when the process has no such role in the channel: then the run has failed.
    Channel *channel_of(int32_t channel, Role role) {
        const auto index = static_cast<size_t>(channel);
        if (index < channels_.size() && (current_->roles[index] & role) != 0) {
            return &channels_[index];
        }
        refuse_channel(index, role);
        return nullptr;
    }
    void refuse_channel(size_t channel, Role role);
    std::vector<int64_t> &tasks_of(int channel, int64_t slot) {
        return slot_tasks_[static_cast<size_t>(first_slot_[static_cast<size_t>(channel)] + slot)];
    }
    void add_to_bodies(const Tracking &tracking);
    void use_events();
    void start(State &state);
    void end(State &state);
    void end_turn(State &state);
    /// Whether the process waits since earlier in its turn.
    bool asks_in_vain() {
        const bool waits = is_waiting();
        current_->in_vain += waits ? 1 : 0;
        return waits;
    }
    void wake(State &state);
    void wake_all(const std::vector<int> &processes, Wait::For what);
    void close(Channel &channel);
    void free_slot(int64_t watched);
    void body_over(State &state, int32_t channel);
    int32_t choose(const Tracking &tracking, std::span<const int32_t> channels, bool &open);
    bool refuse_closed(const Channel &channel, int32_t site);
    void fail(const std::string &text);

    const EventSite &event_of(int32_t site) const {
        return graph_.events[static_cast<size_t>(graph_.sites[static_cast<size_t>(site)].event)];
    }
    bool awaits_gathered(const Tracking &tracking, int gathers);
    void begin_to_meet(int32_t site);
    bool is_too_late(int32_t site);

    // Of the deadlock report.
    const State *helper_of(const State &state) const;
    std::vector<int> others_at(const State &state) const;
    std::string wait_of(const State &state) const;
    std::string dead_end_of(const State &state) const;
    Loc place_of(const State &state) const;

    const DynamicGraph &graph_;
    Run &run_;
    std::vector<State> states_;
    std::vector<Channel> channels_;

    std::vector<State *> queue_;  ///< a ring with a place for each process
    size_t first_queued_ = 0;
    size_t queued_ = 0;
    State *current_ = nullptr;
    int32_t left_ = 0;  ///< of the turn's budget
    int live_ = 0;
    int64_t order_ = 0;  ///< tokens sent

    /// By number of the watched slot: those of all watched channels, one after another.
    std::vector<std::vector<int64_t>> slot_tasks_;  ///< of its body, ended ones perhaps left out
    std::vector<int> slot_channel_;
    std::vector<State *> slot_receiver_;
    std::vector<int64_t> first_slot_;  ///< by channel

    std::vector<int> asked_;  ///< waiters to be linked after the step
    int waiters_out_ = 0;

    const std::shared_ptr<SignalUser> user_;
    std::vector<std::unique_ptr<Signal::Use>> uses_;  ///< of each signal once
    std::vector<Signal::Use *> use_of_event_;
    std::vector<std::vector<int64_t>> gathered_;  ///< tasks by the number that records gather
};

}  // namespace pto::wsp::runtime
