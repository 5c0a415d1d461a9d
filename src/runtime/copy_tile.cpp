#include <cstring>

#include "pto/wsp/core/abi.h"

extern "C" void pto_wsp_copy_tile(void *to, const void *from, int64_t rows, int64_t columns,
                                  int64_t row_stride, int64_t column_stride,
                                  int64_t element_bytes) {
    auto *target = static_cast<char *>(to);
    const auto *source = static_cast<const char *>(from);
    auto size = static_cast<size_t>(element_bytes);
    for (int64_t r = 0; r < rows; ++r) {
        const char *row = source + r * row_stride * element_bytes;
        if (column_stride == 1) {
            std::memcpy(target, row, static_cast<size_t>(columns) * size);
            target += columns * element_bytes;
            continue;
        }
        for (int64_t c = 0; c < columns; ++c, target += element_bytes) {
            std::memcpy(target, row + c * column_stride * element_bytes, size);
        }
    }
}
