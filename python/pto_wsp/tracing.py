"""Values of a kernel that is being traced, and the trace that records what is done to them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.dtypes import DType
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.symbols import Dim


class Trace:
    """A kernel under construction: its native builder and the parameters handed to the body."""

    def __init__(self, name: str, at: tuple[str, int]) -> None:
        self.name = name
        self.builder = native.KernelBuilder(name, at)
        self.open = True

    def operand(self, what: Any, primitive: str) -> int:
        """The native value of an operand: a `Value`, a tile parameter (loaded) or a number."""
        if isinstance(what, Value):
            what.trace.check(self, what)
            return what.id
        if isinstance(what, TileParam):
            what.trace.check(self, what)
            return int(self.builder.operand(what.index))
        if is_number(what):
            return self.constant(what, None)
        raise error(
            TypeCheckError,
            f"{primitive}: operand {what!r} is neither a tile, a scalar nor a number",
            hint=_operand_hint(what),
        )

    def constant(self, value: Any, dtype: DType | None) -> int:
        """The native value of a number."""
        number = int(value) if isinstance(value, (int, np.integer)) else float(value)
        if isinstance(number, int) and not -(2**63) <= number < 2**64:
            # Past all integers it is a float, as NumPy has it where an array of floats meets it.
            if abs(number) >= 2**1024 or (dtype is not None and not dtype.is_float):
                kind = "number" if dtype is None else dtype.value
                raise error(
                    TypeCheckError,
                    f"constant: {number} is no {kind}",
                    hint=f"integers are from {-(2**63)} to {2**64 - 1}",
                )
            number = float(number)
        return int(self.builder.constant(number, dtype))

    def check(self, current: Trace, used: Operand) -> None:
        """Refuses a value of another kernel, or of a trace that has ended."""
        if self is not current:
            raise error(
                CompileError,
                f"a value of kernel '{self.name}' is used in kernel '{current.name}'",
                hint="pass tiles between kernels through tensors",
            )

    def wrap(self, value: int) -> Value:
        return Value(self, value)


class _Stack(threading.local):
    def __init__(self) -> None:
        self.traces: list[Trace] = []


_stack = _Stack()


def record(trace: Trace, body: Callable[[], None]) -> native.TileProgram:
    """Runs `body` with `trace` as the current one and ends it; an exception leaves nothing open."""
    _stack.traces.append(trace)
    try:
        body()
        return trace.builder.finish()
    finally:
        trace.open = False
        _stack.traces.pop()


def innermost() -> Trace | None:
    """The trace that is being made, if any."""
    return _stack.traces[-1] if _stack.traces else None


def current_trace(primitive: str) -> Trace:
    """The trace that a primitive is recorded in.

    Raises
    ------
    CompileError
        Outside the body of a kernel.
    """
    if not _stack.traces:
        raise error(
            CompileError,
            f"{primitive}: called outside the body of a kernel",
            hint="call it in a function decorated with @kernel",
        )
    return _stack.traces[-1]


def is_number(what: Any) -> bool:
    """True for Python and NumPy numbers, not for booleans."""
    return isinstance(what, (int, float, np.integer, np.floating)) and not isinstance(what, bool)


def _operand_hint(what: Any) -> str:
    if isinstance(what, np.ndarray):
        return "make the array a parameter of the kernel: In[Tile[rows, cols, dtype]]"
    return ""


class Operand:
    """What operators work on: a value or a tile parameter of a kernel."""

    __slots__ = ()
    __array_ufunc__ = None
    __hash__ = object.__hash__
    trace: Trace

    @property
    def type(self) -> native.TileType:
        """Element type and shape."""
        raise NotImplementedError

    @property
    def dtype(self) -> DType:
        """Element type."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[Any, Any]:
        """Rows and columns: integers where known, expressions elsewhere."""

        def shown(dim: native.Affine) -> Any:
            value = dim.as_constant()
            return Dim(dim) if value is None else value

        return shown(self.type.rows), shown(self.type.columns)

    @property
    def T(self) -> Value:
        """The transpose."""
        return apply("transpose", [self])

    def __add__(self, other: Any) -> Value:
        return apply("add", [self, other])

    def __radd__(self, other: Any) -> Value:
        return apply("add", [other, self])

    def __sub__(self, other: Any) -> Value:
        return apply("sub", [self, other])

    def __rsub__(self, other: Any) -> Value:
        return apply("sub", [other, self])

    def __mul__(self, other: Any) -> Value:
        return apply("mul", [self, other])

    def __rmul__(self, other: Any) -> Value:
        return apply("mul", [other, self])

    def __truediv__(self, other: Any) -> Value:
        return apply("div", [self, other])

    def __rtruediv__(self, other: Any) -> Value:
        return apply("div", [other, self])

    def __floordiv__(self, other: Any) -> Value:
        return apply("floordiv", [self, other])

    def __rfloordiv__(self, other: Any) -> Value:
        return apply("floordiv", [other, self])

    def __mod__(self, other: Any) -> Value:
        return apply("mod", [self, other])

    def __rmod__(self, other: Any) -> Value:
        return apply("mod", [other, self])

    def __matmul__(self, other: Any) -> Value:
        return apply("matmul", [self, other])

    def __rmatmul__(self, other: Any) -> Value:
        return apply("matmul", [other, self])

    def __neg__(self) -> Value:
        return apply("neg", [self])

    def __eq__(self, other: object) -> Value:  # type: ignore[override]
        return apply("eq", [self, other])

    def __ne__(self, other: object) -> Value:  # type: ignore[override]
        return apply("ne", [self, other])

    def __lt__(self, other: Any) -> Value:
        return apply("lt", [self, other])

    def __le__(self, other: Any) -> Value:
        return apply("le", [self, other])

    def __gt__(self, other: Any) -> Value:
        return apply("gt", [self, other])

    def __ge__(self, other: Any) -> Value:
        return apply("ge", [self, other])

    def _unknown(self, what: str, hint: str) -> NoReturn:
        raise error(
            CompileError,
            f"kernel '{self.trace.name}': {what} of {self!r} is not known in a trace",
            hint=hint,
        )

    def __bool__(self) -> bool:
        self._unknown("the truth", "choose element by element with pto.where(condition, a, b)")

    def __int__(self) -> int:
        self._unknown("the value", "use a Constexpr parameter")

    __index__ = __int__

    def __float__(self) -> float:
        self._unknown("the value", "use a Constexpr parameter")

    def __len__(self) -> int:
        self._unknown("the length", "use .shape")

    def __iter__(self) -> NoReturn:
        self._unknown("the elements", "use pto.fori_loop")

    def __getitem__(self, key: Any) -> NoReturn:
        raise error(
            CompileError,
            f"kernel '{self.trace.name}': {self!r} cannot be indexed",
            hint="read a window with pto.load(x, offset=(row, column), shape=(rows, columns))",
        )

    def __array__(self, *arguments: Any, **options: Any) -> NoReturn:
        self._unknown("the value", "use pto.* instead of NumPy functions on tiles")


class Value(Operand):
    """The result of a primitive: a tile (a scalar is a 1 x 1 tile)."""

    __slots__ = ("trace", "id")

    def __init__(self, trace: Trace, value: int) -> None:
        self.trace = trace
        self.id = value

    @property
    def type(self) -> native.TileType:
        """Element type and shape, while its kernel is traced."""
        if not self.trace.open:
            raise error(
                CompileError, f"a value of kernel '{self.trace.name}' is used after its trace ended"
            )
        return self.trace.builder.type(self.id)

    def __repr__(self) -> str:
        return f"<Value {self.type}>" if self.trace.open else "<Value of an ended trace>"


class TileParam(Operand):
    """A tile parameter in the body of a kernel; used as an operand it is loaded whole."""

    __slots__ = ("trace", "index", "name", "_type")

    def __init__(self, trace: Trace, index: int, name: str, tile_type: native.TileType) -> None:
        self.trace = trace
        self.index = index
        self.name = name
        self._type = tile_type

    @property
    def type(self) -> native.TileType:
        """Element type and shape."""
        return self._type

    def __repr__(self) -> str:
        return f"<{self.name}: {self._type.user_str()}>"


def apply(
    name: str, operands: Sequence[Any], attributes: dict[str, native.AttributeValue] | None = None
) -> Value:
    """Records operation `name` of the table and gives its result."""
    primitive = f"pto.{name}"
    trace = current_trace(primitive)
    values = [trace.operand(operand, primitive) for operand in operands]
    return trace.wrap(trace.builder.op(name, values, attributes or {}))
