#include "workload/storage.h"

#include <algorithm>
#include <cstdint>
#include <numeric>

#include "workload/range.h"

namespace pto::wsp::workload {

std::vector<int> storage_numbers(const std::vector<TensorPtr> &tensors) {
    struct Extent {
        uint64_t begin = 0;
        uint64_t end = 0;
        size_t tensor = 0;
    };
    std::vector<Extent> extents;
    for (size_t i = 0; i < tensors.size(); ++i) {
        const TensorView &view = tensors[i]->view;
        const auto [low, high] = view.byte_extent();
        if (view.data != nullptr && low != high) {
            const auto data = reinterpret_cast<uint64_t>(view.data);
            extents.push_back(
                {data + static_cast<uint64_t>(low), data + static_cast<uint64_t>(high), i});
        }
    }
    std::ranges::sort(extents, {}, &Extent::begin);
    std::vector<size_t> leader(tensors.size());
    std::iota(leader.begin(), leader.end(), 0);
    uint64_t end = 0;
    size_t first = 0;
    for (const Extent &extent : extents) {
        if (extent.begin >= end) {
            first = extent.tensor;
        }
        leader[extent.tensor] = first;
        end = std::max(end, extent.end);
    }
    std::vector<int> number_of_leader(tensors.size(), -1);
    std::vector<int> result;
    int next = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
        int &number = number_of_leader[leader[i]];
        if (number < 0) {
            number = next++;
        }
        result.push_back(number);
    }
    return result;
}

bool is_injective(const TensorView &view) {
    std::vector<std::pair<Wide, int64_t>> dims;
    for (size_t d = 0; d < view.shape.size(); ++d) {
        if (view.shape[d] == 0) {
            return true;
        }
        if (view.shape[d] > 1) {
            const Wide stride = view.strides[d];
            dims.emplace_back(stride < 0 ? -stride : stride, view.shape[d]);
        }
    }
    std::ranges::sort(dims);
    Wide reach = 0;
    for (const auto &[stride, extent] : dims) {
        if (stride <= reach) {
            return false;
        }
        reach += stride * (extent - 1);
    }
    return true;
}

}  // namespace pto::wsp::workload
