#include <limits>

#include "memory.h"
#include "pto/wsp/kernel/program.h"
#include "reference_values.h"

/// Reference semantics of the rows that reduce, and of norms.
namespace pto::wsp::kernel {

namespace {

/// Folds each row.
template <typename Real, typename Integer>
RefTile reduce(const RefTile &x, DType dtype, double start, int64_t integer_start, Real real,
               Integer integer) {
    RefTile tile = make_tile(dtype, x.rows(), 1);
    for (int64_t r = 0; r < x.rows(); ++r) {
        double sum = start;
        int64_t whole = integer_start;
        for (int64_t c = 0; c < x.columns(); ++c) {
            if (is_integer(dtype)) {
                whole = integer(whole, x.integer(r, c));
            } else {
                sum = real(sum, x.real(r, c));
            }
        }
        if (is_integer(dtype)) {
            tile.integer(r, 0) = whole;
        } else {
            tile.real(r, 0) = sum;
        }
    }
    return tile;
}

}  // namespace

PTO_WSP_REFERENCE(ref_rowsum) {
    (void)attributes;
    return reduce(
        operands[0], result.dtype, 0.0, 0, [](double sum, double x) { return sum + x; },
        [](int64_t sum, int64_t x) { return wrap(bits(sum) + bits(x)); });
}

PTO_WSP_REFERENCE(ref_rowmean) {
    RefTile tile = ref_rowsum(operands, attributes, result);
    int64_t count = operands[0].columns();
    if (!is_integer(result.dtype)) {
        tile.real /= static_cast<double>(count);
        return tile;
    }
    // Of a row without elements, which a partial tile may have.
    count = std::max<int64_t>(count, 1);
    bool has_sign = pto::wsp::info(result.dtype).kind == DTypeKind::Signed;
    tile.integer = tile.integer.unaryExpr(
        [=](int64_t sum) { return has_sign ? sum / count : wrap(bits(sum) / bits(count)); });
    return tile;
}

/// The smallest integer of a type, from which its largest element is looked for, or the largest;
/// of U64 its bits.
static int64_t worst(DType dtype, bool largest) {
    const int unused = 64 - 8 * size_bytes(dtype);
    if (info(dtype).kind == DTypeKind::Signed) {
        const int64_t high = INT64_MAX >> unused;
        return largest ? -high - 1 : high;
    }
    return largest ? 0 : wrap(UINT64_MAX >> unused);
}

PTO_WSP_REFERENCE(ref_rowmax) {
    (void)attributes;
    DType dtype = result.dtype;
    return reduce(
        operands[0], dtype, -std::numeric_limits<double>::infinity(), worst(dtype, true), larger,
        [dtype](int64_t a, int64_t b) { return ordered(dtype, a) > ordered(dtype, b) ? a : b; });
}

PTO_WSP_REFERENCE(ref_rowmin) {
    (void)attributes;
    DType dtype = result.dtype;
    return reduce(
        operands[0], dtype, std::numeric_limits<double>::infinity(), worst(dtype, false), smaller,
        [dtype](int64_t a, int64_t b) { return ordered(dtype, a) < ordered(dtype, b) ? a : b; });
}

/// A column reduction is the row reduction of the transpose.
static RefTile by_columns(PTO_WSP_REFERENCE((*row_reduction)), std::span<const RefTile> operands,
                          const Attributes &attributes, const TileType &result) {
    const RefTile across = transposed(operands[0]);
    return transposed(row_reduction(std::span(&across, 1), attributes,
                                    {result.dtype, result.columns, result.rows}));
}

PTO_WSP_REFERENCE(ref_colsum) {
    return by_columns(ref_rowsum, operands, attributes, result);
}

PTO_WSP_REFERENCE(ref_colmax) {
    return by_columns(ref_rowmax, operands, attributes, result);
}

PTO_WSP_REFERENCE(ref_colmin) {
    return by_columns(ref_rowmin, operands, attributes, result);
}

PTO_WSP_REFERENCE(ref_matmul) {
    RefTile a = has_flag(attributes, "trans_a") ? transposed(operands[0]) : operands[0];
    RefTile b = has_flag(attributes, "trans_b") ? transposed(operands[1]) : operands[1];
    const RefTile *start = operands.size() > 2 ? &operands[2] : nullptr;
    const bool skip_zeros = has_flag(attributes, "skip_zeros");
    // Operands of two types meet in the common one.
    DType common = promote(a.dtype, b.dtype);
    RefTile tile = make_tile(result.dtype, a.rows(), b.columns());
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            if (is_integer(result.dtype)) {
                uint64_t sum = start != nullptr ? bits(start->integer(r, c)) : 0;
                for (int64_t k = 0; k < a.columns(); ++k) {
                    sum += bits(a.integer(r, k)) * bits(b.integer(k, c));
                }
                tile.integer(r, c) = wrap(sum);
                continue;
            }
            double sum = start != nullptr ? start->real(r, c) : 0.0;
            for (int64_t k = 0; k < a.columns(); ++k) {
                double left = real_as(common, a, r, k);
                if (!skip_zeros || left != 0) {
                    sum += left * real_as(common, b, k, c);
                }
            }
            tile.real(r, c) = sum;
        }
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_softmax) {
    (void)result;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const bool safe = has_flag(attributes, "safe");
    RefTile tile = operands[0];
    for (int64_t r = 0; r < tile.rows(); ++r) {
        double most = -infinity;
        for (int64_t c = 0; c < tile.columns(); ++c) {
            most = larger(most, tile.real(r, c));
        }
        if (safe && most == -infinity) {
            tile.real.row(r).setZero();
            continue;
        }
        tile.real.row(r) = (tile.real.row(r) - most).exp();
        tile.real.row(r) /= tile.real.row(r).sum();
    }
    return tile;
}

/// Squares are of the type that computes, f32 for narrower floats: there they overflow and vanish.
PTO_WSP_REFERENCE(ref_rmsnorm) {
    const DType wide = result.dtype == DType::F64 ? DType::F64 : DType::F32;
    auto in_wide = [wide](double x) { return round_to(wide, x); };
    RefTile tile = operands[0];
    for (int64_t r = 0; r < tile.rows(); ++r) {
        auto row = tile.real.row(r);
        double mean = row.square().unaryExpr(in_wide).sum() / static_cast<double>(tile.columns());
        row /= std::sqrt(in_wide(mean) + number_of(attributes.at("eps")));
    }
    return tile;
}

PTO_WSP_REFERENCE(ref_layernorm) {
    RefTile centred = operands[0];
    for (int64_t r = 0; r < centred.rows(); ++r) {
        centred.real.row(r) -= centred.real.row(r).sum() / static_cast<double>(centred.columns());
    }
    return ref_rmsnorm(std::span<const RefTile>(&centred, 1), attributes, result);
}

}  // namespace pto::wsp::kernel
