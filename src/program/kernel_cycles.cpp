#include "kernel_cycles.h"

#include "runtime/ticks.h"

namespace pto::wsp {

using runtime::Work;

KernelCycles::KernelCycles(const runtime::DynamicGraph &graph, int workers,
                           std::shared_ptr<runtime::Observer> next)
    : ForwardingObserver(std::move(next)), counters_(static_cast<size_t>(workers)) {
    for (const runtime::TaskSite &site : graph.sites) {
        kernels_.push_back(site.function != nullptr ? site.name : "");
    }
    for (Counter &counter : counters_) {
        counter.of_sites.resize(kernels_.size());
    }
}

void KernelCycles::began(int worker, const Work &work) {
    ForwardingObserver::began(worker, work);
    counters_[static_cast<size_t>(worker)].began = runtime::ticks();
}

void KernelCycles::ended(int worker, const Work &work, int64_t tasks, abi::Status status) {
    Counter &counter = counters_[static_cast<size_t>(worker)];
    counter.of_sites[static_cast<size_t>(work.site)] += runtime::ticks() - counter.began;
    ForwardingObserver::ended(worker, work, tasks, status);
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
