"""Wavefronts of one task: run in blocks, untracked, with what tracked runs promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pto_wsp import (
    DenseDyn,
    DType,
    In,
    InOut,
    KernelError,
    P,
    Program,
    Tensor,
    Tile,
    TraceLevel,
    Workload,
    kernel,
    pto,
    workload,
)

Cell = Tile[1, 1, DType.I64]


@kernel
def join(up: In[Cell], left: In[Cell], here: InOut[Cell]):
    pto.store(here, up * 3 + left * 5 + here)


@kernel(
    cpp_includes=["<stdexcept>"],
    cpp_src='if (here(0, 0) < 0) throw std::runtime_error("a hole"); '
    "here(0, 0) = up(0, 0) + left(0, 0);",
)
def walk(up: In[Cell], left: In[Cell], here: InOut[Cell]): ...


def wave(cells: Tensor, task=join) -> Workload:
    """Over `cells` [planes, rows + 1, columns + 1, 1], the first row and column given."""
    planes, rows, columns, _ = cells.shape

    @workload
    def wavefront():
        for p in P(planes):
            for i in P(rows - 1):
                for j in P(columns - 1):
                    task[p, i, j](
                        cells[p, i, j + 1 : j + 2],
                        cells[p, i + 1, j : j + 1],
                        cells[p, i + 1, j + 1 : j + 2],
                    )

    return wavefront()


def expected(cells: np.ndarray) -> np.ndarray:
    cells = cells.copy()
    for i in range(1, cells.shape[1]):
        for j in range(1, cells.shape[2]):
            cells[:, i, j] += cells[:, i - 1, j] * 3 + cells[:, i, j - 1] * 5
    return cells


def ran(program: Program) -> Program:
    program.execute()
    assert program.synchronize(timeout=60)
    return program


@settings(deadline=None, max_examples=30)
@given(planes=st.integers(1, 4), rows=st.integers(1, 30), columns=st.integers(1, 30))
def test_equal_to_loops_in_order(planes: int, rows: int, columns: int) -> None:
    cells = np.random.default_rng(rows).integers(-99, 99, (planes, rows + 1, columns + 1, 1))
    want = expected(cells)
    program = ran(wave(Tensor(cells)).compile())
    np.testing.assert_array_equal(cells, want)
    assert program.stats.task_count == planes * rows * columns
    if rows > 1 and columns > 1:
        assert "blocks of them run untracked" in str(program.explain())


def test_sizes_that_runs_decide_are_tracked() -> None:
    cells = Tensor(np.ones((9, 9, 1), np.int64))
    want = expected(np.ones((1, 9, 9, 1), np.int64))[0]

    @workload
    def wavefront():
        for i in P(DenseDyn("rows")):
            for j in P(8):
                join(cells[i, j + 1 : j + 2], cells[i + 1, j : j + 1], cells[i + 1, j + 1 : j + 2])

    program = wavefront().compile()
    program.set_axis_sizes({"rows": 8})
    ran(program)
    np.testing.assert_array_equal(cells.data, want)
    assert (
        "tracking: would not be needed with one task for each i and j, loops of constant sizes, "
        "and nothing that asks for single tasks: it is a wavefront" in str(program.explain())
    )


def test_a_failing_task_stops_what_needs_it_and_nothing_else() -> None:
    cells = np.ones((2, 31, 21, 1), np.int64)
    cells[0, 11, 6] = cells[0, 5, 15] = cells[1, 30, 20] = -1
    before = cells.copy()
    program = wave(Tensor(cells), walk).compile()
    program.execute()
    with pytest.raises(KernelError, match="a hole") as caught:
        program.synchronize(timeout=60)
    lost = np.zeros(cells.shape, bool)
    lost[0, 11:, 6:] = lost[0, 5:, 15:] = lost[1, 30:, 20:] = True
    ran_tasks = ~lost
    ran_tasks[:, 0] = ran_tasks[:, :, 0] = False
    np.testing.assert_array_equal(cells[~ran_tasks], before[~ran_tasks])
    assert (cells[ran_tasks] > 1).all()
    assert [dict(error.indices) for error in caught.value.errors] == [
        {"p": 0, "i": 4, "j": 14},
        {"p": 0, "i": 10, "j": 5},
        {"p": 1, "i": 29, "j": 19},
    ]
    skipped = lost[:, 1:, 1:].sum() - 3
    assert (program.stats.failed_tasks, program.stats.skipped_tasks) == (3, skipped)


def test_dependences_are_traced_one_by_one() -> None:
    cells = np.ones((1, 4, 5, 1), np.int64)
    program = wave(Tensor(cells)).compile()
    for level, arrows in ((TraceLevel.TIMING, 0), (TraceLevel.FULL, 2 * 12 - 3 - 4)):
        program.enable_tracing(level)
        ran(program)
        events = program.trace.to_chrome_trace()["traceEvents"]
        assert sum(event["ph"] == "X" and event["name"] == "join" for event in events) == 12
        assert sum(event["ph"] == "s" for event in events) == arrows
