#pragma once

#include <array>
#include <map>
#include <string>

#include <Halide.h>

namespace pto::wsp::lower {

/// Where a pipeline's buffer lies: replaces Halide's queries of a `halide_buffer_t`. Extents and
/// strides in Halide's order of the dimensions.
struct BufferLayout {
    Halide::Expr host;
    std::array<Halide::Expr, 2> extents;
    std::array<Halide::Expr, 2> strides;
};

/// `statement` with `_halide_buffer_get_*(name.buffer, d)` replaced by the layout of `name`.
Halide::Internal::Stmt bind_buffers(const Halide::Internal::Stmt &statement,
                                    const std::map<std::string, BufferLayout> &layouts);

}  // namespace pto::wsp::lower
