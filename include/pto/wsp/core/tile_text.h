#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "pto/wsp/core/dtype.h"

namespace pto::wsp {

/// An element of a tile: floats and masks as a double, integers by their bits.
using Element = std::variant<double, int64_t>;

/// The shortest number that reads back as `value` of `dtype`, as NumPy writes it in an array: `1.`,
/// `0.1`, `1e+30`, `nan`, `True`.
std::string element_text(DType dtype, const Element &value);

/// A tile's values as NumPy prints an array, columns aligned. Of more than 1000 elements the first
/// and the last three rows and columns are shown.
///
/// ```
/// [[1. 2. 3.]
///  [4. 5. 6.]]
/// ```
std::string tile_text(DType dtype, int64_t rows, int64_t columns,
                      const std::function<Element(int64_t row, int64_t column)> &at);

/// What `print` writes: `title: Tile[2, 3, F32]`, then the values, each line ended.
std::string printed_tile(const std::string &title, DType dtype, int64_t rows, int64_t columns,
                         const std::function<Element(int64_t row, int64_t column)> &at);

}  // namespace pto::wsp
