"""`P`: the loops of a workload."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any, NoReturn

import pto_wsp._pto_wsp as native
from pto_wsp import context, naming
from pto_wsp.axes import Dense, DenseDyn, Ragged, Range, RowAxis, RowSelection, Sparse
from pto_wsp.errors import CompileError, TypeCheckError, error, user_place
from pto_wsp.loop_variables import AxisVar
from pto_wsp.scalar_expr import ScalarExpr, common_owner, is_integer, is_scalar, native_expr
from pto_wsp.symbols import Dim, symbol_expr


class Space:
    """What a loop runs over: an axis as the builder takes it."""

    def __init__(
        self,
        kind: str,
        size: native.ScalarExpr,
        shown: Any,
        start: native.Affine | None = None,
        step: int = 1,
        selected: tuple[str, native.ScalarExpr] | None = None,
        holder: object = None,
    ) -> None:
        self.kind = kind
        self.size = size
        self.shown = shown
        self.start = start  # of a range: its variable does not count from 0
        self.step = step
        self.selected = selected  # a table and the first place in it
        self.holder = holder  # what names are taken from


class Loops:
    """``P(batch, heads)``: runs its body once, with a loop variable for each axis."""

    def __init__(
        self,
        axes: Sequence[Any],
        what: str,
        names: Sequence[str] | str | None,
        holders: Sequence[str | None],
        depth: int = 0,
    ) -> None:
        if not axes:
            raise error(
                TypeCheckError, f"{what}: needs at least one axis", hint=f"{what}(Dense[4])"
            )
        self.what = what
        self.sequential = what == "P.seq"
        self.depth = depth
        self.given = axes
        self.names = _checked_names(names, len(axes), what)
        self.holders = holders
        self.at = user_place()
        self.axes = [axis_of(axis, what) for axis in axes]

    def __iter__(self) -> _LoopIterator:
        return _LoopIterator(self)

    def __repr__(self) -> str:
        return f"{self.what}({', '.join(repr(axis.shown) for axis in self.axes)})"


class _LoopIterator:
    """Opens the loops at the first step and closes them at the second."""

    def __init__(self, loops: Loops) -> None:
        self.loops = loops
        self.context = context.required(loops.what)
        self.opened = False
        self.at = loops.at

    def __repr__(self) -> str:
        return repr(self.loops)

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
        axis = self.loops.axes[number]
        held = axis.holder if axis.holder is not None else self.loops.given[number]
        holders = [
            name
            for name in (self.loops.holders[number], *self.context.axis_names(held))
            if name is not None
        ]
        candidates = [self.loops.names[number], target]
        for holder in holders:
            candidates += [holder, naming.singular(holder)]
        names = list(dict.fromkeys(name for name in candidates if name and name != "_"))
        holder = holders[0] if holders else ""
        size = axis.size
        if isinstance(axis.shown, DenseDyn) and isinstance(axis.shown.size, int):
            size = native.ScalarExpr.symbol(self.context.symbol_of(axis.shown))
        builder, order = self.context.builder, (self.loops.sequential, self.loops.depth)
        affine = None
        if axis.selected is not None:
            identity = builder.open_selected(size, *axis.selected, holder, names)
        elif axis.start is not None:
            identity, affine = builder.open_range(
                *order, axis.kind, size, axis.start, axis.step, holder, names
            )
        else:
            identity = builder.open_loop(*order, axis.kind, size, holder, names)
        self.context.variable_names.append(names or [identity])
        return AxisVar(
            affine or native.Affine.variable(identity),
            self.context.owner,
            native.ScalarExpr.variable(identity),
        )

    def _close(self) -> None:
        if not self.context.loops or self.context.loops[-1] is not self:
            raise left_early(self.context.loops[-1] if self.context.loops else self)
        self.context.loops.pop()
        for _ in self.loops.axes:
            self.context.variable_names.pop()
            self.context.builder.close()


def left_early(inner: Any) -> CompileError:
    """A loop or branch whose body ended by ``break`` or ``return``."""
    made = error(
        CompileError,
        f"{'loop ' if isinstance(inner, _LoopIterator) else ''}{inner!r} is left before its end",
        at=inner.at,
        hint="the body runs once for all iterations, so break and return have no meaning in it",
    )
    assert isinstance(made, CompileError)
    return made


def _constant(size: int) -> native.ScalarExpr:
    return native.ScalarExpr(size)


def axis_of(what: Any, loop: str) -> Space:
    """The axis that `what` stands for."""
    if loop == "P.sel":
        return _selection_of(what)
    if isinstance(what, Dense):
        return Space("Dense", _constant(what.size), what)
    if isinstance(what, range):
        start = None if (what.start, what.step) == (0, 1) else native.Affine(what.start)
        return Space("Dense", _constant(len(what)), Dense(len(what)), start, what.step)
    if isinstance(what, Range):
        return _range_of(what, loop)
    if isinstance(what, DenseDyn):
        size = what.size
        return Space(
            "DenseDyn", _constant(size) if isinstance(size, int) else symbol_expr(size), what
        )
    if isinstance(what, Dim):
        return Space("DenseDyn", symbol_expr(what), what)
    if isinstance(what, RowAxis):
        return Space("Ragged", what.native, what, holder=what.axis)
    if isinstance(what, Ragged):
        return Space("Ragged", what._total_table.at(0).native, what)
    if isinstance(what, (Sparse, RowSelection)):
        raise error(
            TypeCheckError,
            f"{loop}: {what!r} selects places",
            hint="P.sel(sparse[b]) runs over those of row b, P.sel(sparse) over all",
        )
    if isinstance(what, (bool, str, bytes)):
        raise _no_axis(what, loop)
    if is_scalar(what) and not is_integer(what):
        context.required(loop).require_own(f"{loop}: the size", what)
        return Space("DenseDyn", native_expr(what), what)
    if hasattr(what, "__index__"):
        dense = Dense(what.__index__())
        return Space("Dense", _constant(dense.size), dense)
    if hasattr(what, "__len__"):
        return Space("Dense", _constant(len(what)), Dense(len(what)))
    raise _no_axis(what, loop)


def _range_of(what: Range, loop: str) -> Space:
    for bound in (what.lo, what.hi):
        context.required(loop).require_own(f"{loop}: a bound", bound)
    start = native_expr(what.lo).as_affine()
    if start is None:
        raise error(
            TypeCheckError,
            f"{loop}: {what!r} starts at no sum of loop variables times integers",
            hint="loop over the length, and index with the start added",
        )
    size = what.size()
    if is_integer(size):
        return Space("Dense", _constant(int(size)), Dense(int(size)), start, what.step)
    return Space("DenseDyn", native_expr(size), what, start, what.step)


def _selection_of(what: Any) -> Space:
    if isinstance(what, Sparse):
        name = context.required("P.sel").table_name(what._places_table)
        size = what._total_table.at(0).native
        return Space("Sparse", size, what, selected=(name, _constant(0)))
    if isinstance(what, RowSelection):
        name = context.required("P.sel").table_name(what.axis._places_table)
        return Space(
            "Sparse", what.size.native, what, selected=(name, what.first.native), holder=what.axis
        )
    raise error(
        TypeCheckError,
        f"P.sel: {what!r} selects no places",
        hint="P.sel(sparse[b]) or P.sel(sparse), with a Sparse",
    )


def _no_axis(what: Any, loop: str) -> TypeCheckError:
    made = error(
        TypeCheckError,
        f"{loop}: {what!r} is not an axis",
        hint="use Dense[N], DenseDyn, Ragged, Range, an integer, a range or a sequence",
    )
    assert isinstance(made, TypeCheckError)
    return made


def close_scope(scope: Any, building: context.BuildContext) -> None:
    """Closes what a ``with`` opened."""
    if not building.loops or building.loops[-1] is not scope:
        raise left_early(building.loops[-1] if building.loops else scope)
    building.loops.pop()
    building.builder.close()


class Branch:
    """``with P.when(predicate):`` and ``with P.otherwise():``."""

    def __init__(self, predicate: ScalarExpr | None) -> None:
        self.predicate = predicate
        self.at = user_place()
        self.context = context.required("P.otherwise" if predicate is None else "P.when")
        if predicate is not None:
            self.context.require_own("P.when: the predicate", predicate)

    def __enter__(self) -> None:
        if self.predicate is None:
            self.context.builder.open_otherwise()
        else:
            self.context.builder.open_when(self.predicate.native)
        self.context.loops.append(self)

    def __exit__(self, kind: object, *rest: object) -> None:
        if kind is not None:
            return
        close_scope(self, self.context)

    def __iter__(self) -> NoReturn:
        raise error(CompileError, f"{self!r} is no loop", hint="with P.when(condition): ...")

    def __bool__(self) -> NoReturn:
        raise error(
            CompileError,
            f"{self!r} is not known before the program runs",
            hint="with P.when(condition): ...",
        )

    def __repr__(self) -> str:
        return "P.otherwise()" if self.predicate is None else f"P.when({self.predicate})"


class Stage:
    """``with P.pipe():`` the statements of a stage, in any order that their data allows; those that
    send or consume are processes, one each."""

    def __init__(self) -> None:
        self.at = user_place()
        self.context = context.required("P.pipe")

    def __enter__(self) -> None:
        self.context.builder.open_scope()
        self.context.loops.append(self)

    __exit__ = Branch.__exit__

    def __iter__(self) -> NoReturn:
        raise error(
            CompileError,
            "P.pipe() without stages is no loop",
            hint="for i in P.pipe(stages, depth=2), or with P.pipe():",
        )

    def __repr__(self) -> str:
        return "P.pipe()"


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

    Axes are `Dense[N]`, `DenseDyn`, `Ragged` and its rows, integers, ranges, sequences (their
    length), `Range` and expressions of loop variables. ``names=`` names the loop
    variables; otherwise they have the names of the ``for`` targets and of the variables that hold
    the axes.
    """

    def __call__(self, *axes: Any, names: Sequence[str] | str | None = None) -> Loops:
        return _loops(axes, "P", names, sys._getframe(1))

    def grid(self, *axes: Any, names: Sequence[str] | str | None = None) -> Loops:
        """The same as ``P(...)``: iterations in any order."""
        return _loops(axes, "P", names, sys._getframe(1))

    def seq(self, *axes: Any, names: Sequence[str] | str | None = None) -> Loops:
        """Iterations one after another."""
        return _loops(axes, "P.seq", names, sys._getframe(1))

    def sel(self, sparse: Any, names: Sequence[str] | str | None = None) -> Loops:
        """The places that a `Sparse`, or one row of it, selects, in any order."""
        return _loops((sparse,), "P.sel", names, sys._getframe(1))

    def pipe(
        self,
        stages: Any = None,
        depth: int | None = None,
        names: Sequence[str] | str | None = None,
    ) -> Any:
        """Iterations over `stages`, of which at most `depth` (1) run at a time. Without stages
        ``with P.pipe():`` holds the statements of one stage.

        Raises
        ------
        TypeCheckError
            A depth that is no integer >= 1, or one without stages.
        """
        flight = 1 if depth is None else depth
        if isinstance(flight, bool) or not hasattr(flight, "__index__") or int(flight) < 1:
            raise error(TypeCheckError, f"P.pipe: depth must be an integer >= 1, got {depth!r}")
        if stages is None:
            if depth is not None:
                raise error(
                    TypeCheckError,
                    f"P.pipe: depth={depth} without stages has no meaning",
                    hint="for i in P.pipe(stages, depth=2)",
                )
            return Stage()
        passed = 1 + (depth is not None) + (names is not None)
        holder = naming.argument_names(sys._getframe(1), passed)[:1]
        return Loops((stages,), "P.pipe", names, holder, int(flight))

    def when(self, predicate: Any) -> Branch:
        """``with P.when(lengths[b] <= 64):`` the body runs where the predicate is not 0. `when`s
        one after another that ``with P.otherwise():`` closes are a chain, of which one runs."""
        if not is_scalar(predicate):
            raise error(
                TypeCheckError,
                f"P.when: {predicate!r} is no run-time expression",
                hint="compare loop variables, elements lengths[b], symbols and slots",
            )
        made = predicate if isinstance(predicate, ScalarExpr) else ScalarExpr(predicate)
        made.owner = common_owner(predicate)
        return Branch(made)

    def otherwise(self) -> Branch:
        """What runs where none of the `when`s right before it does."""
        return Branch(None)

    def __repr__(self) -> str:
        return "P"


def _loops(
    axes: tuple[Any, ...],
    what: str,
    names: Sequence[str] | str | None,
    frame: types.FrameType,
) -> Loops:
    # A call with `names=` has one more argument behind the axes.
    passed = len(axes) + (names is not None)
    return Loops(axes, what, names, naming.argument_names(frame, passed)[: len(axes)])


P = _LoopConstructors()
