"""How far runs are, for terminals, notebooks and logs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TextIO


class Progress(NamedTuple):
    """How far a run is."""

    done: int
    """Tasks that have ended."""
    total: int | None
    """Tasks in all; None where that is not known before the end."""
    elapsed_s: float
    """Seconds since the start of the run."""
    complete: bool
    """Whether no run is going on."""

    @property
    def fraction(self) -> float | None:
        """The part of the tasks that have ended; None where their number is not known."""
        if self.total is None:
            return None
        return self.done / self.total if self.total else 1.0

    def __str__(self) -> str:
        text = f"{self.done} tasks" if self.total is None else f"{self.done}/{self.total} tasks"
        if self.fraction is not None:
            text += f", {self.fraction:.0%}"
        text += f", {self.elapsed_s:.1f} s"
        if self.fraction is not None and 0 < self.fraction < 1:
            text += f", {self.elapsed_s * (1 / self.fraction - 1):.1f} s left"
        elif self.total is None and self.elapsed_s > 0:
            text += f", {self.done / self.elapsed_s:.0f} tasks/s"
        return text


class Display(Protocol):
    """Shows how far a run is; the last call says that it has ended."""

    interval_s: float

    def show(self, progress: Progress) -> None: ...


class TerminalDisplay:
    """A line that is written again and again."""

    interval_s = 0.1
    _width = 30

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._length = 0

    def show(self, progress: Progress) -> None:
        """Writes the line; ends it when the run has ended."""
        if progress.fraction is None:
            # Something that moves, as there is no part to show.
            at = round(progress.elapsed_s / self.interval_s) % self._width
            bar = "." * at + "#" + "." * (self._width - at - 1)
        else:
            full = round(min(progress.fraction, 1.0) * self._width)
            bar = "#" * full + "." * (self._width - full)
        line = f"[{bar}] {progress}"
        self._stream.write("\r" + line.ljust(self._length) + ("\n" if progress.complete else ""))
        self._stream.flush()
        self._length = len(line)


class LogDisplay:
    """A line now and then, and one at the end."""

    interval_s = 0.1
    _between_s = 10.0

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next_s = self._between_s

    def show(self, progress: Progress) -> None:
        """Writes a line when the last one is old enough, or when the run has ended."""
        if progress.elapsed_s < self._next_s and not progress.complete:
            return
        self._next_s = progress.elapsed_s + self._between_s
        self._stream.write(f"{progress}\n")
        self._stream.flush()


class NotebookDisplay:
    """An element of a notebook's output that changes."""

    interval_s = 0.2

    def __init__(self, display: Callable[..., Any]) -> None:
        self._display = display
        self._handle: Any = None

    def show(self, progress: Progress) -> None:
        """Shows the element, then changes it."""
        value = "" if progress.fraction is None else f' value="{progress.fraction:.4f}"'
        if progress.complete:
            value = f' value="{1 if progress.fraction is None else progress.fraction:.4f}"'
        shown = {
            "text/plain": str(progress),
            "text/html": f"<progress{value} max=1></progress> {progress}",
        }
        if self._handle is None:
            self._handle = self._display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)


def display_for(stream: TextIO | None = None) -> Display:
    """The display that fits: of a notebook where this process runs one, of a terminal where
    `stream` (standard error) is one, of a log elsewhere."""
    if stream is None:
        stream = sys.stderr
        # Where IPython is not loaded, this is no notebook.
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if type(shell).__name__ == "ZMQInteractiveShell":
            from IPython.display import display

            return NotebookDisplay(display)
    return TerminalDisplay(stream) if stream.isatty() else LogDisplay(stream)


def watch(
    wait: Callable[[float], bool],
    progress: Callable[[], Progress],
    display: Display,
    timeout_s: float | None,
) -> bool:
    """Calls `wait(seconds)` until it gives True, or the timeout has passed, and shows how far the
    run is meanwhile. What `wait` raises passes through after a last look."""
    end = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        left = display.interval_s if end is None else max(end - time.monotonic(), 0.0)
        try:
            done = wait(min(left, display.interval_s))
        except BaseException:
            display.show(progress()._replace(complete=True))
            raise
        display.show(progress())
        if done:
            return True
        if end is not None and time.monotonic() >= end:
            return False
