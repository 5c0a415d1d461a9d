#pragma once

#include <cstdint>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/evaluate.h"

namespace pto::wsp::kernel {

/// Zeros.
RefTile make_tile(DType dtype, int64_t rows, int64_t columns);

/// A view as a matrix: of rank 2, or of rank 1 as one row.
class Matrix {
public:
    explicit Matrix(const TensorView &view);

    int64_t rows() const { return rows_; }
    int64_t columns() const { return columns_; }
    /// The window [rows, columns] at (row, column), which lies inside.
    RefTile read(int64_t row, int64_t column, int64_t rows, int64_t columns) const;
    /// Writes `tile` at (row, column), rounded to the view's type; only where `mask` holds, which
    /// broadcasts to it.
    void write(int64_t row, int64_t column, const RefTile &tile,
               const RefTile *mask = nullptr) const;

private:
    char *element(int64_t row, int64_t column) const;

    const TensorView &view_;
    int64_t rows_ = 1;
    int64_t columns_ = 1;
    int64_t row_stride_ = 0;
    int64_t column_stride_ = 1;
};

}  // namespace pto::wsp::kernel
