"""A transformer block: loops side by side, in the order of the formulas.

    python apps/transformer/transformer.py

    h = rmsnorm(x)    q, k, v = h Wq, h Wk, h Wv    q, k = rope(q), rope(k)
    a = softmax(causal(q kᵀ / √d)) v                x = x + sum of a Wo over the heads
    h = rmsnorm(x)    x = x + swiglu(h Wgate, h Wup) Wdown

Tasks work on blocks of tokens, those of attention on a head as well. No phase waits for the one
before it as a whole: a head attends as soon as its keys are there, and a block of tokens goes on
as soon as its heads are done.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields

import numpy as np
from pto_wsp import (
    Dense,
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
    kernels,
    pto,
    workload,
)

SEQ, BLOCK = 256, 64
HEADS, DIM = 4, 32
MODEL, HIDDEN = HEADS * DIM, 256
EPS = 1e-6

F32 = DType.F32
Tokens = Tile[BLOCK, MODEL, F32]
Head = Tile[BLOCK, DIM, F32]
Wide = Tile[BLOCK, HIDDEN, F32]

norm = kernels.rmsnorm_kernel(Tokens, EPS)
to_head = kernels.matmul_kernel(BLOCK, DIM, MODEL)
rotate = kernels.rope_kernel(Head)
attend = kernels.attention_kernel(BLOCK, SEQ, DIM, query_start=None, is_causal=True)
widen = kernels.matmul_kernel(BLOCK, HIDDEN, MODEL)
gated = kernels.swiglu_kernel(Wide)


@kernel
def copy(x: In[Tokens], y: Out[Tokens]):
    pto.store(y, pto.load(x))


@kernel
def add_head(a: In[Head], w: In[Tile[DIM, MODEL, F32]], x: InOut[Tokens]):
    """x += a w."""
    pto.store(x, x + pto.matmul(a, w))


@kernel
def add_wide(h: In[Wide], w: In[Tile[HIDDEN, MODEL, F32]], x: InOut[Tokens]):
    """x += h w."""
    pto.store(x, x + pto.matmul(h, w))


@dataclass
class Weights:
    """Of one block; those of heads as [HEADS, MODEL, DIM]."""

    first_gain: np.ndarray  # [1, MODEL]
    query: np.ndarray
    key: np.ndarray
    value: np.ndarray
    projection: np.ndarray  # [HEADS, DIM, MODEL]
    second_gain: np.ndarray  # [1, MODEL]
    gate: np.ndarray  # [MODEL, HIDDEN]
    up: np.ndarray  # [MODEL, HIDDEN]
    down: np.ndarray  # [HIDDEN, MODEL]


def transformer_block(x: np.ndarray, y: np.ndarray, weights: Weights) -> Workload:
    """`y` becomes the block of `x`, both [SEQ, MODEL]."""
    blocks, heads = Dense[SEQ // BLOCK], Dense[HEADS]
    in_blocks = (len(blocks), BLOCK, MODEL)
    X, Y = Tensor(x.reshape(in_blocks)), Tensor(y.reshape(in_blocks))
    W = {each.name: Tensor(getattr(weights, each.name)) for each in fields(weights)}

    def scratch(name: str, *shape: int) -> Tensor:
        return Tensor(np.zeros(shape, np.float32), name=name)

    H = scratch("H", *in_blocks)
    Q, K, V, A = (scratch(name, HEADS, SEQ, DIM) for name in "QKVA")
    Gate, Up = (scratch(name, len(blocks), BLOCK, HIDDEN) for name in ("Gate", "Up"))
    cos, sin = (Tensor(table.astype(np.float32)) for table in angles())

    @workload
    def block():
        for i in P(blocks):
            norm[i](X[i], W["first_gain"], H[i])
            copy[i](X[i], Y[i])
        for i, h in P(blocks, heads):
            rows = slice(i * BLOCK, (i + 1) * BLOCK)
            to_head[i, h](H[i], W["query"][h], Q[h][rows])
            to_head[i, h](H[i], W["key"][h], K[h][rows])
            to_head[i, h](H[i], W["value"][h], V[h][rows])
            rotate[i, h](Q[h][rows], cos[rows], sin[rows], Q[h][rows])
            rotate[i, h](K[h][rows], cos[rows], sin[rows], K[h][rows])
        for i, h in P(blocks, heads):
            rows = slice(i * BLOCK, (i + 1) * BLOCK)
            seen = (i + 1) * BLOCK
            attend[i, h](
                Q[h][rows],
                K[h].valid(rows=seen),
                V[h].valid(rows=seen),
                query_start=i * BLOCK,
                out=A[h][rows],
            )
            add_head[i, h](A[h][rows], W["projection"][h], Y[i])
        for i in P(blocks):
            norm[i](Y[i], W["second_gain"], H[i])
            widen[i](H[i], W["gate"], Gate[i])
            widen[i](H[i], W["up"], Up[i])
            gated[i](Gate[i], Up[i], Gate[i])
            add_wide[i](Gate[i], W["down"], Y[i])

    return block()


def angles() -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of the angle by which each position turns each pair of dimensions."""
    turns = np.outer(np.arange(SEQ), 10000.0 ** (-np.arange(DIM // 2) / (DIM // 2)))
    return np.cos(turns), np.sin(turns)


def reference(x: np.ndarray, weights: Weights) -> np.ndarray:
    """The same in float64."""
    w = weights
    cos, sin = angles()

    def norm(x: np.ndarray, gain: np.ndarray) -> np.ndarray:
        return x / np.sqrt(np.mean(x * x, axis=1, keepdims=True) + EPS) * gain

    def rope(x: np.ndarray) -> np.ndarray:
        a, b = x[..., : DIM // 2], x[..., DIM // 2 :]
        return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)

    x = x.astype(np.float64)
    h = norm(x, w.first_gain)
    q, k, v = rope(h @ w.query), rope(h @ w.key), h @ w.value
    scores = q @ k.swapaxes(1, 2) / np.sqrt(DIM) + np.triu(np.full((len(x), len(x)), -np.inf), 1)
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    x = x + (p / p.sum(axis=-1, keepdims=True) @ v @ w.projection).sum(axis=0)
    h = norm(x, w.second_gain)
    gate = h @ w.gate
    return x + (gate / (1 + np.exp(-gate)) * (h @ w.up)) @ w.down


def run() -> tuple[Program, float]:
    """The program after one run, and the largest error."""
    rng = np.random.default_rng(0)

    def random(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[-2])).astype(np.float32)

    def gain() -> np.ndarray:
        return (1 + 0.1 * rng.standard_normal((1, MODEL))).astype(np.float32)

    weights = Weights(
        first_gain=gain(),
        query=random(HEADS, MODEL, DIM),
        key=random(HEADS, MODEL, DIM),
        value=random(HEADS, MODEL, DIM),
        projection=random(HEADS, DIM, MODEL),
        second_gain=gain(),
        gate=random(MODEL, HIDDEN),
        up=random(MODEL, HIDDEN),
        down=random(HIDDEN, MODEL),
    )
    x = rng.standard_normal((SEQ, MODEL)).astype(np.float32)
    y = np.zeros_like(x)
    program = transformer_block(x, y, weights).compile()
    program.execute()
    program.synchronize()
    return program, float(np.abs(y - reference(x, weights)).max())


def main() -> int:
    program, worst = run()
    print(f"{program.stats.task_count} tasks, largest error against float64 {worst:.1e}")
    print(program.stats)
    return 0 if worst < 1e-4 else 1


if __name__ == "__main__":
    sys.exit(main())
