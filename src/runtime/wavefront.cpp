#include "runtime/wavefront.h"

#include <algorithm>
#include <cmath>

namespace pto::wsp::runtime {

namespace {

/// With b x b blocks and w workers, about w * w blocks' time is lost while the diagonals are short:
/// w / b of the whole, squared. More blocks along the rows, as rows are what a block runs along.
constexpr int64_t blocks_down_per_worker = 8;
constexpr int64_t blocks_across_per_worker = 4;
constexpr int64_t most_blocks_along = 512;

/// Size of the blocks of which `count` make up `size`, when planes run beside each other.
int64_t block_size(int64_t size, int64_t count, int64_t planes) {
    const auto share = static_cast<int64_t>(std::ceil(
        static_cast<double>(count) / std::sqrt(static_cast<double>(std::max<int64_t>(planes, 1)))));
    const int64_t blocks = std::clamp<int64_t>(share, 1, most_blocks_along);
    return (size + blocks - 1) / blocks;
}

int64_t divided_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

}  // namespace

Wavefront::Wavefront(Run &run, const StaticLoop &loop, size_t phase, int number, int workers)
    : loop_(loop), phase_(phase), number_(number), rows_(loop.wavefront->rows),
      columns_(loop.wavefront->columns) {
    const int64_t planes = loop.iterations / (rows_ * columns_);
    block_rows_ = block_size(rows_, blocks_down_per_worker * workers, planes);
    block_columns_ = block_size(columns_, blocks_across_per_worker * workers, planes);
    blocks_down_ = static_cast<size_t>(divided_up(rows_, block_rows_));
    blocks_across_ = static_cast<size_t>(divided_up(columns_, block_columns_));
    blocks_ = std::vector<Block>(static_cast<size_t>(planes) * blocks_of_plane());
    for (size_t i = 0; i < blocks_.size(); i++) {
        const size_t place = i % blocks_of_plane();
        blocks_[i].run = &run;
        blocks_[i].wavefront = this;
        blocks_[i].waits_for.store((place >= blocks_across_ ? 1 : 0) +
                                       (place % blocks_across_ > 0 ? 1 : 0),
                                   std::memory_order_relaxed);
    }
}

Wavefront::Part Wavefront::part(const Block &block) const {
    const size_t number = number_of(block);
    const size_t place = number % blocks_of_plane();
    Part part;
    part.plane = static_cast<int64_t>(number / blocks_of_plane());
    part.first_row = static_cast<int64_t>(place / blocks_across_) * block_rows_;
    part.last_row = std::min(part.first_row + block_rows_, rows_);
    part.first_column = static_cast<int64_t>(place % blocks_across_) * block_columns_;
    part.last_column = std::min(part.first_column + block_columns_, columns_);
    return part;
}

void Wavefront::lose(const Part &part, int64_t row, int64_t column) {
    std::lock_guard lock(mutex_);
    failed_.push_back({part.plane, row, column});
}

int64_t Wavefront::first_lost(const Part &part, int64_t row) const {
    std::lock_guard lock(mutex_);
    int64_t column = part.last_column;
    for (const Place &place : failed_) {
        if (place.plane == part.plane && place.row <= row) {
            column = std::min(column, std::max(place.column, part.first_column));
        }
    }
    return column;
}

}  // namespace pto::wsp::runtime
