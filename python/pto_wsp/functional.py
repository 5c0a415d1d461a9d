"""Loops, branches and tasks as calls: ``parallel_for(Dense[4], lambda b: task(k, [b], [X[b]]))``.

In the body of a workload they become part of it; elsewhere each gives a `Workload`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp import context, naming
from pto_wsp.annotations import DirectedSpec
from pto_wsp.errors import CompileError, TypeCheckError, error, user_place
from pto_wsp.external_kernels import function_at
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.loops import Loops, P
from pto_wsp.signatures import Parameter, Signature
from pto_wsp.statements import Part
from pto_wsp.tensor import Tensor
from pto_wsp.workloads import Workload, WorkloadFunction

_declared: dict[tuple[str, tuple[native.Direction, ...]], KernelRef] = {}


def made_part(name: str, build: Callable[[], None]) -> Part | Workload:
    """What `build` builds: a part of the workload around, or a workload."""
    outer = context.current()
    if outer is not None:
        number = outer.builder.statements
        first = outer.builder.tasks
        build()
        tasks = range(first, outer.builder.tasks)
        return Part(outer, number if outer.builder.statements > number else None, tasks)
    building = context.BuildContext(name, user_place(), False)
    building.learn_names(naming.user_variables())
    context.push(building)
    try:
        build()
    finally:
        context.pop()
    return building.finished()


def run_body(name: str, body: Any, *variables: Any) -> None:
    """The statements of a body: a function of the loop variables, or a workload."""
    if isinstance(body, Part):
        raise error(
            CompileError,
            f"{name}: its body is in the workload already",
            hint=f"pass a function: {name}(..., lambda: task(...))",
        )
    given = body
    if callable(body) and not isinstance(body, WorkloadFunction):
        given = body(*variables)
    if isinstance(given, WorkloadFunction):
        given = given()
    if isinstance(given, Workload):
        context.required(name).include(given, name)
    elif given is not None and not isinstance(given, Part):
        raise error(
            TypeCheckError,
            f"{name}: its body gives {given!r}",
            hint="call kernels, task(...) or workloads in it",
        )


def _loop(name: str, what: str, axis: Any, body: Any) -> Part | Workload:
    if not callable(body):
        raise error(
            TypeCheckError, f"{name}: expected a function of the loop variable, got {body!r}"
        )

    def build() -> None:
        iterator = iter(Loops((axis,), what, _parameter(body), [None]))
        variable = next(iterator)
        run_body(name, body, variable)
        next(iterator, None)

    return made_part(name, build)


def _parameter(body: Any) -> str | None:
    """What a function calls its argument."""
    try:
        return next(iter(inspect.signature(body).parameters), None)
    except (TypeError, ValueError):
        return None


def parallel_for(axis: Any, body: Callable[[Any], Any]) -> Part | Workload:
    """``for i in P(axis): body(i)``: iterations in any order that their data allows."""
    return _loop("parallel_for", "P", axis, body)


def for_each(axis: Any, body: Callable[[Any], Any]) -> Part | Workload:
    """``for i in P.seq(axis): body(i)``: iterations one after another."""
    return _loop("for_each", "P.seq", axis, body)


def select(sparse: Any, body: Callable[[Any], Any]) -> Part | Workload:
    """``for e in P.sel(sparse): body(e)``: the places that it selects."""
    return _loop("select", "P.sel", sparse, body)


def cond(predicate: Any, then: Any, otherwise: Any = None) -> Part | Workload:
    """`then` where the predicate is not 0, else `otherwise`.

    Parameters
    ----------
    predicate : ScalarExpr
        Evaluated when the program comes to it.
    then, otherwise : callable or Workload
    """

    def build() -> None:
        with P.when(predicate):
            run_body("cond", then)
        if otherwise is not None:
            with P.otherwise():
                run_body("cond", otherwise)

    return made_part("cond", build)


def task(kernel: Any, axes: Sequence[Any] = (), tensors: Sequence[Any] = ()) -> Part | Workload:
    """``kernel[axes](*tensors)``.

    Parameters
    ----------
    kernel : KernelRef or str
        A name declares a kernel that reads and writes all its tensors (reads those that cannot be
        written); ``program.register_kernel(name, ...)`` supplies it.
    axes : sequence of loop variables or integers
    tensors : sequence
        The arguments of the call.
    """
    for what, given in (("axes", axes), ("tensors", tensors)):
        if not isinstance(given, (list, tuple)):
            raise error(TypeCheckError, f"task: {what} is {given!r}, not a list")
    if isinstance(kernel, str):
        kernel = _declaration(kernel, tensors)
    if not isinstance(kernel, KernelRef):
        raise error(TypeCheckError, f"task: expected a kernel or the name of one, got {kernel!r}")

    def build() -> None:
        if axes:
            kernel[tuple(axes)](*tensors)
        else:
            kernel(*tensors)

    return made_part("task", build)


def _declaration(name: str, tensors: Sequence[Any]) -> KernelRef:
    if not name.isidentifier():
        raise error(TypeCheckError, f"task: {name!r} is no name of a kernel")
    directions = []
    for tensor in tensors:
        if not Tensor.accepts(tensor):
            raise error(
                TypeCheckError, f"task: '{name}' is only declared and takes tensors, got {tensor!r}"
            )
        held = tensor if isinstance(tensor, Tensor) else Tensor(tensor)
        directions.append(native.Direction.InOut if held.writeable else native.Direction.In)
    key = (name, tuple(directions))
    if key not in _declared:
        parameters = [
            Parameter(f"x{number}", DirectedSpec(direction, None))
            for number, direction in enumerate(directions)
        ]
        _declared[key] = KernelRef(function_at(name, user_place()), Signature(name, parameters))
    return _declared[key]
