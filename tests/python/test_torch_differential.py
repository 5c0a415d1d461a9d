"""Random programs against PyTorch, node by node, where it means the same; skipped without it."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pto_wsp import DType
from random_programs import Maker
from test_random_programs import (
    all_data,
    bytes_of_choices,
    compiled,
    many,
    report,
    run,
    wrong_places,
)
from tile_programs import Array, Choices, Node, Weak, interpret

torch = pytest.importorskip("torch", reason="PyTorch is not installed: make bench installs it")

FUNCTIONS = {
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "cos": torch.cos,
    "erf": torch.erf,
    "sigmoid": torch.sigmoid,
    "silu": torch.nn.functional.silu,
    # PyTorch's own loses what 1 + erf(x / sqrt 2) cancels.
    "gelu": lambda x: x * 0.5 * torch.special.erfc(x * -math.sqrt(0.5)),
    "softmax": lambda x: torch.softmax(x, dim=1),
}
EXACT = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "eq": torch.eq,
    "ne": torch.ne,
    "where": torch.where,
    "neg": torch.neg,
    "abs": torch.abs,
    "relu": torch.relu,
    "transpose": lambda x: x.T,
    "rowmax": lambda x: x.amax(dim=1, keepdim=True),
    "rowmin": lambda x: x.amin(dim=1, keepdim=True),
    "colmax": lambda x: x.amax(dim=0, keepdim=True),
    "colmin": lambda x: x.amin(dim=0, keepdim=True),
}
KNOWN = (
    np.float16,
    np.float32,
    np.float64,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    np.uint8,
    np.bool_,
)


def tensor(array: Array) -> Any:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.uint16).astype(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(array))


def array(result: Any) -> Array:
    if result.dtype is torch.bfloat16:
        return result.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return result.numpy()


def by_torch(node: Node, operands: list[Array]) -> Array | None:
    """None where PyTorch has other types or another meaning."""
    tiles = [o for o in operands if o.dtype != np.bool_]
    if any(isinstance(o, Weak) for o in node.operands) or len({o.dtype for o in tiles}) != 1:
        return None
    if any(o.dtype.type not in (*KNOWN, ml_dtypes.bfloat16) for o in operands):
        return None
    # A last bit of erfc's argument is many of its value; PyTorch's root may be off by a bit.
    if node.name in ("gelu", "sqrt") and tiles[0].dtype == np.float64:
        return None
    given_tensors = [tensor(o) for o in operands]
    if node.name in FUNCTIONS:
        # In F32 where the tile is narrower, and rounded once, as the kernels do.
        wide = given_tensors[0].to(torch.float64)
        return array(FUNCTIONS[node.name](wide).to(given_tensors[0].dtype))
    if node.name in EXACT:
        return array(EXACT[node.name](*given_tensors))
    if node.name in ("rowsum", "colsum") and node.type.dtype is not DType.U32:
        total = given_tensors[0].to(getattr(torch, node.type.dtype.numpy.name))  # type: ignore[union-attr]
        return array(
            total.sum(dim=1 if node.name == "rowsum" else 0, keepdim=True, dtype=total.dtype)
        )
    return None


@pytest.mark.property
@given(data=bytes_of_choices, seed=st.integers(0, 2**32))
@many(40)
def test_nodes(data: bytes, seed: int) -> None:
    program = Maker(Choices(data), exact=False).make()
    call = compiled(program.build(), "native")
    for inputs in all_data(program, seed):
        stored = run(program, call, inputs)
        values = dict(stored)
        for i, node in enumerate(program.nodes):
            if i not in stored:
                values[i] = interpret(node, values, inputs)
        for i in program.outputs:
            node = program.nodes[i]
            operands = [values[o] for o in node.operands if isinstance(o, int)]
            wanted = by_torch(node, operands) if operands else None
            if wanted is not None:
                wrong = wrong_places(node, stored[i], wanted, operands)
                report(program, i, stored[i], wanted, wrong, operands)
