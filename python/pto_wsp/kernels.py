"""Ready-made kernels, on arrays and for workloads.

Each is a short tile program. As a function it takes arrays of any kind (NumPy, PyTorch,
`pto_wsp.Tensor`, anything with ``__dlpack__``) in place, with any strides and leading dimensions,
runs on all workers, and gives an array of the kind of its first argument:

>>> import numpy as np
>>> from pto_wsp import kernels
>>> x = np.random.default_rng(0).standard_normal((2, 3, 8), np.float32)
>>> y = kernels.softmax(x)
>>> np.allclose(y.sum(axis=-1), 1, atol=1e-6)
True
>>> q, k, v = (np.ones((1, 4, 16, 32), np.float16) for _ in range(3))
>>> kernels.attention(q, k, v, is_causal=True).shape
(1, 4, 16, 32)

Element types are F16, BF16 (``ml_dtypes.bfloat16``, ``torch.bfloat16``), F32 and F64; what is
narrower than F32 is computed in F32 and rounded once. Code is made once for each combination of
element types, row lengths and options, whatever the number of rows, batches or keys;
`library_stats` counts it.

The same programs are kernels for the tasks of a workload, by names that end in ``_kernel``:

>>> from pto_wsp import DType, Tile
>>> norm = kernels.rmsnorm_kernel(Tile[64, 128, DType.F32])
>>> list(norm.signature)
['x', 'gamma', 'out']
>>> [op.name for op in norm.ir.ops]
['load', 'mul', 'rowmean', 'constant', 'add', 'rsqrt', 'mul', 'load', 'mul', 'store']
>>> schedule = norm.compile().schedule  # what the heuristic chose, as data
>>> print(schedule)  # doctest: +ELLIPSIS
vectorize("store0", ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pto_wsp._pto_wsp as native
from pto_wsp._pto_wsp import LibraryStats, library_stats
from pto_wsp.annotations import TileSpec
from pto_wsp.dtypes import DType, dtype_of
from pto_wsp.errors import TypeCheckError, error
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.program_kernels import ProgramKernel
from pto_wsp.symbols import affine_of

Activation = Literal["relu", "gelu", "silu", "tanh", "sigmoid"]

__all__ = [
    "LibraryStats",
    "attention",
    "attention_kernel",
    "layernorm",
    "layernorm_kernel",
    "library_stats",
    "matmul",
    "matmul_kernel",
    "rmsnorm",
    "rmsnorm_kernel",
    "rope",
    "rope_kernel",
    "softmax",
    "softmax_kernel",
    "swiglu",
    "swiglu_kernel",
]


def matmul(
    a: Any, b: Any, bias: Any = None, activation: Activation | None = None, out: Any = None
) -> Any:
    """``activation(a @ b + bias)``.

    Parameters
    ----------
    a : array, [..., m, k]
    b : array, [..., k, n]
        Of the type of `a`; leading dimensions broadcast.
    bias : array, [n], optional
    activation : {"relu", "gelu", "silu", "tanh", "sigmoid"}, optional
        Before the result is rounded.
    out : array, [..., m, n], optional
        Where the result goes. Floats go to an array of any float type.

    Returns
    -------
    array, [..., m, n]
        Of the type of `a`; I8, U8 and I16 give I32.

    Raises
    ------
    TypeCheckError
        Shapes or types that do not fit.
    """
    return native.matmul(a, b, bias, activation, out)


def softmax(x: Any, out: Any = None) -> Any:
    """Softmax over the last dimension, the maximum subtracted.

    Parameters
    ----------
    x : array, [..., columns]
    out : array, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    array
        Of the shape and type of `x`. A row with NaN, with +inf or of -inf alone is NaN.
    """
    return native.softmax(x, out)


def layernorm(
    x: Any, gamma: Any = None, beta: Any = None, eps: float = 1e-5, out: Any = None
) -> Any:
    """``(x - mean) / sqrt(variance + eps) * gamma + beta`` over the last dimension.

    Parameters
    ----------
    x : array, [..., columns]
    gamma, beta : array, [columns], optional
        Of any float type, both of one.
    eps : float
    out : array, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    array
        Of the shape and type of `x`.
    """
    return native.layernorm(x, gamma, beta, eps, out)


def rmsnorm(x: Any, gamma: Any = None, eps: float = 1e-6, out: Any = None) -> Any:
    """``x / sqrt(mean(x * x) + eps) * gamma`` over the last dimension.

    Parameters
    ----------
    x : array, [..., columns]
    gamma : array, [columns], optional
        Of any float type.
    eps : float
    out : array, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    array
        Of the shape and type of `x`.
    """
    return native.rmsnorm(x, gamma, eps, out)


def rope(x: Any, cos: Any, sin: Any, interleaved: bool = False, out: Any = None) -> Any:
    """Rotary position embedding: pairs of elements of each row turned by angles.

    Parameters
    ----------
    x : array, [..., columns]
    cos, sin : array, [..., columns / 2]
        Of the angle of each pair; they broadcast over the leading dimensions of `x`.
    interleaved : bool
        A pair is elements 2 i and 2 i + 1; otherwise i and i + columns / 2.
    out : array, optional
        Where the result goes; it may be `x`.

    Returns
    -------
    array
        Of the shape and type of `x`: (a, b) becomes (a cos - b sin, b cos + a sin).
    """
    return native.rope(x, cos, sin, interleaved, out)


def swiglu(gate: Any, up: Any, out: Any = None) -> Any:
    """``silu(gate) * up``.

    Parameters
    ----------
    gate, up : array, [..., columns]
        Of one shape and type.
    out : array, optional
        Where the result goes; it may be an operand.

    Returns
    -------
    array
        Of the shape and type of `gate`.
    """
    return native.swiglu(gate, up, out)


def attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    window: int | tuple[int, int] | None = None,
    alibi_slopes: Any = None,
    lengths: Sequence[int] | Any = None,
    kv_lengths: Sequence[int] | Any = None,
    query_start: int | Literal["end"] = 0,
    out: Any = None,
) -> Any:
    """``softmax(q @ k.T * scale + bias) @ v``, as PyTorch's ``scaled_dot_product_attention``.

    Parameters
    ----------
    q : array, [..., queries, depth]
        With up to two leading dimensions: batch and heads.
    k : array, [..., keys, depth]
    v : array, [..., keys, value depth]
        All of one type; leading dimensions broadcast.
    attn_mask : array, optional
        Broadcasts to [..., queries, keys]. Booleans keep the keys where they are True; floats are
        added to the scores, and -inf hides.
    dropout_p : float
        Must be 0.
    is_causal : bool
        A query sees the keys up to its own position. Together with `attn_mask`, both hold.
    scale : float, optional
        1 / sqrt(depth) by default.
    enable_gqa : bool
        The heads of `q` are a multiple of those of `k` and `v`: neighbours share one.
    window : int or pair of int, optional
        (left, right): a query sees that many keys before its own position, and after it. w: the w
        keys that end with its own, and w - 1 after it, which `is_causal` hides.
    alibi_slopes : array of F32, [heads], optional
        The scores lose slope times the distance of query and key.
    lengths, kv_lengths : sequence of int, optional
        Valid queries and keys of each batch entry (of the first leading dimension). `lengths` alone
        is for both. What lies behind is not read; results behind are 0.
    query_start : int or "end"
        The position of the first query among the keys, which `is_causal`, `window` and
        `alibi_slopes` count from: 0 as PyTorch has it; for a cache, the number of keys before;
        "end": the last query is at the last key, as in decoding.
    out : array, optional
        Where the result goes.

    Returns
    -------
    array, [..., queries, value depth]
        Of the type of `q`. A query that sees no key gives 0; hidden keys and values may hold NaN.

    Raises
    ------
    TypeCheckError
        Shapes or types that do not fit, or a dropout.

    Examples
    --------
    Decoding: one query for each head, eight heads of `q` to one of the cache, of which each batch
    entry has filled a part. Other lengths need no other code.

    >>> import numpy as np
    >>> q = np.ones((2, 8, 1, 64), np.float32)
    >>> cache = np.ones((2, 1, 4096, 64), np.float32)
    >>> attention(q, cache, cache, enable_gqa=True, kv_lengths=[100, 3000]).shape
    (2, 8, 1, 64)
    """
    if dropout_p != 0:
        raise error(
            TypeCheckError,
            f"attention: dropout_p is {dropout_p!r}, and there is no dropout",
            hint="dropout_p=0.0 is the only one",
        )
    return native.attention(
        q,
        k,
        v,
        attn_mask,
        is_causal,
        scale,
        enable_gqa,
        window,
        alibi_slopes,
        lengths,
        kv_lengths,
        query_start,
        out,
    )


def matmul_kernel(
    rows: Any,
    columns: Any,
    depth: Any,
    dtype: Any = DType.F32,
    *,
    bias: Any = None,
    activation: Activation | None = None,
    out: Any = None,
) -> KernelRef:
    """A kernel with parameters a [rows, depth], b [depth, columns], bias [1, columns], out.

    Parameters
    ----------
    rows, columns, depth : int or Symbol
    dtype : DType
        Of a and b.
    bias : DType, optional
        Of the parameter ``bias``, which is there when this is given.
    activation : {"relu", "gelu", "silu", "tanh", "sigmoid"}, optional
    out : DType, optional
        Of the result; what `pto.matmul` gives by default.
    """
    return ProgramKernel(
        native.matmul_program(
            affine_of(rows),
            affine_of(columns),
            affine_of(depth),
            dtype_of(dtype),
            _dtype(bias),
            activation,
            _dtype(out),
        )
    )


def softmax_kernel(tile: TileSpec) -> KernelRef:
    """A kernel with parameters x, out of type `tile`."""
    return ProgramKernel(native.softmax_program(_tile(tile)))


def layernorm_kernel(tile: TileSpec, eps: float = 1e-5, *, gain: Any = None) -> KernelRef:
    """A kernel with parameters x, gamma [1, columns], beta [1, columns], out.

    Parameters
    ----------
    tile : Tile
        Of x and out.
    eps : float
    gain : DType, optional
        Of gamma and beta; that of `tile` by default.
    """
    return ProgramKernel(native.layernorm_program(_tile(tile), _dtype(gain), eps))


def rmsnorm_kernel(tile: TileSpec, eps: float = 1e-6, *, gain: Any = None) -> KernelRef:
    """A kernel with parameters x, gamma [1, columns], out; see `layernorm_kernel`."""
    return ProgramKernel(native.rmsnorm_program(_tile(tile), _dtype(gain), eps))


def rope_kernel(tile: TileSpec, *, interleaved: bool = False, table: Any = None) -> KernelRef:
    """A kernel with parameters x, cos and sin [rows, columns / 2], out.

    Parameters
    ----------
    tile : Tile
        Of x and out.
    interleaved : bool
        See `rope`.
    table : DType, optional
        Of cos and sin; that of `tile` by default.
    """
    return ProgramKernel(native.rope_program(_tile(tile), interleaved, _dtype(table)))


def swiglu_kernel(tile: TileSpec) -> KernelRef:
    """A kernel with parameters gate, up, out of type `tile`."""
    return ProgramKernel(native.swiglu_program(_tile(tile)))


def attention_kernel(
    rows: Any,
    keys: Any,
    depth: int,
    dtype: Any = DType.F32,
    *,
    value_depth: int | None = None,
    scale: float | None = None,
    query_start: int | None = 0,
    is_causal: bool = False,
    window: tuple[int, int] | None = None,
    mask: Any = None,
    alibi: bool = False,
) -> KernelRef:
    """A kernel for one head: q [rows, depth], k [keys, depth], v [keys, value_depth], then the
    parameters that the options add, then out [rows, value_depth].

    Parameters
    ----------
    rows, keys : int or Symbol
    depth : int
    dtype : DType
    value_depth : int, optional
        `depth` by default.
    scale : float, optional
        1 / sqrt(depth) by default.
    query_start : int or None
        Position of the first row among the keys. None adds the scalar parameter ``query_start``.
    is_causal : bool
    window : pair of int, optional
        (left, right), see `attention`.
    mask : DType, optional
        Adds the parameter ``mask`` [rows, keys]: U8 keeps the keys where it is not 0, a float is
        added to the scores.
    alibi : bool
        Adds the parameter ``slopes`` [rows, 1] of F32.
    """
    return ProgramKernel(
        native.attention_program(
            affine_of(rows),
            affine_of(keys),
            depth,
            dtype_of(dtype),
            value_depth,
            scale,
            query_start,
            is_causal,
            window,
            _dtype(mask),
            alibi,
        )
    )


def _dtype(dtype: Any) -> DType | None:
    return None if dtype is None else dtype_of(dtype)


def _tile(tile: Any) -> native.TileType:
    if not isinstance(tile, TileSpec):
        raise error(
            TypeCheckError, f"expected a tile type, got {tile!r}", hint="Tile[rows, cols, dtype]"
        )
    return native.TileType(tile.dtype, tile.rows, tile.cols)
