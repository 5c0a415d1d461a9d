"""Deep expressions and deeply nested loops: built, printed, read, enumerated and run."""

from __future__ import annotations

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    DType,
    InOut,
    P,
    Scalar,
    Tensor,
    Tile,
    kernel,
    pto,
    slot_set_u64,
    workload,
)
from pto_wsp.scalar_expr import ScalarExpr, slot_u64

LOOPS = 1000


@kernel
def grow(x: InOut[Tile[2, 4, DType.F32]]):
    pto.store(x, pto.add(x, 1.0))


def nested(X, loops, in_order=False):
    """One task in so many loops; the first has 4 iterations, the others one."""

    @workload
    def deep():
        for indices in (P.seq if in_order else P)(4, *[1] * (loops - 1)):
            grow(X[indices[0]])

    return deep


def sum_of(operations, first):
    total = ScalarExpr(first)
    for i in range(operations):
        total = total + 1 if i % 2 else total - 1
    return total % 4


@pytest.mark.parametrize("in_order", [False, True])
def test_a_thousand_nested_loops_run(monkeypatch, tmp_path, in_order):
    monkeypatch.setenv("PTO_WSP_CACHE_DIR", str(tmp_path))
    X = Tensor(np.zeros((4, 2, 4), np.float32), name="X")
    w = nested(X, LOOPS, in_order)
    assert len(list(w.enumerate())) == 4
    assert w.dump().count("in Dense[1]") == LOOPS - 1
    program = w.compile()
    program.execute()
    program.synchronize()
    np.testing.assert_array_equal(X.data, np.ones((4, 2, 4), np.float32))


def test_deeper_loops_are_refused():
    X = Tensor(np.zeros((4, 2, 4), np.float32), name="X")
    with pytest.raises(CompileError, match="loops nest deeper than 1000, more are not"):
        nested(X, 1100).compile()


def test_expressions_of_ten_thousand_operations():
    X = Tensor(np.zeros((4, 2, 4), np.float32), name="X")

    @workload
    def deep():
        for i in P(4):
            grow(X[sum_of(10000, i)])

    assert len(list(deep.enumerate())) == 4
    with pytest.raises(CompileError) as caught:
        deep.compile()
    assert "an expression is 10002 levels deep, compiled are at most 500" in str(caught.value)
    assert "leave a part of it in a slot" in str(caught.value)


@pytest.mark.error
def test_errors_show_the_beginning_of_a_long_expression():
    X = Tensor(np.zeros((4, 2, 4), np.float32), name="X")

    @kernel
    def counted(x: InOut[Tile[2, 4, DType.F32]], n: Scalar[DType.U8]):
        pto.store(x, pto.add(x, 1.0))

    @workload
    def too_large():
        for i in P(4):
            counted(X[i], sum_of(5000, i) + 1000)

    (refused,) = too_large().type_errors
    assert "n = ((((... - 1) + 1) % 4) + 1000) (5003 levels deep) lies in" in refused.text
    assert len(refused.text) < 400
    with pytest.raises(CompileError) as caught:
        bool(sum_of(5000, slot_u64(0)))
    assert caught.value.text == (
        "the truth of ((((... + 1) - 1) + 1) % 4) (5002 levels deep) is not known before the "
        "program runs"
    )
    short = ScalarExpr("b % 4")
    assert short.native.shown() == str(short)


def test_what_the_hint_says_runs():
    X = Tensor(np.zeros((4, 2, 4), np.float32), name="X")

    @workload
    def parts():
        for i in P.seq(4):
            slot_set_u64(0, sum_of(400, i))
            grow(X[sum_of(400, slot_u64(0))])

    program = parts.compile()
    program.execute()
    program.synchronize()
    np.testing.assert_array_equal(X.data, np.ones((4, 2, 4), np.float32))
