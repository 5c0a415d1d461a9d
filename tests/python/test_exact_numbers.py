"""Numbers of 64 bits are exact from Python to the kernel and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import reference
from pto_wsp import (
    Dense,
    DType,
    In,
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

WIDE = {
    DType.I64: [-(2**63), -(2**53) - 1, 2**53 + 1, 2**63 - 1],
    DType.U64: [0, 2**53 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1],
}
CASES = [(dtype, number) for dtype, numbers in WIDE.items() for number in numbers]
FLOATS = [DType.F16, DType.F32, DType.F64]


@pytest.mark.parametrize(("dtype", "number"), CASES)
def test_constants(dtype: DType, number: int) -> None:
    @kernel
    def put(x: In[Tile[1, 2, dtype]], out: Out[Tile[4, 2, dtype]]):
        pto.store(out, pto.load(x) + number, (0, 0))
        pto.store(out, pto.broadcast(pto.constant(number, dtype), (1, 2)), (1, 0))
        pto.store(out, pto.where(pto.load(x) < number, 1, pto.load(x)), (2, 0))
        pto.store(out, pto.load(x) * 0 + pto.constant(number), (3, 0))

    x = np.array([[0, 1]], dtype.numpy)
    out, slow = np.zeros((2, 4, 2), dtype.numpy)
    put.compile()(x, out)
    reference(put, x, slow)
    scalar = dtype.numpy.type(number)
    with np.errstate(all="ignore"):
        wanted = np.concatenate(
            [x + scalar, 0 * x + scalar, np.where(x < scalar, 1, x), 0 * x + scalar]
        )
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(slow, wanted)


@pytest.mark.parametrize(("dtype", "number"), CASES)
@pytest.mark.parametrize("given", [int, "numpy"])
def test_scalars(dtype: DType, number: int, given: Any) -> None:
    @kernel
    def put(n: Scalar[dtype], out: Out[Tile[1, 2, dtype]]):
        pto.store(out, pto.broadcast(n, (1, 2)))

    out, slow, task = np.zeros((3, 1, 2), dtype.numpy)
    passed = number if given is int else dtype.numpy.type(number)
    put.compile()(passed, out)
    reference(put, number, slow)
    Y = Tensor(task)

    @workload
    def once():
        for i in P(Dense[1]):
            put[i](n=passed, out=Y)

    program = once().compile()
    program.execute()
    assert program.synchronize()
    for each in (out, slow, task):
        np.testing.assert_array_equal(each, np.full((1, 2), number, dtype.numpy))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "number", [float("inf"), -float("inf"), float("nan"), -0.0, 0.0, 1e-45, np.float32(0.1),
               np.float16(0.1), 2**70, 2**63, 3, np.int8(-3), np.uint64(2**64 - 1)],
)  # fmt: skip
def test_constants_of_floats(dtype: DType, number: Any) -> None:
    @kernel
    def put(x: In[Tile[1, 2, dtype]], out: Out[Tile[2, 2, dtype]]):
        pto.store(out, pto.load(x) * number, (0, 0))
        pto.store(out, pto.broadcast(pto.constant(number, dtype), (1, 2)), (1, 0))

    x = np.array([[1, -1]], dtype.numpy)
    out, slow = np.zeros((2, 2, 2), dtype.numpy)
    put.compile()(x, out)
    reference(put, x, slow)
    with np.errstate(all="ignore"):
        value = dtype.numpy.type(float(number))
        wanted = np.concatenate([x * value, np.full((1, 2), value)])
    for each in (out, slow):
        np.testing.assert_array_equal(each, wanted)
        signed = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(each)[signed], np.signbit(wanted)[signed])


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_of_either_sign_in_one_kernel(dtype: DType) -> None:
    @kernel
    def signs(x: In[Tile[1, 3, dtype]], out: Out[Tile[3, 3, dtype]]):
        tile = pto.load(x)
        zero, minus = pto.constant(0.0, dtype), pto.constant(-0.0, dtype)
        pto.store(out, pto.where(tile > 0, minus, zero), (0, 0))
        pto.store(out, 1.0 / pto.where(tile > 0, minus, zero), (1, 0))
        pto.store(out, 1.0 / pto.gelu(tile), (2, 0))

    x = np.array([[1, 0, -0.0]], dtype.numpy)
    out, slow = np.zeros((2, 3, 3), dtype.numpy)
    signs.compile()(x, out)
    reference(signs, x, slow)
    for each in (out, slow):
        np.testing.assert_array_equal(np.signbit(each[0]), [True, False, False])
        np.testing.assert_array_equal(each[1], [-np.inf, np.inf, np.inf])
        np.testing.assert_array_equal(each[2, 1:], [np.inf, -np.inf])


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_of_one_term_do_not_see_how_it_was_computed(dtype: DType) -> None:
    wide = DType.F64 if dtype is DType.F64 else DType.F32

    @kernel
    def sums(x: In[Tile[1, 1, dtype]], out: Out[Tile[1, 3, wide]]):
        root = pto.sqrt(pto.load(x))
        pto.store(out, pto.matmul(root, root), (0, 0))
        pto.store(out, pto.rowsum(pto.interleave(root, -root)), (0, 1))
        pto.store(out, pto.cast(pto.rmsnorm(root, 1e-6), wide), (0, 2))

    out = np.zeros((1, 3), wide.numpy)
    sums.compile()(np.full((1, 1), -3, dtype.numpy), out)
    assert np.isnan(out).all()


@pytest.mark.error
@pytest.mark.parametrize(
    ("dtype", "number", "holds"),
    [
        (DType.I8, 128, "-128 to 127"),
        (DType.U8, -1, "0 to 255"),
        (DType.U64, -1, f"0 to {2**64 - 1}"),
        (DType.I64, 2**63, f"{-(2**63)} to {2**63 - 1}"),
    ],
)
def test_integers_out_of_range_name_the_value_and_the_range(
    dtype: DType, number: int, holds: str
) -> None:
    @kernel
    def put(x: In[Tile[1, 2, dtype]], out: Out[Tile[1, 2, dtype]]):
        pto.store(out, pto.load(x) + number)

    with pytest.raises(TypeCheckError) as caught:
        put.trace()
    assert caught.value.text == f"add: {number} is no {dtype.value}"
    assert caught.value.hint == f"{dtype.name} has the integers from {holds}"


@pytest.mark.error
def test_what_no_type_holds() -> None:
    @kernel
    def put(out: Out[Tile[1, 1, DType.U64]]):
        pto.store(out, pto.constant(2**64, DType.U64))

    with pytest.raises(TypeCheckError, match=f"constant: {2**64} is no u64") as caught:
        put.trace()
    assert caught.value.hint == f"integers are from {-(2**63)} to {2**64 - 1}"


@pytest.mark.error
def test_scalars_out_of_range() -> None:
    @kernel
    def put(n: Scalar[DType.U64], out: Out[Tile[1, 1, DType.U64]]):
        pto.store(out, n)

    out = np.zeros((1, 1), np.uint64)
    for number in (-1, 2**64):
        with pytest.raises(TypeCheckError, match=f"from 0 to {2**64 - 1}, got {number}"):
            put.compile()(number, out)


@pytest.mark.error
def test_truth_values_are_no_numbers() -> None:
    @kernel
    def put(x: In[Tile[1, 2, DType.F32]], out: Out[Tile[1, 2, DType.F32]]):
        pto.store(out, pto.load(x) + True)

    with pytest.raises(TypeCheckError, match="operand True is neither a tile"):
        put.trace()
