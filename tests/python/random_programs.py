"""Makes random tile programs and data for them, out of choices that Hypothesis makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from pto_wsp import DType
from tile_programs import (
    ALL,
    COMPARISONS,
    FLOATS,
    FUNCTIONS,
    INTEGERS,
    LOOSE_SUMS,
    MOST_ELEMENTS,
    NUMPY,
    SIGNED,
    SIZES,
    UNSIGNED,
    Array,
    Choices,
    Node,
    Program,
    Type,
    Weak,
    product_type,
    promoted,
    sum_type,
)

LEAST_NODES = 20


class Maker:
    """Grows one program.

    `exact`: of operations that have one right answer alone, so that whole programs can be compared
    bit by bit. `whole`: without operations that fix a size or move elements between rows, which
    partial tiles refuse.
    """

    def __init__(self, choices: Choices, *, exact: bool, whole: bool = True) -> None:
        self.choices = choices
        self.exact = exact
        self.whole = whole
        self.nodes: list[Node] = []
        self.params = 0
        self.in_loop = False
        self.sizes = [choices.of(SIZES if whole else (7, 33)) for _ in range(3)]
        if not whole:
            self.sizes[1] = 17

    def make(self) -> Program:
        rows, columns, _ = self.sizes
        shapes = [(rows, columns), (rows, 1), (1, columns), (1, 1)]
        if self.whole:
            shapes += [(columns, rows), (columns, self.sizes[2])]
        for i in range(4):
            self.input(self.choices.of(ALL), self.choices.of(shapes) if i else shapes[0])
        self.scalar(self.choices.of(ALL), (0, 9))
        self.scalar(DType.I32, (-1, 3))
        wanted = len(self.nodes) + LEAST_NODES + self.choices.below(8)
        for _ in range(10 * wanted):
            if len(self.nodes) >= wanted:
                break
            self.step()
        return Program(tuple(self.nodes), self.outputs())

    def outputs(self) -> tuple[int, ...]:
        """All, or in an exact program those that nothing uses."""
        if not self.exact:
            return tuple(i for i, n in enumerate(self.nodes) if n.name not in ("x", "s"))
        used = {o for n in self.nodes for o in n.operands if not isinstance(o, Weak)}
        used |= {o for n in self.nodes for b in n.body for o in b.operands if isinstance(o, int)}
        return tuple(
            i for i, n in enumerate(self.nodes) if i not in used and n.name not in ("x", "s")
        )

    def step(self) -> None:
        steps = [*[self.elementwise] * 5, *[self.unary] * 3, self.where, self.cast]
        if not self.in_loop:
            steps += [self.reduction, self.reduction, self.matmul, self.causal, self.move]
            steps += [self.loop] + ([self.window, self.index, self.sort] if self.whole else [])
        self.choices.of(steps)()

    def add(self, name: str, operands: tuple[Any, ...], kind: Type, **attributes: Any) -> int:
        self.nodes.append(Node(name, operands, kind, attributes))
        return len(self.nodes) - 1

    def input(self, dtype: DType, shape: tuple[int, int]) -> int:
        return self.param("x", Type(dtype, *shape))

    def scalar(self, dtype: DType, limits: tuple[int, int]) -> int:
        return self.param("s", Type(dtype, 1, 1), limits=limits)

    def param(self, name: str, kind: Type, **attributes: Any) -> int:
        self.params += 1
        return self.add(name, (), kind, param=f"p{self.params}", type=kind, **attributes)

    def type(self, number: int) -> Type:
        return self.nodes[number].type

    def those(self, fits: Callable[[Type], bool]) -> list[int]:
        return [i for i, n in enumerate(self.nodes) if n.type.dtype is not None and fits(n.type)]

    def one(self, fits: Callable[[Type], bool] = lambda t: True) -> int | None:
        """A value that fits, rather a late one."""
        found = self.those(fits)
        if not found:
            return None
        return self.choices.of(found[-6:] if self.choices.below(3) else found)

    def number(self, dtype: DType) -> Weak:
        if dtype in FLOATS:
            return Weak(self.choices.of([0.5, -1.0, 2, 3.0, -0.375, 0.0, 1e-3, 7]))
        return Weak(self.choices.of([1, 2, 3, 7, 0, 5] + ([-1, -3] if dtype in SIGNED else [])))

    @staticmethod
    def meet(a: Type, b: Type) -> tuple[int, int] | None:
        shape = []
        for x, y in zip(a.shape, b.shape):
            if x != y and 1 not in (x, y):
                return None
            shape.append(max(x, y))
        return (shape[0], shape[1]) if shape[0] * shape[1] <= MOST_ELEMENTS else None

    def pair(self) -> tuple[tuple[Any, Any], DType, tuple[int, int]] | None:
        """Two operands that broadcast, one of them perhaps a number."""
        a = self.one()
        assert a is not None
        first = self.type(a)
        assert first.dtype is not None
        if self.choices.below(6) == 0:
            number = self.number(first.dtype)
            operands = (a, number) if self.choices.below(2) else (number, a)
            return operands, first.dtype, first.shape
        b = self.one(lambda t: self.meet(first, t) is not None)
        assert b is not None
        shape = self.meet(first, self.type(b))
        second = self.type(b).dtype
        assert shape is not None and second is not None
        return (a, b), promoted(first.dtype, second), shape

    def elementwise(self) -> None:
        names = ["add", "sub", "mul", "maximum", "minimum", "div", "floordiv", "mod", *COMPARISONS]
        name = self.choices.of(names)
        operands, dtype, shape = self.pair()  # type: ignore[misc]
        if (name == "div" and dtype in INTEGERS) or (
            name in ("floordiv", "mod") and dtype in FLOATS
        ):
            name = "sub"
        if name == "div" and self.exact:
            operands = (operands[0], self.not_zero(operands[1]))
            if operands[1] is None:
                return
        self.add(name, operands, Type(None if name in COMPARISONS else dtype, *shape))

    def not_zero(self, divisor: Any) -> Any:
        """Where the divisor is 0 a 2: which zero it is must not show in exact programs."""
        if isinstance(divisor, Weak):
            return divisor if divisor.value else Weak(2)
        kind = self.type(divisor)
        zero = self.add("eq", (divisor, Weak(0)), Type(None, *kind.shape))
        return self.add("where", (zero, Weak(2), divisor), kind)

    def unary(self) -> None:
        names = ["neg", "abs", "relu", "sqrt"]
        names += [] if self.exact or self.in_loop else [n for n in FUNCTIONS for _ in range(2)]
        name = self.choices.of(names)
        floats_only = name in FUNCTIONS or name == "sqrt"
        x = self.one(lambda t: t.dtype in FLOATS if floats_only else True)
        if x is not None and (name != "softmax" or self.type(x).columns > 1):
            self.add(name, (x,), self.type(x))

    def where(self) -> None:
        masks = [i for i, n in enumerate(self.nodes) if n.type.dtype is None]
        operands, dtype, shape = self.pair()  # type: ignore[misc]
        if masks:
            mask = self.choices.of(masks)
            met = self.meet(self.type(mask), Type(dtype, *shape))
            if met is not None:
                self.add("where", (mask, *operands), Type(dtype, *met))

    def cast(self) -> None:
        x = self.one()
        assert x is not None
        to = self.choices.of(ALL)
        if to is not self.type(x).dtype:
            self.add("cast", (x,), Type(to, *self.type(x).shape))

    def reduction(self) -> None:
        name = self.choices.of(
            ["rowsum", "rowmax", "rowmin", "rowmean", "colsum", "colmax", "colmin"]
        )
        loose = name in LOOSE_SUMS
        x = self.one(
            lambda t: max(t.shape) > 1 and not (self.exact and loose and t.dtype in FLOATS)
        )
        if x is None:
            return
        kind = self.type(x)
        assert kind.dtype is not None
        dtype = sum_type(kind.dtype) if loose else kind.dtype
        self.add(
            name,
            (x,),
            Type(dtype, kind.rows, 1) if name[0] == "r" else Type(dtype, 1, kind.columns),
        )

    def matmul(self) -> None:
        flags = {f"trans_{x}": bool(self.choices.below(2)) for x in "ab"}
        integral = (lambda t: t.dtype in INTEGERS) if self.exact else (lambda t: True)
        a = self.one(integral)
        if a is None:
            return
        m, k = self.type(a).shape[:: -1 if flags["trans_a"] else 1]
        b = self.one(lambda t: integral(t) and t.shape[1 if flags["trans_b"] else 0] == k)
        if b is None:
            return
        n = self.type(b).shape[0 if flags["trans_b"] else 1]
        kind = promoted(self.type(a).dtype, self.type(b).dtype)  # type: ignore[arg-type]
        if m * n * k > 200000 or m * n > MOST_ELEMENTS or (self.exact and kind in FLOATS):
            return
        result = Type(product_type(kind), m, n)
        acc = self.one(lambda t: t == result) if self.choices.below(2) else None
        self.add("matmul", (a, b) if acc is None else (a, b, acc), result, **flags)

    def causal(self) -> None:
        x = self.one(lambda t: t.dtype in FLOATS)
        offset = self.one(lambda t: t == Type(DType.I32, 1, 1)) if self.choices.below(2) else None
        if x is not None:
            self.add("causal_mask", (x,) if offset is None else (x, offset), self.type(x))

    def move(self) -> None:
        names = ["transpose"] + ["slice_even", "slice_odd", "interleave"] * self.whole
        names += ["reshape", "broadcast", "slice"] * self.whole
        name = self.choices.of(names)
        x = self.one()
        assert x is not None
        kind = self.type(x)
        rows, columns = kind.shape
        if name == "transpose":
            self.add(name, (x,), Type(kind.dtype, columns, rows))
        elif name == "slice_even":
            self.add(name, (x,), Type(kind.dtype, rows, (columns + 1) // 2))
        elif name == "slice_odd" and columns > 1:
            self.add(name, (x,), Type(kind.dtype, rows, columns // 2))
        elif name == "interleave" and 2 * rows * columns <= MOST_ELEMENTS:
            y = self.one(lambda t: t == kind)
            self.add(name, (x, y), Type(kind.dtype, rows, 2 * columns))
        elif name == "reshape":
            shape = self.choices.of([(columns, rows), (1, rows * columns), (rows * columns, 1)])
            self.add(name, (x,), Type(kind.dtype, *shape))
        elif name == "broadcast" and 1 in kind.shape:
            to = (rows if rows > 1 else self.sizes[0], columns if columns > 1 else self.sizes[1])
            if to[0] * to[1] <= MOST_ELEMENTS:
                self.add(name, (x,), Type(kind.dtype, *to))
        elif name == "slice":
            height, width = 1 + self.choices.below(rows), 1 + self.choices.below(columns)
            at = (self.choices.below(rows - height + 1), self.choices.below(columns - width + 1))
            self.add(name, (x,), Type(kind.dtype, height, width), at=at)

    def window(self) -> None:
        """Of a parameter, at a place that may be known at run time only."""
        inputs = [n for n in self.nodes if n.name == "x"]
        whole = self.choices.of(inputs)
        place, shape = [], []
        for size in whole.type.shape:
            extent = 1 + self.choices.below(size)
            shape.append(extent)
            if self.choices.below(3) == 0:
                place.append(self.scalar(DType.I32, (0, size - extent)))
            else:
                place.append(Weak(self.choices.below(size - extent + 1)))
        param = whole.attributes["param"]
        self.add(
            "window", tuple(place), Type(whole.type.dtype, *shape), param=param, type=whole.type
        )

    def index(self) -> None:
        name = self.choices.of(["row_index", "column_index", "iota_u32"])
        shape = (self.choices.of([1, self.sizes[0]]), self.choices.of([1, self.sizes[1]]))
        self.add(name, (), Type(DType.U32 if name == "iota_u32" else DType.I32, *shape))

    def sort(self) -> None:
        name = self.choices.of(["topk_values", "topk_indices"])
        x = self.one(lambda t: t.columns > 1 and t.rows * t.columns <= 3500)
        if x is not None:
            kind = self.type(x)
            dtype = DType.U32 if name == "topk_indices" else kind.dtype
            self.add(
                name, (x,), Type(dtype, kind.rows, 1 + self.choices.below(min(kind.columns, 8)))
            )

    def loop(self) -> None:
        """A carried tile, changed by exact operations on it, the index and what is outside."""
        carry = self.one(lambda t: t.rows * t.columns <= 3500)
        bound = self.one(lambda t: t == Type(DType.I32, 1, 1))
        scalars = [
            i for i, n in enumerate(self.nodes) if n.name == "s" and n.type.dtype is DType.I32
        ]
        if carry is None or bound is None:
            return
        lo = Weak(self.choices.of([0, 1, 2]))
        hi = self.choices.of(scalars) if self.choices.below(2) else Weak(self.choices.below(4))
        first, kind = len(self.nodes), self.type(carry)
        assert kind.dtype is not None
        self.add("index", (), Type(DType.I32, 1, 1))
        self.add("carry", (), kind)
        self.in_loop, was_exact, self.exact = True, self.exact, True
        for _ in range(1 + self.choices.below(4)):
            self.step()
        fitting = [i for i in self.those(lambda t: t == kind) if i >= first + 2]
        last = (
            fitting[-1] if fitting else self.add("add", (first + 1, self.number(kind.dtype)), kind)
        )
        self.in_loop, self.exact = False, was_exact
        body = tuple(self.nodes[first + 2 :])
        del self.nodes[first:]
        attributes = {"first": first, "yield": last}
        self.nodes.append(Node("for", (lo, hi, carry), kind, attributes, body))


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]


def numbers(dtype: DType, shape: tuple[int, int], rng: np.random.Generator, flavour: int) -> Array:
    """Flavours: ordinary, small whole numbers, with what is special, of any magnitude."""
    if dtype in INTEGERS:
        info = np.iinfo(dtype.numpy)
        if flavour < 2:
            return rng.integers(0 if dtype in UNSIGNED else -10, 11, shape).astype(dtype.numpy)
        values = rng.integers(info.min, info.max, shape, dtype=dtype.numpy, endpoint=True)
        extremes = np.array([info.min, info.max, 0, 1, info.max // 2], dtype.numpy)
        return np.where(rng.random(shape) < 0.2, rng.choice(extremes, shape), values)
    limits = {DType.F16: (-24, 15), DType.BF16: (-133, 127), DType.F32: (-149, 127)}
    low, high = limits.get(dtype, (-1074, 1023))
    with np.errstate(all="ignore"):
        if flavour == 0:
            values = rng.uniform(-4, 4, shape)
        elif flavour == 1:
            values = rng.integers(-3, 4, shape).astype(np.float64)
        elif flavour == 2:
            special = [*SPECIAL, 2.0**low, -(2.0**low), 2.0**high * 1.99, 2.0 ** (low + 9)]
            chosen = rng.choice(np.array(special), shape)
            values = np.where(rng.random(shape) < 0.15, chosen, rng.normal(size=shape))
        else:
            values = np.ldexp(rng.uniform(-2, 2, shape), rng.integers(low, high, shape))
        return values.astype(NUMPY[dtype])


def data_for(program: Program, seed: int, flavour: int) -> dict[str, Array]:
    """An array for each parameter; scalars are [1, 1]."""
    rng = np.random.default_rng(seed)
    limits = {n.attributes["param"]: n.attributes["limits"] for n in program.nodes if n.name == "s"}
    made = {}
    for name, kind in program.params.items():
        assert kind.dtype is not None
        if name in limits:
            low, high = limits[name]
            made[name] = np.full((1, 1), rng.integers(low, high + 1)).astype(NUMPY[kind.dtype])
        else:
            made[name] = numbers(kind.dtype, kind.shape, rng, flavour)
    return made
