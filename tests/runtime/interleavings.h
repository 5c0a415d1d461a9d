#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pto::wsp::runtime::testing {

/// A few threads and what has to hold when they have come to their end or cannot go on.
struct Scenario {
    std::vector<std::function<void()>> threads;
    /// What is wrong, or nothing. `all_ended` is false when some wait for ever.
    std::function<std::string(bool all_ended)> check;
};

struct Exploration {
    int64_t runs = 0;
    std::string failure;         ///< of the first run that went wrong, and its order of threads
    bool stopped_early = false;  ///< before all orders were seen
};

/// Runs the scenario, made anew each time, in every order of the operations of its threads on
/// `SteppedAtomics`, one after another as if memory were sequentially consistent; orders that only
/// swap operations which do not touch the same atomic count as one (sleep sets, Godefroid 1996).
/// With `most_preemptions` only those in which threads that could go on are left that often.
Exploration explore(const std::function<std::shared_ptr<Scenario>()> &make,
                    int64_t most_runs = 2'000'000, int most_preemptions = -1);

/// Whether fibers work here: not under sanitizers that follow stacks.
bool can_explore();

namespace stepping {
/// The calling thread of a scenario stops before an operation on `what`; elsewhere nothing happens.
void before(const void *what, bool writes);
/// It waits until somebody notifies `what`.
void block(const void *what);
void notify(const void *what, bool all);
}  // namespace stepping

/// Atomics for the templates of the runtime that stop before each operation.
struct SteppedAtomics {
    /// All zeros is a valid value, as of std::atomic.
    template <typename Value> class Atomic {
    public:
        Atomic() = default;
        Atomic(Value value) : value_(value) {}
        Atomic(const Atomic &) = delete;
        Atomic &operator=(const Atomic &) = delete;

        Value load(std::memory_order /*order*/ = std::memory_order_seq_cst) const {
            stepping::before(this, false);
            return value_;
        }
        void store(Value value, std::memory_order /*order*/ = std::memory_order_seq_cst) {
            stepping::before(this, true);
            value_ = value;
        }
        Value exchange(Value value, std::memory_order /*order*/ = std::memory_order_seq_cst) {
            stepping::before(this, true);
            const Value old = value_;
            value_ = value;
            return old;
        }
        Value fetch_add(Value value, std::memory_order /*order*/ = std::memory_order_seq_cst) {
            return exchange_by([&] { return static_cast<Value>(value_ + value); });
        }
        Value fetch_sub(Value value, std::memory_order /*order*/ = std::memory_order_seq_cst) {
            return exchange_by([&] { return static_cast<Value>(value_ - value); });
        }
        bool compare_exchange_strong(Value &expected, Value desired,
                                     std::memory_order /*success*/ = std::memory_order_seq_cst,
                                     std::memory_order /*failure*/ = std::memory_order_seq_cst) {
            stepping::before(this, true);
            if (value_ != expected) {
                expected = value_;
                return false;
            }
            value_ = desired;
            return true;
        }
        bool compare_exchange_weak(Value &expected, Value desired,
                                   std::memory_order success = std::memory_order_seq_cst,
                                   std::memory_order failure = std::memory_order_seq_cst) {
            return compare_exchange_strong(expected, desired, success, failure);
        }
        void wait(Value old, std::memory_order /*order*/ = std::memory_order_seq_cst) const {
            stepping::before(this, false);
            while (value_ == old) {
                stepping::block(this);
            }
        }
        void notify_one() {
            stepping::before(this, true);
            stepping::notify(this, false);
        }

    private:
        template <typename Next> Value exchange_by(Next &&next) {
            stepping::before(this, true);
            const Value old = value_;
            value_ = next();
            return old;
        }

        Value value_;
    };
};

}  // namespace pto::wsp::runtime::testing
