#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/atomics.h"

namespace pto::wsp::runtime {

/// Work-stealing deque of `T *` (Chase and Lev 2005; memory orders after Lê, Pop, Cohen and Zappa
/// Nardelli 2013, with the fences folded into the operations next to them, which thread sanitizers
/// understand). One thread, the owner, pushes and pops at the bottom; any thread steals at the top.
///
/// Protocol. The items are at the indices [top, bottom) of an endless array, kept in a ring.
/// - `bottom` is written by the owner alone, `top` only ever grows, by a compare-exchange: whoever
///   moves top from i to i + 1 owns item i.
/// - The owner takes the item at bottom - 1 without a compare-exchange when it is not the last one.
///   That is sound because pop stores the lowered bottom *before* it loads top and a thief loads
///   top *before* bottom, all sequentially consistent: of an owner and a thief that want the same
///   item, at least one sees the other and both then go through the compare-exchange.
/// - Every store to bottom releases, so a thief that acquires bottom sees what the items point to.
/// - A thief reads the item before its compare-exchange. If the owner has overwritten the place in
///   the ring by then, top has moved and the compare-exchange fails.
/// - A ring that has become too small is kept until the end, since a thief may still read from it.
template <typename T, typename Atomics = StdAtomics> class Deque {
public:
    explicit Deque(int64_t capacity = 256) {
        rings_.push_back(std::make_unique<Ring>(capacity));
        ring_.store(rings_.back().get(), std::memory_order_relaxed);
    }
    Deque(const Deque &) = delete;
    Deque &operator=(const Deque &) = delete;

    /// Owner only.
    void push(T *item) { push_all({&item, 1}); }

    /// Owner only: pushes the items from the last to the first, so that pop begins with the first.
    void push_all(std::span<T *const> items) {
        int64_t bottom = bottom_.load(std::memory_order_relaxed);
        int64_t top = top_.load(std::memory_order_acquire);
        auto count = static_cast<int64_t>(items.size());
        Ring *ring = ring_.load(std::memory_order_relaxed);
        while (bottom - top + count > ring->capacity()) {
            ring = grow(top, bottom);
        }
        for (int64_t i = 0; i < count; i++) {
            ring->at(bottom + i)
                .store(items[static_cast<size_t>(count - 1 - i)], std::memory_order_relaxed);
        }
        // Sequentially consistent so that the pusher's next look for sleepers comes after it.
        bottom_.store(bottom + count, std::memory_order_seq_cst);
    }

    /// Owner only. The item pushed last, or null.
    T *pop() {
        int64_t bottom = bottom_.load(std::memory_order_relaxed) - 1;
        if (top_.load(std::memory_order_relaxed) > bottom) {
            return nullptr;
        }
        Ring *ring = ring_.load(std::memory_order_relaxed);
        bottom_.store(bottom, std::memory_order_seq_cst);
        int64_t top = top_.load(std::memory_order_seq_cst);
        if (top > bottom) {
            bottom_.store(bottom + 1, std::memory_order_release);
            return nullptr;
        }
        T *item = ring->at(bottom).load(std::memory_order_relaxed);
        if (top == bottom) {
            if (!take(top)) {
                item = nullptr;
            }
            bottom_.store(bottom + 1, std::memory_order_release);
        }
        return item;
    }

    /// Any thread. The item pushed first; null when there is none or another thread took it.
    T *steal() {
        int64_t top = top_.load(std::memory_order_seq_cst);
        int64_t bottom = bottom_.load(std::memory_order_seq_cst);
        if (top >= bottom) {
            return nullptr;
        }
        Ring *ring = ring_.load(std::memory_order_acquire);
        T *item = ring->at(top).load(std::memory_order_relaxed);
        return take(top) ? item : nullptr;
    }

    /// Any thread; exact only while no one else works on the deque.
    bool empty() const {
        int64_t top = top_.load(std::memory_order_seq_cst);
        return top >= bottom_.load(std::memory_order_seq_cst);
    }

private:
    template <typename Value> using Atomic = typename Atomics::template Atomic<Value>;

    class Ring {
    public:
        explicit Ring(int64_t capacity)
            : mask_(capacity - 1), items_(std::make_unique<Atomic<T *>[]>(capacity)) {}
        int64_t capacity() const { return mask_ + 1; }
        Atomic<T *> &at(int64_t index) { return items_[static_cast<size_t>(index & mask_)]; }

    private:
        int64_t mask_;
        std::unique_ptr<Atomic<T *>[]> items_;
    };

    bool take(int64_t top) {
        return top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst,
                                            std::memory_order_relaxed);
    }

    Ring *grow(int64_t top, int64_t bottom) {
        Ring *old = ring_.load(std::memory_order_relaxed);
        rings_.push_back(std::make_unique<Ring>(2 * old->capacity()));
        Ring *ring = rings_.back().get();
        for (int64_t i = top; i < bottom; i++) {
            ring->at(i).store(old->at(i).load(std::memory_order_relaxed),
                              std::memory_order_relaxed);
        }
        ring_.store(ring, std::memory_order_release);
        return ring;
    }

    alignas(64) Atomic<int64_t> top_ = 0;
    alignas(64) Atomic<int64_t> bottom_ = 0;
    Atomic<Ring *> ring_ = nullptr;
    std::vector<std::unique_ptr<Ring>> rings_;  ///< owner only
};

}  // namespace pto::wsp::runtime
