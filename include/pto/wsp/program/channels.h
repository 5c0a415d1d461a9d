#pragma once

#include <functional>
#include <string>
#include <vector>

#include "pto/wsp/program/workloads.h"

/// Processes that exchange tokens, in the body of a workload:
///
/// ```
/// const Channel loaded("loaded", 2);
/// for (AxisVar i : P.seq(Dense(16))) {
///     send(loaded, [&] { load[i]({X[i], sent_tile(Tile(32, 32, DType::F32))}); });
/// }
/// consume(loaded, [&](const ChannelToken &t) { scale[t.value()]({t.tile(), Y[t.value()]}); });
/// ```
///
/// Statements that send or consume are processes, one each; `connect` takes explicit ones.
namespace pto::wsp {

/// Where processes send tokens to and take them from, in order. Copies are the same channel.
class Channel {
public:
    /// `depth` tokens wait in it; 0: a sender waits until its token is taken. CompileError unless
    /// it is in 0...2^20.
    explicit Channel(std::string name, int64_t depth = 1, Loc at = Loc::here())
        : handle_(workload::make_channel(std::move(name), depth, std::move(at))) {}

    const std::string &name() const { return handle_->name; }
    int64_t depth() const { return handle_->depth; }
    const workload::ChannelPtr &handle() const { return handle_; }
    /// From here on nothing is sent. CompileError outside the body of a workload.
    void close(const Loc &at = Loc::here()) const;

private:
    workload::ChannelPtr handle_;
};

/// What `consume` gives to its body, and is valid there.
class ChannelToken {
public:
    ChannelToken(std::string id, std::vector<Channel> channels)
        : id_(std::move(id)), channels_(std::move(channels)) {}

    /// Subscript `number` of the task that was sent; its number, where it has none.
    AxisVar value(size_t number = 0, const Loc &at = Loc::here()) const;
    /// 1 for a token of `channel`. CompileError when that is none of those that are consumed.
    ScalarExpr is_from(const Channel &channel, const Loc &at = Loc::here()) const;
    /// The tile that the sent task wrote to `sent_tile`. TypeCheckError when it is not known yet,
    /// and for a `consume` of several channels.
    Tensor tile(size_t number = 0, const Loc &at = Loc::here()) const;

private:
    std::string id_;
    std::vector<Channel> channels_;
};

/// Submits the kernel call that `call` makes, once there is room, and puts a token into the
/// channel: its subscripts. CompileError unless it is one call, and outside the body of a workload.
void send(const Channel &channel, const std::function<void()> &call, const Loc &at = Loc::here());
/// As `send`, but nothing is done where there is no room. 1 where it was sent, for `P.when`.
ScalarExpr try_send(const Channel &channel, const std::function<void()> &call,
                    const Loc &at = Loc::here());
/// In a `send`: memory of the token's for an output of the call, as `ChannelToken::tile` gives it.
/// CompileError elsewhere.
Tensor sent_tile(const kernel::TileType &type, size_t number = 0, const Loc &at = Loc::here());
/// `body` for each token, one after another, until the channels are closed.
void consume(const std::vector<Channel> &channels,
             const std::function<void(const ChannelToken &)> &body, const Loc &at = Loc::here());
inline void consume(const Channel &channel, const std::function<void(const ChannelToken &)> &body,
                    const Loc &at = Loc::here()) {
    consume(std::vector<Channel>{channel}, body, at);
}

/// A sequential thread of control, for `connect`.
struct Process {
    std::string name;
    std::vector<Channel> consumes;
    std::vector<Channel> produces;
    std::function<void()> body;
    Loc at = Loc::here();
};
/// `count` processes that do the same; each token goes to one of them.
std::vector<Process> replicate(const Process &worker, size_t count);
/// Runs processes together, as a statement of a workload. CompileError for a channel that a process
/// uses and does not declare, or that has no sender or no consumer.
void connect(const std::vector<Process> &processes, const Loc &at = Loc::here());

}  // namespace pto::wsp
