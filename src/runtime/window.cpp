#include "runtime/window.h"

#include <new>

namespace pto::wsp::runtime {

namespace {

int64_t capacity_of(int64_t size) {
    return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size)));
}

size_t stride_of(int argument_count) {
    size_t arguments = static_cast<size_t>(argument_count) * sizeof(int64_t);
    return sizeof(Task) + (arguments + sizeof(Task) - 1) / sizeof(Task) * sizeof(Task);
}

}  // namespace

Window::Window(int64_t size, int argument_count, int waiter_count)
    : mask_(capacity_of(size) - 1), waiter_count_(waiter_count),
      stride_bytes_(stride_of(argument_count)), memory_(memory_slots(), stride_bytes_) {}

bool Window::fits(int64_t size, int argument_count, int waiter_count) const {
    return capacity() == capacity_of(size) && waiter_count_ >= waiter_count &&
           stride_bytes_ == stride_of(argument_count);
}

void Window::free_extra(Task &task) {
    while (task.extra_links != 0) {
        uint32_t number = task.extra_links;
        task.extra_links = extra(number).sibling;
        extra(number).sibling = free_extra_;
        free_extra_ = number;
    }
}

uint32_t Window::take_extra(Task &after) {
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
            extra_[chunk] = std::make_unique<ExtraLink[]>(size_t(1) << (first_chunk_log2 + chunk));
        }
        extra_count_++;
    }
    extra(number).slot = after.index;
    extra(number).sibling = after.extra_links;
    after.extra_links = number;
    return number;
}

}  // namespace pto::wsp::runtime
