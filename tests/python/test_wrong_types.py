"""Arguments of the wrong type: an error at the user's line that names the argument."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    Dense,
    DType,
    In,
    Out,
    P,
    PtoError,
    Scalar,
    Tensor,
    TensorLayout,
    Tile,
    TypeChecker,
    TypeCheckError,
    kernel,
    pto,
    tensor_layout_join,
    workload,
)

pytestmark = pytest.mark.error

A = np.zeros((4, 4), np.float32)
REPLICATED = TensorLayout.default(2)


@kernel
def read(x: In[Tile[4, 4, DType.F32]]):
    pto.exp(x)


@workload
def reads():
    for i in P(Dense[2]):
        read[i](A)


def looped(loops: Callable[[], Any]) -> None:
    @workload
    def body():
        for _ in loops():
            pass

    body()


TARGETS = "targets: cpu, cpu_sim"


@pytest.mark.parametrize(
    ("action", "text", "hint"),
    [
        (lambda: reads().compile(target=None), "compile: target is None, not a name", TARGETS),
        (lambda: read.compile(target=3), "compile: target is 3, not a name", TARGETS),
        (
            lambda: reads().compile(kernels=3),
            "compile: kernels is 3, not a dict of kernels and their steps",
            'kernels={kernel: [["vectorize", "y", {}]]}',
        ),
        (lambda: Dense[2**70], f"Dense: size {2**70} does not fit 64 bits", ""),
        (lambda: looped(lambda: P(2**63)), f"Dense: size {2**63} does not fit 64 bits", ""),
        (
            lambda: looped(lambda: P(Dense[3], names=3)),
            "P: names is 3, neither a name nor several",
            "",
        ),
        (
            lambda: looped(lambda: P(Dense[3], Dense[3], names=["a", "a"])),
            "P: two axes are named 'a'",
            "",
        ),
        (
            lambda: reads().compile().synchronize("1"),
            "synchronize: the timeout must be seconds >= 0, got '1'",
            "",
        ),
        (
            lambda: reads().compile().synchronize(-1),
            "synchronize: the timeout must be seconds >= 0, got -1",
            "",
        ),
        (
            lambda: reads().compile().synchronize(float("nan")),
            "synchronize: the timeout must be seconds >= 0, got nan",
            "",
        ),
        (
            lambda: Tensor(A, layout="R"),
            "Tensor: layout is 'R', not a TensorLayout",
            "TensorLayout.sharded(dim, rank)",
        ),
        (
            lambda: Tensor(A).with_layout(None),
            "Tensor: layout is None, not a TensorLayout",
            "TensorLayout.sharded(dim, rank)",
        ),
        (
            lambda: Tensor(A, location="moon"),
            "Tensor: location is 'moon'",
            "use one of Global, L2, UB, L1",
        ),
        (lambda: Tensor(A, name=3), "Tensor: name is 3, not a text", ""),
        (
            lambda: tensor_layout_join(REPLICATED, None),
            "tensor_layout_join: None is no TensorLayout",
            "",
        ),
        (
            lambda: TensorLayout(4),
            "TensorLayout: expected one entry for each dimension, got 4",
            "TensorLayout((TensorShard(0), TensorReplicate()))",
        ),
        (
            lambda: TensorLayout.sharded("0", 4),
            "TensorLayout: dim must be an integer, got '0'",
            "",
        ),
        (
            lambda: TensorLayout.default("4"),
            "TensorLayout: rank must be an integer >= 0, got '4'",
            "",
        ),
        (
            lambda: TensorLayout.default(-1),
            "TensorLayout: rank must be an integer >= 0, got -1",
            "",
        ),
        (lambda: TypeChecker().check(3), "TypeChecker: 3 is no workload", ""),
    ],
)
def test_wrong_types(action: Callable[[], Any], text: str, hint: str) -> None:
    with pytest.raises(TypeCheckError) as caught:
        action()
    error: PtoError = caught.value
    assert (error.text, error.hint) == (text, hint)
    assert error.at is not None
    assert error.at[0] == inspect.getfile(action)


def test_targets_that_come_later(fails) -> None:
    for target in ("ascend_npu", "ascend_sim"):
        for compiled in (reads().compile, read.compile):
            fails(
                CompileError,
                lambda compiled=compiled, target=target: compiled(target=target),
                f"compile: target '{target}' is not available yet",
                line=None,
                hint=TARGETS,
            )


@kernel
def copy(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]], n: Scalar[DType.I32] = 0):
    pto.store(y, x)


def test_masked_arrays(fails) -> None:
    def wrapped() -> None:
        Tensor(np.ma.masked_array(A, A == 0))

    text = "Tensor: the mask of a masked array would be ignored"
    fails(TypeCheckError, wrapped, text)


def test_results_whose_places_are_one_element(fails) -> None:
    repeated = np.lib.stride_tricks.as_strided(A.copy(), (4, 4), (0, 4))

    def call() -> None:
        copy.compile()(A, repeated)

    fails(
        TypeCheckError,
        call,
        "kernel 'copy': 'y: Out[Tile[4, 4, F32]]' is written but has a stride of 0, so that places "
        "of it are one element",
        hint="write to an array of its own",
    )
