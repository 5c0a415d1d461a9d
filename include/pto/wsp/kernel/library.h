#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "pto/wsp/kernel/program.h"
#include "pto/wsp/support/loc.h"

/// Ready-made kernels as tile programs, for tasks of workloads and for `compile_kernel`. Dims may
/// hold Symbols. F16 and BF16 are computed in F32 and rounded once, where they are stored. Each
/// kernel's result is its last parameter, `out`.
///
/// ```
/// Kernel norm(kernels::rmsnorm_program({DType::BF16, 64, 4096}));
/// norm[{i}]({X.slice(64 * i, 64 * i + 64), gamma, Y.slice(64 * i, 64 * i + 64)});
/// ```
///
/// The same on whole tensors, batched and parallel, is in `pto/wsp/program/library.h`.
namespace pto::wsp::kernels {

/// What every kernel of the library is.
using ProgramPtr = std::shared_ptr<const kernel::TileProgram>;

/// What a product may be put through before it is stored.
enum class Activation { None, Relu, Gelu, Silu, Tanh, Sigmoid };
/// `gelu` -> Gelu; TypeCheckError at `at` that lists the names otherwise.
Activation parse_activation(std::string_view name, const Loc &at = Loc::here());

/// out [rows, columns] = activation(a [rows, depth] @ b [depth, columns] + bias [1, columns]).
struct MatmulSpec {
    DType dtype = DType::F32;  ///< of a and b
    Affine rows = 1, columns = 1, depth = 1;
    std::optional<DType> bias = {};  ///< element type of the parameter `bias`, when there is one
    Activation activation = Activation::None;  ///< of floats
    std::optional<DType> out = {};             ///< none: what `tile::matmul` gives
};
/// Parameters a, b, bias (when there is one), out. TypeCheckError for an activation of integers.
ProgramPtr matmul_program(const MatmulSpec &spec, const Loc &at = Loc::here());

/// out = softmax of each row of x, its maximum subtracted. Parameters x, out.
ProgramPtr softmax_program(const kernel::TileType &tile, const Loc &at = Loc::here());

/// Normalisation of rows.
struct NormSpec {
    kernel::TileType tile = {};      ///< of x and out
    std::optional<DType> gain = {};  ///< element type of gamma (and beta); none: that of x
    double eps = 1e-5;
    bool has_gamma = true;  ///< without: x is not scaled
    bool has_beta = true;   ///< of layernorm
};
/// out = (x - mean) / sqrt(variance + eps) * gamma + beta, mean and (biased) variance of each row
/// (Ba, Kiros, Hinton 2016). Parameters x, gamma [1, columns], beta [1, columns], out.
ProgramPtr layernorm_program(const NormSpec &spec, const Loc &at = Loc::here());
/// out = x / sqrt(mean of x^2 + eps) * gamma for each row (Zhang, Sennrich 2019). Parameters x,
/// gamma [1, columns], out.
ProgramPtr rmsnorm_program(const NormSpec &spec, const Loc &at = Loc::here());

/// Which elements of a row a rotary embedding turns together.
enum class RopeForm {
    Half,        ///< c and c + columns / 2 (GPT-NeoX, Llama)
    Interleaved  ///< 2 c and 2 c + 1 (Su et al. 2021, GPT-J)
};
/// Pair c of row r of x [rows, columns] is turned by the angle whose cosine and sine are
/// cos[r, c] and sin[r, c]: (a, b) -> (a cos - b sin, b cos + a sin). Parameters x, cos and sin
/// [rows, columns / 2] of type `table`, out. TypeCheckError for an odd number of columns.
ProgramPtr rope_program(const kernel::TileType &tile, RopeForm form, DType table,
                        const Loc &at = Loc::here());

/// out = silu(gate) * up (Shazeer 2020). Parameters gate, up, out.
ProgramPtr swiglu_program(const kernel::TileType &tile, const Loc &at = Loc::here());

/// Attention of one head.
struct AttentionSpec {
    DType dtype = DType::F32;
    Affine rows = 1;  ///< of q and out
    Affine keys = 1;  ///< rows of k and v
    int64_t depth = 64;
    std::optional<int64_t> value_depth = {};  ///< columns of v and out; none: `depth`
    std::optional<double> scale = {};         ///< none: 1 / sqrt(depth)

    /// Row r of q stands at key `r + query_start`. None: a parameter `query_start`, an I32 scalar.
    std::optional<int64_t> query_start = 0;
    /// All rows stand at key `query_start`: the heads of one position.
    bool is_one_position = false;
    /// A row sees the keys up to its own.
    bool is_causal = false;
    /// Sliding window: a row sees that many keys before its own, and after it. None: all.
    std::optional<int64_t> left = {}, right = {};
    /// Element type of the parameter `mask` [rows, keys]: U8 keeps the keys where it is not 0; a
    /// float is added to the scores, and -inf hides.
    std::optional<DType> mask = {};
    /// A parameter `slopes` [rows, 1] F32: the scores lose slope times the distance of row and key
    /// (ALiBi: Press, Smith, Lewis 2021).
    bool has_alibi = false;
};
/// out [rows, value_depth] = softmax(q @ k^T * scale + bias) @ v over the keys that a row sees; a
/// row that sees none is 0. Parameters q, k, v, then those of mask, slopes, query_start that there
/// are, then out. TypeCheckError for a mask that is neither U8 nor float and for a negative window.
ProgramPtr attention_program(const AttentionSpec &spec, const Loc &at = Loc::here());

}  // namespace pto::wsp::kernels
