"""Errors that no other test comes to: class and text of each, at the line of the caller."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pto_wsp
import pytest
from pto_wsp import (
    Channel,
    CompileError,
    Dense,
    DType,
    In,
    InOut,
    LinearLayout,
    Location,
    MemLayout,
    Out,
    P,
    Pass,
    PatternRewriter,
    PtoError,
    Ragged,
    RulePass,
    ScheduleError,
    Symbol,
    TaskWindow,
    Tensor,
    Tile,
    TimingPolicy,
    TypeCheckError,
    WindowMode,
    consume,
    kernel,
    parallel_for,
    pto,
    send,
    slot_load_u64,
    task,
    workload,
)
from pto_wsp.scalar_expr import as_expr

F32 = DType.F32
Block = Tile[4, 4, F32]
A = Tensor(np.zeros((8, 4, 4), np.float32), name="A")
B = Tensor(np.zeros((8, 4, 4), np.float32), name="B")
U = Tensor(np.zeros((8, 3, 2), np.uint64), name="U")


@kernel
def copy(x: In[Block], y: Out[Block]):
    pto.store(y, x)


@kernel
def both(x: InOut[Block], y: InOut[Block]):
    pto.store(x, x + 1)
    pto.store(y, y + 1)


@kernel
def other(x: In[Block], y: Out[Block]):
    pto.store(y, x + 1)


@workload
def copies():
    for i in P(8):
        copy[i](A[i], B[i])


class _Opaque:
    def __array__(self, *_: object) -> None:
        raise TypeError("no array")

    def __repr__(self) -> str:
        return "_Opaque()"


class _NoBridge:
    def __dlpack__(self, **_: object) -> None:
        raise BufferError("elsewhere")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def unaligned() -> np.ndarray:
    records = np.zeros(4, np.dtype([("a", np.int8), ("b", np.float32)]))
    return records["b"]


def in_body(body: Callable[[], object]) -> Callable[[], object]:
    def call() -> object:
        @workload
        def broken():
            body()

        return broken()

    return call


def in_kernel(body: Callable[[object], object]) -> Callable[[], object]:
    def call() -> object:
        @kernel
        def broken(x: InOut[Block]):
            body(x)

        return broken.trace()

    return call


def variadic() -> object:
    @kernel
    def broken(*x: In[Block]): ...

    return broken


def scaled_past_64_bits() -> object:
    size = Symbol("N")

    @kernel
    def grow(x: InOut[Tile[size, 4, F32]]):
        pto.store(x, x * 2)

    return grow.compile(N=2**63)


def token_without_unpacking() -> object:
    channel = Channel("c", depth=1)

    @workload
    def net():
        for i in P(8):
            send(channel, copy[i](A[i], B[i]))
        with consume(channel) as t:
            list(t)

    return net()


ERRORS: list[tuple[type[Exception], str, Callable[[], object]]] = [
    (
        TypeCheckError,
        "Channel: depth is 1 and capacity 2, which are the same thing",
        lambda: Channel(depth=1, capacity=2),
    ),
    (TypeCheckError, "@kernel: expected a function, got 3", lambda: kernel()(3)),
    (TypeCheckError, "@workload: expected a function, got 3", lambda: workload()(3)),
    (
        TypeCheckError,
        "task: 'later' is only declared and takes tensors, got 3",
        in_body(lambda: parallel_for(Dense[8], lambda i: task("later", [i], [3]))),
    ),
    (TypeCheckError, "the Symbol 'N' is 9223372036854775808, past 64 bits", scaled_past_64_bits),
    (
        TypeCheckError,
        "pto.alloc: a tile does not lie in Location.Global",
        in_kernel(lambda x: pto.alloc((4, 4), F32, Location.Global)),
    ),
    (TypeCheckError, "compose: 3 is no LinearLayout", lambda: LinearLayout.identity(8).compose(3)),
    (
        TypeCheckError,
        "compose: 3 is no MemLayout",
        lambda: MemLayout.row_major((4, 4)).compose(3),
    ),
    (
        TypeCheckError,
        "PatternRewriter.add: unknown kind 'task_or_so'",
        lambda: PatternRewriter().add("task_or_so", lambda node: node),
    ),
    (ScheduleError, "RulePass: unknown table 'fusion_or_so'", lambda: RulePass("fusion_or_so")),
    (NotImplementedError, "Pass has no run(workload)", lambda: Pass().run(copies())),
    (TypeError, "batched(3) is not callable", lambda: TimingPolicy.batched(3)()),
    (
        TypeCheckError,
        "set_axis_sizes: expected a dict of names and sizes, got 3",
        lambda: copies().compile().set_axis_sizes(3),
    ),
    (
        TypeCheckError,
        "register_kernel: expected a name or a kernel, got 3",
        lambda: copies().compile().register_kernel(3, copy),
    ),
    (
        ScheduleError,
        "which the workload does not call",
        lambda: copies().compile(kernels={other: []}),
    ),
    (
        TypeCheckError,
        "Ragged: lengths: expected integers, got float64",
        lambda: Ragged(2, np.array([1.5, 2.0])),
    ),
    (
        TypeCheckError,
        "18446744073709551615 does not fit 63 bits",
        lambda: Ragged(2, np.array([2**64 - 1, 1], np.uint64)),
    ),
    (TypeCheckError, "_Opaque() is no list of integers", lambda: Ragged(2, _Opaque())),
    (
        ScheduleError,
        "TaskWindow: expected a WindowMode, got 'stall'",
        lambda: TaskWindow(4, "tasks", "stall"),
    ),
    (
        ScheduleError,
        "task_graph: a window of 8 bytes holds no task of 'copy', whose arguments are 128",
        lambda: copies().task_graph(window=TaskWindow(8, "bytes", WindowMode.STALL)).compile(),
    ),
    (
        TypeCheckError,
        "len: a tensor of rank 0 has no length",
        lambda: len(Tensor(np.zeros((), np.float32))),
    ),
    (
        TypeCheckError,
        "Tensor: NumPy cannot share the memory of this _NoBridge: elsewhere",
        lambda: Tensor(_NoBridge()),
    ),
    (
        TypeCheckError,
        "slot_load_u64: row 1 of a view of shape [8, 3, 2]",
        in_body(lambda: slot_load_u64(0, U, row=1)),
    ),
    (TypeCheckError, "a run-time integer expression cannot hold 1.5", lambda: as_expr(1.5)),
    (CompileError, "P.pipe() without stages is no loop", in_body(lambda: list(P.pipe()))),
    (
        CompileError,
        "the values of a token are known by how they are unpacked",
        token_without_unpacking,
    ),
    (TypeCheckError, "parameter '*x: 'In[Block]'' cannot be variadic", variadic),
    (
        AttributeError,
        "module 'pto_wsp' has no attribute 'Denze'; did you mean 'Dense'?",
        lambda: pto_wsp.Denze,
    ),
    (
        TypeCheckError,
        "copy: 'x' is a tile of two dimensions, not a view [8, 4, 4]",
        lambda: copy.compile()(A.data, B.data[0]),
    ),
    (
        TypeCheckError,
        "both: 'x' and 'y' are both written and overlap",
        lambda: both.compile()(A.data[0], A.data[0]),
    ),
    (
        TypeCheckError,
        "stride of 5 bytes in dimension 1 is not a multiple of the element's 4 bytes",
        lambda: copy.compile()(np.broadcast_to(unaligned(), (4, 4)), B.data[0]),
    ),
    (
        TypeCheckError,
        "matmul: 'a' is [4], expected 2 or more dimensions",
        lambda: pto_wsp.kernels.matmul(A.data[0, 0], B.data[0]),
    ),
]


@pytest.mark.parametrize(("kind", "text", "call"), ERRORS, ids=[text for _, text, _ in ERRORS])
def test_class_and_text(kind: type[Exception], text: str, call: Callable[[], object]) -> None:
    with pytest.raises(kind, match=re.escape(text)) as caught:
        call()
    if isinstance(caught.value, PtoError):
        first = str(caught.value).splitlines()[0]
        assert first.startswith(f"{__file__}:"), first
        assert not first.endswith(".")
