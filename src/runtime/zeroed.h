#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace pto::wsp::runtime {

/// Memory of zeros, 64-byte aligned. Large sizes come from the system page by page as they are
/// touched. For types of which all zeros is a valid value and which need no destructor.
class Zeroed {
public:
    /// std::bad_alloc when there is not enough.
    explicit Zeroed(size_t bytes) : memory_(std::calloc(bytes + alignment, 1)) {
        if (memory_ == nullptr) {
            throw std::bad_alloc();
        }
        auto address = reinterpret_cast<uintptr_t>(memory_.get());
        size_t skip = (alignment - address % alignment) % alignment;
        data_ = static_cast<char *>(memory_.get()) + skip;
    }

    char *data() const { return data_; }

private:
    static constexpr size_t alignment = 64;
    struct Free {
        void operator()(void *memory) const { std::free(memory); }
    };

    std::unique_ptr<void, Free> memory_;
    char *data_;
};

}  // namespace pto::wsp::runtime
