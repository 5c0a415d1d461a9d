"""Schedules between tasks: data, checked where they are written."""

import numpy as np
import pto_wsp as w
import pytest
from pto_wsp import Dense, DispatchPolicy, In, P, ScheduleError, Tensor, kernel, workload
from pto_wsp.scalar_expr import ScalarExpr, axis, where

X = Tensor(np.zeros((4, 8, 8, 8), np.float32))


@kernel
def touch(x: In[Tensor]): ...


@workload
def grid(batch, heads):
    for b, h in P(batch, heads):
        touch[b, h](X[b, h])


@pytest.fixture
def built() -> w.Workload:
    return grid(Dense[4], Dense[8])


def test_each_step_gives_a_new_workload(built: w.Workload) -> None:
    other = built.streams(4)
    assert other is not built
    assert (built.schedule.streams, other.schedule.streams) == (0, 4)
    assert repr(other) == repr(built)
    assert other.schedule == built.streams(4).schedule != built.streams(3).schedule


@pytest.mark.parametrize(
    "key",
    ["h % 4", axis("h") % 4, lambda t: t.get("h") % 4, lambda t: t.h % 4],
    ids=["text", "expression", "get", "attribute"],
)
def test_keys_are_expressions(built: w.Workload, key: object) -> None:
    scheduled = built.streams(4).stream_by(key)
    assert str(scheduled.schedule.stream_key) == str(ScalarExpr("h % 4"))
    assert scheduled.schedule == built.streams(4).stream_by("h % 4").schedule


@pytest.mark.parametrize("name", ["b", "batch", "h", "heads", "head", "touch"])
def test_any_name_of_a_loop_variable_is_known(built: w.Workload, name: str) -> None:
    built.stream_by(name)
    built.dispatch(DispatchPolicy.affinity(lambda t: t.get(name)))


def test_functions_of_expressions() -> None:
    key = DispatchPolicy.affinity(lambda t: where(t.b > 2, t.h // 2, -t.h) + (t.b == 1)).key
    assert key.evaluate(b=3, h=7) == 3
    assert key.evaluate(b=1, h=7) == -6


def test_policies_compare_and_print() -> None:
    assert repr(DispatchPolicy.round_robin(4)) == "DispatchPolicy.round_robin(4)"
    assert DispatchPolicy.affinity("b") == DispatchPolicy.affinity(lambda t: t.b)
    assert DispatchPolicy.affinity("b") != DispatchPolicy.round_robin(1)
    assert repr(DispatchPolicy.affinity("b")) == 'DispatchPolicy.affinity("b")'


@pytest.mark.error
def test_untraceable_functions(fails, built: w.Workload) -> None:
    hint = 'write it over loop variables with + - * // % and comparisons: "b % 4"'
    start = "stream_by: the key cannot be made an expression: "

    def truth() -> None:
        built.stream_by(lambda t: 1 if t.b > 2 else 0)

    fails(
        ScheduleError,
        truth,
        start + "the truth of (b > 2) is not known before the program runs",
        hint=hint,
    )

    def result() -> None:
        built.stream_by(lambda t: (t.b, t.h))

    error = fails(
        ScheduleError,
        result,
        start + "the function returns (ScalarExpr('b'), "
        "ScalarExpr('h')), not an integer expression",
    )
    assert isinstance(error, ValueError)

    def python() -> None:
        built.stream_by(lambda t: [1, 2][t.b])

    fails(ScheduleError, python, start + "the value of b is not known before the program runs")

    def own() -> None:
        built.stream_by(lambda t: {}["x"])

    assert isinstance(fails(ScheduleError, own, start + "KeyError: 'x'").__cause__, KeyError)

    def number() -> None:
        built.stream_by(1.5)  # type: ignore[arg-type]

    fails(ScheduleError, number, start + "1.5 is neither an expression nor a function")


@pytest.mark.error
def test_unknown_loop_variables(built: w.Workload) -> None:
    def action() -> None:
        built.dispatch(DispatchPolicy.affinity("expert % 4"))

    with pytest.raises(ScheduleError) as caught:
        action()
    assert "expert" in caught.value.text
    assert caught.value.at == (__file__, action.__code__.co_firstlineno + 1)
    for name in ("batch", "head"):
        assert name in str(caught.value)


@pytest.mark.error
@pytest.mark.parametrize("count", [0, -1, 1.5, True, "two"])
def test_counts(built: w.Workload, count: object) -> None:
    with pytest.raises(ScheduleError, match=r"streams: expected an integer >= 1, got"):
        built.streams(count)  # type: ignore[arg-type]
    with pytest.raises(ScheduleError, match=r"round_robin: expected an integer >= 1, got"):
        DispatchPolicy.round_robin(count)  # type: ignore[arg-type]


REFUSED = {
    "timing": lambda built: built.timing(None),
    "spatial_map": lambda built: built.spatial_map(grid=(4, 4)),
    "DispatchPolicy.work_steal": lambda built: DispatchPolicy.work_steal(),
    "DispatchPolicy.hash": lambda built: DispatchPolicy.hash("b"),
    "DispatchPolicy.dispatch_by": lambda built: DispatchPolicy.dispatch_by(len),
    "TimingPolicy.immediate": lambda built: w.TimingPolicy.immediate,
    "Deps": lambda built: w.Deps(),
    "DepsMode.tensor_map_exact": lambda built: w.DepsMode.tensor_map_exact,
    "Pools.by_exec_unit": lambda built: w.Pools.by_exec_unit(),
    "ReadyPolicy.fifo": lambda built: w.ReadyPolicy.fifo(),
    "StartPolicy.threshold": lambda built: w.StartPolicy.threshold(1),
    "TracePolicy.cycles": lambda built: w.TracePolicy.cycles(),
}


@pytest.mark.error
@pytest.mark.parametrize("step", REFUSED)
def test_other_steps_are_refused(built: w.Workload, step: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        REFUSED[step](built)
    assert caught.value.text == f"{step} is not supported yet"
    assert caught.value.at[0] == __file__
    assert caught.value.hint.startswith("supported are dispatch")


@pytest.mark.error
def test_dispatch_takes_policies(built: w.Workload) -> None:
    with pytest.raises(ScheduleError, match=r"dispatch\('round_robin'\) is not supported yet"):
        built.dispatch("round_robin")  # type: ignore[arg-type]
