"""A mixture of experts: random scores choose which expert sees which token.

    python apps/mixture_of_experts/mixture_of_experts.py [--dispatch affinity]

A kernel takes the best `CHOSEN` experts of every token. `Sparse` holds, expert by expert, which
tokens came; ``P.sel`` makes one task of each. Other tokens go other ways through the same program:
nothing is compiled again. Any schedule gives the same result: `--dispatch` names one.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from pto_wsp import (
    DispatchPolicy,
    DType,
    In,
    InOut,
    Out,
    P,
    Program,
    Schedule,
    Sparse,
    Tensor,
    Tile,
    Workload,
    kernel,
    pto,
    workload,
)

TOKENS, EXPERTS, CHOSEN = 192, 8, 2
DIM, HIDDEN = 64, 96
BATCHES = 3

SCHEDULES = {
    "none": Schedule(),
    "round_robin": Schedule().dispatch(DispatchPolicy.round_robin(4)),
    "affinity": Schedule().dispatch(DispatchPolicy.affinity(lambda t: t.get("t"))),
    "hash": Schedule().dispatch(DispatchPolicy.hash(lambda t: t.get("t"))),
    "dispatch_by": Schedule().dispatch(DispatchPolicy.dispatch_by(lambda t: t.get("t") // 8)),
    "work_steal": Schedule()
    .dispatch(DispatchPolicy.work_steal())
    .streams(8)
    .stream_by(lambda t: t.get("t")),
}

F32 = DType.F32
Token = Tile[1, DIM, F32]


@kernel
def choose(
    x: In[Tile[TOKENS, DIM, F32]],
    router: In[Tile[DIM, EXPERTS, F32]],
    shares: Out[Tile[TOKENS, CHOSEN, F32]],
    experts: Out[Tile[TOKENS, CHOSEN, DType.U32]],
):
    """The best experts of each token, and the share that each has in its result."""
    best, places = pto.topk(pto.matmul(x, router), CHOSEN)
    pto.store(shares, pto.softmax(best))
    pto.store(experts, places)


@kernel
def clear(y: Out[Token]):
    pto.store(y, pto.alloc((1, DIM), F32))


@kernel
def expert(
    x: In[Token],
    share: In[Tile[1, 1, F32]],
    up: In[Tile[DIM, HIDDEN, F32]],
    down: In[Tile[HIDDEN, DIM, F32]],
    y: InOut[Token],
):
    """Adds what one expert says of one token."""
    pto.store(y, y + share * pto.matmul(pto.silu(pto.matmul(x, up)), down))


def by_expert(experts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For chosen `experts` [tokens, CHOSEN]: where each expert's tokens start, and the tokens."""
    order = np.argsort(experts.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(experts.ravel(), minlength=EXPERTS))])
    return starts, order // experts.shape[1]


def mixture(
    x: Tensor, gates: Tensor, up: Tensor, down: Tensor, y: Tensor, routing: Sparse
) -> Workload:
    """`gates` [tokens, EXPERTS] holds the shares; row e of `routing` lists the tokens of e."""

    @workload
    def experts():
        for t in P(TOKENS):
            clear[t](y[t])
        for e in P(EXPERTS):
            for t in P.sel(routing[e]):
                expert[e, t](x[t], gates[t][e : e + 1], up[e], down[e], y[t])

    return experts()


def reference(x: np.ndarray, router: np.ndarray, up: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The same in float64, all experts of a token at once."""
    x = x.astype(np.float64)
    scores = x @ router
    chosen = np.argsort(-scores, axis=1, kind="stable")[:, :CHOSEN]
    best = np.take_along_axis(scores, chosen, axis=1)
    shares = np.exp(best) / np.exp(best).sum(axis=1, keepdims=True)
    hidden = np.einsum("td,tkdh->tkh", x, up[chosen])
    said = np.einsum("tkh,tkhd->tkd", hidden / (1 + np.exp(-hidden)), down[chosen])
    return np.einsum("tk,tkd->td", shares, said)


def run(batches: int = BATCHES, dispatch: str = "none") -> tuple[Program, list[float]]:
    """The program after all batches of tokens, and the largest error of each."""
    rng = np.random.default_rng(0)
    up = (rng.standard_normal((EXPERTS, DIM, HIDDEN)) / np.sqrt(DIM)).astype(np.float32)
    down = (rng.standard_normal((EXPERTS, HIDDEN, DIM)) / np.sqrt(HIDDEN)).astype(np.float32)
    router = rng.standard_normal((DIM, EXPERTS)).astype(np.float32)
    x, y = np.zeros((2, TOKENS, DIM), np.float32)
    gates = np.zeros((TOKENS, EXPERTS), np.float32)
    shares = np.zeros((TOKENS, CHOSEN), np.float32)
    experts = np.zeros((TOKENS, CHOSEN), np.uint32)
    router_step = choose.compile()

    indptr, indices = np.zeros(EXPERTS + 1, np.int64), np.zeros(0, np.int64)
    routing = Sparse(EXPERTS, indptr, indices)
    work = mixture(*(Tensor(array) for array in (x, gates, up, down, y)), routing)
    program = work.with_schedule(SCHEDULES[dispatch]).compile()

    errors = []
    for _ in range(batches):
        x[:] = rng.standard_normal(x.shape)
        router_step(x, router, shares, experts)
        np.put_along_axis(gates, experts.astype(np.int64), shares, axis=1)
        indptr, indices = by_expert(experts)
        program.bind(indptr=indptr, indices=indices)
        program.execute()
        program.synchronize()
        errors.append(float(np.abs(y - reference(x, router, up, down)).max()))
        print(f"tokens of each expert {np.diff(indptr).tolist()}: error {errors[-1]:.1e}")
    return program, errors


def main() -> int:
    options = argparse.ArgumentParser(description="A mixture of experts.")
    options.add_argument("--dispatch", choices=SCHEDULES, default="none")
    program, errors = run(dispatch=options.parse_args().dispatch)
    print(program.stats)
    return 0 if all(worst < 1e-4 for worst in errors) and program.stats.cache_misses <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
