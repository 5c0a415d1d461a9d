"""Run-time sizes in the dims of tiles: affine expressions over `Symbol`."""

from __future__ import annotations

from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.errors import CompileError, TypeCheckError, at_user_line, error
from pto_wsp.scalar_expr import fitting


class Dim:
    """An affine expression over Symbols and `Constexpr` names: ``2 * Symbol("N") + 1``."""

    __slots__ = ("affine",)

    def __init__(self, affine: native.Affine) -> None:
        self.affine = affine

    def _combine(self, other: Any, operation: str) -> Any:
        if isinstance(other, bool) or not isinstance(other, (int, Dim)):
            return NotImplemented
        return Dim(getattr(self.affine, operation)(affine_of(other)))

    def __add__(self, other: Any) -> Any:
        return self._combine(other, "__add__")

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._combine(other, "__sub__")

    def __rsub__(self, other: Any) -> Any:
        return Dim(self.affine * -1) + other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, Dim):
            factor = other.affine.as_constant()
            if factor is None:
                raise error(
                    CompileError,
                    f"dim is not affine: ({self}) * ({other})",
                    hint="dims are sums of integers and integer multiples of Symbols",
                )
            return Dim(self.affine * factor)
        if isinstance(other, bool) or not isinstance(other, int):
            return NotImplemented
        return Dim(self.affine * other)

    __rmul__ = __mul__

    def __neg__(self) -> Dim:
        return Dim(self.affine * -1)

    def _compare(self, other: Any, operation: str) -> Any:
        """In the body of a workload, where a Symbol has the value that a run gives it."""
        from pto_wsp.scalar_expr import ScalarExpr

        return getattr(ScalarExpr(self), operation)(other)

    def __lt__(self, other: Any) -> Any:
        return self._compare(other, "__lt__")

    def __le__(self, other: Any) -> Any:
        return self._compare(other, "__le__")

    def __gt__(self, other: Any) -> Any:
        return self._compare(other, "__gt__")

    def __ge__(self, other: Any) -> Any:
        return self._compare(other, "__ge__")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (int, Dim)) and not isinstance(other, bool):
            return bool(self.affine == affine_of(other))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.affine)

    def __str__(self) -> str:
        return str(self.affine)

    __repr__ = __str__


class Symbol(Dim):
    """A size that is known when a kernel runs: ``Tile[Symbol("N"), 64, DType.F32]``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise error(TypeCheckError, f"Symbol: {name!r} is not a name", hint='Symbol("N")')
        super().__init__(native.Affine.variable(name))
        self.name = name

    def __repr__(self) -> str:
        return f"Symbol({self.name!r})"


def affine_of(dim: Any) -> native.Affine:
    """The affine expression of a dim: an integer, a `Dim` or a text such as ``"2*BM + 1"``.

    Raises
    ------
    TypeCheckError
        For anything else.
    """
    if isinstance(dim, Dim):
        return dim.affine
    if isinstance(dim, str):
        with at_user_line(f"{dim!r}: "):
            return native.Affine.parse(dim)
    if hasattr(dim, "__index__") and not isinstance(dim, bool):
        return native.Affine(fitting(int(dim.__index__())))
    raise error(
        TypeCheckError,
        f"dim must be an integer, a Symbol or an affine expression of these, got {dim!r}",
    )


def symbol_expr(dim: Dim) -> native.ScalarExpr:
    """The value that an affine expression of Symbols has in a run."""
    op = native.ScalarExpr.Op
    total = native.ScalarExpr(dim.affine.constant)
    for name, factor in dim.affine.terms.items():
        term = native.ScalarExpr.symbol(name)
        if factor != 1:
            term = native.ScalarExpr.make(op.Mul, [native.ScalarExpr(factor), term])
        is_zero = dim.affine.constant == 0 and str(total) == "0"
        total = term if is_zero else native.ScalarExpr.make(op.Add, [total, term])
    return total
