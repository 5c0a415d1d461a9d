"""Schedules between tasks, as immutable data."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NoReturn

import pto_wsp._pto_wsp as native
from pto_wsp.errors import PtoError, ScheduleError, error
from pto_wsp.scalar_expr import ScalarExpr, as_expr, axis, is_scalar

Key = str | ScalarExpr | Callable[[Any], Any]

_supported = (
    "supported are dispatch(DispatchPolicy.round_robin(n) or .affinity(key)), streams(n), "
    "stream_by(key) and task_graph(window=TaskWindow(n))"
)


def refused(step: str) -> ScheduleError:
    """The error of a step that no target enforces yet."""
    made = error(ScheduleError, f"{step} is not supported yet", hint=_supported)
    assert isinstance(made, ScheduleError)
    return made


class DispatchPolicy:
    """To which serial lane a task goes. Tasks of one lane complete in program order."""

    def __init__(self, made: native.Dispatch, key: ScalarExpr | None, text: str) -> None:
        self.native = made
        self.key = key
        self._text = text

    @staticmethod
    def round_robin(num_aicpus: int) -> DispatchPolicy:
        """Task i goes to lane i % `num_aicpus`."""
        lanes = count_of(num_aicpus, "DispatchPolicy.round_robin")
        return DispatchPolicy(native.Dispatch.round_robin(lanes), None, f"round_robin({lanes})")

    @staticmethod
    def affinity(key: Key) -> DispatchPolicy:
        """Tasks of one `key` go to one lane, on one worker.

        Parameters
        ----------
        key : str, ScalarExpr or callable
            An integer expression of loop variables: ``"b % 4"`` or ``lambda t: t.get("b") % 4``.

        Raises
        ------
        ScheduleError
            A function that cannot be turned into an expression, with the reason.
        """
        expr = key_expr(key, "DispatchPolicy.affinity")
        return DispatchPolicy(native.Dispatch.affinity(expr.native), expr, f'affinity("{expr}")')

    @staticmethod
    def hash(key: Key) -> NoReturn:
        """Not supported yet."""
        raise refused("DispatchPolicy.hash")

    @staticmethod
    def dispatch_by(function: Callable[[Any], Any]) -> NoReturn:
        """Not supported yet."""
        raise refused("DispatchPolicy.dispatch_by")

    @staticmethod
    def work_steal() -> NoReturn:
        """Not supported yet; without a dispatch step any worker takes any task."""
        raise refused("DispatchPolicy.work_steal")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DispatchPolicy) and self.native == other.native

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return f"DispatchPolicy.{self._text}"


class TaskProxy:
    """The task that a key function is called with once, to see which expression it is."""

    def get(self, name: str) -> ScalarExpr:
        """The value of the loop variable called `name`."""
        return axis(name)

    def __getattr__(self, name: str) -> ScalarExpr:
        if name.startswith("__"):
            raise AttributeError(name)
        return axis(name)


def key_expr(key: Key, step: str) -> ScalarExpr:
    """The expression of a key; a function is traced into one.

    Raises
    ------
    ScheduleError
        It is none, with the reason.
    """
    if isinstance(key, str):
        try:
            return ScalarExpr(key)
        except PtoError as cause:
            raise _bad_key(step, cause.text) from None
    if is_scalar(key):
        return as_expr(key)
    if not callable(key):
        raise _bad_key(step, f"{key!r} is neither an expression nor a function")
    try:
        found = key(TaskProxy())
    except PtoError as cause:
        raise _bad_key(step, cause.text) from cause
    except Exception as cause:
        raise _bad_key(step, f"{type(cause).__name__}: {cause}") from cause
    if not is_scalar(found):
        raise _bad_key(step, f"the function returns {found!r}, not an integer expression")
    return as_expr(found)


def _bad_key(step: str, reason: str) -> ScheduleError:
    made = error(
        ScheduleError,
        f"{step}: the key cannot be made an expression: {reason}",
        hint='write it over loop variables with + - * // % and comparisons: "b % 4"',
    )
    assert isinstance(made, ScheduleError)
    return made


def count_of(value: Any, what: str) -> int:
    """A number of lanes or streams."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise error(ScheduleError, f"{what}: expected an integer >= 1, got {value!r}")
    return int(value.__index__())


class _Refusing(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise refused(f"{cls.__name__}.{name}")

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        raise refused(cls.__name__)


class TimingPolicy(metaclass=_Refusing):
    """When tasks are issued. Not supported yet: every use is a `ScheduleError`."""


class WindowMode(enum.Enum):
    """What a full window does."""

    STALL = "stall"
    ABORT = "abort"
    BENCHMARK = "benchmark"


class TaskWindow:
    """How many tasks may be submitted and unfinished at a time.

    Parameters
    ----------
    size : int
        At least 1.
    unit : str
        ``"tasks"``.
    mode : WindowMode
        ``STALL``: what comes next waits.

    Raises
    ------
    ScheduleError
        Another size, unit or mode.
    """

    def __init__(self, size: int, unit: str = "tasks", mode: WindowMode = WindowMode.STALL) -> None:
        self.size = count_of(size, "TaskWindow")
        if self.size > 2**24:
            raise error(ScheduleError, f"TaskWindow: at most {2**24} tasks, got {size}")
        if unit != "tasks":
            raise error(
                ScheduleError, f"TaskWindow: unknown unit {unit!r}", hint='the unit is "tasks"'
            )
        if not isinstance(mode, WindowMode):
            raise error(ScheduleError, f"TaskWindow: expected a WindowMode, got {mode!r}")
        if mode is not WindowMode.STALL:
            raise refused(f"TaskWindow(mode={mode})")
        self.unit = unit
        self.mode = mode

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TaskWindow) and other.size == self.size

    def __hash__(self) -> int:
        return hash((TaskWindow, self.size))

    def __repr__(self) -> str:
        return f'TaskWindow({self.size}, "{self.unit}", {self.mode})'


class Deps(metaclass=_Refusing):
    """Where dependences come from. Not supported yet: every use is a `ScheduleError`."""


class DepsMode(metaclass=_Refusing):
    """Modes of `Deps`. Not supported yet: every use is a `ScheduleError`."""


class ReadyPolicy(metaclass=_Refusing):
    """Which ready task runs first. Not supported yet: every use is a `ScheduleError`."""


class StartPolicy(metaclass=_Refusing):
    """When execution starts. Not supported yet: every use is a `ScheduleError`."""


class TracePolicy(metaclass=_Refusing):
    """What is traced. Not supported yet: every use is a `ScheduleError`."""


class Pools(metaclass=_Refusing):
    """Pools of tasks. Not supported yet: every use is a `ScheduleError`."""
