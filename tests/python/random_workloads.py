"""Makes random workloads with axes of every kind, branches, slots and ragged data, runs them, and
compares with a sequential interpreter. As a program: checks some on the workers of its process."""

from __future__ import annotations

import copy
import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pto_wsp
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pto_wsp import (
    DenseDyn,
    DType,
    In,
    InOut,
    Out,
    P,
    Ragged,
    Range,
    Scalar,
    Sparse,
    Symbol,
    Tensor,
    Tile,
    kernel,
    pto,
    slot_load_u64,
    slot_set_u64,
    workload,
)
from pto_wsp.scalar_expr import ScalarExpr, slot_u64, symbol_u64
from tile_programs import Choices

PLACES = 12
Row = Tile[1, 4, DType.F32]
Block = Tile[4, 4, DType.F32]


@kernel
def add(x: In[Row], y: InOut[Row]):
    pto.store(y, pto.load(y) * 0.5 + pto.load(x) * 0.25)


@kernel
def replace(x: In[Row], y: Out[Row]):
    pto.store(y, pto.load(x) * 0.5 + 1)


@kernel
def count(y: InOut[Row], n: Scalar[DType.I32]):
    pto.store(y, pto.load(y) * 0.5 + n)


@kernel
def decide(x: In[Row], y: Out[Tile[1, 4, DType.I32]]):
    pto.store(y, pto.cast(pto.minimum(pto.maximum(pto.load(x), 0.0), 50.0), DType.I32))


@kernel
def part(x: InOut[Block]):
    pto.store(x, pto.load(x) * 0.5 + 1)


def interpreted(name: str, arrays: dict[str, Any], places: list[int], number: int) -> None:
    """What a task of the kernel does."""
    half = np.float32(0.5)
    A, D, B = arrays["A"], arrays["D"], arrays["B"]
    x, y = places
    if name == "add":
        A[y] = A[y] * half + A[x] * np.float32(0.25)
    elif name == "replace":
        A[y] = A[x] * half + 1
    elif name == "count":
        A[y] = A[y] * half + np.float32(number)
    elif name == "decide":
        D[y] = np.clip(A[x], 0, 50).astype(np.int32)
    else:
        B[x][:number] = B[x][:number] * half + 1


@dataclasses.dataclass
class Data:
    """What may be another in each run."""

    lengths: list[int]
    indptr: list[int]
    indices: list[int]
    size: int
    symbol: int

    @staticmethod
    def of(choices: Choices) -> Data:
        lengths = [choices.below(4) for _ in range(PLACES)]
        indptr = np.cumsum([0] + [choices.below(3) for _ in range(PLACES)]).tolist()
        indices = [choices.below(PLACES) for _ in range(indptr[-1])]
        return Data(lengths, indptr, indices, choices.below(5), choices.below(5))


# Expressions are functions of the scope they stand in: of run-time values, or of numbers.
Expr = Callable[["Scope"], Any]


@dataclasses.dataclass
class Statement:
    kind: str
    name: str = ""
    exprs: tuple[Expr, ...] = ()
    bodies: tuple[list[Statement], ...] = ()
    number: int = 0


class Scope:
    """The values of the loop variables around, and what tables, symbols and slots are."""

    def __init__(self, lengths: Any, symbol: Any, slot: Callable[[int], Any]) -> None:
        self.variables: list[Any] = []
        self.lengths = lengths
        self.symbol = symbol
        self.slot = slot


class Maker:
    """Makes statements out of choices."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.depth = 0

    def number(self) -> Expr:
        """A run-time value in 0...PLACES - 1."""
        below = self.choices.below
        which = below(len(KINDS_OF_NUMBER))
        small = below(PLACES)
        variable = self.variable()

        def value(scope: Scope) -> Any:
            return KINDS_OF_NUMBER[which](scope, variable, small) % PLACES

        return value

    def variable(self) -> Callable[[Scope], Any]:
        which = self.choices.below(8)
        return lambda scope: scope.variables[which % len(scope.variables)] if scope.variables else 3

    def body(self, tasks: int) -> list[Statement]:
        self.depth += 1
        made = [self.statement(tasks) for _ in range(1 + self.choices.below(3))]
        self.depth -= 1
        return made

    def statement(self, tasks: int) -> Statement:
        choices = self.choices
        which = choices.below(10)
        if self.depth < 5 and which < 4 and tasks < 120:
            kind = choices.of(LOOPS)
            value = self.variable() if kind == "from" else self.number()
            return Statement(kind, "", (value,), (self.body(tasks * 3),), choices.below(4))
        if self.depth < 5 and which == 4:
            bodies = tuple(self.body(tasks) for _ in range(1 + choices.below(3)))
            exprs = tuple(self.number() for _ in bodies)
            return Statement("branch", "", exprs, bodies, choices.below(8))
        if which == 5:
            return Statement("set", "", (self.number(),), (), choices.below(3))
        if which == 6:
            return Statement("load", "", (self.number(),), (), choices.below(12))
        name = choices.of(["add", "add", "replace", "count", "decide", "part"])
        return Statement("task", name, (self.number(), self.number(), self.number()))


KINDS_OF_NUMBER: list[Callable[[Scope, Any, int], Any]] = [
    lambda scope, variable, small: small,
    lambda scope, variable, small: variable(scope) + small,
    lambda scope, variable, small: 2 * variable(scope) + 1,
    lambda scope, variable, small: scope.lengths(variable(scope) % PLACES) + small,
    lambda scope, variable, small: scope.symbol + variable(scope),
    lambda scope, variable, small: scope.slot(small % 3),
    lambda scope, variable, small: (variable(scope) + small) // 2,
    lambda scope, variable, small: variable(scope),
]
LOOPS = [
    "dense", "sequence", "dynamic", "pipe", "range", "symbol", "row", "flat", "selected", "all",
    "triangle", "from",
]  # fmt: skip


class Interpreter:
    """Runs the statements one by one."""

    def __init__(self, data: Data, arrays: dict[str, Any]) -> None:
        self.data = data
        self.arrays = arrays
        self.slots = [0] * 3
        self.tasks = 0
        self.scope = Scope(data.lengths.__getitem__, data.symbol, self.slots.__getitem__)

    def run(self, body: list[Statement]) -> None:
        for each in body:
            if each.kind == "task":
                self.task(each)
            elif each.kind == "set":
                self.slots[each.number] = each.exprs[0](self.scope)
            elif each.kind == "load":
                row = each.exprs[0](self.scope)
                self.slots[each.number % 3] = int(self.arrays["D"][row, each.number // 3])
            elif each.kind == "branch":
                self.branch(each)
            else:
                for i in self.values(each):
                    self.scope.variables.append(i)
                    self.run(each.bodies[0])
                    self.scope.variables.pop()

    def task(self, each: Statement) -> None:
        self.tasks += 1
        x, y, n = (expr(self.scope) for expr in each.exprs)
        interpreted(each.name, self.arrays, [x, y], n % 5 if each.name == "part" else n)

    def branch(self, each: Statement) -> None:
        for i, (expr, body) in enumerate(zip(each.exprs, each.bodies, strict=True)):
            last = i > 0 and i + 1 == len(each.bodies)
            if last or expr(self.scope) < each.number:
                self.run(body)
                break

    def values(self, each: Statement) -> Any:
        data, value = self.data, each.exprs[0](self.scope)
        if each.kind == "selected":
            return data.indices[data.indptr[value] : data.indptr[value + 1]]
        return {
            "dense": range(each.number),
            "sequence": range(each.number),
            "pipe": range(each.number + 1),
            "dynamic": range(data.size),
            "range": range(each.number, each.number + 6, 2),
            "symbol": range(data.symbol),
            "row": range(data.lengths[value % PLACES]),
            "flat": range(sum(data.lengths)),
            "all": data.indices,
            "triangle": range(max(4 - value, 0)),
            "from": range(value, value + each.number),
        }[each.kind]


class Build:
    """Builds the workload of the statements, and its program."""

    def __init__(self, body: list[Statement], data: Data, arrays: dict[str, Any]) -> None:
        self.A, self.D, self.B = (Tensor(arrays[name], name=name) for name in "ADB")
        self.rows = Ragged(PLACES, data.lengths)
        self.places = Sparse(PLACES, data.indptr, data.indices)
        self.size = DenseDyn(Symbol("size"))
        self.kernels = {"add": add, "replace": replace, "count": count, "decide": decide}
        # The length of a row that is a number would be a number, the same in all runs.
        self.scope = Scope(lambda row: self.rows.length(ScalarExpr(row)), symbol_u64("n"), slot_u64)

        @workload
        def random():
            # Known to the program whether or not a statement uses them.
            with P.when((symbol_u64("n") + symbol_u64("size")) < 0):
                count(self.A[0], 0)
            with P.otherwise():
                pass
            self.statements(body)

        self.program = random().compile()
        self.start(data)

    def start(self, data: Data) -> None:
        self.program.set_symbol_u64("n", data.symbol)
        self.program.set_symbol_u64("size", data.size)

    def statements(self, body: list[Statement]) -> None:
        for each in body:
            exprs = [expr(self.scope) for expr in each.exprs] if each.kind != "branch" else []
            if each.kind == "task":
                self.task(each.name, *exprs)
            elif each.kind == "set":
                slot_set_u64(each.number, exprs[0])
            elif each.kind == "load":
                slot_load_u64(each.number % 3, self.D, exprs[0], each.number // 3)
            elif each.kind == "branch":
                self.branch(each)
            else:
                for i in self.loop(each, exprs[0]):
                    self.scope.variables.append(i)
                    self.statements(each.bodies[0])
                    self.scope.variables.pop()

    def task(self, name: str, x: Any, y: Any, n: Any) -> None:
        if name == "part":
            part(self.B[x].valid(rows=n % 5))
        elif name == "count":
            count(self.A[y], n)
        else:
            self.kernels[name](self.A[x], (self.D if name == "decide" else self.A)[y])

    def branch(self, each: Statement) -> None:
        for i, (expr, body) in enumerate(zip(each.exprs, each.bodies, strict=True)):
            if i > 0 and i + 1 == len(each.bodies):
                with P.otherwise():
                    self.statements(body)
            else:
                with P.when(expr(self.scope) < each.number):
                    self.statements(body)
        if len(each.bodies) == 1:
            # Or it would be the first case of a branch right behind it.
            with P.otherwise():
                pass

    def loop(self, each: Statement, value: Any) -> Any:
        value = ScalarExpr(value)  # A number would give the list of a row, not its axis.
        makers: dict[str, Callable[[], Any]] = {
            "dense": lambda: P(each.number),
            "sequence": lambda: P.seq(each.number),
            "pipe": lambda: P.pipe(each.number + 1, depth=2),
            "dynamic": lambda: P(self.size),
            "range": lambda: P(range(each.number, each.number + 6, 2)),
            "symbol": lambda: P.seq(Symbol("n")),
            "row": lambda: P(self.rows[value]),
            "flat": lambda: P(self.rows),
            "selected": lambda: P.sel(self.places[value]),
            "all": lambda: P.sel(self.places),
            "triangle": lambda: P(4 - value),
            "from": lambda: P(Range(value, value + each.number)),
        }
        return makers[each.kind]()


def check(text: bytes) -> None:
    """Runs the workload of these choices twice, with other data, and without compiling again."""
    choices = Choices(text)
    data, other = Data.of(choices), Data.of(choices)
    body = Maker(choices).body(1)
    arrays = {
        "A": np.arange(PLACES * 4, dtype=np.float32).reshape(PLACES, 4) % 7,
        "D": np.arange(PLACES * 4, dtype=np.int32).reshape(PLACES, 4) % 5,
        "B": np.arange(PLACES * 16, dtype=np.float32).reshape(PLACES, 4, 4) % 11,
    }
    wanted = copy.deepcopy(arrays)
    build = Build(body, data, arrays)
    for now in (data, other):
        if now is other:
            generated = pto_wsp._native.generated_objects()
            build.start(other)
            bound = {
                "rows": Ragged(PLACES, other.lengths),
                "places": Sparse(PLACES, other.indptr, other.indices),
            }
            rebind(build, bound)
        interpreter = Interpreter(now, wanted)
        interpreter.run(body)
        build.program.execute()
        assert build.program.synchronize(60)
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, wanted[name], err_msg=name)
        assert build.program.stats.task_count == interpreter.tasks
    assert pto_wsp._native.generated_objects() == generated


def rebind(build: Build, bound: dict[str, Any]) -> None:
    for axis, new in ((build.rows, bound["rows"]), (build.places, bound["places"])):
        for old, source in zip(axis.sources, new.sources, strict=True):
            old.data = source.data


def main(count_of_examples: int) -> None:
    @settings(
        max_examples=count_of_examples,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        database=None,
    )
    @given(st.binary(min_size=400, max_size=400))
    def every(text: bytes) -> None:
        check(text)

    every()


if __name__ == "__main__":
    import conftest  # noqa: F401  the profile of random tests

    main(int(sys.argv[1]))
