"""The graph of a program's tasks, and its figures."""

import xml.etree.ElementTree

import numpy as np
import pytest
from pto_wsp import (
    CompileError,
    Dense,
    DenseDyn,
    DispatchPolicy,
    DType,
    ExecutionError,
    In,
    InOut,
    P,
    Tensor,
    Tile,
    kernel,
    pto,
    workload,
)

F32 = DType.F32
SIZE = 4
GRID = Tensor(np.ones((SIZE + 1, SIZE + 1, 8, 8), np.float32), name="GRID")


@kernel
def relax(up: In[Tile[8, 8, F32]], left: In[Tile[8, 8, F32]], here: InOut[Tile[8, 8, F32]]):
    pto.store(here, pto.load(here) + pto.load(up) + pto.load(left))


COST = 3 * 64 + 2 * 64 + 64


@workload
def wavefront():
    for i in P(Dense[SIZE]):
        for j in P(Dense[SIZE]):
            relax[i, j](GRID[i, j + 1], GRID[i + 1, j], GRID[i + 1, j + 1])


def test_a_wavefront() -> None:
    program = wavefront.compile(target="cpu_sim")
    graph = program.graph()
    assert len(graph) == len(graph.tasks) == SIZE * SIZE
    found = {
        (tuple(edge.source.indices.values()), tuple(edge.target.indices.values()), edge.reason)
        for edge in graph.edges
    }
    wanted = set()
    for i in range(SIZE):
        for j in range(SIZE):
            if i > 0:
                wanted.add(((i - 1, j), (i, j), f"RAW on GRID[{i}, {j + 1}, 0:8, 0:8]"))
            if j > 0:
                wanted.add(((i, j - 1), (i, j), f"RAW on GRID[{i + 1}, {j}, 0:8, 0:8]"))
    assert found == wanted
    assert program.stats.total_cycles == SIZE * SIZE * COST
    assert program.stats.critical_path_cycles == (2 * SIZE - 1) * COST
    assert COST * (2 * SIZE - 1) <= program.stats.makespan_cycles <= SIZE * SIZE * COST


def test_edges_know_their_tasks() -> None:
    graph = wavefront.compile().graph()
    edge = graph.edges[0]
    assert repr(edge) == ("<relax[i=0, j=0] before relax[i=0, j=1]: RAW on GRID[1, 1, 0:8, 0:8]>")
    assert (edge.cause, edge.on) == ("RAW", "GRID[1, 1, 0:8, 0:8]")
    assert (edge.source.id, edge.target.id, edge.source.kernel) == (0, 1, "relax")
    line = wavefront.__wrapped__.__code__.co_firstlineno + 4
    assert edge.source.at == (__file__, line)
    assert repr(graph) == "<TaskGraph: 16 tasks, 24 edges>"


def test_lanes_and_sequences() -> None:
    @workload
    def tasks():
        for i in P.seq(Dense[2]):
            for j in P(Dense[2]):
                relax[i, j](GRID[0, 0], GRID[0, 1], GRID[1 + i, 1 + j])

    graph = tasks().dispatch(DispatchPolicy.round_robin(3)).compile().graph()
    assert [task.kernel for task in graph.vertices].count("join") == 1
    assert {edge.reason for edge in graph.edges} == {"sequence: loop i", "lane: dispatch 0"}


def test_drawings() -> None:
    graph = wavefront.compile().graph()
    dot = graph.to_dot()
    assert dot.count(" -> ") == len(graph.edges)
    root = xml.etree.ElementTree.fromstring(graph.to_svg())
    assert len(root.findall("{http://www.w3.org/2000/svg}line")) == len(graph.edges)
    assert len(root.findall("{http://www.w3.org/2000/svg}g")) == len(graph)
    assert "http" not in graph.to_svg().replace("http://www.w3.org/2000/svg", "")
    assert graph._repr_svg_() == graph.to_svg()


def test_a_pipe_holds_iterations_back() -> None:
    @workload
    def tasks():
        for i in P.pipe(Dense[SIZE], depth=2):
            relax[i](GRID[0, 0], GRID[0, 1], GRID[1, 1 + i])

    program = tasks().compile(target="cpu_sim")
    found = [
        (edge.source.id, edge.target.id, edge.reason)
        for edge in program.graph().edges
        if edge.cause == "sequence"
    ]
    assert found == [(0, 2, "sequence: pipe i"), (1, 3, "sequence: pipe i")]
    assert program.stats.critical_path_cycles == 2 * COST


def test_figures_follow_the_sizes_of_the_run() -> None:
    rows = DenseDyn(2)

    @workload
    def tasks():
        for i in P(rows):
            for j in P(Dense[SIZE]):
                with P.when(j <= i):
                    relax[i, j](GRID[i, j + 1], GRID[i + 1, j], GRID[i + 1, j + 1])

    program = tasks().compile(target="cpu_sim")
    assert program.stats.total_cycles == (1 + 2) * COST
    assert len(program.graph()) == 1 + 2
    assert program.stats.critical_path_cycles == 3 * COST
    program.set_axis_sizes({"rows": 4})
    assert program.stats.total_cycles == (1 + 2 + 3 + 4) * COST
    assert len(program.graph()) == 1 + 2 + 3 + 4
    assert program.stats.critical_path_cycles == (2 * 4 - 1) * COST


@pytest.mark.error
def test_a_graph_of_too_many_tasks(fails) -> None:
    program = wavefront.compile(target="cpu_sim")
    fails(
        CompileError,
        lambda: program.graph(max_tasks=15),
        "graph: the workload has 16 tasks, more than 15",
        line=None,
        hint="make the graph of a smaller one, or raise max_tasks",
    )

    @workload
    def many():
        for _i in P(Dense[10001]):
            relax(GRID[0, 1], GRID[1, 0], GRID[1, 1])

    large = many.compile(target="cpu_sim")
    assert large.stats.total_cycles == 10001 * COST
    with pytest.raises(
        ExecutionError,
        match="makespan_cycles: graph: the workload has 10001 tasks, more than 10000",
    ):
        large.stats.makespan_cycles  # noqa: B018


@pytest.mark.error
def test_figures_of_a_target_without_a_model() -> None:
    with pytest.raises(
        ExecutionError, match="critical_path_cycles: target 'cpu' has no model: compile for cpu_sim"
    ):
        wavefront.compile().stats.critical_path_cycles  # noqa: B018
