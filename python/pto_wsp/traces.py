"""What was recorded of a run."""

from __future__ import annotations

import enum
import json
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.errors import ExecutionError, TypeCheckError, error


class TraceLevel(enum.IntEnum):
    """How much of a run is recorded; each level holds the ones before it."""

    NONE = 0
    """Nothing."""
    SUMMARY = 1
    """Totals of kernels and workers."""
    TIMING = 2
    """Every task: where it ran and when."""
    FULL = 3
    """Also what it waited for, its loops and streams, channels, submissions."""

    @staticmethod
    def checked(level: object) -> TraceLevel:
        """`level`, when it is one."""
        if not isinstance(level, TraceLevel):
            raise error(
                TypeCheckError,
                f"enable_tracing: expected a TraceLevel, got {level!r}",
                hint="levels: " + ", ".join(f"TraceLevel.{each.name}" for each in TraceLevel),
            )
        return level


class TraceEvent:
    """A task that ran. Times are microseconds since the start of the run.

    Attributes
    ----------
    id : int
        Number of the task in program order; of loops without tracking, one loop after the other.
    kernel : str
        The name of its kernel.
    worker : int
        The worker that ran it.
    start_us, end_us : float
        When.
    axes : dict of str to int
        The values of the loop variables around it; empty below the level FULL.
    submitted_us : float or None
        When it was submitted; None below the level FULL and for loops without tracking.
    stream : int or None
        The stream that it is in; None below the level FULL and without streams.
    failed : bool
        Whether its kernel failed.
    at : tuple of str and int
        File and line of the call.
    """

    def __init__(
        self, trace: native.Trace, index: int, task: native.TraceTask, site: native.TraceSite
    ) -> None:
        self._trace = trace
        self._index = index
        self.id = task.id
        self.kernel = site.kernel
        self.worker = task.worker
        self.start_us = task.begin_ns / 1000
        self.end_us = task.end_ns / 1000
        self.axes = dict(zip(site.loops, task.values))
        self.submitted_us = None if task.submitted_ns < 0 else task.submitted_ns / 1000
        self.stream = None if task.stream < 0 else task.stream
        self.failed = task.failed
        self.at = site.at
        self._duration_ns = task.end_ns - task.begin_ns

    @property
    def duration_us(self) -> float:
        """How long it took."""
        return self._duration_ns / 1000

    @property
    def cycles(self) -> int:
        """How long it took, in cycles of the processor's time stamp counter.

        Raises
        ------
        ExecutionError
            This processor has none that runs at one speed.
        """
        if self._trace.cycles_per_ns == 0:
            raise error(
                ExecutionError, "cycles: this processor has no time stamp counter of constant rate"
            )
        return round(self._duration_ns * self._trace.cycles_per_ns)

    @property
    def waits_for(self) -> list[int]:
        """Ids of the tasks that it waited for: all its dependences, ended or not when it came.

        Raises
        ------
        ExecutionError
            The run was not traced at the level FULL.
        """
        _require(self._trace, TraceLevel.FULL, "waits_for")
        tasks = self._trace.tasks
        return [tasks[before].id for before in self._trace.waits_for(self._index)]

    def __repr__(self) -> str:
        axes = ", ".join(f"{name}={value}" for name, value in self.axes.items())
        failed = ", failed" if self.failed else ""
        return (
            f"<TraceEvent {self.kernel}[{axes}] on worker {self.worker}:"
            f" {self.duration_us:.3f} us{failed}>"
        )


class Trace:
    """What was recorded of one run. Prints as a table; notebooks draw it."""

    def __init__(self, made: native.Trace) -> None:
        self._native = made

    @property
    def level(self) -> TraceLevel:
        """At which it was recorded."""
        return TraceLevel(self._native.level)

    def summary(self) -> dict[str, Any]:
        """Figures of the run.

        Returns
        -------
        dict
            ``task_count``, ``failed``, ``duration_ms``, ``kernel_time_ms`` (the sum over all
            tasks), ``avg_task_time_us``, ``min_task_time_us``, ``max_task_time_us``,
            ``parallelism`` (tasks that ran at a time on average), ``kernels`` (by name:
            ``task_count``, ``failed``, ``time_ms``, ``avg_us``, ``min_us``, ``max_us``),
            ``workers`` (``task_count``, ``busy_ms``, ``busy_fraction``), ``level``,
            ``dropped_events``; at the level FULL ``critical_path_ms``, ``critical_path_tasks`` and
            ``dependences`` too. Below the level TIMING the least and the most are those of what a
            worker took at a time: a task, or a chunk of a loop without tracking.
        """
        made: dict[str, Any] = json.loads(self._native.summary_json())
        return made

    def print_summary(self) -> None:
        """Prints the figures as a table."""
        print(self._native.text(), end="")

    def get_task_events(self) -> list[TraceEvent]:
        """All tasks that ran, in program order.

        Raises
        ------
        ExecutionError
            The level was below TIMING.
        """
        _require(self._native, TraceLevel.TIMING, "get_task_events")
        sites = self._native.sites
        return [
            TraceEvent(self._native, index, task, sites[task.site])
            for index, task in enumerate(self._native.tasks)
            if not sites[task.site].join
        ]

    def get_kernel_events(self, name: str) -> list[TraceEvent]:
        """The tasks of one kernel.

        Raises
        ------
        ExecutionError
            The level was below TIMING.
        TypeCheckError
            The program has no kernel of that name.
        """
        _require(self._native, TraceLevel.TIMING, "get_kernel_events")
        known = sorted({site.kernel for site in self._native.sites if not site.join})
        if name not in known:
            raise error(
                TypeCheckError,
                f"get_kernel_events: the program has no kernel {name!r}",
                hint="kernels: " + ", ".join(known),
            )
        return [event for event in self.get_task_events() if event.kernel == name]

    def critical_path(self) -> list[TraceEvent]:
        """The longest chain of tasks each of which waits for the one before.

        Raises
        ------
        ExecutionError
            The level was below FULL, or events are missing.
        """
        _require(self._native, TraceLevel.FULL, "critical_path")
        if self._native.dropped > 0:
            raise error(
                ExecutionError,
                f"critical_path: {self._native.dropped} events are missing: there was no memory"
                " for them",
            )
        tasks, sites = self._native.tasks, self._native.sites
        return [
            TraceEvent(self._native, index, tasks[index], sites[tasks[index].site])
            for index in self._native.critical_path()
            if not sites[tasks[index].site].join
        ]

    def to_chrome_trace(self) -> dict[str, Any]:
        """The trace as ``json.dump`` writes it for ``chrome://tracing`` and Perfetto: workers are
        threads, streams and channels have processes of their own, dependences are arrows.

        Raises
        ------
        ExecutionError
            The level was below TIMING.
        """
        _require(self._native, TraceLevel.TIMING, "to_chrome_trace")
        made: dict[str, Any] = json.loads(self._native.chrome_json())
        return made

    def to_html(self) -> str:
        """A page with the timeline and the figures, which needs nothing else: it zooms with the
        wheel and moves with the mouse.

        Raises
        ------
        ExecutionError
            The level was below TIMING.
        """
        _require(self._native, TraceLevel.TIMING, "to_html")
        return self._native.html()

    def _repr_html_(self) -> str:
        return self._native.html_fragment()

    def __str__(self) -> str:
        return self._native.text()

    def __repr__(self) -> str:
        return (
            f"<Trace {self.level.name}: {self.summary()['task_count']} tasks in"
            f" {self._native.duration_ns / 1e6:.3f} ms on {self._native.workers} workers>"
        )


def _require(trace: native.Trace, level: TraceLevel, what: str) -> None:
    if trace.level < level:
        raise error(
            ExecutionError,
            f"{what}: the run was traced at the level {TraceLevel(trace.level).name}, expected"
            f" {level.name}",
            hint=f"call program.enable_tracing(TraceLevel.{level.name}) before execute",
        )
