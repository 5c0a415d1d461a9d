"""Signals between threads, and between them and what runs."""

from __future__ import annotations

import threading
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp import context
from pto_wsp.errors import (
    ChannelError,
    CompileError,
    EventTimeoutError,
    TypeCheckError,
    error,
)
from pto_wsp.processes import Pipeline
from pto_wsp.programs import Program, seconds
from pto_wsp.statements import Part


class Event:
    """A signal: `record` gives it, `synchronize` waits for it, `query` asks for it.

    Parameters
    ----------
    name : str, optional
        ``event0``, ``event1``, ... by default.
    depth : int
        1: *latched*, it stays recorded, for everybody, until it is recorded behind a run, or behind
        tasks, that have not ended yet. 0: a *rendezvous*, `record` and `synchronize` wait for each
        other.

    Raises
    ------
    ChannelError
        Another depth.
    """

    def __init__(self, name: str | None = None, depth: int = 1) -> None:
        if name is not None and not isinstance(name, str):
            raise error(TypeCheckError, f"Event: the name must be a str, got {name!r}")
        if isinstance(depth, bool) or not hasattr(depth, "__index__"):
            raise error(TypeCheckError, f"Event: the depth must be 0 or 1, got {depth!r}")
        self._native = native.Event(name or "", int(depth))

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self._native.name

    @property
    def depth(self) -> int:
        """1: latched; 0: a rendezvous."""
        return self._native.depth

    def __repr__(self) -> str:
        return f"Event({self.name!r}, depth={self.depth})"


def record(event: Event, after: Any = None, timeout: float | None = None) -> Part | None:
    """Signals.

    Outside of a workload, a latched event is recorded at once, and a rendezvous waits for somebody
    to synchronize. With `after` the call returns at once, and the signal comes when the run has
    ended.

    In the body of a workload it is a statement: the signal comes when the tasks before it, in
    program order and of its process, have ended, however they ended; with `after` only those of
    them. A latched event is not recorded from the start of a run until then, holds up nothing that
    follows, and is recorded in any case when the run has ended. At a rendezvous what follows in its
    process waits for somebody to synchronize.

    Parameters
    ----------
    event : Event
        What is signalled.
    after : Program, Pipeline, or statements of the workload, optional
        Outside of a workload: the signal comes when its run has ended, however it ended; one that
        does not run has. Inside: what calls of kernels, ``task(...)``, ``parallel_for(...)``,
        ``connect(...)`` gave, or a list of that.
    timeout : float, optional
        Seconds that a rendezvous waits.

    Returns
    -------
    Part or None
        In a workload the statement, for `combine` and `sequential`.

    Raises
    ------
    EventTimeoutError
        The timeout passed first; it is a TimeoutError too. Nothing was signalled. In a workload it
        is the run that ends with it.
    ChannelError
        Nobody can ever come: there is no other thread.
    CompileError
        In a workload: `after` is not before it, or is of another process.
    """
    own = _checked("record", event)
    limit = seconds("record", timeout)
    building = context.current()
    if building is not None:
        building.builder.record(own._native, _marks(after, building), limit)
        return Part(building, building.builder.statements - 1)
    if after is None:
        _wait("record", own, limit)
    else:
        program = after._program if isinstance(after, Pipeline) else after
        if isinstance(program, Program):
            own._native.record_after(program._native)
        elif isinstance(after, Pipeline):
            own._native.record(0)
        else:
            raise error(
                TypeCheckError,
                f"record: after is {after!r}, not a program",
                hint="after=program records when its run has ended; in the body of a workload "
                "after=kernel(...) records when its tasks have",
            )
    return None


def _marks(after: Any, building: context.BuildContext) -> list[int] | None:
    """The tasks of statements of the workload that is being built."""
    if after is None:
        return None
    if isinstance(after, (list, tuple)):
        return [mark for each in after for mark in _marks(each, building) or []]
    if not isinstance(after, Part):
        raise error(
            TypeCheckError,
            f"record: after is {after!r}, not a statement of the workload",
            hint="t = kernel[b](X[b]); record(event, after=t)",
        )
    if after.building is not building:
        raise error(TypeCheckError, "record: after is a statement of another workload")
    return list(after.tasks)


def synchronize(event: Event, timeout: float | None = None) -> Part | None:
    """Waits for a signal; Ctrl-C is seen meanwhile.

    In the body of a workload it is a statement: what follows it, in program order and in its
    process, waits for the signal, of a process of any run or of a thread. No worker is held.

    Parameters
    ----------
    event : Event
        What is waited for. A latched one stays recorded.
    timeout : float, optional
        Seconds.

    Returns
    -------
    Part or None
        As of `record`.

    Raises
    ------
    EventTimeoutError
        The timeout passed first; it is a TimeoutError too. In a workload it is the run that ends
        with it.
    ChannelError
        Nobody can ever come: there is no other thread, and no run that would signal. A run ends
        with it when it can only be helped by threads, and the only one waits for it.
    """
    own = _checked("synchronize", event)
    limit = seconds("synchronize", timeout)
    building = context.current()
    if building is not None:
        building.builder.synchronize(own._native, limit)
        return Part(building, building.builder.statements - 1)
    _wait("synchronize", own, limit)
    return None


def query(event: Event) -> bool:
    """Whether `synchronize` would return at once.

    Raises
    ------
    CompileError
        In the body of a workload, where it would be asked once, while that is built.
    """
    own = _checked("query", event)
    if context.current() is not None:
        raise error(
            CompileError,
            "query: the body of a workload is built once, not run",
            hint="synchronize(event) makes what follows wait; query it beside the run",
        )
    return own._native.query()


def _checked(what: str, event: Any) -> Event:
    if not isinstance(event, Event):
        raise error(TypeCheckError, f"{what}: expected an Event, got {event!r}")
    return event


def _wait(what: str, event: Event, timeout: float | None) -> None:
    """Until the other side is there: in slices, so that nobody waits whom nobody can meet."""
    slice_s = 0.05
    wait = event._native.record if what == "record" else event._native.synchronize
    if timeout is not None:
        if not wait(timeout):
            raise error(
                EventTimeoutError,
                f"{what}: event '{event.name}' was not "
                f"{'taken' if what == 'record' else 'recorded'} within {timeout} s",
            )
        return
    while not wait(slice_s):
        if threading.active_count() == 1 and not event._native.is_pending():
            come = "synchronize with" if what == "record" else "record"
            raise error(
                ChannelError,
                f"{what}: deadlock: nobody can ever {come} event '{event.name}': there is no other "
                "thread, and no run that would signal",
                hint="record it in another thread, or before: record(event, after=program)",
            )
