"""The virtual cycles of the target cpu_sim, against figures counted by hand."""

from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    Channel,
    Dense,
    DenseDyn,
    DispatchPolicy,
    DType,
    ExecutionError,
    In,
    KernelError,
    Out,
    P,
    Scalar,
    TaskWindow,
    Tensor,
    Tile,
    WindowMode,
    consume,
    kernel,
    pto,
    send,
    sequential,
    slot_load_u64,
    slot_u64,
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


def test_a_custom_body_that_adds_no_cycles_costs_nothing() -> None:
    @kernel(cpp_src="for (int c = 0; c < 16; ++c) { y(0, c) = x(0, c); }")
    def copy(x: In[Tile[M, N, F32]], y: Out[Tile[M, N, F32]]):
        pass

    @workload
    def copies():
        for i in P(Dense[6]):
            copy[i](C[i], D[i])

    assert cycles(copies) == 0


ADD = "pto::cpu_sim::add_cycles(n); pto::cpu_sim::add_cycles(int64_t(x(0, 0)));"


@kernel(cpp_src=ADD)
def adding(x: In[Tile[M, N, F32]], n: Scalar[DType.I64]): ...


@workload
def costly():
    for i in P(Dense[6]):
        scale[i](C[i], D[i])
        adding[i](D[i], 100 * i + 7)


def ran(program: Any) -> Any:
    program.execute()
    assert program.synchronize(timeout=60)
    return program.stats


def test_tasks_take_the_cycles_that_their_bodies_add() -> None:
    """In program order, whichever worker ran which: tasks read what others wrote before."""
    C.data[:] = np.arange(6).reshape(6, 1, 1)
    added = [100 * i + 7 + 2 * i for i in range(6)]
    program = costly.compile(target="cpu_sim")
    assert "bodies of its tasks add virtual cycles" in str(program.explain())
    assert ran(program).total_cycles == 6 * SCALE + sum(added)
    assert program.stats.critical_path_cycles == SCALE + added[-1]
    for count in (1, 2, 3, 5):
        lanes = costly().dispatch(DispatchPolicy.round_robin(count))
        durations = [each for more in added for each in (SCALE, more)]
        busy = [sum(durations[lane::count]) for lane in range(count)]
        assert ran(lanes.compile(target="cpu_sim")).total_cycles == max(busy)
    # Of the last run, which may add others.
    C.data[:] = 50
    assert ran(program).total_cycles == 6 * SCALE + sum(100 * i + 107 for i in range(6))


def test_added_cycles_are_part_of_nothing_else() -> None:
    program = costly.compile()
    ran(program)
    with pytest.raises(ExecutionError, match="target 'cpu' has no model"):
        program.stats.total_cycles  # noqa: B018
    assert "add virtual cycles" not in str(program.explain())


@pytest.mark.error
def test_added_cycles_that_are_not_known() -> None:
    program = costly.compile(target="cpu_sim")
    with pytest.raises(
        ExecutionError,
        match="total_cycles: kernel 'adding' adds cycles in its body, and the program has not run",
    ):
        program.stats.total_cycles  # noqa: B018
    C.data[:] = -400
    with pytest.raises(KernelError, match="pto::cpu_sim::add_cycles: -800 is below 0"):
        ran(program)
    with pytest.raises(ExecutionError, match="and not all tasks of the last run have ended well"):
        program.stats.total_cycles  # noqa: B018
    with pytest.raises(ExecutionError, match="adds cycles in its body, and not all tasks"):
        program.stats.makespan_cycles  # noqa: B018
    C.data[:] = 0
    assert ran(program).total_cycles == 6 * SCALE + sum(100 * i + 7 for i in range(6))


@pytest.mark.error
def test_added_cycles_of_other_tasks_than_ran_are_not_known() -> None:
    count = Tensor(np.zeros(1, np.int64))

    @workload
    def some(axis):
        for i in P(axis):
            adding[i](D[i], 5)
        slot_load_u64(0, count[0])
        with P.when(slot_u64(0) > 0):
            adding(D[0], 5)

    D.data[:] = 0
    program = some(DenseDyn(4)).compile(target="cpu_sim")
    assert ran(program).total_cycles == 4 * 5
    program.execute()
    program.synchronize(timeout=60)
    count.data[:] = 1  # which the model reads before anybody has asked for its figures
    with pytest.raises(ExecutionError, match="adds cycles in its body, and the last run had 4 ta"):
        program.stats.total_cycles  # noqa: B018
    assert ran(program).total_cycles == 5 * 5
    program.set_axis_sizes({"axis": 2})
    with pytest.raises(
        ExecutionError, match="and the program has not run on the data that it is given"
    ):
        program.stats.total_cycles  # noqa: B018
    assert ran(program).total_cycles == 3 * 5


@pytest.mark.error
def test_added_cycles_of_a_process_are_not_known() -> None:
    passed = Channel("passed", 1)

    @workload
    def processes():
        for i in P.seq(6):
            send(passed, scale[i](C[i], D[i]))
        with consume(passed) as t:
            adding[t](D[t], 1)

    program = processes.compile(target="cpu_sim")
    with pytest.raises(
        ExecutionError,
        match="kernel 'adding' adds cycles in its body, in a process, whose tasks have no place",
    ):
        ran(program).total_cycles  # noqa: B018


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
