#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "forwarding_observer.h"

namespace pto::wsp {

/// Remembers what each task of a dynamic graph adds with `pto::cpu_sim::add_cycles`.
class AddedCycles : public ForwardingObserver {
public:
    AddedCycles(int workers, std::shared_ptr<runtime::Observer> next);

    void began(int worker, const runtime::Work &work) override;
    void ended(int worker, const runtime::Work &work, int64_t tasks, abi::Status status) override;

    // After the run.

    /// Tasks that ended well.
    int64_t tasks() const;
    /// Cycles by the number of the task, in program order; those behind the last have added none.
    std::vector<int64_t> by_task() const;

private:
    struct Added {
        int64_t task = 0;
        int64_t cycles = 0;
    };
    struct alignas(64) Record {
        int64_t tasks = 0;
        std::vector<Added> added;  ///< none of 0
    };

    std::vector<Record> records_;  ///< of each worker
};

}  // namespace pto::wsp
