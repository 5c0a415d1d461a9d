#include "pto/wsp/kernel/library.h"

#include <fmt/format.h>

#include "library.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernels {

using kernel::TileType;
using tile::Builder;
using tile::Operand;
using tile::Param;
using tile::Tile;

bool is_narrow(DType dtype) {
    return dtype == DType::F16 || dtype == DType::BF16;
}

Tile widened(const Param &x) {
    Tile loaded = tile::load(x);
    return is_narrow(x.type().dtype) ? tile::cast(loaded, DType::F32) : loaded;
}

void require_float(const char *kernel, const char *param, DType dtype, const Loc &at) {
    if (!is_float(dtype)) {
        throw TypeCheckError(
            at, fmt::format("{}: '{}' is {}, not a float", kernel, param, info(dtype).user_name),
            {}, "F16, BF16, F32, F64");
    }
}

namespace {

struct ActivationRow {
    const char *name;
    Activation activation;
    Tile (*apply)(const Operand &x, const Loc &at);
};

constexpr ActivationRow activations[] = {
    {"relu", Activation::Relu, tile::relu},          {"gelu", Activation::Gelu, tile::gelu},
    {"silu", Activation::Silu, tile::silu},          {"tanh", Activation::Tanh, tile::tanh},
    {"sigmoid", Activation::Sigmoid, tile::sigmoid},
};

Tile activated(const Tile &x, Activation activation, const Loc &at) {
    for (const ActivationRow &row : activations) {
        if (row.activation == activation) {
            return row.apply(x, at);
        }
    }
    return x;
}

TileType row_of(const NormSpec &spec) {
    return {spec.gain.value_or(spec.tile.dtype), 1, spec.tile.columns};
}

}  // namespace

Activation parse_activation(std::string_view name, const Loc &at) {
    std::vector<std::string> known;
    for (const ActivationRow &row : activations) {
        if (name == row.name) {
            return row.activation;
        }
        known.emplace_back(row.name);
    }
    throw TypeCheckError(at, fmt::format("unknown activation '{}'", name), {},
                         "activations: " + join(known));
}

ProgramPtr matmul_program(const MatmulSpec &spec, const Loc &at) {
    Builder builder("matmul", at);
    Param a = tile::input(builder, "a", {spec.dtype, spec.rows, spec.depth}, at);
    Param b = tile::input(builder, "b", {spec.dtype, spec.depth, spec.columns}, at);
    Tile product = tile::matmul(a, b);
    if (spec.activation != Activation::None) {
        require_float("matmul with an activation", "a", spec.dtype, at);
    }
    if (spec.bias) {
        product = product + tile::input(builder, "bias", {*spec.bias, 1, spec.columns}, at);
    }
    product = activated(product, spec.activation, at);
    DType dtype = spec.out.value_or(product.type().dtype);
    tile::store(tile::output(builder, "out", {dtype, spec.rows, spec.columns}, at), product, at);
    return builder.finish();
}

ProgramPtr softmax_program(const TileType &type, const Loc &at) {
    require_float("softmax", "x", type.dtype, at);
    Builder builder("softmax", at);
    Param x = tile::input(builder, "x", type, at);
    tile::store(tile::output(builder, "out", type, at), tile::softmax(widened(x)));
    return builder.finish();
}

ProgramPtr layernorm_program(const NormSpec &spec, const Loc &at) {
    require_float("layernorm", "x", spec.tile.dtype, at);
    require_float("layernorm", "gamma", row_of(spec).dtype, at);
    Builder builder("layernorm", at);
    Tile x = widened(tile::input(builder, "x", spec.tile, at));
    Tile centred = x - tile::rowmean(x);
    Tile variance = tile::rowmean(centred * centred);
    Tile y = centred * tile::rsqrt(variance + spec.eps);
    if (spec.has_gamma) {
        y = y * widened(tile::input(builder, "gamma", row_of(spec), at));
    }
    if (spec.has_beta) {
        y = y + widened(tile::input(builder, "beta", row_of(spec), at));
    }
    tile::store(tile::output(builder, "out", spec.tile, at), y);
    return builder.finish();
}

ProgramPtr rmsnorm_program(const NormSpec &spec, const Loc &at) {
    require_float("rmsnorm", "x", spec.tile.dtype, at);
    require_float("rmsnorm", "gamma", row_of(spec).dtype, at);
    Builder builder("rmsnorm", at);
    Tile x = widened(tile::input(builder, "x", spec.tile, at));
    Tile y = x * tile::rsqrt(tile::rowmean(x * x) + spec.eps);
    if (spec.has_gamma) {
        y = y * widened(tile::input(builder, "gamma", row_of(spec), at));
    }
    tile::store(tile::output(builder, "out", spec.tile, at), y);
    return builder.finish();
}

ProgramPtr rope_program(const TileType &type, RopeForm form, DType table, const Loc &at) {
    require_float("rope", "x", type.dtype, at);
    require_float("rope", "cos", table, at);
    std::optional<int64_t> columns = type.columns.as_constant();
    if (!columns || *columns % 2 != 0) {
        throw TypeCheckError(at, fmt::format("rope: 'x' is {}, its columns must be an even number",
                                             type.shape_str()));
    }
    int64_t half = *columns / 2;
    Builder builder("rope", at);
    Param x = tile::input(builder, "x", type, at);
    Tile cos = widened(tile::input(builder, "cos", {table, type.rows, half}, at));
    Tile sin = widened(tile::input(builder, "sin", {table, type.rows, half}, at));
    Tile whole = widened(x);
    bool split = form == RopeForm::Half;
    Tile zero = tile::constant(builder, 0, DType::I32);
    Tile middle = tile::constant(builder, half, DType::I32);
    Tile a = split ? tile::slice(whole, zero, zero, type.rows, half) : tile::slice_even(whole);
    Tile b = split ? tile::slice(whole, zero, middle, type.rows, half) : tile::slice_odd(whole);
    Tile turned_a = a * cos - b * sin;
    Tile turned_b = b * cos + a * sin;
    Param out = tile::output(builder, "out", type, at);
    if (split) {
        tile::store(out, turned_a, zero, zero);
        tile::store(out, turned_b, zero, middle);
    } else {
        tile::store(out, tile::interleave(turned_a, turned_b));
    }
    return builder.finish();
}

ProgramPtr swiglu_program(const TileType &type, const Loc &at) {
    require_float("swiglu", "gate", type.dtype, at);
    Builder builder("swiglu", at);
    Tile gate = widened(tile::input(builder, "gate", type, at));
    Tile up = widened(tile::input(builder, "up", type, at));
    tile::store(tile::output(builder, "out", type, at), tile::silu(gate) * up);
    return builder.finish();
}

}  // namespace pto::wsp::kernels
