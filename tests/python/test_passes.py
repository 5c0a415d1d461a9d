"""Passes and rules over workloads."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    DeadTaskPass,
    Dense,
    DType,
    FlattenCombinePass,
    FusePass,
    HoistPass,
    In,
    InterchangePass,
    MergePass,
    Out,
    P,
    Pass,
    PassManager,
    PatternRewriter,
    PrintPass,
    Range,
    RulePass,
    ScheduleError,
    Sparse,
    Tensor,
    Tile,
    TypeCheckError,
    Workload,
    combine,
    kernel,
    pto,
    workload,
)

F32 = DType.F32
T = Tile[2, 4, F32]


@kernel
def scaled(x: In[T], y: Out[T]):
    pto.store(y, pto.load(x) * 2.0)


@kernel
def shifted(x: In[T], y: Out[T]):
    pto.store(y, pto.load(x) + 1.0)


def chain() -> tuple[Workload, dict[str, np.ndarray]]:
    arrays = {
        "x": np.arange(64, dtype=np.float32).reshape(8, 2, 4),
        "y": np.zeros((8, 2, 4), np.float32),
        "z": np.zeros((8, 2, 4), np.float32),
    }
    x, y, z = (Tensor(array) for array in arrays.values())

    @workload
    def both():
        for i in P(Dense[8]):
            scaled[i](x[i], y[i])
            shifted[i](y[i], z[i])

    return both(), arrays


def run(w: Workload) -> Any:
    program = w.compile()
    program.execute()
    assert program.synchronize(timeout=60)
    return program


def test_fused_tasks_run_and_write_what_they_wrote() -> None:
    w, arrays = chain()
    fuse = FusePass()
    fused = fuse.run(w)
    assert fused.task_count == 8
    assert [r.subject for r in fuse.reasons if r.happened] == ["fuse-chain"]
    assert fuse.explain() == fuse.reasons
    program = run(fused)
    assert program.stats.task_count == 8
    np.testing.assert_array_equal(arrays["y"], arrays["x"] * 2)
    np.testing.assert_array_equal(arrays["z"], arrays["x"] * 2 + 1)
    task = next(iter(fused))
    assert task.kernel.name == "scaled_shifted"
    assert task.get("i") == 0


def test_a_schedule_stays() -> None:
    w, _ = chain()
    assert FusePass().run(w.streams(2)).schedule == w.streams(2).schedule


def test_manager_runs_passes_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    w, arrays = chain()
    file = io.StringIO()
    manager = PassManager([PrintPass("before", file)]).add(FlattenCombinePass()).add(FusePass())
    manager.add_func(lambda each: each, "nothing").add(PrintPass("after", file))
    assert len(manager) == 5
    better = manager.run(w, verbose=True)
    printed = file.getvalue()
    assert printed.startswith("// before\n" + w.dump())
    assert printed.endswith("// after\n" + better.dump())
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "PrintPass: 16 tasks -> 16"
    assert "FusePass: 16 tasks -> 8" in said
    assert any(line.startswith("  ") and "fuse-chain: applied" in line for line in said)
    assert "nothing: 8 tasks -> 8" in said
    run(better)
    np.testing.assert_array_equal(arrays["z"], arrays["x"] * 2 + 1)


def test_own_pass() -> None:
    class Twice(Pass):
        def run(self, workload: Workload) -> Workload:
            return combine(workload, workload)

    w, _ = chain()
    assert PassManager([Twice(), FlattenCombinePass()]).run(w).task_count == 32


def test_every_table_has_a_pass() -> None:
    w, _ = chain()
    passes = (FlattenCombinePass, DeadTaskPass, HoistPass, InterchangePass, FusePass, MergePass)
    for each in passes:
        assert isinstance(each().run(w), Workload)
    assert [each().table for each in passes] == [
        "flatten", "dead", "hoist", "interchange", "fuse", "merge",
    ]  # fmt: skip


def test_rewriter_of_ones_own() -> None:
    w, arrays = chain()
    rewriter = PatternRewriter()

    def without_shifted(node: Any) -> Any:
        kept = [child for child in node.children if child.kernel != "shifted"]
        return node.with_children(kept) if len(kept) < len(node.children) else None

    rewriter.add("combine", without_shifted)
    rewriter.add(
        lambda node: node.kind in ("combine", "sequential") and len(node.children) == 1,
        lambda node: node.children[0],
    )
    simple = rewriter.run(w)
    assert rewriter.fired == 2
    assert simple.task_count == 8
    assert repr(simple) == "Workload[Dense[8], scaled, Independent]"
    run(simple)
    np.testing.assert_array_equal(arrays["z"], np.zeros_like(arrays["z"]))
    np.testing.assert_array_equal(arrays["y"], arrays["x"] * 2)


def test_nodes_say_what_they_are() -> None:
    w, _ = chain()
    loop = w._native.root
    assert (loop.kind, loop.variable, loop.axis) == ("parallel", "i", "Dense[8]")
    assert loop.task_count == 16
    assert [child.kind for child in loop.children[0].children] == ["task", "task"]
    assert [child.kernel for child in loop.children[0].children] == ["scaled", "shifted"]
    assert loop.kernel is None
    assert loop.children[0] == loop.children[0]
    group = type(loop).sequential([loop, loop])
    assert (group.kind, group.task_count) == ("sequential", 32)
    assert type(loop).combine([]).task_count == 0


def test_nodes_and_workloads_have_the_same_kinds() -> None:
    x, y = Tensor(np.ones((8, 2, 4), np.float32)), Tensor(np.zeros((8, 2, 4), np.float32))
    places = Sparse(1, [0, 2], [1, 3])
    ranges = Range(1, 4)

    def of(loop: Any) -> Any:
        @workload
        def w() -> None:
            for i in loop():
                shifted[i](x[i], y[i])

        return w()

    for loop, kinds in (
        (lambda: P(8), ["parallel", "task"]),
        (lambda: P.seq(8), ["seq", "task"]),
        (lambda: P.pipe(8, depth=2), ["pipe", "task"]),
        (lambda: P.sel(places), ["sel", "value", "task"]),
        (lambda: P(ranges), ["parallel", "value", "task"]),
        (lambda: P.seq(ranges), ["seq", "value", "task"]),
    ):
        made = of(loop)
        node, found = made._native.root, []
        while True:
            found.append(node.kind)
            if not node.children:
                break
            (node,) = node.children
        assert found == kinds
        assert made.kind == kinds[0]
        assert set(found) <= set(type(node).kinds)


@pytest.mark.error
def test_error_texts() -> None:
    w, _ = chain()

    def text(call: Callable[[], Any], kind: type[Exception] = TypeCheckError) -> str:
        with pytest.raises(kind) as caught:
            call()
        return str(caught.value)

    assert "PassManager.add: " in text(lambda: PassManager().add(FusePass))  # type: ignore[arg-type]
    assert "is no pass" in text(lambda: PassManager().add(3))  # type: ignore[arg-type]
    assert "3 cannot be called" in text(lambda: PassManager().add_func(3))  # type: ignore[arg-type]
    assert "PassManager.run: 3 is no workload" in text(lambda: PassManager().run(3))  # type: ignore[arg-type]
    assert "pass nothing returned no workload but None" in text(
        lambda: PassManager().add_func(lambda w: None, "nothing").run(w)  # type: ignore[arg-type, return-value]
    )
    unknown = text(lambda: RulePass("fusion"), ScheduleError)
    assert "unknown table 'fusion'" in unknown
    assert "tables: flatten, dead, hoist, interchange, fuse, merge" in unknown
    assert "unknown kind 'loop'" in text(lambda: PatternRewriter().add("loop", lambda n: None))
    assert "takes a kind or a function" in text(lambda: PatternRewriter().add(3, lambda n: None))  # type: ignore[arg-type]
    assert "a rule gave no node but 3" in text(
        lambda: PatternRewriter([("task", lambda n: 3)]).run(w)  # type: ignore[arg-type, return-value]
    )
    assert "rules still fire after 100 rounds" in text(
        lambda: PatternRewriter([("combine", lambda n: n.with_children(n.children))]).run(w)
    )
    assert 'task scaled uses "i", and no loop around it has that variable' in text(
        lambda: PatternRewriter([("parallel", lambda n: n.children[0])]).run(w)
    )
    assert "a node of kind parallel has 1 children, not 0" in text(
        lambda: w._native.root.with_children([])
    )
    with pytest.raises(NotImplementedError, match="Empty has no run"):
        type("Empty", (Pass,), {})().run(w)
