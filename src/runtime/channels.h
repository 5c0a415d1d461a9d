#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "pto/wsp/runtime/executor.h"

namespace pto::wsp::runtime {

/// A token in a channel.
struct Token {
    int64_t number;
    int64_t order;  ///< among all tokens sent in the run
    int64_t task;   ///< that makes what it carries; 0: none
};

/// A channel while a run lasts, used by the expander alone. It knows tokens and slots, not tasks:
/// those who call it say when a body is over or has ended.
///
/// A channel with one receiver that is never tried needs no more than counts: its slots go around
/// with the numbers, and what a slot's next token must wait for in earnest is left to the cells.
/// Else the channel is *watched*: a slot is used again when all tasks of the body that used it have
/// ended, whichever that is first.
class Channel {
public:
    Channel(const ChannelSpec &spec, std::vector<int> senders, std::vector<int> receivers);

    static bool is_watched(const ChannelSpec &spec, size_t receivers) {
        return receivers > 1 || spec.tried;
    }
    static int64_t slots_of(const ChannelSpec &spec) {
        return spec.slots == 0 ? spec.depth + 1 : spec.slots;
    }

    const ChannelSpec &spec() const { return *spec_; }
    const std::vector<int> &senders() const { return senders_; }
    const std::vector<int> &receivers() const { return receivers_; }
    bool watched() const { return watched_; }
    bool shared() const { return receivers_.size() > 1; }

    bool closed() const { return closed_; }
    void close() { closed_ = true; }
    /// One of the senders has ended; true when that was the last.
    bool sender_ended() { return --open_senders_ == 0; }

    int64_t size() const { return sent_ - taken_; }
    bool full() const { return size() >= (spec_->depth > 0 ? spec_->depth : 1); }
    bool has_room() const {
        return !full() && (watched_ ? free_slots_ > 0 : sent_ - slots_ < over_);
    }
    /// Has room.
    int64_t next_number() const { return watched_ ? free_number() : last_sent_ + 1; }
    /// Has room. Returns the number. std::bad_alloc.
    int64_t put(int64_t order, int64_t task, const int64_t *values) {
        if (size() > mask_) {
            grow();
        }
        const int64_t number = watched_ ? claim_slot() : last_sent_ + 1;
        tokens_[static_cast<size_t>(sent_ & mask_)] = {number, order, task};
        int64_t *to = values_.data() + (sent_ & mask_) * spec_->value_count;
        for (int i = 0; i < spec_->value_count; i++) {
            to[i] = values[i];
        }
        last_sent_ = number;
        sent_++;
        count(1);
        return number;
    }
    /// Not empty, as for `values` and `take`.
    const Token &front() const { return tokens_[static_cast<size_t>(taken_ & mask_)]; }
    std::span<const int64_t> values() const {
        return {values_.data() + (taken_ & mask_) * spec_->value_count,
                static_cast<size_t>(spec_->value_count)};
    }
    /// Its body begins. Returns the token's slot when watched.
    int64_t take() {
        last_taken_ = front().number;
        taken_++;
        count(-1);
        return watched_ ? last_taken_ % slots_ : 0;
    }
    /// The run ends: what is still in it is gone.
    void leave() { count(-size()); }
    /// Whether token `number`, which has been sent, has been taken.
    bool has_taken(int64_t number) const { return number <= last_taken_; }
    /// All tasks of the body of the token taken last have been submitted; not watched.
    void body_over() { over_ = taken_; }
    /// All tasks of the body that used the slot have ended; watched.
    void body_ended(int64_t slot) {
        in_use_[static_cast<size_t>(slot)] = false;
        free_slots_++;
    }

private:
    void count(int64_t tokens) const {
        if (spec_->size != nullptr) {
            spec_->size->fetch_add(tokens, std::memory_order_relaxed);
        }
    }
    void grow();
    int64_t free_number() const;
    int64_t claim_slot();

    const ChannelSpec *spec_;
    std::vector<int> senders_;
    std::vector<int> receivers_;
    bool watched_;
    bool closed_ = false;
    size_t open_senders_;
    int64_t slots_;

    int64_t sent_ = 0;
    int64_t taken_ = 0;
    int64_t last_sent_ = -1;  ///< numbers
    int64_t last_taken_ = -1;
    int64_t mask_ = -1;  ///< of the ring that holds the tokens [taken_, sent_)
    std::vector<Token> tokens_;
    std::vector<int64_t> values_;

    int64_t over_ = 0;          ///< bodies that are over; not watched
    int64_t free_slots_ = 0;    ///< watched, as the next
    std::vector<bool> in_use_;  ///< each slot, from the send on
};

}  // namespace pto::wsp::runtime
