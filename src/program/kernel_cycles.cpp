#include "kernel_cycles.h"

#include "runtime/ticks.h"

namespace pto::wsp {

using runtime::Detail;
using runtime::Work;

KernelCycles::KernelCycles(const runtime::DynamicGraph &graph, int workers,
                           std::shared_ptr<runtime::Observer> next)
    : counters_(static_cast<size_t>(workers)), next_(std::move(next)) {
    for (const runtime::TaskSite &site : graph.sites) {
        kernels_.push_back(site.function != nullptr ? site.name : "");
    }
    for (Counter &counter : counters_) {
        counter.of_sites.resize(kernels_.size());
    }
}

Detail KernelCycles::detail() const {
    return next_ != nullptr ? next_->detail() : Detail::Work;
}

void KernelCycles::began(int worker, const Work &work) {
    if (next_ != nullptr) {
        next_->began(worker, work);
    }
    counters_[static_cast<size_t>(worker)].began = runtime::ticks();
}

void KernelCycles::ended(int worker, const Work &work, int64_t tasks, abi::Status status) {
    Counter &counter = counters_[static_cast<size_t>(worker)];
    counter.of_sites[static_cast<size_t>(work.site)] += runtime::ticks() - counter.began;
    if (next_ != nullptr) {
        next_->ended(worker, work, tasks, status);
    }
}

void KernelCycles::submitted(const runtime::Submitted &submitted) {
    if (next_ != nullptr) {
        next_->submitted(submitted);
    }
}

void KernelCycles::depends(int64_t before, int64_t after) {
    if (next_ != nullptr) {
        next_->depends(before, after);
    }
}

void KernelCycles::sent(int channel, int64_t token, int process) {
    if (next_ != nullptr) {
        next_->sent(channel, token, process);
    }
}

void KernelCycles::received(int channel, int64_t token, int process) {
    if (next_ != nullptr) {
        next_->received(channel, token, process);
    }
}

void KernelCycles::step_began(int worker) {
    if (next_ != nullptr) {
        next_->step_began(worker);
    }
}

void KernelCycles::step_ended(int worker) {
    if (next_ != nullptr) {
        next_->step_ended(worker);
    }
}

void KernelCycles::run_ended() {
    if (next_ != nullptr) {
        next_->run_ended();
    }
}

std::map<std::string, int64_t> KernelCycles::by_kernel() const {
    std::map<std::string, int64_t> result;
    for (const Counter &counter : counters_) {
        for (size_t site = 0; site < kernels_.size(); ++site) {
            if (!kernels_[site].empty()) {
                result[kernels_[site]] += counter.of_sites[site];
            }
        }
    }
    return result;
}

}  // namespace pto::wsp
