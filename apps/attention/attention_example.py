"""Multi-head attention: kernels on tiles, a workload of one task per (batch, head), a schedule.

    python apps/attention/attention_example.py

prints what each step makes, runs the 32 tasks on random data and compares error and time with
NumPy and, where it is installed, PyTorch.
"""

from __future__ import annotations

import sys

import measure
import numpy as np
from pto_wsp import (
    Dense,
    DispatchPolicy,
    DType,
    In,
    InOut,
    Out,
    P,
    Program,
    Tensor,
    TensorLayout,
    Tile,
    TypeChecker,
    Workload,
    jit_kernel,
    kernel,
    tensor_layout_join,
    tl,
    workload,
)

BATCH, HEADS, SEQ, DIM = 4, 8, 512, 64
SHAPE = (BATCH, HEADS, SEQ, DIM)
STREAMS = 4
TILE = 32
RULE = "=" * 60

F16, F32 = DType.F16, DType.F32

batch = Dense[BATCH]
heads = Dense[HEADS]


@jit_kernel
def attention_tile_jit(
    q: In[Tile[TILE, DIM, F16]],
    k: In[Tile[TILE, DIM, F16]],
    v: In[Tile[TILE, DIM, F16]],
    row_max: InOut[Tile[TILE, 1, F32]],
    row_sum: InOut[Tile[TILE, 1, F32]],
    o: InOut[Tile[TILE, DIM, F32]],
):
    """One step of online softmax: takes one block of keys into the rows of `q`.

    With the scores s = q kᵀ / √d, m' = max(m, rowmax s) and p = exp(s - m'), the sum is
    l' = l exp(m - m') + rowsum p and the output o' = (o l exp(m - m') + p v) / l'. Invariant: `o`
    is the attention over the keys so far.
    """
    scale = tl.rsqrt(tl.constant(DIM, F32))
    scores = tl.mul(tl.matmul(q, k, trans_b=True), scale)
    new_max = tl.maximum(row_max, tl.rowmax(scores))
    weights = tl.exp(scores - new_max)
    kept = row_sum * tl.exp(row_max - new_max)
    new_sum = kept + tl.rowsum(weights)
    tl.store(o, tl.div(o * kept + tl.matmul(tl.cast(weights, F16), v), new_sum))
    tl.store(row_sum, new_sum)
    tl.store(row_max, new_max)


@kernel
def attention_head(Q: In[Tensor], K: In[Tensor], V: In[Tensor], O: Out[Tensor]):  # noqa: E741
    """Attention of one head; declared here, supplied to the program."""


@kernel
def whole_tile_attention(q: In[Tensor], k: In[Tensor], v: In[Tensor], o: Out[Tensor]):
    """softmax(q kᵀ / √d) v on whole tiles: the schedule does the blocking."""
    scores = tl.mul(tl.matmul(q, k, trans_b=True), q.shape[1] ** -0.5)
    tl.store(o, tl.matmul(tl.softmax(scores), v))


@kernel
def whole_tile_causal(q: In[Tensor], k: In[Tensor], v: In[Tensor], o: Out[Tensor]):
    """The same where row i attends to the keys up to i."""
    scores = tl.mul(tl.matmul(q, k, trans_b=True), q.shape[1] ** -0.5)
    tl.store(o, tl.matmul(tl.softmax(tl.causal_mask(scores)), v))


def multi_head_attention(q: Tensor, k: Tensor, v: Tensor, o: Tensor) -> Workload:
    """One task for each batch and head."""

    @workload
    def attention(batch, heads):
        for b, h in P(batch, heads):
            attention_head[b, h](Q=q[b, h], K=k[b, h], V=v[b, h], O=o[b, h])

    return attention(batch, heads)


def scheduled(work: Workload) -> Workload:
    """A stream per batch; the tasks of a batch stay on one worker."""
    return (
        work.dispatch(DispatchPolicy.affinity(lambda t: t.get("batch")))
        .streams(STREAMS)
        .stream_by(lambda t: t.get("batch") % STREAMS)
    )


def check_tile_kernel(rng: np.random.Generator) -> float:
    """Runs `attention_tile_jit` over 16 blocks of keys; its largest error against float64."""
    step = attention_tile_jit.compile()
    q = rng.standard_normal((TILE, DIM)).astype(np.float16)
    k, v = (rng.standard_normal((16 * TILE, DIM)).astype(np.float16) for _ in range(2))
    row_max = np.full((TILE, 1), -np.inf, np.float32)
    row_sum = np.zeros((TILE, 1), np.float32)
    o = np.zeros((TILE, DIM), np.float32)
    for block in range(0, len(k), TILE):
        step(q, k[block : block + TILE], v[block : block + TILE], row_max, row_sum, o)
    expected = measure.reference_attention(q, k, v, causal=False)
    return float(np.abs(o - expected).max())


def main() -> int:
    print(RULE)
    print("PTO-RT v9 Multi-Head Attention Example")
    print(RULE)
    print()

    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(SHAPE).astype(np.float32) for _ in range(3)]
    result = np.zeros(SHAPE, np.float32)
    work = multi_head_attention(*(Tensor(array) for array in arrays), Tensor(result))
    tasks = work.enumerate()

    print("Configuration:")
    print(f"  Batch size: {BATCH}")
    print(f"  Num heads:  {HEADS}")
    print(f"  Seq length: {SEQ}")
    print(f"  Head dim:   {DIM}")
    print(f"  Total tasks: {len(tasks)}")
    print()

    used = {op.name for op in attention_tile_jit.ir.ops}
    shown = [f"tl.{name}" for name in ("matmul", "rsqrt", "rowmax", "exp", "div") if name in used]
    print("JIT Kernel (@jit_kernel + tl.*):")
    print(f"  Name: {attention_tile_jit.name}")
    for name in ("q", "k", "v"):
        print(f"  {name.upper()} tile: {attention_tile_jit.signature[name].spec.tile!r}")
    print(f"  Operations: {', '.join(shown)}")
    print()

    print("Building workload...")
    print(f"  Workload type: {type(work).__name__}")
    print()

    print("Applying schedule...")
    schedule = scheduled(work)
    print(f"  Scheduled type: {type(schedule).__name__}")
    streams = schedule.schedule.get("streams")
    assert streams is not None
    print(f"  Streams: {streams.arguments['count']}")
    print()

    print("Type checking...")
    errors = TypeChecker().check(work)
    joined = tensor_layout_join(TensorLayout.default(4), TensorLayout.sharded(0, rank=4))
    print(f"  Layout join R ⊔ S(0): {joined!r}")
    print()

    print("Compiling program...")
    program = schedule.compile(target="cpu_sim")
    program.register_kernel("attention_head", whole_tile_attention)
    print(f"  Program type: {type(program).__name__}")
    print()

    print("Executing with CPU simulation...")
    program.execute()
    program.synchronize()
    print("Execution complete!")
    print()

    expected = measure.reference_attention(*arrays, causal=False)
    worst = float(np.abs(result - expected).max())
    tile_error = check_tile_kernel(rng)
    if errors or len(tasks) != 32 or worst > 1e-5 or tile_error > 5e-3:
        print(f"wrong result: {errors} {len(tasks)} tasks, errors {worst:.1e} and {tile_error:.1e}")
        return 1
    print("Example completed successfully!")
    print(RULE)

    print()
    print(f"attention_tile_jit over 16 blocks of keys: max error {tile_error:.1e} (F16 inputs)")
    compare(program, arrays, result)
    return 0


def compare(full: Program, arrays: list[np.ndarray], result: np.ndarray) -> None:
    """Measures the program against NumPy and PyTorch on the same data."""
    causal_result = np.zeros(SHAPE, np.float32)
    work = multi_head_attention(*(Tensor(array) for array in arrays), Tensor(causal_result))
    causal = scheduled(work).compile(target="cpu_sim")
    causal.register_kernel(attention_head, whole_tile_causal)
    for mask, program, out in (("full", full, result), ("causal", causal, causal_result)):
        contest = measure.Contest(SHAPE, causal=mask == "causal", threads=measure.cores())
        contest.add("pto_wsp", lambda program=program: measure.run(program), lambda out=out: out)
        contest.add_peers(*arrays)
        print()
        measure.print_table(f"{mask} attention, f32 {SHAPE}", contest.measure(rounds=9))
    stats = full.stats
    print()
    print(
        f"compiled in {stats.compile_time_ms:.1f} ms (cache: {stats.cache_hits} hits, "
        f"{stats.cache_misses} misses), {stats.task_count} tasks, "
        f"{stats.parallel_tasks} of them in parallel"
    )


if __name__ == "__main__":
    sys.exit(main())
