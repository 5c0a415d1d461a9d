#pragma once

#include <cstddef>
#include <memory>

#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/runtime/observer.h"
#include "pto/wsp/runtime/trace.h"

namespace pto::wsp::runtime {

/// Records one run. Every worker writes into memory of its own, so that recording takes no lock.
class Tracer final : public Observer {
public:
    /// `plan` is what will run, on `workers` workers. Takes `most_bytes` of memory at most; what
    /// does not fit is counted as dropped.
    Tracer(TraceLevel level, std::shared_ptr<const Plan> plan, int workers,
           size_t most_bytes = size_t(1) << 30);
    ~Tracer() override;

    TraceLevel level() const;
    /// What was recorded. Needs: the run has ended.
    Trace trace() const;

    Detail detail() const override;
    void began(int worker, const Work &work) override;
    void ended(int worker, const Work &work, int64_t tasks, abi::Status status) override;
    void submitted(const Submitted &submitted) override;
    void depends(int64_t before, int64_t after) override;
    void sent(int channel, int64_t token, int process) override;
    void received(int channel, int64_t token, int process) override;
    void step_began(int worker) override;
    void step_ended(int worker) override;
    void run_ended() override;

private:
    void add_graph(Trace &trace) const;

    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pto::wsp::runtime
