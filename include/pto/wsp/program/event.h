#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pto/wsp/support/loc.h"
#include "pto/wsp/workload/event.h"

namespace pto::wsp {

class Program;
namespace runtime {
class Signal;
}

/// A signal between threads, and between them and runs of programs. Copies are the same event.
/// Thread-safe.
///
/// With depth 1 it is *latched*: once recorded it stays recorded, for everybody, until it is
/// recorded behind a run, or behind tasks, that have not ended yet. With depth 0 it is a
/// *rendezvous*: each record and each synchronize waits for one of the other kind, and the two
/// leave together.
class Event {
public:
    /// Waits for ever, unless a call says otherwise.
    using Timeout = std::optional<std::chrono::nanoseconds>;

    /// An empty name becomes `event0`, `event1`, ... ChannelError for another depth.
    explicit Event(std::string name = "", int64_t depth = 1, const Loc &at = Loc::here());

    const std::string &name() const;
    int64_t depth() const;
    /// What workloads know it by.
    const workload::EventPtr &handle() const { return handle_; }

    /// Signals. A latched event does so at once, a rendezvous waits for whom to signal to: false
    /// when the timeout passed first, and then nothing was signalled.
    bool record(const Timeout &timeout = std::nullopt) const;
    /// Signals when the run of `program` that was started last has ended, however it ended, and
    /// returns at once. A latched event is not recorded until then. A rendezvous is offered then to
    /// whoever waits or comes first.
    void record_after(const Program &program) const;
    /// Waits for a signal: false when the timeout passed first. A latched event stays recorded.
    bool synchronize(const Timeout &timeout = std::nullopt) const;
    /// Whether `synchronize` would return at once.
    bool query() const;
    /// Whether a run will signal: one that `record_after` waits for, or that uses the event and has
    /// not come to wait for a signal itself.
    bool is_pending() const;

private:
    std::shared_ptr<runtime::Signal> signal_;
    workload::EventPtr handle_;
    std::shared_ptr<void> held_;
};

/// In the body of a workload: signals when the tasks before, in program order and of its process,
/// have ended, however they ended; with `after`, those of them that the calls make that it makes. A
/// latched event is not recorded from the start of a run until then, and is recorded in any case
/// when the run has ended; what follows goes on. At a rendezvous what follows waits for somebody
/// who synchronizes: after `timeout` the run fails with an EventTimeoutError. CompileError outside
/// of a body.
void record(const Event &event, const std::function<void()> &after = nullptr,
            const Event::Timeout &timeout = std::nullopt, const Loc &at = Loc::here());
/// In the body of a workload: what follows, in program order and in its process, waits until
/// somebody records the event, a process of any run or a thread; no worker is held meanwhile. After
/// `timeout` the run fails with an EventTimeoutError; with a ChannelError where nobody can ever
/// record it. CompileError outside of a body.
void synchronize(const Event &event, const Event::Timeout &timeout = std::nullopt,
                 const Loc &at = Loc::here());

}  // namespace pto::wsp
