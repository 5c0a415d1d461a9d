#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "pto/wsp/runtime/executor.h"
#include "runtime/job.h"

namespace pto::wsp::runtime {

/// A static loop over (plane, row, column) in which an iteration runs after those one row above and
/// one column to the left, cut into blocks that run serially, in row-major order. Planes are
/// independent of each other.
///
/// Protocol. A block counts its neighbours above and to the left that have not ended. Whoever takes
/// the count to zero has, through its acquire-release, the effects of both behind it (and through
/// theirs those of all blocks further up and left), and alone queues the block.
class Wavefront {
public:
    struct Block : Job {
        Wavefront *wavefront = nullptr;
        std::atomic<int> waits_for = 0;
    };
    /// What a block covers: rows and columns of one plane, ends excluded.
    struct Part {
        int64_t plane = 0;
        int64_t first_row = 0;
        int64_t last_row = 0;
        int64_t first_column = 0;
        int64_t last_column = 0;
        int64_t size() const { return (last_row - first_row) * (last_column - first_column); }
    };

    /// `number` of the loop, counted over all phases; it is in `phase`.
    Wavefront(Run &run, const StaticLoop &loop, size_t phase, int number, int workers);

    const StaticLoop &loop() const { return loop_; }
    size_t phase() const { return phase_; }
    int number() const { return number_; }

    Part part(const Block &block) const;
    /// The number of an iteration in the loop.
    int64_t iteration(const Part &part, int64_t row, int64_t column) const {
        return (part.plane * rows_ + row) * columns_ + column;
    }
    /// Visits the blocks that nothing stands before.
    template <class Visit> void for_each_first(Visit &&visit) {
        for (size_t i = 0; i < blocks_.size(); i += blocks_of_plane()) {
            visit(blocks_[i]);
        }
    }
    /// Called once for each block, at its end: visits those that may run now, the one on the right
    /// last.
    template <class Visit> void for_each_freed(const Block &block, Visit &&visit) {
        const size_t number = number_of(block);
        const size_t place = number % blocks_of_plane();
        if (place + blocks_across_ < blocks_of_plane()) {
            release(blocks_[number + blocks_across_], visit);
        }
        if (place % blocks_across_ + 1 < blocks_across_) {
            release(blocks_[number + 1], visit);
        }
    }

    /// Iteration (row, column) failed: all that are not above or to the left of it are lost. Called
    /// before the end of its block, so blocks that lose something see it.
    void lose(const Part &part, int64_t row, int64_t column);
    /// The first column of the part that is lost in `row`, else its end.
    int64_t first_lost(const Part &part, int64_t row) const;

private:
    struct Place {
        int64_t plane = 0;
        int64_t row = 0;
        int64_t column = 0;
    };

    size_t number_of(const Block &block) const {
        return static_cast<size_t>(&block - blocks_.data());
    }
    size_t blocks_of_plane() const { return blocks_down_ * blocks_across_; }
    template <class Visit> static void release(Block &block, Visit &&visit) {
        if (block.waits_for.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            visit(block);
        }
    }

    const StaticLoop &loop_;
    size_t phase_;
    int number_;
    int64_t rows_;
    int64_t columns_;
    int64_t block_rows_;
    int64_t block_columns_;
    size_t blocks_down_;
    size_t blocks_across_;
    std::vector<Block> blocks_;  ///< plane by plane, row-major
    mutable std::mutex mutex_;
    std::vector<Place> failed_;
};

}  // namespace pto::wsp::runtime
