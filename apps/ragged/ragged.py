"""Sequences of different lengths in one batch, and other lengths without compiling again.

    python apps/ragged/ragged.py

Memory holds every sequence in `LONGEST` rows. Blocks of 32 tokens are normalised by a task each, as
many as a sequence has; the last one is partial. Then one task a sequence lets its tokens attend to
each other. What lies behind the end of a sequence is neither read nor written.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from pto_wsp import (
    DType,
    In,
    Out,
    P,
    Program,
    Ragged,
    Tensor,
    Tile,
    Workload,
    kernel,
    pto,
    workload,
)
from pto_wsp.scalar_expr import minimum

LONGEST, DIM, BLOCK = 128, 64, 32
LENGTHS = [33, 64, 128, 15]
OTHERS = ([128, 1, 65, 32], [0, 96, 31, 127])
UNTOUCHED = 7.0

Block = Tile[BLOCK, DIM, DType.F32]
Tokens = Tile[LONGEST, DIM, DType.F32]


@kernel
def normalise(x: In[Block], y: Out[Block]):
    """Rows of mean square 1."""
    x = pto.load(x)
    pto.store(y, x * pto.rsqrt(pto.rowmean(x * x) + 1e-6))


@kernel
def attend(x: In[Tokens], out: Out[Tokens]):
    """softmax(x xᵀ / √d) x over the tokens that there are."""
    scores = pto.matmul(x, x, trans_b=True) * DIM**-0.5
    pto.store(out, pto.matmul(pto.softmax(scores), x))


def ragged_attention(x: Tensor, y: Tensor, out: Tensor, lengths: Sequence[int]) -> Workload:
    """Of `x`, `y`, `out` [sequences, LONGEST, DIM] the first ``lengths[b]`` rows each."""
    tokens = Ragged(len(lengths), lengths)

    @workload
    def batch():
        for b in P(len(lengths)):
            for block in P((tokens.length(b) + BLOCK - 1) // BLOCK):
                first = block * BLOCK
                rows = minimum(BLOCK, tokens.length(b) - first)
                normalise[b, block](
                    x[b][first : first + BLOCK].valid(rows=rows),
                    y[b][first : first + BLOCK].valid(rows=rows),
                )
        for b in P(len(lengths)):
            attend[b](y[b].valid(rows=tokens.length(b)), out[b].valid(rows=tokens.length(b)))

    return batch()


def reference(x: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
    """`y` and `out` in float64, `UNTOUCHED` behind the ends."""
    y, out = both = np.full((2, *x.shape), UNTOUCHED)
    for b, length in enumerate(lengths):
        part = x[b, :length].astype(np.float64)
        part /= np.sqrt(np.mean(part * part, axis=1, keepdims=True) + 1e-6)
        weights = np.exp(part @ part.T / np.sqrt(DIM))
        y[b, :length] = part
        out[b, :length] = weights / weights.sum(axis=1, keepdims=True) @ part
    return both


def run(
    lengths: Sequence[int] = LENGTHS, others: Sequence[Sequence[int]] = OTHERS
) -> tuple[Program, list[float]]:
    """The program after a run with each list of lengths, and the largest error of each run."""
    rng = np.random.default_rng(0)
    x = np.empty((len(lengths), LONGEST, DIM), np.float32)
    y, out = results = np.empty((2, *x.shape), np.float32)
    program = ragged_attention(Tensor(x), Tensor(y), Tensor(out), lengths).compile()
    errors = []
    for now in (lengths, *others):
        x[:] = rng.standard_normal(x.shape)
        for b, length in enumerate(now):
            x[b, length:] = np.nan  # would spoil every result that it reached
        results[:] = UNTOUCHED
        program.bind(lengths=now)
        program.execute()
        program.synchronize()
        errors.append(float(np.abs(results - reference(x, now)).max()))
    return program, errors


def main() -> int:
    program, errors = run()
    for lengths, worst in zip((LENGTHS, *OTHERS), errors):
        print(f"lengths {lengths}: largest error against float64 {worst:.1e}")
    print(program.stats)
    return 0 if all(worst < 1e-5 for worst in errors) and program.stats.cache_misses <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
