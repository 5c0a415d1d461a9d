#pragma once

#include <functional>
#include <vector>

#include "library_code.h"
#include "library_result.h"
#include "task_batch.h"

namespace pto::wsp::kernels {

/// A kernel of rows run over the leading dimensions of its operands: leading dimensions that lie
/// evenly in memory become the rows of one tile, the others, and blocks of rows, are tasks.
///
/// ```
/// x [8, 512, 64] contiguous, gamma [64]  -->  rows [4096, 64] in blocks, gamma [1, 64]
/// ```
class RowMap {
public:
    /// `leading` are the dimensions that the operands broadcast to.
    RowMap(const char *kernel, Shape leading, const Loc &at);

    /// The next parameter, a row for each leading place: [leading..., columns]. `copied`: it is
    /// where the result goes.
    void add_rows(const TensorView &view, bool copied = false);
    /// The next parameter, the same tile for all rows: [leading but the last..., rows, columns].
    void add_tile(const TensorView &view);

    /// What a row costs, and the fewest rows worth a task.
    struct Cost {
        double row_ns = 0;
        int64_t least_rows = 1;
        bool has_code_for_one = false;  ///< one row alone is worth code of its own
    };
    /// `make` gives the program for tiles of so many rows: a Symbol, or 1.
    void run(CodeKey key, const std::function<ProgramPtr(const Affine &rows)> &make,
             const Cost &cost, const std::function<void()> &while_waiting);

private:
    struct Operand {
        char *data = nullptr;
        int64_t bytes = 0;  ///< of an element
        Shape strides;      ///< along the leading dimensions
        bool has_rows = true;
        int64_t rows = 1, row_stride = 0;  ///< of a tile of its own
        int64_t columns = 1, column_stride = 1;
        bool copied = false;
    };

    void add(const TensorView &view, bool has_rows, bool copied);
    void merge_dimensions();
    std::vector<lower::ParamLayout> layouts(int64_t rows) const;
    void bind(int64_t task, int64_t blocks, int64_t block_rows, int64_t *slots) const;

    const char *kernel_;
    Loc at_;
    Shape leading_;
    std::vector<Operand> operands_;
};

/// The shape that the leading dimensions broadcast to: all but the last `own` of each view.
/// TypeCheckError at `at` that prints the shapes when they do not.
Shape broadcast_leading(const char *kernel,
                        const std::vector<std::pair<const char *, TensorView>> &views, size_t own,
                        const Loc &at);

}  // namespace pto::wsp::kernels
