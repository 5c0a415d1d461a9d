#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "pto/wsp/support/loc.h"

namespace pto::wsp::workload {

struct Node;

/// What workloads, and threads beside them, record and wait for.
struct Event {
    std::string name;
    int64_t depth = 1;  ///< 1: latched; 0: a rendezvous
    Loc at;
    /// What a program signals, a `runtime::Signal`; null: one of the program's own.
    std::shared_ptr<void> signal;
};
using EventPtr = std::shared_ptr<const Event>;

/// CompileError for a record after a call that does not come before it, or is one of another
/// process.
void check_events(const Node &root);

}  // namespace pto::wsp::workload
