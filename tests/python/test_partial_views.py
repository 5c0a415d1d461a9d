"""Partial tiles: what is outside of their valid part is neither read nor written."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    Dense,
    DType,
    In,
    Out,
    P,
    Tensor,
    TensorLayout,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    workload,
)
from pto_wsp.scalar_expr import as_expr

F32 = DType.F32

View = Callable[[Tensor], Tensor]


@kernel
def increment(x: In[Tile[4, 4, F32]], y: Out[Tile[4, 4, F32]]):
    pto.store(y, x + 1.0)


def written_by_a_task(view: View) -> tuple[int, int]:
    out = np.zeros((2, 4, 4), np.float32)
    X, O = Tensor(np.zeros((2, 4, 4), np.float32)), Tensor(out)  # noqa: E741

    @workload(fail_on_type_error=True)
    def task():
        increment(view(X)[0], view(O)[0])

    program = task().compile()
    program.execute()
    program.synchronize()
    return part_of(out[0])


def written_by_a_call(view: View) -> tuple[int, int]:
    out = np.zeros((2, 4, 4), np.float32)
    increment.compile()(view(Tensor(np.zeros((2, 4, 4), np.float32)))[0], view(Tensor(out))[0])
    return part_of(out[0])


def part_of(out: np.ndarray) -> tuple[int, int]:
    """The rows and columns from the first on that are 1 where all else is 0."""
    rows, cols = int(out[:, 0].sum()), int(out[0].sum())
    expected = np.zeros_like(out)
    expected[:rows, :cols] = 1
    np.testing.assert_array_equal(out, expected)
    return rows, cols


@pytest.mark.parametrize("written", [written_by_a_task, written_by_a_call])
@pytest.mark.parametrize(
    ("view", "part"),
    [
        (lambda t: t.valid(rows=2).valid(cols=3), (2, 3)),
        (lambda t: t.valid(cols=3).valid(rows=2), (2, 3)),
        (lambda t: t.valid(rows=2).valid(rows=3), (2, 4)),
        (lambda t: t.valid(rows=3).valid(rows=2, cols=1), (2, 1)),
        (lambda t: t.valid(rows=2).with_layout(TensorLayout.default(3)), (2, 4)),
    ],
)
def test_limits_of_valid_parts_add_up(written: Any, view: View, part: tuple[int, int]) -> None:
    assert written(view) == part


def test_limits_that_change_with_a_loop_add_up() -> None:
    out = np.zeros((3, 4, 4), np.float32)
    X, O = Tensor(np.zeros((3, 4, 4), np.float32)), Tensor(out)  # noqa: E741

    @workload(fail_on_type_error=True)
    def tasks():
        for i in P(Dense[3]):
            rows = as_expr(i) + 1
            increment[i](X[i].valid(rows=2).valid(rows=rows), O[i].valid(rows=2).valid(rows=rows))

    program = tasks().compile()
    program.execute()
    program.synchronize()
    assert [part_of(tile) for tile in out] == [(1, 4), (2, 4), (2, 4)]


@pytest.mark.error
def test_a_partial_tile_is_not_taken_apart(fails) -> None:
    partial = Tensor(np.zeros((4, 4), np.float32), name="A").valid(rows=2)

    def sliced():
        return partial[1:3]

    fails(
        TypeCheckError,
        sliced,
        "slice: A[0:4, 0:4] valid(rows = 2) is a partial tile already",
        hint="slice first, then valid(...)",
    )

    def indexed():
        return partial[3]

    fails(
        TypeCheckError,
        indexed,
        "index: A[0:4, 0:4] valid(rows = 2) is a partial tile already",
        hint="index first, then valid(...)",
    )
