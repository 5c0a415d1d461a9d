"""Shapes, strides and magnitudes that users bring, against NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import DType, In, Out, Scalar, Symbol, Tensor, Tile, TypeCheckError, kernel, pto
from targets import TARGETS, compiling_for

F16, F32, I8, I32 = DType.F16, DType.F32, DType.I8, DType.I32
SHAPES = [
    (32, 64),
    (32, 128),
    (512, 64),
    (1, 1),
    (1, 33),
    (3, 1),
    (3, 17),
    (17, 3),
    (33, 100),
    (100, 33),
]


def softmax(x: np.ndarray) -> np.ndarray:
    with np.errstate(all="ignore"):
        e = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)


def applied(
    function: Callable[[Any], Any], x: np.ndarray, shape: Any = None, dtype: Any = None
) -> np.ndarray:
    """`function` of one tile, compiled."""
    source = next(d for d in DType if d is not DType.BF16 and np.dtype(d.numpy) == x.dtype)
    result = dtype or source
    into = Tile[(*(shape or x.shape), result)]

    @kernel
    def body(x: In[Tile[x.shape[0], x.shape[1], source]], out: Out[into]):
        pto.store(out, function(pto.load(x)))

    out = np.full(shape or x.shape, 77, result.numpy)
    body.compile()(x, out)
    return out


@pytest.mark.parametrize("shape", [*SHAPES, (1024, 1024)], ids=str)
def test_chains_on_shapes(shape: tuple[int, int], rng: np.random.Generator) -> None:
    x = rng.normal(size=shape).astype(np.float32)
    np.testing.assert_array_equal(applied(lambda t: (t * 2 + 1) / 3 - t, x),
                                  (x * np.float32(2) + 1) / np.float32(3) - x)  # fmt: skip
    np.testing.assert_allclose(applied(pto.softmax, x), softmax(x), rtol=3e-6, atol=1e-30)
    np.testing.assert_array_equal(applied(pto.transpose, x, shape[::-1]), x.T)
    sums = x.sum(axis=1, keepdims=True, dtype=np.float64)
    np.testing.assert_allclose(applied(pto.rowsum, x, (shape[0], 1)), sums, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(
        applied(pto.colmax, x, (1, shape[1])), x.max(axis=0, keepdims=True)
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "sizes",
    [(128, 64, 128), (1, 1, 1), (3, 17, 1), (1, 100, 33), (33, 3, 100), (100, 33, 17)],
    ids=str,
)
def test_products_on_shapes(
    sizes: tuple[int, int, int], target: str, rng: np.random.Generator
) -> None:
    m, k, n = sizes

    @kernel
    def product(a: In[Tile[m, k, F32]], b: In[Tile[k, n, F32]], out: Out[Tile[m, n, F32]]):
        pto.store(out, a @ b)

    a, b = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(k, n)).astype(np.float32)
    out = np.zeros((m, n), np.float32)
    with compiling_for(target):
        compiled = product.compile()
    compiled(a, b, out)
    np.testing.assert_allclose(out, a.astype(np.float64) @ b, rtol=1e-5, atol=1e-5)


def test_a_large_product(rng: np.random.Generator) -> None:
    @kernel
    def product(
        a: In[Tile[1024, 1024, F32]], b: In[Tile[1024, 1024, F32]], out: Out[Tile[1024, 1024, F32]]
    ):
        pto.store(out, a @ b)

    a, b = (rng.normal(size=(1024, 1024)).astype(np.float32) for _ in range(2))
    out = np.zeros_like(a)
    product.compile()(a, b, out)
    np.testing.assert_allclose(out, a.astype(np.float64) @ b, rtol=1e-3, atol=1e-3)


VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows reversed": lambda a: a[::-1, :40],
    "columns reversed": lambda a: a[:30, ::-1],
    "both reversed": lambda a: a[::-1, ::-1],
    "every second column": lambda a: a[:, ::2],
    "every third row, backwards": lambda a: a[::-3, 1:],
    "transposed": lambda a: a.T,
    "transposed and reversed": lambda a: a.T[::-1, ::-2],
    "one row many times": lambda a: np.broadcast_to(a[:1], (17, a.shape[1])),
    "one column many times": lambda a: np.broadcast_to(a[:, 1:2], (a.shape[0], 33)),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("dtype", [F32, I8], ids=lambda d: d.name)
def test_strides(name: str, dtype: DType, rng: np.random.Generator) -> None:
    x = VIEWS[name](rng.integers(-9, 10, (36, 50)).astype(dtype.numpy))
    shape = x.shape
    whole = np.full((2 * shape[0] + 1, 3 * shape[1]), 5, dtype.numpy)
    out = whole[-2::-2, ::3]

    @kernel
    def body(x: In[Tile[(*shape, dtype)]], out: Out[Tile[(*shape, dtype)]]):
        pto.store(out, pto.maximum(x, pto.colmax(x) - 3) + pto.rowmin(x))

    body.compile()(x, out)
    wanted = np.maximum(x, x.max(axis=0, keepdims=True) - np.array(3, x.dtype)) + x.min(
        axis=1, keepdims=True
    )
    np.testing.assert_array_equal(out, wanted)
    out[:] = 5
    assert (whole == 5).all()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [F32, F16, I32], ids=lambda d: d.name)
def test_sizes_of_zero(dtype: DType, target: str) -> None:
    """What NumPy gives for arrays without rows or columns: nothing, and sums of 0."""
    N, M = Symbol("N"), Symbol("M")
    total = F32 if dtype is F16 else dtype

    @kernel
    def body(
        x: In[Tile[N, M, dtype]],
        chain: Out[Tile[N, M, dtype]],
        across: Out[Tile[M, N, dtype]],
        rows: Out[Tile[N, 1, total]],
        columns: Out[Tile[1, M, total]],
        gram: Out[Tile[N, N, total]],
    ):
        pto.store(chain, pto.maximum(x, 1) + x)
        pto.store(across, pto.transpose(x))
        pto.store(rows, pto.rowsum(x))
        pto.store(columns, pto.colsum(x))
        pto.store(gram, pto.cast(pto.matmul(x, x, trans_b=True), total))

    with compiling_for(target):
        compiled = body.compile()
    for n, m in [(0, 5), (5, 0), (0, 0), (3, 2)]:
        x = np.arange(n * m).reshape(n, m).astype(dtype.numpy)
        shapes = [
            ((n, m), dtype),
            ((m, n), dtype),
            ((n, 1), total),
            ((1, m), total),
            ((n, n), total),
        ]
        outs = [np.full(shape, 7, d.numpy) for shape, d in shapes]
        compiled(x, *outs)
        sums = [x.sum(axis=axis, keepdims=True, dtype=total.numpy) for axis in (1, 0)]
        wide = x.astype(total.numpy)
        for out, wanted in zip(outs, [np.maximum(x, 1) + x, x.T, *sums, wide @ wide.T]):
            np.testing.assert_array_equal(out, wanted)


def test_a_dim_of_zero_is_refused() -> None:
    with pytest.raises(TypeCheckError, match=r"Tile: a dim must be >= 1, got 0"):
        Tile[0, 5, F32]


@pytest.mark.parametrize("target", TARGETS)
def test_rows_that_are_masked_out(target: str, rng: np.random.Generator) -> None:
    x = rng.normal(size=(5, 33)).astype(np.float32)
    limits = np.array([[33], [0], [1], [17], [0]], np.int32)

    @kernel
    def masked(x: In[Tile[5, 33, F32]], limit: In[Tile[5, 1, I32]], out: Out[Tile[5, 33, F32]]):
        keep = pto.column_index(33) < limit
        pto.store(out, pto.softmax(pto.where(keep, x, float("-inf"))))

    out = np.zeros_like(x)
    with compiling_for(target):
        compiled = masked.compile()
    compiled(x, limits, out)
    wanted = softmax(np.where(np.arange(33) < limits, x, -np.inf))
    assert np.isnan(out[[1, 4]]).all()
    np.testing.assert_allclose(out, wanted, rtol=2e-6)


@pytest.mark.parametrize("target", TARGETS)
def test_magnitudes(target: str) -> None:
    big, tiny = np.float32(3e38), np.float32(1e-40)
    x = np.array(
        [[big, -big, 1, tiny], [tiny, -tiny, 0, -0.0], [-big, -big, -big, -big]], np.float32
    )
    with compiling_for(target), np.errstate(all="ignore"):
        np.testing.assert_allclose(applied(pto.softmax, x), softmax(x), rtol=2e-6, atol=1e-37)
        np.testing.assert_array_equal(applied(lambda t: t * 2 - t, x), x * np.float32(2) - x)
        np.testing.assert_array_equal(applied(lambda t: t * 0.5, x), x * np.float32(0.5))
        half = np.array([[60000, -60000, 6e-8, 1]], np.float16)
        # Rounded to F16 after each operation, so infinite in between.
        np.testing.assert_array_equal(
            applied(lambda t: (t * 2) * 0.5, half), half * np.float16(2) * np.float16(0.5)
        )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", [d for d in DType if d is not DType.BF16], ids=lambda d: d.name)
def test_small_tiles_are_carried(dtype: DType, target: str) -> None:
    """A carried tile of few elements: nothing may be read before it was written."""
    compiled = {}
    for shape in [(1, 1), (1, 3), (3, 1)]:

        @kernel
        def counted(x: In[Tile[(*shape, dtype)]], n: Scalar[I32], out: Out[Tile[(*shape, dtype)]],
                    fixed: Out[Tile[(*shape, dtype)]]):  # fmt: skip
            pto.store(out, pto.fori_loop(0, n, lambda i, c: c + 1, x))
            pto.store(fixed, pto.fori_loop(1, 3, lambda i, c: c + pto.cast(i, dtype), x))

        with compiling_for(target):
            compiled[shape] = counted.compile()
    for shape, call in compiled.items():
        x = np.full(shape, 5, dtype.numpy)
        for n in (-1, 0, 1, 2, 3, 8):
            out, fixed = np.zeros_like(x), np.zeros_like(x)
            call(x, n, out, fixed)
            np.testing.assert_array_equal(out, x + np.array(max(n, 0), x.dtype))
            np.testing.assert_array_equal(fixed, x + np.array(3, x.dtype))


def test_views_of_many_dimensions(rng: np.random.Generator) -> None:
    data = rng.normal(size=(2, 3, 17, 33)).astype(np.float32)

    @kernel
    def doubled(x: In[Tile[17, 33, F32]], out: Out[Tile[17, 33, F32]]):
        pto.store(out, x * 2)

    out = np.zeros_like(data)
    call = doubled.compile()
    for i, j in np.ndindex(2, 3):
        call(Tensor(data[::-1])[i, j], Tensor(out[::-1])[i, j])
    np.testing.assert_array_equal(out, data * 2)
