"""Pipelines against a sequential interpreter, and what happens in them at the same time."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pto_wsp
import pytest
from pto_wsp import (
    Channel,
    DType,
    In,
    InOut,
    Out,
    P,
    Scalar,
    Tensor,
    Tile,
    connect,
    consume,
    kernel,
    process,
    pto,
    replicate,
    send,
    workload,
)

F32 = DType.F32
T = Tile[2, 4, F32]


@kernel
def make(x: In[T], y: Out[T]):
    pto.store(y, pto.add(x, 1.0))


@kernel
def remember(x: In[T], state: InOut[T], y: Out[T]):
    """The order of tokens shows in what it makes of them."""
    pto.store(state, pto.add(pto.mul(state, 0.5), x))
    pto.store(y, state)


@kernel
def scale(x: In[T], y: Out[T]):
    pto.store(y, pto.mul(x, 3.0))


class Chain:
    """Stages in a row; each either scales its tokens or remembers those before. Where stages have
    several workers, or a channel several senders, they only scale."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.tokens = rng.choice([1, 2, 7, 25])
        self.senders = rng.choice([1, 1, 2, 3])
        stages = rng.randint(1, 5)
        self.depths = [rng.randint(0, 3) for _ in range(stages)]
        self.workers = [rng.choice([1, 1, 1, 2, 3]) for _ in range(stages)]
        self.carries = [rng.random() < 0.5 for _ in range(stages)]
        in_order = self.senders == 1
        self.remembers = []
        for workers in self.workers:
            in_order = in_order and workers == 1
            self.remembers.append(in_order and rng.random() < 0.6)
        self.x = np.asarray(
            np.random.default_rng(seed).integers(-8, 8, (self.tokens, 2, 4)), np.float32
        )

    def expected(self) -> np.ndarray:
        values = list(self.x + 1)
        for remembers in self.remembers:
            state = np.zeros((2, 4), np.float32)
            for i, value in enumerate(values):
                state = state * np.float32(0.5) + value
                values[i] = state if remembers else value * np.float32(3)
        return np.stack(values)

    def run(self) -> np.ndarray:
        x = Tensor(self.x)
        places = [Tensor(np.zeros_like(self.x)) for _ in range(len(self.depths) + 1)]
        states = [Tensor(np.zeros((2, 4), np.float32)) for _ in self.depths]
        channels = [Channel(f"c{i}", depth) for i, depth in enumerate(self.depths)]

        def source(first: int) -> Callable[[], None]:
            count = len(range(first, self.tokens, self.senders))

            def body() -> None:
                for j in P.seq(count):
                    i = first + self.senders * j
                    call = make[i](x[i]) if self.carries[0] else make[i](x[i], places[0][i])
                    send(channels[0], call)

            return body

        def stage(k: int) -> Callable[[], None]:
            last = k + 1 == len(channels)

            def body() -> None:
                with consume(channels[k]) as t:
                    taken = t if self.carries[k] else places[k][t]
                    out = () if not last and self.carries[k + 1] else (places[k + 1][t],)
                    if self.remembers[k]:
                        call = remember[t](taken, states[k], *out)
                    else:
                        call = scale[t](taken, *out)
                    if not last:
                        send(channels[k + 1], call)

            return body

        processes: list[object] = [
            process(f"source{s}").produces(channels[0]).body(source(s)) for s in range(self.senders)
        ]
        for k, workers in enumerate(self.workers):
            made = process(f"stage{k}").consumes(channels[k])
            if k + 1 < len(channels):
                made = made.produces(channels[k + 1])
            processes.append(replicate(made.body(stage(k)), workers))
        random.Random(self.tokens).shuffle(processes)
        if any(self.carries):
            # What a token carries is known once somebody sends it.
            processes.sort(key=lambda p: 0 if not isinstance(p, list) else int(p[0].name[5:]) + 1)
        program = connect(processes, channels).compile()
        for _ in range(2):
            for state in states:
                state.data[:] = 0
            program.execute()
            assert program.synchronize(timeout=60), "the pipeline hangs"
        return places[-1].data


def on_workers(workers: int, code: str) -> None:
    """Runs `code` in a process of its own."""
    path = os.pathsep.join([str(pathlib.Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PTO_WSP_WORKERS": str(workers), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("seed", range(12))
def test_random_pipelines(seed: int) -> None:
    chain = Chain(seed)
    np.testing.assert_array_equal(chain.run(), chain.expected())


@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_random_pipelines_on_workers(workers: int) -> None:
    code = (
        "import test_pipelines as t, numpy as np\n"
        "for seed in range(100, 104):\n"
        "    chain = t.Chain(seed)\n"
        "    np.testing.assert_array_equal(chain.run(), chain.expected())\n"
    )
    on_workers(workers, code)


# Kernels that meet: each says that it began and waits, for some seconds at most, until the other
# side has come as far as it should be able to.
_wait = """
    auto *shared = reinterpret_cast<volatile int64_t *>(flags);
    __atomic_store_n(&shared[mine], number + 1, __ATOMIC_SEQ_CST);
    int64_t seen = 0;
    for (int64_t looks = 0; looks < 1000000 && !seen; ++looks) {
        seen = __atomic_load_n(&shared[1 - mine], __ATOMIC_SEQ_CST) >= until;
        sched_yield();
    }
"""


@kernel(cpp_src=_wait + "y(0, 0) = seen;", cpp_includes=["<sched.h>"])
def produce(
    y: Out[Tile[1, 1, F32]],
    flags: Scalar[DType.I64],
    mine: Scalar[DType.I64],
    number: Scalar[DType.I64],
    until: Scalar[DType.I64],
): ...


@kernel(cpp_src=_wait + "y(0, 0) = seen + 0 * x(0, 0);", cpp_includes=["<sched.h>"])
def take(
    x: In[Tile[1, 1, F32]],
    y: Out[Tile[1, 1, F32]],
    flags: Scalar[DType.I64],
    mine: Scalar[DType.I64],
    number: Scalar[DType.I64],
    until: Scalar[DType.I64],
): ...


def test_two_stages_are_in_flight_at_once() -> None:
    """The consumer of token 0 ends only after the task of token 1 began: it has a slot of its own.
    With a single slot it would have to wait for the consumer, and the consumer in vain for it."""
    code = (
        "import test_pipelines as t\n"
        "met = t.meeting(depth=1, ahead=1)\n"
        "assert met == [1.0, 1.0, 1.0], met\n"
        "met = t.meeting(depth=0, ahead=1)\n"
        "assert met == [0.0, 0.0, 0.0], met\n"
    )
    on_workers(2, code)


def meeting(depth: int, ahead: int) -> list[float]:
    """For each token but the last, whether the body of its consumer saw the task of token
    ``number + ahead`` begin."""
    count = 4
    flags = np.zeros(2, np.int64)
    buffer = Tensor(np.zeros((1, 1), np.float32))
    seen = Tensor(np.zeros((count, 1, 1), np.float32))
    ch = Channel(depth=depth)
    address = int(flags.ctypes.data)

    @workload
    def pipeline():
        for i in P.seq(count):
            send(ch, produce[i](buffer, address, 0, i, 0))
        with consume(ch) as t:
            until = pto_wsp.scalar_expr.minimum(t + 1 + ahead, count)
            take[t](buffer, seen[t], address, 1, t, until)

    program = pipeline().compile()
    program.execute()
    assert program.synchronize(timeout=60)
    return [float(value) for value in seen.data[: count - 1, 0, 0]]


def test_a_payload_in_use_is_not_overwritten() -> None:
    """What a slow consumer reads stays until its body has run, however far its sender is."""
    count = 64
    x = Tensor(np.arange(count * 8, dtype=np.float32).reshape(count, 2, 4))
    copies = [Tensor(np.zeros((count, 2, 4), np.float32)) for _ in range(3)]
    ch = Channel(depth=2)

    @workload
    def pipeline():
        for i in P.seq(count):
            send(ch, make[i](x[i]))
        with consume(ch) as t:
            for copy in copies:
                scale[t](t, copy[t])

    program = pipeline().compile()
    for _ in range(5):
        program.execute()
        assert program.synchronize(timeout=20)
        for copy in copies:
            np.testing.assert_array_equal(copy.data, 3 * (x.data + 1))
            copy.data[:] = 0
