#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pto/wsp/support/loc.h"

namespace pto::wsp {

class Program;

/// A signal between threads, and from runs of programs to threads. Copies are the same event.
/// Thread-safe.
///
/// With depth 1 it is *latched*: once recorded it stays recorded, for everybody, until it is
/// recorded behind a run that has not ended yet. With depth 0 it is a *rendezvous*: each record and
/// each synchronize waits for one of the other kind, and the two leave together.
class Event {
public:
    /// Waits for ever, unless a call says otherwise.
    using Timeout = std::optional<std::chrono::nanoseconds>;

    /// An empty name becomes `event0`, `event1`, ... ChannelError for another depth.
    explicit Event(std::string name = "", int64_t depth = 1, const Loc &at = Loc::here());

    const std::string &name() const;
    int64_t depth() const;

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
    /// Whether runs that have not ended will signal.
    bool is_pending() const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace pto::wsp
