"""Numbers for Scalar parameters: they arrive as they are or are refused."""

from typing import Any

import numpy as np
import pytest
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
from pto_wsp.scalar_expr import as_expr

F32, I32 = DType.F32, DType.I32

X = Tensor(np.ones((1, 1), np.float32))
OUT = Tensor(np.zeros((1, 1), np.int32))


@kernel
def passed(x: In[Tile[1, 1, F32]], y: Out[Tile[1, 1, I32]], n: Scalar[I32], f: Scalar[F32] = 1.0):
    pto.store(y, pto.broadcast(n, (1, 1)))


def by_call(n: Any, f: Any = 1.0) -> int:
    passed.compile()(X, OUT, n, f)
    return int(OUT.data[0, 0])


def by_task(n: Any, f: Any = 1.0) -> int:
    @workload(fail_on_type_error=True)
    def one():
        passed(X, OUT, n, f)

    program = one().compile()
    program.execute()
    program.synchronize()
    return int(OUT.data[0, 0])


@pytest.mark.parametrize("run", [by_call, by_task])
@pytest.mark.parametrize("number", [7, -(2**31), 2**31 - 1, np.int64(-3), np.uint8(200)])
def test_integers_that_fit(run, number: Any) -> None:
    assert run(number) == number


@pytest.mark.error
@pytest.mark.parametrize("run", [by_call, by_task])
@pytest.mark.parametrize("number", [2**31, 2**32 + 7, -(2**31) - 1, 2**63, 2**70])
def test_integers_that_do_not_fit(run, number: int, fails) -> None:
    fails(
        TypeCheckError,
        lambda: run(number),
        "kernel 'passed': 'n: Scalar[I32]' holds integers from -2147483648 to 2147483647, got "
        f"{number}",
        line=None,
    )


@pytest.mark.error
@pytest.mark.parametrize("run", [by_call, by_task])
@pytest.mark.parametrize("value", ["3", None, 2.0, np.array([2]), 1j])
def test_what_is_no_integer(run, value: Any, fails) -> None:
    text = f"kernel 'passed': 'n: Scalar[I32]' needs an integer, got {value!r}"
    fails(TypeCheckError, lambda: run(value), text, line=None)


@pytest.mark.error
@pytest.mark.parametrize("run", [by_call, by_task])
def test_what_is_no_float(run, fails) -> None:
    for value in ("3", None, 1j, np.complex64(1)):
        text = f"kernel 'passed': 'f: Scalar[F32]' needs a number, got {value!r}"
        fails(TypeCheckError, lambda value=value: run(1, value), text, line=None)
    text = "kernel 'passed': 'f: Scalar[F32]' needs a number: int too large to convert to float"
    fails(TypeCheckError, lambda: run(1, 2**2000), text, line=None)


@pytest.mark.error
def test_integers_in_expressions_fit_64_bits(fails) -> None:
    def building(body):
        @workload
        def one():
            for i in P(Dense[1]):
                body(i)

        return one

    for body in (
        lambda i: as_expr(i) + 2**63,
        lambda i: i + 2**63,
        lambda i: i * 2**63,
        lambda i: X[2**63],
        lambda i: X.valid(rows=as_expr(2**63)),
    ):
        error = fails(
            TypeCheckError, building(body), "9223372036854775808 does not fit 64 bits", line=None
        )
        assert error.at == (__file__, body.__code__.co_firstlineno)
