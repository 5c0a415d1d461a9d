#include "runtime/tracking.h"

#include <algorithm>

namespace pto::wsp::runtime {

namespace {

constexpr size_t most_kept = 4;
constexpr size_t most_kept_bytes = size_t(64) << 20;
/// A run gets cells that were made for another one unless they are this much more than it needs.
constexpr int64_t most_spare_factor = 4;

size_t bytes_of(const Tracking &tracking) {
    return tracking.window.bytes() + tracking.cells.bytes();
}

}  // namespace

void Submission::wait_for(int64_t before, bool needs) {
    Task &other = tracking_.window.task(before);
    const uint32_t mark = mark_of(needs);
    if (other.mark == mark || other.mark == mark_of(true)) {
        return;
    }
    other.mark = mark;
    if (before >= tracking_.step_begin) {
        tracking_.window.link_private(other, task_, links_, needs);
        return;
    }
    const uint32_t links = links_;
    tracking_.window.link(other, task_, links_, needs);
    if (links_ > links) {
        outside_ = true;
    } else if (needs && other.lost.load(std::memory_order_relaxed)) {
        lose();
    }
}

void Submission::look_back(int64_t before, bool needs) {
    if (needs && lost_ != nullptr && before < oldest_ && lost_->contains(before)) {
        lose();
    }
    if (tracking_.befores != nullptr && before >= remembered_ && before != number_) {
        tracking_.befores->push_back(before);
    }
}

std::unique_ptr<Tracking> TrackingPool::take(int64_t window_size, int argument_count,
                                             int waiter_count, int64_t cell_count) {
    {
        std::lock_guard lock(mutex_);
        auto fits = [&](const std::unique_ptr<Tracking> &kept) {
            return kept->window.fits(window_size, argument_count, waiter_count) &&
                   kept->cells.count() >= cell_count &&
                   kept->cells.count() / most_spare_factor <= cell_count;
        };
        auto found = std::find_if(kept_.rbegin(), kept_.rend(), fits);
        if (found != kept_.rend()) {
            std::unique_ptr<Tracking> tracking = std::move(*found);
            kept_.erase(std::next(found).base());
            return tracking;
        }
    }
    return std::make_unique<Tracking>(window_size, argument_count, waiter_count, cell_count);
}

void TrackingPool::put(std::unique_ptr<Tracking> tracking) {
    std::lock_guard lock(mutex_);
    kept_.push_back(std::move(tracking));
    size_t bytes = 0;
    for (const std::unique_ptr<Tracking> &kept : kept_) {
        bytes += bytes_of(*kept);
    }
    while (!kept_.empty() && (kept_.size() > most_kept || bytes > most_kept_bytes)) {
        bytes -= bytes_of(*kept_.front());
        kept_.erase(kept_.begin());
    }
}

}  // namespace pto::wsp::runtime
