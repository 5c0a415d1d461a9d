"""The policies of `task_graph`: dependences, window, pools, which task starts first and when."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pto_wsp.errors import ScheduleError, error
from pto_wsp.policies import Policy, count_of
from pto_wsp.schedule_keys import Key, key_expr


class WindowMode(enum.Enum):
    """What a full window does."""

    STALL = "stall"
    """What comes next waits."""
    ABORT = "abort"
    """The run ends with an ExecutionError."""
    BENCHMARK = "benchmark"
    """As STALL; ``stats.window_stalls`` and ``stats.most_in_flight`` say how it went."""


class TaskWindow(Policy):
    """How much may be submitted and unfinished at a time.

    Parameters
    ----------
    size : int
        At least 1; tasks at most 2^24.
    unit : str
        ``"tasks"``, or ``"bytes"``: those of the tiles that tasks are called with.
    mode : WindowMode
        What happens when it is full.

    Raises
    ------
    ScheduleError
        Another size, unit or mode.
    """

    _part = "window"

    def __init__(self, size: int, unit: str = "tasks", mode: WindowMode = WindowMode.STALL) -> None:
        count = count_of(size, "TaskWindow")
        if unit not in ("tasks", "bytes"):
            raise error(
                ScheduleError,
                f"TaskWindow: unknown unit {unit!r}",
                hint='the units are "tasks" and "bytes"',
            )
        if unit == "tasks" and count > 2**24:
            raise error(ScheduleError, f"TaskWindow: at most {2**24} tasks, got {size}")
        if not isinstance(mode, WindowMode):
            raise error(ScheduleError, f"TaskWindow: expected a WindowMode, got {mode!r}")
        super().__init__(TaskWindow._make(mode.value, size=count, unit=unit).native)

    @property
    def size(self) -> int:
        """Tasks or bytes."""
        return int(self.arguments["size"])

    @property
    def unit(self) -> str:
        """``"tasks"`` or ``"bytes"``."""
        return str(self.arguments.get("unit", "tasks"))

    @property
    def mode(self) -> WindowMode:
        """What happens when it is full."""
        return WindowMode(self.name)

    def __repr__(self) -> str:
        return f'TaskWindow({self.size}, "{self.unit}", {self.mode})'


class DepsMode(enum.Enum):
    """Where dependences come from."""

    exact = "exact"
    """From data: tasks that touch an element in common, one of which writes it."""
    bytes_overlap = "bytes_overlap"
    """From data: tasks whose arguments overlap when each is taken as the interval from its first
    to its last byte."""
    explicit = "explicit"
    """From the given edges alone."""
    hybrid = "hybrid"
    """From data, exactly, and from the given edges."""
    tensor_map_exact = "exact"  # noqa: PIE796
    infer_tensor_map_exact = "exact"  # noqa: PIE796
    infer_exact = "exact"  # noqa: PIE796
    infer_bytes_overlap = "bytes_overlap"  # noqa: PIE796


Edge = tuple[Any, ...]


class Deps(Policy):
    """Where dependences between tasks come from. Sequences (`P.seq`, `sequential`) and lanes order
    tasks in every mode.

    Parameters
    ----------
    mode : DepsMode
    edges : sequence of tuple
        ``(before, after)``, ``(before, after, key)`` or ``(before, after, before_key,
        after_key)``: a task of kernel `after` waits for the tasks of kernel `before` that come
        before it in program order and whose key is the same. Tasks of `before` with one key follow
        one another. Kernels are given themselves or by name; without a key all are the same.
    trust : bool
        With ``explicit``: dependences of data that the edges leave out are no error.

    Raises
    ------
    ScheduleError
        Edges in a mode that has none, or something that is no edge. When the workload is compiled:
        an edge that orders no tasks, and a dependence that explicit edges leave out, with the names
        of both tasks.
    """

    _part = "deps"

    def __init__(
        self,
        mode: DepsMode = DepsMode.exact,
        edges: Sequence[Edge] = (),
        trust: bool = False,
    ) -> None:
        if not isinstance(mode, DepsMode):
            raise error(
                ScheduleError,
                f"Deps: expected a DepsMode, got {mode!r}",
                hint="modes: " + ", ".join(each.name for each in DepsMode),
            )
        if edges and mode not in (DepsMode.explicit, DepsMode.hybrid):
            raise error(
                ScheduleError,
                f"Deps: {mode} takes no edges",
                hint="use DepsMode.hybrid, which adds them to what the data says",
            )
        if trust and mode is not DepsMode.explicit:
            raise error(
                ScheduleError,
                f"Deps: trust says that explicit edges are enough, and the mode is {mode}",
                hint="use DepsMode.explicit, or leave trust out",
            )
        with_edges = mode in (DepsMode.explicit, DepsMode.hybrid)
        made = Deps._make(
            mode.value,
            edges=[_edge(edge) for edge in edges] if with_edges else None,
            trust=True if trust else None,
        )
        super().__init__(made.native)

    @property
    def mode(self) -> DepsMode:
        """Where they come from."""
        return DepsMode(self.name)

    def __repr__(self) -> str:
        given = self.arguments
        edges = [tuple(edge) for edge in given.get("edges", [])]
        text = f", edges={edges!r}" if edges else ""
        return f"Deps({self.mode}{text}{', trust=True' if given.get('trust') else ''})"


def _edge(edge: Edge) -> list[str]:
    if not isinstance(edge, (tuple, list)) or not 2 <= len(edge) <= 4:
        raise error(
            ScheduleError,
            f"Deps: {edge!r} is no edge",
            hint="an edge is (before, after, key), or with a key for each of the two",
        )
    keys = [str(key_expr(key, "Deps")) for key in edge[2:]] or ["0"]
    return [kernel_name(edge[0], "Deps"), kernel_name(edge[1], "Deps"), keys[0], keys[-1]]


def kernel_name(kernel: Any, what: str) -> str:
    """The name of a kernel that is given itself or by its name."""
    name = kernel if isinstance(kernel, str) else getattr(kernel, "name", None)
    if not isinstance(name, str):
        raise error(ScheduleError, f"{what}: expected a kernel or its name, got {kernel!r}")
    return name


class Pools(Policy):
    """How many tasks of which kind run at a time. A size that is left out is an equal share of the
    workers, at least 1."""

    _part = "pools"

    @staticmethod
    def single(size: int | None = None) -> Pools:
        """One pool of all tasks."""
        return Pools._make("single", size=_size(size, "Pools.single"))

    @staticmethod
    def by_exec_unit(matmul: int | None = None, other: int | None = None) -> Pools:
        """One pool of the kernels with a matmul, one of the others."""
        return Pools._make(
            "by_exec_unit",
            matmul=_size(matmul, "Pools.by_exec_unit: matmul"),
            other=_size(other, "Pools.by_exec_unit: other"),
        )

    @staticmethod
    def custom(pool: Key | Mapping[Any, int], sizes: Sequence[int]) -> Pools:
        """Pools of one's own.

        Parameters
        ----------
        pool : mapping, str, ScalarExpr or callable
            The number of the pool of each kernel, counted from 0; or a key of tasks, whose value
            modulo the number of pools is the task's pool.
        sizes : sequence of int
            Of each pool.

        Raises
        ------
        ScheduleError
            A size below 1, a key that is no expression, no mapping of kernels to numbers.
        """
        what = "Pools.custom"
        if not isinstance(sizes, (tuple, list)) or not sizes:
            raise error(ScheduleError, f"{what}: sizes is {sizes!r}, not a list of integers >= 1")
        counts = [count_of(size, f"{what}: sizes") for size in sizes]
        if not isinstance(pool, Mapping):
            return Pools._make("custom", key=str(key_expr(pool, what)), sizes=counts)
        kernels = {}
        for kernel, number in pool.items():
            if isinstance(number, bool) or not hasattr(number, "__index__") or number < 0:
                raise error(ScheduleError, f"{what}: a pool is a number from 0 on, got {number!r}")
            kernels[kernel_name(kernel, what)] = int(number)
        if not kernels:
            raise error(ScheduleError, f"{what}: no kernel has a pool")
        return Pools._make("by_kernel", kernels=kernels, sizes=counts)

    def __repr__(self) -> str:
        if self.name in ("custom", "by_kernel"):
            given = self.arguments
            return f"Pools.custom({given.get('key', given.get('kernels'))!r}, {given['sizes']})"
        return super().__repr__()


def _size(size: int | None, what: str) -> int | None:
    return None if size is None else count_of(size, what)


class ReadyPolicy(Policy):
    """Which of the tasks that wait for no other starts first."""

    _part = "ready"
    fifo: ClassVar[ReadyPolicy]
    """That which became ready first."""
    work_steal: ClassVar[ReadyPolicy]
    """A worker's own newest; workers without any steal the oldest of others."""

    @staticmethod
    def priority(key: Key) -> ReadyPolicy:
        """That with the largest key; of equal ones that which became ready first.

        Raises
        ------
        ScheduleError
            A key that is no expression, with the reason.
        """
        return ReadyPolicy._make("priority", key=str(key_expr(key, "ReadyPolicy.priority")))


ReadyPolicy.fifo = ReadyPolicy._make("fifo")
ReadyPolicy.work_steal = ReadyPolicy._make("work_steal")


class StartPolicy(Policy):
    """When the first task starts."""

    _part = "start"
    after_orchestration: ClassVar[StartPolicy]
    """When all tasks have been submitted."""

    @staticmethod
    def threshold(n: int) -> StartPolicy:
        """When `n` tasks have been submitted, or as many as can be."""
        return StartPolicy._make("threshold", n=count_of(n, "StartPolicy.threshold"))


StartPolicy.after_orchestration = StartPolicy._make("after_orchestration")


class TracePolicy(Policy):
    """What is measured of each task."""

    _part = "trace"
    none: ClassVar[TracePolicy]
    """Nothing."""
    cycles: ClassVar[TracePolicy]
    """Cycles of the processor's time stamp counter, summed by kernel in ``stats.kernel_cycles``."""


TracePolicy.none = TracePolicy._make("none")
TracePolicy.cycles = TracePolicy._make("cycles")
