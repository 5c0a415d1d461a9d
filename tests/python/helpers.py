"""Plain functions that several test files use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pto_wsp._pto_wsp as native
from pto_wsp import DType, In, KernelRef, Out, Tensor, Tile, kernel, pto


def said(text: str) -> list[str]:
    """The lines of what a process wrote, but for what AddressSanitizer says of the stacks on which
    Halide lowers: that it does not know them."""
    return [line for line in text.splitlines() if "WARNING: ASan doesn't fully" not in line]


def reference(kernel: KernelRef, *arguments: Any, **values: Any) -> None:
    """Runs the traced kernel with the slow evaluator, on arrays in place."""
    program = kernel.trace(**values)._program

    def passed(argument: Any, dtype: DType) -> Any:
        if isinstance(argument, (int, float)):
            return argument
        if isinstance(argument, Tensor):
            return argument.view
        # NumPy keeps BF16 as its bits.
        return Tensor(argument, dtype=dtype if dtype is DType.BF16 else None).view

    native.evaluate(
        program,
        [passed(each, param.type.dtype) for each, param in zip(arguments, program.params)],
    )


def bfloat_bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The nearest BF16 numbers, as bits."""
    import ml_dtypes

    return values.astype(ml_dtypes.bfloat16).view(np.uint16)


def stored(values: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """The array of a tile: BF16 is kept as its bits."""
    if dtype is DType.BF16:
        return bfloat_bits(values.astype(np.float32))
    with np.errstate(all="ignore"):
        return values.astype(dtype.numpy)


def read(array: np.ndarray[Any, Any], dtype: DType) -> np.ndarray[Any, Any]:
    """The values of `stored`."""
    if dtype is DType.BF16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def run_on_tiles(
    function: Callable[..., Any],
    result: DType,
    shape: Any,
    *inputs: tuple[np.ndarray[Any, Any], DType],
) -> np.ndarray[Any, Any]:
    """What a kernel makes of `function` of one or two tiles of (values, dtype)."""
    kinds = [Tile[values.shape[0], values.shape[1], dtype] for values, dtype in inputs]
    out_kind = Tile[shape[0], shape[1], result]
    if len(inputs) == 1:

        @kernel
        def one(x: In[kinds[0]], out: Out[out_kind]):
            pto.store(out, function(pto.load(x)))

        made = one
    else:

        @kernel
        def two(x: In[kinds[0]], y: In[kinds[1]], out: Out[out_kind]):
            pto.store(out, function(pto.load(x), pto.load(y)))

        made = two
    out = stored(np.zeros(shape), result)
    made.compile()(*(stored(values, dtype) for values, dtype in inputs), out)
    return read(out, result)


# Largest error, relative to the largest expected magnitude, of a kernel that sums in F32 (F64 in
# F64) and rounds once: by the name of its element type.
TOLERANCE = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 4e-6, "float64": 1e-13}


def assert_close(got: Any, expected: np.ndarray[Any, Any]) -> None:
    """Within TOLERANCE of the type of `got`, NaN where NaN is expected."""
    found = np.asarray(got).astype(np.float64)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    if found.size:
        scale = max(np.nanmax(np.abs(expected)), 1e-30) if not np.isnan(expected).all() else 1.0
        worst = np.nanmax(np.abs(found - expected)) / scale
        assert worst <= TOLERANCE[np.asarray(got).dtype.name], worst


def attention_in_float64(
    q: np.ndarray[Any, Any],
    k: np.ndarray[Any, Any],
    v: np.ndarray[Any, Any],
    *,
    visible: Any = True,
    bias: Any = 0.0,
    scale: float | None = None,
) -> np.ndarray[Any, Any]:
    """softmax(q k^T scale + bias) v; hidden keys have weight 0 and are not read."""
    q, k, v = (array.astype(np.float64) for array in (q, k, v))
    factor = 1 / np.sqrt(max(q.shape[-1], 1)) if scale is None else scale
    with np.errstate(invalid="ignore"):
        scores = q @ np.swapaxes(k, -1, -2) * factor + bias
    visible = np.broadcast_to(visible, scores.shape)
    scores = np.where(visible, scores, -np.inf)
    most = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isneginf(most), 0, most))
    total = weights.sum(axis=-1, keepdims=True)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), 0)
    terms = np.where(visible[..., None], v[..., None, :, :], 0) * weights[..., None]
    return np.asarray(terms.sum(axis=-2))


def band(
    queries: int, keys: int, *, left: int | None = None, right: int | None = None, start: int = 0
) -> np.ndarray[Any, Any]:
    """Which keys a query at position row + `start` sees: [queries, keys]."""
    distance = np.arange(keys)[None, :] - (np.arange(queries)[:, None] + start)
    seen = np.ones((queries, keys), bool)
    if left is not None:
        seen &= distance >= -left
    if right is not None:
        seen &= distance <= right
    return seen
