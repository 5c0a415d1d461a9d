#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "runtime/zeroed.h"

namespace pto::wsp::runtime {

/// For each cell the last task that wrote it and the tasks that have read it since, by number from
/// 1 on. Used by one thread at a time. Tasks up to a number `ended`, which the caller passes and
/// which never falls, need not be remembered.
class Cells {
public:
    /// std::bad_alloc when there is no memory.
    explicit Cells(int64_t count)
        : count_(count), memory_(static_cast<size_t>(count), sizeof(Cell)) {}

    int64_t count() const { return count_; }
    size_t bytes() const {
        return static_cast<size_t>(count_) * sizeof(Cell) + chunks_.capacity() * sizeof(Chunk);
    }

    /// The last task that wrote cell `index`; 0: none.
    int64_t writer(int64_t index) { return at(index).writer; }

    /// Task `number` reads cell `index`: calls `after(writer)` for what it must wait for.
    template <typename After>
    void read(int64_t index, int64_t number, int64_t ended, After &&after) {
        Cell &cell = at(index);
        if (cell.writer == number) {
            return;
        }
        after(cell.writer);
        for (int64_t &reader : cell.readers) {
            if (reader == number) {
                return;
            }
            if (reader <= ended) {
                reader = number;
                return;
            }
        }
        add_reader(cell, number, ended);
    }

    /// Task `number` writes cell `index`: calls `after_writer(writer)` and `after(reader)` for each
    /// reader.
    template <typename AfterWriter, typename After>
    void write(int64_t index, int64_t number, AfterWriter &&after_writer, After &&after) {
        Cell &cell = at(index);
        after_writer(cell.writer);
        for (int64_t &reader : cell.readers) {
            after(reader);
            reader = 0;
        }
        if (cell.more != 0) {
            int32_t chunk = cell.more;
            do {
                chunk = chunks_[static_cast<size_t>(chunk)].next;
                const Chunk &readers = chunks_[static_cast<size_t>(chunk)];
                for (int32_t i = 0; i < readers.count; i++) {
                    after(readers.numbers[static_cast<size_t>(i)]);
                }
            } while (chunk != cell.more);
            free_ring(cell);
        }
        cell.writer = number;
    }

private:
    struct Cell {
        int64_t writer;                  ///< 0: none
        std::array<int64_t, 2> readers;  ///< 0: none
        int32_t more;  ///< newest chunk of a ring of chunks of further readers, 0: none
    };
    /// Numbers in ascending order; `next` goes from older to newer chunks and from the newest to
    /// the oldest.
    struct Chunk {
        std::array<int64_t, 7> numbers;
        int32_t count;
        int32_t next;
    };

    Cell &at(int64_t index) { return reinterpret_cast<Cell *>(memory_.data())[index]; }
    void add_reader(Cell &cell, int64_t number, int64_t ended);
    int32_t take_chunk();
    void free_ring(Cell &cell);

    int64_t count_;
    Zeroed memory_;
    std::vector<Chunk> chunks_ = std::vector<Chunk>(1);  ///< number 0 is never used
    int32_t free_ = 0;
};

}  // namespace pto::wsp::runtime
