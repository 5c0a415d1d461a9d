"""Loads and stores under a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import read, reference, stored
from pto_wsp import (
    Dense,
    DType,
    In,
    InOut,
    Out,
    P,
    Scalar,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    workload,
)

F32, I32 = DType.F32, DType.I32
ROWS, COLUMNS = 6, 37
Array = np.ndarray[Any, Any]


def ids(dtype: DType) -> str:
    return str(dtype.name)


def values(dtype: DType, rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return read(stored(rng.integers(0, 90, shape), dtype), dtype)


def run_both(made: Any, *arrays: Array) -> Array:
    """Results of the compiled kernel and of the evaluator, which are equal to the bit."""
    slow = [array.copy() for array in arrays]
    made.compile()(*arrays)
    reference(made, *slow)
    for one, other in zip(arrays, slow):
        np.testing.assert_array_equal(one.view(f"u{one.itemsize}"), other.view(f"u{one.itemsize}"))
    return arrays[-1]


@pytest.mark.parametrize("dtype", list(DType), ids=ids)
def test_a_masked_store_keeps_what_memory_held(dtype: DType, rng: np.random.Generator) -> None:
    @kernel
    def put(x: In[Tile[ROWS, COLUMNS, dtype]], out: Out[Tile[ROWS, COLUMNS, dtype]]):
        pto.store(out, pto.load(x), mask=pto.load(x) > 40)

    x, old = values(dtype, rng, (ROWS, COLUMNS)), values(dtype, rng, (ROWS, COLUMNS))
    out = stored(old, dtype)
    run_both(put, stored(x, dtype), out)
    np.testing.assert_array_equal(read(out, dtype), np.where(x > 40, x, old))


@pytest.mark.parametrize("dtype", [DType.F16, DType.BF16], ids=ids)
def test_every_bit_of_what_is_not_written_stays(dtype: DType) -> None:
    @kernel
    def put(x: In[Tile[1, 8, F32]], out: InOut[Tile[1, 8, dtype]]):
        pto.store(out, x, mask=pto.load(x) > 0)

    payloads = np.array([[0x7C01, 0x7D55, 0xFC01, 0x7F81, 0xFF81, 0x8000, 0x0001, 0x7FFF]], "u2")
    out = payloads.copy()
    run_both(put, np.array([[0, 0, 0, 0, 0, 0, 0, 1]], np.float32), out.view(dtype.numpy))
    np.testing.assert_array_equal(out[:, :7], payloads[:, :7])
    assert read(out.view(dtype.numpy), dtype)[0, 7] == 1


@pytest.mark.parametrize("dtype", list(DType), ids=ids)
def test_a_masked_load_is_zero_where_nothing_is_read(
    dtype: DType, rng: np.random.Generator
) -> None:
    @kernel
    def take(
        x: In[Tile[ROWS, COLUMNS, dtype]],
        keep: In[Tile[1, COLUMNS, I32]],
        out: Out[Tile[ROWS, COLUMNS, dtype]],
    ):
        pto.store(out, pto.load(x, mask=pto.load(keep) != 0))

    x = values(dtype, rng, (ROWS, COLUMNS))
    keep = rng.integers(0, 2, (1, COLUMNS)).astype(np.int32)
    if dtype.is_float:
        x = np.where(keep != 0, x, np.nan).astype(x.dtype)
    out = stored(np.ones((ROWS, COLUMNS)), dtype)
    run_both(take, stored(x, dtype), keep, out)
    np.testing.assert_array_equal(read(out, dtype), np.where(keep != 0, x, 0))


def test_hidden_elements_never_contribute(rng: np.random.Generator) -> None:
    @kernel
    def total(x: In[Tile[ROWS, COLUMNS, F32]], n: Scalar[I32], out: Out[Tile[ROWS, 1, F32]]):
        mask = pto.column_index(COLUMNS) < n
        pto.store(out, pto.rowsum(pto.load(x, mask=mask)))

    x = rng.integers(0, 9, (ROWS, COLUMNS)).astype(np.float32)
    x[:, 20:] = np.nan
    out = np.zeros((ROWS, 1), np.float32)
    total.compile()(x, 20, out)
    np.testing.assert_array_equal(out[:, 0], x[:, :20].sum(axis=1))


def test_windows_in_a_loop(rng: np.random.Generator) -> None:
    @kernel
    def spread(x: In[Tile[8, 32, F32]], n: Scalar[I32], out: Out[Tile[8, 32, F32]]):
        def body(i, carried):
            window = pto.load(x, (0, i * 8), (8, 8), mask=pto.row_index(8) > i)
            pto.store(out, window + 1, (0, i * 8), mask=pto.column_index(8) >= i)
            return carried

        pto.fori_loop(0, n, body, 0)

    x, out = rng.standard_normal((2, 8, 32)).astype(np.float32)
    wanted = out.copy()
    for i in range(3):
        window = np.where(np.arange(8)[:, None] > i, x[:, i * 8 : i * 8 + 8], 0) + 1
        part = wanted[:, i * 8 : i * 8 + 8]
        part[:, i:] = window[:, i:]
    slow = out.copy()
    spread.compile()(x, 3, out)
    reference(spread, x, 3, slow)
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(slow, wanted)


def test_in_place_and_twice(rng: np.random.Generator) -> None:
    """What one store leaves, the next one and a load see."""

    @kernel
    def twice(x: InOut[Tile[ROWS, COLUMNS, F32]], out: Out[Tile[ROWS, COLUMNS, F32]]):
        pto.store(x, -pto.load(x), mask=pto.load(x) < 0)
        pto.store(x, 1, mask=pto.load(x) > 1)
        pto.store(out, x)

    x = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
    wanted = np.minimum(np.abs(x), 1)
    out = np.zeros_like(x)
    run_both(twice, x, out)
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(x, wanted)


def test_partial_views(rng: np.random.Generator) -> None:
    @kernel
    def put(x: In[Tile[ROWS, 32, F32]], out: Out[Tile[ROWS, 32, F32]]):
        pto.store(out, x, mask=pto.load(x) > 0)

    x, out = rng.standard_normal((2, ROWS, 32)).astype(np.float32)
    wanted = out.copy()
    wanted[:4, :21] = np.where(x > 0, x, out)[:4, :21]
    put.compile()(Tensor(x).valid(rows=4, cols=21), Tensor(out).valid(rows=4, cols=21))
    np.testing.assert_array_equal(out, wanted)


def test_tasks_that_write_one_tile_under_masks_are_in_order(rng: np.random.Generator) -> None:
    @kernel
    def put(x: In[Tile[ROWS, COLUMNS, F32]], out: Out[Tile[ROWS, COLUMNS, F32]]):
        pto.store(out, x, mask=pto.load(x) > 0)

    steps = 40
    x = rng.standard_normal((steps, ROWS, COLUMNS)).astype(np.float32)
    y = np.zeros((ROWS, COLUMNS), np.float32)
    X, Y = Tensor(x), Tensor(y)

    @workload
    def all_of_them():
        for i in P(Dense[steps]):
            put[i](x=X[i], out=Y)

    program = all_of_them().compile()
    program.execute()
    assert program.synchronize()
    wanted = np.zeros_like(y)
    for each in x:
        wanted = np.where(each > 0, each, wanted)
    np.testing.assert_array_equal(y, wanted)


@pytest.mark.error
def test_what_is_no_mask_is_refused_at_its_line(fails) -> None:
    def traced(body) -> Any:
        @kernel
        def made(x: In[Tile[4, 8, F32]], y: In[Tile[3, 1, F32]], out: Out[Tile[4, 8, F32]]):
            body(x, y, out)
            pto.store(out, 0)

        return made.trace()

    def dtype() -> None:
        traced(lambda x, y, out: pto.load(x, mask=x))

    def shape() -> None:
        traced(lambda x, y, out: pto.load(x, mask=pto.load(y) > 0))

    def stored_dtype() -> None:
        traced(lambda x, y, out: pto.store(out, x, mask=pto.load(x)))

    def stored_shape() -> None:
        traced(lambda x, y, out: pto.store(out, x, mask=pto.load(y) > 0))

    makes = "a comparison makes a mask"
    fits = "each dimension must be equal or 1"
    fails(TypeCheckError, dtype, "load: the mask is f32 [4, 8], not a mask", hint=makes)
    fails(TypeCheckError, shape, "load: the mask [3, 1] does not broadcast to [4, 8]", hint=fits)
    fails(TypeCheckError, stored_dtype, "store: the mask is f32 [4, 8], not a mask", hint=makes)
    fails(
        TypeCheckError, stored_shape, "store: the mask [3, 1] does not broadcast to [4, 8]",
        hint=fits,
    )  # fmt: skip


@pytest.mark.error
def test_an_output_is_not_defined_by_a_masked_store(fails) -> None:
    @kernel
    def made(x: In[Tile[4, 8, F32]], out: Out[Tile[4, 8, F32]]):
        pto.store(out, x, mask=pto.load(x) > 0)
        pto.store(out, pto.load(out) + 1)

    with pytest.raises(TypeCheckError, match="'out' is read before anything is stored to it"):
        made.trace()
