#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <new>

#include "runtime/atomics.h"
#include "runtime/job.h"
#include "runtime/zeroed.h"

namespace pto::wsp::runtime {

/// A task of a dynamic graph, in a slot of a Window; its arguments follow it in memory. All zeros
/// is a task that has ended.
template <typename Atomics> struct alignas(64) BasicTask : Job {
    template <typename Value> using Atomic = typename Atomics::template Atomic<Value>;

    static constexpr uint32_t link_count = 5;
    static constexpr int16_t any_worker = -1;
    static constexpr int16_t no_worker = -2;

    Atomic<uint32_t> successors;  ///< head of the list of links to tasks that wait for this
    Atomic<int32_t> pending;      ///< tasks that this waits for, plus the submitter's share
    std::array<uint32_t, link_count> links;  ///< what follows this task's links in their lists
    uint32_t extra_links;                    ///< those that do not fit, 0 for none
    uint32_t index;                          ///< of the slot
    int32_t site;
    int16_t worker;     ///< any_worker, or no_worker for what is not run
    Atomic<bool> lost;  ///< failed, or needs the result of a task that is lost: does not run
    uint32_t mark;      ///< of the last task that was linked behind this one

    int64_t *arguments() { return reinterpret_cast<int64_t *>(this + 1); }
};
using Task = BasicTask<StdAtomics>;
static_assert(sizeof(Task) == 64);

/// The tasks of a dynamic graph that may be unfinished: task number `n` (from 1 on, in program
/// order) lives in slot `n % capacity`. One more task stands for the submitter when it waits, and
/// further *waiters* for whatever else wants to be told when tasks have ended.
///
/// Protocol. A task's `successors` is a list of *links*, each of which belongs to the successor and
/// says which link follows it. It goes `end` -> links pushed in front -> `closed`.
/// - Only the submitter pushes (release, so that the link's content is seen by who takes the list);
///   only one thread closes, by an exchange. A push that finds the list closed fails, and has then
///   acquired all effects of the ended task.
/// - The closer walks the list it took, reading what follows a link *before* it tells the link's
///   owner: from then on the owner may run, end and be replaced.
/// - A slot is used again once its list is closed. By then all tasks it waited for have walked past
///   its links, and the closer touches nothing of it any more.
/// - `pending` starts at the submitter's share, which is larger than any number of links; when all
///   links are made the submitter replaces its share by their number. Whoever takes it to zero
///   makes the task ready. One who finds it at 1 holds the last count and need not write it.
/// - The tasks of one step of the submitter stay private until its end: a task that waits only for
///   tasks of the same step is linked by plain stores. They are published with the tasks that lead
///   to them, whose shares (release) or places in queues come last.
/// - `lost` of a task is set by those that it waits for, before they take themselves out of its
///   `pending`, and by the submitter, which reads it in those whose lists it finds closed.
template <typename Atomics> class BasicWindow {
public:
    using Task = BasicTask<Atomics>;

    /// std::bad_alloc when there is no memory. Takes it from the system only when first touched.
    BasicWindow(int64_t size, int argument_count, int waiter_count)
        : mask_(capacity_of(size) - 1), waiter_count_(waiter_count),
          stride_bytes_(stride_of(argument_count)), memory_(memory_slots(), stride_bytes_) {}

    int64_t capacity() const { return mask_ + 1; }
    size_t bytes() const { return memory_slots() * stride_bytes_; }
    /// Whether a window made with these arguments would have the same shape, but for waiters more.
    bool fits(int64_t size, int argument_count, int waiter_count) const {
        return capacity() == capacity_of(size) && waiter_count_ >= waiter_count &&
               stride_bytes_ == stride_of(argument_count);
    }
    Task &task(int64_t number) { return slot(static_cast<uint32_t>(number & mask_)); }
    const Task &task(int64_t number) const { return const_cast<BasicWindow *>(this)->task(number); }
    Task &submitter() { return slot(static_cast<uint32_t>(capacity())); }
    int waiter_number(const Task &waiter) const {
        return static_cast<int>(waiter.index - capacity()) - 1;
    }

    static bool ended(const Task &task) {
        return task.successors.load(std::memory_order_acquire) == closed;
    }
    /// True while nothing waits for a task that has not ended; acquires the effects of one that
    /// has.
    static bool is_last(const Task &task) {
        return task.successors.load(std::memory_order_acquire) == list_end;
    }

    /// Makes the slot of task `number` ready for it, with no links. Submitter only, as the next
    /// ones.
    Task &open(int64_t number) {
        fetch(static_cast<uint32_t>((number + fetch_distance) & mask_));
        return open_slot(static_cast<uint32_t>(number & mask_));
    }
    Task &open_submitter() { return open_other(capacity()); }
    Task &open_waiter(int number) { return open_other(capacity() + 1 + number); }
    /// Makes `after` wait for `before`, unless that has ended. `links` counts the links of `after`.
    /// `needs`: when `before` is lost, `after` is too.
    void link(Task &before, Task &after, uint32_t &links, bool needs = false) {
        uint32_t head = before.successors.load(std::memory_order_acquire);
        if (head == closed) {
            return;
        }
        uint32_t id = 0;
        uint32_t &next = new_link(after, links, id);
        id |= needs ? needs_bit : 0;
        do {
            if (head == closed) {
                // An extra link taken for nothing stays with its task until the slot's next use.
                return;
            }
            next = head;
        } while (!before.successors.compare_exchange_weak(head, id, std::memory_order_release,
                                                          std::memory_order_acquire));
        links++;
    }
    /// The same when no other thread can reach `before` yet.
    void link_private(Task &before, Task &after, uint32_t &links, bool needs = false) {
        uint32_t id = 0;
        new_link(after, links, id) = before.successors.load(std::memory_order_relaxed);
        before.successors.store(id | (needs ? needs_bit : 0), std::memory_order_relaxed);
        links++;
    }
    /// Gives up the submitter's share of a task that no other thread can reach yet.
    static void release_private(Task &task, uint32_t links) {
        task.pending.store(static_cast<int32_t>(links), std::memory_order_relaxed);
    }
    /// Gives up the submitter's share; true when `task` waits for nothing any more.
    static bool release(Task &task, uint32_t links) {
        auto share = static_cast<int32_t>(links) - submitter_share;
        return links == 0 || task.pending.fetch_add(share, std::memory_order_acq_rel) + share == 0;
    }

    /// Ends `task` and calls `ready(after)` for each task that thereby waits for nothing. With
    /// `is_lost`, tasks that need the result of this one are lost too.
    template <bool is_lost = false, typename Ready> void close(Task &task, Ready &&ready) {
        if constexpr (is_lost) {
            task.lost.store(true, std::memory_order_relaxed);
        }
        uint32_t id = task.successors.exchange(closed, std::memory_order_acq_rel);
        while (id != list_end) {
            Link link = follow(id);
            if (is_lost && (id & needs_bit) != 0) {
                link.after->lost.store(true, std::memory_order_relaxed);
            }
            id = link.next;
            auto &pending = link.after->pending;
            if (pending.load(std::memory_order_acquire) == 1 ||
                pending.fetch_sub(1, std::memory_order_acq_rel) == 1) {
                ready(*link.after);
            }
        }
    }

private:
    static constexpr uint32_t closed = 0;
    static constexpr uint32_t list_end = 1;
    static constexpr uint32_t first_link = 2;
    static constexpr uint32_t extra_bit = uint32_t(1) << 31;
    static constexpr uint32_t needs_bit = uint32_t(1) << 30;
    static constexpr uint32_t links_per_slot_log2 = 3;
    static constexpr int32_t submitter_share = int32_t(1) << 30;
    static constexpr uint32_t first_chunk_log2 = 10;
    static constexpr int64_t fetch_distance = 8;

    /// A link of a task that has more than Task::link_count.
    struct ExtraLink {
        uint32_t next;
        uint32_t slot;
        uint32_t sibling;  ///< next extra link of the same task, or next free one
    };
    struct Link {
        Task *after;
        uint32_t next;
    };
    size_t memory_slots() const { return static_cast<size_t>(capacity() + 1 + waiter_count_); }
    Task &slot(uint32_t index) {
        return *reinterpret_cast<Task *>(memory_.data() + size_t(index) * stride_bytes_);
    }
    ExtraLink &extra(uint32_t number) {
        uint32_t chunk =
            static_cast<uint32_t>(std::bit_width((number >> first_chunk_log2) + 1)) - 1;
        uint32_t first = ((uint32_t(1) << chunk) - 1) << first_chunk_log2;
        return extra_[chunk][number - first];
    }
    /// Where link number `links` of `after` keeps what follows it; `id` becomes its name.
    uint32_t &new_link(Task &after, uint32_t links, uint32_t &id) {
        if (links < Task::link_count) {
            id = first_link + (after.index << links_per_slot_log2) + links;
            return after.links[links];
        }
        uint32_t number = take_extra(after);
        id = number | extra_bit;
        return extra(number).next;
    }
    /// Slots are used in order, and the cores that used this one last may be others.
    void fetch(uint32_t index) {
        char *address = memory_.data() + size_t(index) * stride_bytes_;
        __builtin_prefetch(address, 1);
        __builtin_prefetch(address + sizeof(Task), 1);
    }
    Task &open_slot(uint32_t index) {
        Task &task = slot(index);
        if (task.extra_links != 0) {
            free_extra(task);
        }
        task.index = index;
        task.pending.store(submitter_share, std::memory_order_relaxed);
        task.successors.store(list_end, std::memory_order_relaxed);
        return task;
    }
    Task &open_other(int64_t index) {
        Task &task = open_slot(static_cast<uint32_t>(index));
        task.worker = Task::no_worker;
        return task;
    }
    Link follow(uint32_t id) {
        id &= ~needs_bit;
        if ((id & extra_bit) != 0) {
            ExtraLink &link = extra(id & ~extra_bit);
            return {&slot(link.slot), link.next};
        }
        uint32_t place = id - first_link;
        Task &after = slot(place >> links_per_slot_log2);
        return {&after, after.links[place & ((1U << links_per_slot_log2) - 1)]};
    }
    static int64_t capacity_of(int64_t size) {
        return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)));
    }
    static size_t stride_of(int argument_count) {
        size_t arguments = static_cast<size_t>(argument_count) * sizeof(int64_t);
        return sizeof(Task) + (arguments + sizeof(Task) - 1) / sizeof(Task) * sizeof(Task);
    }
    void free_extra(Task &task) {
        while (task.extra_links != 0) {
            uint32_t number = task.extra_links;
            task.extra_links = extra(number).sibling;
            extra(number).sibling = free_extra_;
            free_extra_ = number;
        }
    }
    uint32_t take_extra(Task &after) {
        uint32_t number = free_extra_;
        if (number != 0) {
            free_extra_ = extra(number).sibling;
        } else {
            number = extra_count_;
            auto chunk = static_cast<size_t>(std::bit_width((number >> first_chunk_log2) + 1)) - 1;
            if (chunk >= extra_.size()) {
                throw std::bad_alloc();
            }
            if (extra_[chunk] == nullptr) {
                extra_[chunk] =
                    std::make_unique<ExtraLink[]>(size_t(1) << (first_chunk_log2 + chunk));
            }
            extra_count_++;
        }
        extra(number).slot = after.index;
        extra(number).sibling = after.extra_links;
        after.extra_links = number;
        return number;
    }

    int64_t mask_;
    int waiter_count_;
    size_t stride_bytes_;
    Zeroed memory_;
    /// Chunks of doubling size, so that links stay where they are. Number 0 is never used.
    std::array<std::unique_ptr<ExtraLink[]>, 20> extra_;
    uint32_t extra_count_ = 1;
    uint32_t free_extra_ = 0;
};

using Window = BasicWindow<StdAtomics>;

}  // namespace pto::wsp::runtime
