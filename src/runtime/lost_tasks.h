#pragma once

#include <array>
#include <cstdint>
#include <unordered_map>

namespace pto::wsp::runtime {

/// Numbers of tasks that are lost and have left the window. A bit for each task, and none where no
/// task is lost.
class LostTasks {
public:
    /// std::bad_alloc when there is no memory.
    void add(int64_t number) {
        uint64_t &word = bits_[number / chunk_bits][word_of(number)];
        word |= uint64_t(1) << (number % word_bits);
    }

    bool contains(int64_t number) const {
        auto found = bits_.find(number / chunk_bits);
        return found != bits_.end() &&
               (found->second[word_of(number)] >> (number % word_bits) & 1) != 0;
    }

private:
    static constexpr int64_t word_bits = 64;
    static constexpr int64_t chunk_bits = 4096;
    using Chunk = std::array<uint64_t, chunk_bits / word_bits>;

    static size_t word_of(int64_t number) {
        return static_cast<size_t>(number % chunk_bits / word_bits);
    }

    std::unordered_map<int64_t, Chunk> bits_;
};

}  // namespace pto::wsp::runtime
