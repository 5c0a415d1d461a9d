"""Compiled workloads."""

from __future__ import annotations

import atexit
import contextlib
import sys
import types
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TextIO

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import DirectedSpec, ScalarSpec, TileSpec
from pto_wsp.axes import Ragged, Sparse
from pto_wsp.compile_options import BLOCK_OPTIONS, block_size, kernel_schedule, target_name
from pto_wsp.dtypes import DType
from pto_wsp.errors import (
    NotAvailableError,
    PtoError,
    ScheduleError,
    TypeCheckError,
    error,
)
from pto_wsp.graphs import TaskGraph
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.policies import count_of
from pto_wsp.progress import Progress, display_for, watch
from pto_wsp.scalar_expr import fitting
from pto_wsp.signatures import Parameter, Signature, like_declaration, parse_signature
from pto_wsp.tables import Source
from pto_wsp.tensor import Tensor
from pto_wsp.traces import Trace, TraceLevel
from pto_wsp.workloads import Workload


def seconds(what: str, timeout: Any) -> float | None:
    """A timeout that a user gave `what`; TypeCheckError when it is none."""
    if timeout is not None and (
        isinstance(timeout, bool)
        or not isinstance(timeout, (int, float, np.number))
        or not timeout >= 0
    ):
        raise error(TypeCheckError, f"{what}: the timeout must be seconds >= 0, got {timeout!r}")
    return None if timeout is None else float(timeout)


class Explanation(list[native.Reason]):
    """Reasons, one a line when printed."""

    def __str__(self) -> str:
        return "\n".join(str(reason) for reason in self)

    __repr__ = __str__


class ProgramStats:
    """Figures of a program; calling it gives itself.

    Attributes
    ----------
    compile_time_ms : float
        Time to compile it, or to load it from the cache.
    execute_time_ms : float
        Time of the last run that ended.
    task_count : int
        Tasks of one run.
    parallel_tasks : int
        Tasks of the last run that ran while another one did.
    window_stalls, most_in_flight : int
        Of the last run under ``TaskWindow(mode=WindowMode.BENCHMARK)``: times that submission
        waited, and the most tasks (or bytes) that were in flight.
    kernel_cycles : dict of str to int
        Of the last run under ``TracePolicy.cycles``: cycles of the time stamp counter by kernel.
    failed_tasks, skipped_tasks : int
        Tasks of the last run that failed, and that did not run: they needed the result of one that
        failed, or the run was cancelled.
    cache_hits, cache_misses : int
        Objects of this program that were found compiled, or not.
    workers : list of WorkerStats
        Of the last run: for each worker ``task_count``, ``steals``, ``busy_ms`` (it went from task
        to task, of this run or another) and ``busy_fraction`` of the run's time.
    arena_high_water_bytes, arena_huge_page_bytes : int
        Scratch memory of the kernels of this process: the most bytes that were held at a time, and
        how many are held now in huge pages.

    Notes
    -----
    The target ``cpu_sim`` has the figures of a model beside these: ``total_cycles``, which knows no
    data dependences, and ``critical_path_cycles`` and ``makespan_cycles`` of the real graph.
    """

    _shown = (
        "compile_time_ms",
        "execute_time_ms",
        "task_count",
        "parallel_tasks",
        "failed_tasks",
        "skipped_tasks",
        "cache_hits",
        "cache_misses",
    )

    def __init__(self, program: native.Program) -> None:
        made = program.stats()
        self._program = program
        self.compile_time_ms = made.compile_time_ms
        self.execute_time_ms = made.execute_time_ms
        self.task_count = made.task_count
        self.parallel_tasks = made.parallel_tasks
        self.window_stalls = made.window_stalls
        self.most_in_flight = made.most_in_flight
        self.kernel_cycles = made.kernel_cycles
        self.failed_tasks = made.failed_tasks
        self.skipped_tasks = made.skipped_tasks
        self.cache_hits = made.cache_hits
        self.cache_misses = made.cache_misses
        self.workers = made.workers
        self.arena_high_water_bytes = made.arena_high_water_bytes
        self.arena_huge_page_bytes = made.arena_huge_page_bytes
        self._critical_path = made.critical_path_ms
        self._critical_path_note = made.critical_path_note
        self._total_cycles = made.total_cycles
        self._note = made.total_cycles_note

    @property
    def total_cycles(self) -> int:
        """Virtual cycles of a run: of a model that takes tasks in program order, not a measurement.

        Raises
        ------
        ExecutionError
            Nothing models them for this target, or they depend on data.
        """
        return self._modelled("total_cycles", self._total_cycles, self._note)

    @property
    def critical_path_ms(self) -> float:
        """Time of the longest chain of tasks of the last run that wait for each other, measured.

        Raises
        ------
        ExecutionError
            That run was not traced at the level FULL.
        """
        if self._critical_path is None:
            raise error(
                NotAvailableError,
                f"critical_path_ms: {self._critical_path_note}",
                hint="call program.enable_tracing(TraceLevel.FULL) before execute",
            )
        return self._critical_path

    @property
    def critical_path_cycles(self) -> int:
        """Virtual cycles of the longest chain of tasks that wait for each other.

        Raises
        ------
        ExecutionError
            As `total_cycles`, or there are too many tasks for a graph.
        """
        made = self._program.graph_cycles()
        return self._modelled("critical_path_cycles", made.critical_path, made.note)

    @property
    def makespan_cycles(self) -> int:
        """Virtual cycles until the last task ends when each of the workers takes the first task, in
        program order, that waits for no other.

        Raises
        ------
        ExecutionError
            As `critical_path_cycles`.
        """
        made = self._program.graph_cycles()
        return self._modelled("makespan_cycles", made.makespan, made.note)

    def _modelled(self, name: str, value: int | None, note: str) -> int:
        if value is None:
            raise error(NotAvailableError, f"{name}: {note}")
        return value

    def __call__(self) -> ProgramStats:
        return self

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={getattr(self, name):.3f}"
            if name.endswith("_ms")
            else f"{name}={getattr(self, name)}"
            for name in self._shown
        )
        if self._total_cycles is not None:
            shown += f", total_cycles={self._total_cycles}"
        return f"<ProgramStats {shown}>"


_not_yet = frozenset(
    {
        "codegen_artifact_dir",
    }
)


class Program:
    """A workload that is compiled: it runs any number of times with other data."""

    def __init__(self, made: native.Program, source: Workload) -> None:
        self._native = made
        self._waits_for_events = made.waits_for_events()
        self._workload = source
        self._replaced: dict[Source, Any] = {}

    def __del__(self) -> None:
        """Waits for its runs, which work in memory that it keeps."""
        if self._waits_for_events:
            # One that nobody can help ends by that.
            with contextlib.suppress(PtoError):
                self._native.synchronize()

    @property
    def workload(self) -> Workload:
        """What it was compiled from."""
        return self._workload

    @property
    def target(self) -> str:
        """``"cpu"`` or ``"cpu_sim"``."""
        return self._native.target

    def execute(self) -> None:
        """Starts a run and returns at once.

        Programs run side by side, and so do runs of one program on other data: only a run of this
        program that writes memory which this one touches, or touches what this one writes, is
        waited for first. Different programs that share memory are yours to order, by `synchronize`
        or an `Event`.

        When the interpreter ends, runs that are going on are waited for; when Ctrl-C ends it, tasks
        that have not started are given up.

        Raises
        ------
        ExecutionError
            A declared kernel was not supplied.
        KernelError
            Tasks of a run before failed, and nobody was told. Then no run is started.
        """
        tables = self._workload._tables
        if tables:
            self._native.set_tables({name: tables[name].values(self._replaced) for name in tables})
        _runs.started(self)
        self._native.execute()

    def synchronize(self, timeout: float | None = None, *, progress: bool | TextIO = False) -> bool:
        """Waits for the runs that are going on.

        Ctrl-C cancels them: tasks that have not started are given up, what has ended stays as it
        is, and KeyboardInterrupt is raised within 0.2 s. A task that is running cannot be stopped:
        if it takes longer, the run ends later.

        Parameters
        ----------
        timeout : float, optional
            Seconds.
        progress : bool or text stream
            Whether to show how far the run is, meanwhile: a bar in terminals and notebooks, a line
            now and then in logs. A stream is written to instead of standard error.

        Returns
        -------
        bool
            False when the timeout passed first.

        Raises
        ------
        KernelError
            Tasks failed; ``errors`` has all of them. What needs the result of a task that failed
            did not run: tasks that read what it should have written, theirs in turn, and what
            ``P.seq`` or ``sequential`` puts behind it. Everything else has run. (Where a loop is
            not tracked, see `explain`, the iteration goes no further, whatever the rest of it
            needs.)
        CancelledError
            `cancel` or Ctrl-C kept tasks from running.
        """
        limit = seconds("synchronize", timeout)
        if progress is False:
            return self._native.synchronize(limit)
        display = display_for(None if progress is True else progress)
        return watch(self._native.synchronize, self.progress, display, limit)

    def progress(self) -> Progress:
        """How far the last run is. Loops without tracking count whole chunks of iterations."""
        made = self._native.progress()
        return Progress(made.done, made.total, made.elapsed_ms / 1000, made.complete)

    def cancel(self) -> None:
        """Asks the runs that are going on to end soon, and returns at once.

        Tasks that have not started do not start; what has ended stays as it is.
        """
        self._native.cancel()

    def is_complete(self) -> bool:
        """True when no run is going on."""
        return self._native.is_complete()

    def set_axis_sizes(self, sizes: Mapping[str, int]) -> None:
        """Gives axes of run-time size other sizes for the runs that follow. Nothing is compiled.

        Parameters
        ----------
        sizes : dict of str to int
            By any name of the axis: its variable, its Symbol or its loop variable.

        Raises
        ------
        TypeCheckError
            An unknown name or a size that is no integer >= 0; then nothing is set.
        """
        known = self._workload._native.axes()
        values: dict[str, int] = {}
        if not isinstance(sizes, Mapping):
            raise error(
                TypeCheckError, f"set_axis_sizes: expected a dict of names and sizes, got {sizes!r}"
            )
        for name, size in sizes.items():
            if name not in known:
                raise error(
                    TypeCheckError,
                    f"set_axis_sizes: no axis of run-time size is called {name!r}",
                    hint="axes: " + ", ".join(sorted(known)) if known else "there are none",
                )
            if isinstance(size, bool) or not hasattr(size, "__index__") or int(size) < 0:
                raise error(
                    TypeCheckError,
                    f"set_axis_sizes: the size of '{name}' must be an integer >= 0, got {size!r}",
                )
            values.update((symbol, fitting(int(size))) for symbol in known[name])
        self._native.set_symbols(values)

    def set_symbol_u64(self, name: str, value: int) -> None:
        """Gives a Symbol its value for the runs that follow.

        Raises
        ------
        TypeCheckError
            No such symbol, or no integer in 0...2^63 - 1.
        """
        if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 0:
            raise error(
                TypeCheckError, f"set_symbol_u64: '{name}' must be an integer >= 0, got {value!r}"
            )
        self._native.set_symbols({name: fitting(int(value))})

    def set_symbol_f32(self, name: str, value: float) -> None:
        """Gives a Symbol its value for the runs that follow, where it is a float: tasks are called
        with it for parameters of F32, F64, F16 or BF16, and nothing else uses it. Each parameter
        gets the value rounded to its type. `set_symbol_u64` gives such a symbol a whole number.

        Raises
        ------
        TypeCheckError
            No such symbol, one that is an integer, or no number.
        """
        is_number = isinstance(value, (int, float, np.integer, np.floating))
        if not is_number or isinstance(value, bool):
            raise error(TypeCheckError, f"set_symbol_f32: '{name}' must be a number, got {value!r}")
        self._native.set_symbol_f32(name, float(value))

    def set_symbol_ptr(self, name: str, value: Any) -> None:
        """Gives a Symbol an address for the runs that follow, where tasks are called with it for
        parameters of U64, and nothing else uses it: for kernels in C++, which make a pointer of it.
        What such a pointer reads or writes orders no tasks and no runs; only tensors do.

        Parameters
        ----------
        name : str
            Of the symbol.
        value : int, array or Tensor
            The address, or memory at whose first element it points. Memory is kept alive as long as
            runs may use it, an address is not.

        Raises
        ------
        TypeCheckError
            No such symbol, one that is used as a number, or no address.
        """
        if isinstance(value, np.integer):
            value = int(value)
        if isinstance(value, bool) or (isinstance(value, int) and not 0 <= value < 2**63):
            raise error(
                TypeCheckError,
                f"set_symbol_ptr: '{name}' must be an address or an array, got {value!r}",
            )
        self._native.set_symbol_ptr(name, value)

    def bind(self, **tensors: Any) -> None:
        """Gives captured tensors, and the lists and arrays of axes, other data for the runs that
        follow, by name. Lists and arrays of axes may have another length. The name of an axis takes
        a `Ragged` or `Sparse` like the one that it had.

        Raises
        ------
        TypeCheckError
            An unknown name, another shape, element type or strides, or data that no such axis has;
            then nothing is bound.
        """
        tensors = self._with_parts(tensors)
        sources = {
            source: tensors[name]
            for source, names in self._workload._sources.items()
            for name in names
            if name in tensors
        }
        of_tensors = {tensor.name for tensor in self._workload._native.tensors()}
        of_sources = {name for names in self._workload._sources.values() for name in names}
        unknown = tensors.keys() - of_tensors - of_sources
        if unknown and of_sources:
            raise error(
                TypeCheckError,
                f"bind: the program has no tensor or list '{min(unknown)}'",
                hint="there are " + ", ".join(sorted(of_tensors | of_sources)),
            )
        replaced = {**self._replaced, **sources}
        for table in self._workload._tables.values():
            table.values(replaced)
        self._bind_tensors(
            {
                name: data
                for name, data in tensors.items()
                if name not in of_sources or name in of_tensors
            }
        )
        self._replaced = replaced

    def _with_parts(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """With the lists of an axis that is given in place of the axis itself."""
        found: dict[str, Any] = {}
        for name, value in given.items():
            if not isinstance(value, (Ragged, Sparse)):
                found[name] = value
                continue
            parts = {
                held: source
                for source, names in self._workload._sources.items()
                for held in names
                if held == name or held.startswith(f"{name}.")
            }
            if not parts:
                raise error(TypeCheckError, f"bind: the program has no axis '{name}'")
            for held, source in parts.items():
                if not source.is_of(value):
                    raise error(
                        TypeCheckError, f"bind: '{name}' is data of {source.what}, got {value!r}"
                    )
                found[held] = getattr(value, source.part)
        return found

    def _bind_tensors(self, tensors: Mapping[str, Any]) -> None:
        known = {tensor.name: tensor.view for tensor in self._workload._native.tensors()}
        written = self._workload._native.written()
        views = {}
        for name, data in tensors.items():
            if not Tensor.accepts(data):
                raise error(TypeCheckError, f"bind: '{name}' needs an array, got {data!r}")
            is_bfloat = name in known and known[name].dtype is DType.BF16
            bits = is_bfloat and getattr(data, "dtype", None) == DType.BF16.numpy
            tensor = (
                data
                if isinstance(data, Tensor)
                else Tensor(data, dtype=DType.BF16 if bits else None)
            )
            if not tensor.writeable and name in written:
                raise error(TypeCheckError, f"bind: '{name}' is written but its array is read-only")
            views[name] = tensor.view
        if views or not self._workload._sources:
            self._native.bind(views)

    def register_kernel(self, kernel: str | KernelRef, implementation: Any) -> None:
        """Supplies a kernel that was only declared.

        Parameters
        ----------
        kernel : str or KernelRef
            The declaration. A name must be that of one declared kernel.
        implementation : KernelRef or function
            A kernel, or a function on tiles; without annotations it has its declaration's.

        Raises
        ------
        ScheduleError
            No such kernel is declared, or several are.
        TypeCheckError
            The parameters do not match.
        """
        declared = [handle for handle in self._workload._kernels if handle.is_declaration]
        if isinstance(kernel, str):
            matching = [handle for handle in declared if handle.name == kernel]
            owners = {id(self._workload._kernels[handle]) for handle in matching}
            if len(owners) > 1:
                raise error(
                    ScheduleError,
                    f"register_kernel: {len(owners)} kernels are declared as '{kernel}'",
                    hint="pass the kernel itself instead of its name",
                )
        elif isinstance(kernel, KernelRef):
            matching = [handle for handle in declared if self._workload._kernels[handle] is kernel]
        else:
            raise error(
                TypeCheckError, f"register_kernel: expected a name or a kernel, got {kernel!r}"
            )
        if not matching:
            name = kernel if isinstance(kernel, str) else kernel.name
            names = sorted({handle.name for handle in declared})
            raise error(
                ScheduleError,
                f"register_kernel: no kernel '{name}' is declared in this program",
                hint="declared are " + ", ".join(names) if names else "every kernel has a body",
            )
        for handle in matching:
            body = _implementation(implementation, handle)
            self._native.register_kernel(handle, body.implement(handle.params))

    def enable_tracing(self, level: TraceLevel) -> None:
        """Records the runs that follow.

        Loops that run several tasks in an iteration without tracking are compiled again from the
        level TIMING on, as tracked tasks: only those are seen one by one.

        Parameters
        ----------
        level : TraceLevel
            How much; NONE ends it.

        Raises
        ------
        TypeCheckError
            Not a TraceLevel.
        """
        self._native.enable_tracing(TraceLevel.checked(level))

    @property
    def trace(self) -> Trace:
        """What was recorded of the last run.

        Raises
        ------
        ExecutionError
            It was not traced, or has not ended.
        """
        return Trace(self._native.trace())

    @property
    def stats(self) -> ProgramStats:
        """Figures of compilation and of the last run."""
        return ProgramStats(self._native)

    def graph(self, max_tasks: int = native.max_graph_tasks) -> TaskGraph:
        """Its tasks and what orders them: data, sequences, lanes.

        Parameters
        ----------
        max_tasks : int
            A program with more tasks is refused.

        Raises
        ------
        CompileError
            There are more than `max_tasks` tasks.
        """
        return TaskGraph(self._native.graph(count_of(max_tasks, "graph: max_tasks")))

    def explain(self) -> Explanation:
        """Which rules fired or not, which loops are tracked and why, cache misses."""
        return Explanation(self._native.explain())

    @property
    def loop_nests(self) -> str:
        """The loops of all kernels, then those of the tasks."""
        return self._native.loop_nests()

    def __getattr__(self, name: str) -> NoReturn:
        if name in _not_yet:
            raise error(NotAvailableError, f"Program.{name} is not available yet")
        raise AttributeError(f"'Program' object has no attribute '{name}'")

    def __repr__(self) -> str:
        return f"<Program {self._workload!r} for {self.target}>"


class _Runs:
    """The programs that may be running when the interpreter ends."""

    longest_s = 10.0

    def __init__(self) -> None:
        self._programs: weakref.WeakSet[Program] = weakref.WeakSet()
        self._seen: object = None

    def started(self, program: Program) -> None:
        """`program` runs from now on."""
        self._programs.add(program)
        self._seen = getattr(sys, "last_value", None)

    def finish(self) -> None:
        """Waits for what is running: it works on arrays that the interpreter is about to free.

        After Ctrl-C, before the end or during the wait, tasks that have not started are given up.
        """
        if not self._programs:
            return
        if self._interrupted():
            native.cancel_runs(self.longest_s)
            return
        try:
            for program in list(self._programs):
                with contextlib.suppress(PtoError):
                    program.synchronize()
        except KeyboardInterrupt:
            native.cancel_runs(self.longest_s)

    def _interrupted(self) -> bool:
        """True when a KeyboardInterrupt that nobody caught came after the last start."""
        last = getattr(sys, "last_value", None)
        return isinstance(last, KeyboardInterrupt) and last is not self._seen


_runs = _Runs()
atexit.register(_runs.finish)


def _implementation(given: Any, declared: native.Kernel) -> KernelRef:
    if isinstance(given, KernelRef):
        return given
    if not isinstance(given, types.FunctionType):
        raise error(
            TypeCheckError,
            f"register_kernel: the implementation of '{declared.name}' must be a kernel or a "
            f"function, got {given!r}",
        )
    if given.__annotations__:
        return KernelRef(given, parse_signature(given))
    parameters = []
    for param in declared.params:
        tile = TileSpec(param.type.rows, param.type.columns, param.type.dtype)
        spec: DirectedSpec | ScalarSpec = (
            DirectedSpec(param.direction, tile) if param.is_tile else ScalarSpec(param.type.dtype)
        )
        parameters.append(Parameter(param.name, spec))
    return KernelRef(given, like_declaration(given, Signature(declared.name, parameters)))


def compile_workload(source: Workload, target: str, options: Mapping[str, Any]) -> Program:
    """See `Workload.compile`."""
    if source.type_errors:
        raise source.type_errors[0]
    blocks = {}
    schedules: Sequence[tuple[native.Kernel, native.KernelSchedule]] = []
    for name, value in options.items():
        if name in BLOCK_OPTIONS:
            blocks[name] = block_size(name, value)
        elif name == "kernels":
            schedules = _kernel_schedules(source, value)
        else:
            raise error(
                TypeCheckError,
                f"compile: unknown option '{name}'",
                hint="the options are target, kernels, " + ", ".join(BLOCK_OPTIONS),
            )
    compiled = native.compile(
        source._native,
        native.CompileOptions(
            target=target_name(target),
            tasks=source.schedule._native,
            kernels=schedules,
            block_m=blocks.get("BLOCK_M", 0),
            block_n=blocks.get("BLOCK_N", 0),
            block_k=blocks.get("BLOCK_K", 0),
        ),
    )
    return Program(compiled, source)


def _kernel_schedules(
    source: Workload, given: Mapping[KernelRef, Any]
) -> list[tuple[native.Kernel, native.KernelSchedule]]:
    if not isinstance(given, Mapping):
        raise error(
            TypeCheckError,
            f"compile: kernels is {given!r}, not a dict of kernels and their steps",
            hint='kernels={kernel: [["vectorize", "y", {}]]}',
        )
    found = []
    for kernel, steps in given.items():
        handles = [handle for handle, owner in source._kernels.items() if owner is kernel]
        if not handles:
            raise error(
                ScheduleError,
                f"compile: a schedule is given for {kernel!r}, which the workload does not call",
            )
        schedule = kernel_schedule(steps)
        found += [(handle, schedule) for handle in handles]
    return found
