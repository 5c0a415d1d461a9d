#include "runtime/window.h"

#include <new>

namespace pto::wsp::runtime {

namespace {

size_t stride_of(int argument_count) {
    size_t arguments = static_cast<size_t>(argument_count) * sizeof(int64_t);
    return sizeof(Task) + (arguments + sizeof(Task) - 1) / sizeof(Task) * sizeof(Task);
}

}  // namespace

Window::Window(int64_t size, int argument_count)
    : mask_(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(size))) - 1),
      stride_bytes_(stride_of(argument_count)),
      memory_(static_cast<size_t>(capacity() + 1) * stride_bytes_) {}

void Window::open(Task &task) {
    auto offset = reinterpret_cast<char *>(&task) - memory_.data();
    task.index = static_cast<uint32_t>(static_cast<size_t>(offset) / stride_bytes_);
    while (task.extra_links != 0) {
        uint32_t number = task.extra_links;
        task.extra_links = extra(number).sibling;
        extra(number).sibling = free_extra_;
        free_extra_ = number;
    }
    task.mark = 0;
    task.pending.store(submitter_share, std::memory_order_relaxed);
    task.successors.store(list_end, std::memory_order_relaxed);
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

void Window::link(Task &before, Task &after, uint32_t &links) {
    uint32_t head = before.successors.load(std::memory_order_acquire);
    if (head == closed) {
        return;
    }
    uint32_t id = 0;
    uint32_t *next = nullptr;
    if (links < Task::link_count) {
        id = first_link + (after.index << links_per_slot_log2) + links;
        next = &after.links[links];
    } else {
        uint32_t number = take_extra(after);
        id = number | extra_bit;
        next = &extra(number).next;
    }
    do {
        if (head == closed) {
            // An extra link taken for nothing stays with its task until the slot is used again.
            return;
        }
        *next = head;
    } while (!before.successors.compare_exchange_weak(head, id, std::memory_order_release,
                                                      std::memory_order_acquire));
    links++;
}

}  // namespace pto::wsp::runtime
