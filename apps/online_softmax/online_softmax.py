"""Attention over blocks of keys, as many as there are: lengths that tasks find out.

    python apps/online_softmax/online_softmax.py

A sequence ends at its first padding token; a task counts the tokens before it. A slot takes the
count up while the program runs, and decides which blocks of keys get a task and how much of the
last one counts. Each block is one step of the online softmax (Milakov and Gimelshein 2018): with
the scores s = q kᵀ / √d, m' = max(m, rowmax s), p = exp(s - m') and a = exp(m - m'),

    l' = a l + rowsum p        o' = a o + p v        and at the end o / l
"""

from __future__ import annotations

import sys

import numpy as np
from pto_wsp import (
    DType,
    In,
    InOut,
    Out,
    P,
    Program,
    Tensor,
    Tile,
    Workload,
    kernel,
    pto,
    slot_load_u64,
    slot_u64,
    workload,
)
from pto_wsp.scalar_expr import minimum

BATCH, QUERIES, DIM = 4, 32, 64
KEYS, BLOCK = 256, 32
LENGTHS = [33, 64, 256, 15]
OTHERS = [256, 1, 100, 224]
PADDING = 0

F32, I32 = DType.F32, DType.I32
Rows = Tile[QUERIES, DIM, F32]
Column = Tile[QUERIES, 1, F32]
Keys = Tile[BLOCK, DIM, F32]


@kernel
def count(tokens: In[Tile[1, KEYS, I32]], length: Out[Tile[1, 1, I32]]):
    """How many tokens are before the first that is padding."""
    place = pto.where(tokens == PADDING, pto.column_index(KEYS), KEYS)
    pto.store(length, pto.rowmin(place))


@kernel
def start(m: Out[Column], total: Out[Column], o: Out[Rows]):
    """No keys yet."""
    pto.store(m, pto.broadcast(pto.constant(-np.inf, F32), (QUERIES, 1)))
    pto.store(total, pto.alloc((QUERIES, 1), F32))
    pto.store(o, pto.alloc((QUERIES, DIM), F32))


@kernel
def take_keys(
    q: In[Rows], k: In[Keys], v: In[Keys], m: InOut[Column], total: InOut[Column], o: InOut[Rows]
):
    """Adds a block of keys, of which some may be missing."""
    scores = pto.matmul(q, k, trans_b=True) * DIM**-0.5
    new_m = pto.maximum(m, pto.rowmax(scores))
    p = pto.exp(scores - new_m)
    kept = pto.exp(m - new_m)
    pto.store(o, o * kept + pto.matmul(p, v))
    pto.store(total, total * kept + pto.rowsum(p))
    pto.store(m, new_m)


@kernel
def finish(total: In[Column], o: InOut[Rows]):
    pto.store(o, o / total)


def attention(
    tokens: Tensor, lengths: Tensor, q: Tensor, k: Tensor, v: Tensor, o: Tensor
) -> Workload:
    """`tokens` [batch, 1, KEYS], `lengths` [batch, 1], `q`, `o` [batch, QUERIES, DIM], `k`, `v`
    [batch, KEYS, DIM]."""
    m, total = (Tensor(np.zeros((BATCH, QUERIES, 1), np.float32), name=n) for n in ("m", "total"))

    @workload
    def over_blocks():
        for b in P(BATCH):
            count[b](tokens[b], lengths[b])
        for b in P(BATCH):
            start[b](m[b], total[b], o[b])
            slot_load_u64(0, lengths[b])
            for block in P.seq(KEYS // BLOCK):
                first = block * BLOCK
                with P.when(slot_u64(0) > first):
                    there = minimum(BLOCK, slot_u64(0) - first)
                    take_keys[b, block](
                        q[b],
                        k[b][first : first + BLOCK].valid(rows=there),
                        v[b][first : first + BLOCK].valid(rows=there),
                        m[b],
                        total[b],
                        o[b],
                    )
            finish[b](total[b], o[b])

    return over_blocks()


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, lengths: list[int]) -> np.ndarray:
    """Plain softmax in float64 over the keys that there are."""
    out = []
    for b, length in enumerate(lengths):
        scores = q[b].astype(np.float64) @ k[b, :length].T / np.sqrt(DIM)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out.append(weights / weights.sum(axis=1, keepdims=True) @ v[b, :length])
    return np.stack(out)


def run(runs: tuple[list[int], ...] = (LENGTHS, OTHERS)) -> tuple[Program, list[float], list[int]]:
    """The program after its runs, and of each run the largest error and the number of tasks."""
    rng = np.random.default_rng(0)
    q, o = rng.standard_normal((2, BATCH, QUERIES, DIM)).astype(np.float32)
    k, v = np.zeros((2, BATCH, KEYS, DIM), np.float32)
    tokens, found = np.zeros((BATCH, 1, KEYS), np.int32), np.zeros((BATCH, 1), np.int32)
    program = attention(*(Tensor(array) for array in (tokens, found, q, k, v, o))).compile()
    errors, tasks = [], []
    for lengths in runs:
        k[:], v[:] = rng.standard_normal((2, *k.shape))
        tokens[:] = rng.integers(1, 1000, tokens.shape)
        for b, length in enumerate(lengths):
            tokens[b, :, length:] = PADDING
            k[b, length:] = v[b, length:] = np.nan  # would spoil every result that it reached
        program.execute()
        program.synchronize()
        errors.append(float(np.abs(o - reference(q, k, v, lengths)).max()))
        tasks.append(program.stats.task_count)
    return program, errors, tasks


def main() -> int:
    program, errors, tasks = run()
    for lengths, worst, made in zip((LENGTHS, OTHERS), errors, tasks):
        print(f"lengths {lengths}: {made} tasks, largest error against float64 {worst:.1e}")
    print(program.stats)
    return 0 if all(worst < 1e-5 for worst in errors) and program.stats.cache_misses <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
