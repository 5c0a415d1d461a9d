"""Progress of runs, in terminals, notebooks and logs."""

import io
import re
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    Dense,
    DType,
    ExecutionError,
    InOut,
    P,
    Progress,
    Tensor,
    Tile,
    kernel,
    pto,
    workload,
)
from pto_wsp.progress import LogDisplay, NotebookDisplay, TerminalDisplay, display_for, watch


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at(done: int, total: int | None, elapsed_s: float, complete: bool = False) -> Progress:
    return Progress(done, total, elapsed_s, complete)


def test_texts() -> None:
    assert str(at(25, 100, 2.0)) == "25/100 tasks, 25%, 2.0 s, 6.0 s left"
    assert str(at(100, 100, 8.0, True)) == "100/100 tasks, 100%, 8.0 s"
    assert str(at(0, 100, 0.5)) == "0/100 tasks, 0%, 0.5 s"
    assert str(at(50, None, 2.0)) == "50 tasks, 2.0 s, 25 tasks/s"
    assert at(0, 0, 0.0, True).fraction == 1.0


def test_a_terminal_has_one_line() -> None:
    stream = Terminal()
    display = display_for(stream)
    assert isinstance(display, TerminalDisplay)
    display.show(at(50, 100, 10.0))
    display.show(at(100, 100, 20.0, True))
    first, second = stream.getvalue().split("\r")[1:]
    assert first == "[###############...............] 50/100 tasks, 50%, 10.0 s, 10.0 s left"
    # What the longer line left is written over.
    assert second.rstrip() == "[##############################] 100/100 tasks, 100%, 20.0 s"
    assert len(second.rstrip("\n")) == len(first)
    assert second.endswith("\n")
    assert stream.getvalue().count("\n") == 1


def test_a_terminal_without_a_total_shows_that_it_lives() -> None:
    stream = Terminal()
    display = TerminalDisplay(stream)
    display.show(at(5, None, 0.1))
    display.show(at(7, None, 0.2))
    bars = re.findall(r"\[(.*?)\]", stream.getvalue())
    assert bars[0] != bars[1]
    assert all(bar.count("#") == 1 for bar in bars)


def test_a_log_has_a_line_now_and_then() -> None:
    stream = io.StringIO()
    display = display_for(stream)
    assert isinstance(display, LogDisplay)
    for tenth in range(251):
        display.show(at(tenth, 1000, tenth / 10, tenth == 250))
    lines = stream.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["100/1000", "200/1000", "250/1000"]
    assert "\r" not in stream.getvalue()


def test_a_notebook_has_an_element_that_changes() -> None:
    shown: list[dict[str, str]] = []

    class Handle:
        def update(self, what: dict[str, str], raw: bool) -> None:
            assert raw
            shown.append(what)

    def display(what: dict[str, str], raw: bool, display_id: bool) -> Handle:
        assert raw and display_id
        shown.append(what)
        return Handle()

    element = NotebookDisplay(display)
    element.show(at(25, 100, 2.0))
    element.show(at(9, None, 3.0))
    element.show(at(100, 100, 8.0, True))
    assert shown[0]["text/html"].startswith('<progress value="0.2500" max=1>')
    assert shown[1]["text/html"].startswith("<progress max=1>")
    assert shown[2]["text/html"].startswith('<progress value="1.0000" max=1>')
    assert shown[2]["text/plain"] == "100/100 tasks, 100%, 8.0 s"


class Shown:
    """Keeps what it is shown."""

    interval_s = 0.001

    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def show(self, progress: Progress) -> None:
        self.seen.append(progress)


def test_watching_ends_with_the_run() -> None:
    steps = iter([False, False, True])
    display = Shown()
    assert watch(lambda _: next(steps), lambda: at(1, 2, 1.0), display, None)
    assert len(display.seen) == 3


def test_watching_ends_with_the_timeout() -> None:
    display = Shown()
    assert not watch(lambda seconds: False, lambda: at(1, 2, 1.0), display, 0.02)
    assert display.seen


def test_watching_lets_errors_through_after_a_last_look() -> None:
    def fail(seconds: float) -> bool:
        raise ExecutionError("no")

    display = Shown()
    with pytest.raises(ExecutionError, match="no"):
        watch(fail, lambda: at(1, 2, 1.0), display, None)
    assert display.seen[-1].complete


@kernel
def add_one(x: InOut[Tile[8, 8, DType.F32]]):
    pto.store(x, x + 1)


def counted(n: int) -> Any:
    X = Tensor(np.zeros((n, 8, 8), np.float32))

    @workload
    def each() -> None:
        for i in P(Dense[n]):
            add_one[i](x=X[i])

    return each()


def test_programs_show_their_progress() -> None:
    program = counted(300).compile()
    before = program.progress()
    assert (before.done, before.total, before.complete) == (0, 300, True)
    program.execute()
    stream = Terminal()
    assert program.synchronize(timeout=60, progress=stream)
    after = program.progress()
    assert (after.done, after.total, after.complete) == (300, 300, True)
    assert "300/300 tasks, 100%" in stream.getvalue()
    assert stream.getvalue().endswith("\n")
