"""Processes: `process`, `replicate`, `connect`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pto_wsp import context, naming
from pto_wsp.channels import Channel
from pto_wsp.errors import CompileError, ExecutionError, TypeCheckError, error, user_place
from pto_wsp.functional import run_body
from pto_wsp.statements import Part
from pto_wsp.workloads import Workload

if TYPE_CHECKING:
    from pto_wsp.programs import Program


class Process:
    """A sequential thread of control; see `process`. Each method gives a new one."""

    def __init__(
        self,
        name: str,
        consumed: tuple[Channel, ...] = (),
        produced: tuple[Channel, ...] = (),
        body: Any = None,
    ) -> None:
        self.name = name
        self.at = user_place()
        self._consumed = consumed
        self._produced = produced
        self._body = body

    def consumes(self, *channels: Channel) -> Process:
        """The same, taking tokens from these channels as well."""
        more = self._consumed + _channels("consumes", channels)
        return Process(self.name, more, self._produced, self._body)

    def produces(self, *channels: Channel) -> Process:
        """The same, sending tokens to these channels as well."""
        more = self._produced + _channels("produces", channels)
        return Process(self.name, self._consumed, more, self._body)

    def body(self, work: Any) -> Process:
        """The same, doing `work`: a workload, or a function without arguments that builds it."""
        return Process(self.name, self._consumed, self._produced, work)

    @property
    def channels(self) -> tuple[Channel, ...]:
        """All channels that it declares."""
        return (*self._consumed, *self._produced)

    def emit(self, building: context.BuildContext, name: str) -> None:
        """Adds it to the net that `building` is at."""
        if self._body is None:
            raise error(
                CompileError,
                f"process '{self.name}' has no body",
                at=self.at,
                hint="process(name).body(workload)",
            )
        building.builder.open_process(
            name,
            [channel._native for channel in self._consumed],
            [channel._native for channel in self._produced],
            self.at,
        )
        run_body(f"process '{self.name}'", self._body)
        building.builder.close()

    def __repr__(self) -> str:
        parts = [f"process({self.name!r})"]
        for how, channels in (("consumes", self._consumed), ("produces", self._produced)):
            if channels:
                parts.append(f"{how}({', '.join(channel.name for channel in channels)})")
        return ".".join(parts)


def _channels(what: str, channels: Sequence[Any]) -> tuple[Channel, ...]:
    for channel in channels:
        if not isinstance(channel, Channel):
            raise error(TypeCheckError, f"{what}: expected a Channel, got {channel!r}")
    return tuple(channels)


def process(name: str) -> Process:
    """A process of a pipeline: ``process("load").produces(ch).body(workload)``, for `connect`."""
    if not isinstance(name, str) or not name:
        raise error(TypeCheckError, f"process: the name must be a text, got {name!r}")
    return Process(name)


def replicate(worker: Process, count: int) -> list[Process]:
    """`count` processes that do the same; each token goes to one of them."""
    if not isinstance(worker, Process):
        raise error(TypeCheckError, f"replicate: expected a process, got {worker!r}")
    if isinstance(count, bool) or not hasattr(count, "__index__") or int(count) < 1:
        raise error(TypeCheckError, f"replicate: the count must be an integer >= 1, got {count!r}")
    return [worker] * int(count)


class Pipeline(Workload):
    """Connected processes: a workload, whose program `start` and `join` run."""

    _program: Program | None = None

    def start(self) -> None:
        """Compiles it, at the first time, and starts a run."""
        if self._program is None:
            self._program = self.compile()
        self._program.execute()

    def join(self, timeout: float | None = None) -> bool:
        """Waits for the run; see `Program.synchronize`.

        Raises
        ------
        ExecutionError
            It was not started.
        """
        if self._program is None:
            raise error(
                ExecutionError, "join: the pipeline was not started", hint="pipeline.start()"
            )
        return self._program.synchronize(timeout)


def connect(processes: Sequence[Any], channels: Sequence[Channel] | None = None) -> Any:
    """Runs processes together. In the body of a workload they become part of it.

    Parameters
    ----------
    processes : sequence of Process, or of sequences of them
    channels : sequence of Channel, optional
        Those between them.

    Returns
    -------
    Pipeline
        With `start` and `join`, and all that a `Workload` has.

    Raises
    ------
    CompileError
        A process uses a channel that it does not declare, or that is not in `channels`; a channel
        has no sender or no consumer.
    """
    flat = list(_flat(processes))
    if not flat:
        raise error(TypeCheckError, "connect: needs at least one process")
    if channels is not None:
        _check_channels(flat, _channels("connect", channels))
    outer = context.current()
    if outer is not None:
        number = outer.builder.statements
        first = outer.builder.tasks
        _emit_all(flat, outer)
        return Part(outer, number, range(first, outer.builder.tasks))
    building = context.BuildContext("pipeline", user_place(), False)
    building.learn_names(naming.user_variables())
    context.push(building)
    try:
        _emit_all(flat, building)
    finally:
        context.pop()
    made = building.finished()
    return Pipeline(
        made._native,
        made._kernels,
        made._schedule,
        made._type_errors,
        made._tables,
        made._sources,
    )


def _flat(processes: Any) -> Any:
    if not isinstance(processes, (list, tuple)):
        raise error(TypeCheckError, f"connect: expected a list of processes, got {processes!r}")
    for each in processes:
        if isinstance(each, Process):
            yield each
        elif isinstance(each, (list, tuple)):
            yield from _flat(each)
        else:
            raise error(
                TypeCheckError,
                f"connect: expected a process, got {each!r}",
                hint='process("load").produces(ch).body(workload)',
            )


def _check_channels(processes: Sequence[Process], channels: Sequence[Channel]) -> None:
    declared = {channel for each in processes for channel in each.channels}
    for each in processes:
        for channel in each.channels:
            if channel not in channels:
                raise error(
                    CompileError,
                    f"connect: process '{each.name}' uses channel '{channel.name}', which is not "
                    "in the list of channels",
                    at=each.at,
                )
    for channel in channels:
        if channel not in declared:
            raise error(CompileError, f"connect: no process uses channel '{channel.name}'")


def _emit_all(processes: Sequence[Process], building: context.BuildContext) -> None:
    names: dict[str, int] = {}
    for each in processes:
        names[each.name] = names.get(each.name, 0) + 1
    given: dict[str, int] = {}
    for each in processes:
        number = given[each.name] = given.get(each.name, 0) + 1
        each.emit(building, f"{each.name}.{number}" if names[each.name] > 1 else each.name)
