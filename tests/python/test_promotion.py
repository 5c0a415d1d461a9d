"""Result types and values of operations on two element types: as NumPy promotes, but for F16 and
BF16, which meet in F32 and take integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import read, stored
from pto_wsp import DType, In, Out, Tile, kernel, pto

ROWS, COLUMNS = 3, 20
PAIRS = [(a, b) for a in DType for b in DType if a is not b]
NARROW = (DType.F16, DType.BF16)
Array = np.ndarray[Any, Any]


def promoted(a: DType, b: DType) -> DType:
    if a in NARROW and b in NARROW:
        return DType.F32
    if a.is_float != b.is_float:
        return a if a.is_float else b
    if a.is_float:
        return max(a, b, key=lambda dtype: dtype.itemsize)
    return DType[np.promote_types(a.numpy, b.numpy).name.replace("uint", "U").replace("int", "I")
                 .replace("float", "F")]  # fmt: skip


def samples(dtype: DType, rng: np.random.Generator) -> Array:
    shape = (ROWS, COLUMNS)
    if dtype.is_float:
        values = rng.uniform(-300, 300, shape)
        values[0, :4] = [np.nan, np.inf, -np.inf, -0.0]
        return read(stored(values, dtype), dtype)
    info = np.iinfo(dtype.numpy)
    values = rng.integers(info.min, info.max, shape, dtype=dtype.numpy, endpoint=True)
    values[0, :5] = [info.min, info.max, 0, 1, info.max - 1]
    values[1] = rng.integers(0, 50, COLUMNS)
    return values


def nearest_bfloat(values: Array) -> Array:
    """Integers rounded once, which NumPy cannot."""

    def one(value: int) -> float:
        bits = max(abs(value).bit_length() - 8, 0)
        kept, rest = divmod(abs(value), 1 << bits)
        half = (1 << bits) // 2
        kept += 1 if bits and (rest > half or (rest == half and kept % 2)) else 0
        return float(kept << bits) * (-1 if value < 0 else 1)

    return np.vectorize(lambda value: one(int(value)), otypes=[np.float32])(values)


def as_type(values: Array, dtype: DType) -> Array:
    if dtype is DType.BF16 and values.dtype.kind in "iu":
        return nearest_bfloat(values)
    return read(stored(values, dtype), dtype)


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda dtype: str(dtype.name))
@np.errstate(all="ignore")
def test_pair(a: DType, b: DType, rng: np.random.Generator) -> None:
    result = promoted(a, b)
    kind, mask_kind = Tile[ROWS, COLUMNS, result], Tile[ROWS, COLUMNS, DType.U8]

    @kernel
    def all_of_them(
        x: In[Tile[ROWS, COLUMNS, a]], y: In[Tile[ROWS, COLUMNS, b]], added: Out[kind],
        taken: Out[kind], largest: Out[kind], chosen: Out[kind], less: Out[mask_kind],
        at_most: Out[mask_kind], equal: Out[mask_kind],
    ):  # fmt: skip
        one, zero = pto.constant(1, DType.U8), pto.constant(0, DType.U8)
        pto.store(added, pto.load(x) + y)
        pto.store(taken, pto.load(x) - y)
        pto.store(largest, pto.maximum(x, y))
        pto.store(chosen, pto.where(pto.load(x) > 3, x, y))
        pto.store(less, pto.where(pto.load(x) < y, one, zero))
        pto.store(at_most, pto.where(pto.load(x) <= y, one, zero))
        pto.store(equal, pto.where(pto.load(x) == y, one, zero))

    x, y = samples(a, rng), samples(b, rng)[:, ::-1].copy()
    y[2, :10] = as_type(x[2, :10], b)
    u, v = as_type(x, result), as_type(y, result)
    # Integers are compared as they are, all else in the common type.
    p, q = (u, v) if a.is_float or b.is_float else (x.astype(object), y.astype(object))
    outs = [stored(np.zeros(x.shape), result) for _ in range(4)]
    masks = [np.zeros(x.shape, np.uint8) for _ in range(3)]
    all_of_them.compile()(stored(x, a), stored(y, b), *outs, *masks)
    for actual, wanted in zip(outs, [u + v, u - v, np.maximum(u, v), np.where(x > 3, u, v)]):
        np.testing.assert_array_equal(read(actual, result), as_type(wanted, result))
    for actual, wanted in zip(masks, [p < q, p <= q, p == q]):
        np.testing.assert_array_equal(actual, wanted.astype(np.uint8))


@pytest.mark.parametrize("dtype", list(DType), ids=lambda dtype: str(dtype.name))
def test_python_numbers_take_the_type_of_the_tile(dtype: DType) -> None:
    @kernel
    def traced(x: In[Tile[2, 2, dtype]], out: Out[Tile[2, 2, dtype]]):
        tile = pto.load(x)
        assert (tile + 2).dtype is dtype
        assert (2 * tile).dtype is dtype
        assert (tile * pto.constant(2)).dtype is dtype
        assert pto.where(tile > 1, tile, 0).dtype is dtype
        assert pto.where(tile > 1, 1, tile).dtype is dtype
        if dtype.is_float:
            assert (tile * 0.5).dtype is dtype
        pto.store(out, tile)

    traced.trace()


ACCUMULATED = {
    **{dtype: dtype for dtype in DType},
    **dict.fromkeys(NARROW, DType.F32),
    **dict.fromkeys([DType.I8, DType.U8, DType.I16], DType.I32),
}
PRODUCTS = [(dtype, dtype) for dtype in DType] + [
    (DType.I8, DType.U8),
    (DType.F16, DType.F32),
    (DType.F16, DType.BF16),
    (DType.U16, DType.I16),
    (DType.I32, DType.F32),
]


@pytest.mark.parametrize(("a", "b"), PRODUCTS, ids=lambda dtype: str(dtype.name))
def test_products_transposed_and_added(a: DType, b: DType, rng: np.random.Generator) -> None:
    result = ACCUMULATED[promoted(a, b) if a is not b else a]
    m, k, n = 5, 18, 9

    @kernel
    def products(
        x: In[Tile[m, k, a]], xt: In[Tile[k, m, a]], y: In[Tile[k, n, b]], yt: In[Tile[n, k, b]],
        acc: In[Tile[m, n, result]], out: Out[Tile[8 * m, n, result]],
    ):  # fmt: skip
        row = 0
        for trans_a in (False, True):
            for trans_b in (False, True):
                for added in (None, pto.load(acc)):
                    made = pto.matmul(
                        xt if trans_a else x, yt if trans_b else y, added,
                        trans_a=trans_a, trans_b=trans_b,
                    )  # fmt: skip
                    assert made.dtype is result
                    pto.store(out, made, (row * m, 0))
                    row += 1

    def values(dtype: DType, shape: tuple[int, int]) -> Array:
        signed = dtype.is_float or dtype.name.startswith("I")
        return as_type(rng.integers(-5 if signed else 0, 6, shape), dtype)

    x, y, acc = values(a, (m, k)), values(b, (k, n)), values(result, (m, n))
    out = stored(np.zeros((8 * m, n)), result)
    products.compile()(
        stored(x, a), stored(x.T.copy(), a), stored(y, b), stored(y.T.copy(), b),
        stored(acc, result), out,
    )  # fmt: skip
    plain = x.astype(np.int64) @ y.astype(np.int64)
    wanted = np.concatenate([plain, plain + acc.astype(np.int64)] * 4)
    np.testing.assert_array_equal(read(out, result), as_type(wanted, result))
