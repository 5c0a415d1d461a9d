"""Cheapest paths through grids: a wavefront of 316 x 316 tasks.

    python apps/wavefront/wavefront.py

    up   ->  cell     cost[i, j] = toll[i, j] + min(cost[i - 1, j], cost[i, j - 1])
    left ->  cell

A path walks right and down; entering a place costs its toll. The loops are written as if they ran
one after another. What a task reads and writes lets those of an antidiagonal run at once.
"""

from __future__ import annotations

import sys

import numpy as np
from pto_wsp import (
    Dense,
    DType,
    In,
    InOut,
    P,
    Program,
    Tensor,
    Tile,
    Workload,
    kernel,
    pto,
    workload,
)

SIZE = 316
MAPS = 16  # grids that the lanes of a tile hold side by side

Cell = Tile[1, MAPS, DType.F32]


@kernel
def enter(up: In[Cell], left: In[Cell], cell: InOut[Cell]):
    """The cheapest way into a cell, which holds its toll before."""
    pto.store(cell, pto.load(cell) + pto.minimum(up, left))


def cheapest_paths(cost: Tensor) -> Workload:
    """`cost` [rows + 1, columns + 1, MAPS] holds tolls, and above and left of them a border."""
    rows, columns = Dense[cost.shape[0] - 1], Dense[cost.shape[1] - 1]

    @workload
    def wavefront():
        for i, j in P(rows, columns):
            enter[i, j](up=cost[i, j + 1], left=cost[i + 1, j], cell=cost[i + 1, j + 1])

    return wavefront()


def bordered(tolls: np.ndarray) -> np.ndarray:
    """Nobody comes from outside, save to the first cell, which is free to reach."""
    rows, columns, maps = tolls.shape
    cost = np.full((rows + 1, columns + 1, maps), np.inf, np.float32)
    cost[1:, 1:] = tolls
    cost[0, 1] = 0
    return cost


def reference(tolls: np.ndarray) -> np.ndarray:
    """The same in float64, antidiagonal by antidiagonal."""
    cost = bordered(tolls).astype(np.float64)
    rows, columns = tolls.shape[:2]
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        cost[i + 1, j + 1] += np.minimum(cost[i, j + 1], cost[i + 1, j])
    return cost[1:, 1:]


def run(size: int = SIZE, seed: int = 0) -> tuple[Program, float]:
    """The program after one run, and the largest relative error of a cost."""
    tolls = np.random.default_rng(seed).random((size, size, MAPS), np.float32)
    cost = bordered(tolls)
    program = cheapest_paths(Tensor(cost)).compile()
    program.execute()
    program.synchronize()
    expected = reference(tolls)
    return program, float(np.max(np.abs(cost[1:, 1:] - expected) / expected))


def main() -> int:
    program, worst = run()
    print(program.explain())
    print(f"{program.stats.task_count} tasks, largest relative error against float64 {worst:.1e}")
    return 0 if worst < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
