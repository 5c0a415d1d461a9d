#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "memory.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/error.h"
#include "reference_values.h"

/// Reference semantics of the rows that move or sort elements.
namespace pto::wsp::kernel {

namespace {

struct Place {
    const RefTile *tile;
    int64_t row;
    int64_t column;
};

/// Element (r, c) of the result is the element at `from(r, c)`.
RefTile gathered(const TileType &result, const std::function<Place(int64_t r, int64_t c)> &from) {
    RefTile tile = make_tile(result.dtype, result.rows.evaluate({}), result.columns.evaluate({}));
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            Place place = from(r, c);
            if (is_integer(result.dtype)) {
                tile.integer(r, c) = place.tile->integer(place.row, place.column);
            } else {
                tile.real(r, c) = place.tile->real(place.row, place.column);
            }
        }
    }
    return tile;
}

/// Columns of row `r` in descending order, equal ones in theirs; NaN is the largest.
std::vector<int64_t> descending(const RefTile &x, int64_t r) {
    std::vector<int64_t> order(static_cast<size_t>(x.columns()));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        if (x.dtype == DType::U64) {
            return static_cast<uint64_t>(x.integer(r, a)) > static_cast<uint64_t>(x.integer(r, b));
        }
        if (is_integer(x.dtype)) {
            return x.integer(r, a) > x.integer(r, b);
        }
        bool nan_a = std::isnan(x.real(r, a));
        bool nan_b = std::isnan(x.real(r, b));
        return nan_a || nan_b ? nan_a && !nan_b : x.real(r, a) > x.real(r, b);
    });
    return order;
}

double as_float(int64_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits));
}

}  // namespace

PTO_WSP_REFERENCE(ref_reshape) {
    (void)attributes;
    const RefTile &x = operands[0];
    int64_t columns = result.columns.evaluate({});
    return gathered(result, [&](int64_t r, int64_t c) {
        int64_t position = r * columns + c;
        return Place{&x, position / x.columns(), position % x.columns()};
    });
}

PTO_WSP_REFERENCE(ref_slice_even) {
    (void)attributes;
    return gathered(result, [&](int64_t r, int64_t c) { return Place{&operands[0], r, 2 * c}; });
}

PTO_WSP_REFERENCE(ref_slice_odd) {
    (void)attributes;
    return gathered(result, [&](int64_t r, int64_t c) {
        return Place{&operands[0], r, 2 * c + 1};
    });
}

PTO_WSP_REFERENCE(ref_interleave) {
    (void)attributes;
    return gathered(result, [&](int64_t r, int64_t c) {
        return Place{&operands[static_cast<size_t>(c % 2)], r, c / 2};
    });
}

PTO_WSP_REFERENCE(ref_tsort32) {
    (void)attributes;
    RefTile tile = make_tile(result.dtype, 1, 2 * operands[0].columns());
    std::vector<int64_t> order = descending(operands[0], 0);
    for (size_t i = 0; i < order.size(); ++i) {
        auto column = static_cast<int64_t>(2 * i);
        tile.real(0, column) = operands[0].real(0, order[i]);
        tile.real(0, column + 1) = as_float(operands[1].integer(0, order[i]));
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_extract_topk) {
    (void)attributes;
    RefTile tile = make_tile(result.dtype, operands[0].rows(), result.columns.evaluate({}));
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            auto index = static_cast<float>(operands[0].real(r, 2 * c + 1));
            tile.integer(r, c) = std::bit_cast<uint32_t>(index);
        }
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_topk_values) {
    (void)attributes;
    std::vector<std::vector<int64_t>> orders;
    for (int64_t r = 0; r < operands[0].rows(); ++r) {
        orders.push_back(descending(operands[0], r));
    }
    return gathered(result, [&](int64_t r, int64_t c) {
        return Place{&operands[0], r, orders[static_cast<size_t>(r)][static_cast<size_t>(c)]};
    });
}

PTO_WSP_REFERENCE(ref_topk_indices) {
    (void)attributes;
    RefTile tile = make_tile(result.dtype, operands[0].rows(), result.columns.evaluate({}));
    for (int64_t r = 0; r < tile.rows(); ++r) {
        std::vector<int64_t> order = descending(operands[0], r);
        for (int64_t c = 0; c < tile.columns(); ++c) {
            tile.integer(r, c) = order[static_cast<size_t>(c)];
        }
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_transpose) {
    (void)attributes;
    (void)result;
    return transposed(operands[0]);
}

PTO_WSP_REFERENCE(ref_slice) {
    (void)attributes;
    int64_t row = operands[1].integer(0, 0);
    int64_t column = operands[2].integer(0, 0);
    int64_t rows = result.rows.evaluate({});
    int64_t columns = result.columns.evaluate({});
    const RefTile &x = operands[0];
    if (row < 0 || column < 0 || row + rows > x.rows() || column + columns > x.columns()) {
        throw KernelError({}, fmt::format("slice: a window [{}, {}] at ({}, {}) leaves [{}, {}]",
                                          rows, columns, row, column, x.rows(), x.columns()));
    }
    RefTile tile;
    tile.dtype = x.dtype;
    if (is_integer(x.dtype)) {
        tile.integer = x.integer.block(row, column, rows, columns);
    } else {
        tile.real = x.real.block(row, column, rows, columns);
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_broadcast) {
    (void)attributes;
    RefTile tile = make_tile(result.dtype, result.rows.evaluate({}), result.columns.evaluate({}));
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            if (is_integer(result.dtype)) {
                tile.integer(r, c) = integer_at(operands[0], r, c);
            } else {
                tile.real(r, c) = real_at(operands[0], r, c);
            }
        }
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_row_index) {
    (void)operands;
    (void)attributes;
    RefTile tile = make_tile(result.dtype, result.rows.evaluate({}), result.columns.evaluate({}));
    for (int64_t r = 0; r < tile.rows(); ++r) {
        tile.integer.row(r) = r;
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_column_index) {
    RefTile tile = ref_row_index(operands, attributes, result);
    for (int64_t c = 0; c < tile.columns(); ++c) {
        tile.integer.col(c) = c;
    }
    return tile;
}

}  // namespace pto::wsp::kernel
