#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "kernel_code.h"
#include "library_code.h"
#include "library_result.h"
#include "pto/wsp/program/library.h"
#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/support/error.h"
#include "task_batch.h"

/// Attention over batches and heads:
///
/// ```
/// for b, h, block of query rows:            (one query: for b, head of k; rows are heads of q)
///     keys = those that some row of the block sees
///     out[b, h, block] = attention_program(q[b, h, block], k[b, h / group, keys], v[...], ...)
/// ```
/// What no row of a block sees is left out of the views that its task gets.
namespace pto::wsp::kernels {

namespace {

/// Estimates for one core, in ns: of a multiply-add of the products, and of a score's exponential.
constexpr double product_ns = 0.03;
constexpr double score_ns = 0.5;
/// Query rows of a task: each packs its keys anew, and a causal one computes half a block in vain.
constexpr int64_t causal_block = 256, largest_block = 1024, smallest_block = 64;

/// A tensor as [batch, heads, rows, columns]; leading dimensions that it lacks or repeats have
/// stride 0.
struct HeadView {
    char *data = nullptr;
    int64_t bytes = 0;  ///< of an element
    std::array<int64_t, 4> shape{1, 1, 1, 1};
    std::array<int64_t, 4> strides{};

    HeadView() = default;
    explicit HeadView(const TensorView &view)
        : data(static_cast<char *>(view.data)), bytes(size_bytes(view.dtype)) {
        const size_t missing = 4 - view.shape.size();
        for (size_t i = 0; i < view.shape.size(); ++i) {
            shape[missing + i] = view.shape[i];
            strides[missing + i] = view.shape[i] == 1 ? 0 : view.strides[i];
        }
        if (shape[3] == 1) {
            strides[3] = 1;
        }
    }

    char *at(int64_t batch, int64_t head, int64_t row, int64_t column = 0) const {
        return data + bytes * (batch * strides[0] + head * strides[1] + row * strides[2] +
                               column * strides[3]);
    }
};

class AttentionCall {
public:
    AttentionCall(const TensorView &q, const TensorView &k, const TensorView &v,
                  const AttentionOptions &options, const Loc &at)
        : options_(options), at_(at) {
        check_operand("q", q);
        check_operand("k", k);
        check_operand("v", v);
        dtype_ = q.dtype;
        if (k.dtype != q.dtype || v.dtype != q.dtype) {
            fail(fmt::format("'q' is {}, 'k' is {}, 'v' is {}, expected one type",
                             info(q.dtype).user_name, info(k.dtype).user_name,
                             info(v.dtype).user_name));
        }
        shapes_ = fmt::format("'q' {}, 'k' {}, 'v' {}", shape_text(q.shape), shape_text(k.shape),
                              shape_text(v.shape));
        q_ = HeadView(q);
        k_ = HeadView(k);
        v_ = HeadView(v);
        rank_ = std::max({q.rank(), k.rank(), v.rank()});
        check_shapes();
        find_leading();
        if (options.attn_mask) {
            take_mask(*options.attn_mask);
        }
        if (options.alibi_slopes) {
            take_slopes(*options.alibi_slopes);
        }
        check_lengths("lengths", options.lengths, queries());
        check_lengths("kv_lengths", options.kv_lengths, keys());
        if (options.lengths && !options.kv_lengths) {
            check_lengths("lengths", options.lengths, keys());
        }
        if (options.window && (options.window->left < 0 || options.window->right < 0)) {
            fail(fmt::format("the window ({}, {}) must not be negative", options.window->left,
                             options.window->right));
        }
    }

    Shape result_shape() const {
        const Shape whole{batches_, heads_, queries(), value_depth()};
        return {whole.end() - rank_, whole.end()};
    }

    void run(const TensorView &out, const std::function<void()> &while_waiting) {
        out_ = HeadView(out);
        if (element_count(out.shape) == 0) {
            return;
        }
        choose_blocks();
        TaskBatch batch;
        batch.name = "attention";
        batch.function =
            library_code(key(), layouts(), [&] { return attention_program(spec(), at_); });
        batch.tasks = batches_ * (is_decoding() ? heads_ / group_ : heads_) * blocks_;
        batch.work_ns = work_ns();
        batch.bind = [this](int64_t task, int64_t *slots) { return bind(task, slots); };
        run_tasks(batch, while_waiting, at_);
    }

private:
    [[noreturn]] void fail(const std::string &text, const std::string &hint = "") const {
        throw TypeCheckError(at_, "attention: " + text, {}, hint);
    }

    int64_t queries() const { return q_.shape[2]; }
    int64_t keys() const { return k_.shape[2]; }
    int64_t depth() const { return q_.shape[3]; }
    int64_t value_depth() const { return v_.shape[3]; }
    /// With one query the heads that share keys are the rows of a tile.
    bool is_decoding() const { return queries() == 1; }

    void check_operand(const char *name, const TensorView &view) const {
        if (view.rank() < 2 || view.rank() > 4) {
            fail(fmt::format("'{}' is {}, expected 2 to 4 dimensions", name,
                             shape_text(view.shape)));
        }
        if (!is_float(view.dtype)) {
            fail(fmt::format("'{}' is {}, not a float", name, info(view.dtype).user_name),
                 "F16, BF16, F32, F64");
        }
    }

    void check_shapes() const {
        if (k_.shape[3] != depth()) {
            fail(fmt::format("the last dimensions of q and k differ: {}", shapes_));
        }
        if (v_.shape[2] != keys()) {
            fail(fmt::format("k and v have different numbers of rows: {}", shapes_));
        }
    }

    /// The extent that some broadcast to.
    int64_t broadcast(std::initializer_list<int64_t> extents) const {
        int64_t result = 1;
        for (const int64_t extent : extents) {
            if (extent != 1 && result != 1 && extent != result) {
                fail(fmt::format("leading dimensions do not broadcast: {}", shapes_));
            }
            result = extent == 1 ? result : extent;
        }
        return result;
    }

    void find_leading() {
        batches_ = broadcast({q_.shape[0], k_.shape[0], v_.shape[0]});
        const int64_t shared = k_.shape[1];
        // Without a batch dimension it is heads that have lengths.
        const bool has_own_lengths = rank_ == 3 && (options_.lengths || options_.kv_lengths);
        if (options_.enable_gqa) {
            if (v_.shape[1] != shared || shared == 0 || q_.shape[1] % shared != 0) {
                fail(
                    fmt::format("the heads of q are no multiple of those of k and v: {}", shapes_));
            }
            heads_ = q_.shape[1];
            group_ = heads_ / shared;
            if (group_ > 1 && has_own_lengths) {
                fail("heads of other lengths share keys",
                     "give q, k and v a batch dimension, which lengths belong to");
            }
            return;
        }
        const bool would_group = shared == v_.shape[1] && shared > 1 && q_.shape[1] > shared &&
                                 q_.shape[1] % shared == 0;
        if (would_group) {
            fail(fmt::format("leading dimensions do not broadcast: {}", shapes_),
                 "enable_gqa lets each head of k and v serve several of q");
        }
        heads_ = broadcast({q_.shape[1], shared, v_.shape[1]});
        const bool is_shared = shared == 1 && v_.shape[1] == 1 && !has_own_lengths;
        group_ = is_shared ? std::max<int64_t>(heads_, 1) : 1;
    }

    void take_mask(const TensorView &mask) {
        if (mask.dtype != DType::U8 && !is_float(mask.dtype)) {
            fail(fmt::format("'attn_mask' is {}, expected booleans or floats",
                             info(mask.dtype).user_name));
        }
        const Shape scores{batches_, heads_, queries(), keys()};
        bool fits = mask.rank() <= 4;
        for (size_t i = 1; fits && i <= mask.shape.size(); ++i) {
            const int64_t extent = mask.shape[mask.shape.size() - i];
            fits = extent == 1 || extent == scores[scores.size() - i];
        }
        if (!fits) {
            fail(fmt::format("'attn_mask' is {}, which does not broadcast to {}",
                             shape_text(mask.shape),
                             shape_text({scores.end() - std::max(rank_, 2), scores.end()})));
        }
        mask_ = HeadView(mask);
        mask_.strides[3] = mask.rank() == 0 || mask.shape.back() == 1 ? 0 : mask.strides.back();
        mask_dtype_ = mask.dtype;
    }

    void take_slopes(const TensorView &slopes) {
        if (slopes.dtype != DType::F32 || slopes.shape != Shape{heads_}) {
            fail(fmt::format("'alibi_slopes' is {} {}, expected F32 {}",
                             info(slopes.dtype).user_name, shape_text(slopes.shape),
                             shape_text({heads_})));
        }
        slopes_ = slopes;
    }

    void check_lengths(const char *name, const std::optional<std::vector<int64_t>> &lengths,
                       int64_t most) const {
        if (!lengths) {
            return;
        }
        if (static_cast<int64_t>(lengths->size()) != entries()) {
            fail(fmt::format("'{}' has {} entries, expected {}", name, lengths->size(), entries()));
        }
        for (const int64_t length : *lengths) {
            if (length < 0 || length > most) {
                fail(fmt::format("'{}' has {}, expected 0...{}", name, length, most));
            }
        }
    }

    /// Entries of the outermost leading dimension.
    int64_t entries() const { return rank_ == 4 ? batches_ : rank_ == 3 ? heads_ : 1; }

    static int64_t length(const std::optional<std::vector<int64_t>> &lengths, size_t entry,
                          int64_t all) {
        return lengths ? (*lengths)[entry] : all;
    }

    void choose_blocks() {
        const int64_t workers = runtime::Executor::shared().workers();
        const int64_t wanted = 3 * workers;
        const int64_t pieces =
            std::max<int64_t>((wanted + batches_ * heads_ - 1) / (batches_ * heads_), 1);
        int64_t rows = std::min((queries() + pieces - 1) / pieces, largest_block);
        if (options_.is_causal || options_.window) {
            rows = std::min(rows, causal_block);
        }
        rows = std::max(rows, smallest_block);
        block_ = std::min((rows + 7) / 8 * 8, queries());
        blocks_ = (queries() + block_ - 1) / block_;
    }

    double work_ns() const {
        const bool is_half = options_.is_causal && queries() > 1;
        const double scores = static_cast<double>(batches_ * heads_) *
                              static_cast<double>(queries()) * static_cast<double>(keys()) *
                              (is_half ? 0.5 : 1.0);
        return scores * (score_ns + product_ns * static_cast<double>(depth() + value_depth()));
    }

    AttentionSpec spec() const {
        AttentionSpec spec;
        spec.dtype = dtype_;
        spec.rows = is_decoding() ? Affine(group_) : Affine::variable("M");
        spec.keys = Affine::variable("N");
        spec.depth = depth();
        spec.value_depth = value_depth();
        spec.scale = options_.scale;
        spec.query_start = std::nullopt;
        spec.is_one_position = is_decoding();
        // The views of one position end where it sees no more.
        spec.is_causal = options_.is_causal && !is_decoding();
        if (options_.window && !is_decoding()) {
            spec.left = options_.window->left;
            spec.right = options_.window->right;
        }
        spec.mask = mask_dtype_;
        spec.has_alibi = slopes_.has_value();
        return spec;
    }

    CodeKey key() const {
        const AttentionSpec made = spec();
        CodeKey key("attention");
        key.add(made.dtype).add(is_decoding() ? group_ : 0).add(made.depth).add(value_depth());
        key.add(made.scale).add(static_cast<int64_t>(made.is_causal));
        key.add(made.left).add(made.right).add(made.mask);
        return key.add(static_cast<int64_t>(made.has_alibi));
    }

    /// In the order of the kernel's parameters.
    std::vector<lower::ParamLayout> layouts() const {
        std::vector<lower::ParamLayout> result;
        auto add = [&](const char *name, int64_t rows, int64_t row_stride, int64_t columns,
                       int64_t column_stride) {
            const TileView tile{nullptr, rows, columns, row_stride, column_stride};
            check_addressable("attention", name, tile, at_);
            result.push_back(layout_of(tile, {DType::U8, rows, columns}));
        };
        const int64_t rows = is_decoding() ? group_ : queries();
        auto row_stride = [&](const HeadView &view) { return view.strides[is_decoding() ? 1 : 2]; };
        add("q", rows, row_stride(q_), depth(), q_.strides[3]);
        add("k", keys(), k_.strides[2], depth(), k_.strides[3]);
        add("v", keys(), v_.strides[2], value_depth(), v_.strides[3]);
        if (mask_dtype_) {
            add("attn_mask", rows, row_stride(mask_), keys(), mask_.strides[3]);
        }
        if (slopes_) {
            add("alibi_slopes", rows, slopes_->strides[0], 1, 1);
        }
        result.emplace_back();  // query_start
        add("out", rows, row_stride(out_), value_depth(), out_.strides[3]);
        return result;
    }

    void put(int64_t *&slots, const char *data, int64_t rows, int64_t row_stride, int64_t columns,
             int64_t column_stride) const {
        *slots++ = std::bit_cast<int64_t>(data);
        *slots++ = row_stride;
        *slots++ = column_stride;
        *slots++ = rows;
        *slots++ = columns;
    }

    void zero(int64_t batch, int64_t head, int64_t begin, int64_t end) const {
        const std::array<int64_t, 8> nothing{};
        const int64_t rows = is_decoding() ? group_ : end - begin;
        const int64_t stride = out_.strides[is_decoding() ? 1 : 2] * out_.bytes;
        char *row = out_.at(batch, head, begin);
        for (int64_t r = 0; r < rows; ++r, row += stride) {
            char *element = row;
            for (int64_t c = 0; c < value_depth(); ++c, element += out_.strides[3] * out_.bytes) {
                std::copy_n(reinterpret_cast<const char *>(nothing.data()), out_.bytes, element);
            }
        }
    }

    bool bind(int64_t task, int64_t *slots) const {
        const int64_t first = task % blocks_ * block_;
        task /= blocks_;
        const int64_t step = is_decoding() ? group_ : 1;
        const int64_t head = task % (heads_ / step) * step;
        const int64_t batch = task / (heads_ / step);
        const auto entry = static_cast<size_t>(rank_ == 4 ? batch : rank_ == 3 ? head : 0);
        const int64_t valid_queries = length(options_.lengths, entry, queries());
        const int64_t valid_keys =
            length(options_.kv_lengths ? options_.kv_lengths : options_.lengths, entry, keys());
        const int64_t end = std::min(first + block_, queries());
        const int64_t last = std::max(std::min(end, valid_queries), first);
        const int64_t start = options_.query_start.value_or(valid_keys - valid_queries);
        const auto [low, high] = seen_keys(start + first, start + last - 1, valid_keys);
        const bool sees = last > first && high > low;
        if (!sees || last < end) {
            zero(batch, head, sees ? last : first, end);
        }
        if (!sees) {
            return false;
        }
        const int64_t rows = is_decoding() ? group_ : last - first;
        const size_t row_dim = is_decoding() ? 1 : 2;
        const int64_t shared = head / group_;
        put(slots, q_.at(batch, head, first), rows, q_.strides[row_dim], depth(), q_.strides[3]);
        put(slots, k_.at(batch, shared, low), high - low, k_.strides[2], depth(), k_.strides[3]);
        put(slots, v_.at(batch, shared, low), high - low, v_.strides[2], value_depth(),
            v_.strides[3]);
        if (mask_dtype_) {
            put(slots, mask_.at(batch, head, first, low), rows, mask_.strides[row_dim], high - low,
                mask_.strides[3]);
        }
        if (slopes_) {
            const int64_t stride = slopes_->strides[0];
            put(slots, static_cast<char *>(slopes_->data) + head * stride * 4, rows,
                is_decoding() ? stride : 0, 1, 1);
        }
        *slots++ = start + first - low;
        put(slots, out_.at(batch, head, first), rows, out_.strides[row_dim], value_depth(),
            out_.strides[3]);
        return true;
    }

    /// [low, high) of the keys that some query from position `first` to `last` sees.
    std::pair<int64_t, int64_t> seen_keys(int64_t first, int64_t last, int64_t valid) const {
        int64_t low = 0;
        int64_t high = valid;
        if (options_.window) {
            low = std::max<int64_t>(first - options_.window->left, 0);
            high = std::min(high, last + options_.window->right + 1);
        }
        if (options_.is_causal) {
            high = std::min(high, last + 1);
        }
        return {low, high};
    }

    const AttentionOptions &options_;
    const Loc &at_;
    std::string shapes_;
    DType dtype_ = DType::F32;
    HeadView q_, k_, v_, mask_, out_;
    std::optional<DType> mask_dtype_;
    std::optional<TensorView> slopes_;
    int rank_ = 2;
    int64_t batches_ = 1, heads_ = 1;
    int64_t group_ = 1;  ///< heads of q that share one of k
    int64_t block_ = 1, blocks_ = 1;
};

}  // namespace

TensorView attention(const TensorView &q, const TensorView &k, const TensorView &v,
                     const AttentionOptions &options, const Destination &destination,
                     const Loc &at) {
    AttentionCall call(q, k, v, options, at);
    ResultMemory result("attention", destination, call.result_shape(), q.dtype, at);
    result.keep_off(q, false);
    result.keep_off(k, false);
    result.keep_off(v, false);
    for (const std::optional<TensorView> &view : {options.attn_mask, options.alibi_slopes}) {
        if (view) {
            result.keep_off(*view, false);
        }
    }
    call.run(result.view(), destination.while_waiting);
    return result.finish();
}

}  // namespace pto::wsp::kernels
