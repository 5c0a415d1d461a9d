#include "pto/wsp/program/library.h"

#include <fmt/format.h>

#include "pto/wsp/support/error.h"
#include "row_map.h"

namespace pto::wsp::kernels {

using kernel::TileType;

namespace {

/// Estimates for one core, in ns: of moving a byte, of a multiply-add in a product, and of an
/// exponential and what goes with it.
constexpr double byte_ns = 0.1;
constexpr double product_ns = 0.03;
constexpr double exponential_ns = 0.5;

void require_rank(const char *kernel, const char *name, const TensorView &view, int rank,
                  const Loc &at) {
    if (view.rank() < rank) {
        throw TypeCheckError(at, fmt::format("{}: '{}' is {}, expected {} or more dimensions",
                                             kernel, name, shape_text(view.shape), rank));
    }
}

void require_float(const char *kernel, const char *name, const TensorView &view, const Loc &at) {
    if (!is_float(view.dtype)) {
        throw TypeCheckError(
            at,
            fmt::format("{}: '{}' is {}, not a float", kernel, name, info(view.dtype).user_name),
            {}, "F16, BF16, F32, F64");
    }
}

void require_same_dtype(const char *kernel, const char *a_name, const TensorView &a,
                        const char *b_name, const TensorView &b, const Loc &at) {
    if (a.dtype != b.dtype) {
        throw TypeCheckError(at, fmt::format("{}: '{}' is {}, '{}' is {}, expected one type",
                                             kernel, a_name, info(a.dtype).user_name, b_name,
                                             info(b.dtype).user_name));
    }
}

/// A vector of `columns` floats.
void require_vector(const char *kernel, const char *name, const TensorView &view, int64_t columns,
                    const Loc &at) {
    require_float(kernel, name, view, at);
    if (view.shape != Shape{columns}) {
        throw TypeCheckError(at, fmt::format("{}: '{}' is {}, expected {}", kernel, name,
                                             shape_text(view.shape), shape_text({columns})));
    }
}

Shape without_last(Shape shape, size_t count) {
    shape.resize(shape.size() - count);
    return shape;
}

/// A kernel of rows whose first operand has the shape and type of the result.
struct RowCall {
    const char *kernel;
    TensorView x;
    std::vector<TensorView> like_x;     ///< further operands of that shape
    std::vector<TensorView> broadcast;  ///< of as many dimensions or less, and other columns
    std::vector<TensorView> vectors;    ///< [columns]
    double element_ns = byte_ns;

    TensorView run(const CodeKey &options, const std::function<ProgramPtr(const TileType &)> &make,
                   const Destination &destination, const Loc &at) const {
        ResultMemory result(kernel, destination, x.shape, x.dtype, at);
        const int64_t columns = x.shape.back();
        result.keep_off(x, true);
        for (const TensorView &view : like_x) {
            result.keep_off(view, true);
        }
        for (const auto *views : {&broadcast, &vectors}) {
            for (const TensorView &view : *views) {
                result.keep_off(view, false);
            }
        }
        if (element_count(x.shape) == 0) {
            return result.finish();
        }
        RowMap map(kernel, without_last(x.shape, 1), at);
        map.add_rows(x, result.is(x));
        for (const TensorView &view : like_x) {
            map.add_rows(view, result.is(view));
        }
        for (const TensorView &view : broadcast) {
            map.add_rows(view);
        }
        CodeKey key = options;
        key.add(x.dtype).add(columns);
        for (const TensorView &view : vectors) {
            map.add_tile(view);
            key.add(view.dtype);
        }
        map.add_rows(result.view());
        const double bytes = static_cast<double>(columns) * size_bytes(x.dtype) *
                             static_cast<double>(2 + like_x.size() + broadcast.size());
        const RowMap::Cost cost{bytes * byte_ns + static_cast<double>(columns) * element_ns};
        map.run(
            key,
            [&](const Affine &rows) {
                return make({x.dtype, rows, columns});
            },
            cost, destination.while_waiting);
        return result.finish();
    }
};

/// An operand that is absent from the kernel when it is from the call.
std::vector<TensorView> given(const std::vector<std::optional<TensorView>> &views) {
    std::vector<TensorView> result;
    for (const std::optional<TensorView> &view : views) {
        if (view) {
            result.push_back(*view);
        }
    }
    return result;
}

}  // namespace

TensorView softmax(const TensorView &x, const Destination &destination, const Loc &at) {
    require_rank("softmax", "x", x, 1, at);
    require_float("softmax", "x", x, at);
    const RowCall call{"softmax", x, {}, {}, {}, exponential_ns};
    return call.run(
        CodeKey("softmax"), [&](const TileType &tile) { return softmax_program(tile, at); },
        destination, at);
}

TensorView layernorm(const TensorView &x, const std::optional<TensorView> &gamma,
                     const std::optional<TensorView> &beta, double eps,
                     const Destination &destination, const Loc &at) {
    require_rank("layernorm", "x", x, 1, at);
    require_float("layernorm", "x", x, at);
    if (gamma) {
        require_vector("layernorm", "gamma", *gamma, x.shape.back(), at);
    }
    if (beta) {
        require_vector("layernorm", "beta", *beta, x.shape.back(), at);
    }
    if (gamma && beta) {
        require_same_dtype("layernorm", "gamma", *gamma, "beta", *beta, at);
    }
    NormSpec spec;
    spec.eps = eps;
    spec.has_gamma = gamma.has_value();
    spec.has_beta = beta.has_value();
    if (gamma || beta) {
        spec.gain = gamma ? gamma->dtype : beta->dtype;
    }
    const RowCall call{"layernorm", x, {}, {}, given({gamma, beta})};
    CodeKey key("layernorm");
    key.add(eps).add(static_cast<int64_t>(spec.has_gamma)).add(static_cast<int64_t>(spec.has_beta));
    return call.run(
        key,
        [&](const TileType &tile) {
            spec.tile = tile;
            return layernorm_program(spec, at);
        },
        destination, at);
}

TensorView rmsnorm(const TensorView &x, const std::optional<TensorView> &gamma, double eps,
                   const Destination &destination, const Loc &at) {
    require_rank("rmsnorm", "x", x, 1, at);
    require_float("rmsnorm", "x", x, at);
    if (gamma) {
        require_vector("rmsnorm", "gamma", *gamma, x.shape.back(), at);
    }
    NormSpec spec;
    spec.eps = eps;
    spec.has_gamma = gamma.has_value();
    if (gamma) {
        spec.gain = gamma->dtype;
    }
    const RowCall call{"rmsnorm", x, {}, {}, given({gamma})};
    CodeKey key("rmsnorm");
    key.add(eps).add(static_cast<int64_t>(spec.has_gamma));
    return call.run(
        key,
        [&](const TileType &tile) {
            spec.tile = tile;
            return rmsnorm_program(spec, at);
        },
        destination, at);
}

TensorView rope(const TensorView &x, const TensorView &cos, const TensorView &sin, RopeForm form,
                const Destination &destination, const Loc &at) {
    require_rank("rope", "x", x, 1, at);
    require_float("rope", "x", x, at);
    const int64_t columns = x.shape.back();
    if (columns % 2 != 0) {
        throw TypeCheckError(at, fmt::format("rope: 'x' is {}, its last dimension must be even",
                                             shape_text(x.shape)));
    }
    for (const auto &[name, table] : {std::pair{"cos", cos}, std::pair{"sin", sin}}) {
        require_float("rope", name, table, at);
        Shape leading = without_last(x.shape, 1);
        bool fits =
            table.rank() >= 1 && table.rank() <= x.rank() && table.shape.back() == columns / 2;
        for (size_t i = 1; fits && i < table.shape.size(); ++i) {
            const int64_t extent = table.shape[table.shape.size() - 1 - i];
            fits = extent == 1 || extent == leading[leading.size() - i];
        }
        if (!fits) {
            throw TypeCheckError(
                at,
                fmt::format("rope: '{}' is {}, which does not broadcast to {}", name,
                            shape_text(table.shape),
                            [&] {
                                leading.push_back(columns / 2);
                                return shape_text(leading);
                            }()),
                {}, "each pair of elements has one cosine: pass half of a table that repeats them");
        }
    }
    require_same_dtype("rope", "cos", cos, "sin", sin, at);
    const RowCall call{"rope", x, {}, {cos, sin}, {}};
    CodeKey key("rope");
    key.add(static_cast<int64_t>(form)).add(cos.dtype);
    return call.run(
        key, [&](const TileType &tile) { return rope_program(tile, form, cos.dtype, at); },
        destination, at);
}

TensorView swiglu(const TensorView &gate, const TensorView &up, const Destination &destination,
                  const Loc &at) {
    require_rank("swiglu", "gate", gate, 1, at);
    require_float("swiglu", "gate", gate, at);
    require_same_dtype("swiglu", "gate", gate, "up", up, at);
    if (gate.shape != up.shape) {
        throw TypeCheckError(at, fmt::format("swiglu: 'gate' is {}, 'up' is {}, expected one shape",
                                             shape_text(gate.shape), shape_text(up.shape)));
    }
    const RowCall call{"swiglu", gate, {up}, {}, {}, exponential_ns};
    return call.run(
        CodeKey("swiglu"), [&](const TileType &tile) { return swiglu_program(tile, at); },
        destination, at);
}

namespace {

/// Of a product of two `dtype`: floats go to whatever floats there are.
DType product_dtype(DType dtype, const Destination &destination) {
    const auto *out = std::get_if<TensorView>(&destination.out);
    if (out != nullptr && is_float(dtype) && is_float(out->dtype)) {
        return out->dtype;
    }
    const bool is_small = dtype == DType::I8 || dtype == DType::U8 || dtype == DType::I16;
    return is_small ? DType::I32 : dtype;
}

}  // namespace

TensorView matmul(const TensorView &a, const TensorView &b, const MatmulOptions &options,
                  const Destination &destination, const Loc &at) {
    require_rank("matmul", "a", a, 2, at);
    require_rank("matmul", "b", b, 2, at);
    require_same_dtype("matmul", "a", a, "b", b, at);
    const int64_t m = a.shape[a.shape.size() - 2];
    const int64_t depth = a.shape.back();
    const int64_t n = b.shape.back();
    if (b.shape[b.shape.size() - 2] != depth) {
        throw TypeCheckError(at, fmt::format("matmul: inner dimensions differ: {} x {}",
                                             shape_text(a.shape), shape_text(b.shape)));
    }
    if (options.bias) {
        require_vector("matmul", "bias", *options.bias, n, at);
    }
    Shape leading = broadcast_leading("matmul", {{"a", a}, {"b", b}}, 2, at);
    leading.push_back(m);
    Shape shape = leading;
    shape.push_back(n);
    ResultMemory result("matmul", destination, shape, product_dtype(a.dtype, destination), at);
    result.keep_off(a, false);
    result.keep_off(b, false);
    if (options.bias) {
        result.keep_off(*options.bias, false);
    }
    RowMap map("matmul", leading, at);
    map.add_rows(a);
    map.add_tile(b);
    MatmulSpec spec;
    spec.dtype = a.dtype;
    spec.columns = n;
    spec.depth = depth;
    spec.activation = options.activation;
    spec.out = result.view().dtype;
    if (options.bias) {
        map.add_tile(*options.bias);
        spec.bias = options.bias->dtype;
    }
    map.add_rows(result.view());
    CodeKey key("matmul");
    key.add(spec.dtype).add(n).add(depth).add(spec.bias).add(spec.out);
    key.add(static_cast<int64_t>(spec.activation));
    // The columns of b are packed for each block of rows.
    constexpr int64_t least_rows = 128;
    const double row_ns = product_ns * static_cast<double>(n) * static_cast<double>(depth + 8);
    if (n > 0) {
        map.run(
            key,
            [&](const Affine &rows) {
                spec.rows = rows;
                return matmul_program(spec, at);
            },
            {row_ns, least_rows, true}, destination.while_waiting);
    }
    return result.finish();
}

}  // namespace pto::wsp::kernels
