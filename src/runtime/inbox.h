#pragma once

#include "runtime/atomics.h"
#include "runtime/job.h"

namespace pto::wsp::runtime {

/// Jobs that one worker alone may run, first in first out. Any thread puts, the owner takes.
///
/// Protocol. `newest_` heads a list from the newest to the oldest job; a put links in front with a
/// releasing compare-exchange. The owner takes the whole list with one exchange, so no job that is
/// in the list is ever removed alone (no ABA), turns it around and serves it from `taken_`.
template <typename Atomics> class BasicInbox {
public:
    void put(Job &job) {
        Job *newest = newest_.load(std::memory_order_relaxed);
        do {
            job.next = newest;
            // Sequentially consistent so that the putter's next look at the owner's sleep comes
            // after it.
        } while (!newest_.compare_exchange_weak(newest, &job, std::memory_order_seq_cst,
                                                std::memory_order_relaxed));
    }

    /// Owner only; null when empty.
    Job *take() {
        if (taken_ == nullptr) {
            if (newest_.load(std::memory_order_relaxed) == nullptr) {
                return nullptr;
            }
            Job *job = newest_.exchange(nullptr, std::memory_order_acquire);
            while (job != nullptr) {
                Job *older = job->next;
                job->next = taken_;
                taken_ = job;
                job = older;
            }
        }
        Job *job = taken_;
        if (job != nullptr) {
            taken_ = job->next;
        }
        return job;
    }

    /// Owner only.
    bool empty() const {
        return taken_ == nullptr && newest_.load(std::memory_order_seq_cst) == nullptr;
    }

private:
    alignas(64) typename Atomics::template Atomic<Job *> newest_ = nullptr;
    alignas(64) Job *taken_ = nullptr;
};

using Inbox = BasicInbox<StdAtomics>;

}  // namespace pto::wsp::runtime
