#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include <Eigen/Core>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/number.h"
#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// A tile of the reference evaluator: float64 for floats and masks, int64 for integers.
struct RefTile {
    DType dtype = DType::F32;
    Eigen::Array<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> real;
    Eigen::Array<int64_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> integer;

    int64_t rows() const;
    int64_t columns() const;
};

/// What a parameter is bound to: a rank-2 view for a tile (its shape may be smaller than the
/// parameter's: a partial tile, `valid`), a number for a scalar.
using Argument = std::variant<TensorView, Number>;

/// Runs `program` slowly and obviously: operation by operation on whole tiles, float64 inside an
/// operation, rounded to the value's type after it; sums and matmul accumulate in float64 and round
/// once. The oracle of every test and of `check=True`. Partial tiles: every dim that is a
/// parameter's declared dim is replaced by the valid size of that parameter (see `partial.h`).
void evaluate(const TileProgram &program, const std::vector<Argument> &arguments,
              const std::map<std::string, int64_t> &symbols = {});

}  // namespace pto::wsp::kernel
