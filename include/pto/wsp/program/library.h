#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/library.h"

/// Ready-made kernels on whole tensors: any strides, any number of leading dimensions, which
/// broadcast as in NumPy, run in parallel by the process's workers, done when the call returns.
/// Code is made once for each combination of element types, row lengths and options, not for
/// numbers of rows, and found again in microseconds. Thread-safe.
///
/// ```
/// TensorView y = kernels::softmax(x);
/// TensorView o = kernels::attention(q, k, v, {.is_causal = true});
/// kernels::matmul(a, b, {.bias = bias, .activation = kernels::Activation::Gelu}, {out});
/// ```
///
/// Shapes and element types that do not fit are TypeCheckErrors at `at` that say both. A result may
/// be one of the inputs; one that overlaps them otherwise is made beside and copied.
namespace pto::wsp::kernels {

/// Where a result goes, and who looks after the call while it runs.
struct Destination {
    /// Makes memory for a result.
    using Allocate = std::function<TensorView(const Shape &, DType)>;

    Destination() = default;
    /// There: of the result's shape and type.
    Destination(TensorView out) : out(std::move(out)) {}          // NOLINT: memory is a target
    Destination(Allocate allocate) : out(std::move(allocate)) {}  // NOLINT: so is who makes it

    std::variant<std::monostate, TensorView, Allocate> out;  ///< none: new memory
    /// Called now and then while the call runs on other threads; what it throws ends the call.
    std::function<void()> while_waiting;
};

/// Options of `matmul`.
struct MatmulOptions {
    std::optional<TensorView> bias = {};  ///< [columns]
    Activation activation = Activation::None;
};
/// activation(a @ b + bias): [..., m, k] x [..., k, n] -> [..., m, n]. The type of a and b is also
/// that of the result, I8, U8 and I16 give I32; floats may go to memory of any float type.
TensorView matmul(const TensorView &a, const TensorView &b, const MatmulOptions &options = {},
                  const Destination &destination = {}, const Loc &at = Loc::here());

/// Over the last dimension; the result has the shape and type of x.
TensorView softmax(const TensorView &x, const Destination &destination = {},
                   const Loc &at = Loc::here());
/// Over the last dimension, see `layernorm_program`. gamma and beta are [columns] or absent.
TensorView layernorm(const TensorView &x, const std::optional<TensorView> &gamma,
                     const std::optional<TensorView> &beta, double eps = 1e-5,
                     const Destination &destination = {}, const Loc &at = Loc::here());
/// Over the last dimension, see `rmsnorm_program`. gamma is [columns] or absent.
TensorView rmsnorm(const TensorView &x, const std::optional<TensorView> &gamma, double eps = 1e-6,
                   const Destination &destination = {}, const Loc &at = Loc::here());
/// x [..., columns]; cos and sin [..., columns / 2] broadcast over the leading dimensions of x; see
/// `rope_program`.
TensorView rope(const TensorView &x, const TensorView &cos, const TensorView &sin,
                RopeForm form = RopeForm::Half, const Destination &destination = {},
                const Loc &at = Loc::here());
/// silu(gate) * up, of tensors of one shape.
TensorView swiglu(const TensorView &gate, const TensorView &up, const Destination &destination = {},
                  const Loc &at = Loc::here());

/// A query row sees that many keys before its own, and after it.
struct Window {
    int64_t left = 0, right = 0;
};

/// Options of `attention`; those of PyTorch's `scaled_dot_product_attention` by its names.
struct AttentionOptions {
    /// [..., queries, keys], broadcast. U8 keeps the keys where it is not 0; a float is added to
    /// the scores, and -inf hides.
    std::optional<TensorView> attn_mask = {};
    /// A query sees the keys up to its own position.
    bool is_causal = false;
    std::optional<double> scale = {};  ///< none: 1 / sqrt(depth)
    /// q has a multiple of the heads of k and v, each of which serves as many neighbours in q.
    bool enable_gqa = false;
    std::optional<Window> window = {};
    std::optional<TensorView> alibi_slopes = {};  ///< [heads] F32, see AttentionSpec::has_alibi
    /// Valid queries and keys of each batch entry (of each of the only leading dimension; one for a
    /// matrix). Nothing behind them is read; results behind them are 0.
    std::optional<std::vector<int64_t>> lengths = {};
    /// Valid keys of each batch entry; none: those of `lengths`, or all.
    std::optional<std::vector<int64_t>> kv_lengths = {};
    /// The key at which the first query stands: causality, window and ALiBi count from it. None:
    /// the last valid query stands at the last valid key, as in decoding.
    std::optional<int64_t> query_start = 0;
};
/// softmax(q k^T scale + bias) v: q [..., queries, depth], k [..., keys, depth], v [..., keys,
/// value depth] -> [..., queries, value depth] with up to two leading dimensions (batch, heads),
/// which broadcast. A query that sees no key gives 0; hidden keys and values may hold anything.
TensorView attention(const TensorView &q, const TensorView &k, const TensorView &v,
                     const AttentionOptions &options = {}, const Destination &destination = {},
                     const Loc &at = Loc::here());

/// What the calls of this process have needed so far.
struct LibraryStats {
    int64_t kernels = 0;   ///< pieces of code in use
    int64_t compiled = 0;  ///< of these, not found in the object cache
};
LibraryStats library_stats();

}  // namespace pto::wsp::kernels
