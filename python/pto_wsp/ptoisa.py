"""Instruction-level kernels: ``ptoisa.TADD(dst, a, b)`` instead of ``dst = pto.add(a, b)``.

An instruction writes its first operand, a tile that was declared with its element type and
shape, and reads the others: tiles that were written before and, where it says so, scalars. Memory
is read by `tload` and written by `tstore` alone. A kernel in these terms is the same tile program
as the one in terms of `pto`: a tile that is written again means its new value from there on.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp import language
from pto_wsp.annotations import Tile, TileSpec
from pto_wsp.errors import CompileError, TypeCheckError, error, user_place
from pto_wsp.tracing import Operand, TileParam, Trace, Value, current_trace, is_number


class IsaTile:
    """A declared tile; what it holds is what the last instruction wrote.

    Attributes
    ----------
    spec : TileSpec
        Its element type and shape.
    """

    def __init__(self, trace: Trace, spec: TileSpec) -> None:
        self.spec = spec
        self._trace = trace
        self._at = user_place()
        self._value: Value | None = None

    def read(self, instruction: str) -> Value:
        """What it holds.

        Raises
        ------
        CompileError
            No instruction has written it, or it belongs to another kernel.
        """
        self._check_kernel(instruction)
        if self._value is None:
            raise error(
                CompileError,
                f"ptoisa.{instruction}: {self!r} is read before an instruction writes it",
                notes=((self._at, "declared here"),),
                hint="load it with ptoisa.tload(tile, x), or fill it with ptoisa.TEXPANDS(tile, 0)",
            )
        return self._value

    def write(self, instruction: str, value: Value) -> None:
        """Makes it hold `value`.

        Raises
        ------
        TypeCheckError
            The value has another element type or shape.
        """
        self._check_kernel(instruction)
        made = TileSpec(value.type.rows, value.type.columns, value.dtype)
        if made != self.spec:
            converts = made.rows == self.spec.rows and made.cols == self.spec.cols
            raise error(
                TypeCheckError,
                f"ptoisa.{instruction}: the destination is {self.spec!r}, the result {made!r}",
                notes=((self._at, "declared here"),),
                hint=f"declare it as {made!r}" + (", and convert with TCVT" if converts else ""),
            )
        self._value = value

    def _check_kernel(self, instruction: str) -> None:
        trace = current_trace(f"ptoisa.{instruction}")
        if trace is not self._trace:
            raise error(
                CompileError,
                f"ptoisa.{instruction}: a tile of kernel '{self._trace.name}' is used in kernel "
                f"'{trace.name}'",
                notes=((self._at, "declared here"),),
            )

    def __repr__(self) -> str:
        return f"<tile {self.spec!r}>"


def tile(rows: Any, cols: Any, dtype: Any) -> IsaTile:
    """Declares a tile, which holds nothing yet.

    Parameters
    ----------
    rows, cols : dim
    dtype : DType
    """
    trace = current_trace("ptoisa.tile")
    return IsaTile(trace, Tile[rows, cols, dtype])


def tload(dst: Any, src: Any, offset: Any = None) -> None:
    """Reads a tile parameter, or the window of `dst`'s shape at `offset`, into `dst`."""
    to = _destination("TLOAD", dst)
    if not isinstance(src, TileParam):
        raise error(
            TypeCheckError,
            f"ptoisa.TLOAD: the source is {src!r}, not a tile parameter of the kernel",
            hint="the order is ptoisa.tload(tile, parameter)",
        )
    if offset is None and src.shape == to.spec.shape:
        to.write("TLOAD", language.load(src))
        return
    to.write("TLOAD", language.load(src, offset or (0, 0), to.spec.shape))


def tstore(dst: Any, src: Any, offset: Any = None) -> None:
    """Writes the tile `src` to a tile parameter, at `offset`; rounds to its element type."""
    if not isinstance(dst, TileParam):
        raise error(
            TypeCheckError,
            f"ptoisa.TSTORE: the destination is {dst!r}, not a tile parameter of the kernel",
            hint="the order is ptoisa.tstore(parameter, tile)",
        )
    value = _operand("TSTORE", "src", src, scalar=False)
    if offset is None:
        language.store(dst, value)
    else:
        language.store(dst, value, offset)


def _destination(instruction: str, what: Any) -> IsaTile:
    if not isinstance(what, IsaTile):
        raise error(
            TypeCheckError,
            f"ptoisa.{instruction}: the destination is {what!r}, not a declared tile",
            hint="declare it: ptoisa.tile(rows, cols, dtype)",
        )
    return what


def _operand(instruction: str, name: str, what: Any, *, scalar: bool) -> Any:
    if isinstance(what, IsaTile):
        value = what.read(instruction)
        if not scalar or value.type.is_scalar:
            return value
    elif isinstance(what, TileParam):
        raise error(
            TypeCheckError,
            f"ptoisa.{instruction}: operand '{name}' is {what!r}, which is memory",
            hint="load it into a tile: ptoisa.tload(tile, parameter)",
        )
    elif scalar and (is_number(what) or (isinstance(what, Operand) and what.type.is_scalar)):
        return what
    raise error(
        TypeCheckError,
        f"ptoisa.{instruction}: operand '{name}' is {what!r}, not a "
        + ("scalar" if scalar else "declared tile"),
    )


@dataclasses.dataclass(frozen=True)
class _Row:
    """One instruction: its operands after the destination (`s` at the end: a scalar; `=` in front:
    the destination itself, which it reads), and the operation of `pto` that it is."""

    operands: str
    operation: str
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    shaped: str = ""  # "shape" or "dtype" that the operation takes from the destination


_unary = (
    "NEG ABS RELU EXP LOG SQRT RSQRT TANH SIN COS ERF SIGMOID SILU GELU SOFTMAX ROWSUM ROWMEAN "
    "ROWMAX ROWMIN COLSUM COLMAX COLMIN TRANS=transpose EVEN=slice_even ODD=slice_odd"
)
_binary = (
    "ADD SUB MUL DIV FDIV=floordiv REM=mod MAX=maximum MIN=minimum CMPLT=lt CMPLE=le CMPGT=gt "
    "CMPGE=ge CMPEQ=eq CMPNE=ne"
)


def _rows(names: str, operands: str, suffix: str = "") -> dict[str, _Row]:
    pairs = (name.partition("=") for name in names.split())
    return {
        f"T{name}{suffix}": _Row(operands, operation or name.lower())
        for name, _, operation in pairs
    }


INSTRUCTIONS: dict[str, _Row] = {
    **_rows(_unary, "src"),
    **_rows(_binary, "a, b"),
    **_rows(_binary, "a, b:s", "S"),
    **_rows("ROWEXPANDADD=rowadd ROWEXPANDMUL=rowmul", "src, column"),
    **_rows("COLEXPANDADD=coladd COLEXPANDMUL=colmul", "src, row"),
    "TEXPAND": _Row("src", "broadcast", shaped="shape"),
    "TEXPANDS": _Row("value:s", "broadcast", shaped="filled"),
    "TRESHAPE": _Row("src", "reshape", shaped="shape"),
    "TCVT": _Row("src", "cast", shaped="dtype"),
    "TSEL": _Row("mask, a, b", "where"),
    "TMATMUL": _Row("a, b", "matmul"),
    "TMATMUL_TA": _Row("a, b", "matmul", {"trans_a": True}),
    "TMATMUL_TB": _Row("a, b", "matmul", {"trans_b": True}),
    "TMATMUL_ACC": _Row("a, b, =acc", "matmul"),
    "TMATMUL_ACC_TB": _Row("a, b, =acc", "matmul", {"trans_b": True}),
    "TINTERLEAVE": _Row("a, b", "interleave"),
    "TCAUSAL": _Row("src", "causal_mask"),
    "TCI": _Row("", "iota_u32", shaped="columns"),
    "TROWINDEX": _Row("", "row_index", shaped="rows_columns"),
    "TCOLINDEX": _Row("", "column_index", shaped="rows_columns"),
    "TSORT32": _Row("scores, idx", "tsort32"),
    "TTOPKIDX": _Row("pairs", "extract_topk_indices", shaped="k"),
    "TTOPKVAL": _Row("src", "topk_values", shaped="k"),
    "TTOPK": _Row("src", "topk_indices", shaped="k"),
}


def _from_destination(what: str, spec: TileSpec) -> dict[str, Any]:
    """The attributes that an operation takes from its destination."""
    rows, cols = spec.shape
    known: dict[str, dict[str, Any]] = {
        "": {},
        "shape": {"shape": (rows, cols)},
        "filled": {"shape": (rows, cols)},
        "dtype": {"dtype": spec.dtype},
        "columns": {"columns": cols, "rows": rows},
        "rows_columns": {"rows": rows, "columns": cols},
        "k": {"k": cols},
    }
    return known[what]


def _instruction(name: str, row: _Row) -> Callable[..., None]:
    operands = [text.strip() for text in row.operands.split(",") if text.strip()]
    given = [text.partition(":")[0] for text in operands if not text.startswith("=")]
    signature = inspect.Signature(
        [
            inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD)
            for each in ["dst", *given]
        ]
    )

    def instruction(*args: Any, **kwargs: Any) -> None:
        current_trace(f"ptoisa.{name}")
        try:
            bound = signature.bind(*args, **kwargs).arguments
        except TypeError as cause:
            raise error(
                TypeCheckError, f"ptoisa.{name}: {cause}", hint=f"it is {name}{signature}"
            ) from None
        to = _destination(name, bound["dst"])
        values: list[Any] = []
        for text in operands:
            if text.startswith("="):
                values.append(to.read(name))
                continue
            each, _, kind = text.partition(":")
            values.append(_operand(name, each, bound[each], scalar=kind == "s"))
        if row.shaped == "filled" and is_number(values[0]):
            values[0] = language.constant(values[0], to.spec.dtype)
        attributes = {**row.attributes, **_from_destination(row.shaped, to.spec)}
        to.write(name, getattr(language, row.operation)(*values, **attributes))

    instruction.__name__ = instruction.__qualname__ = name
    instruction.__doc__ = f"``dst = pto.{row.operation}({', '.join(given)})``"
    instruction.__signature__ = signature  # type: ignore[attr-defined]
    return instruction


for _name, _row in INSTRUCTIONS.items():
    globals()[_name] = _instruction(_name, _row)

TLOAD, TSTORE, alloc = tload, tstore, tile

__all__ = sorted(["TLOAD", "TSTORE", "alloc", "tile", "tload", "tstore", *INSTRUCTIONS])


def __getattr__(name: str) -> Any:
    near = native.nearest_name(name, __all__)
    asked = f"; did you mean ptoisa.{near}?" if near else ""
    raise AttributeError(f"there is no ptoisa.{name}{asked} (there are {', '.join(__all__)})")


def __dir__() -> list[str]:
    return __all__
