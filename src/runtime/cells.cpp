#include "runtime/cells.h"

#include <limits>
#include <new>

namespace pto::wsp::runtime {

void Cells::add_reader(Cell &cell, int64_t number, int64_t ended) {
    auto chunk = [&](int32_t index) -> Chunk & { return chunks_[static_cast<size_t>(index)]; };
    if (cell.more == 0) {
        cell.more = take_chunk();
        chunk(cell.more).next = cell.more;
    }
    // The oldest readers end first, so this drops about as many as are added.
    int32_t oldest = chunk(cell.more).next;
    while (oldest != cell.more && chunk(oldest).numbers[chunk(oldest).count - 1] <= ended) {
        chunk(cell.more).next = chunk(oldest).next;
        chunk(oldest).next = free_;
        free_ = oldest;
        oldest = chunk(cell.more).next;
    }
    Chunk *newest = &chunk(cell.more);
    if (newest->count > 0 && newest->numbers[static_cast<size_t>(newest->count) - 1] == number) {
        return;
    }
    if (newest->count == static_cast<int32_t>(newest->numbers.size())) {
        int32_t added = take_chunk();
        newest = &chunk(added);
        newest->next = chunk(cell.more).next;
        chunk(cell.more).next = added;
        cell.more = added;
    }
    newest->numbers[static_cast<size_t>(newest->count++)] = number;
}

int32_t Cells::take_chunk() {
    int32_t taken = free_;
    if (taken != 0) {
        free_ = chunks_[static_cast<size_t>(taken)].next;
    } else {
        if (chunks_.size() >= static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
            throw std::bad_alloc();
        }
        taken = static_cast<int32_t>(chunks_.size());
        chunks_.emplace_back();
    }
    chunks_[static_cast<size_t>(taken)].count = 0;
    return taken;
}

void Cells::free_ring(Cell &cell) {
    Chunk &newest = chunks_[static_cast<size_t>(cell.more)];
    int32_t oldest = newest.next;
    newest.next = free_;
    free_ = oldest;
    cell.more = 0;
}

}  // namespace pto::wsp::runtime
