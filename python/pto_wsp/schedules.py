"""Schedules between tasks, as immutable data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import pto_wsp._pto_wsp as native
from pto_wsp.errors import ScheduleError, at_user_line, error
from pto_wsp.policies import DispatchPolicy, Policy, Step, TimingPolicy, count_of
from pto_wsp.schedule_keys import Key, key_expr
from pto_wsp.task_graph_policies import (
    Deps,
    Pools,
    ReadyPolicy,
    StartPolicy,
    TaskWindow,
    TracePolicy,
)

S = TypeVar("S", bound="Schedulable")

_of_task_graph: dict[str, type[Policy]] = {
    "deps": Deps,
    "window": TaskWindow,
    "pools": Pools,
    "ready": ReadyPolicy,
    "start": StartPolicy,
    "trace": TracePolicy,
}
_classes: dict[str, type[Policy]] = {
    "dispatch": DispatchPolicy,
    "timing": TimingPolicy,
    **_of_task_graph,
}


def policy_of(made: native.Policy) -> Policy:
    """A native policy as one of its class."""
    return _classes.get(made.part, Step)._of(made)


def _step(part: str, text: str) -> Step:
    return Step(native.Policy.parse(part, text))


class Schedulable(ABC):
    """What the steps of a schedule can be applied to. Each step gives a new object; one that is
    given again replaces what was there."""

    @abstractmethod
    def _with_policy(self: S, policy: Policy) -> S: ...

    def dispatch(self: S, policy: DispatchPolicy) -> S:
        """Each task on the lane that `policy` says.

        Raises
        ------
        ScheduleError
            No policy, or a key with a loop variable that a task does not have.
        """
        hint = "DispatchPolicy.dispatch_by(key) makes one of a key"
        _check("dispatch", policy, DispatchPolicy, hint)
        return self._with_policy(policy)

    def streams(self: S, count: int) -> S:
        """Tasks on `count` streams; tasks of a stream complete in program order."""
        return self._with_policy(_step("streams", f'{{"count": {count_of(count, "streams")}}}'))

    def stream_by(self: S, key: Key) -> S:
        """A task's stream is `key` modulo the number of streams.

        Parameters
        ----------
        key : str, ScalarExpr or callable
            An integer expression of loop variables: ``"h % 4"`` or ``lambda t: t.get("h")``.

        Raises
        ------
        ScheduleError
            It is no expression, or has a loop variable that a task does not have.
        """
        expr = key_expr(key, "stream_by")
        return self._with_policy(_step("stream_by", f'{{"key": "{expr}"}}'))

    def timing(self: S, policy: TimingPolicy) -> S:
        """Tasks start when `policy` says.

        Raises
        ------
        ScheduleError
            No TimingPolicy.
        """
        _check("timing", policy, TimingPolicy)
        return self._with_policy(policy)

    def task_graph(
        self: S,
        *,
        deps: Deps | None = None,
        window: TaskWindow | None = None,
        pools: Pools | None = None,
        ready: ReadyPolicy | None = None,
        start: StartPolicy | None = None,
        trace: TracePolicy | None = None,
    ) -> S:
        """How tasks are taken one by one; what is left out stays as it was.

        Parameters
        ----------
        deps : Deps
            Where dependences come from.
        window : TaskWindow
            How much may be submitted and unfinished at a time.
        pools : Pools
            How many tasks of which kind run at a time.
        ready : ReadyPolicy
            Which of the tasks that wait for no other starts first.
        start : StartPolicy
            When the first task starts.
        trace : TracePolicy
            What is measured of each task.

        Raises
        ------
        ScheduleError
            Something else than these, or nothing.
        """
        given = {
            "deps": deps,
            "window": window,
            "pools": pools,
            "ready": ready,
            "start": start,
            "trace": trace,
        }
        result = self
        for part, policy in given.items():
            if policy is not None:
                _check(f"task_graph: {part}", policy, _of_task_graph[part])
                result = result._with_policy(policy)
        if all(policy is None for policy in given.values()):
            raise error(
                ScheduleError,
                "task_graph: no policy is given",
                hint="give one or more of " + ", ".join(_of_task_graph),
            )
        return result

    def spatial_map(self: S, grid: Sequence[int]) -> S:
        """Tasks on a mesh of `grid`, which the layouts of tensors are checked against: mesh axis i
        has ``grid[i]`` members.

        Raises
        ------
        ScheduleError
            No sizes; when the workload is compiled, a tensor that is sharded over an axis that the
            mesh does not have, or in parts of different sizes.
        """
        if not isinstance(grid, (tuple, list)) or not grid:
            raise error(
                ScheduleError, f"spatial_map: grid is {grid!r}, not the sizes of a mesh: (4, 4)"
            )
        sizes = [count_of(size, "spatial_map") for size in grid]
        return self._with_policy(_step("spatial_map", f'{{"grid": {sizes}}}'))


def _check(what: str, given: Any, wanted: type[Policy], hint: str = "") -> None:
    if not isinstance(given, wanted):
        raise error(
            ScheduleError, f"{what}: expected a {wanted.__name__}, got {given!r}", hint=hint
        )


class Schedule(Schedulable):
    """Steps without a workload: data that is made of the same steps, compared, written to JSON and
    applied by `Workload.with_schedule`.

    >>> s = Schedule().dispatch(DispatchPolicy.round_robin(4)).streams(2)
    >>> s
    Schedule().dispatch(DispatchPolicy.round_robin(4)).streams(2)
    >>> Schedule.from_json(s.to_json()) == s
    True
    """

    def __init__(self) -> None:
        self._native = native.TaskSchedule()

    @classmethod
    def _of(cls, made: native.TaskSchedule) -> Schedule:
        schedule = cls()
        schedule._native = made
        return schedule

    @classmethod
    def from_json(cls, text: str, origin: str = "schedule") -> Schedule:
        """The inverse of `to_json`; errors name `origin`.

        Raises
        ------
        ScheduleError
            Anything that `to_json` does not make: an unknown step, policy or argument (with a
            suggestion), a step given twice, a value that does not fit.
        """
        with at_user_line():
            return cls._of(native.TaskSchedule.from_json(text, origin))

    def to_json(self) -> str:
        """``[["dispatch",{"lanes":4,"policy":"round_robin"}],["streams",{"count":2}]]``."""
        return self._native.json()

    def get(self, part: str) -> Policy | None:
        """Its policy for ``"dispatch"``, ``"streams"``, ``"stream_by"``, ``"timing"``, ``"deps"``,
        ``"window"``, ``"pools"``, ``"ready"``, ``"start"``, ``"trace"`` or ``"spatial_map"``."""
        return next((policy for policy in self if policy.part == part), None)

    def __iter__(self) -> Iterator[Policy]:
        return iter([policy_of(made) for made in self._native.parts()])

    def __len__(self) -> int:
        return len(self._native.parts())

    def __or__(self, later: Schedule) -> Schedule:
        """The steps of both; of a part that both have, `later`'s."""
        if not isinstance(later, Schedule):
            return NotImplemented
        return self._of(self._native.merged(later._native))

    def _with_policy(self, policy: Policy) -> Schedule:
        return self._of(self._native.including(policy.native))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Schedule) and self._native == other._native

    def __hash__(self) -> int:
        return hash(self._native.json())

    def __str__(self) -> str:
        return str(self._native)

    def __repr__(self) -> str:
        steps = []
        task_graph = []
        for policy in self:
            if policy.part in _of_task_graph:
                task_graph.append(f"{policy.part}={policy!r}")
            elif isinstance(policy, Step):
                steps.append(repr(policy))
            else:
                steps.append(f"{policy.part}({policy!r})")
        if task_graph:
            steps.append(f"task_graph({', '.join(task_graph)})")
        return "Schedule()" + "".join(f".{step}" for step in steps)
