#include "row_map.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernel_code.h"
#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::kernels {

namespace {

/// A task shorter than this is not worth handing over.
constexpr double least_task_ns = 20'000;
/// Blocks of rows for each worker, so that none waits long for the last one.
constexpr int64_t blocks_per_worker = 4;

int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

}  // namespace

RowMap::RowMap(const char *kernel, Shape leading, const Loc &at)
    : kernel_(kernel), at_(at), leading_(std::move(leading)) {}

void RowMap::add_rows(const TensorView &view, bool copied) {
    add(view, true, copied);
}

void RowMap::add_tile(const TensorView &view) {
    add(view, false, false);
}

void RowMap::add(const TensorView &view, bool has_rows, bool copied) {
    const TileView tile = tile_view(view);
    Operand operand;
    operand.data = static_cast<char *>(view.data);
    operand.bytes = size_bytes(view.dtype);
    operand.has_rows = has_rows;
    operand.columns = tile.columns;
    operand.column_stride = tile.columns > 1 ? tile.column_stride : 1;
    operand.copied = copied;
    if (!has_rows) {
        operand.rows = tile.rows;
        operand.row_stride = tile.row_stride;
    }
    const size_t own = has_rows ? 1 : 2;
    const size_t given = view.shape.size() > own ? view.shape.size() - own : 0;
    // A tile of its own has no part in the last leading dimension, the rows of the others.
    const size_t taking_part = leading_.size() - (has_rows || leading_.empty() ? 0 : 1);
    operand.strides.assign(leading_.size(), 0);
    for (size_t i = 0; i < given; ++i) {
        const size_t dim = taking_part - given + i;
        operand.strides[dim] = view.shape[i] == 1 ? 0 : view.strides[i];
    }
    operands_.push_back(std::move(operand));
}

void RowMap::merge_dimensions() {
    Shape extents;
    std::vector<Shape> strides(operands_.size());
    for (size_t dim = 0; dim < leading_.size(); ++dim) {
        if (leading_[dim] == 1) {
            continue;
        }
        bool is_even = !extents.empty();
        for (size_t i = 0; is_even && i < operands_.size(); ++i) {
            is_even = strides[i].back() == leading_[dim] * operands_[i].strides[dim];
        }
        if (!is_even) {
            extents.push_back(1);
        }
        extents.back() *= leading_[dim];
        for (size_t i = 0; i < operands_.size(); ++i) {
            if (!is_even) {
                strides[i].push_back(0);
            }
            strides[i].back() = operands_[i].strides[dim];
        }
    }
    const bool has_moving_tile = [&] {
        for (size_t i = 0; i < operands_.size(); ++i) {
            if (!operands_[i].has_rows && !extents.empty() && strides[i].back() != 0) {
                return true;
            }
        }
        return false;
    }();
    if (extents.empty() || has_moving_tile) {
        extents.push_back(1);
        for (Shape &of_operand : strides) {
            of_operand.push_back(0);
        }
    }
    leading_ = std::move(extents);
    for (size_t i = 0; i < operands_.size(); ++i) {
        operands_[i].strides = std::move(strides[i]);
    }
}

std::vector<lower::ParamLayout> RowMap::layouts(int64_t rows) const {
    std::vector<lower::ParamLayout> result;
    for (const Operand &operand : operands_) {
        const TileView tile{operand.data, operand.has_rows ? rows : operand.rows, operand.columns,
                            operand.has_rows ? operand.strides.back() : operand.row_stride,
                            operand.column_stride};
        check_addressable(kernel_, "an operand", tile, at_);
        lower::ParamLayout layout = layout_of(tile, {DType::U8, tile.rows, tile.columns});
        layout.copied = operand.copied;
        layout.unit_columns = layout.unit_columns || operand.copied;
        result.push_back(layout);
    }
    return result;
}

void RowMap::bind(int64_t task, int64_t blocks, int64_t block_rows, int64_t *slots) const {
    const int64_t first = task % blocks * block_rows;
    const int64_t rows = std::min(block_rows, leading_.back() - first);
    const int64_t outer = task / blocks;
    for (const Operand &operand : operands_) {
        int64_t offset = operand.has_rows ? first * operand.strides.back() : 0;
        int64_t rest = outer;
        for (size_t dim = leading_.size() - 1; dim-- > 0;) {
            offset += rest % leading_[dim] * operand.strides[dim];
            rest /= leading_[dim];
        }
        *slots++ = std::bit_cast<int64_t>(operand.data + offset * operand.bytes);
        *slots++ = operand.has_rows ? operand.strides.back() : operand.row_stride;
        *slots++ = operand.column_stride;
        *slots++ = operand.has_rows ? rows : operand.rows;
        *slots++ = operand.columns;
    }
}

void RowMap::run(CodeKey key, const std::function<ProgramPtr(const Affine &rows)> &make,
                 const Cost &cost, const std::function<void()> &while_waiting) {
    if (element_count(leading_) == 0) {
        return;
    }
    merge_dimensions();
    const int64_t rows = leading_.back();
    const int64_t outer = element_count(leading_) / rows;
    const int64_t workers = runtime::Executor::shared().workers();
    const auto worth = static_cast<int64_t>(least_task_ns / std::max(cost.row_ns, 1e-3));
    const int64_t even = ceil_div(rows * outer, blocks_per_worker * workers);
    const int64_t block = std::clamp<int64_t>(std::max({worth, even, cost.least_rows}), 1, rows);
    const int64_t blocks = ceil_div(rows, block);
    const bool is_single = cost.has_code_for_one && rows == 1;
    key.add(static_cast<int64_t>(is_single));

    TaskBatch batch;
    batch.name = kernel_;
    batch.function = library_code(
        key, layouts(block), [&] { return make(is_single ? Affine(1) : Affine::variable("N")); });
    batch.tasks = outer * blocks;
    batch.work_ns = cost.row_ns * static_cast<double>(rows * outer);
    batch.bind = [&](int64_t task, int64_t *slots) {
        bind(task, blocks, block, slots);
        return true;
    };
    run_tasks(batch, while_waiting, at_);
}

Shape broadcast_leading(const char *kernel,
                        const std::vector<std::pair<const char *, TensorView>> &views, size_t own,
                        const Loc &at) {
    Shape result;
    for (const auto &[name, view] : views) {
        const size_t given = view.shape.size() - own;
        if (given > result.size()) {
            result.insert(result.begin(), given - result.size(), 1);
        }
        for (size_t i = 0; i < given; ++i) {
            int64_t &extent = result[result.size() - given + i];
            if (extent != view.shape[i] && extent != 1 && view.shape[i] != 1) {
                std::vector<std::string> shapes;
                for (const auto &[each, shown] : views) {
                    shapes.push_back(fmt::format("'{}' {}", each, shape_text(shown.shape)));
                }
                throw TypeCheckError(at, fmt::format("{}: leading dimensions do not broadcast: {}",
                                                     kernel, fmt::join(shapes, " x ")));
            }
            extent = extent == 1 ? view.shape[i] : extent;
        }
    }
    return result;
}

}  // namespace pto::wsp::kernels
