"""Arguments of the wrong type: an error at the user's line that names the argument."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    Dense,
    DispatchPolicy,
    DType,
    ExecutionError,
    In,
    Out,
    P,
    PtoError,
    Scalar,
    ScheduleError,
    Tensor,
    TensorLayout,
    Tile,
    TypeChecker,
    TypeCheckError,
    Value,
    kernel,
    pto,
    scalar_expr,
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


OUT = Tensor(np.zeros((4, 4), np.float32), name="OUT")


@kernel
def copy(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]], n: Scalar[DType.I32] = 0):
    pto.store(y, x)


@kernel
def calls_another(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F32]]):
    copy(x, y)


def test_attributes_of_later_say_so(fails) -> None:
    program = reads().compile()
    later = [name for name in ("alloc", "print", "static_assert") if name not in dir(pto)]
    wanted = [
        (program, "Program", ("codegen_artifact_dir",)),
        (pto, "pto", later),
    ]
    for holder, shown, names in wanted:
        for name in names:

            def used(holder=holder, name=name) -> None:
                getattr(holder, name)

            fails(AttributeError, used, f"{shown}.{name} is not available yet")
            assert not hasattr(holder, name)
    assert not hasattr(program.stats, "total_cycles")
    with pytest.raises(ExecutionError, match="total_cycles"):
        program.stats.total_cycles  # noqa: B018
    for holder in (program, scalar_expr):
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            holder.nonsense  # noqa: B018


def test_loops_of_what_they_cannot_be(fails) -> None:
    def two_targets() -> None:
        for i, j in P(Dense[3]):
            read[i, j](A)

    text = "P: 1 axis, 2 targets"
    fails(
        TypeCheckError,
        lambda: workload(two_targets)(),
        text,
        hint="for i, j in P(rows, columns)",
        line=None,
    )

    def numbered() -> None:
        for number, (i, j) in enumerate(P(Dense[3], Dense[3])):
            assert number == 0
            read[i, j](A)

    assert workload(numbered)().task_count == 9


def test_a_kernel_is_called_in_a_kernel(fails) -> None:
    text = "kernel 'copy' is called in the body of kernel 'calls_another'"
    hint = "share code between kernels in plain functions on tiles"
    fails(CompileError, calls_another.compile, text, line=None, hint=hint)

    @workload
    def task():
        calls_another(A, A.copy())

    fails(CompileError, task, text, line=None, hint=hint)


def test_variables_that_are_not_known_are_named_once(fails) -> None:
    def text(call: Callable[[Any], None]) -> str:
        @workload
        def task():
            for i in P(Dense[1]):
                call(i)

        (error,) = TypeChecker().check(task())
        return error.text

    zz = scalar_expr.axis("zz")
    end = "which is no variable of a loop around this task"
    assert text(lambda i: copy[i](A, OUT, zz)) == f"copy: n = zz uses zz, {end}"
    assert text(lambda i: copy[i](A, OUT.valid(rows=zz))) == (
        f"copy: y: rows valid(zz) of OUT[0:4, 0:4] valid(rows = zz) uses zz, {end}"
    )


def test_binding_what_is_no_array(fails) -> None:
    program = reads().compile()

    def bound() -> None:
        program.bind(A=None)

    fails(TypeCheckError, bound, "bind: 'A' needs an array, got None")


def test_casts_to_types_of_numpy() -> None:
    @kernel
    def cast(x: In[Tile[4, 4, DType.F32]], y: Out[Tile[4, 4, DType.F16]]):
        pto.store(y, pto.cast(x, np.float16))

    assert "f16" in cast.trace().dump()


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


def test_expressions_have_no_hash(fails) -> None:
    def key() -> None:
        DispatchPolicy.affinity(lambda t: hash(t.i))

    fails(
        ScheduleError,
        key,
        "DispatchPolicy.affinity: the key cannot be made an expression: i has no hash: its value "
        "is not known before the program runs",
    )


def test_types_of_values_are_documented() -> None:
    assert Value.type.__doc__
