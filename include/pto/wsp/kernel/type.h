#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/core/affine.h"
#include "pto/wsp/core/dtype.h"

namespace pto::wsp::kernel {

/// Type of a value in a tile program: `tile<512x64xf32>`. A scalar is a 1 x 1 tile. Dims are affine
/// expressions over Symbols.
struct TileType {
    DType dtype = DType::F32;
    Affine rows = 1;
    Affine columns = 1;

    bool is_scalar() const { return rows == Affine(1) && columns == Affine(1); }
    std::string str() const;        ///< `tile<512x64xf32>`
    std::string shape_str() const;  ///< `[512, 64]`, for errors
    std::string user_str() const;   ///< `Tile[512, 64, F32]`
    bool operator==(const TileType &) const = default;
};

/// A named constant of an operation: `trans_b = true`, `value = 0.125`.
using Attribute = std::variant<bool, int64_t, double, std::string, Affine>;
using Attributes = std::map<std::string, Attribute>;

/// The number that a `value` or an `eps` is.
double number_of(const Attribute &value);

/// As printed in a program: `2`, `0.5`, `true`, `"text"`.
std::string attribute_text(const Attribute &value);

/// How a kernel uses a parameter.
enum class Direction { In, Out, InOut };
/// As printed: `in`, `out`, `inout`.
std::string name(Direction direction);

/// A parameter of a kernel.
struct Param {
    enum class Kind { Tile, Scalar };
    std::string name;
    Kind kind = Kind::Tile;
    Direction direction = Direction::In;
    TileType type;  ///< scalars: 1 x 1
    Loc at;
};

}  // namespace pto::wsp::kernel
