#include "pto/wsp/core/tensor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

constexpr size_t alignment_bytes = 64;

int64_t multiply(int64_t a, int64_t b, const char *what, const Shape &shape) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) {
        throw CompileError({}, std::string(what) + " of shape " + shape_text(shape) +
                                   " does not fit 64 bits");
    }
    return product;
}

char *element(const TensorView &view, int64_t i) {
    return static_cast<char *>(view.data) + i * view.strides[0] * size_bytes(view.dtype);
}

}  // namespace

std::string shape_text(const Shape &shape) {
    std::vector<std::string> parts;
    for (int64_t extent : shape) {
        parts.push_back(std::to_string(extent));
    }
    return "[" + join(parts) + "]";
}

int64_t element_count(const Shape &shape) {
    auto negative = std::find_if(shape.begin(), shape.end(), [](int64_t n) { return n < 0; });
    if (negative != shape.end()) {
        throw CompileError({}, "negative extent in shape " + shape_text(shape));
    }
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
        return 0;
    }
    int64_t count = 1;
    for (int64_t extent : shape) {
        count = multiply(count, extent, "the number of elements", shape);
    }
    return count;
}

Shape contiguous_strides(const Shape &shape) {
    Shape strides(shape.size());
    int64_t stride = 1;
    for (size_t dim = shape.size(); dim-- > 0;) {
        strides[dim] = stride;
        if (dim > 0) {
            stride = multiply(stride, std::max<int64_t>(shape[dim], 1), "a stride", shape);
        }
    }
    return strides;
}

bool TensorView::is_contiguous() const {
    if (element_count(shape) == 0) {
        return true;
    }
    int64_t expected = 1;
    for (size_t dim = shape.size(); dim-- > 0;) {
        if (shape[dim] != 1 && strides[dim] != expected) {
            return false;
        }
        expected *= shape[dim];
    }
    return true;
}

std::pair<int64_t, int64_t> TensorView::byte_extent() const {
    if (element_count(shape) == 0) {
        return {0, 0};
    }
    int64_t lowest = 0;
    int64_t highest = 1;
    bool overflow = false;
    for (size_t dim = 0; dim < shape.size(); ++dim) {
        int64_t reach = 0;
        overflow |= __builtin_mul_overflow(shape[dim] - 1, strides[dim], &reach);
        int64_t &end = reach < 0 ? lowest : highest;
        overflow |= __builtin_add_overflow(end, reach, &end);
    }
    overflow |= __builtin_mul_overflow(lowest, size_bytes(dtype), &lowest);
    overflow |= __builtin_mul_overflow(highest, size_bytes(dtype), &highest);
    if (overflow) {
        throw CompileError({}, "the bytes of shape " + shape_text(shape) + " with strides " +
                                   shape_text(strides) + " span more than 64 bits");
    }
    return {lowest, highest};
}

TensorView TensorView::index(int64_t i, const Loc &at) const {
    if (shape.empty()) {
        throw TypeCheckError(at,
                             "index " + std::to_string(i) + " into a tensor without dimensions");
    }
    if (i < 0 || i >= shape[0]) {
        throw TypeCheckError(at, "index " + std::to_string(i) + " is out of range for extent " +
                                     std::to_string(shape[0]) + " of shape " + shape_text(shape));
    }
    return {element(*this, i), dtype, Shape(shape.begin() + 1, shape.end()),
            Shape(strides.begin() + 1, strides.end()), owner};
}

TensorView TensorView::slice(int64_t begin, int64_t end, const Loc &at) const {
    std::string range = "[" + std::to_string(begin) + ", " + std::to_string(end) + ")";
    if (shape.empty()) {
        throw TypeCheckError(at, "slice " + range + " of a tensor without dimensions");
    }
    if (begin < 0 || end < begin || end > shape[0]) {
        throw TypeCheckError(at, "slice " + range + " is out of range for extent " +
                                     std::to_string(shape[0]) + " of shape " + shape_text(shape));
    }
    TensorView part = *this;
    // An empty part has no element to point at; its address stays that of the whole.
    part.data = begin == end ? data : element(*this, begin);
    part.shape[0] = end - begin;
    return part;
}

namespace {

template <class Integer> std::optional<int64_t> as_int64(const void *element) {
    Integer value = 0;
    std::memcpy(&value, element, sizeof(value));
    if constexpr (std::is_same_v<Integer, uint64_t>) {
        if (value > static_cast<uint64_t>(INT64_MAX)) {
            return std::nullopt;
        }
    }
    return static_cast<int64_t>(value);
}

}  // namespace

std::optional<int64_t> integer_at(const void *element, DType dtype) {
    switch (dtype) {
    case DType::I8:
        return as_int64<int8_t>(element);
    case DType::I16:
        return as_int64<int16_t>(element);
    case DType::I32:
        return as_int64<int32_t>(element);
    case DType::I64:
        return as_int64<int64_t>(element);
    case DType::U8:
        return as_int64<uint8_t>(element);
    case DType::U16:
        return as_int64<uint16_t>(element);
    case DType::U32:
        return as_int64<uint32_t>(element);
    case DType::U64:
        return as_int64<uint64_t>(element);
    default:
        return std::nullopt;
    }
}

TensorView allocate_tensor(const Shape &shape, DType dtype) {
    if (dtype == DType::Mask) {
        throw CompileError({}, "a mask cannot be stored");
    }
    int64_t bytes = multiply(element_count(shape), size_bytes(dtype), "the bytes", shape);
    size_t rounded = (std::max<size_t>(static_cast<size_t>(bytes), 1) + alignment_bytes - 1) /
                     alignment_bytes * alignment_bytes;
    void *memory = std::aligned_alloc(alignment_bytes, rounded);
    if (memory == nullptr) {
        throw ExecutionError({}, "no memory for " + std::to_string(bytes) + " bytes of shape " +
                                     shape_text(shape));
    }
    std::memset(memory, 0, rounded);
    return {memory, dtype, shape, contiguous_strides(shape),
            std::shared_ptr<void>(memory, [](void *p) { std::free(p); })};
}

}  // namespace pto::wsp
