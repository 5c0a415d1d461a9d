#pragma once

#include "runtime/atomics.h"
#include "runtime/job.h"

namespace pto::wsp::runtime {

/// What happened while its owner, the expander of a run, was busy or asleep: any thread puts, the
/// owner takes. The owner holds no thread while it sleeps; whoever puts first then queues it again.
///
/// Protocol. One word: null (nothing has happened), the address of `asleep_` (nothing, and the
/// owner sleeps), or the head of a list of what happened.
/// - The owner falls asleep by a compare-exchange from null, so never past something in the list.
/// - A put links in front by a compare-exchange. The one that replaces the mark of sleep is the
///   only one, and has to queue the owner; until then the owner is not running and cannot go away.
///   Any other put touches nothing after its compare-exchange: the owner may have taken the list
///   and come to its end.
/// - The owner takes the whole list by an exchange, so nothing in it is ever removed alone (no
///   ABA), and reads what follows an entry before it uses the entry, which may be put again then.
template <typename Atomics> class BasicWakeList {
public:
    /// True when the owner was asleep: the caller queues it.
    bool put(Job &job) {
        Job *head = head_.load(std::memory_order_relaxed);
        do {
            job.next = head == &asleep_ ? nullptr : head;
            // Acquires what the owner did before it slept, for the thread that it is queued to.
        } while (!head_.compare_exchange_weak(head, &job, std::memory_order_acq_rel,
                                              std::memory_order_relaxed));
        return head == &asleep_;
    }

    /// Owner only, awake: the list, linked by `next`; null when empty.
    Job *take() {
        if (head_.load(std::memory_order_relaxed) == nullptr) {
            return nullptr;
        }
        return head_.exchange(nullptr, std::memory_order_acquire);
    }

    /// Owner only: false when something has happened. Else the owner is asleep, and the calling
    /// thread touches nothing of it any more.
    bool sleep() {
        Job *nothing = nullptr;
        return head_.compare_exchange_strong(nothing, &asleep_, std::memory_order_acq_rel,
                                             std::memory_order_relaxed);
    }

private:
    typename Atomics::template Atomic<Job *> head_ = nullptr;
    Job asleep_;
};

using WakeList = BasicWakeList<StdAtomics>;

}  // namespace pto::wsp::runtime
