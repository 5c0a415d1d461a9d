"""Random tile programs, and what NumPy makes of them.

A program is a list of nodes. `build` traces it through `pto.*`; `interpret` runs a node with NumPy
alone, BF16 by ml_dtypes: the second opinion beside the reference evaluator.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
from pto_wsp import DType, In, KernelRef, Out, Scalar, Tile, kernel, pto

FLOATS = [DType.F16, DType.BF16, DType.F32, DType.F64]
SIGNED = [DType.I8, DType.I16, DType.I32, DType.I64]
UNSIGNED = [DType.U8, DType.U16, DType.U32, DType.U64]
INTEGERS = SIGNED + UNSIGNED
ALL = FLOATS + INTEGERS
NUMPY = {d: np.dtype(ml_dtypes.bfloat16) if d is DType.BF16 else np.dtype(d.numpy) for d in ALL}
SIZES = (1, 3, 17, 33, 100)
MOST_ELEMENTS = 12000

Array = np.ndarray[Any, Any]


@dataclasses.dataclass(frozen=True)
class Weak:
    """A number without a type."""

    value: Any


@dataclasses.dataclass(frozen=True)
class Type:
    """Element type (None: a mask) and shape."""

    dtype: DType | None
    rows: int
    columns: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows, self.columns

    def __repr__(self) -> str:
        return f"{self.dtype.name if self.dtype else 'mask'}[{self.rows}, {self.columns}]"


@dataclasses.dataclass(frozen=True)
class Node:
    """An operation; `x` is an input, `s` a scalar parameter, `for` a loop with nodes of its own."""

    name: str
    operands: tuple[Any, ...]
    type: Type
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    body: tuple[Node, ...] = ()

    def __repr__(self) -> str:
        given = [str(o.value) if isinstance(o, Weak) else f"%{o}" for o in self.operands]
        given += [f"{name}={value}" for name, value in self.attributes.items()]
        body = f" {list(self.body)}" if self.body else ""
        return f"{self.name}({', '.join(given)}): {self.type}{body}"


class Choices:
    """Numbers read off a string of bytes, 0 where it ends."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, end: int) -> int:
        byte = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return byte % end

    def of(self, items: Sequence[Any]) -> Any:
        return items[self.below(len(items))]


def promoted(a: DType, b: DType) -> DType:
    """The type of `a op b` (API: result types)."""
    if a is b:
        return a
    if (a in FLOATS) != (b in FLOATS):
        return a if a in FLOATS else b
    if a in FLOATS:
        return DType.F64 if DType.F64 in (a, b) else DType.F32
    wide = np.promote_types(NUMPY[a], NUMPY[b])
    return next(d for d in ALL if d is not DType.BF16 and NUMPY[d] == wide)


def sum_type(dtype: DType) -> DType:
    for small, wide in [
        ((DType.F16, DType.BF16), DType.F32),
        ((DType.I8, DType.I16), DType.I32),
        ((DType.U8, DType.U16), DType.U32),
    ]:
        if dtype in small:
            return wide
    return dtype


def product_type(dtype: DType) -> DType:
    return DType.I32 if dtype is DType.U8 else sum_type(dtype) if dtype is not DType.U16 else dtype


def converted(values: Array, dtype: DType) -> Array:
    """As `pto.cast`: NumPy's conversion, of F16 and BF16 through F32."""
    if values.dtype == NUMPY[dtype]:
        return values
    if dtype in INTEGERS and values.dtype.kind not in "iu":
        wide = values.astype(np.float32) if values.dtype.itemsize == 2 else values
        return _to_u32(wide) if dtype is DType.U32 else wide.astype(NUMPY[dtype])
    if dtype is DType.BF16 and values.dtype.itemsize >= 4 and values.dtype != np.float32:
        return _to_bfloat(values)
    return values.astype(NUMPY[dtype])


def _to_u32(values: Array) -> Array:
    """What is below the range of I32, and NaN, is 2^31, what is above U32 is 0: NumPy's vectors do
    so, what is left over of them does not."""
    wide = values.astype(np.float64)
    cut = np.where((wide >= -(2.0**31)) & (wide < 2.0**32), wide, 0).astype(np.int64)
    return np.where(wide >= -(2.0**31), cut, np.where(wide >= 0, 0, 2**31)).astype(np.uint32)


def _to_bfloat(values: Array) -> Array:
    """Rounded once; ml_dtypes goes through F32."""
    wide = values.astype(np.longdouble)
    single = wide.astype(np.float32)
    back = single.astype(np.longdouble)
    bits = single.view(np.uint32)
    past = np.abs(back) > np.abs(wide)
    odd = np.where(past, bits - np.uint32(1), bits) | np.uint32(1)
    inexact = (back != wide) & ~np.isnan(wide)
    return (
        np.where(inexact, odd, bits).astype(np.uint32).view(np.float32).astype(ml_dtypes.bfloat16)
    )


def _common(values: Sequence[Array], weak_like: DType | None = None) -> list[Array]:
    types = [dtype_of(v) for v in values]
    to = weak_like or promoted(types[0], types[1])
    return [converted(v, to) for v in values]


def dtype_of(values: Array) -> DType:
    return next(d for d in ALL if NUMPY[d] == values.dtype)


def _reduced(values: Array, axis: int, how: str) -> Array:
    kind = dtype_of(values)
    if how in ("max", "min"):
        return getattr(np, how)(values, axis=axis, keepdims=True)
    wide = np.float64 if kind in FLOATS else NUMPY[sum_type(kind)]
    if how == "sum":
        total = np.sum(values.astype(wide), axis=axis, keepdims=True, dtype=wide)
        return total.astype(NUMPY[sum_type(kind)])
    count = values.shape[axis]
    if kind in FLOATS:
        return (np.sum(values.astype(wide), axis=axis, keepdims=True) / count).astype(
            NUMPY[sum_type(kind)]
        )
    wide = np.int64 if kind in SIGNED else np.uint64
    total = np.sum(values.astype(wide), axis=axis, keepdims=True, dtype=wide)
    quotient = total // wide(count) + ((total < 0) & (total % wide(count) != 0)).astype(wide)
    return quotient.astype(NUMPY[sum_type(kind)])


def _order(values: Array) -> Array:
    """Of each row the columns in descending order, NaN first, stable."""
    if values.dtype.kind in "iu":
        keys = (~values).astype(values.dtype)  # reverses the order of integers
        return np.argsort(keys, axis=1, kind="stable")
    wide = values.astype(np.float64)
    return np.lexsort((np.where(np.isnan(wide), 0, -wide), ~np.isnan(wide)), axis=1)


def _matmul(a: Array, b: Array, acc: Array | None, node: Node) -> Array:
    a, b = _common([a, b])
    a = a.T if node.attributes["trans_a"] else a
    b = b.T if node.attributes["trans_b"] else b
    kind = product_type(dtype_of(a))
    wide = np.float64 if kind in FLOATS else NUMPY[kind]
    a, b = a.astype(wide), b.astype(wide)
    product = a @ b
    if node.attributes.get("skip_zeros"):
        product = np.stack([np.where(row[:, None] == 0, 0, row[:, None] * b).sum(0) for row in a])
    if acc is not None:
        product = product + acc.astype(wide)
    return product.astype(NUMPY[kind])


def _softmax(x: Array) -> Array:
    wide = x.astype(np.float64)
    e = np.exp(wide - wide.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _division(how: Callable[..., Array]) -> Callable[..., Array]:
    """NumPy's, of 64-bit integers too: 0 where the divisor is."""

    def apply(a: Array, b: Array) -> Array:
        zero = b == 0
        result = how(a, np.where(zero, 1, b).astype(b.dtype))
        return np.where(zero, 0, result).astype(a.dtype)

    return apply


def logistic(x: Array, above: Array | int) -> Array:
    """`above` / (1 + e^-x), in a type in which e^-x does not overflow before that vanishes."""
    return (above / (1 + np.exp(-x.astype(np.longdouble)))).astype(x.dtype)


erf = np.vectorize(math.erf, otypes=[np.float64])
erfc = np.vectorize(math.erfc, otypes=[np.float64])


def gelu(x: Array) -> Array:
    """x/2 erfc(-x/sqrt(2)). Where the tail vanishes a last bit of its argument is many of its own,
    so what rounding took from the argument is given back by erfc's slope."""
    exact = -x.astype(np.longdouble) * np.sqrt(np.longdouble(0.5))
    z = exact.astype(np.float64)
    lost = np.where(np.isfinite(z), exact - np.where(np.isfinite(z), z, 0), 0).astype(np.float64)
    return x * 0.5 * (erfc(z) - 2 / math.sqrt(math.pi) * np.exp(-z * z) * lost)


BINARY: dict[str, Callable[..., Array]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "floordiv": _division(np.floor_divide),
    "mod": _division(np.remainder),
    "maximum": np.maximum,
    "minimum": np.minimum,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")
# In float64, then rounded; the other operations are exact.
FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "log": np.log,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "erf": erf,
    "sigmoid": lambda x: logistic(x, 1),
    "silu": lambda x: logistic(x, x),
    "gelu": gelu,
    "softmax": _softmax,
}
UNARY: dict[str, Callable[[Array], Array]] = {
    "neg": np.negative,
    "abs": np.abs,
    "relu": lambda x: np.maximum(x, np.zeros((), x.dtype)),
    "sqrt": np.sqrt,
    "transpose": np.transpose,
    "slice_even": lambda x: x[:, ::2],
    "slice_odd": lambda x: x[:, 1::2],
}
REDUCTIONS = [f"{a}{how}" for a in ("row", "col") for how in ("sum", "max", "min")] + ["rowmean"]
LOOSE_SUMS = ("rowsum", "colsum", "rowmean", "matmul")
# Which of -0 and 0 they give is not said.
ANY_ZERO = (
    "for",
    "maximum",
    "minimum",
    "relu",
    "rowmax",
    "rowmin",
    "colmax",
    "colmin",
    "topk_values",
)


def interpret(node: Node, values: dict[int, Array], inputs: dict[str, Array]) -> Array:
    """What the node gives; `values` holds those of the nodes before it."""
    if node.name in ("x", "s"):
        return inputs[node.attributes["param"]]
    if node.name == "window":
        row, column = (int(_of(o, values)) for o in node.operands)
        whole = inputs[node.attributes["param"]]
        return whole[row : row + node.type.rows, column : column + node.type.columns]
    if node.name == "for":
        return _loop(node, values, inputs)
    given = [values[o] for o in node.operands if not isinstance(o, Weak)]
    if node.name in BINARY:
        a, b = _weak_pair(node.operands, values)
        # NumPy compares U64 with what has a sign exactly, and has no common type for it.
        if node.name not in COMPARISONS or a.dtype.kind not in "iu" or b.dtype.kind not in "iu":
            a, b = _common([a, b])
        return BINARY[node.name](a, b)
    if node.name in FUNCTIONS:
        x = given[0]
        return FUNCTIONS[node.name](x.astype(np.float64)).astype(x.dtype)
    if node.name in UNARY:
        return UNARY[node.name](given[0])
    if node.name in REDUCTIONS:
        return _reduced(given[0], 1 if node.name.startswith("row") else 0, node.name[3:])
    if node.name == "where":
        a, b = _common(_weak_pair(node.operands[1:], values))
        return np.where(values[node.operands[0]], a, b)
    return _MOVES[node.name](given, node)


def _of(operand: Any, values: dict[int, Array]) -> Any:
    return operand.value if isinstance(operand, Weak) else values[operand].item()


def _weak_pair(operands: Sequence[Any], values: dict[int, Array]) -> list[Array]:
    """Both operands; a number takes the type of the other one."""
    typed = next(values[o] for o in operands if not isinstance(o, Weak))
    return [
        np.full((1, 1), o.value, np.float64 if typed.dtype.kind not in "iu" else typed.dtype)
        .astype(typed.dtype) if isinstance(o, Weak) else values[o]
        for o in operands
    ]  # fmt: skip


def _interleaved(a: Array, b: Array) -> Array:
    both = np.empty((a.shape[0], 2 * a.shape[1]), a.dtype)
    both[:, ::2], both[:, 1::2] = a, b
    return both


def _causal(given: list[Array]) -> Array:
    x = given[0]
    offset = int(given[1].item()) if len(given) > 1 else 0
    keep = np.arange(x.shape[1])[None, :] <= np.arange(x.shape[0])[:, None] + offset
    return np.where(keep, x, np.array(-np.inf, x.dtype))


def _sliced(given: list[Array], node: Node) -> Array:
    row, column = (node.attributes["at"][i] for i in range(2))
    return given[0][row : row + node.type.rows, column : column + node.type.columns]


_MOVES: dict[str, Callable[[list[Array], Node], Array]] = {
    "cast": lambda given, node: converted(given[0], node.type.dtype),
    "matmul": lambda given, node: _matmul(*given[:2], given[2] if given[2:] else None, node),
    "interleave": lambda given, node: _interleaved(*given),
    "reshape": lambda given, node: given[0].reshape(node.type.shape),
    "broadcast": lambda given, node: np.broadcast_to(given[0], node.type.shape),
    "slice": _sliced,
    "causal_mask": lambda given, node: _causal(given),
    "topk_values": lambda given, node: np.take_along_axis(
        given[0], _order(given[0])[:, : node.type.columns], axis=1
    ),
    "topk_indices": lambda given, node: _order(given[0])[:, : node.type.columns].astype(np.uint32),
    "row_index": lambda given, node: np.broadcast_to(
        np.arange(node.type.rows, dtype=np.int32)[:, None], node.type.shape
    ),
    "column_index": lambda given, node: np.broadcast_to(
        np.arange(node.type.columns, dtype=np.int32)[None], node.type.shape
    ),
    "iota_u32": lambda given, node: np.broadcast_to(
        np.arange(node.type.columns, dtype=np.uint32)[None], node.type.shape
    ),
}


def _loop(node: Node, values: dict[int, Array], inputs: dict[str, Array]) -> Array:
    """One carried tile; the last node of the body is the next one."""
    lo, hi = (int(_of(o, values)) for o in node.operands[:2])
    carry = values[node.operands[2]]
    first = node.attributes["first"]
    for i in range(lo, hi):
        inner = {**values, first: np.full((1, 1), i, np.int32), first + 1: carry}
        for number, each in enumerate(node.body, first + 2):
            inner[number] = interpret(each, inner, inputs)
        carry = inner[node.attributes["yield"]]
    return carry


def traced(node: Node, values: dict[int, Any], params: dict[str, Any]) -> Any:
    """The same by `pto.*`."""
    name, attributes = node.name, node.attributes
    if name == "x":
        return pto.load(params[attributes["param"]])
    if name == "s":
        return params[attributes["param"]]
    operands = [o.value if isinstance(o, Weak) else values[o] for o in node.operands]
    if name == "window":
        return pto.load(params[attributes["param"]], offset=tuple(operands), shape=node.type.shape)
    if name == "for":
        return _traced_loop(node, values, params, operands)
    if name == "cast":
        return pto.cast(operands[0], node.type.dtype)
    if name in ("reshape", "broadcast"):
        return getattr(pto, name)(operands[0], node.type.shape)
    if name == "slice":
        return pto.slice(operands[0], *attributes["at"], *node.type.shape)
    if name in ("row_index", "column_index", "iota_u32"):
        return getattr(pto, name)(rows=node.type.rows, columns=node.type.columns)
    if name in ("topk_values", "topk_indices"):
        return getattr(pto, name)(operands[0], node.type.columns)
    return getattr(pto, name)(*operands, **attributes)


def _traced_loop(
    node: Node, values: dict[int, Any], params: dict[str, Any], operands: list[Any]
) -> Any:
    first = node.attributes["first"]

    def body(index: Any, carry: Any) -> Any:
        inner = {**values, first: index, first + 1: carry}
        for number, each in enumerate(node.body, first + 2):
            inner[number] = traced(each, inner, params)
        return inner[node.attributes["yield"]]

    return pto.fori_loop(operands[0], operands[1], body, operands[2])


@dataclasses.dataclass(frozen=True)
class Program:
    """Nodes, and the numbers of those that are stored."""

    nodes: tuple[Node, ...]
    outputs: tuple[int, ...]

    @property
    def params(self) -> dict[str, Type]:
        """Of tiles and scalars; a parameter of several nodes is one."""
        found = {}
        for node in self.nodes:
            if "param" in node.attributes:
                found.setdefault(node.attributes["param"], node.attributes["type"])
        return found

    def scalars(self) -> set[str]:
        return {n.attributes["param"] for n in self.nodes if n.name == "s"}

    def stored_type(self, output: int) -> Type:
        kind = self.nodes[output].type
        return Type(kind.dtype or DType.U8, kind.rows, kind.columns)

    def build(self) -> KernelRef:
        """Traced through `pto.*`; outputs come behind the parameters."""

        def body(*arguments: Any) -> None:
            params = dict(zip(annotations, arguments))
            values: dict[int, Any] = {}
            for number, node in enumerate(self.nodes):
                values[number] = traced(node, values, params)
            for number in self.outputs:
                value = values[number]
                if self.nodes[number].type.dtype is None:
                    value = pto.where(value, pto.constant(1, DType.U8), 0)
                pto.store(params[f"o{number}"], value)

        scalars = self.scalars()
        annotations: dict[str, Any] = {
            name: Scalar[t.dtype] if name in scalars else In[Tile[t.rows, t.columns, t.dtype]]
            for name, t in self.params.items()
        }
        for number in self.outputs:
            t = self.stored_type(number)
            annotations[f"o{number}"] = Out[Tile[t.rows, t.columns, t.dtype]]
        body.__annotations__ = annotations
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        body.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, kind) for name in annotations]
        )
        return kernel(body)

    def __str__(self) -> str:
        lines = [f"  {i}: {node}" for i, node in enumerate(self.nodes)]
        return "\n".join([*lines, f"  stored: {self.outputs}"])
