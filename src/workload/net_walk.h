#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// Goes through a process from one place where something happens to the next.
class ProcessWalk {
public:
    using Values = std::map<std::string, int64_t>;
    using Indices = std::vector<std::pair<const LoopVar *, int64_t>>;

    enum class Stop {
        Task,   ///< at a TaskNode
        Room,   ///< at a SendNode, which needs room for a token before its task
        Put,    ///< at a SendNode, after its task
        Token,  ///< at a ConsumeNode
        Close,  ///< at a CloseNode
        Event,  ///< at an EventNode
        End,
    };

    ProcessWalk(const Node &body, const RunData &data, Values values, Indices indices);

    /// Goes on to the next stop; past a Room or Token into the body.
    void advance();
    /// At a Token: leaves the loop, and stops at what follows.
    void leave();
    Stop stop() const { return stop_; }
    const Node &node() const { return *stack_.back().node; }
    /// Gives a variable that comes with a token its value.
    void set(const LoopVar &variable, int64_t value);
    int64_t value_of(const ScalarExpr &expr) const { return expr.evaluate(values_, &data_); }
    Values &values() const { return values_; }
    const Indices &indices() const { return indices_; }

private:
    struct Frame {
        const Node *node = nullptr;
        int64_t step = 0;
        int64_t size = 0;
    };

    /// True when it stops there.
    bool step(Frame &frame);
    bool step_loop(Frame &frame, const LoopNode &loop);
    bool step_send(Frame &frame, const SendNode &send);
    bool stop_at(Stop stop) {
        stop_ = stop;
        return true;
    }
    void push(const Node *node);
    void pop();

    const RunData &data_;
    mutable Values values_;
    Indices indices_;
    std::vector<Frame> stack_;
    Stop stop_ = Stop::End;
};

/// Steps the processes of a net in one of the orders that a run may take, with a clock for each:
/// the channel part of the virtual-cycle model. Where a consumer has a choice (several channels, or
/// several consumers of one), the earliest goes first once nothing else can. Events are met
/// between the processes of the net; what no process of it records is there at once.
class NetWalk {
public:
    /// Cycles of a task; nothing: stop here.
    using OnTask =
        std::function<std::optional<int64_t>(const ProcessWalk &, const TaskNode &, const Node &)>;

    /// All clocks start at `start`; a token takes `latency` to its receiver.
    NetWalk(const NetNode &net, const RunData &data, const ProcessWalk::Values &values,
            const ProcessWalk::Indices &indices, int64_t start = 0, int64_t latency = 0);

    /// When the last process ends; nothing where a task stopped it. ChannelError when all processes
    /// that are left wait, or one sends to a closed channel; CompileError for `try_send`.
    std::optional<int64_t> run(const OnTask &on_task);

private:
    struct Token {
        std::vector<int64_t> values;
        int64_t number = 0;
        int64_t clock = 0;
        size_t sender = 0;
    };
    struct State {
        std::deque<Token> tokens;
        std::deque<int64_t> pops;  ///< when the last `depth` tokens were taken
        int64_t sent = 0;
        int64_t taken = 0;
        bool closed = false;
        size_t consumers = 0;
    };
    struct Process {
        ProcessWalk walk;
        int64_t clock = 0;
        bool ended = false;
        const Channel *rendezvous = nullptr;  ///< its token there is not taken yet
        /// The events that it records and synchronizes with.
        std::set<const Event *> records = {};
        std::set<const Event *> synchronizes = {};
    };

    /// Takes process `p` as far as it comes; false when a task stopped all.
    bool run_process(size_t p, const OnTask &on_task, bool &moved);
    /// False where the process waits.
    bool serve(size_t p);
    bool serve_room(Process &process, const SendNode &send, const Loc &at);
    void put(size_t p, const SendNode &send);
    bool serve_token(size_t p, const ConsumeNode &consume);
    void take(size_t p, const ConsumeNode &consume, size_t which);
    bool serve_event(size_t p, const EventNode &event);
    bool all_closed(const ConsumeNode &consume) const;
    bool has_choice(const ConsumeNode &consume) const;
    /// Gives a token to the one that gets it first among those that have a choice.
    bool choose();
    void end(size_t p);
    [[noreturn]] void report_deadlock() const;

    const NetNode &net_;
    int64_t latency_;
    std::vector<Process> processes_;
    std::map<const Channel *, State> channels_;
    std::map<const Event *, int64_t> recorded_;  ///< when; latched ones
};

}  // namespace pto::wsp::workload
