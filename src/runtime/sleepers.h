#pragma once

#include <memory>
#include <vector>

#include "runtime/atomics.h"

namespace pto::wsp::runtime {

/// How workers without work sleep and are woken.
///
/// Protocol: whoever adds work does so before it loads `sleepers_`; whoever goes to sleep adds
/// itself to `sleepers_` before it looks for work a last time; all of these are sequentially
/// consistent, so work is seen by one of the two. A producer leaves sleepers alone while another
/// worker is searching: that one counts itself out of `searching_` before it looks a last time,
/// and, when it was the last searcher and found work, wakes one sleeper in its place. A sleeper's
/// `asleep` goes from 1 to 0 by a compare-exchange, and whoever does that takes it out of
/// `sleepers_`.
template <typename Atomics> class BasicSleepers {
public:
    /// Seats are numbered from 0 on, one for each worker.
    explicit BasicSleepers(int seats) {
        for (int i = 0; i < seats; i++) {
            seats_.push_back(std::make_unique<Seat>());
        }
    }

    bool anybody() const { return sleepers_.load(std::memory_order_seq_cst) > 0; }

    /// After one piece of work was added that anybody may take.
    void wake_one() {
        if (anybody() && searching_.load(std::memory_order_seq_cst) == 0) {
            wake(1);
        }
    }
    /// Wakes up to `count` sleepers.
    void wake(int count) {
        for (const auto &seat : seats_) {
            if (count == 0 || !anybody()) {
                return;
            }
            count -= rouse(*seat) ? 1 : 0;
        }
    }
    /// After work was added that only that worker may take.
    void rouse(int index) { rouse(*seats_[static_cast<size_t>(index)]); }

    void begin_search() { searching_.fetch_add(1, std::memory_order_seq_cst); }
    /// `sees_work()` tells whether there is more.
    template <typename SeesWork> void end_search(bool found, SeesWork &&sees_work) {
        const bool last = searching_.fetch_sub(1, std::memory_order_seq_cst) == 1;
        if (found && last && anybody() && sees_work()) {
            wake(1);
        }
    }

    /// Sleeps unless there is work; may return for nothing.
    template <typename SeesWork> void sleep(int index, SeesWork &&sees_work) {
        auto &asleep = seats_[static_cast<size_t>(index)]->asleep;
        asleep.store(1, std::memory_order_seq_cst);
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        if (sees_work()) {
            int expected = 1;
            if (asleep.compare_exchange_strong(expected, 0, std::memory_order_seq_cst)) {
                sleepers_.fetch_sub(1, std::memory_order_seq_cst);
            }
            return;
        }
        asleep.wait(1, std::memory_order_seq_cst);
    }

private:
    template <typename Value> using Atomic = typename Atomics::template Atomic<Value>;

    struct alignas(64) Seat {
        Atomic<int> asleep = 0;
    };

    bool rouse(Seat &seat) {
        int asleep = 1;
        if (seat.asleep.load(std::memory_order_seq_cst) == 0 ||
            !seat.asleep.compare_exchange_strong(asleep, 0, std::memory_order_seq_cst)) {
            return false;
        }
        sleepers_.fetch_sub(1, std::memory_order_seq_cst);
        seat.asleep.notify_one();
        return true;
    }

    std::vector<std::unique_ptr<Seat>> seats_;
    alignas(64) Atomic<int> sleepers_ = 0;
    alignas(64) Atomic<int> searching_ = 0;
};

using Sleepers = BasicSleepers<StdAtomics>;

}  // namespace pto::wsp::runtime
