"""A task that fails takes along what needs its result, and nothing else."""

import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
from pto_wsp import (
    CancelledError,
    Channel,
    DenseDyn,
    DType,
    ExecutionError,
    In,
    InOut,
    KernelError,
    Out,
    P,
    Scalar,
    Tensor,
    Tile,
    consume,
    kernel,
    send,
    sequential,
    slot_load_u64,
    slot_u64,
    workload,
)

F32 = DType.F32
Cell = Tile[1, 1, F32]


@kernel(
    cpp_includes=["<stdexcept>"],
    cpp_src='if (x(0, 0) < 0) throw std::runtime_error("negative"); y(0, 0) = x(0, 0) + 1;',
)
def step(x: In[Cell], y: Out[Cell]): ...


@kernel(
    cpp_includes=["<chrono>", "<thread>"],
    cpp_src="std::this_thread::sleep_for(std::chrono::milliseconds(ms)); y(0, 0) += 1;",
)
def slow(y: InOut[Cell], ms: Scalar[DType.I32]): ...


def cells(*shape: int) -> Tensor:
    return Tensor(np.zeros((*shape, 1, 1), np.float32))


def failure_of(program) -> KernelError:
    program.execute()
    with pytest.raises(KernelError) as caught:
        program.synchronize(60)
    return caught.value


def test_a_failure_follows_the_data() -> None:
    X = cells(6, 5)
    X.data[0] = 1
    X.data[0, 2] = -1

    @workload
    def columns():
        for t, j in P(5, 5):
            step[t, j](X[t, j], X[t + 1, j])

    program = columns().compile()
    raised = failure_of(program)
    expected = np.add.outer(np.arange(6), np.ones(5))
    expected[:, 2] = [-1, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(X.data[:, :, 0, 0], expected)
    assert raised.text == "kernel step[t=0, j=2]: negative"
    assert [error.indices for error in raised.errors] == [{"t": 0, "j": 2}]
    assert (raised.kernel, raised.errors[0].kernel) == ("step", "step")
    stats = program.stats
    assert (stats.failed_tasks, stats.skipped_tasks) == (1, 4)
    # The program is not spoilt.
    X.data[0, 2] = 1
    program.execute()
    assert program.synchronize(60)
    assert (X.data[5] == 6).all()


@kernel(
    cpp_includes=["<stdexcept>"],
    cpp_src='if (x(0, 0) < 0) throw std::runtime_error("negative"); y(0, 0) = y(1, 3) = 5;',
)
def fill(x: In[Cell], y: Out[Tile[2, 4, F32]]): ...


@kernel(cpp_src="for (int r = 0; r < y.rows(); ++r) for (int c = 0; c < 4; ++c) y(r, c) = 7;")
def overwrite(y: Out[Tile[2, 4, F32]]): ...


@kernel(cpp_src="z(0, 0) = y(0, 0) + y(1, 3);")
def both_ends(y: In[Tile[2, 4, F32]], z: Out[Cell]): ...


@pytest.mark.parametrize(("rows", "result", "skipped"), [(2, 14, 0), (1, 0, 2)])
def test_only_a_whole_overwrite_makes_up_for_a_failure(rows, result, skipped) -> None:
    X, Z = cells(3), cells(3)
    X.data[1] = -1
    Y = Tensor(np.zeros((3, 2, 4), np.float32))

    @workload
    def tiles():
        for i in P(3):
            fill[i](X[i], Y[i])
            overwrite[i](Y[i] if rows == 2 else Y[i].valid(rows=rows))
            both_ends[i](Y[i], Z[i])

    # Tracked: else a failure ends its iteration.
    program = tiles().streams(3).compile()
    failure_of(program)
    kept = 14 if rows == 2 else 12
    assert Z.data[:, 0, 0].tolist() == [kept, result, kept]
    assert program.stats.skipped_tasks == skipped


def test_all_errors_are_there_in_program_order() -> None:
    X, Y = cells(40), cells(40)
    X.data[1::2] = -1

    @workload
    def independent():
        for i in P(40):
            step[i](X[i], Y[i])

    raised = failure_of(independent().compile())
    assert raised.text == "kernel step[i=1]: negative (and 19 more)"
    assert [error.indices["i"] for error in raised.errors[:16]] == list(range(1, 32, 2))
    assert len(raised.errors) == 20
    assert len(raised.notes) == 15
    assert (Y.data[0::2] == 1).all()
    assert (Y.data[1::2] == 0).all()


def test_iterations_that_need_a_failed_one_do_not_run() -> None:
    X, Y, Z, V, W = cells(100), cells(100), cells(100), cells(100), cells(100)
    X.data[7] = -1

    @workload
    def phases():
        for i in P(100):
            step[i](X[i], Y[i])
        for i in P(100):
            step[i](Y[99 - i], Z[i])
        for i in P(100):
            step[i](V[i], W[i])

    program = phases().compile()
    raised = failure_of(program)
    assert raised.text == "kernel step[i=7]: negative"
    assert (Y.data[np.arange(100) != 7] == 1).all()
    assert (Z.data[np.arange(100) != 99 - 7] == 2).all()
    assert (Z.data[99 - 7] == 0).all()
    assert (W.data == 1).all()
    assert (program.stats.failed_tasks, program.stats.skipped_tasks) == (1, 1)


@kernel(cpp_src="z(0, 0) = x(0, 0) + y(0, 0);")
def add(x: In[Cell], y: In[Cell], z: Out[Cell]): ...


@pytest.mark.parametrize("seed", range(12))
def test_what_is_lost_is_the_same_whether_tasks_are_tracked(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = random.integers(3, 9, 2).tolist()
    height = DenseDyn("height")
    start = np.where(random.random((rows, columns)) < 0.15, -1, 1)[..., None, None]
    X, Y, Z = (cells(rows, columns) for _ in range(3))
    V, W = cells(columns, rows), cells(rows)
    shift = int(random.integers(0, columns))

    @workload
    def phases():
        for i, j in P(height, columns):
            step[i, j](X[i, j], Y[i, j])
        for i, j in P(height, columns):
            add[i, j](Y[i, columns - 1 - j], X[i, j], Z[i, j])
        for j, i in P(columns, rows):
            step[j, i](Z[i, j], V[j, i])
        for i in P(rows):
            add[i](V[shift, i], Z[i, 0], W[i])

    made = phases()
    results = []
    for tracked in (False, True):
        program = (made.streams(2) if tracked else made).compile()
        program.set_axis_sizes({"height": rows})
        for tensor in (Y, Z, V, W):
            tensor.data[...] = 0
        X.data[...] = start
        if (start < 0).any():
            failure_of(program)
        else:
            program.execute()
            assert program.synchronize(60)
        stats = program.stats
        results.append(
            [
                stats.failed_tasks,
                stats.skipped_tasks,
                *(tensor.data.tolist() for tensor in (Y, Z, V, W)),
            ]
        )
    assert results[0] == results[1]


@pytest.mark.parametrize("count", [8, 100])
def test_statements_of_an_iteration_that_need_no_failed_one_run(count: int) -> None:
    X, Y, Z, V, W = (cells(count) for _ in range(5))
    X.data[7] = -1

    @workload
    def three():
        for i in P(count):
            step[i](X[i], Y[i])
            step[i](V[i], W[i])
            step[i](Y[i], Z[i])

    program = three().compile()
    failure_of(program)
    others = np.arange(count) != 7
    assert (W.data == 1).all()
    assert (Y.data[others] == 1).all()
    assert (Z.data[others] == 2).all()
    assert Z.data[7] == Y.data[7] == 0
    assert (program.stats.failed_tasks, program.stats.skipped_tasks) == (1, 1)


def test_loops_inside_an_iteration_need_all_that_they_read() -> None:
    X, Y, Z = cells(64, 4), cells(64, 4), cells(64)
    X.data[9, 2] = -1

    @workload
    def rows_of():
        for i, j in P(64, 4):
            step[i, j](X[i, j], Y[i, j])
        for i in P(64):
            for j in P.seq(4):
                add[i, j](Y[i, j], Z[i], Z[i])

    program = rows_of().compile()
    failure_of(program)
    expected = np.full(64, 4)
    expected[9] = 0
    np.testing.assert_array_equal(Z.data[:, 0, 0], expected)


def test_a_sequence_stops_and_lanes_do_not() -> None:
    X, Y, Z = cells(8), cells(8), cells(8)
    X.data[3] = -1

    @workload
    def part(A, B):
        for i in P(8):
            step[i](A[i], B[i])

    failure_of(sequential(part(X, Y), part(Z, Z)).compile())
    assert (Z.data == 0).all()

    @workload
    def lanes():
        for i in P(8):
            step[i](X[i], Y[i])

    Y.data[...] = 0
    failure_of(lanes().streams(1).compile())
    np.testing.assert_array_equal(Y.data[:, 0, 0], [1, 1, 1, 0, 1, 1, 1, 1])


def sleeper(count: int, ms: int, Y: Tensor):
    @workload
    def sleeping():
        for _ in P.seq(count):
            slow(Y[0], ms)

    return sleeping().compile()


def test_a_run_is_cancelled() -> None:
    Y = cells(1)
    program = sleeper(100_000, 1, Y)
    program.execute()
    while Y.data[0] < 3:
        time.sleep(0.001)
    program.cancel()
    with pytest.raises(
        CancelledError, match=r"the run was cancelled: [0-9]+ of its tasks have run"
    ):
        program.synchronize(60)
    assert program.is_complete()
    ran = int(Y.data[0, 0, 0])
    assert 3 <= ran < 50_000
    with pytest.raises(ExecutionError):
        program.synchronize()
    # Not an error of the next run.
    Y.data[0] = 0
    program.execute()
    program.cancel()


def test_nothing_is_cancelled_when_all_has_run() -> None:
    program = sleeper(2, 0, cells(1))
    program.execute()
    assert program.synchronize(60)
    program.cancel()
    assert program.synchronize(60)


def test_programs_run_side_by_side() -> None:
    A, B = cells(1), cells(1)
    one, two = sleeper(50, 10, A), sleeper(1, 0, B)
    one.execute()
    two.execute()
    assert two.synchronize(60)
    assert not one.is_complete()
    assert one.synchronize(60)


def test_runs_of_one_program_on_other_data_run_side_by_side() -> None:
    Y = cells(1)
    arrays = [np.zeros((1, 1, 1), np.float32) for _ in range(2)]
    rounds = DenseDyn("rounds")

    @workload
    def sleeping():
        for _ in P.seq(rounds):
            slow(Y[0], 5)

    program = sleeping().compile()
    for array, count in zip(arrays, (200, 1), strict=True):
        program.bind(Y=array)
        program.set_axis_sizes({"rounds": count})
        program.execute()
    while arrays[1][0] < 1:
        time.sleep(0.001)
    assert arrays[0][0] < 200
    assert not program.is_complete()
    assert program.synchronize(60)
    assert [int(array[0, 0, 0]) for array in arrays] == [200, 1]


def test_runs_on_the_same_data_run_one_after_another() -> None:
    Y = cells(1)
    program = sleeper(20, 1, Y)
    for _ in range(3):
        program.execute()
    assert program.synchronize(60)
    assert Y.data[0] == 60


def test_threads_start_and_wait_at_the_same_time() -> None:
    tensors = [cells(1) for _ in range(4)]
    programs = [sleeper(10, 1, tensor) for tensor in tensors]
    shared = sleeper(5, 1, cells(1))
    problems = []

    def work(program) -> None:
        try:
            for _ in range(5):
                program.execute()
                shared.execute()
                program.synchronize(60)
                shared.synchronize(60)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(program,)) for program in programs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not problems
    assert [int(tensor.data[0, 0, 0]) for tensor in tensors] == [50] * 4


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_program_runs_in_a_forked_child() -> None:
    shared = np.frombuffer(multiprocessing.RawArray("f", 1), np.float32).reshape(1, 1, 1)
    Y = Tensor(shared)
    program = sleeper(30, 10, Y)
    program.execute()
    child = os.fork()
    if child == 0:
        # The parent's run goes on there; this process has none.
        good = program.is_complete() and program.synchronize(60)
        program.execute()
        good = good and program.synchronize(60)
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert program.synchronize(60)
    assert shared[0] >= 30


def test_pools_of_forked_processes_run_a_program() -> None:
    program = sleeper(3, 0, cells(1))
    program.execute()
    program.synchronize()
    _forked["program"] = program
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(_run_forked, range(4)) == [True] * 4


_forked: dict = {}


def _run_forked(_: int) -> bool:
    program = _forked["program"]
    program.execute()
    return program.synchronize(60)


def test_failures_in_processes_know_their_loops() -> None:
    X, Y, Z = cells(8), cells(8), cells(8)
    X.data[5] = -1
    ch = Channel("ch", depth=2)

    @workload
    def pipeline():
        for i in P.seq(8):
            send(ch, slow[i](Z[i], 0))
        with consume(ch) as t:
            for k in P(2, names=["round"]):
                step[t, k](X[t], Y[t])

    error = failure_of(pipeline().compile())
    assert error.indices == {"t": 5, "round": 0}
    assert "kernel step[t=5, round=0]: negative" in str(error)
    assert [one.indices["round"] for one in error.errors] == [0, 1]


def test_failures_behind_slots_know_their_loops() -> None:
    X, Y = cells(3, 4), cells(3, 4)
    X.data[2, 1] = -1
    chosen = Tensor(np.array([0, 0, 1], np.int64))

    @workload
    def choose():
        for b in P.seq(3):
            slot_load_u64(4, chosen[b])
            with P.when(slot_u64(4) == 1):
                for h in P(4):
                    step[b, h](X[b, h], Y[b, h])

    assert failure_of(choose().compile()).indices == {"b": 2, "h": 1}
