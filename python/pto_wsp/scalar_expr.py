"""Run-time integer expressions: keys of dispatch and streams, sizes of partial tiles.

>>> from pto_wsp.scalar_expr import axis, minimum
>>> minimum(32, 100 - 32 * axis("b"))
ScalarExpr('min(32, (100 - (32 * b)))')
"""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.errors import (
    CompileError,
    TypeCheckError,
    at_user_line,
    error,
)

_Op = native.ScalarExpr.Op


class Owner:
    """One building of a workload, which its loop variables belong to."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


def common_owner(*parts: Any) -> Owner | None:
    """The owner of the loop variables in `parts`; None when they have none, or only names.

    Raises
    ------
    CompileError
        They have several.
    """
    found: Owner | None = None
    for part in parts:
        owner = getattr(part, "owner", None)
        if not isinstance(owner, Owner):
            continue
        if found not in (None, owner):
            raise error(
                CompileError,
                f"loop variables of workload '{found.name}' and of workload '{owner.name}' are in "
                "one expression",
                hint="use the variables of the loops around the call",
            )
        found = owner
    return found


class ScalarExpr:
    """An integer expression that is evaluated when the program runs.

    Division and remainder round towards minus infinity as Python's do; comparisons give 0 or 1;
    ``&``, ``|``, ``^`` and ``~`` are logical between comparisons and what is made of them, where
    the right side of ``&`` and ``|`` is evaluated only if the left one leaves it open. Between
    integers they take the bits, of 64; a comparison and an integer are refused. Shifts by less than
    0 or more than 63 bits end the run with an error.

    Parameters
    ----------
    what : str, int, ScalarExpr or loop variable
        A text such as ``"b % 4"`` is parsed.
    """

    __slots__ = ("native", "owner")
    __array_ufunc__ = None

    def __init__(self, what: Any) -> None:
        if isinstance(what, str):
            with at_user_line(f"{what!r}: "):
                self.native: native.ScalarExpr = native.ScalarExpr.parse(what)
        else:
            self.native = native_expr(what)
        self.owner = common_owner(what)

    @classmethod
    def of(cls, made: native.ScalarExpr, *parts: Any) -> ScalarExpr:
        """Wraps a native expression made of `parts`."""
        expr = cls.__new__(cls)
        expr.native = made
        expr.owner = common_owner(*parts)
        return expr

    def variables(self) -> list[str]:
        """The names it uses, sorted."""
        return sorted(self.native.variables())

    def evaluate(self, **values: int) -> int:
        """Its value where the variables are `values`."""
        return self.native.evaluate(values)

    def _with(self, op: Any, other: Any, reflected: bool = False) -> Any:
        if not is_scalar(other):
            return NotImplemented
        operands = [self.native, native_expr(other)]
        made = native.ScalarExpr.make(op, operands[::-1] if reflected else operands)
        return ScalarExpr.of(made, self, other)

    def __add__(self, other: Any) -> Any:
        return self._with(_Op.Add, other)

    def __radd__(self, other: Any) -> Any:
        return self._with(_Op.Add, other, reflected=True)

    def __sub__(self, other: Any) -> Any:
        return self._with(_Op.Sub, other)

    def __rsub__(self, other: Any) -> Any:
        return self._with(_Op.Sub, other, reflected=True)

    def __mul__(self, other: Any) -> Any:
        return self._with(_Op.Mul, other)

    def __rmul__(self, other: Any) -> Any:
        return self._with(_Op.Mul, other, reflected=True)

    def __floordiv__(self, other: Any) -> Any:
        return self._with(_Op.FloorDiv, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with(_Op.FloorDiv, other, reflected=True)

    def __mod__(self, other: Any) -> Any:
        return self._with(_Op.Mod, other)

    def __rmod__(self, other: Any) -> Any:
        return self._with(_Op.Mod, other, reflected=True)

    def _joined(self, logical: Any, bits: Any, other: Any, reflected: bool = False) -> Any:
        """`logical` of two truth values, `bits` of two integers."""
        if not is_scalar(other):
            return NotImplemented
        truths = is_truth(self) + is_truth(other)
        if truths == 1 and not is_integer(other):
            sides = [self.native.shown(), native_expr(other).shown()]
            left, right = sides[::-1] if reflected else sides
            raise error(
                CompileError,
                f"({left}) and ({right}): one is true or false, the other an integer, which & | ^ "
                "would join bit by bit",
                hint="compare the integer too: x != 0",
            )
        return self._with(logical if truths == 2 else bits, other, reflected)

    def __and__(self, other: Any) -> Any:
        low = self._low_bits(other)
        return self._joined(_Op.And, _Op.BitAnd, other) if low is None else low

    def __rand__(self, other: Any) -> Any:
        low = self._low_bits(other)
        return self._joined(_Op.And, _Op.BitAnd, other, reflected=True) if low is None else low

    def _low_bits(self, mask: Any) -> ScalarExpr | None:
        """The bits of a constant `mask` that has the lowest ones, or all but these: of them the
        remainder and the difference tell more than of `&`."""
        if not is_integer(mask):
            return None
        mask = fitting(int(mask))
        if 0 < mask < 2**62 and mask & (mask + 1) == 0:
            return self % (mask + 1)
        if -(2**62) < mask < -1 and mask & (-mask - 1) == 0:
            return self - self % -mask
        return None

    def __or__(self, other: Any) -> Any:
        return self._joined(_Op.Or, _Op.BitOr, other)

    def __ror__(self, other: Any) -> Any:
        return self._joined(_Op.Or, _Op.BitOr, other, reflected=True)

    def __xor__(self, other: Any) -> Any:
        return self._joined(_Op.Ne, _Op.BitXor, other)

    def __rxor__(self, other: Any) -> Any:
        return self._joined(_Op.Ne, _Op.BitXor, other, reflected=True)

    def __invert__(self) -> ScalarExpr:
        if is_truth(self):
            return ScalarExpr.of(native.ScalarExpr.make(_Op.Not, [self.native]), self)
        return self ^ -1

    def __neg__(self) -> ScalarExpr:
        made = native.ScalarExpr.make(_Op.Sub, [native.ScalarExpr(0), self.native])
        return ScalarExpr.of(made, self)

    def __eq__(self, other: object) -> Any:
        return self._with(_Op.Eq, other)

    def __ne__(self, other: object) -> Any:
        return self._with(_Op.Ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._with(_Op.Lt, other)

    def __le__(self, other: Any) -> Any:
        return self._with(_Op.Le, other)

    def __gt__(self, other: Any) -> Any:
        return self._with(_Op.Gt, other)

    def __ge__(self, other: Any) -> Any:
        return self._with(_Op.Ge, other)

    def __hash__(self) -> int:
        raise error(
            TypeCheckError,
            f"{self.native.shown()} has no hash: its value is not known before the program runs",
            hint="a key is the expression itself",
        )

    def _unknown(self, what: str, hint: str) -> NoReturn:
        raise error(
            CompileError,
            f"{what} of {self.native.shown()} is not known before the program runs",
            hint=hint,
        )

    def __bool__(self) -> bool:
        self._unknown(
            "the truth",
            "with P.when(condition): builds a branch, scalar_expr.where(condition, a, b) chooses a "
            "value, minimum and maximum are there too; for and, or, not use &, |, ~",
        )

    def __int__(self) -> int:
        self._unknown("the value", "keep it an expression")

    __index__ = __int__

    def __float__(self) -> float:
        self._unknown("the value", "keep it an expression")

    def __lshift__(self, count: Any) -> Any:
        if is_integer(count) and (places := _bits(count, "<<", 63)) < 63:
            return self * (1 << places)
        return self._with(_Op.ShiftLeft, count)

    def __rlshift__(self, other: Any) -> Any:
        return self._with(_Op.ShiftLeft, other, reflected=True)

    def __rshift__(self, count: Any) -> Any:
        if is_integer(count) and (places := _bits(count, ">>", 63)) < 63:
            return self // (1 << places)
        return self._with(_Op.ShiftRight, count)

    def __rrshift__(self, other: Any) -> Any:
        return self._with(_Op.ShiftRight, other, reflected=True)

    def __pow__(self, exponent: Any) -> ScalarExpr:
        times = _bits(exponent, "**", 62)
        power = as_expr(1)
        for _ in range(times):
            power = self if str(power) == "1" else power * self
        return power

    def __rpow__(self, base: Any) -> Any:
        if is_integer(base) and base == 2:
            return 1 << self
        raise error(
            CompileError,
            f"({base}) ** ({self.native.shown()}): the exponent is not known before the program "
            "runs",
            hint="only 2 can have such an exponent",
        )

    def __pos__(self) -> ScalarExpr:
        return self

    def __abs__(self) -> ScalarExpr:
        return maximum(self, -self)

    def __divmod__(self, other: Any) -> tuple[Any, Any]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Any, Any]:
        return other // self, other % self

    def __truediv__(self, other: Any) -> NoReturn:
        raise error(
            CompileError, f"({self.native.shown()}) / ({other}) is not an integer", hint="use //"
        )

    def __rtruediv__(self, other: Any) -> NoReturn:
        raise error(
            CompileError, f"({other}) / ({self.native.shown()}) is not an integer", hint="use //"
        )

    def __str__(self) -> str:
        return str(self.native)

    def __repr__(self) -> str:
        return f"ScalarExpr({str(self)!r})"


def _bits(count: Any, what: str, most: int) -> int:
    """A constant operand of a shift or power."""
    if isinstance(count, bool) or not hasattr(count, "__index__") or isinstance(count, ScalarExpr):
        raise error(CompileError, f"{what}: the right operand must be an integer, got {count!r}")
    if not 0 <= count <= most:
        raise error(CompileError, f"{what}: the right operand must be in 0...{most}, got {count}")
    return int(count.__index__())


def is_integer(what: Any) -> bool:
    """True for Python and NumPy integers, not for booleans."""
    return isinstance(what, (int, np.integer)) and not isinstance(what, bool)


def is_truth(what: Any) -> bool:
    """True for booleans, comparisons and what is made of them: the value is 0 or 1."""
    return (
        what.native.is_truth()
        if isinstance(what, ScalarExpr)
        else isinstance(what, bool | np.bool_)
    )


def is_scalar(what: Any) -> bool:
    """True for what can be an operand: expressions, loop variables, integers and booleans."""
    return (
        isinstance(what, (ScalarExpr, int, np.integer, np.bool_))
        or hasattr(what, "affine")
        or bool(getattr(what, "is_element", False))
    )


def native_expr(what: Any) -> native.ScalarExpr:
    """The native expression of an operand.

    Raises
    ------
    TypeCheckError
        When it is none.
    """
    from pto_wsp.symbols import Dim, symbol_expr

    if isinstance(what, ScalarExpr):
        return what.native
    if getattr(what, "is_element", False):
        return native_expr(what.element())
    if isinstance(what, Dim):
        return symbol_expr(what)
    if hasattr(what, "affine"):
        expr: native.ScalarExpr = what.expr
        return expr
    if isinstance(what, (int, np.integer, np.bool_)):
        return native.ScalarExpr(fitting(int(what)))
    raise error(
        TypeCheckError,
        f"a run-time integer expression cannot hold {what!r}",
        hint="use integers, loop variables and expressions of these",
    )


def fitting(value: int) -> int:
    """`value`, which must fit 64 bits as all integers of expressions do."""
    if not -(2**63) <= value < 2**63:
        raise error(TypeCheckError, f"{value} does not fit 64 bits")
    return value


def as_expr(what: Any) -> ScalarExpr:
    """An integer, loop variable or text as an expression."""
    return what if isinstance(what, ScalarExpr) else ScalarExpr(what)


def axis(name: str) -> ScalarExpr:
    """The value of the loop variable called `name`."""
    return ScalarExpr.of(native.ScalarExpr.variable(name))


def minimum(a: Any, b: Any) -> ScalarExpr:
    """The smaller of two."""
    return ScalarExpr.of(native.ScalarExpr.make(_Op.Min, [native_expr(a), native_expr(b)]), a, b)


def maximum(a: Any, b: Any) -> ScalarExpr:
    """The larger of two."""
    return ScalarExpr.of(native.ScalarExpr.make(_Op.Max, [native_expr(a), native_expr(b)]), a, b)


def where(condition: Any, a: Any, b: Any) -> ScalarExpr:
    """`a` where `condition` is not 0, else `b`."""
    operands = [native_expr(condition), native_expr(a), native_expr(b)]
    return ScalarExpr.of(native.ScalarExpr.make(_Op.Select, operands), condition, a, b)


def symbol_u64(name: str) -> ScalarExpr:
    """The value of a symbol, see `Program.set_symbol_u64`."""
    with at_user_line(f"symbol_u64({name!r}): "):
        return ScalarExpr.of(native.ScalarExpr.symbol(name))


def task_param(which: int | str) -> ScalarExpr:
    """What the task that a key of a schedule is asked of is called with.

    Parameters
    ----------
    which : int or str
        A subscript by its number, as in `Task.params`: 0 for ``b`` in ``attn[b, h](...)``; or the
        name of a scalar parameter of the kernel, for the integer it is given.

    Raises
    ------
    TypeCheckError
        It is neither. A task without such a param is a ScheduleError where the schedule is applied
        to it; where no task is, as in ``P.when``, it is a CompileError.
    """
    if isinstance(which, str):
        with at_user_line(f"task_param({which!r}): "):
            return ScalarExpr.of(native.ScalarExpr.param(which))
    if not is_integer(which) or which < 0:
        raise error(
            TypeCheckError,
            f"task_param: expected the number of a subscript or the name of a scalar parameter, "
            f"got {which!r}",
        )
    return ScalarExpr.of(native.ScalarExpr.param(int(which)))


def slot_u64(slot: int) -> ScalarExpr:
    """What `slot_set_u64` or `slot_load_u64` left in slot 0...255; 0 at the start of a run."""
    return ScalarExpr.of(native.ScalarExpr.slot(slot_number(slot, "slot_u64")))


def slot_i64(slot: int) -> ScalarExpr:
    """The same slots as signed integers."""
    return ScalarExpr.of(native.ScalarExpr.slot(slot_number(slot, "slot_i64")))


def slot_bool(slot: int) -> ScalarExpr:
    """1 where the slot is not 0."""
    return ScalarExpr.of(native.ScalarExpr.slot(slot_number(slot, "slot_bool"))) != 0


def slot_number(slot: Any, what: str) -> int:
    """A number of a slot."""
    if isinstance(slot, bool) or not hasattr(slot, "__index__") or not 0 <= slot < 256:
        raise error(TypeCheckError, f"{what}: slots are 0...255, got {slot!r}")
    return int(slot.__index__())


def cast_bool(what: Any) -> ScalarExpr:
    """1 where it is not 0."""
    return as_expr(what) != 0


def cast_i64(what: Any) -> ScalarExpr:
    """The same integer: expressions are signed and of 64 bits."""
    return as_expr(what)


def cast_u64(what: Any) -> ScalarExpr:
    """The same integer; one below 0 ends the run with an error."""
    expr = as_expr(what)
    return ScalarExpr.of(native.ScalarExpr.make(_Op.CastU64, [expr.native]), expr)
