"""The programs in `apps/`, in smaller sizes where they can be: right, and compiled once."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pto_wsp import Program, TypeCheckError

APPS = pathlib.Path(__file__).parents[2] / "apps"


def load(name: str) -> Any:
    """The module ``apps/<name>/<name>.py``."""
    spec = importlib.util.spec_from_file_location(f"apps_{name}", APPS / name / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def compilations(program: Program) -> int:
    return program.stats.cache_misses + program.stats.cache_hits


def test_paths_through_grids() -> None:
    app = load("wavefront")
    program, worst = app.run(size=40)
    assert program.stats.task_count == 1600
    assert worst < 1e-5
    assert "loop i: wavefront with loop j" in str(program.explain())
    tolls = np.ones((3, 5, app.MAPS))
    assert app.reference(tolls)[-1, -1].tolist() == [7] * app.MAPS


def test_ragged_batches() -> None:
    app = load("ragged")
    program, errors = app.run(others=[[0, 96, 31, 127], [128, 128, 128, 128]])
    assert len(errors) == 3 and all(worst < 1e-5 for worst in errors)
    assert program.stats.task_count == 4 * 4 + 4
    assert compilations(program) == 1
    with pytest.raises(TypeCheckError, match=r"Ragged: 4 rows but 3 lengths; expected Ragged"):
        app.run(others=[[1, 1, 1]])


def test_routing_by_scores() -> None:
    app = load("mixture_of_experts")
    program, errors = app.run(batches=3)
    assert len(errors) == 3 and all(worst < 1e-4 for worst in errors)
    assert program.stats.task_count == app.TOKENS * (1 + app.CHOSEN)
    assert compilations(program) == 1
    starts, tokens = app.by_expert(np.array([[1, 3], [3, 0]]))
    assert starts.tolist()[:5] == [0, 1, 2, 2, 4]
    assert tokens.tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(
    "dispatch", ["round_robin", "affinity", "hash", "dispatch_by", "work_steal"]
)
def test_routing_under_each_dispatch_policy(dispatch: str) -> None:
    app = load("mixture_of_experts")
    program, errors = app.run(batches=2, dispatch=dispatch)
    assert all(worst < 1e-4 for worst in errors)
    assert program.stats.task_count == app.TOKENS * (1 + app.CHOSEN)
    assert program.workload.schedule == app.SCHEDULES[dispatch]
    assert compilations(program) == 1


def test_factorisations() -> None:
    app = load("factorisation")
    results = app.run(size=4 * app.BLOCK)
    assert {name: p.stats.task_count for name, (p, _) in results.items()} == {
        "cholesky": 4 + 6 + 10,
        "lu": 4 + 2 * 6 + 14,
    }
    for name, (program, worst) in results.items():
        assert worst < 1e-5, name
        assert compilations(program) == 1
    edges = {str(edge.reason) for edge in results["cholesky"][0].graph().edges}
    assert "RAW on a[0, 0, 0:64, 0:64]" in edges


def test_lengths_that_tasks_find_out() -> None:
    app = load("online_softmax")
    program, errors, tasks = app.run()
    assert all(worst < 1e-5 for worst in errors)
    assert tasks == [12 + (2 + 2 + 8 + 1), 12 + (8 + 1 + 4 + 7)]
    assert compilations(program) == 1


def test_a_transformer_block() -> None:
    app = load("transformer")
    program, worst = app.run()
    assert worst < 1e-4
    blocks, heads = app.SEQ // app.BLOCK, app.HEADS
    assert program.stats.task_count == blocks * (2 + 5 * heads + 2 * heads + 5)
    # A head waits for its own keys alone.
    edges = [str(edge).split(" before ") for edge in program.graph().edges]
    before = [first for first, then in edges if then.startswith("attention[i.2=0, h.1=1]")]
    assert before
    assert all("h=1" in first for first in before)


@pytest.mark.parametrize("depth", [0, 2])
def test_attention_as_a_pipeline(depth: int) -> None:
    app = load("pipelined_attention")
    program, worst = app.run(heads=2, blocks=5, depth=depth)
    assert worst < 1e-5
    assert program.stats.task_count == 4 * 2 * 5
    assert repr(program.workload) == "Workload[net(load, score, softmax, value), Processes]"
    # Three tiles of scores, whatever the length of a head.
    stored = f"scored.scores: f32[{depth + 1}, {app.BLOCK}, {app.KEYS}] own"
    assert stored in program.workload.dump()


def test_an_app_runs_by_itself() -> None:
    found = subprocess.run(
        [sys.executable, str(APPS / "ragged" / "ragged.py")], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert "lengths [33, 64, 128, 15]: largest error against float64" in found.stdout
