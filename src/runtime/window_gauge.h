#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "runtime/prepared_graph.h"
#include "runtime/tracking.h"

namespace pto::wsp::runtime {

/// How full the window of a run with a WindowRule is. Used by the submitter alone.
class WindowGauge {
public:
    WindowGauge(const WindowRule &rule, const std::vector<PreparedSite> &sites)
        : rule_(rule), sites_(sites) {
        for (const PreparedSite &site : sites) {
            heaviest_ = std::max(heaviest_, site.weight);
        }
    }

    /// How many of `room` tasks may be submitted, whichever they are.
    int64_t room(Tracking &tracking, int64_t room) {
        retire(tracking);
        const int64_t left = std::max<int64_t>(rule_.size - in_flight_, 0) / heaviest_;
        limits_ = rule_.mode != WindowRule::Mode::Abort && left < room;
        return limits_ ? left : room;
    }
    /// Whether the window, and nothing else, decided the last `room`.
    bool limits() const { return limits_; }

    /// Counts a task; what is wrong with that, said once, empty for nothing.
    std::string submit(Tracking &tracking, const PreparedSite &site) {
        in_flight_ += site.weight;
        if (in_flight_ > rule_.size && rule_.mode == WindowRule::Mode::Abort && !overflowed_) {
            retire(tracking);
            overflowed_ = in_flight_ > rule_.size;
            if (overflowed_) {
                return "the window of " + std::to_string(rule_.size) + " " + rule_.unit +
                       " overflows: " + std::to_string(in_flight_) +
                       " are submitted and unfinished";
            }
        }
        most_ = std::max(most_, in_flight_);
        return "";
    }

    bool counts() const { return rule_.mode == WindowRule::Mode::Benchmark; }
    int64_t most_in_flight() const { return most_; }

private:
    void retire(Tracking &tracking) {
        Window &window = tracking.window;
        while (tracking.oldest < tracking.next && Window::ended(window.task(tracking.oldest))) {
            in_flight_ -= sites_[static_cast<size_t>(window.task(tracking.oldest).site)].weight;
            tracking.oldest++;
        }
    }

    const WindowRule rule_;
    const std::vector<PreparedSite> &sites_;
    int64_t heaviest_ = 1;
    int64_t in_flight_ = 0;
    int64_t most_ = 0;
    bool limits_ = false;
    bool overflowed_ = false;
};

}  // namespace pto::wsp::runtime
