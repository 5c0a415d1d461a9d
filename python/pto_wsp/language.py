"""The tile language: what the body of a kernel may call, as ``pto.add`` or ``tl.add``.

Every function makes one operation of the native table; names, signatures and documentation come
from there. Operands are values, tile parameters (loaded whole) and numbers, which take the type of
the tile they meet.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.dtypes import DType, Location, dtype_of
from pto_wsp.errors import TypeCheckError, error
from pto_wsp.symbols import Dim, affine_of
from pto_wsp.tracing import Operand, TileParam, Trace, Value, apply, current_trace, is_number

_by_hand = ("load", "store", "constant", "broadcast", "reshape", "fori_loop", "print")
_inside = ("store_masked",)  # what store makes when it is given a mask
_dims = ("rows", "columns", "k")
_empty = inspect.Parameter.empty


class _Whole(tuple[int, int]):
    """The offset of a call that gives none: the whole tile, not a window of it."""


_whole = _Whole((0, 0))


def load(src: Any, offset: Any = _whole, shape: Any = None, mask: Any = None) -> Value:
    """Reads a tile parameter, or the window of `shape` at `offset`.

    Elements where `mask` does not hold are 0, whatever memory holds there.

    Parameters
    ----------
    src : tile parameter
    offset : pair of int or scalar value
        Row and column of the window's first element.
    shape : pair of dims, optional
        Of the window; that of the parameter by default.
    mask : value, optional
        Made by a comparison; broadcasts to the window as in NumPy.

    Returns
    -------
    Value
    """
    trace = current_trace("pto.load")
    param = _tile_param(trace, src, "pto.load")
    if shape is None and offset is _whole:
        loaded = trace.builder.load(param.index)
    else:
        row, column = _offsets(trace, offset, "pto.load")
        rows, columns = (affine_of(dim) for dim in _pair(shape or param.shape, "pto.load: shape"))
        loaded = trace.builder.load_window(param.index, row, column, rows, columns)
    if mask is not None:
        loaded = trace.builder.masked(loaded, trace.operand(mask, "pto.load"))
    return trace.wrap(loaded)


def store(dst: Any, src: Any, offset: Any = _whole, mask: Any = None) -> None:
    """Writes `src` to a tile parameter, at `offset`; rounds to its element type.

    Elements where `mask` does not hold keep what memory held, also those of an output.

    Parameters
    ----------
    dst : tile parameter
    src : value, tile parameter or number
    offset : pair of int or scalar value
    mask : value, optional
        Made by a comparison; broadcasts to `src` as in NumPy.
    """
    trace = current_trace("pto.store")
    if isinstance(src, TileParam) and not isinstance(dst, TileParam):
        raise error(
            TypeCheckError,
            f"pto.store: the destination is {dst!r}, the source {src!r}",
            hint="the order is pto.store(destination, source)",
        )
    param = _tile_param(trace, dst, "pto.store")
    value = trace.operand(src, "pto.store")
    at = None if offset is _whole else _offsets(trace, offset, "pto.store")
    if mask is not None:
        trace.builder.store_masked(param.index, value, trace.operand(mask, "pto.store"), at)
    elif at is None:
        trace.builder.store(param.index, value)
    else:
        trace.builder.store_window(param.index, value, *at)


def print(x: Any, label: str | None = None) -> None:
    """Prints the values of `x` when the kernel runs, for debugging.

    A header with `label`, the line of the call, element type and shape, then the values as NumPy
    prints an array, abridged when they are many; of a partial tile the valid part. Each time that
    it runs it is one write to ``sys.stdout``, flushed at once, from the thread that runs the task;
    those of one task are in program order.

    Parameters
    ----------
    x : value, tile parameter or number
    label : str, optional
        The name of the parameter that `x` is loaded from, or of the operation that made it, by
        default.
    """
    trace = current_trace("pto.print")
    if label is not None and not isinstance(label, str):
        raise error(TypeCheckError, f"pto.print: the label is {label!r}, not a text")
    trace.builder.print(trace.operand(x, "pto.print"), label or "")


def constant(value: float, dtype: Any = None) -> Value:
    """A number as a 1 x 1 tile; without `dtype` it takes the type of the tile that it meets."""
    trace = current_trace("pto.constant")
    if not is_number(value):
        raise error(TypeCheckError, f"pto.constant: expected a number, got {value!r}")
    return trace.wrap(trace.constant(value, None if dtype is None else dtype_of(dtype)))


def broadcast(x: Any, shape: Any) -> Value:
    """A row, column or scalar repeated to a tile of `shape`.

    Parameters
    ----------
    x : value, tile parameter or number
    shape : pair of dims
        Rows and columns of the result.

    Returns
    -------
    Value
    """
    rows, columns = _pair(shape, "pto.broadcast: shape")
    return apply("broadcast", [x], {"rows": affine_of(rows), "columns": affine_of(columns)})


def reshape(x: Any, shape: Any) -> Value:
    """The elements of `x`, row by row, as a tile of `shape`, which has as many.

    Parameters
    ----------
    x : value or tile parameter
    shape : pair of dims

    Returns
    -------
    Value
    """
    rows, columns = _pair(shape, "pto.reshape: shape")
    return apply("reshape", [x], {"rows": affine_of(rows), "columns": affine_of(columns)})


def alloc(shape: Any, dtype: Any, location: Location = Location.UB) -> Value:
    """A tile of zeros. Tiles are values: what changes it makes a new one.

    Parameters
    ----------
    shape : pair of dims
    dtype : DType
    location : Location
        UB or L1: where targets with such memories keep it; the CPU has one memory.

    Returns
    -------
    Value
    """
    if location not in (Location.UB, Location.L1):
        raise error(
            TypeCheckError,
            f"pto.alloc: a tile does not lie in {location}",
            hint="it lies in Location.UB or Location.L1",
        )
    return broadcast(constant(0, dtype_of(dtype)), shape)


def topk(x: Any, k: Any) -> tuple[Value, Value]:
    """The `k` largest of each row.

    Parameters
    ----------
    x : value or tile parameter, [r, c]
    k : dim, at most c

    Returns
    -------
    tuple of Value
        The values [r, k] in descending order, NaN first, and their columns, U32 [r, k]. Of equal
        ones the first comes first.
    """
    attributes: dict[str, native.AttributeValue] = {"k": affine_of(k)}
    return apply("topk_values", [x], attributes), apply("topk_indices", [x], attributes)


def static_assert(condition: Any, message: str = "") -> None:
    """Refuses the kernel, at the line of the call, unless `condition` holds when it is traced.

    Parameters
    ----------
    condition : bool
        Of integers, shapes and Constexpr values: what is known before the kernel runs.
    message : str
    """
    current_trace("pto.static_assert")
    if isinstance(condition, (Operand, TileParam)):
        raise error(
            TypeCheckError,
            f"pto.static_assert: {condition!r} is not known before the kernel runs",
        )
    if not condition:
        raise error(TypeCheckError, f"pto.static_assert: {message or 'the condition is false'}")


def fori_loop(lo: Any, hi: Any, body: Callable[[Value, Any], Any], carry: Any) -> Any:
    """One loop that carries tiles: ``for i in range(lo, hi): carry = body(i, carry)``.

    Parameters
    ----------
    lo, hi : int or I32 scalar value
        Bounds; they may be known at run time only.
    body : callable
        Takes the index and the carried tiles (one, or a tuple) and returns the next ones, of the
        same types. It is traced once.
    carry : value, tile parameter, number or sequence of these

    Returns
    -------
    Value or tuple of Value
        The carried tiles after the last iteration.
    """
    trace = current_trace("pto.fori_loop")
    first, last = (_integer(trace, bound, "pto.fori_loop") for bound in (lo, hi))
    single = not isinstance(carry, (tuple, list))
    carries = [trace.operand(value, "pto.fori_loop") for value in ([carry] if single else carry)]

    def traced(index: int, values: Sequence[int]) -> list[int]:
        wrapped = tuple(trace.wrap(value) for value in values)
        result = body(trace.wrap(index), wrapped[0] if single else wrapped)
        several = isinstance(result, (tuple, list))
        parts = result if several else [result]
        if several == single or len(parts) != len(carries):
            count = f"a sequence of {len(parts)}" if several else "one"
            raise error(
                TypeCheckError,
                f"pto.fori_loop: the body carries {'one' if single else len(carries)}, "
                f"returned {count}",
            )
        return [trace.operand(part, "pto.fori_loop") for part in parts]

    made = trace.builder.fori_loop(first, last, carries, traced)
    results = tuple(trace.wrap(value) for value in made)
    return results[0] if single else results


def _tile_param(trace: Trace, what: Any, primitive: str) -> TileParam:
    if not isinstance(what, TileParam):
        raise error(
            TypeCheckError,
            f"{primitive}: expected a tile parameter of the kernel, got {what!r}",
        )
    what.trace.check(trace, what)
    return what


def _pair(what: Any, text: str) -> tuple[Any, Any]:
    if not isinstance(what, (tuple, list)) or len(what) != 2:
        raise error(TypeCheckError, f"{text} must be a pair (rows, columns), got {what!r}")
    return what[0], what[1]


def _offsets(trace: Trace, offset: Any, primitive: str) -> tuple[int, int]:
    row, column = _pair(offset, f"{primitive}: offset")
    return _integer(trace, row, primitive), _integer(trace, column, primitive)


def _integer(trace: Trace, what: Any, primitive: str) -> int:
    """An I32 scalar of an integer or a value."""
    if isinstance(what, (Value, TileParam)):
        return trace.operand(what, primitive)
    if isinstance(what, bool) or not hasattr(what, "__index__"):
        raise error(TypeCheckError, f"{primitive}: expected an integer, got {what!r}")
    return trace.constant(what.__index__(), DType.I32)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _attribute_default(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text


def _attribute(name: str, value: Any) -> native.AttributeValue:
    """A Python value as the native side holds it."""
    if name in _dims:
        return affine_of(value)
    if name == "dtype" and value != "mask":
        return str(dtype_of(value).value)
    if isinstance(value, DType):
        return str(value.value)
    if isinstance(value, Dim):
        return value.affine
    if isinstance(value, (bool, int, float, str)):
        return value
    raise error(TypeCheckError, f"'{name}' cannot be {value!r}")


def _primitive(row: native.OpInfo) -> Callable[..., Value]:
    """The Python function of one row of the table."""
    operands = [name.rstrip("?") for name in _split(row.operands)]
    parameters = [
        inspect.Parameter(
            name.rstrip("?"),
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=None if name.endswith("?") else _empty,
        )
        for name in _split(row.operands)
    ]
    attributes = []
    for text in _split(row.attributes):
        name, _, default = (part.strip() for part in text.partition("="))
        attributes.append(name)
        parameters.append(
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=_attribute_default(default) if default else _empty,
            )
        )
    signature = inspect.Signature(parameters)

    def primitive(*args: Any, **kwargs: Any) -> Value:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as cause:
            raise error(
                TypeCheckError, f"pto.{row.name}: {cause}", hint=f"it is {row.name}{signature}"
            ) from None
        bound.apply_defaults()
        values = bound.arguments
        for name in operands:
            if values[name] is None and signature.parameters[name].default is _empty:
                raise error(
                    TypeCheckError,
                    f"pto.{row.name}: operand '{name}' is None",
                    hint=f"it is {row.name}{signature}",
                )
        passed = [values[name] for name in operands if values[name] is not None]
        named = {name: _attribute(name, values[name]) for name in attributes}
        return apply(row.name, passed, named)

    return _documented(primitive, row.name, signature, row.doc)


def _documented(
    function: Callable[..., Value], name: str, signature: inspect.Signature, doc: str
) -> Callable[..., Value]:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def _broadcast_primitive(row: native.ComposedInfo) -> Callable[..., Value]:
    """The elementwise operation `row` is, whose second operand is a column [r, 1] or a row."""
    name, operation, what = row.name, row.operations, row.vector

    def primitive(tile: Any, vec: Any) -> Value:
        for operand in (tile, vec):
            if not isinstance(operand, Operand):
                raise error(TypeCheckError, f"pto.{name}: operand {operand!r} is no tile")
        wanted = (tile.shape[0], 1) if what == "column" else (1, tile.shape[1])
        if vec.shape != wanted:
            raise error(
                TypeCheckError,
                f"pto.{name}: the second operand is {list(vec.shape)}, expected {list(wanted)}",
            )
        return apply(operation, [tile, vec])

    doc = f"`{operation}` of a tile [r, c] and a {what}, broadcast over the tile."
    return _documented(primitive, name, inspect.signature(primitive), doc)


for _row in native.ops():
    if _row.name not in (*_by_hand, *_inside):
        globals()[_row.name] = _primitive(_row)
for _made in native.composed():
    if _made.vector:
        globals()[_made.name] = _broadcast_primitive(_made)
    elif _made.name not in globals():
        globals()[_made.name] = globals()[_made.operations]

__all__ = sorted(
    {row.name for row in native.ops()} - {*_inside} | {row.name for row in native.composed()}
)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    near = native.nearest_name(name, __all__)
    asked = f"; did you mean pto.{near}?" if near else ""
    raise AttributeError(f"there is no pto.{name}{asked} (there are {', '.join(__all__)})")


def __dir__() -> list[str]:
    return __all__
