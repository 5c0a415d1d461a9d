#include "infer.h"

#include <cmath>
#include <string>

#include <fmt/format.h>

#include "check.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

[[noreturn]] void fail(const OpInfo &info, const Loc &at, const std::string &text,
                       const std::string &hint = "") {
    throw TypeCheckError(at, fmt::format("{}: {}", info.name, text), {}, hint);
}

bool is_one(const Affine &dim) {
    return dim == Affine(1);
}

Affine joined(const OpInfo &info, const TileType &a, const TileType &b, const Affine &x,
              const Affine &y, const Loc &at) {
    if (x == y || is_one(y)) {
        return x;
    }
    if (is_one(x)) {
        return y;
    }
    fail(info, at, fmt::format("shapes do not broadcast: {} x {}", a.shape_str(), b.shape_str()),
         "each dimension must be equal or 1");
}

TileType broadcast_shape(const OpInfo &info, std::span<const TileType> operands, DType dtype,
                         const Loc &at) {
    TileType result = operands[0];
    for (const TileType &next : operands.subspan(1)) {
        TileType before = result;
        result.rows = joined(info, before, next, before.rows, next.rows, at);
        result.columns = joined(info, before, next, before.columns, next.columns, at);
    }
    result.dtype = dtype;
    return result;
}

void refuse_mask(const OpInfo &info, const TileType &operand, const Loc &at) {
    if (operand.dtype == DType::Mask) {
        fail(info, at, fmt::format("a mask {} is no number", operand.shape_str()),
             "where(mask, a, b) makes numbers of it");
    }
}

void require_float(const OpInfo &info, const TileType &operand, const Loc &at) {
    refuse_mask(info, operand, at);
    if (!is_float(operand.dtype)) {
        fail(info, at,
             fmt::format("{} {} is not a float", name(operand.dtype), operand.shape_str()),
             "cast it first: cast(x, F32)");
    }
}

const Affine &dim_attribute(const OpInfo &info, const Attributes &attributes, const char *name,
                            const Loc &at) {
    const auto &dim = std::get<Affine>(attributes.at(name));
    check_dim(info.name, name, dim, at);
    return dim;
}

DType dtype_attribute(const Attributes &attributes, const Loc &at) {
    return parse_dtype(std::get<std::string>(attributes.at("dtype")), at);
}

/// Type in which sums of `dtype` are kept.
DType sum_type(DType dtype) {
    switch (dtype) {
    case DType::F16:
    case DType::BF16:
        return DType::F32;
    case DType::I8:
    case DType::I16:
        return DType::I32;
    case DType::U8:
    case DType::U16:
        return DType::U32;
    default:
        return dtype;
    }
}

void check_has_columns(const OpInfo &info, const TileType &operand, const Loc &at) {
    if (operand.columns == Affine(0)) {
        fail(info, at, fmt::format("a row of {} has no element", operand.shape_str()));
    }
}

void check_has_rows(const OpInfo &info, const TileType &operand, const Loc &at) {
    if (operand.rows == Affine(0)) {
        fail(info, at, fmt::format("a column of {} has no element", operand.shape_str()));
    }
}

/// `dim / 2`, when that is a dim.
Affine halved(const OpInfo &info, const TileType &operand, const Affine &dim, const Loc &at) {
    if (std::optional<int64_t> size = dim.as_constant()) {
        return *size / 2;
    }
    Affine half(dim.constant() / 2);
    bool even = dim.constant() % 2 == 0;
    for (const auto &[name, coefficient] : dim.terms()) {
        even = even && coefficient % 2 == 0;
        half = half + Affine::variable(name) * (coefficient / 2);
    }
    if (!even) {
        fail(info, at,
             fmt::format("the columns of {} are not known to be even", operand.shape_str()),
             "a dim such as 2 * N is");
    }
    return half;
}

/// The first `k` of at most `most`.
TileType first_of_each_row(const OpInfo &info, DType dtype, const TileType &operand,
                           const Affine &most, const Attributes &attributes, const Loc &at) {
    const Affine &k = dim_attribute(info, attributes, "k", at);
    if ((most - k).as_constant().value_or(-1) < 0) {
        fail(info, at,
             fmt::format("the first {} of {}, of which there are {}", k.str(), operand.shape_str(),
                         most.str()));
    }
    return {dtype, operand.rows, k};
}

}  // namespace

PTO_WSP_INFER(infer_by_program) {
    (void)operands;
    (void)attributes;
    throw InternalError("infer", std::string(info.name) + " has no type rule of its own", at);
}

PTO_WSP_INFER(infer_any) {
    (void)info;
    (void)attributes;
    (void)at;
    return operands[0];
}

PTO_WSP_INFER(infer_constant) {
    (void)operands;
    const Attribute &value = attributes.at("value");
    DType dtype = dtype_attribute(attributes, at);
    const auto *integer = std::get_if<int64_t>(&value);
    bool fits =
        integer == nullptr ? is_float(dtype) : is_integer(dtype) && fits_integer(dtype, *integer);
    if (!fits) {
        fail(info, at, fmt::format("{} is no {}", attribute_text(value), name(dtype)));
    }
    return {dtype, 1, 1};
}

PTO_WSP_INFER(infer_binary) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    refuse_mask(info, operands[1], at);
    return broadcast_shape(info, operands, promote(operands[0].dtype, operands[1].dtype), at);
}

PTO_WSP_INFER(infer_divide) {
    TileType result = infer_binary(info, operands, attributes, at);
    if (!is_float(result.dtype)) {
        fail(info, at,
             fmt::format("division of {} by {} is not defined on tiles of integers",
                         name(operands[0].dtype), name(operands[1].dtype)),
             "use floordiv or mod, or cast an operand to F32 first");
    }
    return result;
}

PTO_WSP_INFER(infer_integers) {
    TileType result = infer_binary(info, operands, attributes, at);
    if (!is_integer(result.dtype)) {
        fail(info, at,
             fmt::format("{} and {} are not both integers", name(operands[0].dtype),
                         name(operands[1].dtype)),
             "use div, or cast to an integer first");
    }
    return result;
}

PTO_WSP_INFER(infer_unary) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    return operands[0];
}

PTO_WSP_INFER(infer_float_unary) {
    (void)attributes;
    require_float(info, operands[0], at);
    return operands[0];
}

PTO_WSP_INFER(infer_norm) {
    check_has_columns(info, operands[0], at);
    double eps = number_of(attributes.at("eps"));
    if (!(eps >= 0) || std::isinf(eps)) {
        fail(info, at, fmt::format("eps is {}, expected a number >= 0", number_text(eps)));
    }
    return infer_float_unary(info, operands, attributes, at);
}

PTO_WSP_INFER(infer_cast) {
    TileType result = operands[0];
    result.dtype = dtype_attribute(attributes, at);
    if (result.dtype == DType::Mask) {
        fail(info, at, "a mask is made by a comparison, not by a cast", "x != 0");
    }
    return result;
}

PTO_WSP_INFER(infer_where) {
    (void)attributes;
    if (operands[0].dtype != DType::Mask) {
        fail(info, at,
             fmt::format("the condition is {} {}, not a mask", name(operands[0].dtype),
                         operands[0].shape_str()),
             "a comparison makes a mask");
    }
    refuse_mask(info, operands[1], at);
    refuse_mask(info, operands[2], at);
    return broadcast_shape(info, operands, promote(operands[1].dtype, operands[2].dtype), at);
}

PTO_WSP_INFER(infer_compare) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    refuse_mask(info, operands[1], at);
    return broadcast_shape(info, operands, DType::Mask, at);
}

PTO_WSP_INFER(infer_causal_mask) {
    (void)attributes;
    require_float(info, operands[0], at);
    return operands[0];
}

PTO_WSP_INFER(infer_row_sum) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    return {sum_type(operands[0].dtype), operands[0].rows, 1};
}

PTO_WSP_INFER(infer_row_mean) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    check_has_columns(info, operands[0], at);
    return {sum_type(operands[0].dtype), operands[0].rows, 1};
}

PTO_WSP_INFER(infer_row_extreme) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    check_has_columns(info, operands[0], at);
    return {operands[0].dtype, operands[0].rows, 1};
}

PTO_WSP_INFER(infer_column_sum) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    return {sum_type(operands[0].dtype), 1, operands[0].columns};
}

PTO_WSP_INFER(infer_column_extreme) {
    (void)attributes;
    refuse_mask(info, operands[0], at);
    check_has_rows(info, operands[0], at);
    return {operands[0].dtype, 1, operands[0].columns};
}

PTO_WSP_INFER(infer_matmul) {
    const TileType &a = operands[0];
    const TileType &b = operands[1];
    refuse_mask(info, a, at);
    refuse_mask(info, b, at);
    bool trans_a = has_flag(attributes, "trans_a");
    bool trans_b = has_flag(attributes, "trans_b");
    const Affine &inner_a = trans_a ? a.rows : a.columns;
    const Affine &inner_b = trans_b ? b.columns : b.rows;
    if (!(inner_a == inner_b)) {
        fail(info, at,
             fmt::format("inner dimensions differ: {}{} x {}{}", a.shape_str(),
                         trans_a ? " transposed" : "", b.shape_str(),
                         trans_b ? " transposed" : ""));
    }
    if (has_flag(attributes, "pairs")) {
        std::optional<int64_t> depth = inner_a.as_constant();
        if (a.dtype != DType::BF16 || b.dtype != DType::BF16 || !depth || *depth % 2 != 0) {
            fail(info, at,
                 fmt::format("pairs are of bf16 and of an even inner dimension, not of {} x {}",
                             a.user_str(), b.user_str()));
        }
    }
    DType dtype = promote(a.dtype, b.dtype);
    bool narrow = dtype == DType::F16 || dtype == DType::BF16;
    bool small = dtype == DType::I8 || dtype == DType::U8 || dtype == DType::I16;
    TileType result{narrow  ? DType::F32
                    : small ? DType::I32
                            : dtype,
                    trans_a ? a.columns : a.rows, trans_b ? b.rows : b.columns};
    if (operands.size() > 2 && !(operands[2] == result)) {
        fail(info, at,
             fmt::format("the accumulator is {}, not {}", operands[2].user_str(),
                         result.user_str()));
    }
    return result;
}

PTO_WSP_INFER(infer_transpose) {
    (void)info;
    (void)attributes;
    (void)at;
    return {operands[0].dtype, operands[0].columns, operands[0].rows};
}

PTO_WSP_INFER(infer_broadcast) {
    TileType result{operands[0].dtype, dim_attribute(info, attributes, "rows", at),
                    dim_attribute(info, attributes, "columns", at)};
    auto fits = [](const Affine &from, const Affine &to) { return from == to || is_one(from); };
    if (!fits(operands[0].rows, result.rows) || !fits(operands[0].columns, result.columns)) {
        fail(
            info, at,
            fmt::format("{} does not broadcast to {}", operands[0].shape_str(), result.shape_str()),
            "each dimension must be equal or 1");
    }
    return result;
}

PTO_WSP_INFER(infer_slice) {
    TileType result{operands[0].dtype, dim_attribute(info, attributes, "rows", at),
                    dim_attribute(info, attributes, "columns", at)};
    auto fits = [](const Affine &part, const Affine &whole) {
        return (whole - part).as_constant().value_or(0) >= 0;
    };
    if (!fits(result.rows, operands[0].rows) || !fits(result.columns, operands[0].columns)) {
        fail(info, at,
             fmt::format("{} does not fit in {}", result.shape_str(), operands[0].shape_str()));
    }
    return result;
}

PTO_WSP_INFER(infer_index) {
    (void)operands;
    return {DType::I32, dim_attribute(info, attributes, "rows", at),
            dim_attribute(info, attributes, "columns", at)};
}

PTO_WSP_INFER(infer_iota) {
    TileType result = infer_index(info, operands, attributes, at);
    result.dtype = DType::U32;
    return result;
}

PTO_WSP_INFER(infer_reshape) {
    const TileType &x = operands[0];
    TileType result{x.dtype, dim_attribute(info, attributes, "rows", at),
                    dim_attribute(info, attributes, "columns", at)};
    if (result.rows == x.rows && result.columns == x.columns) {
        return result;
    }
    auto count = [&](const TileType &type) {
        std::optional<int64_t> rows = type.rows.as_constant();
        std::optional<int64_t> columns = type.columns.as_constant();
        if (!rows || !columns) {
            fail(info, at,
                 fmt::format("the elements of {} cannot be counted before it runs",
                             type.shape_str()));
        }
        return *rows * *columns;
    };
    if (int64_t from = count(x), to = count(result); from != to) {
        fail(info, at,
             fmt::format("{} has {} elements, {} has {}", x.shape_str(), from, result.shape_str(),
                         to));
    }
    return result;
}

PTO_WSP_INFER(infer_slice_even) {
    (void)attributes;
    const TileType &x = operands[0];
    return {x.dtype, x.rows, x.columns - halved(info, x, x.columns, at)};
}

PTO_WSP_INFER(infer_slice_odd) {
    (void)attributes;
    const TileType &x = operands[0];
    return {x.dtype, x.rows, halved(info, x, x.columns, at)};
}

PTO_WSP_INFER(infer_interleave) {
    (void)attributes;
    const TileType &a = operands[0];
    if (!(a == operands[1])) {
        fail(info, at, fmt::format("{} and {} differ", a.user_str(), operands[1].user_str()));
    }
    return {a.dtype, a.rows, a.columns * 2};
}

PTO_WSP_INFER(infer_tsort32) {
    (void)attributes;
    const TileType scores{DType::F32, 1, 32};
    const TileType indices{DType::U32, 1, 32};
    if (!(operands[0] == scores) || !(operands[1] == indices)) {
        fail(info, at,
             fmt::format("takes {} and {}, not {} and {}", scores.user_str(), indices.user_str(),
                         operands[0].user_str(), operands[1].user_str()),
             "topk sorts rows of any length and type");
    }
    return {DType::F32, 1, 64};
}

PTO_WSP_INFER(infer_extract_topk) {
    const TileType &pairs = operands[0];
    if (pairs.dtype != DType::F32) {
        fail(info, at, fmt::format("{} is no tile of pairs", pairs.user_str()),
             "tsort32 makes one of F32");
    }
    return first_of_each_row(info, DType::U32, pairs, halved(info, pairs, pairs.columns, at),
                             attributes, at);
}

PTO_WSP_INFER(infer_topk_values) {
    const TileType &x = operands[0];
    refuse_mask(info, x, at);
    return first_of_each_row(info, x.dtype, x, x.columns, attributes, at);
}

PTO_WSP_INFER(infer_topk_indices) {
    TileType result = infer_topk_values(info, operands, attributes, at);
    result.dtype = DType::U32;
    return result;
}

}  // namespace pto::wsp::kernel
