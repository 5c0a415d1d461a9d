#include "library_result.h"

#include <cstring>

#include <fmt/format.h>

#include "kernel_code.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::kernels {

namespace {

/// Calls `visit(offset of a, offset of b)`, in elements, for each place of `shape`.
template <class Visit>
void for_each_place(const Shape &shape, const Shape &a, const Shape &b, const Visit &visit,
                    size_t dim = 0, int64_t a_offset = 0, int64_t b_offset = 0) {
    if (dim == shape.size()) {
        visit(a_offset, b_offset);
        return;
    }
    for (int64_t i = 0; i < shape[dim]; ++i) {
        for_each_place(shape, a, b, visit, dim + 1, a_offset + i * a[dim], b_offset + i * b[dim]);
    }
}

void copy(const TensorView &to, const TensorView &from) {
    const auto bytes = static_cast<size_t>(size_bytes(to.dtype));
    if (to.is_contiguous() && from.is_contiguous()) {
        std::memcpy(to.data, from.data, static_cast<size_t>(to.nbytes()));
        return;
    }
    const auto size = static_cast<int64_t>(bytes);
    for_each_place(to.shape, to.strides, from.strides, [&](int64_t t, int64_t f) {
        std::memcpy(static_cast<char *>(to.data) + t * size,
                    static_cast<const char *>(from.data) + f * size, bytes);
    });
}

bool has_repeated_places(const TensorView &view) {
    for (size_t dim = 0; dim < view.shape.size(); ++dim) {
        if (view.shape[dim] > 1 && view.strides[dim] == 0) {
            return element_count(view.shape) > 0;
        }
    }
    return false;
}

}  // namespace

ResultMemory::ResultMemory(const char *kernel, const Destination &destination, const Shape &shape,
                           DType dtype, const Loc &at) {
    if (const auto *allocate = std::get_if<Destination::Allocate>(&destination.out)) {
        out_ = (*allocate)(shape, dtype);
    } else if (const auto *view = std::get_if<TensorView>(&destination.out)) {
        out_ = *view;
    } else {
        out_ = allocate_tensor(shape, dtype);
    }
    if (out_.shape != shape) {
        throw TypeCheckError(at, fmt::format("{}: 'out' is {}, expected {}", kernel,
                                             shape_text(out_.shape), shape_text(shape)));
    }
    if (out_.dtype != dtype) {
        throw TypeCheckError(at, fmt::format("{}: 'out' is {}, expected {}", kernel,
                                             info(out_.dtype).user_name, info(dtype).user_name));
    }
    if (has_repeated_places(out_)) {
        throw TypeCheckError(at,
                             fmt::format("{}: 'out' has a stride of 0, so that places of it are "
                                         "one element",
                                         kernel),
                             {}, "write to an array of its own");
    }
}

bool ResultMemory::is(const TensorView &input) const {
    const TensorView &out = view();
    return input.data == out.data && input.dtype == out.dtype && input.shape == out.shape &&
           input.strides == out.strides;
}

void ResultMemory::keep_off(const TensorView &input, bool may_be_same) {
    const bool overlaps = !beside_ && may_overlap(input, out_);
    if (overlaps && !(may_be_same && is(input))) {
        beside_ = allocate_tensor(out_.shape, out_.dtype);
    }
}

TensorView ResultMemory::finish() const {
    if (beside_) {
        copy(out_, *beside_);
    }
    return out_;
}

void fill_with_zeros(const TensorView &view) {
    if (view.is_contiguous()) {
        std::memset(view.data, 0, static_cast<size_t>(view.nbytes()));
        return;
    }
    const auto bytes = static_cast<size_t>(size_bytes(view.dtype));
    for_each_place(view.shape, view.strides, view.strides, [&](int64_t place, int64_t) {
        std::memset(static_cast<char *>(view.data) + place * static_cast<int64_t>(bytes), 0, bytes);
    });
}

TensorView narrowed(TensorView view, size_t dim, int64_t begin, int64_t end) {
    view.data = static_cast<char *>(view.data) + begin * view.strides[dim] * size_bytes(view.dtype);
    view.shape[dim] = end - begin;
    return view;
}

}  // namespace pto::wsp::kernels
