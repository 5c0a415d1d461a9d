"""Broadcasting on either side, conversions between all types, sorting, what stays to be said of
single primitives; each on every element type is in test_coverage."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import read, run_on_tiles, stored
from pto_wsp import DType, In, Out, Tile, TypeCheckError, kernel, pto

ROWS, COLUMNS = 5, 34
FLOATS = [DType.F16, DType.BF16, DType.F32, DType.F64]
SIGNED = [DType.I8, DType.I16, DType.I32, DType.I64]
INTEGERS = [*SIGNED, DType.U8, DType.U16, DType.U32, DType.U64]
ALL = FLOATS + INTEGERS


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


def expect(actual: np.ndarray, wanted: np.ndarray, dtype: DType) -> None:
    with np.errstate(all="ignore"):
        wanted = read(stored(np.asarray(wanted), dtype), dtype)
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
def test_a_row_on_the_left(name: str, dtype: DType, rng: np.random.Generator) -> None:
    x, y = samples(dtype, rng), samples(dtype, rng)[::-1].copy()
    row = y[:1].copy()
    wanted = ELEMENTWISE[name](row, x)
    expect(
        run_on_tiles(
            lambda a, b: getattr(pto, name)(b, a), dtype, x.shape, (x, dtype), (row, dtype)
        ),
        wanted,
        dtype,
    )


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
        expect(run_on_tiles(lambda t, to=to: pto.cast(t, to), to, x.shape, (x, source)), wanted, to)


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
