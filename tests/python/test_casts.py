"""Every cast on the values at the edges of both types, compiled and evaluated, against NumPy."""

from __future__ import annotations

import inspect
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from helpers import reference
from pto_wsp import DType, In, KernelRef, Out, Tensor, Tile, kernel, pto
from targets import TARGETS, compiling_for
from tile_programs import ALL, FLOATS, NUMPY, converted

# Significant bits, exponent of the smallest number, and the exponent where infinity starts.
FORMATS = {
    DType.F16: (11, -24, 16),
    DType.BF16: (8, -133, 128),
    DType.F32: (24, -149, 128),
    DType.F64: (53, -1074, 1024),
}


def rounded(value: Fraction, dtype: DType) -> float:
    """`value` rounded once, to nearest even."""
    digits, least, end = FORMATS[dtype]
    if value == 0:
        return 0.0
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** max(exponent + 1 - digits, least)
    result = round(size / unit) * unit  # round() of a Fraction takes ties to even
    if result >= Fraction(2) ** end:
        return float("inf") if value > 0 else float("-inf")
    return float(result) if value > 0 else -float(result)


def edges(dtype: DType) -> np.ndarray:
    """Limits, powers of two and their neighbours, ties between the numbers of narrower types."""
    if dtype not in FLOATS:
        info = np.iinfo(dtype.numpy)
        near = [sign * 2**n + d for n in range(64) for d in (-1, 0, 1) for sign in (1, -1)]
        ties = [3 * 2**n + sign for n in range(1, 62) for sign in (-1, 0, 1)]
        ties += [257 * 2**n + d for n in range(1, 55) for d in (-1, 0, 1)]
        ties += [(2**24 + 1) * 2**n + d for n in range(1, 39) for d in (-1, 0, 1)]
        kept = [v for v in {*near, *ties, *(-t for t in ties), 0} if info.min <= v <= info.max]
        return np.array(sorted(kept), dtype.numpy)
    _, least, end = FORMATS[dtype]
    powers = [2.0**n for n in range(max(least, -160), min(end, 140))]
    near = [p * (1 + k * 2.0**-m) for p in powers for m in (7, 8, 10, 11, 23, 24) for k in (1, 3)]
    special = [
        0.0,
        np.inf,
        np.nan,
        5e-324,
        1e-310,
        65504,
        65519.99,
        65520,
        3.4028235e38,
        3.4028236e38,
    ]
    special += [0.1, 0.5, 1.5, 2.5, 254.5, 255.5, 32767.5, 65535.5, 2**31 - 0.5, 2.0**31, 1e300]
    special += [2.0**32 - 1, 2.0**32 + 5, 2.0**53 - 1, 2.0**63 - 1024, 2.0**64 - 2048]
    special += [3.3895e38 if dtype is DType.BF16 else float(np.finfo(NUMPY[dtype]).max)]
    values = np.array([*powers, *near, *special])
    with np.errstate(all="ignore"):
        return np.unique(np.concatenate([values, -values]).astype(NUMPY[dtype]))


def expected(values: np.ndarray, source: DType, to: DType) -> np.ndarray:
    with np.errstate(all="ignore"):
        if to not in FLOATS:
            return converted(values, to)
        exact = []
        for value in values:
            finite = source not in FLOATS or np.isfinite(value)
            number = int(value) if source not in FLOATS else float(value)
            exact.append(rounded(Fraction(number), to) if finite else number)
        return np.array(exact).astype(NUMPY[to])


def casts(source: DType, columns: int) -> KernelRef:
    def body(x: Any, *outs: Any) -> None:
        tile = pto.load(x)
        for out, to in zip(outs, ALL):
            pto.store(out, pto.cast(tile, to))

    annotations = {"x": In[Tile[1, columns, source]]}
    annotations |= {f"to_{d.name}": Out[Tile[1, columns, d]] for d in ALL}
    body.__annotations__ = annotations
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    body.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in annotations])  # type: ignore[attr-defined]
    return kernel(body)


def check(values: np.ndarray, source: DType, results: list[np.ndarray]) -> None:
    for to, result in zip(ALL, results):
        wanted = expected(values, source, to)
        same = (result[0] == wanted) | ((result[0] != result[0]) & (wanted != wanted))
        wrong = np.flatnonzero(~same)
        shown = [(values[i], result[0][i], wanted[i]) for i in wrong[:5]]
        assert not len(wrong), f"{source.name} to {to.name}: {len(wrong)} wrong: {shown}"
        if to in FLOATS and source in FLOATS:
            np.testing.assert_array_equal(np.signbit(result[0][values == 0]),
                                          np.signbit(values[values == 0]))  # fmt: skip


def outputs(columns: int) -> list[np.ndarray]:
    return [np.zeros((1, columns), NUMPY[d]) for d in ALL]


def tensors(arrays: list[np.ndarray]) -> list[Tensor]:
    return [
        Tensor(a.view(np.uint16), dtype=DType.BF16) if a.dtype == ml_dtypes.bfloat16 else Tensor(a)
        for a in arrays
    ]


@pytest.mark.property
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", ALL, ids=lambda d: d.name)
def test_compiled(source: DType, target: str) -> None:
    values = edges(source)
    results = outputs(len(values))
    with compiling_for(target):
        compiled = casts(source, len(values)).compile()
    compiled(*tensors([values[None], *results]))
    check(values, source, results)


@pytest.mark.property
@pytest.mark.parametrize("source", ALL, ids=lambda d: d.name)
def test_evaluated(source: DType) -> None:
    values = edges(source)
    results = outputs(len(values))
    reference(casts(source, len(values)), *tensors([values[None], *results]))
    check(values, source, results)
