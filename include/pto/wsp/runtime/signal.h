#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace pto::wsp::runtime {

class Signal;

/// A run, to the signals that it uses: whoever changes one of them wakes it.
class SignalUser {
public:
    /// `wake` is called from any thread, with no lock held but this object's.
    explicit SignalUser(std::function<void()> wake) : wake_(std::move(wake)) {}

    void wake();
    /// `wake` is not called any more.
    void leave();

    /// Nothing of the run goes on until somebody else signals. Set by the run, cleared by the
    /// change of a signal that it waits for.
    bool is_stalled() const { return stalled_.load(std::memory_order_relaxed); }

private:
    friend class Signal;
    std::atomic<bool> stalled_ = false;
    std::vector<const Signal *> waits_for_;  ///< while stalled; under the lock of stalls
    std::mutex mutex_;
    std::function<void()> wake_;
};

/// What an event is made of. With depth 1 it is *latched*: recorded until somebody announces to
/// record it again. With depth 0 it is a *rendezvous*: who records and who synchronizes wait for
/// each other. Threads wait in its functions, runs by a `Wait`, which holds no thread. Thread-safe.
///
/// Protocol of a rendezvous: whoever finds one of the other kind waiting grants it its leave and
/// goes on; else it waits for a grant. Grants are not addressed, as those who wait are alike. Who
/// gives up takes a grant that has come meanwhile, or is no longer waiting.
///
/// Protocol of stalls, so that runs that wait for each other notice it: under one lock, a run marks
/// itself as stalled, asks its waits once more, and looks whether there is help: something that is
/// expected, a thread, or a run that is not stalled, or finds help in turn. A change of a signal
/// unmarks those who wait for it, so one that comes before the mark is seen by the asking, and one
/// that comes after unmarks. Who has become stalled wakes those who counted on it, which leaves
/// their marks as they are: that they ask again is not news to others.
class Signal {
public:
    /// Waits for ever, unless a call says otherwise.
    using Timeout = std::optional<std::chrono::nanoseconds>;
    enum class Side { Record, Synchronize };
    class Use;
    class Wait;

    Signal(std::string name, int64_t depth) : name_(std::move(name)), depth_(depth) {}
    Signal(const Signal &) = delete;
    Signal &operator=(const Signal &) = delete;

    const std::string &name() const { return name_; }
    int64_t depth() const { return depth_; }

    /// False when the timeout passed first: then nothing was signalled.
    bool record(const Timeout &timeout);
    /// False when the timeout passed first.
    bool synchronize(const Timeout &timeout);
    /// Whether `synchronize` would return at once.
    bool query() const;
    /// Something that has begun will record it by `arrive`: until then a latched one is not
    /// recorded.
    void expect();
    /// What was expected has come. A rendezvous is offered to whoever waits or comes first.
    void arrive();
    /// Whether somebody who is no thread of the user's may signal or wait for a signal: an end that
    /// is expected, or a run that uses it and goes on.
    bool is_pending() const;
    /// Nothing of the user's run goes on but by these waits. Whether somebody may end one of them,
    /// or has; with `forsaken` threads of the user's do not count.
    static bool stall(SignalUser &user, const std::vector<Wait *> &waits, bool forsaken);
    /// As long as somebody holds what this returns, threads of the user's may signal.
    static std::shared_ptr<void> hold(const std::shared_ptr<Signal> &self);
    /// The signal for one plan: as long as another one has it too, a thread of the user's may start
    /// a run of that.
    static std::shared_ptr<Signal> for_plan(const std::shared_ptr<Signal> &self);

private:
    struct Hold;
    struct Group {
        int64_t waiting = 0;
        int64_t grants = 0;
    };
    Group &mine(Side side) { return side == Side::Record ? records_ : synchronizes_; }
    Group &others(Side side) { return side == Side::Record ? synchronizes_ : records_; }
    bool meet(Side side, const Timeout &timeout);
    bool finds(Side side);
    bool is_helped(bool forsaken, std::set<const SignalUser *> &seen) const;
    void tell_change(std::unique_lock<std::mutex> &lock);
    void tell_stall(const SignalUser *but);

    const std::string name_;
    const int64_t depth_;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool is_recorded_ = false;  ///< of a latched one
    int64_t expected_ = 0;
    int64_t offers_ = 0;  ///< ends that nobody has taken
    Group records_, synchronizes_;
    std::vector<Use *> uses_;
    int64_t handles_ = 0;  ///< of `hold`
    int64_t plans_ = 0;    ///< of `for_plan`
};

/// From the start to the end of a run that uses a signal. A latched one that the run may record is
/// not recorded when the run starts, and is when it has ended, whatever became of it: so nobody
/// waits for a run that is gone.
class Signal::Use {
public:
    Use(std::shared_ptr<Signal> signal, bool records, std::shared_ptr<SignalUser> user);
    ~Use();
    Use(const Use &) = delete;
    Use &operator=(const Use &) = delete;

    const Signal &signal() const { return *signal_; }
    /// The run has come to wait: those who count on it look again.
    void tell_stall() const { signal_->tell_stall(user_.get()); }

private:
    friend class Signal;
    const std::shared_ptr<Signal> signal_;
    const bool records_;
    const std::shared_ptr<SignalUser> user_;
    int waits_ = 0;
};

/// The wait of a run on one side of a signal.
class Signal::Wait {
public:
    Wait(Use &use, Side side);
    ~Wait();
    Wait(const Wait &) = delete;
    Wait &operator=(const Wait &) = delete;

    /// Whether the other side has come; the run's user is woken when that may have changed. Stays
    /// true.
    bool is_over();
    const Use &use() const { return use_; }

private:
    Use &use_;
    const Side side_;
    bool waits_ = false;  ///< counted among those who wait
    bool over_ = false;
};

}  // namespace pto::wsp::runtime
