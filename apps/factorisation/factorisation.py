"""Blocked Cholesky and LU factorisations, written as plain loops.

    python apps/factorisation/factorisation.py

    k: diagonal block   ->  panel below (and right)  ->  blocks behind it, and again with k + 1

No dependence is written down. Which blocks a task reads and writes orders the tasks, so that those
of step k + 1 start while some of step k are still at work.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from pto_wsp import (
    DType,
    In,
    InOut,
    P,
    Program,
    Tensor,
    Tile,
    Value,
    Workload,
    kernel,
    pto,
    workload,
)

SIZE, BLOCK = 512, 64

Block = Tile[BLOCK, BLOCK, DType.F32]


def column(tile: Value, j: Value) -> Value:
    return pto.slice(tile, 0, j, BLOCK, 1)


def row(tile: Value, i: Value) -> Value:
    return pto.slice(tile, i, 0, 1, BLOCK)


def below(tile: Value, j: Value) -> Value:
    """Column j where it is below the diagonal, else 0."""
    return pto.where(pto.row_index(BLOCK) > j, column(tile, j), 0)


def right_of(tile: Value, i: Value) -> Value:
    """Row i where it is right of the diagonal, else 0."""
    return pto.where(pto.column_index(BLOCK) > i, row(tile, i), 0)


def with_column(tile: Value, j: Value, values: Value) -> Value:
    return pto.where(pto.column_index(BLOCK) == j, values, tile)


def with_row(tile: Value, i: Value, values: Value) -> Value:
    return pto.where(pto.row_index(BLOCK) == i, values, tile)


def each(start: Any, step: Any) -> Value:
    """What `step` makes of `start` for j = 0, 1... BLOCK - 1, one after another."""
    return pto.fori_loop(0, BLOCK, step, start)


@kernel
def potrf(a: InOut[Block]):
    """a = L Lᵀ; leaves L. Invariant: the columns before j are of L, those behind of a - L Lᵀ."""

    def step(j, t):
        scaled = column(t, j) * pto.rsqrt(pto.slice(t, j, j, 1, 1))
        behind = pto.where(pto.row_index(BLOCK) > j, scaled, 0)
        rest = t - pto.matmul(behind, behind, trans_b=True)
        return with_column(rest, j, pto.where(pto.row_index(BLOCK) >= j, scaled, 0))

    pto.store(a, each(pto.load(a), step))


@kernel
def trsm_transposed(l: In[Block], b: InOut[Block]):  # noqa: E741
    """Leaves X of X Lᵀ = b, column by column."""
    l = pto.load(l)  # noqa: E741

    def step(j, t):
        solved = column(t, j) / pto.slice(l, j, j, 1, 1)
        return with_column(t - pto.matmul(solved, below(l, j), trans_b=True), j, solved)

    pto.store(b, each(pto.load(b), step))


@kernel
def syrk(x: In[Block], y: In[Block], c: InOut[Block]):
    """c -= x yᵀ."""
    pto.store(c, c - pto.matmul(x, y, trans_b=True))


@kernel
def getrf(a: InOut[Block]):
    """a = L U without pivots; leaves U, and L below it, whose diagonal is 1."""

    def step(j, t):
        factors = below(t, j) / pto.slice(t, j, j, 1, 1)
        rest = t - pto.matmul(factors, right_of(t, j))
        return with_column(rest, j, pto.where(pto.row_index(BLOCK) > j, factors, column(t, j)))

    pto.store(a, each(pto.load(a), step))


@kernel
def trsm_lower(lu: In[Block], b: InOut[Block]):
    """Leaves X of L X = b, row by row."""
    lu = pto.load(lu)
    pto.store(b, each(pto.load(b), lambda i, t: t - pto.matmul(below(lu, i), row(t, i))))


@kernel
def trsm_upper(lu: In[Block], b: InOut[Block]):
    """Leaves X of X U = b, column by column."""
    lu = pto.load(lu)

    def step(j, t):
        solved = column(t, j) / pto.slice(lu, j, j, 1, 1)
        return with_column(t - pto.matmul(solved, right_of(lu, j)), j, solved)

    pto.store(b, each(pto.load(b), step))


@kernel
def gemm(x: In[Block], y: In[Block], c: InOut[Block]):
    """c -= x y."""
    pto.store(c, c - pto.matmul(x, y))


def cholesky(a: Tensor) -> Workload:
    """Leaves L in the lower triangle of `a` [blocks, blocks, BLOCK, BLOCK]."""
    blocks = a.shape[0]

    @workload
    def factorise():
        for k in P(blocks):
            potrf[k](a[k, k])
            for i in P(blocks - 1 - k):
                trsm_transposed[k, i](a[k, k], a[k + 1 + i, k])
            for i in P(blocks - 1 - k):
                for j in P(i + 1):
                    syrk[k, i, j](a[k + 1 + i, k], a[k + 1 + j, k], a[k + 1 + i, k + 1 + j])

    return factorise()


def lu(a: Tensor) -> Workload:
    """Leaves U in the upper triangle of `a` [blocks, blocks, BLOCK, BLOCK], L below."""
    blocks = a.shape[0]

    @workload
    def factorise():
        for k in P(blocks):
            getrf[k](a[k, k])
            for j in P(blocks - 1 - k):
                trsm_lower[k, j](a[k, k], a[k, k + 1 + j])
            for i in P(blocks - 1 - k):
                trsm_upper[k, i](a[k, k], a[k + 1 + i, k])
            for i in P(blocks - 1 - k):
                for j in P(blocks - 1 - k):
                    gemm[k, i, j](a[k + 1 + i, k], a[k, k + 1 + j], a[k + 1 + i, k + 1 + j])

    return factorise()


def in_blocks(a: np.ndarray) -> np.ndarray:
    """`a` [n, n] as float32 [blocks, blocks, BLOCK, BLOCK]."""
    blocks = len(a) // BLOCK
    split = a.reshape(blocks, BLOCK, blocks, BLOCK).swapaxes(1, 2)
    return np.ascontiguousarray(split, np.float32)


def whole(blocks: np.ndarray) -> np.ndarray:
    size = blocks.shape[0] * BLOCK
    return blocks.swapaxes(1, 2).reshape(size, size).astype(np.float64)


def lu_reference(a: np.ndarray) -> np.ndarray:
    """L and U of float64 in one matrix, without pivots."""
    a = a.astype(np.float64)
    for k in range(len(a) - 1):
        a[k + 1 :, k] /= a[k, k]
        a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
    return a


def run(size: int = SIZE) -> dict[str, tuple[Program, float]]:
    """By factorisation: the program after its run, and the largest error of a factor."""
    noise = np.random.default_rng(0).standard_normal((size, size))
    results = {}
    for build in (cholesky, lu):
        if build is cholesky:
            a = noise @ noise.T / size + np.eye(size)
            expected, kept = np.linalg.cholesky(in_whole(a)), np.tril
        else:
            a = noise / np.sqrt(size) + 4 * np.eye(size)
            expected, kept = lu_reference(in_whole(a)), np.asarray
        data = in_blocks(a)
        program = build(Tensor(data)).compile()
        program.execute()
        program.synchronize()
        results[build.__name__] = (program, float(np.abs(kept(whole(data)) - expected).max()))
    return results


def in_whole(a: np.ndarray) -> np.ndarray:
    """`a` as the program gets it: rounded to float32."""
    return a.astype(np.float32).astype(np.float64)


def main() -> int:
    results = run()
    for name, (program, worst) in results.items():
        print(
            f"{name}: {program.stats.task_count} tasks, largest error against float64 {worst:.1e}"
        )
    return 0 if all(worst < 1e-4 for _, worst in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
