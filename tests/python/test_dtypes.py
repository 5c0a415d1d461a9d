"""Every primitive on every element type against NumPy, which is the meaning of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import bfloat_bits
from pto_wsp import DType, In, Out, Tile, TypeCheckError, kernel, pto

ROWS, COLUMNS = 5, 34
FLOATS = [DType.F16, DType.BF16, DType.F32, DType.F64]
SIGNED = [DType.I8, DType.I16, DType.I32, DType.I64]
UNSIGNED = [DType.U8, DType.U16, DType.U32, DType.U64]
INTEGERS = SIGNED + UNSIGNED
ALL = FLOATS + INTEGERS
SUM = {
    **{d: d for d in ALL},
    **dict.fromkeys([DType.F16, DType.BF16], DType.F32),
    **dict.fromkeys([DType.I8, DType.I16], DType.I32),
    **dict.fromkeys([DType.U8, DType.U16], DType.U32),
}
# Relative, of functions and sums; all else is exact.
CLOSE = {DType.F16: 2e-3, DType.BF16: 2e-2, DType.F32: 2e-6, DType.F64: 4e-15}

erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def stored(values: np.ndarray, dtype: DType) -> np.ndarray:
    """The array of a tile: BF16 is kept as its bits."""
    if dtype is DType.BF16:
        return bfloat_bits(values.astype(np.float32))
    with np.errstate(all="ignore"):
        return values.astype(dtype.numpy)


def read(array: np.ndarray, dtype: DType) -> np.ndarray:
    if dtype is DType.BF16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def samples(dtype: DType, rng: np.random.Generator) -> np.ndarray:
    """Ordinary values and the awkward ones of the type."""
    shape = (ROWS, COLUMNS)
    if dtype in INTEGERS:
        info = np.iinfo(dtype.numpy)
        values = rng.integers(info.min, info.max, shape, dtype=dtype.numpy, endpoint=True)
        values[0, :4] = [info.min, info.max, 0, 1]
        return values
    values = rng.uniform(-4, 4, shape)
    values[0, :10] = [np.nan, np.inf, -np.inf, 0, -0.0, 1e-40, 6e-8, 3e4, -1e30, 1]
    return read(stored(values, dtype), dtype)


def run(function: Callable[..., Any], result: DType, shape: Any, *inputs: Any) -> np.ndarray:
    """`function` of tiles of (values, dtype)."""
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


def expect(actual: np.ndarray, wanted: np.ndarray, dtype: DType, close: bool = False) -> None:
    with np.errstate(all="ignore"):
        wanted = read(stored(np.asarray(wanted), dtype), dtype)
    if close and dtype in CLOSE:
        tiny = 6e-8 if dtype is DType.F16 else 1e-300 if dtype is DType.F64 else 2e-45
        np.testing.assert_allclose(actual, wanted, rtol=CLOSE[dtype], atol=tiny)
    else:
        np.testing.assert_array_equal(actual, wanted)


def ids(dtype: DType) -> str:
    return str(dtype.name)


ELEMENTWISE = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
}


@pytest.mark.parametrize("dtype", ALL, ids=ids)
@pytest.mark.parametrize("name", ELEMENTWISE)
@np.errstate(all="ignore")
def test_binary(name: str, dtype: DType, rng: np.random.Generator) -> None:
    x, y = samples(dtype, rng), samples(dtype, rng)[::-1].copy()
    wanted = ELEMENTWISE[name](x, y)
    expect(run(getattr(pto, name), dtype, x.shape, (x, dtype), (y, dtype)), wanted, dtype)
    row = y[:1].copy()
    wanted = ELEMENTWISE[name](row, x)
    expect(
        run(lambda a, b: getattr(pto, name)(b, a), dtype, x.shape, (x, dtype), (row, dtype)),
        wanted,
        dtype,
    )


@pytest.mark.parametrize("dtype", INTEGERS, ids=ids)
@np.errstate(all="ignore")
def test_integer_division(dtype: DType, rng: np.random.Generator) -> None:
    x, y = samples(dtype, rng), samples(dtype, rng)[::-1].copy()
    y[:, ::3] = 3
    expect(run(lambda a, b: a // b, dtype, x.shape, (x, dtype), (y, dtype)), x // y, dtype)
    expect(run(lambda a, b: a % b, dtype, x.shape, (x, dtype), (y, dtype)), x % y, dtype)
    with pytest.raises(TypeCheckError, match=r"division of .* is not defined on tiles of integers"):
        run(pto.div, dtype, x.shape, (x, dtype), (y, dtype))


FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "erf": erf,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * 0.5 * erfc(-x * math.sqrt(0.5)),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=ids)
@pytest.mark.parametrize("name", FUNCTIONS)
@np.errstate(all="ignore")
def test_functions(name: str, dtype: DType, rng: np.random.Generator) -> None:
    x = samples(dtype, rng)
    wanted = FUNCTIONS[name](x.astype(np.float64))
    expect(run(getattr(pto, name), dtype, x.shape, (x, dtype)), wanted, dtype, close=True)


@pytest.mark.parametrize("dtype", INTEGERS, ids=ids)
def test_functions_refuse_integers(dtype: DType, rng: np.random.Generator) -> None:
    x = samples(dtype, rng)
    for name in FUNCTIONS:
        with pytest.raises(TypeCheckError, match=rf"{name}: .* is not a float"):
            run(getattr(pto, name), dtype, x.shape, (x, dtype))


@pytest.mark.parametrize("dtype", ALL, ids=ids)
@np.errstate(all="ignore")
def test_unary_and_moves(dtype: DType, rng: np.random.Generator) -> None:
    x = samples(dtype, rng)
    y = samples(dtype, rng)
    for function, wanted in [
        (pto.neg, (-x.astype(dtype.numpy) if dtype in INTEGERS else -x)),
        (pto.abs, np.abs(x)),
        (pto.relu, np.maximum(x, 0)),
        (pto.transpose, x.T),
        (pto.slice_even, x[:, ::2]),
        (pto.slice_odd, x[:, 1::2]),
        (lambda t: pto.reshape(t, (COLUMNS, ROWS)), x.reshape(COLUMNS, ROWS)),
        (lambda t: pto.where(t > 1, t, 0), np.where(x > 1, x, np.zeros_like(x))),
    ]:
        expect(run(function, dtype, wanted.shape, (x, dtype)), wanted, dtype)
    both = np.empty((ROWS, 2 * COLUMNS), x.dtype)
    both[:, ::2], both[:, 1::2] = x, y
    expect(run(pto.interleave, dtype, both.shape, (x, dtype), (y, dtype)), both, dtype)


@pytest.mark.parametrize("dtype", ALL, ids=ids)
@np.errstate(all="ignore")
def test_reductions(dtype: DType, rng: np.random.Generator) -> None:
    x = samples(dtype, rng)
    for axis, prefix in [(1, "row"), (0, "col")]:
        shape = (ROWS, 1) if axis else (1, COLUMNS)
        for suffix, of in [("max", np.max), ("min", np.min)]:
            wanted = of(x, axis=axis, keepdims=True)
            expect(run(getattr(pto, prefix + suffix), dtype, shape, (x, dtype)), wanted, dtype)
        kind = SUM[dtype]
        small = x if dtype in INTEGERS else np.nan_to_num(x, nan=1, posinf=2, neginf=3)
        small = small if dtype in INTEGERS else read(stored(np.clip(small, -9, 9), dtype), dtype)
        wide = np.float64 if dtype in FLOATS else kind.numpy
        wanted = small.astype(wide).sum(axis=axis, keepdims=True, dtype=wide)
        actual = run(getattr(pto, prefix + "sum"), kind, shape, (small, dtype))
        if dtype in FLOATS:
            np.testing.assert_allclose(actual, wanted, rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(actual, wanted)


@pytest.mark.parametrize("source", ALL, ids=ids)
@np.errstate(all="ignore")
def test_casts(source: DType, rng: np.random.Generator) -> None:
    x = samples(source, rng)
    for to in ALL:
        wanted = x
        if source in FLOATS and to in INTEGERS:
            # What is out of range is the machine's: test_core has it.
            info = np.iinfo(to.numpy)
            inside = (x > float(info.min)) & (x < float(info.max))
            wanted = np.where(inside, x, 1)
            x = read(stored(wanted, source), source)
            wanted = x
        if to is DType.BF16 and source is DType.F64:
            continue  # the test's own rounding goes through float32
        expect(run(lambda t, to=to: pto.cast(t, to), to, x.shape, (x, source)), wanted, to)


@pytest.mark.parametrize("dtype", ALL, ids=ids)
@np.errstate(all="ignore")
def test_matmul(dtype: DType, rng: np.random.Generator) -> None:
    low = 0 if dtype in UNSIGNED else -3
    a = rng.integers(low, 4, (7, 33)).astype(read(stored(np.zeros(1), dtype), dtype).dtype)
    b = rng.integers(low, 4, (33, 18)).astype(a.dtype)
    kind = {
        DType.F16: DType.F32,
        DType.BF16: DType.F32,
        DType.I8: DType.I32,
        DType.U8: DType.I32,
        DType.I16: DType.I32,
    }.get(dtype, dtype)
    wanted = a.astype(np.int64) @ b.astype(np.int64)
    expect(run(pto.matmul, kind, (7, 18), (a, dtype), (b, dtype)), wanted, kind)


@pytest.mark.parametrize("dtype", ALL, ids=ids)
def test_topk(dtype: DType, rng: np.random.Generator) -> None:
    x = samples(dtype, rng)
    k = 6
    # NaN is the largest; equal values keep their order.
    keys = np.where(np.isnan(x), np.inf, x) if dtype in FLOATS else x
    order = np.array(
        [sorted(range(COLUMNS), key=lambda c, r=r: (not np.isnan(x[r, c]), -float(keys[r, c]), c)
                if dtype in FLOATS else (-int(keys[r, c]), c))[:k] for r in range(ROWS)]
    )  # fmt: skip
    expect(run(lambda t: pto.topk(t, k)[1], DType.U32, (ROWS, k), (x, dtype)), order, DType.U32)
    wanted = np.take_along_axis(x, order, axis=1)
    expect(run(lambda t: pto.topk(t, k)[0], dtype, (ROWS, k), (x, dtype)), wanted, dtype)


def test_sorted_pairs(rng: np.random.Generator) -> None:
    scores = rng.integers(-5, 5, (1, 32)).astype(np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")

    @kernel
    def sort(x: In[Tile[1, 32, DType.F32]], values: Out[Tile[1, 32, DType.F32]],
             places: Out[Tile[1, 8, DType.U32]]):  # fmt: skip
        pairs = pto.tsort32(x, pto.iota_u32(32))
        pto.store(values, pto.slice_even(pairs))
        pto.store(places, pto.extract_topk_indices(pairs, 8))

    values, places = np.empty_like(scores), np.empty((1, 8), np.uint32)
    sort.compile()(scores, values, places)
    np.testing.assert_array_equal(values, np.take_along_axis(scores, order, axis=1))
    np.testing.assert_array_equal(places, order[:, :8])


def test_static_assert_and_alloc() -> None:
    @kernel
    def filled(out: Out[Tile[2, 3, DType.I8]]):
        pto.static_assert(out.shape == (2, 3), "never")
        pto.store(out, pto.alloc((2, 3), DType.I8) + 7)

    result = np.zeros((2, 3), np.int8)
    filled.compile()(result)
    assert (result == 7).all()

    @kernel
    def refused(out: Out[Tile[2, 3, DType.I8]]):
        pto.static_assert(out.shape[0] % 16 == 0, "rows come in 16")
        pto.store(out, pto.alloc((2, 3), DType.I8))

    with pytest.raises(TypeCheckError, match=r"pto.static_assert: rows come in 16") as caught:
        refused.compile()
    assert caught.value.at[0] == __file__
