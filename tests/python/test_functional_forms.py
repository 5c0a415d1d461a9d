"""Loops, branches and tasks as calls, inside and outside the bodies of workloads."""

import numpy as np
import pto_wsp
import pytest
from pto_wsp import (
    CompileError,
    Dense,
    DenseDyn,
    DType,
    In,
    InOut,
    P,
    ScheduleError,
    Sparse,
    TaskWindow,
    Tensor,
    Tile,
    TypeCheckError,
    WindowMode,
    combine,
    cond,
    for_each,
    kernel,
    parallel_for,
    pto,
    select,
    sequential,
    slot_set_u64,
    slot_u64,
    task,
    workload,
)

Row = Tile[1, 4, DType.F32]


@kernel
def bump(x: In[Row], y: InOut[Row]):
    pto.store(y, pto.load(y) * 2 + pto.load(x))


def rows(count, start=0.0):
    return Tensor(np.full((count, 4), start, np.float32))


def column(tensor):
    return np.asarray(tensor)[:, 0].tolist()


def ran(program):
    program.execute()
    assert program.synchronize(60)
    return program


def test_loops_outside_of_a_body_give_workloads():
    X, Y = rows(4, 1), rows(4)
    w = parallel_for(Dense[4], lambda b: for_each(3, lambda s: task(bump, [b, s], [X[b], Y[b]])))
    assert repr(w) == "Workload[Dense[4] × Dense[3], bump, Sequential]"
    assert (w.kind, w.task_count) == ("parallel", 12)
    assert [t.s for t in w.enumerate()[:3]] == [0, 1, 2]
    ran(w.compile())
    assert column(Y) == [7] * 4


def test_loops_in_a_body_become_part_of_it():
    X, Y, Z = rows(4, 1), rows(4), rows(4)
    routing, batch = Sparse(2, [0, 1, 3], [3, 0, 2]), DenseDyn(2)

    def tail(b):
        cond(b < 2, lambda: task(bump, [b], [X[b], Z[b]]), lambda: bump[b](Y[b], Z[b]))

    @workload
    def w():
        parallel_for(
            batch, lambda b: select(routing[b], lambda e: task(bump, [b, e], [X[b], Y[e]]))
        )
        for b in P(4):
            tail(b)

    made = w()
    assert [t.get("e") for t in made.enumerate()[:3]] == [3, 0, 2]
    program = ran(made.compile())
    assert column(Y) == [1, 0, 1, 1]
    assert column(Z) == [1, 1, 1, 1]
    program.set_axis_sizes({"b": 1})
    ran(program)
    assert column(Y) == [1, 0, 1, 3]
    assert column(Z) == [3, 3, 3, 5]


def test_branches_outside_of_a_body():
    X, Y = rows(2, 1), rows(2)
    first = task(bump, [], [X[0], Y[0]])
    second = task(bump, [], [X[1], Y[1]])

    @workload
    def w():
        slot_set_u64(0, 3)
        combine(cond(slot_u64(0) > 3, first, second))

    ran(w().compile())
    assert column(Y) == [0, 1]
    assert cond(slot_u64(0) > 3, first).kind == "when"


def test_groups_in_a_body_keep_their_order():
    X, Y = rows(3, 1), rows(3)

    @workload
    def w():
        sequential(
            parallel_for(Dense[3], lambda b: task(bump, [b], [X[b], Y[b]])),
            combine(task(bump, [], [X[0], Y[0]]), task(bump, [], [X[1], Y[1]])),
            task(bump, [], [X[2], Y[2]]),
        )

    text = w().dump()
    assert text.count("sequential {") == 1
    assert text.index("sequential {") < text.index("parallel b") < text.index("combine {")
    ran(w().compile())
    assert column(Y) == [3, 3, 3]


def test_wrong_forms_are_refused():
    X = rows(2)

    def refused(call, kind=TypeCheckError):
        @workload
        def w():
            call()

        with pytest.raises(kind) as caught:
            w()
        return str(caught.value)

    assert "expected a function of the loop variable, got 3" in refused(lambda: parallel_for(4, 3))
    assert "task: expected a kernel or the name of one, got 3" in refused(lambda: task(3))
    assert "task: axes is 3, not a list" in refused(lambda: task(bump, 3))
    assert "'no name' is no name of a kernel" in refused(lambda: task("no name", [], [X]))
    assert "takes tensors, got 2" in refused(lambda: task("declared", [], [2]))
    assert "its body gives 3" in refused(lambda: for_each(2, lambda i: 3))
    assert "argument 0 is no part of the workload but None" in refused(lambda: sequential(None))
    assert "its body is in the workload already" in refused(
        lambda: cond(slot_u64(0) > 1, task(bump, [], [X[0], X[1]])), CompileError
    )

    def late():
        part = task(bump, [], [X[0], X[1]])
        bump(X[1], X[0])
        sequential(part)

    assert "its parts are not the statements right before it" in refused(late, CompileError)


def test_a_name_declares_a_kernel():
    X, Y = rows(3, 2), rows(3)
    np.asarray(X).flags.writeable = False
    X = Tensor(np.asarray(X))
    w = parallel_for(3, lambda b: task("later", [b], [X[b], Y[b]]))
    program = w.compile()
    with pytest.raises(pto_wsp.ExecutionError, match="kernel 'later' is declared"):
        program.execute()
    program.register_kernel("later", lambda x0, x1: pto.store(x1, pto.load(x0) + 1))
    ran(program)
    assert column(Y) == [3, 3, 3]


@pytest.mark.parametrize("size", [1, 2, 8192])
def test_a_task_window_keeps_the_result(size):
    X, Y = rows(64, 1), rows(64)

    @workload
    def w():
        for i in P(63):
            bump[i](X[i], Y[i])
            bump[i](Y[i], X[i + 1])

    narrow = w().task_graph(window=TaskWindow(size, "tasks", WindowMode.STALL))
    assert str(narrow.schedule) == f"task_graph(window=stall({size}))"
    want = np.asarray(X)[:, 0].copy(), np.asarray(Y)[:, 0].copy()
    for i in range(63):
        want[1][i] = want[1][i] * 2 + want[0][i]
        want[0][i + 1] = want[0][i + 1] * 2 + want[1][i]
    ran(narrow.compile())
    np.testing.assert_array_equal(np.asarray(X)[:, 0], want[0])
    np.testing.assert_array_equal(np.asarray(Y)[:, 0], want[1])


def test_a_narrow_window_is_why_tasks_are_tracked():
    X, Y = rows(8, 1), rows(8)

    @workload
    def w():
        for i in P(8):
            bump[i](X[i], Y[i])

    workers = pto_wsp._native.env_workers() if hasattr(pto_wsp._native, "env_workers") else 2
    program = w().task_graph(window=TaskWindow(1)).compile()
    if workers > 1:
        assert "a window of 1 holds fewer tasks than there are workers" in str(program.explain())
    ran(program)
    assert column(Y) == [1] * 8
    assert "run untracked" in str(w().task_graph(window=TaskWindow(4096)).compile().explain())


def test_wrong_windows_are_refused():
    X = rows(2)

    @workload
    def w():
        bump(X[0], X[1])

    for call, text in [
        (lambda: TaskWindow(0), "TaskWindow: expected an integer >= 1, got 0"),
        (lambda: TaskWindow(2**25), "TaskWindow: at most 16777216 tasks"),
        (lambda: TaskWindow(8, "rows"), "TaskWindow: unknown unit 'rows'"),
        (lambda: TaskWindow(8, "tasks", "stall"), "TaskWindow: expected a WindowMode"),
        (lambda: w().task_graph(window=8), "task_graph: window: expected a TaskWindow, got 8"),
        (lambda: w().task_graph(window=None), "task_graph: no policy is given"),
        (lambda: w().task_graph(deps=1), "task_graph: deps: expected a Deps, got 1"),
    ]:
        with pytest.raises(ScheduleError) as caught:
            call()
        assert text in str(caught.value)


def test_windows_are_part_of_schedule_files():
    text = '[["task_graph",{"window":{"policy":"stall","size":8}}]]'
    schedule = pto_wsp.Schedule.from_json(text)
    assert schedule.get("window") == TaskWindow(8)
    assert schedule.to_json() == text
    with pytest.raises(ScheduleError, match=r"window: size must be an integer >= 1, is 0"):
        pto_wsp.Schedule.from_json(text.replace("8", "0"))


def test_a_thousand_loops_within_each_other():
    X, Y = rows(1, 1), rows(1)
    nest = task(bump, [], [X[0], Y[0]])
    for _ in range(1000):
        nest = parallel_for(Dense[1], lambda i, inner=nest: inner)
    assert nest.task_count == 1
    assert nest.dump().count("parallel ") == 1000
    assert len(nest.enumerate()) == 1
