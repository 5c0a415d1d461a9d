"""Schedules between tasks: every policy is seen in how the tasks ran."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pto_wsp as w
import pytest
from pto_wsp import (
    Dense,
    Deps,
    DepsMode,
    DispatchPolicy,
    DType,
    ExecutionError,
    In,
    InOut,
    Out,
    P,
    Pools,
    ReadyPolicy,
    Scalar,
    Schedule,
    ScheduleError,
    StartPolicy,
    TaskWindow,
    Tensor,
    Tile,
    TimingPolicy,
    TracePolicy,
    WindowMode,
    kernel,
    workload,
)
from pto_wsp.scalar_expr import task_param

WORKERS = int(os.environ.get("PTO_WSP_WORKERS") or len(os.sched_getaffinity(0)))
I64 = DType.I64
INCLUDES = ["<chrono>", "<functional>", "<thread>"]
# Leaves when the task began and ended and on which thread, and changes x.
STAMP = """
    const auto now = [] {
        return int64_t(std::chrono::steady_clock::now().time_since_epoch().count());
    };
    t(0, 0) = now();
    std::this_thread::sleep_for(std::chrono::microseconds(us));
    x(0, 0) = x(0, 0) * 3 + STEP;
    t(0, 2) = int64_t(std::hash<std::thread::id>()(std::this_thread::get_id()) >> 1);
    t(0, 1) = now();
"""


@kernel(cpp_src=STAMP.replace("STEP", "1"), cpp_includes=INCLUDES)
def first(x: InOut[Tile[1, 1, I64]], t: Out[Tile[1, 3, I64]], us: Scalar[I64]): ...


@kernel(cpp_src=STAMP.replace("STEP", "2"), cpp_includes=INCLUDES)
def second(x: InOut[Tile[1, 1, I64]], t: Out[Tile[1, 3, I64]], us: Scalar[I64]): ...


B, H = 4, 4


@dataclass
class Ran:
    """What the tasks of a run left, in program order."""

    program: w.Program
    begin: np.ndarray
    end: np.ndarray
    thread: np.ndarray
    values: np.ndarray

    def in_turn(self, tasks: np.ndarray) -> bool:
        """One after another, in program order."""
        return bool((self.begin[tasks[1:]] >= self.end[tasks[:-1]]).all())

    def lanes_in_turn(self, lane: np.ndarray) -> bool:
        return all(self.in_turn(np.flatnonzero(lane == each)) for each in np.unique(lane))

    def most_at_a_time(self, tasks: np.ndarray) -> int:
        moments = sorted([(t, 1) for t in self.begin[tasks]] + [(t, -1) for t in self.end[tasks]])
        return max(itertools.accumulate(change for _, change in moments))

    @property
    def order(self) -> np.ndarray:
        """Numbers of the tasks as they began."""
        return np.argsort(self.begin, kind="stable")


X = Tensor(np.zeros((B, H, 1, 1), np.int64))
T = Tensor(np.zeros((B, H, 2, 1, 3), np.int64))


def grid(us: int = 100) -> w.Workload:
    """32 tasks: for each b, h the first, then the second, which waits for it."""

    @workload
    def pairs(batch, heads):
        for b, h in P(batch, heads):
            first[b, h](X[b, h], T[b, h, 0], us)
            second[b, h](X[b, h], T[b, h, 1], us)

    return pairs(Dense[B], Dense[H])


COUNT = 2 * B * H
NUMBER = np.arange(COUNT)
KERNEL = NUMBER % 2
HEAD = NUMBER // 2 % H
BATCH = NUMBER // 2 // H
ALL = NUMBER


def ran(work: w.Workload, **options: object) -> Ran:
    X.data[:], T.data[:] = 0, 0
    program = work.compile(**options)
    program.execute()
    assert program.synchronize(timeout=60)
    stamps = T.data.reshape(-1, 3).copy()
    assert (stamps[:, 1] > 0).all(), "not every task has run"
    np.testing.assert_array_equal(X.data, 5)
    return Ran(program, stamps[:, 0], stamps[:, 1], stamps[:, 2], X.data.copy())


def fnv1a(*keys: int) -> int:
    value = 0xCBF29CE484222325
    for byte in b"".join(int(key).to_bytes(8, "little", signed=True) for key in keys):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def test_the_hash_is_fnv1a() -> None:
    assert fnv1a(0) == 0xA8C7F832281A39C5


def test_round_robin_takes_lanes_in_turn() -> None:
    assert ran(grid().dispatch(DispatchPolicy.round_robin(3))).lanes_in_turn(NUMBER % 3)
    assert ran(grid().dispatch(DispatchPolicy.round_robin(1))).in_turn(ALL)


def test_affinity_keeps_a_key_on_its_worker() -> None:
    run = ran(grid().dispatch(DispatchPolicy.affinity(lambda t: t.batch)))
    lane = BATCH % WORKERS
    assert run.lanes_in_turn(lane)
    for each in range(WORKERS):
        assert len(set(run.thread[lane == each])) <= 1
    assert len(set(run.thread)) == min(WORKERS, B)


def test_hash_takes_the_lane_of_the_hash() -> None:
    run = ran(grid().dispatch(DispatchPolicy.hash(lambda t: (t.get("batch"), t.get("head")))))
    lanes = [fnv1a(b, h) % WORKERS for b, h in zip(BATCH, HEAD, strict=True)]
    assert run.lanes_in_turn(np.array(lanes))
    run = ran(grid().dispatch(DispatchPolicy.hash(lambda t: t.head)))
    assert run.lanes_in_turn(np.array([fnv1a(h) % WORKERS for h in HEAD]))


def test_dispatch_by_takes_the_lane_of_the_function() -> None:
    run = ran(grid().dispatch(DispatchPolicy.dispatch_by(lambda t: t.get("batch") + t.head)))
    assert run.lanes_in_turn((BATCH + HEAD) % WORKERS)


def with_numbers() -> w.Workload:
    """As `grid`, the tasks of one b called with numbers of their own."""

    @workload
    def numbered(batch, heads):
        for b, h in P(batch, heads):
            first[b, h](X[b, h], T[b, h, 0], 100 + 3 * h)
            second[b, h](X[b, h], T[b, h, 1], 100 + 3 * h)

    return numbered(Dense[B], Dense[H])


@pytest.mark.parametrize(
    ("key", "values"),
    [
        (task_param("us"), 100 + 3 * HEAD),
        (lambda t: task_param("us") // 3 + t.batch, 33 + HEAD + BATCH),
        ("param(us)", 100 + 3 * HEAD),
        (task_param(1), HEAD),
    ],
)
def test_a_key_is_what_a_task_is_called_with(key: object, values: np.ndarray) -> None:
    """In each kind of key: a lane, a hash, a stream, an edge, a pool and a priority."""
    lanes = ran(with_numbers().streams(3).stream_by(key))
    assert lanes.lanes_in_turn(values % 3)
    hashed = ran(with_numbers().dispatch(DispatchPolicy.hash(key)))
    assert hashed.lanes_in_turn(np.array([fnv1a(each) % WORKERS for each in values]))
    edges = [("first", "first", key)]
    given = ran(with_numbers().task_graph(deps=Deps(DepsMode.hybrid, edges=edges)))
    for each in np.unique(values):
        assert given.in_turn(np.flatnonzero((values == each) & (KERNEL == 0)))
    pools = ran(with_numbers().task_graph(pools=Pools.custom(key, [1, 1])))
    for pool in range(2):
        assert pools.most_at_a_time(np.flatnonzero(values % 2 == pool)) == 1
    ranked = ran(
        with_numbers().task_graph(
            ready=ReadyPolicy.priority(key),
            start=StartPolicy.after_orchestration(),
            pools=Pools.single(1),
        )
    )
    ready = values[ranked.order][KERNEL[ranked.order] == 0]
    assert (np.diff(ready) <= 0).all()


@pytest.mark.error
def test_a_param_that_a_task_does_not_have() -> None:
    with pytest.raises(ScheduleError) as caught:
        with_numbers().dispatch(DispatchPolicy.affinity(task_param("width"))).compile()
    assert 'param(width): no parameter of kernel "first" is called width' in caught.value.text
    assert caught.value.hint == "params of first: 0 (b), 1 (h), us"
    with pytest.raises(ScheduleError, match=r"param\(x\): parameter x of kernel .first. is a tile"):
        with_numbers().dispatch(DispatchPolicy.affinity(task_param("x"))).compile()
    with pytest.raises(ScheduleError, match=r"a task of kernel .first. has 2 subscripts"):
        with_numbers().dispatch(DispatchPolicy.affinity(task_param(2))).compile()
    for wrong in (-1, True, 1.5, None):
        with pytest.raises(w.TypeCheckError, match="task_param: expected the number of a subscr"):
            task_param(wrong)


@pytest.mark.error
def test_a_param_outside_of_a_key() -> None:
    @workload
    def branches(batch):
        for b in P(batch):
            with P.when(task_param("us") > b):
                first[b, 0](X[b, 0], T[b, 0, 0], 5)

    with pytest.raises(w.CompileError) as caught:
        branches(Dense[B])
    assert "uses param(us), which is no variable of a loop around it" in caught.value.text
    assert "it is for keys of a schedule" in caught.value.hint

    @workload
    def passes_it_on(batch):
        for b in P(batch):
            first[b, 0](X[b, 0], T[b, 0, 0], task_param(0))

    refused = passes_it_on(Dense[B]).type_errors[0]
    assert "uses param(0), which is no variable of a loop around this task" in refused.text
    assert "it is for keys of a schedule" in refused.hint


def test_work_stealing_has_no_lanes() -> None:
    work = grid().dispatch(DispatchPolicy.work_steal())
    assert "run untracked" in str(work.compile().explain())
    ran(work)


def test_streams_are_in_order() -> None:
    assert ran(grid().streams(3)).lanes_in_turn(NUMBER % 3)
    run = ran(grid().streams(4).stream_by(lambda t: t.get("head") % 4))
    assert run.lanes_in_turn(HEAD)
    # Keys are taken modulo the number of streams.
    assert ran(grid().streams(2).stream_by("h + 7")).lanes_in_turn((HEAD + 7) % 2)


def test_a_batch_waits_until_it_is_full() -> None:
    half = COUNT // 2
    run = ran(grid().timing(TimingPolicy.batched(batch_size=half)))
    # The second tasks are ready one by one, and start when all of them are.
    assert run.begin[KERNEL == 1].min() >= run.end[KERNEL == 0].max()
    ran(grid().timing(TimingPolicy.batched(1000)))


def test_streams_are_interleaved() -> None:
    work = grid().streams(4).stream_by("b").timing(TimingPolicy.interleaved(4))
    run = ran(work.task_graph(start=StartPolicy.after_orchestration))
    firsts = [BATCH[task] for task in run.order]
    # Every stream starts its first task before any has started its third.
    thirds = [np.flatnonzero(np.array(firsts) == b)[2] for b in range(B)]
    assert all(b in firsts[: min(thirds)] for b in range(B))
    # Otherwise, in program order, stream 0 is done first.
    assert not run.in_turn(ALL)


def test_a_stream_keeps_its_turn_for_some_tasks() -> None:
    work = grid().task_graph(start=StartPolicy.after_orchestration)
    run = ran(
        work.dispatch(DispatchPolicy.dispatch_by("0"))
        .streams(4)
        .timing(TimingPolicy.interleaved(priority=2))
    )
    assert run.in_turn(ALL)  # One lane leaves no choice.


def test_a_rate_is_kept() -> None:
    run = ran(grid(us=0).timing(TimingPolicy.rate_limit(tasks_per_ms=2)))
    assert run.program.stats.execute_time_ms >= 0.98 * (COUNT - 1) / 2


def test_the_largest_priority_is_first() -> None:
    work = grid().task_graph(
        ready=ReadyPolicy.priority("h"),
        start=StartPolicy.after_orchestration,
        pools=Pools.single(1),
    )
    run = ran(work)
    assert run.most_at_a_time(ALL) == 1
    assert list(HEAD[run.order]) == sorted(HEAD, reverse=True)
    ran(grid().task_graph(ready=ReadyPolicy.fifo()))
    ran(grid().task_graph(ready=ReadyPolicy.work_steal()))


def test_fifo_starts_what_became_ready_first() -> None:
    work = grid().task_graph(
        ready=ReadyPolicy.fifo(), start=StartPolicy.after_orchestration, pools=Pools.single(1)
    )
    run = ran(work)
    assert list(KERNEL[run.order]) == sorted(KERNEL)


def test_pools_limit_what_runs_at_a_time() -> None:
    run = ran(grid().task_graph(pools=Pools.custom({first: 0, "second": 1}, sizes=[1, 1])))
    for each in (0, 1):
        assert run.most_at_a_time(np.flatnonzero(each == KERNEL)) == 1
    run = ran(grid().task_graph(pools=Pools.custom(lambda t: t.h, sizes=[1, 2])))
    assert run.most_at_a_time(np.flatnonzero(HEAD % 2 == 0)) == 1
    assert ran(grid().task_graph(pools=Pools.single(1))).most_at_a_time(ALL) == 1
    # Of two units each has a share of the workers; no kernel here has a matmul.
    run = ran(grid().task_graph(pools=Pools.by_exec_unit()))
    assert run.most_at_a_time(ALL) <= max(WORKERS // 2, 1)


def test_a_window_that_overflows_ends_the_run() -> None:
    program = grid().task_graph(window=TaskWindow(8, mode=WindowMode.ABORT)).compile()
    program.execute()
    with pytest.raises(ExecutionError, match=r"the window of 8 tasks overflows: 9 are submitted"):
        program.synchronize()
    ran(grid().task_graph(window=TaskWindow(COUNT, "tasks", WindowMode.ABORT)))


def test_a_window_of_bytes() -> None:
    # A task has 8 bytes of x and 24 of t.
    run = ran(grid().task_graph(window=TaskWindow(70, "bytes", WindowMode.BENCHMARK)))
    assert run.program.stats.most_in_flight == 64
    assert run.program.stats.window_stalls > 0
    run = ran(grid().task_graph(window=TaskWindow(32, "bytes")))
    assert run.in_turn(ALL)
    with pytest.raises(ScheduleError, match=r"a window of 31 bytes holds no task of 'first'"):
        grid().task_graph(window=TaskWindow(31, "bytes")).compile()


def test_a_benchmark_counts() -> None:
    stats = ran(grid().task_graph(window=TaskWindow(4, mode=WindowMode.BENCHMARK))).program.stats
    assert stats.most_in_flight == 4
    assert stats.window_stalls > 0
    stats = ran(grid().task_graph(window=TaskWindow(99, mode=WindowMode.BENCHMARK))).program.stats
    assert (stats.most_in_flight, stats.window_stalls) == (COUNT, 0)


def test_deps_of_bytes_only_add_order() -> None:
    halves = Tensor(np.zeros((8, 2), np.int64).T, name="halves")
    stamps = Tensor(np.zeros((2, 1, 3), np.int64))

    @kernel(cpp_src=STAMP.replace("STEP", "1").replace("x(0, 0)", "x(0, 7)"), cpp_includes=INCLUDES)
    def column(x: InOut[Tile[1, 8, I64]], t: Out[Tile[1, 3, I64]], us: Scalar[I64]): ...

    @workload
    def columns():
        for i in P(2):
            column[i](halves[i], stamps[i], 100)

    assert not columns().compile().graph().edges
    program = columns().task_graph(deps=Deps(mode=DepsMode.infer_bytes_overlap)).compile()
    assert [str(edge) for edge in program.graph().edges] == [
        "<column[i=0] before column[i=1]: RAW on halves[1, 0:8]>"
    ]
    program.execute()
    program.synchronize()
    assert stamps.data[1, 0, 0] >= stamps.data[0, 0, 1]
    assert halves.data[:, 7].tolist() == [1, 1]


EDGES = [("first", "second", lambda t: t.b * 4 + t.h)]


def test_explicit_edges_order_tasks() -> None:
    run = ran(grid().task_graph(deps=Deps(DepsMode.explicit, edges=EDGES)))
    assert run.lanes_in_turn(NUMBER // 2)
    chain = [*EDGES, ("first", "first", "b", "b - 1")]
    run = ran(grid().task_graph(deps=Deps(DepsMode.hybrid, edges=chain)))
    for b in range(1, B):
        before, after = b - 1 == BATCH, b == BATCH
        assert run.begin[after & (KERNEL == 0)].min() >= run.end[before & (KERNEL == 0)].max()


@pytest.mark.error
def test_explicit_edges_may_not_leave_out_a_dependence() -> None:
    work = grid().task_graph(deps=Deps(DepsMode.explicit, edges=[("first", "first", "h")]))
    with pytest.raises(ScheduleError) as caught:
        work.compile()
    assert caught.value.text == (
        "deps=explicit leaves out a dependence: first[b=0, h=0] comes before second[b=0, h=0] "
        "(RAW on X[0, 0, 0:1, 0:1])"
    )
    assert 'add an edge ("first", "second", key)' in caught.value.hint
    assert "trust=True" in caught.value.hint
    with pytest.raises(ScheduleError, match=r"the edge second -> first orders no two tasks"):
        grid().task_graph(
            deps=Deps(DepsMode.explicit, edges=[*EDGES, ("second", "first", "b * 4 + h")])
        ).compile()


def test_trusted_edges_are_all_there_are() -> None:
    T.data[:] = 0
    work = grid(us=1000).task_graph(deps=Deps(DepsMode.explicit, trust=True))
    program = work.compile()
    assert not program.graph().edges
    program.execute()
    program.synchronize()
    assert (T.data[..., 1] > 0).all()


def test_cycles_are_counted_by_kernel() -> None:
    run = ran(grid().task_graph(trace=TracePolicy.cycles()))
    cycles = run.program.stats.kernel_cycles
    assert set(cycles) == {"first", "second"}
    assert all(count > 0 for count in cycles.values())
    assert ran(grid().task_graph(trace=TracePolicy.none)).program.stats.kernel_cycles == {}


def test_nothing_starts_before_its_threshold() -> None:
    for n in (1, COUNT, 10 * COUNT):
        ran(grid().task_graph(start=StartPolicy.threshold(n)))


@pytest.mark.error
def test_a_mesh_is_checked() -> None:
    grid().spatial_map((4, 4)).compile()
    layout = w.TensorLayout.sharded(0, 2, mesh_axis=1)
    data = Tensor(np.zeros((6, 1), np.float32), layout=layout, name="data")

    @kernel
    def read(x: In[Tensor]): ...

    @workload
    def reads():
        for i in P(6):
            read[i](data[i])

    def compiled(shape: tuple[int, ...]) -> None:
        program = reads().spatial_map(shape).compile()
        assert program.workload.schedule.get("spatial_map") is not None

    compiled((4, 3))
    for shape, text in (
        ((4,), "kernel 'read': 'x' is Layout(S(1), R), and the mesh (4) has no axis 1"),
        ((2, 4), "dimension 0 of kernel 'read': 'x' has 6 places, which are no 4 equal parts"),
    ):
        with pytest.raises(ScheduleError) as caught:
            compiled(shape)
        assert text in caught.value.text


# Every pair of parts: one of them is refused with a text, or both are seen in the run.


def always(run: Ran) -> bool:
    return bool((run.end >= run.begin).all())


def one_by_one(run: Ran) -> bool:
    return run.most_at_a_time(ALL) == 1


STEPS: dict[str, tuple[Schedule, Callable[[Ran], bool]]] = {
    "round_robin": (
        Schedule().dispatch(DispatchPolicy.round_robin(3)),
        lambda run: run.lanes_in_turn(NUMBER % 3),
    ),
    "affinity": (
        Schedule().dispatch(DispatchPolicy.affinity("b")),
        lambda run: run.lanes_in_turn(BATCH % WORKERS),
    ),
    "hash": (
        Schedule().dispatch(DispatchPolicy.hash("h")),
        lambda run: run.lanes_in_turn(np.array([fnv1a(h) % WORKERS for h in HEAD])),
    ),
    "dispatch_by": (
        Schedule().dispatch(DispatchPolicy.dispatch_by("b + h")),
        lambda run: run.lanes_in_turn((BATCH + HEAD) % WORKERS),
    ),
    "dispatch_steal": (Schedule().dispatch(DispatchPolicy.work_steal()), always),
    "streams": (
        Schedule().streams(3).stream_by("h"),
        lambda run: run.lanes_in_turn(HEAD % 3),
    ),
    "batched": (Schedule().timing(TimingPolicy.batched(2)), always),
    "interleaved": (Schedule().timing(TimingPolicy.interleaved(3)), always),
    "rate": (
        Schedule().timing(TimingPolicy.rate_limit(8)),
        lambda run: run.program.stats.execute_time_ms >= 0.98 * (COUNT - 1) / 8,
    ),
    "bytes": (Schedule().task_graph(deps=Deps(DepsMode.bytes_overlap)), always),
    "explicit": (
        Schedule().task_graph(deps=Deps(DepsMode.explicit, edges=EDGES)),
        lambda run: run.lanes_in_turn(NUMBER // 2),
    ),
    "stall": (Schedule().task_graph(window=TaskWindow(1)), one_by_one),
    "abort": (
        Schedule().task_graph(window=TaskWindow(COUNT, mode=WindowMode.ABORT)),
        always,
    ),
    "benchmark": (
        Schedule().task_graph(window=TaskWindow(32 * 8, "bytes", WindowMode.BENCHMARK)),
        lambda run: run.program.stats.most_in_flight <= 32 * 8,
    ),
    "single": (Schedule().task_graph(pools=Pools.single(1)), one_by_one),
    "units": (
        Schedule().task_graph(pools=Pools.by_exec_unit(other=1)),
        one_by_one,
    ),
    "custom": (
        Schedule().task_graph(pools=Pools.custom("h", [1, 1])),
        lambda run: run.most_at_a_time(np.flatnonzero(HEAD % 2 == 0)) == 1,
    ),
    "fifo": (Schedule().task_graph(ready=ReadyPolicy.fifo()), always),
    "ready_steal": (Schedule().task_graph(ready=ReadyPolicy.work_steal()), always),
    "priority": (Schedule().task_graph(ready=ReadyPolicy.priority("h")), always),
    "threshold": (Schedule().task_graph(start=StartPolicy.threshold(9)), always),
    "at_end": (Schedule().task_graph(start=StartPolicy.after_orchestration), always),
    "cycles": (
        Schedule().task_graph(trace=TracePolicy.cycles()),
        lambda run: sum(run.program.stats.kernel_cycles.values()) > 0,
    ),
    "map": (Schedule().spatial_map((2,)), always),
}
REFUSED = {
    ("affinity", "interleaved"),
    ("affinity", "priority"),
    ("affinity", "ready_steal"),
    ("interleaved", "fifo"),
    ("interleaved", "ready_steal"),
    ("interleaved", "priority"),
    ("batched", "stall"),
    ("stall", "threshold"),
    ("stall", "at_end"),
    ("benchmark", "at_end"),
}
PAIRS = [
    (a, b)
    for a, b in itertools.combinations(STEPS, 2)
    if not {policy.part for policy in STEPS[a][0]} & {policy.part for policy in STEPS[b][0]}
]


@pytest.mark.parametrize("a", STEPS)
def test_every_pair_is_enforced_or_refused(a: str) -> None:
    for left, right in PAIRS:
        if left != a:
            continue
        both = STEPS[left][0] | STEPS[right][0]
        work = grid(us=20).with_schedule(both)
        if (left, right) in REFUSED:
            with pytest.raises(ScheduleError) as caught:
                work.compile()
            assert caught.value.hint, (left, right)
            continue
        run = ran(work)
        assert STEPS[left][1](run), (left, right)
        assert STEPS[right][1](run), (left, right)
