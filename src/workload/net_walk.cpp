#include "workload/net_walk.h"

#include <algorithm>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/names.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

ProcessWalk::ProcessWalk(const Node &body, const RunData &data, Values values, Indices indices)
    : data_(data), values_(std::move(values)), indices_(std::move(indices)) {
    push(&body);
}

void ProcessWalk::push(const Node *node) {
    stack_.push_back({node, 0, 0});
    for (const LoopVar *variable : variables_in(*node)) {
        indices_.emplace_back(variable, 0);
    }
}

void ProcessWalk::pop() {
    indices_.resize(indices_.size() - variables_in(*stack_.back().node).size());
    stack_.pop_back();
}

void ProcessWalk::set(const LoopVar &variable, int64_t value) {
    values_[variable.id] = value;
    const auto index = std::ranges::find(indices_, &variable, &Indices::value_type::first);
    if (index != indices_.end()) {
        index->second = value;
    }
}

void ProcessWalk::advance() {
    while (!stack_.empty()) {
        if (step(stack_.back())) {
            return;
        }
    }
    stop_ = Stop::End;
}

void ProcessWalk::leave() {
    pop();
    advance();
}

bool ProcessWalk::step(Frame &frame) {
    const int64_t at = frame.step++;
    return std::visit(
        Overloaded{
            [&](const TaskNode &) { return at == 0 ? stop_at(Stop::Task) : (pop(), false); },
            [&](const CloseNode &) { return at == 0 ? stop_at(Stop::Close) : (pop(), false); },
            [&](const EventNode &) { return at == 0 ? stop_at(Stop::Event) : (pop(), false); },
            [&](const LoopNode &loop) {
                frame.step = at;
                return step_loop(frame, loop);
            },
            [&](const SendNode &send) {
                frame.step = at;
                return step_send(frame, send);
            },
            [&](const ConsumeNode &consume) {
                if (at % 2 == 0) {
                    return stop_at(Stop::Token);
                }
                push(consume.body.get());
                return false;
            },
            [&](const GroupNode &group) {
                if (at < static_cast<int64_t>(group.children.size())) {
                    push(group.children[static_cast<size_t>(at)].get());
                } else {
                    pop();
                }
                return false;
            },
            [&](const CallNode &call) {
                at == 0 ? push(call.body.get()) : pop();
                return false;
            },
            [&](const BranchNode &branch) {
                const Node *body = at > 0 ? nullptr : taken_body(branch, [this](const auto &expr) {
                    return value_of(expr);
                });
                body != nullptr ? push(body) : pop();
                return false;
            },
            [&](const auto &) {
                pop();
                return false;
            },
        },
        frame.node->kind);
}

bool ProcessWalk::step_loop(Frame &frame, const LoopNode &loop) {
    if (frame.step == 0) {
        frame.size = value_of(loop.variable.axis.size);
    }
    if (frame.step >= frame.size) {
        pop();
        return false;
    }
    const int64_t i = frame.step++;
    set(loop.variable, loop.variable.value ? value_of(*loop.variable.value) : i);
    push(loop.body.get());
    return false;
}

bool ProcessWalk::step_send(Frame &frame, const SendNode &send) {
    switch (frame.step++) {
    case 0:
        return stop_at(Stop::Room);
    case 1:
        push(send.body.get());
        return false;
    case 2:
        return stop_at(Stop::Put);
    default:
        pop();
        return false;
    }
}

NetWalk::NetWalk(const NetNode &net, const RunData &data, const ProcessWalk::Values &values,
                 const ProcessWalk::Indices &indices, int64_t start, int64_t latency)
    : net_(net), latency_(latency) {
    for (const NetNode::Process &process : net.processes) {
        processes_.push_back(
            {ProcessWalk(*process.body, data, values, indices), start, false, nullptr});
        for_each_node(*process.body, [&](const Node &node, const LoopPath &) {
            if (const auto *event = std::get_if<EventNode>(&node.kind)) {
                Process &made = processes_.back();
                (event->records ? made.records : made.synchronizes).insert(event->event.get());
            }
        });
        for (const ChannelPtr &channel : process.produces) {
            channels_[channel.get()];
        }
        for (const ChannelPtr &channel : process.consumes) {
            channels_[channel.get()].consumers++;
        }
    }
}

std::optional<int64_t> NetWalk::run(const OnTask &on_task) {
    for (Process &process : processes_) {
        process.walk.advance();
    }
    const auto ended = [](const Process &process) { return process.ended; };
    do {
        bool moved = true;
        while (moved) {
            moved = false;
            for (size_t p = 0; p < processes_.size(); ++p) {
                if (!run_process(p, on_task, moved)) {
                    return std::nullopt;
                }
            }
        }
    } while (choose());
    if (!std::ranges::all_of(processes_, ended)) {
        report_deadlock();
    }
    int64_t last = 0;
    for (const Process &process : processes_) {
        last = std::max(last, process.clock);
    }
    return last;
}

bool NetWalk::run_process(size_t p, const OnTask &on_task, bool &moved) {
    Process &process = processes_[p];
    while (!process.ended && process.rendezvous == nullptr) {
        if (process.walk.stop() == ProcessWalk::Stop::Task) {
            const Node &node = process.walk.node();
            const auto cycles = on_task(process.walk, std::get<TaskNode>(node.kind), node);
            if (!cycles) {
                return false;
            }
            process.clock += *cycles;
            process.walk.advance();
        } else if (!serve(p)) {
            return true;
        }
        moved = true;
    }
    return true;
}

bool NetWalk::serve(size_t p) {
    Process &process = processes_[p];
    switch (process.walk.stop()) {
    case ProcessWalk::Stop::Room: {
        const Node &node = process.walk.node();
        return serve_room(process, std::get<SendNode>(node.kind), node.at);
    }
    case ProcessWalk::Stop::Put:
        put(p, std::get<SendNode>(process.walk.node().kind));
        return true;
    case ProcessWalk::Stop::Token:
        return serve_token(p, std::get<ConsumeNode>(process.walk.node().kind));
    case ProcessWalk::Stop::Close:
        channels_.at(std::get<CloseNode>(process.walk.node().kind).channel.get()).closed = true;
        process.walk.advance();
        return true;
    case ProcessWalk::Stop::Event:
        return serve_event(p, std::get<EventNode>(process.walk.node().kind));
    default:
        end(p);
        return true;
    }
}

bool NetWalk::serve_event(size_t p, const EventNode &event) {
    Process &process = processes_[p];
    const Event *met = event.event.get();
    if (!event.waits()) {
        recorded_[met] = std::max(recorded_[met], process.clock);
        process.walk.advance();
        return true;
    }
    if (const auto recorded = recorded_.find(met); recorded != recorded_.end()) {
        process.clock = std::max(process.clock, recorded->second);
        process.walk.advance();
        return true;
    }
    bool may_come = false;
    for (Process &other : processes_) {
        const std::set<const Event *> &does = event.records ? other.synchronizes : other.records;
        if (&other == &process || other.ended || !does.contains(met)) {
            continue;
        }
        may_come = true;
        const auto *its = std::get_if<EventNode>(&other.walk.node().kind);
        if (met->depth == 0 && other.walk.stop() == ProcessWalk::Stop::Event && its != nullptr &&
            its->event == event.event && its->records != event.records) {
            process.clock = other.clock = std::max(process.clock, other.clock);
            other.walk.advance();
            process.walk.advance();
            return true;
        }
    }
    if (!may_come) {
        process.walk.advance();
    }
    return !may_come;
}

bool NetWalk::serve_room(Process &process, const SendNode &send, const Loc &at) {
    if (send.result >= 0) {
        throw CompileError(at, "whether try_send finds room depends on how fast tasks run");
    }
    State &channel = channels_.at(send.channel.get());
    if (channel.closed) {
        throw ChannelClosed(at,
                            "send to channel " + quoted(send.channel->name) + ", which is closed");
    }
    const auto waiting = static_cast<int64_t>(channel.tokens.size());
    if (waiting >= std::max<int64_t>(send.channel->depth, 1)) {
        return false;
    }
    process.walk.set(send.number, channel.sent);
    process.walk.advance();
    return true;
}

void NetWalk::put(size_t p, const SendNode &send) {
    Process &process = processes_[p];
    State &channel = channels_.at(send.channel.get());
    const int64_t depth = send.channel->depth;
    // Other processes may have sent while the task was made.
    if (depth > 0 && channel.sent >= depth) {
        const auto known = static_cast<int64_t>(channel.pops.size());
        const int64_t back = channel.taken - (channel.sent - depth);
        process.clock = std::max(
            process.clock, channel.pops[static_cast<size_t>(std::max<int64_t>(known - back, 0))]);
    }
    Token token;
    token.number = channel.sent++;
    token.clock = process.clock;
    token.sender = p;
    for (const ScalarExpr &value : token_values(send)) {
        token.values.push_back(process.walk.value_of(value));
    }
    channel.tokens.push_back(std::move(token));
    if (depth == 0) {
        process.rendezvous = send.channel.get();
    }
    process.walk.advance();
}

bool NetWalk::all_closed(const ConsumeNode &consume) const {
    return std::ranges::all_of(consume.channels, [&](const ChannelPtr &channel) {
        const State &state = channels_.at(channel.get());
        return state.closed && state.tokens.empty();
    });
}

bool NetWalk::has_choice(const ConsumeNode &consume) const {
    return consume.channels.size() > 1 || channels_.at(consume.channels[0].get()).consumers > 1;
}

bool NetWalk::serve_token(size_t p, const ConsumeNode &consume) {
    if (all_closed(consume)) {
        processes_[p].walk.leave();
        return true;
    }
    if (has_choice(consume) || channels_.at(consume.channels[0].get()).tokens.empty()) {
        return false;
    }
    take(p, consume, 0);
    return true;
}

void NetWalk::take(size_t p, const ConsumeNode &consume, size_t which) {
    Process &process = processes_[p];
    const Channel *channel = consume.channels[which].get();
    State &state = channels_.at(channel);
    const Token token = std::move(state.tokens.front());
    state.tokens.pop_front();
    process.clock = std::max(process.clock, token.clock + latency_);
    state.taken++;
    state.pops.push_back(process.clock);
    if (static_cast<int64_t>(state.pops.size()) > std::max<int64_t>(channel->depth, 1)) {
        state.pops.pop_front();
    }
    if (channel->depth == 0) {
        processes_[token.sender].clock = process.clock;
        processes_[token.sender].rendezvous = nullptr;
    }
    process.walk.set(consume.number, token.number);
    process.walk.set(consume.which, static_cast<int64_t>(which));
    for (size_t i = 0; i < consume.values.size() && i < token.values.size(); ++i) {
        process.walk.set(consume.values[i], token.values[i]);
    }
    process.walk.advance();
}

bool NetWalk::choose() {
    const ConsumeNode *best = nullptr;
    size_t best_process = 0;
    size_t best_channel = 0;
    std::pair<int64_t, int64_t> best_time;
    for (size_t p = 0; p < processes_.size(); ++p) {
        const Process &process = processes_[p];
        if (process.ended || process.walk.stop() != ProcessWalk::Stop::Token) {
            continue;
        }
        const auto &consume = std::get<ConsumeNode>(process.walk.node().kind);
        for (size_t c = 0; c < consume.channels.size(); ++c) {
            const State &state = channels_.at(consume.channels[c].get());
            if (state.tokens.empty()) {
                continue;
            }
            const std::pair<int64_t, int64_t> time{
                std::max(process.clock, state.tokens.front().clock + latency_), process.clock};
            if (best == nullptr || time < best_time) {
                best = &consume;
                best_process = p;
                best_channel = c;
                best_time = time;
            }
        }
    }
    if (best != nullptr) {
        take(best_process, *best, best_channel);
    }
    return best != nullptr;
}

void NetWalk::end(size_t p) {
    processes_[p].ended = true;
    for (const ChannelPtr &channel : net_.processes[p].produces) {
        bool open = false;
        for (size_t other = 0; other < processes_.size(); ++other) {
            const std::vector<ChannelPtr> &produces = net_.processes[other].produces;
            open = open || (!processes_[other].ended &&
                            std::ranges::find(produces, channel) != produces.end());
        }
        channels_.at(channel.get()).closed |= !open;
    }
}

void NetWalk::report_deadlock() const {
    std::vector<std::string> waits;
    Loc at;
    for (size_t p = 0; p < processes_.size(); ++p) {
        const Process &process = processes_[p];
        if (process.ended) {
            continue;
        }
        std::string on;
        if (process.rendezvous != nullptr) {
            on = "until its token in " + quoted(process.rendezvous->name) + " is taken";
        } else if (const auto *consume = std::get_if<ConsumeNode>(&process.walk.node().kind)) {
            std::vector<std::string> names;
            for (const ChannelPtr &channel : consume->channels) {
                names.push_back(quoted(channel->name) + " (empty)");
            }
            on = "for a token of " + join(names, " or ");
        } else if (const auto *event = std::get_if<EventNode>(&process.walk.node().kind)) {
            on = "for event " + quoted(event->event->name);
        } else {
            const auto &send = std::get<SendNode>(process.walk.node().kind);
            on = "for room in " + quoted(send.channel->name) + " (full, depth " +
                 std::to_string(send.channel->depth) + ")";
        }
        waits.push_back("process " + quoted(net_.processes[p].name) + " waits " + on);
        at = net_.processes[p].at;
    }
    throw ChannelError(at, "deadlock: " + join(waits, "; "));
}

}  // namespace pto::wsp::workload
