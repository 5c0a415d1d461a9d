#include "runtime/nets.h"

#include <chrono>
#include <deque>
#include <thread>

namespace pto::wsp::runtime::testing {

namespace {

// Sites by what their tasks touch: a token's cell that they write, those that they read.
enum Site : int32_t { Free, Reads, ReadsTwo, Writes, WritesReads, WritesReadsTwo };

enum TaskSlot { OfNet, OutAddress, OutChannel, Value, InAddress, InChannel, InValue, Code, Work };
constexpr int slot_count = 9;
enum TaskCode : int64_t { Plain, Fails, Slow };

int64_t mixed(int64_t value, size_t process) {
    return (value * 31 + static_cast<int64_t>(process) + 7) % 1000003;
}

void idle(int64_t turns) {
    for (int64_t i = 0; i < turns; i++) {
        asm volatile("" ::: "memory");
    }
}

}  // namespace

Net::Net(std::vector<std::vector<Op>> programs, std::vector<int64_t> depths,
         std::vector<int64_t> slots)
    : programs_(std::move(programs)), sends_(programs_.size()), receives_(programs_.size()),
      cursors_(programs_.size()), received_(programs_.size()), tried_(programs_.size()),
      traffic_(depths.size()) {
    int64_t cells = 0;
    for (size_t i = 0; i < depths.size(); i++) {
        ChannelSpec spec;
        spec.name = "c" + std::to_string(i);
        spec.depth = depths[i];
        spec.value_count = 1;
        spec.slots = slots.empty() ? 0 : slots[i];
        channels_.push_back(spec);
        first_cell_.push_back(cells);
        cells += spec.slots == 0 ? spec.depth + 1 : spec.slots;
    }
    storage_.resize(static_cast<size_t>(cells));
    for (size_t i = 0; i < programs_.size(); i++) {
        const auto add = [](std::vector<int> &list, int channel) {
            if (std::find(list.begin(), list.end(), channel) == list.end()) {
                list.push_back(channel);
            }
        };
        for (const Op &op : programs_[i]) {
            for (int32_t channel : op.channels) {
                if (op.kind == Op::Kind::Consume) {
                    add(receives_[i], channel);
                } else if (op.kind != Op::Kind::Close) {
                    add(sends_[i], channel);
                }
                if (op.kind == Op::Kind::TrySend) {
                    channels_[static_cast<size_t>(channel)].tried = true;
                }
            }
        }
    }
}

DynamicGraph Net::graph(int window) const {
    static const std::vector<abi::ExpandFn> functions =
        expanders(std::make_integer_sequence<int, 24>());
    DynamicGraph graph;
    graph.processes = {main_process(&Net::main)};
    for (size_t i = 0; i < programs_.size(); i++) {
        graph.processes.push_back({std::string(1, static_cast<char>('a' + i)),
                                   functions.at(i),
                                   1,
                                   sends_[i],
                                   receives_[i],
                                   {"net.py", static_cast<int>(i) + 1}});
    }
    const Access in = reading(0);
    const Access out = writing(0);
    for (const std::vector<Access> &accesses :
         std::vector<std::vector<Access>>{{}, {in}, {in, in}, {out}, {out, in}, {out, in, in}}) {
        graph.sites.push_back(site_of(&Net::run_task, slot_count, accesses));
    }
    graph.grids = {static_cast<int64_t>(storage_.size())};
    graph.channels = channels_;
    graph.window = window;
    return graph;
}

abi::Status Net::main(int64_t *frame, void *graph, const int64_t *bindings, int32_t /*budget*/) {
    auto &net = at_address<Net>(bindings[0]);
    if (pto_wsp_run_processes(graph, 1, static_cast<int32_t>(net.programs_.size())) != 0) {
        frame[0] = -1;
    }
    return 0;
}

template <int Number>
abi::Status Net::expand(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    auto &net = at_address<Net>(bindings[0]);
    // Generated loops cannot be left early; a hand-written one can. Every other process does.
    const bool leaves = Number % 2 == 0;
    for (bool goes_on = true; budget > 0 && (goes_on || !leaves) && frame[0] != -1; budget--) {
        goes_on = net.place(Number, graph);
        if (net.cursors_[Number].at == net.programs_[Number].size()) {
            frame[0] = -1;
        }
    }
    return 0;
}

/// One statement of a process; false when it waits.
bool Net::place(size_t process, void *graph) {
    Cursor &cursor = cursors_[process];
    const Op &op = programs_[process][cursor.at];
    switch (op.kind) {
    case Op::Kind::Repeat:
        if (op.count == 0) {
            cursor.at = end_of(process, cursor.at);
        } else {
            cursor.levels.push_back({cursor.at + 1, op.count});
        }
        break;
    case Op::Kind::End:
        end_loop(process);
        return true;
    case Op::Kind::Consume:
        return place_consume(process, graph, op);
    case Op::Kind::Send:
    case Op::Kind::TrySend:
        return place_send(process, graph, op);
    case Op::Kind::Task:
        submit(process, graph, op, -1, 0, 0);
        break;
    case Op::Kind::Close:
        pto_wsp_close(graph, op.channels[0]);
        break;
    }
    cursor.at++;
    return true;
}

bool Net::place_consume(size_t process, void *graph, const Op &op) {
    Cursor &cursor = cursors_[process];
    std::array<int64_t, 3> token{};
    const int32_t got =
        pto_wsp_receive(graph, op.channels.data(), static_cast<int32_t>(op.channels.size()),
                        token.data(), static_cast<int32_t>(token.size()));
    if (got > 0) {
        const int32_t channel = op.channels[static_cast<size_t>(token[0])];
        cursor.levels.push_back({cursor.at, -1, channel, token[2], cell_of(channel, token[1])});
        received_[process].push_back({channel, token[2]});
        cursor.at++;
    } else if (got < 0) {
        cursor.at = end_of(process, cursor.at) + 1;
    }
    return got != 0;
}

bool Net::place_send(size_t process, void *graph, const Op &op) {
    Cursor &cursor = cursors_[process];
    const int32_t channel = op.channels[0];
    if (!cursor.sent) {
        if (op.kind == Op::Kind::TrySend) {
            if (pto_wsp_try_send(graph, channel, Writes) == 0) {
                cursor.at++;
                return true;
            }
            tried_[process]++;
        } else if (pto_wsp_may_send(graph, channel, Writes) == 0) {
            return false;
        }
        const int64_t value = next_value(process);
        cursor.sends++;
        submit(process, graph, op, channel, pto_wsp_next_token(graph, channel), value);
        pto_wsp_send(graph, channel, &value, 1);
        cursor.sent = channels_[static_cast<size_t>(channel)].depth == 0;
    }
    if (cursor.sent) {
        cursor.sent = pto_wsp_taken(graph, channel) == 0;
    }
    cursor.at += cursor.sent ? 0 : 1;
    return !cursor.sent;
}

void Net::submit(size_t process, void *graph, const Op &op, int32_t out, int64_t token,
                 int64_t value) {
    std::array<int64_t, slot_count> slots{};
    std::array<int64_t, 3> cells{};
    size_t cell_count = 0;
    slots[OfNet] = address(this);
    slots[Value] = value;
    slots[Work] = op.work;
    slots[OutChannel] = out;
    if (out >= 0) {
        cells[cell_count++] = cell_of(out, token);
        slots[OutAddress] = address(&storage_[static_cast<size_t>(cells[0])]);
    }
    int reads = 0;
    for (const Level &level : cursors_[process].levels) {
        if (level.channel < 0) {
            continue;
        }
        reads++;
        cells[cell_count++] = level.cell;
        slots[InAddress] = address(&storage_[static_cast<size_t>(level.cell)]);
        slots[InChannel] = level.channel;
        slots[InValue] = level.value;
        if (op.slow_at == level.value) {
            slots[Code] = Slow;
        } else if (op.fails_at == level.value) {
            slots[Code] = Fails;
        }
    }
    submitted_++;
    pto_wsp_submit(graph, (out >= 0 ? Writes : Free) + reads, slots.data(), cells.data(), -1);
}

abi::Status Net::run_task(const int64_t *slots) {
    auto &net = at_address<Net>(slots[OfNet]);
    if (slots[InAddress] != 0 && at_address<int64_t>(slots[InAddress]) != slots[InValue]) {
        net.wrong_++;
    }
    if (slots[Code] == Slow) {
        net.slow_running_++;
        const auto until = std::chrono::steady_clock::now() + time_limit / 2;
        while (net.run_meanwhile_.load() < net.slow_waits_for.load() &&
               std::chrono::steady_clock::now() < until) {
            std::this_thread::yield();
        }
        net.slow_running_--;
    } else if (slots[InAddress] != 0 && net.slow_running_.load() > 0) {
        net.run_meanwhile_++;
    }
    idle(slots[Work]);
    if (slots[OutAddress] != 0) {
        Traffic &traffic = net.traffic_[static_cast<size_t>(slots[OutChannel])];
        const int64_t now = ++traffic.in_flight;
        int64_t most = traffic.most_in_flight.load();
        while (now > most && !traffic.most_in_flight.compare_exchange_weak(most, now)) {
        }
        at_address<int64_t>(slots[OutAddress]) = slots[Value];
    }
    if (slots[InAddress] != 0) {
        net.traffic_[static_cast<size_t>(slots[InChannel])].in_flight--;
    }
    net.tasks_run_++;
    return slots[Code] == Fails ? 1 : 0;
}

void Net::end_loop(size_t process) {
    Cursor &cursor = cursors_[process];
    Level &level = cursor.levels.back();
    if (level.left >= 0 && --level.left == 0) {
        cursor.levels.pop_back();
        cursor.at++;
        return;
    }
    cursor.at = level.begin;
    if (level.left < 0) {
        cursor.levels.pop_back();
    }
}

/// Of the token that a process sends: from what it took, or else from how many it has sent.
int64_t Net::next_value(size_t process) const {
    const Cursor &cursor = cursors_[process];
    for (auto level = cursor.levels.rbegin(); level != cursor.levels.rend(); ++level) {
        if (level->channel >= 0) {
            return mixed(level->value, process);
        }
    }
    return cursor.sends;
}

int64_t Net::cell_of(int32_t channel, int64_t number) const {
    const ChannelSpec &spec = channels_[static_cast<size_t>(channel)];
    const int64_t slots = spec.slots == 0 ? spec.depth + 1 : spec.slots;
    return first_cell_[static_cast<size_t>(channel)] + number % slots;
}

size_t Net::end_of(size_t process, size_t at) const {
    const std::vector<Op> &program = programs_[process];
    for (int open = 0;; at++) {
        const Op::Kind kind = program[at].kind;
        if (kind == Op::Kind::Repeat || kind == Op::Kind::Consume) {
            open++;
        } else if (kind == Op::Kind::End && --open == 0) {
            return at;
        }
    }
}

Net::Outcome Net::simulate() const {
    // As the runtime does it, but with queues of values for channels and nothing else.
    struct Pipe {
        std::deque<int64_t> tokens;
        int64_t sent = 0;
        int64_t taken = 0;
        size_t senders = 0;
        bool closed = false;
    };
    std::vector<Pipe> pipes(channels_.size());
    for (const std::vector<int> &list : sends_) {
        for (int channel : list) {
            pipes[static_cast<size_t>(channel)].senders++;
        }
    }
    Outcome outcome;
    outcome.received.resize(programs_.size());
    std::vector<Cursor> cursors(programs_.size());
    std::vector<int64_t> last_sent(programs_.size());
    std::vector<bool> ended(programs_.size());

    const auto step = [&](size_t process) {
        Cursor &cursor = cursors[process];
        const Op &op = programs_[process][cursor.at];
        Pipe *pipe = op.channels.empty() ? nullptr : &pipes[static_cast<size_t>(op.channels[0])];
        switch (op.kind) {
        case Op::Kind::Repeat:
            if (op.count == 0) {
                cursor.at = end_of(process, cursor.at);
            } else {
                cursor.levels.push_back({cursor.at + 1, op.count});
            }
            break;
        case Op::Kind::End: {
            Level &level = cursor.levels.back();
            if (level.left < 0 || --level.left > 0) {
                cursor.at = level.begin;
                if (level.left < 0) {
                    cursor.levels.pop_back();
                }
                return true;
            }
            cursor.levels.pop_back();
            break;
        }
        case Op::Kind::Consume:
            if (pipe->tokens.empty()) {
                if (pipe->closed) {
                    cursor.at = end_of(process, cursor.at) + 1;
                }
                return pipe->closed;
            }
            cursor.levels.push_back({cursor.at, -1, op.channels[0], pipe->tokens.front()});
            outcome.received[process].push_back({op.channels[0], pipe->tokens.front()});
            pipe->tokens.pop_front();
            pipe->taken++;
            break;
        case Op::Kind::Send:
        case Op::Kind::TrySend: {
            const int64_t depth = channels_[static_cast<size_t>(op.channels[0])].depth;
            if (!cursor.sent) {
                outcome.sent_to_closed = outcome.sent_to_closed || pipe->closed;
                if (static_cast<int64_t>(pipe->tokens.size()) >= std::max<int64_t>(depth, 1)) {
                    return false;
                }
                int64_t value = cursor.sends;
                for (const Level &level : cursor.levels) {
                    value = level.channel >= 0 ? mixed(level.value, process) : value;
                }
                pipe->tokens.push_back(value);
                last_sent[process] = pipe->sent++;
                cursor.sends++;
                cursor.sent = depth == 0;
            }
            if (cursor.sent) {
                if (pipe->taken <= last_sent[process]) {
                    return false;
                }
                cursor.sent = false;
            }
            break;
        }
        case Op::Kind::Close:
            pipe->closed = true;
            break;
        case Op::Kind::Task:
            break;
        }
        cursor.at++;
        return true;
    };

    for (bool moved = true; moved && !outcome.sent_to_closed;) {
        moved = false;
        for (size_t i = 0; i < programs_.size(); i++) {
            while (!ended[i] && cursors[i].at < programs_[i].size() && step(i)) {
                moved = true;
            }
            if (!ended[i] && cursors[i].at == programs_[i].size()) {
                ended[i] = moved = true;
                for (int channel : sends_[i]) {
                    Pipe &pipe = pipes[static_cast<size_t>(channel)];
                    pipe.closed = pipe.closed || --pipe.senders == 0;
                }
            }
        }
    }
    outcome.deadlock = std::find(ended.begin(), ended.end(), false) != ended.end();
    return outcome;
}

}  // namespace pto::wsp::runtime::testing
