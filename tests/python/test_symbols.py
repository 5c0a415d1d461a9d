"""Symbols that are floats and addresses: set between runs, nothing is compiled."""

import ctypes
import gc
import weakref

import numpy as np
import pto_wsp
import pytest
from pto_wsp import (
    DType,
    ExecutionError,
    In,
    Out,
    P,
    Scalar,
    Symbol,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    workload,
)

Row = Tile[1, 4, DType.F32]


@kernel
def scaled(x: In[Row], y: Out[Row], f: Scalar[DType.F32]):
    pto.store(y, pto.load(x) * f)


@kernel(cpp_src="y(0, 0) = f; y(0, 1) = half; y(0, 2) = d; y(0, 3) = 8 * d;")
def rounded(
    y: Out[Tile[1, 4, DType.F64]],
    f: Scalar[DType.F32],
    half: Scalar[DType.F16],
    d: Scalar[DType.F64],
): ...


@kernel(cpp_src="y(0, 0) = ((const float *)table)[row];")
def looked_up(y: Out[Tile[1, 1, DType.F32]], table: Scalar[DType.U64], row: Scalar[DType.I64]): ...


def rows(count, columns=4, dtype=np.float32):
    return Tensor(np.zeros((count, columns), dtype))


def ran(program):
    program.execute()
    assert program.synchronize(60)
    return program


def scaling(X, Y, factor):
    @workload
    def w():
        for b in P(3):
            scaled[b](X[b], Y[b], factor)

    return w()


@pytest.mark.parametrize("tracked", [False, True])
def test_a_float_symbol_changes_between_runs(tracked):
    X, Y = rows(3), rows(3)
    X.data[:] = np.arange(12).reshape(3, 4)
    work = scaling(X, Y, Symbol("alpha"))
    if tracked:
        work = work.streams(2)
    program = work.compile()
    with pytest.raises(
        ExecutionError,
        match=r"symbol 'alpha' has no value\nhint: set it: program.set_symbol_f32\(\"alpha\", 0.5",
    ):
        program.execute()
    misses = pto_wsp._native.generated_objects()
    for alpha in (0.5, -1e-3, np.float32(3.25), float("inf"), 2):
        program.set_symbol_f32("alpha", alpha)
        ran(program)
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(Y.data, X.data * np.float32(alpha))
    program.set_symbol_u64("alpha", 7)
    np.testing.assert_array_equal(ran(program) and Y.data, X.data * 7)
    assert pto_wsp._native.generated_objects() == misses


def test_a_float_symbol_is_rounded_to_each_type():
    Y = rows(1, 4, np.float64)
    alpha = Symbol("alpha")

    @workload
    def w():
        rounded(Y[0], alpha, alpha, alpha)

    program = w().compile()
    program.set_symbol_f32("alpha", 1 / 3)
    ran(program)
    third = np.float64(1) / 3
    assert Y.data[0].tolist() == [np.float32(third), np.float16(third), third, 8 * third]


def test_a_symbol_that_is_a_size_too_stays_an_integer():
    X, Y = rows(3), rows(3)
    X.data[:] = 1
    n = Symbol("n")

    @workload
    def w():
        for b in P(n):
            scaled[b](X[b], Y[b], n)

    program = w().compile()
    program.set_symbol_u64("n", 2)
    ran(program)
    assert Y.data[:, 0].tolist() == [2, 2, 0]
    with pytest.raises(TypeCheckError) as caught:
        program.set_symbol_f32("n", 2.5)
    assert caught.value.text == "set_symbol_f32: symbol 'n' is an integer, got the float 2.5"
    assert caught.value.notes[0][1] == "used here"
    with pytest.raises(TypeCheckError, match="set_symbol_ptr: symbol 'n' is an integer, got an ad"):
        program.set_symbol_ptr("n", X)


def test_virtual_cycles_need_no_value_of_a_float():
    X, Y = rows(3), rows(3)
    program = scaling(X, Y, Symbol("alpha")).compile(target="cpu_sim")
    program.set_symbol_f32("alpha", 0.5)
    ran(program)
    known = scaling(X, Y, 0.5).compile(target="cpu_sim")
    assert program.stats.total_cycles == ran(known).stats.total_cycles


def lookups(Y):
    table = Symbol("table")

    @workload
    def w():
        for b in P(4):
            looked_up[b](Y[b], table, 3 - b)

    return w().compile()


def test_an_address_symbol_points_at_arrays_tensors_and_addresses():
    Y = rows(4, 1)
    program = lookups(Y)
    misses = pto_wsp._native.generated_objects()
    raw = (ctypes.c_float * 4)(9, 8, 7, 6)
    tables = [
        (np.array([1, 2, 3, 4], np.float32), [4, 3, 2, 1]),
        (Tensor(np.array([5, 6, 7, 8], np.float32)), [8, 7, 6, 5]),
        (ctypes.addressof(raw), [6, 7, 8, 9]),
    ]
    for table, wanted in tables:
        program.set_symbol_ptr("table", table)
        ran(program)
        assert Y.data[:, 0].tolist() == wanted
    assert pto_wsp._native.generated_objects() == misses


def test_what_a_symbol_points_at_is_kept_alive_until_it_is_replaced():
    program = lookups(rows(4, 1))
    table = np.ones(4, np.float32)
    alive = weakref.ref(table)
    program.set_symbol_ptr("table", table)
    del table
    gc.collect()
    assert alive() is not None
    ran(program)
    program.set_symbol_ptr("table", np.zeros(4, np.float32))
    ran(program)
    gc.collect()
    assert alive() is None


@pytest.mark.error
def test_wrong_kinds_are_refused():
    X, Y = rows(3), rows(3)
    floats = scaling(X, Y, Symbol("alpha")).compile()
    with pytest.raises(TypeCheckError) as caught:
        floats.set_symbol_ptr("alpha", X)
    assert caught.value.text == "set_symbol_ptr: symbol 'alpha' is a float, got an address"
    assert caught.value.hint == "use set_symbol_f32"
    with pytest.raises(TypeCheckError, match="the program has no symbol 'beta'\nhint: symbols: al"):
        floats.set_symbol_f32("beta", 1.0)
    for wrong in ("1", None, 1j, True):
        with pytest.raises(TypeCheckError, match="set_symbol_f32: 'alpha' must be a number, got"):
            floats.set_symbol_f32("alpha", wrong)
    pointers = lookups(rows(4, 1))
    with pytest.raises(TypeCheckError) as caught:
        pointers.set_symbol_f32("table", 0.5)
    assert caught.value.text == (
        "set_symbol_f32: symbol 'table' is an integer or an address, got the float 0.5"
    )
    for wrong in (-1, True, 2**63):
        with pytest.raises(TypeCheckError, match="'table' must be an address or an array, got"):
            pointers.set_symbol_ptr("table", wrong)
    with pytest.raises(TypeCheckError, match="'table' is a str, expected an array"):
        pointers.set_symbol_ptr("table", "X")
