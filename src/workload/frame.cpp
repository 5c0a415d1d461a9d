#include "workload/frame.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <optional>
#include <set>

#include "workload/storage.h"

namespace pto::wsp::workload {

namespace {

bool same(const TensorView &a, const TensorView &b) {
    return a.data == b.data && a.dtype == b.dtype && a.shape == b.shape && a.strides == b.strides;
}

/// Strides of all dimensions with more than one place, and 1, largest first; nothing when one is
/// not positive or does not divide the next larger.
std::optional<std::vector<int64_t>>
divisible_strides(const std::vector<const TensorView *> &views) {
    std::set<int64_t, std::greater<>> strides{1};
    for (const TensorView *view : views) {
        for (size_t d = 0; d < view->shape.size(); ++d) {
            if (view->shape[d] > 1) {
                strides.insert(view->strides[d]);
            }
        }
    }
    std::vector<int64_t> result(strides.begin(), strides.end());
    if (result.back() <= 0) {
        return std::nullopt;
    }
    for (size_t i = 1; i < result.size(); ++i) {
        if (result[i - 1] % result[i] != 0) {
            return std::nullopt;
        }
    }
    return result;
}

/// Where `view` lies, `offset` elements behind the first of all, in digits of `strides`. Nothing
/// when it crosses a stride or two of its dimensions have the same one.
std::optional<Frame::Placement> place(const TensorView &view, int64_t offset,
                                      const std::vector<int64_t> &strides) {
    Frame::Placement result;
    std::vector<int64_t> extents(strides.size(), 1);
    for (size_t d = 0; d < view.shape.size(); ++d) {
        int dim = -1;
        if (view.shape[d] > 1) {
            dim = static_cast<int>(std::ranges::find(strides, view.strides[d]) - strides.begin());
            int64_t &extent = extents[static_cast<size_t>(dim)];
            if (extent > 1) {
                return std::nullopt;
            }
            extent = view.shape[d];
        }
        result.dims.push_back(dim);
    }
    for (size_t k = 0; k < strides.size(); ++k) {
        const int64_t digit = offset / strides[k];
        offset %= strides[k];
        if (k > 0 && digit + extents[k] > strides[k - 1] / strides[k]) {
            return std::nullopt;
        }
        result.origin.push_back(digit);
    }
    return result;
}

Frame own_frame(const std::vector<const TensorView *> &views) {
    Frame frame;
    frame.exact = is_injective(*views.front());
    frame.rank = views.front()->rank();
    Frame::Placement placement;
    placement.dims.resize(static_cast<size_t>(frame.rank));
    std::iota(placement.dims.begin(), placement.dims.end(), 0);
    placement.origin.assign(placement.dims.size(), 0);
    frame.placements.assign(views.size(), placement);
    return frame;
}

}  // namespace

Frame frame_of(const std::vector<const TensorView *> &views) {
    const TensorView &first = *views.front();
    if (std::ranges::all_of(views, [&](const TensorView *view) { return same(*view, first); })) {
        return own_frame(views);
    }
    Frame frame;
    const auto strides = divisible_strides(views);
    const bool one_dtype = std::ranges::all_of(
        views, [&](const TensorView *view) { return view->dtype == first.dtype; });
    if (!strides || !one_dtype) {
        return frame;
    }
    // With positive strides the first element of a view is its lowest.
    const auto address = [](const TensorView *view) {
        return static_cast<const char *>(view->data);
    };
    const char *lowest = address(std::ranges::min(views, {}, address));
    for (const TensorView *view : views) {
        const int64_t bytes = address(view) - lowest;
        const auto placement = bytes % size_bytes(first.dtype) == 0
                                   ? place(*view, bytes / size_bytes(first.dtype), *strides)
                                   : std::nullopt;
        if (!placement) {
            return Frame{};
        }
        frame.placements.push_back(*placement);
    }
    frame.exact = true;
    frame.rank = static_cast<int>(strides->size());
    return frame;
}

}  // namespace pto::wsp::workload
