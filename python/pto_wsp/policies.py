"""Policies of a schedule between tasks: to which lane tasks go, and when they start."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import pto_wsp._pto_wsp as native
from pto_wsp.errors import ScheduleError, error
from pto_wsp.scalar_expr import ScalarExpr
from pto_wsp.schedule_keys import Key, key_expr, key_exprs

P = TypeVar("P", bound="Policy")


class Policy:
    """One part of a schedule: immutable data that compares, hashes and prints as it is written.

    Attributes
    ----------
    native : native.Policy
        Its name and arguments.
    """

    _part: ClassVar[str] = ""

    def __init__(self, made: native.Policy) -> None:
        self.native = made

    @classmethod
    def _make(cls: type[P], name: str, **arguments: Any) -> P:
        """One of this class's part; arguments that are None are left out."""
        given = {key: value for key, value in arguments.items() if value is not None}
        return cls._of(native.Policy.parse(cls._part, json.dumps({"policy": name, **given})))

    @classmethod
    def _of(cls: type[P], made: native.Policy) -> P:
        policy = cls.__new__(cls)
        Policy.__init__(policy, made)
        return policy

    @property
    def part(self) -> str:
        """The part of a schedule that it is: ``"dispatch"``."""
        return self.native.part

    @property
    def name(self) -> str:
        """Its name: ``"round_robin"``."""
        return self.native.name

    @property
    def arguments(self) -> dict[str, Any]:
        """Its arguments as they are in JSON."""
        return {
            key: value for key, value in json.loads(self.native.json()).items() if key != "policy"
        }

    def __call__(self: P) -> P:
        """Policies without arguments may be written with and without brackets."""
        if self.arguments:
            raise TypeError(f"{self!r} is not callable")
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.native == other.native

    def __hash__(self) -> int:
        return hash((self.part, self.native.json()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.native}"


class Step(Policy):
    """A part with one policy: the number of streams, the stream of a task, the mesh."""

    def __repr__(self) -> str:
        return str(self.native)


class DispatchPolicy(Policy):
    """To which serial lane a task goes. Tasks of one lane complete in program order."""

    _part = "dispatch"
    work_steal: ClassVar[DispatchPolicy]
    """No lanes: any worker takes any task."""

    @staticmethod
    def round_robin(num_aicpus: int) -> DispatchPolicy:
        """Task i goes to lane i % `num_aicpus`."""
        return DispatchPolicy._make(
            "round_robin", lanes=count_of(num_aicpus, "DispatchPolicy.round_robin")
        )

    @staticmethod
    def affinity(key: Key) -> DispatchPolicy:
        """Tasks of one `key` go to one lane, on one worker: `key` modulo the number of workers.

        Parameters
        ----------
        key : str, ScalarExpr or callable
            An integer expression of loop variables: ``"b % 4"`` or ``lambda t: t.get("b") % 4``.

        Raises
        ------
        ScheduleError
            A function that cannot be turned into an expression, with the reason.
        """
        return DispatchPolicy._make("affinity", key=str(key_expr(key, "DispatchPolicy.affinity")))

    @staticmethod
    def hash(key: Key | Sequence[Key]) -> DispatchPolicy:
        """The lane is the 64-bit FNV-1a hash of the key modulo the number of workers; any worker
        takes its next task.

        Parameters
        ----------
        key : str, ScalarExpr, callable, or several of these
            ``lambda t: (t.get("batch"), t.get("head"))`` hashes both, one after the other.

        Raises
        ------
        ScheduleError
            As of `affinity`.
        """
        keys = key_exprs(key, "DispatchPolicy.hash")
        return DispatchPolicy._make("hash", key=[str(each) for each in keys])

    @staticmethod
    def dispatch_by(function: Key) -> DispatchPolicy:
        """The lane is what `function` gives modulo the number of workers; any worker takes its next
        task.

        Raises
        ------
        ScheduleError
            As of `affinity`.
        """
        key = key_expr(function, "DispatchPolicy.dispatch_by")
        return DispatchPolicy._make("dispatch_by", key=str(key))

    @property
    def key(self) -> ScalarExpr | None:
        """The expression that it has, if it has one."""
        key = self.arguments.get("key")
        return ScalarExpr(key) if isinstance(key, str) else None


DispatchPolicy.work_steal = DispatchPolicy._make("work_steal")


class TimingPolicy(Policy):
    """When tasks start that wait for no other."""

    _part = "timing"
    immediate: ClassVar[TimingPolicy]
    """At once."""

    @staticmethod
    def batched(n: int | None = None, *, batch_size: int | None = None) -> TimingPolicy:
        """`n` at a time, in the order in which they became ready: none of them starts before all
        are ready. The rest goes when nothing more can become ready before it.

        Parameters
        ----------
        n, batch_size : int
            One of them.
        """
        if (n is None) == (batch_size is None):
            raise error(ScheduleError, "TimingPolicy.batched: give n or batch_size=")
        size = n if n is not None else batch_size
        return TimingPolicy._make("batched", n=count_of(size, "TimingPolicy.batched"))

    @staticmethod
    def interleaved(streams: int | None = None, *, priority: int | None = None) -> TimingPolicy:
        """The ready tasks of the streams in turn: one of stream 0, one of stream 1, ...

        Parameters
        ----------
        streams : int, optional
            Their number, as of ``streams(n)``, which may be left out: task i is then of stream i
            modulo their number.
        priority : int, optional
            How many of a stream come in a row before the next stream's; 1 by default.
        """
        what = "TimingPolicy.interleaved"
        return TimingPolicy._make(
            "interleaved",
            streams=None if streams is None else count_of(streams, what),
            priority=None if priority is None else count_of(priority, f"{what}: priority"),
        )

    @staticmethod
    def rate_limit(tasks_per_ms: float) -> TimingPolicy:
        """That many start in a millisecond. Where they were held up for another reason, at most 10
        milliseconds' worth of them follow at once.

        Raises
        ------
        ScheduleError
            No number above 0.
        """
        is_number = isinstance(tasks_per_ms, (int, float)) and not isinstance(tasks_per_ms, bool)
        if not is_number or not math.isfinite(tasks_per_ms) or tasks_per_ms <= 0:
            raise error(
                ScheduleError,
                f"TimingPolicy.rate_limit: expected a number of tasks > 0, got {tasks_per_ms!r}",
            )
        return TimingPolicy._make("rate_limit", tasks_per_ms=float(tasks_per_ms))


TimingPolicy.immediate = TimingPolicy._make("immediate")


def count_of(value: Any, what: str) -> int:
    """A number of lanes or streams."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise error(ScheduleError, f"{what}: expected an integer >= 1, got {value!r}")
    if value >= 2**63:
        raise error(ScheduleError, f"{what}: {value} does not fit 64 bits")
    return int(value.__index__())
