"""Statements of workloads: kernel calls, which become tasks, and slots."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp import context
from pto_wsp.annotations import ConstexprSpec, DirectedSpec, ScalarSpec
from pto_wsp.compile_options import tile_of_shape
from pto_wsp.errors import CompileError, ScheduleError, TypeCheckError, error
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.loop_variables import AxisVar
from pto_wsp.meshes import sharded
from pto_wsp.scalar_expr import ScalarExpr, cast_u64, is_scalar, native_expr, slot_number
from pto_wsp.scalars import number_of
from pto_wsp.tensor import Tensor
from pto_wsp.tracing import innermost


class Part:
    """A statement of the workload that is being built, for `combine` and `sequential`."""

    __slots__ = ("building", "depth", "number", "tasks")

    def __init__(
        self, building: context.BuildContext, number: int | None, tasks: Iterable[int] = ()
    ) -> None:
        self.building = building
        self.depth = building.builder.depth
        self.number = number  # in the body that is open; None: a call that does not fit
        self.tasks = tuple(tasks)  # marks, by which records of events know them

    def __repr__(self) -> str:
        return f"<a statement of workload {self.building.name}>"


class UnboundCall(Part):
    """A kernel call without some of its outputs, which is no statement until it is sent."""

    __slots__ = ("_emit", "_outputs", "problem")

    def __init__(
        self,
        building: context.BuildContext,
        kernel: KernelRef,
        outputs: Sequence[str],
        emit: Callable[[Mapping[str, Any]], None],
        problem: TypeCheckError,
    ) -> None:
        super().__init__(building, None)
        self._outputs = {name: kernel.signature[name].spec for name in outputs}
        self._emit = emit
        self.problem = problem
        building.expect_sent(self)

    def emit_with(self, payload: Callable[[int, native.TileType, str], native.Region]) -> None:
        """Adds the call, with the tiles that a token carries."""
        self.building.forgive(self)
        tiles: dict[str, Any] = {}
        with self.building.collecting():
            for number, (name, spec) in enumerate(self._outputs.items()):
                if not isinstance(spec, DirectedSpec) or spec.tile is None:
                    raise self.problem
                tile = native.TileType(spec.tile.dtype, spec.tile.rows, spec.tile.cols)
                tiles[name] = SentTile(payload(number, tile, name))
            self._emit(tiles)


class SentTile:
    """The storage of what a token carries, as the argument of a kernel."""

    owner = None

    def __init__(self, region: native.Region) -> None:
        self._region = region

    def carried(self, name: str, spec: DirectedSpec) -> native.Region:
        """The tile, for a parameter."""
        return self._region


def emit_task(
    kernel: KernelRef,
    axes: Sequence[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: Sequence[str] = (),
) -> Part:
    """Adds ``kernel[axes](*args, **kwargs)`` to the workload that is being built; `names` are those
    that the call gives its axes.

    A call that does not fit, or whose shapes do not fit each other in the body of the kernel, is a
    type error of the workload. One that only lacks outputs may still be sent.
    """
    tracing = innermost()
    if tracing is not None:
        raise error(
            CompileError,
            f"kernel '{kernel.name}' is called in the body of kernel '{tracing.name}'",
            hint="share code between kernels in plain functions on tiles",
        )
    building = context.current()
    if building is None:
        raise error(
            CompileError,
            f"kernel '{kernel.name}' is called outside the body of a workload",
            hint=f"run it on arrays with {kernel.name}.compile()(...), or call it in a function "
            "decorated with @workload",
        )
    _check_axis_names(kernel, names, building)
    left_out = kernel.signature.outputs_left_out(args, kwargs)
    if left_out:
        try:
            kernel.signature.bind(args, kwargs)
        except TypeCheckError as problem:
            with contextlib.suppress(TypeCheckError):
                kernel.signature.bind(args, {**kwargs, **dict.fromkeys(left_out)})

                def emit(tiles: Mapping[str, Any]) -> None:
                    emit_task(kernel, axes, args, {**kwargs, **tiles}, names)

                return UnboundCall(building, kernel, left_out, emit, problem.with_traceback(None))
    number = building.builder.statements
    first = building.builder.tasks
    _emit(building, kernel, axes, args, kwargs)
    tasks = range(first, building.builder.tasks)
    return Part(building, number if building.builder.statements > number else None, tasks)


def _emit(
    building: context.BuildContext,
    kernel: KernelRef,
    axes: Sequence[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    with building.collecting():
        bound = kernel.signature.bind(args, kwargs)
        constants = {}
        tiles = {}
        tensors: dict[str, Tensor] = {}
        passed: list[tuple[str, native.Region | native.ScalarExpr | float]] = []
        for name, value in bound.items():
            spec = kernel.signature[name].spec
            building.require_own(f"kernel '{kernel.name}': '{name}'", value)
            if isinstance(spec, ConstexprSpec):
                constants[name] = _constant(kernel, name, value)
            elif isinstance(spec, ScalarSpec):
                passed.append((name, _scalar(kernel, name, spec, value)))
            elif hasattr(type(value), "carried"):
                carried: native.Region = value.carried(name, spec)
                if spec.tile is None:
                    tiles[name] = tile_of_shape(carried.shape, carried.dtype)
                passed.append((name, carried))
            else:
                tensor = _tensor(building, kernel, name, spec, value)
                region = tensor.region()
                if spec.tile is None:
                    tiles[name] = tile_of_shape(region.shape, tensor.dtype)
                passed.append((name, region))
                tensors[name] = tensor
        for axis in axes:
            building.require_own(f"kernel '{kernel.name}': a subscript", axis)
        subscripts = [_subscript(kernel, axis) for axis in axes]
        handle = kernel.specialise(constants, tiles).kernel
        _check_placement(building, kernel, handle, tensors)
        building.builder.task(handle, subscripts, passed)
        building.kernels[handle] = kernel


# Names of loop variables in the order of creation, for those that have no better one.
_letters = "bhsdijklmn"


def _check_axis_names(
    kernel: KernelRef, names: Sequence[str], building: context.BuildContext
) -> None:
    loops = building.variable_names
    if not loops:
        return
    known = {name for variable in loops for name in variable} | set(_letters[: len(loops)])
    for name in names:
        if name not in known:
            near = native.nearest_name(name, sorted(known))
            raise error(
                ScheduleError,
                f"kernel '{kernel.name}': no loop around the call has a variable '{name}'",
                hint=(f"did you mean '{near}'? " if near else "")
                + "they are "
                + ", ".join("/".join(variable) for variable in loops),
            )


def _subscript(kernel: KernelRef, axis: Any) -> native.ScalarExpr:
    if not is_scalar(axis):
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': a subscript is a loop variable or an integer, got {axis!r}",
        )
    return native_expr(axis)


def _constant(kernel: KernelRef, name: str, value: Any) -> Any:
    if isinstance(value, (AxisVar, ScalarExpr)):
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': '{name}: Constexpr' needs a constant, got {value!r}",
            hint="a value that changes with the loop is a Scalar parameter",
        )
    return value


def _scalar(
    kernel: KernelRef, name: str, spec: ScalarSpec, value: Any
) -> native.ScalarExpr | float:
    if isinstance(value, ScalarExpr) or hasattr(value, "affine"):
        return native_expr(value)
    number = number_of(kernel.name, name, spec, value)
    return number if isinstance(number, float) or number >= 2**63 else native_expr(number)


def _tensor(
    building: context.BuildContext, kernel: KernelRef, name: str, spec: DirectedSpec, value: Any
) -> Tensor:
    if not Tensor.accepts(value):
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': '{name}: {spec!r}' needs a tensor, got {value!r}",
        )
    tensor = value if isinstance(value, Tensor) else building.wrap(value)
    if spec.direction != native.Direction.In and not tensor.writeable:
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': '{name}: {spec!r}' is written but its array is read-only",
        )
    building.name_tensor(tensor)
    return tensor


def _check_placement(
    building: context.BuildContext,
    kernel: KernelRef,
    handle: native.Kernel,
    tensors: Mapping[str, Tensor],
) -> None:
    """Refuses layouts that do not fit each other, and keeps those that need a mesh."""
    if not all(tensor.distribution().is_replicated() for tensor in tensors.values()):
        numbers = {param.name: number for number, param in enumerate(handle.params)}
        native.check_layouts(
            handle,
            [
                (numbers[name], tensor.region(), tensor.distribution()._native)
                for name, tensor in tensors.items()
            ],
        )
    for name, tensor in tensors.items():
        what = f"kernel '{kernel.name}': '{name}'"
        layout = tensor.distribution()
        if not layout.is_replicated():
            of_base = len(layout.dist) == tensor.base.ndim
            shape = tensor.base.shape if of_base else tensor.shape
            building.sharded.append(sharded(what, layout, shape))
        tensor.report_location(what)


def slot_set_u64(slot: int, value: Any) -> None:
    """Leaves an integer in a slot for what follows in the workload: ``slot_u64(slot)``.

    Parameters
    ----------
    slot : int
        0...255.
    value : int or ScalarExpr
        At least 0; evaluated when the program comes to it.
    """
    number = slot_number(slot, "slot_set_u64")
    building = context.required("slot_set_u64")
    if not is_scalar(value) or (isinstance(value, int) and value < 0):
        raise error(
            TypeCheckError,
            f"slot_set_u64: expected an integer >= 0 or an expression, got {value!r}",
        )
    building.require_own("slot_set_u64: the value", value)
    expr = value if isinstance(value, int) else cast_u64(value)
    building.builder.set_slot(number, native_expr(expr))


def slot_load_u64(slot: int, tensor: Any, row: Any = 0, col: Any = 0) -> None:
    """Leaves an element of an integer tensor in a slot, after the tasks before that write it.

    Parameters
    ----------
    slot : int
        0...255.
    tensor : Tensor
        A view of at most two dimensions.
    row, col : int or loop variable
        The place in it; a view of one dimension has columns only.
    """
    number = slot_number(slot, "slot_load_u64")
    building = context.required("slot_load_u64")
    if not Tensor.accepts(tensor):
        raise error(TypeCheckError, f"slot_load_u64: expected a tensor, got {tensor!r}")
    view = tensor if isinstance(tensor, Tensor) else building.wrap(tensor)
    building.name_tensor(view)
    for part in (view, row, col):
        building.require_own("slot_load_u64", part)
    if view.ndim > 2 or (view.ndim < 2 and not (isinstance(row, int) and row == 0)):
        raise error(
            TypeCheckError,
            f"slot_load_u64: row {row} of a view of shape {list(view.shape)}",
            hint="index the leading dimensions first: tensor[b]",
        )
    for place in (row, col)[2 - view.ndim :]:
        view = view[place]
    building.builder.load_slot(number, view.region())
