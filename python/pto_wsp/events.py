"""Signals between threads, and from programs that run to threads."""

from __future__ import annotations

import threading
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp import context
from pto_wsp.errors import (
    ChannelError,
    EventTimeoutError,
    NotAvailableError,
    TypeCheckError,
    error,
)
from pto_wsp.programs import Program, seconds


class Event:
    """A signal: `record` gives it, `synchronize` waits for it, `query` asks for it.

    Parameters
    ----------
    name : str, optional
        ``event0``, ``event1``, ... by default.
    depth : int
        1: *latched*, it stays recorded, for everybody, until it is recorded behind a run that has
        not ended yet. 0: a *rendezvous*, `record` and `synchronize` wait for each other.

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


def record(event: Event, after: Any = None, timeout: float | None = None) -> None:
    """Signals.

    Without `after` a latched event is recorded at once, and a rendezvous waits for somebody to
    synchronize. With it the call returns at once, and the signal comes when the run has ended.

    Parameters
    ----------
    event : Event
        What is signalled.
    after : Program, optional
        The signal comes when its run has ended, however it ended; a program that does not run has.
    timeout : float, optional
        Seconds that a rendezvous waits.

    Raises
    ------
    EventTimeoutError
        The timeout passed first; it is a TimeoutError too. Nothing was signalled.
    ChannelError
        Nobody can ever come: there is no other thread.
    """
    own = _checked("record", event)
    limit = seconds("record", timeout)
    if after is None:
        _wait("record", own, limit)
        return
    if not isinstance(after, Program):
        raise error(
            TypeCheckError,
            f"record: after is {after!r}, not a program",
            hint="after=program records when its run has ended",
        )
    own._native.record_after(after._native)


def synchronize(event: Event, timeout: float | None = None) -> None:
    """Waits for a signal; Ctrl-C is seen meanwhile.

    Parameters
    ----------
    event : Event
        What is waited for. A latched one stays recorded.
    timeout : float, optional
        Seconds.

    Raises
    ------
    EventTimeoutError
        The timeout passed first; it is a TimeoutError too.
    ChannelError
        Nobody can ever come: there is no other thread, and no run that would signal.
    """
    own = _checked("synchronize", event)
    _wait("synchronize", own, seconds("synchronize", timeout))


def query(event: Event) -> bool:
    """Whether `synchronize` would return at once."""
    return _checked("query", event)._native.query()


def _checked(what: str, event: Any) -> Event:
    if not isinstance(event, Event):
        raise error(TypeCheckError, f"{what}: expected an Event, got {event!r}")
    if context.current() is not None:
        raise error(
            NotAvailableError,
            f"{what}: events inside a workload are not available yet",
            hint="record(event, after=program) signals when a whole run has ended",
        )
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
