#include "runtime/channels.h"

#include <algorithm>
#include <utility>

namespace pto::wsp::runtime {

Channel::Channel(const ChannelSpec &spec, std::vector<int> senders, std::vector<int> receivers)
    : spec_(&spec), senders_(std::move(senders)), receivers_(std::move(receivers)),
      watched_(is_watched(spec, receivers_.size())), open_senders_(senders_.size()),
      slots_(slots_of(spec)) {
    if (watched_) {
        free_slots_ = slots_;
        in_use_.resize(static_cast<size_t>(slots_));
    }
}

int64_t Channel::free_number() const {
    int64_t number = last_sent_ + 1;
    while (in_use_[static_cast<size_t>(number % slots_)]) {
        number++;
    }
    return number;
}

int64_t Channel::claim_slot() {
    const int64_t number = free_number();
    in_use_[static_cast<size_t>(number % slots_)] = true;
    free_slots_--;
    return number;
}

void Channel::grow() {
    const int64_t capacity = 2 * (mask_ + 1) + (mask_ < 0 ? 2 : 0);
    std::vector<Token> tokens(static_cast<size_t>(capacity));
    std::vector<int64_t> values(static_cast<size_t>(capacity * spec_->value_count));
    for (int64_t i = taken_; i < sent_; i++) {
        tokens[static_cast<size_t>(i & (capacity - 1))] = tokens_[static_cast<size_t>(i & mask_)];
        std::copy_n(values_.data() + (i & mask_) * spec_->value_count, spec_->value_count,
                    values.data() + (i & (capacity - 1)) * spec_->value_count);
    }
    tokens_ = std::move(tokens);
    values_ = std::move(values);
    mask_ = capacity - 1;
}

}  // namespace pto::wsp::runtime
