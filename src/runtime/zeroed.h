#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>

namespace pto::wsp::runtime {

/// Memory of zeros, aligned to a page. The system supplies pages as they are touched. For types of
/// which all zeros is a valid value and which need no destructor.
class Zeroed {
public:
    /// `count` elements of `size` bytes; std::bad_alloc when there is not enough memory.
    Zeroed(size_t count, size_t size) {
        // One more byte, because nothing cannot be mapped.
        if (__builtin_mul_overflow(count, size, &bytes_) || ++bytes_ == 0) {
            throw std::bad_alloc();
        }
        data_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data_ == MAP_FAILED) {
            throw std::bad_alloc();
        }
    }
    ~Zeroed() { munmap(data_, bytes_); }
    Zeroed(const Zeroed &) = delete;
    Zeroed &operator=(const Zeroed &) = delete;

    char *data() const { return static_cast<char *>(data_); }

private:
    size_t bytes_ = 0;
    void *data_ = nullptr;
};

}  // namespace pto::wsp::runtime
