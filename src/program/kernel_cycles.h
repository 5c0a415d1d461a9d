#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "forwarding_observer.h"
#include "pto/wsp/runtime/executor.h"

namespace pto::wsp {

/// Counts ticks of the processor's time stamp counter by kernel, see TracePolicy::cycles.
class KernelCycles : public ForwardingObserver {
public:
    KernelCycles(const runtime::DynamicGraph &graph, int workers,
                 std::shared_ptr<runtime::Observer> next);

    void began(int worker, const runtime::Work &work) override;
    void ended(int worker, const runtime::Work &work, int64_t tasks, abi::Status status) override;

    /// By the name of the kernel. After the run.
    std::map<std::string, int64_t> by_kernel() const;

private:
    struct alignas(64) Counter {
        int64_t began = 0;
        std::vector<int64_t> of_sites;
    };

    std::vector<std::string> kernels_;  ///< of each site; empty for joins
    std::vector<Counter> counters_;     ///< of each worker
};

}  // namespace pto::wsp
