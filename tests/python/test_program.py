"""Programs: run, run again, bind, supply kernels, errors."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import said
from pto_wsp import (
    CancelledError,
    CompileError,
    Dense,
    DispatchPolicy,
    DType,
    ExecutionError,
    In,
    InOut,
    Out,
    P,
    Program,
    Scalar,
    ScheduleError,
    Tensor,
    Tile,
    TypeCheckError,
    combine,
    kernel,
    pto,
    sequential,
    workload,
)
from pto_wsp.scalar_expr import as_expr, minimum

F32 = DType.F32


@kernel
def scale(x: In[Tile[8, 16, F32]], y: Out[Tile[8, 16, F32]], k: Scalar[F32] = 2.0):
    pto.store(y, x * k)


@kernel
def add_one(x: InOut[Tile[8, 16, F32]]):
    pto.store(x, x + 1)


@kernel
def outside(x: In[Tensor], y: Out[Tensor]): ...


def run(program: Program) -> None:
    program.execute()
    assert program.synchronize(timeout=60)


@pytest.fixture
def x(rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal((4, 8, 16)).astype(np.float32)


@pytest.fixture
def y() -> np.ndarray:
    return np.zeros((4, 8, 16), np.float32)


def scaled(x: np.ndarray, y: np.ndarray):
    X, Y = Tensor(x), Tensor(y)

    @workload
    def scaling():
        for i in P(4):
            scale[i](X[i], Y[i])

    return scaling()


@pytest.mark.parametrize("target", ["cpu", "cpu_sim"])
def test_runs(x: np.ndarray, y: np.ndarray, target: str) -> None:
    program = scaled(x, y).compile(target=target)
    assert program.is_complete()
    run(program)
    np.testing.assert_array_equal(y, 2 * x)
    assert program.is_complete()
    assert program.target == target
    assert repr(program) == f"<Program Workload[Dense[4], scale, Independent] for {target}>"


def test_runs_again_with_other_data(x: np.ndarray, y: np.ndarray) -> None:
    program = scaled(x, y).compile()
    run(program)
    x += 1
    run(program)
    np.testing.assert_array_equal(y, 2 * x)


def test_bind(x: np.ndarray, y: np.ndarray) -> None:
    program = scaled(x, y).compile()
    other_x, other_y = x + 5, np.zeros_like(y)
    program.bind(X=other_x, Y=Tensor(other_y))
    run(program)
    np.testing.assert_array_equal(other_y, 2 * other_x)
    assert not y.any()
    program.bind(Y=y)
    run(program)
    np.testing.assert_array_equal(y, 2 * other_x)


def test_bound_arrays_are_kept_alive(x: np.ndarray, y: np.ndarray) -> None:
    program = scaled(x, y).compile()
    program.bind(X=np.ones((4, 8, 16), np.float32))
    run(program)
    np.testing.assert_array_equal(y, 2)


def test_stats(x: np.ndarray, y: np.ndarray) -> None:
    program = scaled(x, y).compile(target="cpu_sim")
    assert program.stats.task_count == 4
    run(program)
    stats = program.stats()
    assert stats.compile_time_ms > 0
    assert stats.execute_time_ms > 0
    assert 0 <= stats.parallel_tasks <= 4
    assert stats.cache_hits + stats.cache_misses >= 1
    assert repr(stats).startswith("<ProgramStats compile_time_ms=")


@pytest.mark.error
def test_cycles_are_modelled_for_cpu_sim_alone(x: np.ndarray, y: np.ndarray) -> None:
    program = scaled(x, y).compile()
    run(program)

    def action() -> None:
        program.stats.total_cycles  # noqa: B018

    with pytest.raises(ExecutionError, match=r"'cpu' has no model: compile for cpu_sim") as caught:
        action()
    assert caught.value.at == (__file__, action.__code__.co_firstlineno + 1)


def test_the_second_compilation_hits_the_cache(x: np.ndarray, y: np.ndarray) -> None:
    scaled(x, y).compile()
    stats = scaled(x, y).compile().stats
    assert (stats.cache_misses, stats.cache_hits >= 1) == (0, True)


def test_explain_and_loop_nests(x: np.ndarray, y: np.ndarray) -> None:
    program = scaled(x, y).compile()
    assert "loop i" in str(program.explain())
    assert all(reason.text for reason in program.explain())
    assert "scale" in program.loop_nests


def test_strided_views(rng: np.random.Generator) -> None:
    data = rng.standard_normal((16, 4, 8)).astype(np.float32).transpose(1, 2, 0)[:, ::-1]
    out = np.zeros((16, 8, 4), np.float32).T
    program = scaled(data, out).compile()
    run(program)
    np.testing.assert_array_equal(out, 2 * data)


def test_scalars_and_partial_tiles(x: np.ndarray, y: np.ndarray) -> None:
    X, Y = Tensor(x), Tensor(y)

    @workload
    def partial():
        for i in P(4):
            rows = minimum(8, as_expr(i) * 3 + 1)
            scale[i](X[i].valid(rows=rows), Y[i].valid(rows=rows), k=i + 1)

    run(partial().compile())
    expected = np.zeros_like(y)
    for i in range(4):
        rows = min(8, 3 * i + 1)
        expected[i, :rows] = x[i, :rows] * (i + 1)
    np.testing.assert_array_equal(y, expected)


def test_order_by_data(x: np.ndarray) -> None:
    X = Tensor(x)
    before = x.copy()

    @workload
    def chain():
        for _ in P.seq(10):
            add_one(X[0])
        add_one(X[0])
        for _, i in P(5, 4):
            add_one(X[i])

    run(chain().compile())
    before += 5
    before[0] += 11
    np.testing.assert_allclose(x, before, rtol=1e-5)


def test_groups_run(x: np.ndarray, y: np.ndarray) -> None:
    @workload
    def more():
        for i in P(4):
            add_one[i](Y[i])

    Y = Tensor(y)
    first = scaled(x, y)
    run(sequential(first, more).compile())
    np.testing.assert_allclose(y, 2 * x + 1, rtol=1e-6)
    run(combine(first, more()).compile())
    np.testing.assert_allclose(y, 2 * x + 1, rtol=1e-6)


@pytest.mark.parametrize(
    "step",
    [
        lambda w: w.dispatch(DispatchPolicy.round_robin(2)),
        lambda w: w.dispatch(DispatchPolicy.affinity("i % 2")),
        lambda w: w.streams(3).stream_by(lambda t: t.i),
        lambda w: w.dispatch(DispatchPolicy.round_robin(1)).streams(2).stream_by("i // 2"),
    ],
)
def test_schedules_change_no_result(step, x: np.ndarray, y: np.ndarray) -> None:
    run(step(scaled(x, y)).compile())
    np.testing.assert_array_equal(y, 2 * x)


def test_zero_sized_axes_run(x: np.ndarray, y: np.ndarray) -> None:
    X, Y = Tensor(x), Tensor(y)

    @workload
    def nothing():
        for i in P(Dense[0]):
            scale[i](X[i], Y[i])

    program = nothing().compile()
    run(program)
    assert program.stats.task_count == 0
    assert not y.any()


def declared(x: np.ndarray, y: np.ndarray):
    X, Y = Tensor(x), Tensor(y)

    @workload
    def of_declared():
        for i in P(4):
            outside[i](X[i], Y[i])

    return of_declared()


def test_register_kernel(x: np.ndarray, y: np.ndarray) -> None:
    @kernel
    def tripled(a: In[Tensor], b: Out[Tensor]):
        pto.store(b, a * 3)

    @kernel
    def typed(a: In[Tile[8, 16, F32]], b: Out[Tile[8, 16, F32]]):
        pto.store(b, a * 4)

    def plain(a, b):
        pto.store(b, a * 5)

    for which in ("outside", outside):
        for implementation, factor in [(tripled, 3), (typed, 4), (plain, 5)]:
            program = declared(x, y).compile()
            program.register_kernel(which, implementation)
            run(program)
            np.testing.assert_array_equal(y, x * np.float32(factor))


@pytest.mark.error
def test_an_unsupplied_kernel(x: np.ndarray, y: np.ndarray) -> None:
    program = declared(x, y).compile()

    def action() -> None:
        program.execute()

    with pytest.raises(ExecutionError, match="kernel 'outside' is declared") as caught:
        action()
    assert 'program.register_kernel("outside", ' in caught.value.hint
    program.register_kernel("outside", lambda a, b: pto.store(b, a))
    run(program)
    np.testing.assert_array_equal(y, x)


@pytest.mark.error
def test_register_kernel_is_checked(fails, x: np.ndarray, y: np.ndarray) -> None:
    program = declared(x, y).compile()

    def unknown() -> None:
        program.register_kernel("inside", scale)

    fails(
        ScheduleError,
        unknown,
        "register_kernel: no kernel 'inside' is declared in this program",
        hint="declared are outside",
    )

    def none() -> None:
        scaled(x, y).compile().register_kernel(scale, scale)

    fails(
        ScheduleError,
        none,
        "register_kernel: no kernel 'scale' is declared in this program",
        hint="every kernel has a body",
    )

    def shape() -> None:
        program.register_kernel("outside", add_one)

    with pytest.raises(TypeCheckError):
        shape()

    def arity() -> None:
        program.register_kernel("outside", lambda a: None)

    with pytest.raises(TypeCheckError, match="takes 1 parameters but its declaration has 2"):
        arity()

    def empty() -> None:
        program.register_kernel("outside", outside)

    fails(
        CompileError,
        empty,
        "kernel 'outside' has an empty body and cannot implement another kernel",
    )

    def other() -> None:
        program.register_kernel("outside", 3)

    fails(
        TypeCheckError,
        other,
        "register_kernel: the implementation of 'outside' must be a kernel or a function, got 3",
    )


@pytest.mark.error
def test_two_declarations_of_one_name(fails, x: np.ndarray, y: np.ndarray) -> None:
    def make():
        @kernel
        def twin(x: In[Tensor], y: Out[Tensor]): ...

        return twin

    first, second = make(), make()
    X, Y = Tensor(x), Tensor(y)

    @workload
    def twins():
        first[0](X[0], Y[0])
        second[1](X[1], Y[1])

    program = twins().compile()

    def action() -> None:
        program.register_kernel("twin", lambda a, b: pto.store(b, a))

    fails(
        ScheduleError,
        action,
        "register_kernel: 2 kernels are declared as 'twin'",
        hint="pass the kernel itself instead of its name",
    )
    program.register_kernel(first, lambda a, b: pto.store(b, a))
    program.register_kernel(second, lambda a, b: pto.store(b, a * 2))
    run(program)
    np.testing.assert_array_equal(y[:2], np.stack([x[0], 2 * x[1]]))


@pytest.mark.error
def test_bind_is_checked(x: np.ndarray, y: np.ndarray) -> None:
    program = scaled(x, y).compile()

    def text_of(**arrays: object) -> str:
        with pytest.raises(TypeCheckError) as caught:
            program.bind(**arrays)
        return str(caught.value)

    assert "Z" in text_of(X=x + 1, Z=x)
    assert "[4, 8, 17]" in text_of(X=np.zeros((4, 8, 17), np.float32))
    assert "f64" in text_of(X=np.zeros((4, 8, 16))).lower()
    assert "strides" in text_of(X=np.zeros((16, 8, 4), np.float32).T)
    frozen = np.zeros_like(y)
    frozen.flags.writeable = False
    assert "'Y' is written but its array is read-only" in text_of(Y=frozen)
    run(program)
    np.testing.assert_array_equal(y, 2 * x)


@pytest.mark.error
def test_targets_and_options(x: np.ndarray, y: np.ndarray) -> None:
    for target in ("gpu", "ascend_npu"):
        with pytest.raises(CompileError, match=target) as caught:
            scaled(x, y).compile(target=target)
        assert "cpu_sim" in str(caught.value)
    with pytest.raises(TypeCheckError, match="compile: unknown option 'BLOCK'"):
        scaled(x, y).compile(BLOCK=3)


def slow_program(seconds: float) -> Program:
    """One that runs for about `seconds`."""
    n = 256
    A = Tensor(np.zeros((n, n), np.float32))
    B = Tensor(np.zeros((n, n), np.float32))

    @kernel
    def burn(a: In[Tile[n, n, F32]], b: InOut[Tile[n, n, F32]]):
        pto.store(b, pto.matmul(a, b))

    @workload
    def burning(times):
        for _ in P.seq(times):
            burn(A, B)

    program = burning(100).compile()
    start = time.perf_counter()
    run(program)
    per_task = (time.perf_counter() - start) / 100
    return burning(max(1, int(seconds / per_task))).compile()


def test_execute_returns_at_once_and_timeouts() -> None:
    program = slow_program(1.0)
    start = time.perf_counter()
    program.execute()
    assert time.perf_counter() - start < 0.5
    assert not program.synchronize(timeout=0.05)
    assert not program.is_complete()
    ticks = 0
    waiting = threading.Thread(target=program.synchronize)
    waiting.start()
    while waiting.is_alive():
        ticks += 1
        time.sleep(0.01)
    assert ticks > 5, "the interpreter runs while the program does"
    assert program.is_complete()


def test_ctrl_c() -> None:
    program = slow_program(2.0)
    program.execute()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        program.synchronize()
    assert time.perf_counter() - start < 1.5
    with pytest.raises(CancelledError):
        program.synchronize(timeout=60)


def test_executing_again_waits_and_sees_ctrl_c() -> None:
    program = slow_program(1.0)
    program.execute()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        program.execute()
    assert time.perf_counter() - start < 0.9
    run(program)


def test_a_program_that_runs_is_waited_for_when_it_goes_away() -> None:
    program = slow_program(0.5)
    start = time.perf_counter()
    program.execute()
    del program
    assert time.perf_counter() - start > 0.2


def test_leaving_the_interpreter_while_a_program_runs() -> None:
    code = """
import numpy as np
from pto_wsp import DType, In, InOut, P, Tensor, Tile, kernel, pto, workload
A, B = (Tensor(np.zeros((256, 256), np.float32)) for _ in range(2))
@kernel
def burn(a: In[Tile[256, 256, DType.F32]], b: InOut[Tile[256, 256, DType.F32]]):
    pto.store(b, pto.matmul(a, b))
@workload
def burning():
    for _ in P.seq(500):
        burn(A, B)
program = burning().compile()
program.execute()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, said(done.stderr)) == (0, "", [])


@pytest.mark.parametrize("shape", [(0, 4, 4), (2, 0, 4), (2, 4, 0)])
@pytest.mark.parametrize("wrap", [lambda a: Tensor(a), lambda a: Tensor(shape=a.shape)])
def test_arrays_without_elements(shape: tuple[int, ...], wrap) -> None:
    @kernel
    def doubled(x: In[Tensor], y: Out[Tensor]):
        pto.store(y, x + x)

    A, B = Tensor(np.zeros(shape, np.float32)), wrap(np.zeros(shape, np.float32))

    @workload(fail_on_type_error=True)
    def empty():
        for i in P(Dense[shape[0]]):
            doubled[i](A[i], B[i])

    program = empty().compile()
    program.execute()
    assert program.synchronize()
    assert program.stats.task_count == shape[0]
