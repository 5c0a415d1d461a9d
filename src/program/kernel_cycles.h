#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/runtime/executor.h"

namespace pto::wsp {

/// Counts ticks of the processor's time stamp counter by kernel, see TracePolicy::cycles. Tells
/// another observer, where there is one, all that it is told.
class KernelCycles : public runtime::Observer {
public:
    KernelCycles(const runtime::DynamicGraph &graph, int workers,
                 std::shared_ptr<runtime::Observer> next);

    runtime::Detail detail() const override;
    void began(int worker, const runtime::Work &work) override;
    void ended(int worker, const runtime::Work &work, int64_t tasks, abi::Status status) override;
    void submitted(const runtime::Submitted &submitted) override;
    void depends(int64_t before, int64_t after) override;
    void sent(int channel, int64_t token, int process) override;
    void received(int channel, int64_t token, int process) override;
    void step_began(int worker) override;
    void step_ended(int worker) override;
    void run_ended() override;

    /// By the name of the kernel. After the run.
    std::map<std::string, int64_t> by_kernel() const;

private:
    struct alignas(64) Counter {
        int64_t began = 0;
        std::vector<int64_t> of_sites;
    };

    std::vector<std::string> kernels_;  ///< of each site; empty for joins
    std::vector<Counter> counters_;     ///< of each worker
    std::shared_ptr<runtime::Observer> next_;
};

}  // namespace pto::wsp
