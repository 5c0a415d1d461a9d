"""`P`: the loops of a workload."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any, NoReturn

import pto_wsp._pto_wsp as native
from pto_wsp import context, naming
from pto_wsp.axes import Dense
from pto_wsp.errors import CompileError, TypeCheckError, error, user_place
from pto_wsp.loop_variables import AxisVar
from pto_wsp.symbols import Dim

_refused = ("sel", "pipe", "when", "otherwise")


class Loops:
    """``P(batch, heads)``: runs its body once, with a loop variable for each axis."""

    def __init__(
        self,
        axes: Sequence[Any],
        sequential: bool,
        names: Sequence[str] | str | None,
        holders: Sequence[str | None],
    ) -> None:
        what = "P.seq" if sequential else "P"
        if not axes:
            raise error(
                TypeCheckError, f"{what}: needs at least one axis", hint=f"{what}(Dense[4])"
            )
        self.sequential = sequential
        self.axes = [axis_of(axis, what) for axis in axes]
        self.given = axes
        self.names = _checked_names(names, len(axes), what)
        self.holders = holders
        self.at = user_place()

    def __iter__(self) -> _LoopIterator:
        return _LoopIterator(self)

    def __repr__(self) -> str:
        what = "P.seq" if self.sequential else "P"
        return f"{what}({', '.join(repr(axis) for axis, _, _ in self.axes)})"


class _LoopIterator:
    """Opens the loops at the first step and closes them at the second."""

    def __init__(self, loops: Loops) -> None:
        self.loops = loops
        self.context = context.required("P.seq" if loops.sequential else "P")
        self.opened = False

    def __iter__(self) -> _LoopIterator:
        return self

    def __next__(self) -> Any:
        if self.opened:
            self._close()
            raise StopIteration
        self.opened = True
        targets = naming.loop_targets(sys._getframe(1), len(self.loops.axes))
        variables = [self._open(number, target) for number, target in enumerate(targets)]
        self.context.loops.append(self)
        return variables[0] if len(variables) == 1 else tuple(variables)

    def _open(self, number: int, target: str | None) -> AxisVar:
        axis, start, step = self.loops.axes[number]
        holders = [
            name
            for name in (
                self.loops.holders[number],
                *self.context.axis_names(self.loops.given[number]),
            )
            if name is not None
        ]
        candidates = [self.loops.names[number], target]
        for holder in holders:
            candidates += [holder, naming.singular(holder)]
        names = list(dict.fromkeys(name for name in candidates if name and name != "_"))
        identity = self.context.builder.open_loop(
            self.loops.sequential, axis.size, holders[0] if holders else "", names
        )
        self.context.variable_names.append(names or [identity])
        affine = native.Affine.variable(identity, step) + native.Affine(start)
        return AxisVar(affine, self.context.owner)

    def _close(self) -> None:
        if not self.context.loops or self.context.loops[-1] is not self:
            inner = self.context.loops[-1] if self.context.loops else self
            assert isinstance(inner, _LoopIterator)
            raise left_early(inner)
        self.context.loops.pop()
        for _ in self.loops.axes:
            self.context.variable_names.pop()
            self.context.builder.close()


def left_early(inner: object) -> CompileError:
    """A loop whose body ended by ``break`` or ``return``."""
    assert isinstance(inner, _LoopIterator)
    made = error(
        CompileError,
        f"loop {inner.loops!r} is left before its end",
        at=inner.loops.at,
        hint="the body runs once for all iterations, so break and return have no meaning in it",
    )
    assert isinstance(made, CompileError)
    return made


def axis_of(what: Any, loop: str) -> tuple[Dense, int, int]:
    """The axis that `what` stands for, and where its index starts and how it steps."""
    if isinstance(what, Dense):
        return what, 0, 1
    if isinstance(what, range):
        return Dense(len(what)), what.start, what.step
    if isinstance(what, (bool, str, bytes)):
        raise _no_axis(what, loop)
    if isinstance(what, Dim):
        raise error(
            CompileError,
            f"{loop}: loops over run-time sizes are not supported yet: {what}",
            hint="loop over a constant size, and make tiles partial with .valid(rows=...)",
        )
    if hasattr(what, "affine"):
        raise error(
            CompileError,
            f"{loop}: the size of a loop cannot depend on a loop variable: {what}",
            hint="loop over a constant size, and make tiles partial with .valid(rows=...)",
        )
    if hasattr(what, "__index__"):
        return Dense(what.__index__()), 0, 1
    if hasattr(what, "__len__"):
        return Dense(len(what)), 0, 1
    raise _no_axis(what, loop)


def _no_axis(what: Any, loop: str) -> TypeCheckError:
    made = error(
        TypeCheckError,
        f"{loop}: {what!r} is not an axis",
        hint="use Dense[N], an integer, a range or a sequence",
    )
    assert isinstance(made, TypeCheckError)
    return made


def _checked_names(names: Sequence[str] | str | None, count: int, what: str) -> list[str | None]:
    if names is None:
        return [None] * count
    if not isinstance(names, Sequence):
        raise error(TypeCheckError, f"{what}: names is {names!r}, neither a name nor several")
    given = [names] if isinstance(names, str) else list(names)
    if len(given) != count:
        raise error(TypeCheckError, f"{what}: {count} axes but {len(given)} names")
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise error(TypeCheckError, f"{what}: {name!r} is not a name")
        if given.count(name) > 1:
            raise error(TypeCheckError, f"{what}: two axes are named '{name}'")
    return list(given)


class _LoopConstructors:
    """The loops of a workload: ``P(...)`` and ``P.grid(...)`` in any order, ``P.seq(...)`` in turn.

    Axes are `Dense[N]`, integers, ranges or sequences (their length). ``names=`` names the loop
    variables; otherwise they have the names of the ``for`` targets and of the variables that hold
    the axes.
    """

    def __call__(self, *axes: Any, names: Sequence[str] | str | None = None) -> Loops:
        return _loops(axes, False, names, sys._getframe(1))

    def grid(self, *axes: Any, names: Sequence[str] | str | None = None) -> Loops:
        """The same as ``P(...)``: iterations in any order."""
        return _loops(axes, False, names, sys._getframe(1))

    def seq(self, *axes: Any, names: Sequence[str] | str | None = None) -> Loops:
        """Iterations one after another."""
        return _loops(axes, True, names, sys._getframe(1))

    def __getattr__(self, name: str) -> NoReturn:
        if name in _refused:
            raise error(
                CompileError,
                f"P.{name} is not supported yet",
                hint="P(...), P.grid(...) and P.seq(...) are",
            )
        raise AttributeError(f"P has no attribute '{name}'")

    def __repr__(self) -> str:
        return "P"


def _loops(
    axes: tuple[Any, ...],
    sequential: bool,
    names: Sequence[str] | str | None,
    frame: types.FrameType,
) -> Loops:
    # A call with `names=` has one more argument behind the axes.
    passed = len(axes) + (names is not None)
    return Loops(axes, sequential, names, naming.argument_names(frame, passed)[: len(axes)])


P = _LoopConstructors()
