#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "library.h"
#include "pto/wsp/kernel/library.h"
#include "pto/wsp/support/error.h"

/// With scores s = q k^T scale + bias, and s = -inf where row r does not see key c,
///   out = softmax(s) @ v,  0 in rows of which every s is -inf.
///
/// One row alone reads each key and value once and has nothing to block: there s is a column, and
/// the products are sums of k * q over columns and of weights * v over rows.
namespace pto::wsp::kernels {

using tile::Builder;
using tile::Param;
using tile::Tile;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

class Attention {
public:
    Attention(const AttentionSpec &spec, const Loc &at)
        : spec_(spec), at_(at), builder_("attention", at),
          dtype_(spec.dtype == DType::F64 ? DType::F64 : DType::F32),
          value_depth_(spec.value_depth.value_or(spec.depth)) {}

    ProgramPtr build() {
        check();
        Param q = tile::input(builder_, "q", {spec_.dtype, spec_.rows, spec_.depth}, at_);
        Param k = tile::input(builder_, "k", {spec_.dtype, spec_.keys, spec_.depth}, at_);
        Param v = tile::input(builder_, "v", {spec_.dtype, spec_.keys, value_depth_}, at_);
        double scale = spec_.scale.value_or(
            1.0 / std::sqrt(static_cast<double>(std::max<int64_t>(spec_.depth, 1))));
        is_single_ = spec_.is_one_position && spec_.rows == Affine(1);
        Tile scores = is_single_ ? tile::rowsum(widened(k) * widened(q)) * scale
                                 : tile::matmul(q, k, {.trans_b = true}) * scale;
        std::optional<Param> mask;
        if (spec_.mask) {
            mask = tile::input(builder_, "mask", {*spec_.mask, spec_.rows, spec_.keys}, at_);
        }
        std::optional<Param> slopes;
        if (spec_.has_alibi) {
            slopes = tile::input(builder_, "slopes", {DType::F32, spec_.rows, 1}, at_);
        }
        if (!spec_.query_start) {
            start_ = tile::scalar(builder_, "query_start", DType::I32, at_);
        } else if (*spec_.query_start != 0) {
            start_ = tile::constant(builder_, *spec_.query_start, DType::I32, at_);
        }
        if (slopes) {
            scores = scores - slope_distance(*slopes);
        }
        if (mask) {
            scores = masked(scores, *mask);
        }
        scores = in_window(scores);
        Tile result = is_single_ ? weighted_sum(scores, widened(v)) : weighted_rows(scores, v);
        tile::store(tile::output(builder_, "out", {spec_.dtype, spec_.rows, value_depth_}, at_),
                    result);
        return builder_.finish();
    }

private:
    void check() const {
        require_float("attention", "q", spec_.dtype, at_);
        if (spec_.mask && *spec_.mask != DType::U8 && !is_float(*spec_.mask)) {
            throw TypeCheckError(at_,
                                 fmt::format("attention: the mask is {}, neither U8 nor a float",
                                             info(*spec_.mask).user_name),
                                 {}, "U8 keeps the keys where it is not 0, a float is added");
        }
        for (const auto &reach : {spec_.left, spec_.right}) {
            if (reach && *reach < 0) {
                throw TypeCheckError(
                    at_, fmt::format("attention: the window reaches {} keys far", *reach));
            }
        }
    }

    /// The key at which each row stands, [rows, 1].
    Tile position() {
        Tile row = spec_.is_one_position ? tile::constant(builder_, 0, DType::I32)
                                         : tile::row_index(builder_, spec_.rows);
        return start_ ? row + *start_ : row;
    }

    Tile keys() {
        return is_single_ ? tile::row_index(builder_, spec_.keys)
                          : tile::column_index(builder_, spec_.keys);
    }

    Tile weighted_rows(const Tile &scores, const Param &v) const {
        // What no row may see must not count, also where it is NaN or infinite.
        Tile weights = tile::softmax(scores, {.safe = may_see_nothing()});
        return tile::matmul(weights, v, {.skip_zeros = hides_keys()});
    }

    /// softmax of the column `scores`, times `v`; values of hidden keys do not count.
    Tile weighted_sum(const Tile &scores, const Tile &v) const {
        Tile most = tile::colmax(scores);
        Tile weights = tile::exp(scores - most);
        Tile terms = tile::where(tile::eq(scores, -infinity), 0.0, weights * v);
        Tile result = tile::colsum(terms) / tile::colsum(weights);
        return may_see_nothing() ? tile::where(tile::eq(most, -infinity), 0.0, result) : result;
    }

    Tile slope_distance(const Param &slopes) {
        Tile distance = tile::cast(tile::abs(position() - keys()), dtype_);
        return widened(slopes) * distance;
    }

    Tile masked(const Tile &scores, const Param &mask) {
        if (*spec_.mask == DType::U8) {
            return tile::where(tile::ne(like_scores(tile::load(mask)), 0), scores, -infinity);
        }
        Tile bias = like_scores(widened(mask));
        if (bias.type().dtype != dtype_) {
            bias = tile::cast(bias, dtype_);
        }
        // A score that is NaN or infinite would survive the sum.
        return tile::where(tile::eq(bias, -infinity), -infinity, scores + bias);
    }

    Tile like_scores(const Tile &mask) const { return is_single_ ? tile::transpose(mask) : mask; }

    Tile in_window(const Tile &scores) {
        Tile seen = scores;
        if (spec_.left) {
            seen = tile::where(tile::ge(keys(), position() - static_cast<int32_t>(*spec_.left)),
                               seen, -infinity);
        }
        if (spec_.is_causal || spec_.right) {
            auto reach = static_cast<int32_t>(spec_.is_causal ? 0 : *spec_.right);
            seen = tile::where(tile::le(keys(), position() + reach), seen, -infinity);
        }
        return seen;
    }

    bool hides_keys() const { return spec_.mask || spec_.is_causal || spec_.left || spec_.right; }

    bool may_see_nothing() const {
        bool sees_first_key = !spec_.left && spec_.query_start && *spec_.query_start >= 0;
        return spec_.mask || (hides_keys() && !sees_first_key);
    }

    const AttentionSpec &spec_;
    const Loc &at_;
    Builder builder_;
    DType dtype_;  ///< of the scores
    int64_t value_depth_;
    std::optional<Tile> start_;
    bool is_single_ = false;  ///< scores are a column
};

}  // namespace

ProgramPtr attention_program(const AttentionSpec &spec, const Loc &at) {
    return Attention(spec, at).build();
}

}  // namespace pto::wsp::kernels
