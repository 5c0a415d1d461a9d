#include "runtime/watch.h"

#include <algorithm>

namespace pto::wsp::runtime {

void Watch::begin(Tracking &tracking) {
    if (observer_ == nullptr) {
        return;
    }
    first_ = tracking.next;
    numbers_.resize(static_cast<size_t>(tracking.window.capacity()));
    size_t most_values = 0;
    for (const TaskSite &site : graph_.sites) {
        most_values = std::max(most_values, site.loops.size());
    }
    values_.resize(most_values);
    if (whole_graph_) {
        tracking.befores = &befores_;
        tracking.observed_from = first_;
    }
}

void Watch::tell_submitted(const Tracking &tracking, const Task &task, const int64_t *cells,
                           const int64_t *frame) {
    const int64_t number = tracking.next - first_;
    const TaskSite &site = graph_.sites[static_cast<size_t>(task.site)];
    numbers_[task.index] = {number, site.function == nullptr ? -1 : tasks_++};
    if (!whole_graph_) {
        return;
    }
    for (size_t i = 0; i < site.loops.size(); i++) {
        values_[i] = frame[site.loops[i].word];
    }
    Submitted submitted{number, task.site, -1, {values_.data(), site.loops.size()}};
    if (site.stream_access >= 0) {
        submitted.stream = cells[site.stream_access];
    }
    observer_->submitted(submitted);
    std::sort(befores_.begin(), befores_.end());
    befores_.erase(std::unique(befores_.begin(), befores_.end()), befores_.end());
    for (int64_t before : befores_) {
        observer_->depends(before - first_, number);
    }
    befores_.clear();
}

}  // namespace pto::wsp::runtime
