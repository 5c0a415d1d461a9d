"""Attention as a pipeline of processes: load, score, softmax, value.

    python apps/pipelined_attention/pipelined_attention.py

    Q ──▶ load ══▶ score ══▶ softmax ══▶ value ──▶ O
                     ▲                     ▲
                     K                     V

A token is a block of queries of a head, (h, i). It carries a tile that its sender leaves behind:
the queries, their scores, their weights. A channel of depth 2 stores three of them, so that while
one stage works on block i the stage before it already works on block i + 1; no stage names a buffer
and none is as large as the scores of a whole head. For block i of head h

    S = Q_i Kᵀ / √d        P = softmax(S)        O_i = P V
"""

from __future__ import annotations

import numpy as np
from pto_wsp import (
    Channel,
    DType,
    In,
    Out,
    P,
    Program,
    Tensor,
    Tile,
    consume,
    kernel,
    pto,
    send,
    workload,
)

HEADS, KEYS, DIM = 4, 256, 64
BLOCK = 32
DEPTH = 2

F32 = DType.F32
Rows = Tile[BLOCK, DIM, F32]
Scores = Tile[BLOCK, KEYS, F32]
Keys = Tile[KEYS, DIM, F32]


@kernel
def load(queries: In[Rows], scaled: Out[Rows]):
    """The queries, with the scale of the scores."""
    pto.store(scaled, pto.mul(queries, DIM**-0.5))


@kernel
def score(queries: In[Rows], keys: In[Keys], scores: Out[Scores]):
    pto.store(scores, pto.matmul(queries, keys, trans_b=True))


@kernel
def softmax(scores: In[Scores], weights: Out[Scores]):
    pto.store(weights, pto.softmax(scores))


@kernel
def value(weights: In[Scores], values: In[Keys], out: Out[Rows]):
    pto.store(out, pto.matmul(weights, values))


def build(q: Tensor, k: Tensor, v: Tensor, o: Tensor, depth: int = DEPTH) -> Program:
    """The pipeline over `q`, `o` [heads, blocks, rows, dim] and `k`, `v` [heads, keys, dim]."""
    heads, blocks = q.shape[0], q.shape[1]
    loaded = Channel("loaded", depth=depth)
    scored = Channel("scored", depth=depth)
    weighted = Channel("weighted", depth=depth)

    @workload
    def attention():
        for h in P.seq(heads):
            for i in P.seq(blocks):
                send(loaded, load[h, i](q[h, i]))
        with consume(loaded) as t:
            h, i = t
            send(scored, score[h, i](t, k[h]))
        with consume(scored) as t:
            h, i = t
            send(weighted, softmax[h, i](t))
        with consume(weighted) as t:
            h, i = t
            value[h, i](t, v[h], o[h, i])

    return attention().compile()


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The same in float64."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    scores = np.einsum("hbrd,hkd->hbrk", q, k) * DIM**-0.5
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("hbrk,hkd->hbrd", weights, v)


def run(heads: int = HEADS, blocks: int = 16, depth: int = DEPTH) -> tuple[Program, float]:
    """Runs it once; the program and the largest error against float64."""
    random = np.random.default_rng(0)
    q = random.standard_normal((heads, blocks, BLOCK, DIM)).astype(np.float32)
    k, v = random.standard_normal((2, heads, KEYS, DIM)).astype(np.float32)
    o = np.zeros_like(q)
    program = build(*(Tensor(array) for array in (q, k, v, o)), depth)
    program.execute()
    program.synchronize()
    return program, float(np.abs(o - reference(q, k, v)).max())


def main() -> None:
    for depth in (0, 1, 2, 4):
        program, worst = run(depth=depth)
        stats = program.stats
        print(
            f"depth {depth}: {stats.task_count} tasks, {stats.parallel_tasks} beside another one, "
            f"{stats.execute_time_ms:.2f} ms: largest error against float64 {worst:.1e}"
        )


if __name__ == "__main__":
    main()
