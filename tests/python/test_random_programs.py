"""Random programs of 20 nodes and more: compiled, evaluated and interpreted by NumPy.

Of a *loose* program every node is stored and compared with what NumPy makes of the operands that
were stored beside it, within the tolerance of that one operation. An *exact* program stores what
is left over at its end, so that its nodes are fused as in a user's kernel, and equals NumPy bit by
bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pto_wsp._pto_wsp as native
import pytest
from conftest import examples
from helpers import reference
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pto_wsp import DType, KernelRef, Tensor
from random_programs import Maker, data_for
from targets import TARGETS, compiling_for
from tile_programs import (
    ANY_ZERO,
    FUNCTIONS,
    LOOSE_SUMS,
    NUMPY,
    Array,
    Choices,
    Node,
    Program,
    dtype_of,
    interpret,
)

# Relative errors of functions: 5 ulp and one rounding; half precision is computed in F32.
CLOSE = {DType.F16: 1e-3, DType.BF16: 8e-3, DType.F32: 1e-6, DType.F64: 4e-15}
SMALLEST = {DType.F16: 6e-8, DType.BF16: 1e-40, DType.F32: 3e-45, DType.F64: 1e-323}
# Below this exp of what is known to be negative may be 0.
FLUSHED = 2.0**-126
DATA_SETS = 4

bytes_of_choices = st.binary(min_size=1500, max_size=1500)


def run(program: Program, call: Callable[..., None], inputs: dict[str, Array]) -> dict[int, Array]:
    """The stored values by node, masks as such."""
    stored = {i: program.stored_type(i) for i in program.outputs}
    outs = {i: np.zeros(t.shape, NUMPY[t.dtype]) for i, t in stored.items() if t.dtype}
    scalars = program.scalars()
    call(*[a.item() if n in scalars else view(a) for n, a in inputs.items()],
         *[view(a) for a in outs.values()])  # fmt: skip
    return {
        i: a.astype(bool) if program.nodes[i].type.dtype is None else a for i, a in outs.items()
    }


def view(array: Array) -> Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return Tensor(array.view(np.uint16), dtype=DType.BF16)
    return Tensor(array)


# What is 0 where a mask hides it.
HIDING = ("softmax", "exp", "cast", "div", "mul")


def as_real(array: Array) -> Array:
    return array.astype(np.float64)


def wrong_places(node: Node, got: Array, wanted: Array, operands: list[Array]) -> Array:
    """Where the values are further from each other than the operation may be."""
    if got.dtype.kind in "iub":
        return got != wanted
    both_nan = np.isnan(as_real(got)) & np.isnan(as_real(wanted))
    same = (as_real(got) == as_real(wanted)) | both_nan
    if node.name not in ANY_ZERO and node.name not in (*LOOSE_SUMS, *FUNCTIONS):
        same &= (np.signbit(got) == np.signbit(wanted)) | both_nan | (as_real(wanted) != 0)
    dtype = dtype_of(got)
    with np.errstate(all="ignore"):
        error = np.abs(as_real(got) - as_real(wanted))
        if node.name in FUNCTIONS:
            room = CLOSE[dtype] * np.abs(as_real(wanted)) + 2 * SMALLEST[dtype]
            if node.name == "gelu":  # The oracle's tail is subnormal before the result is.
                room = room + SMALLEST[dtype] * np.abs(as_real(operands[0]))
            if node.name == "softmax":
                x = as_real(operands[0])
                room = room * (1 + np.abs(x - x.max(axis=1, keepdims=True))) + FLUSHED
            return ~(same | (error <= room))
        if node.name in LOOSE_SUMS:
            size, count = _sizes(node, operands)
            room = (count + 4) * np.finfo(NUMPY[dtype]).eps * size + 2 * count * SMALLEST[dtype]
            # A partial sum may pass the largest number where the result does not.
            total = size * count if node.name == "rowmean" else size
            unsure = total * 1.01 >= float(np.finfo(NUMPY[dtype]).max)
            return ~(same | unsure | (error <= room))
    return ~same


def _sizes(node: Node, operands: list[Array]) -> tuple[Array, int]:
    """The sum of what is added, without signs, and how many that are."""
    a = np.abs(as_real(operands[0]))
    if node.name != "matmul":
        axis = 1 if node.name.startswith("row") else 0
        total = a.sum(axis=axis, keepdims=True)
        return total / (a.shape[1] if node.name == "rowmean" else 1), a.shape[axis]
    b = np.abs(as_real(operands[1]))
    a = a.T if node.attributes["trans_a"] else a
    b = b.T if node.attributes["trans_b"] else b
    size = a @ b
    return size + (np.abs(as_real(operands[2])) if operands[2:] else 0), a.shape[1] + 1


def check_nodes(program: Program, inputs: dict[str, Array], stored: dict[int, Array]) -> None:
    """Each node against NumPy on the operands that were stored."""
    values = dict(stored)
    for i, node in enumerate(program.nodes):
        if i not in stored:
            values[i] = interpret(node, values, inputs)
    for i in program.outputs:
        node = program.nodes[i]
        operands = [values[o] for o in node.operands if isinstance(o, int)]
        with np.errstate(all="ignore"):
            wanted = interpret(node, values, inputs)
            wrong = wrong_places(node, stored[i], wanted, operands)
            # A key that a mask hides does not count, also when its value is NaN.
            if node.name == "matmul" and program.nodes[node.operands[0]].name in HIDING:
                skips = dataclasses.replace(
                    node, attributes={**node.attributes, "skip_zeros": True}
                )
                without = interpret(skips, values, inputs)
                wrong &= wrong_places(node, stored[i], without, operands)
        report(program, i, stored[i], wanted, wrong, operands)


def check_outputs(program: Program, inputs: dict[str, Array], stored: dict[int, Array]) -> None:
    """The whole program by NumPy."""
    values: dict[int, Array] = {}
    with np.errstate(all="ignore"):
        for i, node in enumerate(program.nodes):
            values[i] = interpret(node, values, inputs)
    for i in program.outputs:
        got, wanted = stored[i], values[i]
        wrong = got != wanted
        if got.dtype.kind not in "iub":
            wrong = (as_real(got) != as_real(wanted)) & ~(np.isnan(got) & np.isnan(wanted))
        report(program, i, got, wanted, wrong, [])


def report(
    program: Program, i: int, got: Array, wanted: Array, wrong: Array, operands: list[Array]
) -> None:
    assert got.shape == wanted.shape, f"node {i}: {got.shape}, not {wanted.shape}\n{program}"
    if not wrong.any():
        return
    place = tuple(np.argwhere(wrong)[0])
    at = [o[min(place[0], o.shape[0] - 1), min(place[1], o.shape[1] - 1)] for o in operands]
    raise AssertionError(
        f"node {i} ({program.nodes[i].name}): {got[place]!r}, not {wanted[place]!r} at {place} "
        f"({wrong.sum()} of {wrong.size}); operands there: {at}\n{program}"
    )


def compiled(kernel: KernelRef, target: str) -> Callable[..., None]:
    with compiling_for(target):
        return kernel.compile()


def all_data(program: Program, seed: int) -> list[dict[str, Array]]:
    return [data_for(program, seed + i, i) for i in range(DATA_SETS)]


def many(count: int) -> settings:
    # A program is not made simpler when it fails: what is left would need as many nodes.
    return settings(
        max_examples=examples(count),
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.property
@pytest.mark.parametrize("target", TARGETS)
@given(data=bytes_of_choices, seed=st.integers(0, 2**32))
@many(8)
def test_every_node_compiled(target: str, data: bytes, seed: int) -> None:
    program = Maker(Choices(data), exact=False).make()
    call = compiled(program.build(), target)
    for inputs in all_data(program, seed):
        check_nodes(program, inputs, run(program, call, inputs))


@pytest.mark.property
@pytest.mark.parametrize("target", TARGETS)
@given(data=bytes_of_choices, seed=st.integers(0, 2**32))
@many(12)
def test_exact_programs_compiled(target: str, data: bytes, seed: int) -> None:
    program = Maker(Choices(data), exact=True).make()
    call = compiled(program.build(), target)
    for inputs in all_data(program, seed):
        check_outputs(program, inputs, run(program, call, inputs))


@pytest.mark.property
@given(data=bytes_of_choices, seed=st.integers(0, 2**32))
@many(150)
def test_every_node_evaluated(data: bytes, seed: int) -> None:
    program = Maker(Choices(data), exact=False).make()
    kernel = program.build()
    for inputs in all_data(program, seed):
        stored = run(program, lambda *a: reference(kernel, *a), inputs)
        check_nodes(program, inputs, stored)


@pytest.mark.property
@given(data=bytes_of_choices, seed=st.integers(0, 2**32))
@many(150)
def test_exact_programs_evaluated(data: bytes, seed: int) -> None:
    program = Maker(Choices(data), exact=True).make()
    kernel = program.build()
    for inputs in all_data(program, seed):
        check_outputs(program, inputs, run(program, lambda *a: reference(kernel, *a), inputs))


def partial_run(
    program: Program, call: Callable[..., None], inputs: dict[str, Array], valid: dict[int, int]
) -> dict[int, Array]:
    """Like `run` with views of which the sizes in `valid` are less than declared."""
    scalars = program.scalars()

    def part(array: Array) -> Tensor:
        rows, columns = (valid.get(size, size) for size in array.shape)
        return view(array).valid(rows=rows, cols=columns)

    stored = {i: program.stored_type(i) for i in program.outputs}
    outs = {i: np.full(t.shape, 7, NUMPY[t.dtype]) for i, t in stored.items() if t.dtype}
    call(*[a.item() if n in scalars else part(a) for n, a in inputs.items()],
         *[part(a) for a in outs.values()])  # fmt: skip
    results = {}
    for i, array in outs.items():
        rows, columns = (valid.get(size, size) for size in array.shape)
        outside = array.copy()
        outside[:rows, :columns] = 7
        assert (outside == 7).all(), f"node {i} is written outside of its valid part\n{program}"
        results[i] = array[:rows, :columns]
        if program.nodes[i].type.dtype is None:
            results[i] = results[i].astype(bool)
    return results


def check_partial(
    data: bytes, seed: int, call_of: Callable[[KernelRef], Callable[..., None]]
) -> None:
    program = Maker(Choices(data), exact=False, whole=False).make()
    call = call_of(program.build())
    rows, columns = program.nodes[0].type.shape
    for i, inputs in enumerate(all_data(program, seed)):
        valid = {rows: 1 + (seed + i) % rows, columns: 1 + (seed // 7 + i) % columns}
        cut = {
            name: a[: valid.get(a.shape[0], a.shape[0]), : valid.get(a.shape[1], a.shape[1])]
            for name, a in inputs.items()
        }
        check_nodes(program, cut, partial_run(program, call, inputs, valid))


@pytest.mark.property
@pytest.mark.parametrize("target", TARGETS)
@given(data=bytes_of_choices, seed=st.integers(0, 2**32))
@many(6)
def test_partial_tiles_compiled(target: str, data: bytes, seed: int) -> None:
    check_partial(data, seed, lambda kernel: compiled(kernel, target))


@pytest.mark.property
@given(data=bytes_of_choices, seed=st.integers(0, 2**32))
@many(60)
def test_partial_tiles_evaluated(data: bytes, seed: int) -> None:
    check_partial(data, seed, lambda kernel: lambda *a: reference(kernel, *a))


@pytest.mark.property
@given(data=bytes_of_choices, exact=st.booleans())
@many(300)
def test_texts_of_programs_read_back(data: bytes, exact: bool) -> None:
    text = Maker(Choices(data), exact=exact).make().build().ir.dump()
    assert str(native.parse_tile_program(text)) == text
