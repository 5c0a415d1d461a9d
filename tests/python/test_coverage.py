"""Every primitive on every element type does what `pto_wsp.coverage()` says of it, measured against
NumPy, which is the meaning of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from helpers import read, run_on_tiles, stored
from pto_wsp import (
    DType,
    TypeCheckError,
    coverage,
    pto,
)

SIZE = 32
FLOATS = [dtype for dtype in DType if dtype.is_float]
INTEGERS = [dtype for dtype in DType if not dtype.is_float]
NARROW = [DType.F16, DType.BF16]
SUM = {
    **{d: d for d in DType},
    **dict.fromkeys(NARROW, DType.F32),
    **dict.fromkeys([DType.I8, DType.I16], DType.I32),
    **dict.fromkeys([DType.U8, DType.U16], DType.U32),
}
PRODUCT = {**SUM, **dict.fromkeys([DType.U8], DType.I32), DType.U16: DType.U16}
# Significant bits, and the exponent of the least positive number.
FORMAT = {
    DType.F16: (11, -24),
    DType.BF16: (8, -133),
    DType.F32: (24, -149),
    DType.F64: (53, -1074),
}
Array = np.ndarray[Any, Any]
COVERAGE = coverage()


def last_place(exact: Array, dtype: DType) -> Array:
    """The distance between neighbours of `dtype` at each number."""
    digits, least = FORMAT[dtype]
    magnitude = np.abs(np.where(np.isfinite(exact) & (exact != 0), exact, 1)).astype(np.longdouble)
    exponent = np.frexp(magnitude)[1] - digits
    exponent = np.where(exact == 0, least, np.maximum(exponent, least))
    return np.ldexp(np.longdouble(1), exponent)


def overflows(exact: Array, dtype: DType) -> Array:
    return read(stored(exact.astype(np.float64), dtype), dtype).astype(np.longdouble)


def check(actual: Array, exact: Array, dtype: DType, bound: Any) -> None:
    """At most `bound` units of the last place of `dtype`, which may be an array of absolute
    errors' units, away from `exact`."""
    exact = exact.astype(np.longdouble)
    rounded = overflows(exact, dtype)
    special = ~np.isfinite(rounded) | ~np.isfinite(exact)
    largest = np.ldexp(
        1 - 2.0 ** -FORMAT[dtype][0], {DType.F16: 16, DType.F64: 1024}.get(dtype, 128)
    )
    # Next to overflow the largest number is a neighbour of infinity.
    allowed = (actual == rounded) | (np.isnan(actual) & np.isnan(rounded))
    allowed |= ~np.isnan(exact) & np.isfinite(actual) & (np.abs(actual) == largest)
    assert allowed[special].all(), (actual[special], rounded[special])
    with np.errstate(all="ignore"):
        error = np.abs(actual.astype(np.longdouble) - exact) / last_place(exact, dtype)
        scaled = np.where(special, 0, error - bound)
    worst = np.unravel_index(np.argmax(scaled), scaled.shape)
    assert scaled[worst] <= 0, (
        f"{float(error[worst]):.3g} ulp at {worst}: {actual[worst]!r}, not {exact[worst]!r}"
    )


def samples(dtype: DType, rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Ordinary values, all magnitudes, and the awkward ones of the type."""
    if dtype in INTEGERS:
        info = np.iinfo(dtype.numpy)
        values = rng.integers(info.min, info.max, shape, dtype=dtype.numpy, endpoint=True)
        values[0, :4] = [info.min, info.max, 0, 1]
        values[-1] = rng.integers(0, 5, shape[1])
        return values
    values = rng.uniform(-4, 4, shape)
    signs = rng.choice([-1, 1], (shape[0] // 2 + 1, shape[1]))
    spread = np.exp2(rng.uniform(-30, 12, signs.shape)) * signs
    values[: shape[0] // 2] = spread[: shape[0] // 2]
    values[0, :12] = [np.nan, np.inf, -np.inf, 0, -0.0, 1e-40, 6e-8, 3e4, -1e30, 1, -88, -104]
    return read(stored(values, dtype), dtype)


def ordinary(dtype: DType, rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """No NaN and nothing infinite."""
    x = samples(dtype, rng, shape)
    if dtype in INTEGERS:
        return x
    return np.where(np.abs(x) < 64, x, np.ones_like(x))


Inputs = list[tuple[Array, DType]]


@dataclass
class Case:
    """How to apply a primitive to tiles of `dtype`, and what NumPy makes of their values.

    `reference` is called with values as wide as exactness needs; for sums, `magnitude` gives the
    sum of the terms' magnitudes.
    """

    function: Callable[..., Any]
    reference: Callable[..., Array]
    inputs: int = 1
    result: Callable[[DType], DType] = field(default=lambda dtype: dtype)
    values: Callable[..., Array] = samples
    magnitude: Callable[..., Array] | None = None
    terms: int = SIZE
    rows: int = SIZE
    # Values of another type beside those of the case's own.
    others: Callable[[np.random.Generator], Inputs] = field(default=lambda rng: [])


def mask(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *x: pto.where(function(*x), 1, 0)


def binary(name: str, reference: Callable[..., Array], **more: Any) -> Case:
    return Case(lambda x, y: getattr(pto, name)(x, y), reference, inputs=2, **more)


def unary(name: str, reference: Callable[..., Array], **more: Any) -> Case:
    return Case(lambda x: getattr(pto, name)(x), reference, **more)


def erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[np.float64])(x.astype(np.float64))


def gelu(x: Array) -> Array:
    """With the digits that x / sqrt 2 loses in float64."""
    exact = -x.astype(np.longdouble) * np.sqrt(np.longdouble(0.5))
    z = exact.astype(np.float64)
    tail = np.vectorize(math.erfc, otypes=[np.float64])(z).astype(np.longdouble)
    slope = 2 / np.sqrt(np.longdouble(np.pi)) * np.exp(-(z.astype(np.longdouble) ** 2))
    lost = np.where(np.isfinite(exact), exact - z, 0)
    return np.asarray(x / 2 * (tail - lost * np.where(np.isfinite(z), slope, 0)))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def rmsnorm(x: Array) -> Array:
    return np.asarray(x / np.sqrt((x * x).mean(axis=1, keepdims=True) + 0.25))


def layernorm(x: Array) -> Array:
    return rmsnorm(x - x.mean(axis=1, keepdims=True))


def interleaved(x: Array, y: Array) -> Array:
    both = np.empty((x.shape[0], 2 * x.shape[1]), x.dtype)
    both[:, ::2], both[:, 1::2] = x, y
    return both


def order(x: Array) -> Array:
    """Columns of each row, the largest first, NaN before all, equal ones in their order."""

    def key(value: Any, column: int) -> Any:
        nan = bool(value != value)
        return (not nan, 0 if nan else -value if isinstance(value, float) else -int(value), column)

    rows = [sorted(range(x.shape[1]), key=lambda c, r=row: key(r[c], c)) for row in x.tolist()]
    return np.array(rows)


def topk(x: Array) -> Array:
    return np.take_along_axis(x, order(x)[:, :6], axis=1)


def mean(x: Array) -> Array:
    if x.dtype.kind == "f":
        return np.asarray(x.mean(axis=1, keepdims=True))
    sums = x.astype(object).sum(axis=1, keepdims=True)
    bits = 64
    wrap = np.vectorize(lambda s: int(s) % 2**bits, otypes=[object])(sums)
    if x.dtype.kind == "i":
        wrap = np.vectorize(lambda s: s - 2**bits if s >= 2 ** (bits - 1) else s)(wrap)
    cut = np.vectorize(lambda s: int(abs(s) // SIZE) * (1 if s >= 0 else -1), otypes=[object])(wrap)
    return cut.astype(x.dtype if x.dtype.itemsize > 2 else f"{x.dtype.kind}4")


def total(axis: int) -> Callable[[Array], Array]:
    def add(x: Array) -> Array:
        wide = {"f": x.dtype, "i": np.int64, "u": np.uint64}[x.dtype.kind]
        return np.asarray(x.sum(axis=axis, keepdims=True, dtype=wide))

    return add


def in_loop(x: Any) -> Any:
    return pto.fori_loop(0, 3, lambda i, carried: carried, x)


def product(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return a @ b
    return a.astype(np.int64) @ b.astype(np.int64)


def i32(_: DType) -> DType:
    return DType.I32


def u32(_: DType) -> DType:
    return DType.U32


ROWS, COLUMNS = np.indices((SIZE, SIZE))
same = np.asarray
compares = {"result": i32, "inputs": 2}
extreme = {"axis": 1, "keepdims": True}
down = {"axis": 0, "keepdims": True}

CASES: dict[str, Case] = {
    "print": Case(lambda x: pto.print(x) or x, same),
    "store_masked": Case(lambda x: x, same),
    "load": Case(lambda x: x, same),
    "store": Case(lambda x: x, same),
    "constant": Case(
        lambda x: pto.broadcast(pto.constant(3, x.dtype), x.shape),
        lambda x: 0 * x + 3,
        values=ordinary,
    ),
    "add": binary("add", np.add),
    "sub": binary("sub", np.subtract),
    "mul": binary("mul", np.multiply),
    "div": binary("div", np.true_divide),
    "floordiv": binary("floordiv", np.floor_divide),
    "mod": binary("mod", np.mod),
    "maximum": binary("maximum", np.maximum),
    "minimum": binary("minimum", np.minimum),
    "neg": unary("neg", np.negative),
    "abs": unary("abs", np.abs),
    "relu": unary("relu", lambda x: np.maximum(x, x.dtype.type(0))),
    "exp": unary("exp", np.exp),
    "log": unary("log", np.log),
    "sqrt": unary("sqrt", np.sqrt),
    "rsqrt": unary("rsqrt", lambda x: 1 / np.sqrt(x)),
    "tanh": unary("tanh", np.tanh),
    "sin": unary("sin", np.sin),
    "cos": unary("cos", np.cos),
    "erf": unary("erf", erf),
    "sigmoid": unary("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
    "silu": unary("silu", lambda x: x / (1 + np.exp(-x))),
    "gelu": unary("gelu", gelu),
    "cast": Case(lambda x: pto.cast(x, x.dtype), same),
    "where": Case(
        lambda x, y: pto.where(x > 1, x, y), lambda x, y: np.where(x > 1, x, y), inputs=2
    ),
    "lt": Case(mask(lambda x, y: x < y), np.less, **compares),
    "le": Case(mask(lambda x, y: x <= y), np.less_equal, **compares),
    "gt": Case(mask(lambda x, y: x > y), np.greater, **compares),
    "ge": Case(mask(lambda x, y: x >= y), np.greater_equal, **compares),
    "eq": Case(mask(lambda x, y: x == y), np.equal, **compares),
    "ne": Case(mask(lambda x, y: x != y), np.not_equal, **compares),
    "causal_mask": unary(
        "causal_mask", lambda x: np.where(COLUMNS <= ROWS, x, x.dtype.type(-np.inf))
    ),
    "rowsum": unary(
        "rowsum", total(1), result=SUM.__getitem__, values=ordinary, magnitude=total(1)
    ),
    "colsum": unary(
        "colsum", total(0), result=SUM.__getitem__, values=ordinary, magnitude=total(0)
    ),
    "rowmean": unary("rowmean", mean, result=SUM.__getitem__, values=ordinary, magnitude=mean),
    "rowmax": unary("rowmax", lambda x: x.max(**extreme)),
    "rowmin": unary("rowmin", lambda x: x.min(**extreme)),
    "colmax": unary("colmax", lambda x: x.max(**down)),
    "colmin": unary("colmin", lambda x: x.min(**down)),
    "matmul": binary(
        "matmul", product, result=PRODUCT.__getitem__, values=ordinary, magnitude=product
    ),
    "transpose": unary("transpose", np.transpose),
    "slice": Case(lambda x: pto.slice(x, 3, 5, 7, 9), lambda x: x[3:10, 5:14]),
    "reshape": Case(lambda x: pto.reshape(x, (16, 64)), lambda x: x.reshape(16, 64)),
    "slice_even": unary("slice_even", lambda x: x[:, ::2]),
    "slice_odd": unary("slice_odd", lambda x: x[:, 1::2]),
    "interleave": binary("interleave", interleaved),
    "broadcast": Case(
        lambda x: pto.broadcast(pto.slice(x, 0, 0, 1, SIZE), (4, SIZE)),
        lambda x: np.broadcast_to(x[:1], (4, SIZE)),
    ),
    "row_index": Case(lambda x: pto.row_index(SIZE, SIZE), lambda x: ROWS.astype(np.int32)),
    "column_index": Case(
        lambda x: pto.column_index(SIZE, SIZE), lambda x: COLUMNS.astype(np.int32)
    ),
    "iota_u32": Case(lambda x: pto.iota_u32(SIZE, SIZE), lambda x: COLUMNS.astype(np.uint32)),
    "tsort32": Case(
        lambda x: pto.slice_even(pto.tsort32(x, pto.iota_u32(SIZE))),
        lambda x: np.take_along_axis(x, order(x), axis=1),
        values=ordinary,
        rows=1,
    ),
    "extract_topk_indices": Case(
        lambda x: pto.extract_topk_indices(x, 16),
        lambda x: x[:, 1:32:2].copy().view(np.uint32),
        result=u32,
        values=ordinary,
    ),
    "topk_values": Case(lambda x: pto.topk_values(x, 6), topk),
    "topk_indices": Case(lambda x: pto.topk_indices(x, 6), lambda x: order(x)[:, :6], result=u32),
    "softmax": unary("softmax", softmax, values=ordinary),
    "rmsnorm": Case(lambda x: pto.rmsnorm(x, 0.25), rmsnorm, values=ordinary),
    "layernorm": Case(
        lambda x: pto.layernorm(x, 0.25),
        layernorm,
        values=ordinary,
        magnitude=lambda x: 2 * (x + x.mean(axis=1, keepdims=True)),
    ),
    "fori_loop": Case(in_loop, same),
    "max": binary("max", np.maximum),
    "min": binary("min", np.minimum),
    "rowmul": Case(
        lambda x, y: pto.rowmul(x, pto.slice(y, 0, 0, SIZE, 1)), lambda x, y: x * y[:, :1], inputs=2
    ),
    "rowadd": Case(
        lambda x, y: pto.rowadd(x, pto.slice(y, 0, 0, SIZE, 1)), lambda x, y: x + y[:, :1], inputs=2
    ),
    "colmul": Case(
        lambda x, y: pto.colmul(x, pto.slice(y, 0, 0, 1, SIZE)), lambda x, y: x * y[:1], inputs=2
    ),
    "coladd": Case(
        lambda x, y: pto.coladd(x, pto.slice(y, 0, 0, 1, SIZE)), lambda x, y: x + y[:1], inputs=2
    ),
    "alloc": Case(lambda x: pto.alloc(x.shape, x.dtype), np.zeros_like),
    "topk": Case(lambda x: pto.topk(x, 6)[0], topk),
    "static_assert": Case(lambda x: pto.static_assert(x.shape == (SIZE, SIZE)) or x, same),
}


def widened(values: Array, dtype: DType, policy: str) -> Array:
    """Values as wide as the reference of `policy` needs."""
    if dtype in INTEGERS:
        return values
    if policy in ("exact", "rounded"):
        return values.astype(np.float32) if dtype in NARROW else values
    return values.astype(np.longdouble if dtype is DType.F64 else np.float64)


@pytest.mark.parametrize("dtype", list(DType), ids=lambda dtype: str(dtype.name))
@pytest.mark.parametrize("name", list(COVERAGE))
@np.errstate(all="ignore")
def test_cell(name: str, dtype: DType, rng: np.random.Generator) -> None:
    cell, case = COVERAGE.cell(name, dtype), CASES[name]
    shape = (case.rows, SIZE)
    inputs = [(case.values(dtype, rng, shape), dtype) for _ in range(case.inputs)]
    if not cell.accepted:
        with pytest.raises(TypeCheckError) as caught:
            run_on_tiles(case.function, dtype, shape, *inputs)
        assert caught.value.text == cell.refusal
        return
    wide = [widened(values, dtype, cell.policy) for values, _ in inputs]
    wanted = np.asarray(case.reference(*wide))
    result = case.result(dtype)
    actual = run_on_tiles(case.function, result, wanted.shape, *inputs)
    if result in INTEGERS or cell.policy in ("exact", "rounded"):
        np.testing.assert_array_equal(actual, read(stored(wanted, result), result))
        return
    bound: Any = cell.ulps
    if case.magnitude is not None:
        magnitude = case.magnitude(*(np.abs(values) for values in wide))
        bound = case.terms * last_place(magnitude, result) / last_place(wanted, result)
    if cell.policy == "row":
        bound = bound + SIZE
    # math.erf and math.erfc are a unit off themselves.
    check(actual, wanted, result, bound + (1 if dtype is DType.F64 else 0))


def test_every_primitive_has_a_case_and_a_cell_on_every_type() -> None:
    assert set(CASES) == set(COVERAGE)
    assert len(COVERAGE.cells) == len(COVERAGE) * len(DType)
    assert set(COVERAGE) == {*pto.__all__, "store_masked"}


def test_the_matrix_as_text_and_html() -> None:
    text = repr(COVERAGE)
    rows = {line.split()[0]: line for line in text.splitlines() if line and line[0] != " "}
    assert rows["exp"].split()[:3] == ["exp", "1", "ulp"]
    assert rows["exp"].split()[-1] == "-"
    assert rows["transpose"].split()[1:] == ["exact"] * len(DType)
    assert "  exp I8 I16 I32 I64 U8 U16 U32 U64: exp: i8 [32, 32] is not a float" in text
    assert all(len(line) <= 170 for line in text.splitlines())
    assert "<th>exp</th>" in COVERAGE._repr_html_()
    assert COVERAGE.cell("exp", "F32").ulps == 5
    assert COVERAGE.cell("exp", DType.I32).text.startswith("refused: exp: i32")


def test_an_unknown_primitive_has_a_suggestion() -> None:
    with pytest.raises(TypeCheckError, match="there is no primitive 'exq'") as caught:
        COVERAGE.cell("exq", DType.F32)
    assert caught.value.hint == "did you mean 'exp'?"
