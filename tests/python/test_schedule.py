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
    assert (built.schedule.get("streams"), str(other.schedule)) == (None, "streams(4)")
    assert repr(other) == repr(built)
    assert other.schedule == built.streams(4).schedule != built.streams(3).schedule


@pytest.mark.parametrize(
    "key",
    ["h % 4", axis("h") % 4, lambda t: t.get("h") % 4, lambda t: t.h % 4],
    ids=["text", "expression", "get", "attribute"],
)
def test_keys_are_expressions(built: w.Workload, key: object) -> None:
    scheduled = built.streams(4).stream_by(key)
    assert repr(scheduled.schedule.get("stream_by")) == f'stream_by("{ScalarExpr("h % 4")}")'
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
    hint = 'write it over loop variables with + - * // % & | ^ << >> and comparisons: "b % 4"'
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


@pytest.mark.error
def test_steps_take_their_policies(built: w.Workload) -> None:
    wrong = [
        (lambda: built.dispatch("round_robin"), "dispatch: expected a DispatchPolicy, got"),
        (lambda: built.timing(w.DispatchPolicy.work_steal), "timing: expected a TimingPolicy, got"),
        (lambda: built.timing(None), "timing: expected a TimingPolicy, got None"),
        (lambda: built.task_graph(), "task_graph: no policy is given"),
        (lambda: built.task_graph(ready=1), "task_graph: ready: expected a ReadyPolicy, got 1"),
        (lambda: built.spatial_map(4), "spatial_map: grid is 4, not the sizes of a mesh"),
        (lambda: built.spatial_map((4, 0)), "spatial_map: expected an integer >= 1, got 0"),
        (lambda: built.with_schedule("[]"), "with_schedule: expected a Schedule, got '[]'"),
        (lambda: w.TimingPolicy.batched(), "TimingPolicy.batched: give n or batch_size="),
        (lambda: w.TimingPolicy.batched(0), "TimingPolicy.batched: expected an integer >= 1"),
        (lambda: w.TimingPolicy.rate_limit(0), "expected a number of tasks > 0, got 0"),
        (lambda: w.TimingPolicy.rate_limit(float("nan")), "expected a number of tasks > 0"),
        (lambda: w.TimingPolicy.interleaved(priority=0), "priority: expected an integer >= 1"),
        (lambda: w.StartPolicy.threshold(0), "StartPolicy.threshold: expected an integer >= 1"),
        (lambda: w.Pools.custom({}, [1]), "Pools.custom: no kernel has a pool"),
        (lambda: w.Pools.custom("b", []), "Pools.custom: sizes is [], not a list"),
        (lambda: w.Pools.custom({touch: -1}, [1]), "a pool is a number from 0 on, got -1"),
        (lambda: w.Pools.custom({3: 1}, [1]), "expected a kernel or its name, got 3"),
        (lambda: w.Deps("exact"), "Deps: expected a DepsMode, got 'exact'"),
        (lambda: w.Deps(w.DepsMode.exact, edges=[("a", "b")]), "takes no edges"),
        (lambda: w.Deps(w.DepsMode.hybrid, trust=True), "Deps: trust says that explicit edges"),
        (lambda: w.Deps(w.DepsMode.explicit, edges=["ab c"]), "Deps: 'ab c' is no edge"),
        (lambda: w.DispatchPolicy.hash(()), "the key cannot be made an expression: it is empty"),
    ]
    for call, text in wrong:
        with pytest.raises(ScheduleError) as caught:
            call()
        assert text in caught.value.text
        assert caught.value.at[0] == __file__


POLICIES = {
    "dispatch": [
        w.DispatchPolicy.round_robin(4),
        w.DispatchPolicy.affinity("b"),
        w.DispatchPolicy.hash(lambda t: (t.get("batch"), t.get("head"))),
        w.DispatchPolicy.dispatch_by(lambda t: t.b * 2 + t.h),
        w.DispatchPolicy.work_steal(),
    ],
    "timing": [
        w.TimingPolicy.immediate,
        w.TimingPolicy.batched(16),
        w.TimingPolicy.interleaved(4),
        w.TimingPolicy.interleaved(priority=3),
        w.TimingPolicy.rate_limit(2.5),
    ],
    "deps": [
        w.Deps(),
        w.Deps(mode=w.DepsMode.infer_bytes_overlap),
        w.Deps(w.DepsMode.explicit, edges=[("touch", touch, "b", "b - 1")], trust=True),
        w.Deps(w.DepsMode.hybrid, edges=[(touch, touch)]),
    ],
    "window": [
        w.TaskWindow(8),
        w.TaskWindow(4096, "bytes", w.WindowMode.ABORT),
        w.TaskWindow(8, mode=w.WindowMode.BENCHMARK),
    ],
    "pools": [
        w.Pools.single(),
        w.Pools.by_exec_unit(matmul=2),
        w.Pools.custom({touch: 1}, sizes=[1, 2]),
        w.Pools.custom(lambda t: t.b % 2, sizes=[1, 2]),
    ],
    "ready": [w.ReadyPolicy.fifo(), w.ReadyPolicy.work_steal(), w.ReadyPolicy.priority("h")],
    "start": [w.StartPolicy.threshold(3), w.StartPolicy.after_orchestration],
    "trace": [w.TracePolicy.none, w.TracePolicy.cycles()],
}


def scheduled(part: str, policy: w.policies.Policy) -> w.Schedule:
    return w.Schedule()._with_policy(policy)


EACH = [(part, policy) for part, policies in POLICIES.items() for policy in policies]


@pytest.mark.parametrize(("part", "policy"), EACH, ids=[repr(policy) for _, policy in EACH])
def test_policies_are_data(part: str, policy: w.policies.Policy, built: w.Workload) -> None:
    schedule = scheduled(part, policy)
    assert policy.part == part
    names = {name: getattr(w, name) for name in w.__all__}
    assert eval(repr(policy), names) == policy
    assert eval(repr(schedule), names) == schedule
    again = w.Schedule.from_json(schedule.to_json())
    assert again == schedule
    assert hash(again) == hash(schedule)
    assert again.get(part) == policy
    assert hash(again.get(part)) == hash(policy)
    assert sum(policy == other for _, other in EACH) == 1
    assert built.with_schedule(schedule).schedule == schedule


def test_schedules_compose() -> None:
    a = w.Schedule().dispatch(DispatchPolicy.round_robin(4)).streams(2)
    b = w.Schedule().streams(3).timing(w.TimingPolicy.immediate)
    assert str(a | b) == "dispatch(round_robin(4)), streams(3), timing(immediate())"
    assert str(b | a) == "dispatch(round_robin(4)), streams(2), timing(immediate())"
    assert a | w.Schedule() == a == w.Schedule() | a
    assert not w.Schedule()
    assert len(a) == 2
    assert [policy.part for policy in a] == ["dispatch", "streams"]
    grown = a.task_graph(window=w.TaskWindow(8)).task_graph(ready=w.ReadyPolicy.fifo())
    assert repr(grown).endswith(
        '.task_graph(window=TaskWindow(8, "tasks", WindowMode.STALL), ready=ReadyPolicy.fifo())'
    )


def test_a_workload_takes_a_schedule(built: w.Workload) -> None:
    steps = (
        built.dispatch(DispatchPolicy.affinity("b")).streams(4).stream_by("h").spatial_map((2, 2))
    )
    assert built.with_schedule(steps.schedule).schedule == steps.schedule
    assert steps.streams(2).with_schedule(steps.schedule).schedule == steps.schedule
    assert built.with_schedule(w.Schedule()).schedule == built.schedule


@pytest.mark.error
def test_a_schedule_is_checked_where_it_is_applied(built: w.Workload) -> None:
    schedule = w.Schedule().dispatch(DispatchPolicy.affinity("expert"))
    with pytest.raises(ScheduleError, match="unknown axis name"):
        built.with_schedule(schedule)
    with pytest.raises(ScheduleError, match=r"s.json: unknown step \"stream\"") as caught:
        w.Schedule.from_json('[["stream",{"count":2}]]', "s.json")
    assert caught.value.at[0] == __file__


def test_modes_have_the_names_of_the_tutorial() -> None:
    modes = w.DepsMode
    assert modes.tensor_map_exact is modes.infer_tensor_map_exact is modes.exact
    assert modes.infer_bytes_overlap is modes.bytes_overlap
    assert {mode.name for mode in modes} == {"exact", "bytes_overlap", "explicit", "hybrid"}
