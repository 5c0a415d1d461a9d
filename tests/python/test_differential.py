"""Compiled kernels against the slow reference evaluator, on random programs and data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from helpers import bfloat_bits, reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pto_wsp import DType, In, Out, P, Tensor, Tile, kernel, pto, workload

F16, BF16, F32, I32 = DType.F16, DType.BF16, DType.F32, DType.I32

# Of the largest value in a result: roundings in another order, or of another width on the way.
TOLERANCE = {F32: 2e-5, F16: 4e-3, BF16: 3e-2, I32: 0}

SLOW = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclasses.dataclass(frozen=True)
class Step:
    """An operation on two earlier values, chosen by number."""

    name: str
    left: int
    right: int


UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": pto.neg,
    "tanh": pto.tanh,
    "exp": lambda x: pto.exp(pto.tanh(x)),
    "log": lambda x: pto.log(pto.tanh(x) + 2),
    "sqrt": lambda x: pto.sqrt(pto.maximum(x, -x)),
    "rsqrt": lambda x: pto.rsqrt(pto.maximum(x, -x) + 1),
    "softmax": pto.softmax,
    "row mean": lambda x: x - pto.cast(pto.rowmean(x), x.dtype),
    "row max": lambda x: pto.maximum(x, 0 - pto.rowmax(x)),
    "row sum": lambda x: x + pto.cast(pto.rowsum(pto.tanh(x)), x.dtype),
    "twice transposed": lambda x: pto.transpose(pto.tanh(pto.transpose(x))),
    "scaled": lambda x: x * 0.5 + 1,
    "gram": lambda x: (
        pto.cast(pto.matmul(x @ x.T, pto.cast(pto.tanh(x), x.dtype)), x.dtype)
        if x.dtype is F32
        else x
    ),
}
INTEGER_UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": pto.neg,
    "row max": lambda x: pto.maximum(x, 0 - pto.rowmax(x)),
    "row sum": lambda x: x + pto.rowsum(x),
    "twice transposed": lambda x: pto.transpose(pto.neg(pto.transpose(x))),
    "scaled": lambda x: x * 3 + 1,
    "positions": lambda x: x + pto.row_index(x.shape[0]) - pto.column_index(x.shape[1]),
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "maximum": pto.maximum,
    "minimum": pto.minimum,
}
FLOAT_BINARY = {**BINARY, "div": lambda x, y: x / (pto.tanh(y) + 2)}


def steps(names: list[str]) -> st.SearchStrategy[list[Step]]:
    index = st.integers(0, 20)
    return st.lists(st.builds(Step, st.sampled_from(names), index, index), min_size=1, max_size=6)


def program(dtype: DType, shape: tuple[int, int], chosen: list[Step]):
    unary = INTEGER_UNARY if dtype is I32 else UNARY
    binary = BINARY if dtype is I32 else FLOAT_BINARY
    tile = Tile[(*shape, dtype)]

    def body(x: In[tile], y: In[tile], out: Out[tile]):
        pool = [pto.load(x), pto.load(y)]
        for step in chosen:
            left, right = (pool[number % len(pool)] for number in (step.left, step.right))
            operands = (left, right) if step.name in binary else (left,)
            made = {**unary, **binary}[step.name](*operands)
            # Values stay of the size of the inputs, so that errors do.
            pool.append(made if dtype is I32 else pto.cast(pto.minimum(made, 8.0), dtype))
        pto.store(out, pool[-1])

    return kernel(body)


def values(dtype: DType, shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype is I32:
        return rng.integers(-1000, 1000, shape).astype(np.int32)
    drawn = rng.uniform(-2, 2, shape).astype(np.float32)
    return bfloat_bits(drawn) if dtype is BF16 else drawn.astype(dtype.numpy)


def as_numbers(array: np.ndarray, dtype: DType) -> np.ndarray:
    if dtype is BF16:
        return (array.astype(np.uint32) << 16).view(np.float32).astype(float)
    return array.astype(float)


def compare(got: np.ndarray, expected: np.ndarray, dtype: DType) -> None:
    left, right = as_numbers(got, dtype), as_numbers(expected, dtype)
    scale = max(1.0, float(np.nanmax(np.abs(right), initial=0)))
    np.testing.assert_allclose(left, right, rtol=0, atol=TOLERANCE[dtype] * scale)


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 70))


@pytest.mark.property
@pytest.mark.parametrize("dtype", [F32, F16, BF16, I32], ids=lambda d: d.name)
@given(data=st.data(), shape=SHAPES, seed=st.integers(0, 1000))
@SLOW
def test_random_programs(dtype: DType, data: st.DataObject, shape: tuple[int, int], seed: int):
    names = [*BINARY, *INTEGER_UNARY] if dtype is I32 else [*FLOAT_BINARY, *UNARY]
    made = program(dtype, shape, data.draw(steps(names)))
    x, y = values(dtype, shape, seed), values(dtype, shape, seed + 1)
    got, expected = np.zeros_like(x), np.zeros_like(x)
    views = [Tensor(a, dtype=dtype) if dtype is BF16 else Tensor(a) for a in (x, y, got, expected)]
    made.compile()(*views[:3])
    reference(made, *views[:2], views[3])
    compare(got, expected, dtype)


@pytest.mark.property
@given(
    sizes=st.tuples(*[st.integers(1, 80)] * 3),
    trans_a=st.booleans(),
    trans_b=st.booleans(),
    acc=st.booleans(),
    dtype=st.sampled_from([F32, F16, BF16]),
)
@SLOW
def test_products(sizes, trans_a: bool, trans_b: bool, acc: bool, dtype: DType) -> None:
    m, k, n = sizes
    shapes = [(k, m) if trans_a else (m, k), (n, k) if trans_b else (k, n), (m, n)]
    tiles = [Tile[(*shapes[0], dtype)], Tile[(*shapes[1], dtype)], Tile[m, n, F32]]

    @kernel
    def product(a: In[tiles[0]], b: In[tiles[1]], c: In[tiles[2]], out: Out[tiles[2]]):
        pto.store(out, pto.matmul(a, b, c if acc else None, trans_a=trans_a, trans_b=trans_b))

    a, b = (values(dtype, shapes[i], i) for i in range(2))
    c = values(F32, shapes[2], 2)
    got, expected = np.zeros_like(c), np.zeros_like(c)
    inputs = [Tensor(x, dtype=BF16) if dtype is BF16 else Tensor(x) for x in (a, b)]
    product.compile()(*inputs, c, got)
    reference(product, *inputs, c, expected)
    compare(got, expected, F32)


@pytest.mark.property
@given(
    blocks=st.tuples(st.integers(1, 5), st.integers(1, 3)),
    tile=st.tuples(st.integers(1, 20), st.integers(1, 40)),
    flip=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    lanes=st.integers(0, 3),
)
@SLOW
def test_workloads_on_strided_views(blocks, tile, flip, lanes: int) -> None:
    """A workload over blocks of a flipped or transposed array is what NumPy makes of it."""
    (n, m), (r, c) = blocks, tile
    rng = np.random.default_rng(n * m)
    shape = (n, m, r, c)

    def array() -> np.ndarray:
        if flip[2]:
            data = np.ascontiguousarray(rng.standard_normal(shape[::-1])).T
        else:
            data = rng.standard_normal(shape)
        data = data.astype(np.float32)
        return data[:: -1 if flip[0] else 1, :, :, :: -1 if flip[1] else 1]

    x, y = array(), array()
    expected = np.float32(2) * x + y

    @kernel
    def fma(x: In[Tensor], y: In[Tensor], out: Out[Tensor]):
        pto.store(out, 2 * x + y)

    X, Y, out = Tensor(x), Tensor(y), np.zeros(shape, np.float32)
    Z = Tensor(out)

    @workload
    def blocked():
        for i, j in P(n, m):
            fma[i, j](X[i, j], Y[i, j], Z[i, j])

    work = blocked()
    if lanes:
        work = work.streams(lanes).stream_by("i + j")
    program = work.compile()
    program.execute()
    program.synchronize()
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-6)
