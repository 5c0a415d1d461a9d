"""The schedules of the specification and the tutorial run as they are written there."""

import numpy as np
import pytest
from pto_wsp import (
    Dense,
    DenseDyn,
    Deps,
    DepsMode,
    DispatchPolicy,
    DType,
    In,
    Out,
    P,
    Pools,
    Program,
    ReadyPolicy,
    ScheduleError,
    Sparse,
    TaskWindow,
    Tensor,
    Tile,
    TimingPolicy,
    WindowMode,
    kernel,
    pto,
    workload,
)

F32 = DType.F32
TILE = Tile[4, 4, F32]
batch_size = 4
num_heads = 8


@kernel
def attn_kernel(Q: In[TILE], K: In[TILE], V: In[TILE], O: Out[TILE]):  # noqa: E741
    pto.store(O, Q + pto.matmul(K, V))


Q = Tensor(np.random.default_rng(1).random((4, 8, 4, 4)).astype(np.float32))
K = Tensor(np.random.default_rng(2).random((4, 4, 4)).astype(np.float32))
V = Tensor(np.random.default_rng(3).random((4, 4, 4)).astype(np.float32))
O = Tensor(np.zeros((4, 8, 4, 4), np.float32))  # noqa: E741


@workload
def attention_of(batch, heads):
    for b, h in P(batch, heads):
        attn_kernel[b, h](Q=Q[b, h], K=K[b], V=V[b], O=O[b, h])


batch = DenseDyn(batch_size)
heads = Dense[8]


def attention():
    return attention_of(batch, heads)


def ran(program: Program) -> None:
    O.data[:] = 0
    program.execute()
    assert program.synchronize(timeout=60)
    want = Q.data + (K.data @ V.data)[:, None]
    np.testing.assert_allclose(O.data, want, rtol=1e-5)
    assert program.stats.task_count == 32


def test_a_complete_schedule() -> None:
    program = (
        attention()
        .dispatch(DispatchPolicy.round_robin(4))
        .task_graph(window=TaskWindow(8192, "tasks", WindowMode.STALL))
        .compile(target="cpu_sim")
    )
    ran(program)
    assert program.stats.total_cycles > 0


def test_dispatch_policies_of_the_specification() -> None:
    schedule = attention()
    ran(schedule.dispatch(DispatchPolicy.round_robin(num_aicpus=4)).compile())
    ran(schedule.dispatch(DispatchPolicy.affinity(lambda t: t.batch)).compile())

    def custom_logic(t):
        return t.batch * 2 + t.head // 4

    ran(schedule.dispatch(DispatchPolicy.dispatch_by(lambda t: custom_logic(t))).compile())
    # `key` stands for a loop variable that these tasks do not have.
    policy = DispatchPolicy.hash(lambda t: t.key)
    with pytest.raises(ScheduleError, match='unknown axis name "key"'):
        schedule.dispatch(policy)


def test_streams_of_the_specification() -> None:
    schedule = attention().streams(4).stream_by(lambda t: t.get("head") % 4)
    ran(schedule.compile())


@pytest.mark.parametrize("n", [1, 5])
def test_timing_of_the_specification(n: int) -> None:
    schedule = attention()
    ran(schedule.timing(TimingPolicy.immediate).compile())
    ran(schedule.timing(TimingPolicy.batched(n)).compile())
    ran(schedule.timing(TimingPolicy.interleaved(n)).compile())
    ran(schedule.timing(TimingPolicy.rate_limit(20.0 * n)).compile())


def test_a_mesh_of_the_specification() -> None:
    schedule = attention().spatial_map(grid=(4, 4))
    program = schedule.compile()
    ran(program)
    assert "layouts are checked against the mesh" in str(program.explain())


def test_attention_with_variable_lengths() -> None:
    program = (
        attention()
        .dispatch(DispatchPolicy.affinity(lambda t: t.get("batch")))
        .streams(2)
        .stream_by(lambda t: t.get("head") % 2)
        .timing(TimingPolicy.immediate)
        .compile()
    )
    ran(program)


def test_experts_with_work_stealing() -> None:
    indptr = [0, 2, 5, 7, 10]
    indices = [1, 3, 0, 2, 4, 1, 5, 0, 3, 7]
    routing = Sparse(4, indptr, indices)
    tokens = Tensor(np.ones((4, 4, 4), np.float32))
    weights = Tensor(np.random.default_rng(4).random((8, 4, 4)).astype(np.float32))
    out = Tensor(np.zeros((4, 8, 4, 4), np.float32))

    @kernel
    def expert(tokens: In[TILE], weights: In[TILE], out: Out[TILE]):
        pto.store(out, pto.matmul(tokens, weights))

    @workload
    def moe(batch, routing):
        for b in P(batch):
            for e in P.sel(routing[b]):
                expert[b, e](tokens=tokens[b], weights=weights[e], out=out[b, e])

    program = (
        moe(batch, routing)
        .dispatch(DispatchPolicy.work_steal())
        .streams(8)
        .stream_by(lambda t: t.get("expert"))
        .compile()
    )
    program.execute()
    program.synchronize()
    assert program.stats.task_count == 10
    for b in range(4):
        for e in indices[indptr[b] : indptr[b + 1]]:
            np.testing.assert_allclose(out.data[b, e], tokens.data[b] @ weights.data[e], rtol=1e-5)


def test_schedules_of_the_tutorial() -> None:
    program = (
        attention()
        .dispatch(DispatchPolicy.round_robin(4))  # 4 executors
        .streams(2)  # 2 concurrent streams
        .timing(TimingPolicy.immediate)  # Execute ASAP
        .compile()
    )
    ran(program)
    for policy in (
        DispatchPolicy.round_robin(4),
        DispatchPolicy.affinity(lambda t: t.get("batch")),
        DispatchPolicy.hash(lambda t: (t.get("batch"), t.get("head"))),
        DispatchPolicy.work_steal(),
    ):
        ran(attention().dispatch(policy).compile())
    for timing in (
        TimingPolicy.immediate,
        TimingPolicy.batched(batch_size=16),
        TimingPolicy.interleaved(priority=1),
    ):
        ran(attention().streams(16).timing(timing).compile())


def test_the_task_graph_mode_of_the_tutorial() -> None:
    program = (
        attention()
        .task_graph(
            deps=Deps(mode=DepsMode.tensor_map_exact),  # Exact tensor dependency
            ready=ReadyPolicy.work_steal(),  # Work-stealing scheduler
            pools=Pools.by_exec_unit(),  # Per-unit task pools
        )
        .compile()
    )
    ran(program)
