"""Traces of runs, as users see them."""

import contextlib
import io
import itertools
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    Dense,
    DispatchPolicy,
    DType,
    ExecutionError,
    In,
    InOut,
    Out,
    P,
    Program,
    Ragged,
    Scalar,
    Tensor,
    Tile,
    TraceEvent,
    TraceLevel,
    TypeCheckError,
    Workload,
    kernel,
    pto,
    workload,
)

F32 = DType.F32


@kernel
def matmul_tile(a: In[Tile[16, 16, F32]], b: In[Tile[16, 16, F32]], c: Out[Tile[16, 16, F32]]):
    pto.store(c, pto.matmul(a, b))


@kernel
def add_one(x: InOut[Tile[16, 16, F32]]):
    pto.store(x, x + 1)


@kernel
def shift(x: InOut[Tile[16, 16, F32]], by: Scalar[F32]):
    pto.store(x, x + by)


A = Tensor(np.ones((4, 6, 16, 16), np.float32))
B = Tensor(np.ones((4, 6, 16, 16), np.float32))


def squares() -> Workload:
    """Independent: a loop without tracking, one task in an iteration."""
    C = Tensor(np.zeros((4, 6, 16, 16), np.float32))

    @workload
    def squares_of() -> None:
        for i, j in P(Dense[4], Dense[6]):
            matmul_tile[i, j](a=A[i, j], b=B[i, j], c=C[i, j])

    return squares_of()


def chains() -> Workload:
    """Four chains of seven tasks: two kernels in an iteration."""
    C = Tensor(np.zeros((4, 16, 16), np.float32))

    @workload
    def chains_of() -> None:
        for i in P(Dense[4]):
            matmul_tile[i](a=A[i, 0], b=B[i, 0], c=C[i])
            for k in P.seq(Dense[6]):
                add_one[i, k](x=C[i])

    return chains_of()


def traced(made: Workload, level: TraceLevel, **options: Any) -> Program:
    program = made.compile(**options)
    program.enable_tracing(level)
    program.execute()
    assert program.synchronize(timeout=60)
    return program


@pytest.fixture
def in_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pathlib.Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def test_the_documented_snippets(
    in_directory: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def workload() -> Workload:
        return squares()

    from pto_wsp import TraceLevel

    program = workload().compile()
    program.enable_tracing(TraceLevel.TIMING)  # or FULL for all details

    program.execute()
    program.synchronize()

    # Print summary
    program.trace.print_summary()
    assert "matmul_tile" in capsys.readouterr().out

    # Get trace events
    task_events = program.trace.get_task_events()
    kernel_events = program.trace.get_kernel_events("matmul_tile")
    assert len(task_events) == len(kernel_events) == 24

    # Get statistics
    summary = program.trace.summary()
    print(f"Total kernel time: {summary['kernel_time_ms']:.2f}ms")
    print(f"Avg task time: {summary['avg_task_time_us']:.2f}us")
    assert summary["task_count"] == 24

    import json

    chrome_trace = program.trace.to_chrome_trace()
    with open("trace.json", "w") as f:  # noqa: PTH123
        json.dump(chrome_trace, f)
    assert json.loads((in_directory / "trace.json").read_text()) == chrome_trace


@pytest.mark.parametrize("level", [TraceLevel.TIMING, TraceLevel.FULL])
@pytest.mark.parametrize("made", [squares, chains])
def test_every_task_is_there_once(made: Any, level: TraceLevel) -> None:
    program = traced(made(), level)
    events = program.trace.get_task_events()
    expected = sorted(
        (task.kernel.name, tuple(task.params)) for task in program.workload.enumerate()
    )
    assert len(events) == program.stats.task_count == len(expected)
    assert sorted(event.id for event in events) == list(range(len(events)))
    assert sorted(event.kernel for event in events) == [kernel for kernel, _ in expected]
    if level is TraceLevel.FULL:
        found = sorted((event.kernel, tuple(event.axes.values())) for event in events)
        assert found == expected
    for event in events:
        assert 0 <= event.start_us <= event.end_us
        assert event.duration_us == pytest.approx(event.end_us - event.start_us)
        assert not event.failed
    summary = program.trace.summary()
    total = sum(event.duration_us for event in events)
    assert summary["kernel_time_ms"] == pytest.approx(total / 1000)
    assert summary["avg_task_time_us"] == pytest.approx(total / len(events))
    assert sum(worker["task_count"] for worker in summary["workers"]) == len(events)


@pytest.mark.parametrize("level", list(TraceLevel))
def test_results_are_those_of_an_untraced_run(level: TraceLevel) -> None:
    C = Tensor(np.zeros((4, 16, 16), np.float32))

    @workload
    def chains_of() -> None:
        for i in P(Dense[4]):
            matmul_tile[i](a=A[i, 0], b=B[i, 0], c=C[i])
            for k in P.seq(Dense[6]):
                add_one[i, k](x=C[i])

    traced(chains_of(), level)
    assert (np.asarray(C) == 22).all()


def test_dependences_of_a_chain() -> None:
    program = traced(chains(), TraceLevel.FULL)
    events = {event.id: event for event in program.trace.get_task_events()}
    for event in events.values():
        before = [events[id] for id in event.waits_for]
        if event.kernel == "matmul_tile":
            assert before == []
            continue
        assert {each.axes["i"] for each in before} == {event.axes["i"]}
        for each in before:
            assert each.end_us <= event.start_us
            assert each.kernel == "matmul_tile" or each.axes["k"] < event.axes["k"]
    path = program.trace.critical_path()
    assert len(path) == 7
    assert len({event.axes["i"] for event in path}) == 1
    total = sum(event.duration_us for event in path)
    assert program.stats.critical_path_ms == pytest.approx(total / 1000)
    assert program.trace.summary()["critical_path_ms"] == pytest.approx(total / 1000)


def test_loops_with_several_tasks_are_tracked_while_they_are_traced() -> None:
    program = chains().compile()

    def is_tracked() -> bool:
        return "its tasks are traced one by one" in str(program.explain())

    assert not is_tracked()
    program.enable_tracing(TraceLevel.SUMMARY)
    assert not is_tracked()
    program.enable_tracing(TraceLevel.TIMING)
    assert is_tracked()
    program.enable_tracing(TraceLevel.NONE)
    assert not is_tracked()


def test_a_summary_of_chunks() -> None:
    trace = traced(squares(), TraceLevel.SUMMARY).trace
    assert trace.level is TraceLevel.SUMMARY
    summary = trace.summary()
    assert summary["task_count"] == 24
    assert summary["kernels"]["matmul_tile"]["task_count"] == 24
    assert summary["kernel_time_ms"] > 0
    for get in (
        lambda: trace.get_task_events(),
        lambda: trace.get_kernel_events("matmul_tile"),
        lambda: trace.to_chrome_trace(),
        lambda: trace.to_html(),
    ):
        with pytest.raises(ExecutionError) as caught:
            get()
        assert "the run was traced at the level SUMMARY, expected TIMING" in str(caught.value)
        assert "enable_tracing(TraceLevel.TIMING)" in str(caught.value)


def test_what_only_full_has() -> None:
    program = traced(squares(), TraceLevel.TIMING)
    event = program.trace.get_task_events()[0]
    assert event.axes == {}
    assert event.submitted_us is None
    with pytest.raises(ExecutionError, match=r"waits_for: .* level TIMING, expected FULL"):
        _ = event.waits_for
    with pytest.raises(ExecutionError, match=r"critical_path: .* level TIMING, expected FULL"):
        program.trace.critical_path()
    with pytest.raises(ExecutionError, match="traced at the level timing, expected full"):
        _ = program.stats.critical_path_ms


def test_errors_without_a_trace() -> None:
    program = squares().compile()
    with pytest.raises(ExecutionError, match="trace: the program has not run"):
        _ = program.trace
    program.execute()
    program.synchronize()
    with pytest.raises(ExecutionError) as caught:
        _ = program.trace
    assert "trace: the last run was not traced" in str(caught.value)
    assert "enable_tracing(TraceLevel.TIMING) before execute" in str(caught.value)
    with pytest.raises(TypeCheckError) as wrong:
        program.enable_tracing("full")  # type: ignore[arg-type]
    assert "enable_tracing: expected a TraceLevel, got 'full'" in str(wrong.value)
    assert "TraceLevel.SUMMARY" in str(wrong.value)
    with pytest.raises(ExecutionError, match="level none, expected full"):
        _ = program.stats.critical_path_ms
    done = traced(squares(), TraceLevel.TIMING)
    with pytest.raises(TypeCheckError) as unknown:
        done.trace.get_kernel_events("softmax")
    assert "the program has no kernel 'softmax'" in str(unknown.value)
    assert "kernels: matmul_tile" in str(unknown.value)


def test_each_run_has_a_trace_of_its_own() -> None:
    program = traced(squares(), TraceLevel.TIMING)
    first = program.trace
    program.execute()
    program.synchronize()
    assert program.trace.summary()["kernel_time_ms"] != first.summary()["kernel_time_ms"]
    program.enable_tracing(TraceLevel.NONE)
    program.execute()
    program.synchronize()
    with pytest.raises(ExecutionError, match="was not traced"):
        _ = program.trace
    assert len(first.get_task_events()) == 24


def spans(trace: dict[str, Any], process: int) -> dict[int, list[tuple[float, float]]]:
    found: dict[int, list[tuple[float, float]]] = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X" and event["pid"] == process:
            found.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    return {thread: sorted(times) for thread, times in found.items()}


def test_streams_are_serial_and_shown() -> None:
    made = squares().dispatch(DispatchPolicy.round_robin(4)).streams(3).stream_by("j")
    program = traced(made, TraceLevel.FULL)
    for event in program.trace.get_task_events():
        assert event.stream == event.axes["j"] % 3
    chrome = program.trace.to_chrome_trace()
    assert set(spans(chrome, 2)) == {0, 1, 2}
    for times in (*spans(chrome, 1).values(), *spans(chrome, 2).values()):
        for before, after in itertools.pairwise(times):
            assert before[1] <= after[0] + 1e-6
    names = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in chrome["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    assert names[2, 1] == "stream 1"
    assert names[1, 0] == "worker 0"


def test_arrows_of_the_chrome_trace() -> None:
    program = traced(chains(), TraceLevel.FULL)
    chrome = program.trace.to_chrome_trace()
    starts = {e["id"]: e["ts"] for e in chrome["traceEvents"] if e["ph"] == "s"}
    ends = {e["id"]: e["ts"] for e in chrome["traceEvents"] if e["ph"] == "f"}
    assert starts.keys() == ends.keys() and starts
    assert all(starts[each] <= ends[each] for each in starts)
    assert json.loads(json.dumps(chrome)) == chrome


def test_a_page_of_its_own() -> None:
    trace = traced(chains(), TraceLevel.FULL).trace
    page = trace.to_html()
    assert page.startswith("<!doctype html>")
    assert page.count("<rect") >= 1
    assert "critical path" in page
    for remote in ("http", "src=", "url(", "@import", "<script", "<link"):
        assert remote not in page
    shown = trace._repr_html_()
    assert "<svg" in shown and "<html" not in shown


def test_texts() -> None:
    trace = traced(chains(), TraceLevel.FULL).trace
    assert str(trace).splitlines()[0].startswith("28 tasks in ")
    assert "critical path: " in str(trace)
    assert repr(trace).startswith("<Trace FULL: 28 tasks in ")
    event = trace.get_kernel_events("add_one")[0]
    assert repr(event).startswith("<TraceEvent add_one[i=0, k=0] on worker ")
    assert isinstance(event, TraceEvent)
    assert event.at[0].endswith("test_tracing.py")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        trace.print_summary()
    assert printed.getvalue() == str(trace)


def test_axes_whose_size_a_run_decides() -> None:
    C = Tensor(np.zeros((3, 4, 16, 16), np.float32))
    lengths = [2, 0, 4]
    tokens = Ragged(3, lengths)

    @workload
    def rows() -> None:
        for b in P(3):
            for k in P(tokens[b]):
                shift[b, k](x=C[b, k], by=1.0)

    expected = [(b, k) for b in range(3) for k in range(lengths[b])]
    for level in (TraceLevel.SUMMARY, TraceLevel.FULL):
        program = traced(rows(), level)
        assert program.trace.summary()["task_count"] == len(expected)
    found = [(event.axes["b"], event.axes["k"]) for event in program.trace.get_task_events()]
    assert sorted(found) == expected


def test_branches_that_data_decide() -> None:
    C = Tensor(np.zeros((3, 6, 16, 16), np.float32))

    @workload
    def some() -> None:
        for b, k in P(Dense[3], Dense[6]):
            with P.when(k < 4 - b):
                shift[b, k](x=C[b, k], by=1.0)

    expected = [(b, k) for b in range(3) for k in range(4 - b)]
    program = traced(some(), TraceLevel.FULL)
    found = [(event.axes["b"], event.axes["k"]) for event in program.trace.get_task_events()]
    assert sorted(found) == expected


def test_stats_of_workers() -> None:
    program = squares().compile()
    program.execute()
    program.synchronize()
    stats = program.stats
    assert len(stats.workers) >= 1
    assert sum(worker.task_count for worker in stats.workers) == 24
    first = stats.workers[0]
    assert repr(first).startswith(f"<WorkerStats task_count={first.task_count}, steals=")
    for worker in stats.workers:
        assert 0 <= worker.busy_fraction <= 1.01
        assert worker.busy_ms <= stats.execute_time_ms * 1.01
        assert worker.steals >= 0
    assert sum(worker.busy_ms for worker in stats.workers) > 0
    assert stats.arena_high_water_bytes >= 0
