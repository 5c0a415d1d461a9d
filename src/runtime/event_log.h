#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <vector>

namespace pto::wsp::runtime {

/// Memory that several logs may take together.
class LogMemory {
public:
    explicit LogMemory(size_t most_bytes) : left_(static_cast<int64_t>(most_bytes)) {}

    bool take(size_t bytes) {
        const auto amount = static_cast<int64_t>(bytes);
        if (left_.fetch_sub(amount, std::memory_order_relaxed) >= amount) {
            return true;
        }
        left_.fetch_add(amount, std::memory_order_relaxed);
        return false;
    }

private:
    std::atomic<int64_t> left_;
};

/// Events in the order in which one thread at a time added them. They never move, so that adding
/// one costs a store, and now and then a block. What does not fit is counted.
template <typename Event> class EventLog {
public:
    explicit EventLog(LogMemory &memory) : memory_(&memory) {}

    void add(const Event &event) {
        if (next_ == end_ && !grow()) {
            dropped_++;
            return;
        }
        *next_++ = event;
    }

    int64_t dropped() const { return dropped_; }
    size_t size() const {
        return blocks_.empty() ? 0 : blocks_.size() * per_block - static_cast<size_t>(end_ - next_);
    }

    template <typename Visit> void for_each(Visit &&visit) const {
        size_t left = size();
        for (const std::unique_ptr<Event[]> &block : blocks_) {
            for (size_t i = 0; i < per_block && left > 0; i++, left--) {
                visit(block[i]);
            }
        }
    }

private:
    static constexpr size_t block_bytes = size_t(64) << 10;
    static constexpr size_t per_block = block_bytes / sizeof(Event);

    bool grow() {
        if (!memory_->take(block_bytes)) {
            return false;
        }
        std::unique_ptr<Event[]> block(new (std::nothrow) Event[per_block]);
        if (block == nullptr) {
            return false;
        }
        try {
            blocks_.push_back(std::move(block));
        } catch (const std::bad_alloc &) {
            return false;
        }
        next_ = blocks_.back().get();
        end_ = next_ + per_block;
        return true;
    }

    LogMemory *memory_;
    Event *next_ = nullptr;
    Event *end_ = nullptr;
    int64_t dropped_ = 0;
    std::vector<std::unique_ptr<Event[]>> blocks_;
};

}  // namespace pto::wsp::runtime
