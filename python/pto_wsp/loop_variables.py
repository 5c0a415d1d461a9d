"""Loop variables of a workload, and the affine expressions that index tensors."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import pto_wsp._pto_wsp as native
from pto_wsp import naming
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.scalar_expr import Owner, ScalarExpr, as_expr, common_owner, fitting, is_integer

_index_hint = "indices are expressions of loop variables and integers, such as 2*i + j + 1"


class AxisVar:
    """A loop variable, or an affine expression of some: ``2*i + j + 1``. Other expressions, such as
    ``i // 2``, are `ScalarExpr`.

    A workload's body runs once for all iterations, so the value is not known in it.
    """

    __slots__ = ("affine", "expr", "owner")
    __array_ufunc__ = None

    def __init__(
        self,
        affine: native.Affine,
        owner: Owner | None = None,
        expr: native.ScalarExpr | None = None,
    ) -> None:
        self.affine = affine
        self.owner = owner
        self.expr = expr or native.ScalarExpr.from_affine(affine)

    @property
    def name(self) -> str:
        """The variable's name in texts, or the expression."""
        return str(self)

    def __add__(self, other: Any) -> Any:
        return self._affine("+", other, self.affine.__add__)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._affine("-", other, self.affine.__sub__)

    def __rsub__(self, other: Any) -> Any:
        return -self + other

    def __neg__(self) -> AxisVar:
        return AxisVar(self.affine * -1, self.owner)

    def __pos__(self) -> AxisVar:
        return self

    def __mul__(self, other: Any) -> Any:
        if _is_expression(other):
            return NotImplemented
        if isinstance(other, AxisVar):
            return as_expr(self) * as_expr(other)
        if not is_integer(other):
            self._refused(f"({self}) * {other!r}")
        return AxisVar(self.affine * fitting(int(other)), self.owner)

    __rmul__ = __mul__

    def _affine(self, sign: str, other: Any, combine: Any) -> Any:
        if _is_expression(other):
            return NotImplemented
        if not isinstance(other, AxisVar) and not is_integer(other):
            self._refused(f"({self}) {sign} {other!r}")
        return AxisVar(combine(index_affine(other)), common_owner(self, other))

    def _refused(self, text: str) -> NoReturn:
        raise error(
            CompileError,
            f"{text} is not an integer expression of loop variables",
            hint="operands are integers, loop variables and scalar expressions, operators "
            "+ - * // % & | ^ << >> and comparisons: (2*i + j) // 4",
        )

    def _expression(self, sign: str, other: Any, reflected: bool = False) -> ScalarExpr:
        """`self` where it is no longer a sum of loop variables times integers."""
        if not (isinstance(other, AxisVar) or _is_expression(other) or is_integer(other)):
            text = f"{other!r} {sign} ({self})" if reflected else f"({self}) {sign} {other!r}"
            self._refused(text)
        return as_expr(self)

    def __floordiv__(self, other: Any) -> Any:
        return self._expression("//", other) // other

    def __rfloordiv__(self, other: Any) -> Any:
        return other // self._expression("//", other, reflected=True)

    def __mod__(self, other: Any) -> Any:
        return self._expression("%", other) % other

    def __rmod__(self, other: Any) -> Any:
        return other % self._expression("%", other, reflected=True)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __truediv__(self, other: Any) -> NoReturn:
        self._refused(f"({self}) / {other!r}")

    def __rtruediv__(self, other: Any) -> NoReturn:
        self._refused(f"{other!r} / ({self})")

    def __pow__(self, other: Any) -> Any:
        return self._expression("**", other) ** other

    def __rpow__(self, other: Any) -> Any:
        return other ** self._expression("**", other, reflected=True)

    def __abs__(self) -> ScalarExpr:
        return abs(as_expr(self))

    def __and__(self, other: Any) -> Any:
        return self._expression("&", other) & other

    def __rand__(self, other: Any) -> Any:
        return other & self._expression("&", other, reflected=True)

    def __or__(self, other: Any) -> Any:
        return self._expression("|", other) | other

    def __ror__(self, other: Any) -> Any:
        return other | self._expression("|", other, reflected=True)

    def __xor__(self, other: Any) -> Any:
        return self._expression("^", other) ^ other

    def __rxor__(self, other: Any) -> Any:
        return other ^ self._expression("^", other, reflected=True)

    def __lshift__(self, other: Any) -> Any:
        return self._expression("<<", other) << other

    def __rlshift__(self, other: Any) -> Any:
        return other << self._expression("<<", other, reflected=True)

    def __rshift__(self, other: Any) -> Any:
        return self._expression(">>", other) >> other

    def __rrshift__(self, other: Any) -> Any:
        return other >> self._expression(">>", other, reflected=True)

    def __invert__(self) -> ScalarExpr:
        return ~as_expr(self)

    def __eq__(self, other: object) -> Any:
        return as_expr(self) == other

    def __ne__(self, other: object) -> Any:
        return as_expr(self) != other

    def __lt__(self, other: Any) -> Any:
        return as_expr(self) < other

    def __le__(self, other: Any) -> Any:
        return as_expr(self) <= other

    def __gt__(self, other: Any) -> Any:
        return as_expr(self) > other

    def __ge__(self, other: Any) -> Any:
        return as_expr(self) >= other

    __hash__ = object.__hash__

    def _unknown(self, what: str, hint: str) -> NoReturn:
        raise error(
            CompileError,
            f"{what} of loop variable {self} is not known: the body runs once for all iterations",
            hint=hint,
        )

    def __bool__(self) -> bool:
        self._unknown("the truth", "with P.when(i != 0): builds a branch")

    def __int__(self) -> int:
        self._unknown(
            "the value",
            "loop over it with P(...), over range(i, n) with P(Range(i, n)), index tensors with it",
        )

    __index__ = __int__

    def __float__(self) -> float:
        self._unknown("the value", "pass it to a kernel as a Scalar")

    def __iter__(self) -> NoReturn:
        targets = naming.unpacked_targets(sys._getframe(1))
        if targets is not None:
            raise error(
                TypeCheckError,
                f"P: 1 axis, {targets} {'target' if targets == 1 else 'targets'}",
                hint="for i, j in P(rows, columns)",
            )
        self._unknown("the elements", "loop over axes with P(...)")

    def __array__(self, *arguments: Any, **options: Any) -> NoReturn:
        # NumPy comes here when an array is indexed with a loop variable.
        self._unknown("the value", "to index an array with it, wrap the array: Tensor(Q)[b]")

    def __str__(self) -> str:
        text = str(self.expr)
        return text if text in self.expr.variables() else str(self.affine)

    def __repr__(self) -> str:
        return f"AxisVar({str(self)!r})"


def _is_expression(what: Any) -> bool:
    """True for scalar expressions and elements of tensors."""
    return isinstance(what, ScalarExpr) or bool(getattr(what, "is_element", False))


def index_affine(what: Any) -> native.Affine:
    """The affine expression of an index.

    Raises
    ------
    TypeCheckError
        For anything but integers and affine expressions of loop variables.
    """
    if isinstance(what, AxisVar):
        return what.affine
    if is_integer(what):
        return native.Affine(fitting(int(what)))
    if getattr(what, "is_element", False):
        what = what.element()
    if isinstance(what, ScalarExpr):
        from pto_wsp import context

        return context.required(f"index {what}").expression_of(what)
    raise error(
        TypeCheckError,
        f"index {what!r} is neither an integer nor an expression of loop variables",
        hint=_index_hint,
    )
