"""The virtual cycles of the target cpu_sim, against figures counted by hand."""

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
    Scalar,
    TaskWindow,
    Tensor,
    Tile,
    WindowMode,
    kernel,
    pto,
    sequential,
    workload,
)

F32 = DType.F32
M, K, N = 4, 8, 16


@kernel
def product(a: In[Tile[M, K, F32]], b: In[Tile[K, N, F32]], c: Out[Tile[M, N, F32]]):
    pto.store(c, pto.matmul(a, b))


@kernel
def scale(x: In[Tile[M, N, F32]], y: Out[Tile[M, N, F32]]):
    pto.store(y, pto.load(x) * 2.0)


PRODUCT = M * K + K * N + M * K * N + M * N
SCALE = M * N + M * N + M * N

A = Tensor(np.ones((6, M, K), np.float32))
B = Tensor(np.ones((6, K, N), np.float32))
C = Tensor(np.zeros((6, M, N), np.float32))
D = Tensor(np.zeros((6, M, N), np.float32))


@workload
def products():
    for i in P(Dense[6]):
        product[i](A[i], B[i], C[i])


@workload
def scales():
    for i in P(Dense[6]):
        scale[i](C[i], D[i])


def cycles(made: Any) -> int:
    program = made.compile(target="cpu_sim")
    before = program.stats.total_cycles
    program.execute()
    program.synchronize()
    assert program.stats().total_cycles == before
    assert "total_cycles" in repr(program.stats)
    return before


def test_one_worker() -> None:
    assert cycles(products) == 6 * PRODUCT


def test_workers() -> None:
    assert cycles(products.dispatch(DispatchPolicy.round_robin(4))) == 2 * PRODUCT
    pinned = products.streams(3).dispatch(DispatchPolicy.affinity(lambda t: t.get("i")))
    assert cycles(pinned) == 2 * PRODUCT


def test_a_window_holds_tasks_back() -> None:
    @workload
    def mixed():
        for i in P(Dense[3]):
            scale[i](C[i], D[i])
            product[i](A[i], B[i], C[i + 3])

    def of(window: int) -> int:
        return cycles(
            mixed()
            .dispatch(DispatchPolicy.round_robin(6))
            .task_graph(window=TaskWindow(window, "tasks", WindowMode.STALL))
        )

    # A scale is shorter than a product: with two in flight the next scale starts when one has
    # ended, and each product as soon as a scale has.
    assert SCALE < PRODUCT < 2 * PRODUCT
    assert of(8192) == PRODUCT
    assert of(1) == 3 * (SCALE + PRODUCT)
    busy = [0, 0]  # when each of the two in flight ends
    for cost in (SCALE, PRODUCT) * 3:
        start = min(busy)
        busy[busy.index(start)] = start + cost
    assert of(2) == max(busy)


def test_side_by_side_and_one_after_another() -> None:
    @workload
    def both():
        products()
        scales()

    # Four workers: products on 0 1 2 3 0 1, scales on 2 3 0 1 2 3; no data dependences.
    four = DispatchPolicy.round_robin(4)
    assert cycles(both().dispatch(four)) == max(2 * PRODUCT + SCALE, PRODUCT + 2 * SCALE)
    assert cycles(sequential(products(), scales()).dispatch(four)) == 2 * PRODUCT + 2 * SCALE


def test_loads_that_are_written_and_those_that_are_not() -> None:
    def of(body: Any) -> int:
        @kernel
        def one(x: In[Tile[M, N, F32]], y: Out[Tile[M, N, F32]]):
            pto.store(y, body(x))

        @workload
        def single():
            one(C[0], D[0])

        return cycles(single) // (M * N)

    assert of(lambda x: pto.exp(x) + x) == 4  # x, exp, add, store
    assert of(lambda x: pto.exp(pto.load(x))) == 3  # load, exp, store
    assert of(lambda x: pto.load(x) + x) == 4  # load, x, add, store
    assert of(lambda x: pto.constant(1.0)) == 1  # store


def test_a_loop_in_a_kernel() -> None:
    @kernel
    def powers(n: Scalar[DType.I32], x: In[Tile[M, N, F32]], y: Out[Tile[M, N, F32]]):
        pto.store(y, pto.fori_loop(0, n, lambda i, t: t * 0.5, pto.load(x)))

    @workload
    def rising():
        for i in P(Dense[4]):
            powers[i](i, C[i], D[i])

    assert cycles(rising) == M * N * (4 * 2 + 0 + 1 + 2 + 3)


def test_a_custom_body_costs_nothing_and_cannot_add_cycles() -> None:
    @kernel(cpp_src="for (int c = 0; c < 16; ++c) { y(0, c) = x(0, c); }")
    def copy(x: In[Tile[M, N, F32]], y: Out[Tile[M, N, F32]]):
        pass

    @workload
    def copies():
        for i in P(Dense[6]):
            copy[i](C[i], D[i])

    assert cycles(copies) == 0

    @kernel(cpp_src="pto::cpu_sim::add_cycles(100);")
    def counting(x: In[Tile[M, N, F32]], y: Out[Tile[M, N, F32]]):
        pass

    @workload(fail_on_type_error=True)
    def counted():
        counting(C[0], D[0])

    with pytest.raises(CompileError) as caught:
        counted()
    assert caught.value.text == (
        "kernel 'counting': pto::cpu_sim::add_cycles is not supported: a custom body costs no "
        "virtual cycles"
    )
    assert caught.value.hint == "leave the call out, or write the kernel in tile operations"
    assert caught.value.at == counting.place


@pytest.mark.error
def test_cycles_of_a_kernel_that_is_only_declared() -> None:
    @kernel
    def open_kernel(x: In[Tile[M, N, F32]], y: Out[Tile[M, N, F32]]):
        pass

    @workload
    def tasks():
        for i in P(Dense[6]):
            open_kernel[i](C[i], D[i])

    program = tasks.compile(target="cpu_sim")
    with pytest.raises(ExecutionError, match="total_cycles: nothing implements 'open_kernel'"):
        program.stats.total_cycles  # noqa: B018
    program.register_kernel("open_kernel", scale)
    assert program.stats.total_cycles == 6 * SCALE
