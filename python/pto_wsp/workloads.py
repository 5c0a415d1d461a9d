"""`@workload`: expressions of tasks."""

from __future__ import annotations

import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import pto_wsp._pto_wsp as native
from pto_wsp import context
from pto_wsp.early_exits import refuse_jumps
from pto_wsp.errors import (
    CompileError,
    RaceWarning,
    ScheduleError,
    SlotWarning,
    TypeCheckError,
    error,
    user_place,
)
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.loops import left_early
from pto_wsp.meshes import Sharded
from pto_wsp.policies import Policy
from pto_wsp.program_kernels import ProgramKernel
from pto_wsp.schedules import Schedulable, Schedule
from pto_wsp.signatures import closure_of, place_of
from pto_wsp.statements import Part
from pto_wsp.tables import Source, Table, indexable
from pto_wsp.tensor import Tensor

if TYPE_CHECKING:
    from pto_wsp.programs import Program

_chunk = 4096
_raced: dict[Any, Any] = {}  # what was warned of, each at its line once


class Task:
    """One kernel call of a workload.

    Attributes
    ----------
    kernel : KernelRef
        Prints as the kernel's name.
    params : list of int
        The values of the kernel's subscripts.
    id : int
        Its number in program order.
    """

    def __init__(self, handle: native.TaskHandle, kernels: dict[native.Kernel, KernelRef]) -> None:
        self._handle = handle
        self.kernel = kernels[handle.kernel]
        self.params = list(handle.params)
        self.id = handle.id

    @property
    def resources(self) -> list[Tensor]:
        """The tensors it reads and writes, in the order of the kernel's parameters."""
        return [
            Tensor(view.array(), dtype=view.dtype, name=name)
            for name, view in self._handle.resources()
        ]

    def get(self, axis: str) -> int:
        """The value of the loop variable with that name.

        Raises
        ------
        ScheduleError
            There is none; the text lists those there are.
        """
        return self._handle.get(axis)

    def __getattr__(self, name: str) -> int:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._handle.get(name)

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self._handle.indices.items())
        return f"<Task {self.id}: {self.kernel.name}[{values}]>"


class Workload(Schedulable):
    """An immutable expression of tasks with its schedule.

    Its printed form is its type: ``Workload[Dense[4] × Dense[8], attn, Independent]``.
    """

    def __init__(
        self,
        made: native.WorkloadIR,
        kernels: dict[native.Kernel, KernelRef],
        schedule: Schedule | None = None,
        type_errors: Sequence[TypeCheckError] = (),
        tables: Mapping[str, Table] | None = None,
        names: Mapping[Source, set[str]] | None = None,
        on_mesh: Sequence[Sharded] = (),
    ) -> None:
        self._on_mesh = tuple(on_mesh)
        # An expression that no statement uses has made tables too.
        used = made.tables() if tables else set()
        self._tables = {name: table for name, table in (tables or {}).items() if name in used}
        self._sources = dict(names or {})
        self._native = made
        self._kernels = kernels
        self._type_errors = tuple(type_errors)
        self._schedule = schedule if schedule is not None else Schedule()

    @property
    def name(self) -> str:
        """The name of the function that made it."""
        return self._native.name

    @property
    def kind(self) -> str:
        """``parallel``, ``seq``, ``task``, ``combine`` or ``sequential``."""
        return self._native.kind()

    @property
    def type_errors(self) -> list[TypeCheckError]:
        """Calls that do not fit their kernels, in the order of the calls; such a workload cannot be
        compiled."""
        has_mesh = self._schedule.get("spatial_map") is not None
        without_mesh = [] if has_mesh else [each.without_mesh for each in self._on_mesh]
        return [*self._type_errors, *without_mesh]

    @property
    def type_warnings(self) -> list[str]:
        """What is legal but hardly meant, in the order of the calls: iterations of a parallel loop
        that write one region which nothing reads between, slots that are read before anything
        fills them. Building the workload warns of it."""
        return [
            f"{found.at[0]}:{found.at[1]}: {found.subject}: {found.text}"
            for found in [*self._native.racing_writes(), *self._native.unfilled_slots()]
        ]

    @property
    def schedule(self) -> Schedule:
        """The steps so far."""
        return self._schedule

    @property
    def task_count(self) -> int:
        """Number of tasks."""
        return self._native.task_count()

    def enumerate(self) -> list[Task]:
        """All tasks in program order. Iterating over the workload makes them one by one."""
        return list(self)

    def __iter__(self) -> Iterator[Task]:
        for name, table in self._tables.items():
            self._native.set_table(name, table.values())
        first = 0
        while True:
            handles = self._native.tasks(first, _chunk)
            for handle in handles:
                yield Task(handle, self._kernels)
            if len(handles) < _chunk:
                return
            first += _chunk

    def with_schedule(self, schedule: Schedule) -> Workload:
        """The same tasks with all steps of `schedule`, which replace its own of the same parts.

        Raises
        ------
        ScheduleError
            No Schedule, or a key with a loop variable that a task does not have.
        """
        if not isinstance(schedule, Schedule):
            raise error(
                ScheduleError,
                f"with_schedule: expected a Schedule, got {schedule!r}",
                hint="Schedule.from_json(text) reads one",
            )
        result = self
        for policy in schedule:
            result = result._with_policy(policy)
        return result

    def layout(self, *args: Any, **kwargs: Any) -> Workload:
        """Deprecated, and changes nothing: layouts belong to tensors."""
        warnings.warn(
            "Workload.layout is deprecated and changes nothing: layouts belong to tensors, as in "
            "Tensor(..., layout=TensorLayout(...)) and relayout(tensor, to=...)",
            DeprecationWarning,
            stacklevel=2,
        )
        return self

    def compile(self, target: str = "cpu", **options: Any) -> Program:
        """Checks and compiles it, or loads what was compiled before.

        Parameters
        ----------
        target : str
            ``"cpu"`` or ``"cpu_sim"``.
        kernels : dict of KernelRef to steps, optional
            Schedules that replace a kernel's default one, as JSON text or lists.
        BLOCK_M, BLOCK_N, BLOCK_K : int, optional
            Tile sizes of the kernels' default schedules.

        Raises
        ------
        CompileError
            The workload is wrong; the error stands at the line that is.
        ScheduleError
            A step that is not legal here.
        """
        from pto_wsp.programs import compile_workload

        return compile_workload(self, target, options)

    def dump(self) -> str:
        """The text of the workload, which parses back."""
        return str(self._native)

    def __repr__(self) -> str:
        return self._native.type_str()

    def _with_policy(self, policy: Policy) -> Workload:
        native.check_policy(policy.native, self._native)
        if policy.part == "spatial_map":
            for argument in self._on_mesh:
                argument.check(policy.arguments["grid"])
        schedule = self._schedule._with_policy(policy)
        return Workload(
            self._native,
            self._kernels,
            schedule,
            self._type_errors,
            self._tables,
            self._sources,
            self._on_mesh,
        )

    def _rewritten(self, made: native.WorkloadIR) -> Workload:
        """The same with other tasks; kernels that rules made come with them."""
        kernels = dict(self._kernels)
        for handle in made.kernels():
            if handle not in kernels and handle.program is not None:
                kernels[handle] = ProgramKernel(handle.program)
        return Workload(
            made,
            kernels,
            self._schedule,
            self._type_errors,
            self._tables,
            self._sources,
            self._on_mesh,
        )


class WorkloadFunction:
    """A function decorated with `@workload`: called, it gives a `Workload`; called in the body of
    another workload, it becomes part of that."""

    def __init__(
        self,
        function: types.FunctionType,
        fail_on_type_error: bool,
        visible: Mapping[str, Any],
    ) -> None:
        self._function = function
        # Of the variables around a function in a function, only the values that may be needed.
        self._around = {
            name: visible[name]
            for name in inspect.signature(function).parameters
            if name in visible
        }
        self._fail_on_type_error = fail_on_type_error
        self._was_read = False
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self._bind(args, kwargs)
        outer = context.current()
        if outer is None:
            return self._build(bound)
        outer.learn_names(self._visible(bound))
        outer.builder.open_call(self.__name__)
        self._run(outer, bound)
        outer.builder.close()
        return None

    def compile(self, target: str = "cpu", **options: Any) -> Program:
        """Calls it and compiles the workload. Parameters without default take the value of the
        variable with their name where the function is defined, at that time."""
        return self._default().compile(target, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Workload, name):
            raise AttributeError(f"workload '{self.__name__}' has no attribute '{name}'")
        return getattr(self._default(), name)

    def __repr__(self) -> str:
        return f"<workload {self.__name__}{inspect.signature(self._function)}>"

    def _default(self) -> Workload:
        visible = self._visible({})
        bound = {}
        for parameter in inspect.signature(self._function).parameters.values():
            if parameter.default is not parameter.empty:
                continue
            if parameter.name not in visible:
                raise error(
                    CompileError,
                    f"workload '{self.__name__}': parameter '{parameter.name}' has no value: there "
                    "was no variable of that name when the function was defined",
                    hint=f"call it with its axes: {self.__name__}(...).compile()",
                )
            bound[parameter.name] = visible[parameter.name]
        return self._build(self._bind((), bound))

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        try:
            bound = inspect.signature(self._function).bind(*args, **kwargs)
        except TypeError as cause:
            raise error(TypeCheckError, f"workload '{self.__name__}': {cause}") from None
        bound.apply_defaults()
        return dict(bound.arguments)

    def _visible(self, bound: dict[str, Any]) -> dict[str, Any]:
        """The variables that the body can see, its parameters first."""
        outside = {**self._around, **closure_of(self._function)}
        for name, value in self._function.__globals__.items():
            outside.setdefault(name, value)
        return {**bound, **{name: value for name, value in outside.items() if name not in bound}}

    def _build(self, bound: dict[str, Any]) -> Workload:
        building = context.BuildContext(
            self.__name__, place_of(self._function), not self._fail_on_type_error
        )
        building.learn_names(self._visible(bound))
        context.push(building)
        try:
            self._run(building, bound)
        finally:
            context.pop()
        made = building.finished()
        for race in made._native.racing_writes():
            text = f"{race.subject}: {race.text}"
            warnings.warn_explicit(text, RaceWarning, *race.at, registry=_raced)
        for slot in made._native.unfilled_slots():
            text = f"{slot.subject}: {slot.text}"
            warnings.warn_explicit(text, SlotWarning, *slot.at, registry=_raced)
        return made

    def _run(self, building: context.BuildContext, bound: dict[str, Any]) -> None:
        if not self._was_read:
            refuse_jumps(self._function)
            self._was_read = True
        depth = len(building.loops)
        signature = inspect.signature(self._function)
        arguments = inspect.BoundArguments(signature, bound)
        result = self._with_indexable(arguments.args, arguments.kwargs)
        if len(building.loops) != depth:
            raise left_early(building.loops[-1])
        if not _is_nothing(result):
            raise error(
                TypeCheckError,
                f"workload '{self.__name__}' returns {result!r}, which has no meaning",
                at=place_of(self._function),
                hint="its tasks are the kernels that its body calls",
            )

    def _with_indexable(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls the function; lists and arrays of integers that it sees take loop variables as
        indices."""
        function = self._function
        used = _names_in(function.__code__)
        outside = {}
        for name in used & function.__globals__.keys():
            value = function.__globals__[name]
            if indexable(value) is not value:
                outside[name] = indexable(value)
        cells = []
        for cell in function.__closure__ or ():
            try:
                value = indexable(cell.cell_contents)
            except ValueError:
                cells.append(cell)
                continue
            cells.append(cell if value is cell.cell_contents else types.CellType(value))
        if outside or any(a is not b for a, b in zip(cells, function.__closure__ or ())):
            function = types.FunctionType(
                function.__code__,
                {**function.__globals__, **outside} if outside else function.__globals__,
                function.__name__,
                function.__defaults__,
                tuple(cells),
            )
            function.__kwdefaults__ = self._function.__kwdefaults__
        return function(
            *(indexable(value) for value in args),
            **{name: indexable(value) for name, value in kwargs.items()},
        )


def _names_in(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for part in code.co_consts:
        if isinstance(part, types.CodeType):
            names |= _names_in(part)
    return names


def _is_nothing(result: Any) -> bool:
    """True for None and for statements, also of a comprehension."""
    if isinstance(result, (list, tuple)):
        return all(_is_nothing(part) for part in result)
    return result is None or isinstance(result, Part)


_delayed: dict[str, Callable[[Any], bool]] = {
    "a generator": inspect.isgeneratorfunction,
    "a coroutine": inspect.iscoroutinefunction,
    "an asynchronous generator": inspect.isasyncgenfunction,
}


@overload
def workload(function: Callable[..., Any]) -> WorkloadFunction: ...
@overload
def workload(
    *, fail_on_type_error: bool = False
) -> Callable[[Callable[..., Any]], WorkloadFunction]: ...


def workload(function: Any = None, *, fail_on_type_error: bool = False) -> Any:
    """Makes a workload of a function whose loops are ``P(...)`` and whose statements call kernels.

    Parameters
    ----------
    fail_on_type_error : bool
        Raise where a call does not fit its kernel. Otherwise such calls are collected in
        ``Workload.type_errors`` and `compile` raises the first.
    """

    if not isinstance(fail_on_type_error, bool):
        raise error(
            TypeCheckError,
            f"@workload: fail_on_type_error is True or False, got {fail_on_type_error!r}",
        )
    frame = sys._getframe(1)
    visible = {} if frame.f_locals is frame.f_globals else frame.f_locals

    def decorate(body: Callable[..., Any]) -> WorkloadFunction:
        if not isinstance(body, types.FunctionType):
            raise error(TypeCheckError, f"@workload: expected a function, got {body!r}")
        for kind, is_kind in _delayed.items():
            if is_kind(body):
                raise error(
                    TypeCheckError,
                    f"@workload: '{body.__name__}' is {kind}, whose body does not run when it is "
                    "called",
                    at=place_of(body),
                    hint="loop with for ... in P(...) and call kernels as statements",
                )
        return WorkloadFunction(body, fail_on_type_error, visible)

    return decorate if function is None else decorate(function)


def combine(*parts: Any) -> Any:
    """The tasks of all `parts`, in any order that their data allows. In the body of a workload they
    become part of it."""
    return _group("combine", False, parts)


def sequential(*parts: Any) -> Any:
    """The tasks of each part after those of the part before. In the body of a workload they become
    part of it."""
    return _group("sequential", True, parts)


def _group(name: str, in_order: bool, parts: Sequence[Any]) -> Any:
    outer = context.current()
    if outer is not None:
        return _gather(outer, name, in_order, parts)
    building = context.BuildContext(name, user_place(), False)
    building.builder.open_group(in_order)
    for number, part in enumerate(parts):
        if isinstance(part, WorkloadFunction):
            part = part._default()
        if not isinstance(part, Workload):
            raise error(TypeCheckError, f"{name}: argument {number} is no workload but {part!r}")
        building.include(part, name)
    building.builder.close()
    return building.finished()


def _gather(
    building: context.BuildContext, name: str, in_order: bool, parts: Sequence[Any]
) -> Part:
    numbers: list[int] = []
    tasks: list[int] = []
    for number, part in enumerate(parts):
        first = building.builder.tasks
        if isinstance(part, (Workload, WorkloadFunction)):
            numbers.append(building.builder.statements)
            if isinstance(part, Workload):
                building.include(part, name)
            else:
                part()
            tasks += range(first, building.builder.tasks)
        elif isinstance(part, Part) and part.building is building:
            numbers += [] if part.number is None else [part.number]
            tasks += part.tasks
        else:
            raise error(
                TypeCheckError,
                f"{name}: argument {number} is no part of the workload but {part!r}",
                hint="parts are task(k, [b], [X[b]]), loops like parallel_for(...), and workloads",
            )
    count = building.builder.statements
    same_body = all(
        part.depth == building.builder.depth for part in parts if isinstance(part, Part)
    )
    if not same_body or sorted(numbers) != list(range(count - len(numbers), count)):
        raise error(
            CompileError,
            f"{name}: its parts are not the statements right before it",
            hint=f"make them in the call: {name}(task(...), task(...))",
        )
    building.builder.gather(numbers, in_order)
    return Part(building, building.builder.statements - 1, tasks)


class TypeChecker:
    """Checks workloads without compiling them."""

    def check(self, what: Workload | WorkloadFunction) -> list[CompileError]:
        """The calls that do not fit their kernels: arity, shapes, element types, directions,
        layouts, bounds; then what is wrong with its processes and channels."""
        built = what._default() if isinstance(what, WorkloadFunction) else what
        if not isinstance(built, Workload):
            raise error(TypeCheckError, f"TypeChecker: {what!r} is no workload")
        found: list[CompileError] = list(built.type_errors)
        try:
            built._native.check_nets()
        except CompileError as wrong:
            found.append(wrong.with_traceback(None))
        return found

    __call__ = check
