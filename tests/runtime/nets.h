#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/graphs.h"

namespace pto::wsp::runtime::testing {

/// A statement of a process of a Net.
struct Op {
    enum class Kind { Repeat, Consume, End, Send, TrySend, Task, Close };
    Kind kind = Kind::Task;
    std::vector<int32_t> channels = {};  ///< several for Consume, else one
    int64_t count = 0;                   ///< of Repeat
    int64_t work = 0;                    ///< turns of an idle loop in the task
    /// The value of the token that the task is slow for or fails at; -1: none.
    int64_t slow_at = -1;
    int64_t fails_at = -1;
};

inline Op repeat(int64_t count) {
    return {Op::Kind::Repeat, {}, count};
}
inline Op consume(std::vector<int32_t> channels) {
    return {Op::Kind::Consume, std::move(channels)};
}
inline Op end() {
    return {Op::Kind::End};
}
inline Op send(int32_t channel) {
    return {Op::Kind::Send, {channel}};
}
inline Op try_send(int32_t channel) {
    return {Op::Kind::TrySend, {channel}};
}
inline Op task() {
    return {Op::Kind::Task};
}
inline Op close(int32_t channel) {
    return {Op::Kind::Close, {channel}};
}

/// A network of processes, whose expanders interpret lists of statements, and the memory it works
/// on. Tokens have a value, known when they are sent, which their tasks compute again in memory:
/// `wrong` counts those who found another there. For one run.
class Net {
public:
    struct Received {
        int32_t channel;
        int64_t value;
        bool operator==(const Received &) const = default;
    };
    struct Traffic {
        std::atomic<int64_t> in_flight = 0;  ///< sent for real, body not ended
        std::atomic<int64_t> most_in_flight = 0;
    };

    /// Process i is number i + 1 of the graph; `depths` has one for each channel, and `slots`, when
    /// it is not empty.
    Net(std::vector<std::vector<Op>> programs, std::vector<int64_t> depths,
        std::vector<int64_t> slots = {});

    DynamicGraph graph(int window = 8192) const;
    int64_t wrong() const { return wrong_.load(); }
    int64_t tasks_run() const { return tasks_run_.load(); }
    int64_t submitted() const { return submitted_; }
    /// What each process took, in order.
    const std::vector<std::vector<Received>> &received() const { return received_; }
    /// How many tries of each process had room.
    const std::vector<int64_t> &tried() const { return tried_; }
    const std::vector<Traffic> &traffic() const { return traffic_; }
    /// Tasks that consumers ran for real while a slow one ran.
    int64_t run_meanwhile() const { return run_meanwhile_.load(); }
    /// When set, the slow task waits until that many others have run.
    std::atomic<int64_t> slow_waits_for = 0;

    /// What it would do when each process ran as far as it can in turn: what each takes, and
    /// whether all come to their end. For nets without TrySend, choices and shared channels.
    struct Outcome {
        std::vector<std::vector<Received>> received;
        bool deadlock = false;
        bool sent_to_closed = false;
    };
    Outcome simulate() const;

private:
    struct Level {
        size_t begin;
        int64_t left;  ///< of a Repeat; -1: a Consume
        int32_t channel = -1;
        int64_t value = 0;
        int64_t cell = -1;
    };
    struct Cursor {
        size_t at = 0;
        bool sent = false;
        int64_t sends = 0;
        std::vector<Level> levels;
    };

    template <int Number>
    static abi::Status expand(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget);
    template <int... Numbers>
    static std::vector<abi::ExpandFn> expanders(std::integer_sequence<int, Numbers...> /*all*/) {
        return {&expand<Numbers>...};
    }
    static abi::Status main(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget);
    static abi::Status run_task(const int64_t *slots);

    bool place(size_t process, void *graph);
    bool place_consume(size_t process, void *graph, const Op &op);
    bool place_send(size_t process, void *graph, const Op &op);
    void submit(size_t process, void *graph, const Op &op, int32_t out, int64_t token,
                int64_t value);
    void end_loop(size_t process);
    int64_t next_value(size_t process) const;
    int64_t cell_of(int32_t channel, int64_t number) const;
    size_t end_of(size_t process, size_t at) const;

    std::vector<std::vector<Op>> programs_;
    std::vector<ChannelSpec> channels_;
    std::vector<int64_t> first_cell_;
    std::vector<std::vector<int>> sends_;
    std::vector<std::vector<int>> receives_;

    // Used by the expander.
    std::vector<Cursor> cursors_;
    std::vector<std::vector<Received>> received_;
    std::vector<int64_t> tried_;
    int64_t submitted_ = 0;

    // Used by tasks.
    std::vector<int64_t> storage_;
    std::vector<Traffic> traffic_;
    std::atomic<int64_t> wrong_ = 0;
    std::atomic<int64_t> tasks_run_ = 0;
    std::atomic<int64_t> slow_running_ = 0;
    std::atomic<int64_t> run_meanwhile_ = 0;
};

}  // namespace pto::wsp::runtime::testing
