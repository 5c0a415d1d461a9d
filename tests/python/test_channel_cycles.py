"""The channel part of the virtual-cycle model, against a second model of its rules.

The rules: each process has a clock that its tasks advance. A token carries the clock of its sender.
Receive: clock = max(clock, token + latency). Send i into a channel of capacity C > 0: clock =
max(clock, pop time of token i - C); C = 0: the sender's clock becomes the receiver's. Of replicated
consumers the one with the smallest clock gets the token. The total is the largest clock.
"""

from __future__ import annotations

import random

import numpy as np
import pytest
from pto_wsp import (
    Channel,
    DType,
    In,
    Out,
    P,
    Tensor,
    Tile,
    TypeCheckError,
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
LATENCY = "__pto_wsp_channel_latency_cycles"


def kernel_of(columns: int):
    """A kernel of 2 * columns cycles: a load and a store."""

    @kernel
    def copy(x: In[Tile[1, columns, F32]], y: Out[Tile[1, columns, F32]]):
        pto.store(y, pto.load(x))

    return copy


KERNELS = {cycles: kernel_of(cycles // 2) for cycles in (2, 10, 24, 100)}
IN, OUT = ({c: Tensor(np.zeros((1, c // 2), np.float32)) for c in KERNELS} for _ in range(2))


def do(cycles: int, *axes):
    return KERNELS[cycles][axes](IN[cycles], Tensor(np.zeros((1, cycles // 2), np.float32)))


class Chain:
    """source -> stage -> stage ..., each with its cycles before it sends and after."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.tokens = rng.choice([1, 2, 5, 9])
        self.depths = [rng.randint(0, 3) for _ in range(rng.randint(1, 4))]
        self.sent = [rng.choice(list(KERNELS)) for _ in self.depths]
        self.after = [rng.choice([0, *KERNELS]) for _ in self.depths]
        self.last = rng.choice(list(KERNELS))
        self.latency = rng.choice([0, 0, 7, 50])

    def program(self):
        channels = [Channel(f"c{i}", depth) for i, depth in enumerate(self.depths)]

        @workload
        def chain():
            for i in P.seq(self.tokens):
                send(channels[0], do(self.sent[0], i))
                if self.after[0]:
                    do(self.after[0], i)
            for k in range(1, len(channels)):
                with consume(channels[k - 1]) as t:
                    send(channels[k], do(self.sent[k], t))
                    if self.after[k]:
                        do(self.after[k], t)
            with consume(channels[-1]) as t:
                do(self.last, t)

        program = chain().compile(target="cpu_sim")
        if self.latency:
            program.set_symbol_u64(LATENCY, self.latency)
        return program

    def expected(self) -> int:
        """A recurrence over tokens and stages: no stepping, no queues."""
        stages = len(self.depths)
        clock = [0] * (stages + 1)
        pops: list[list[int]] = [[] for _ in range(stages)]
        # Token by token: what stage k does with token i depends on stage k - 1 with token i, and on
        # stage k + 1 with token i - capacity; so tokens in turn, stages from first to last, is an
        # order in which all that is asked for is known, but for rendezvous, where the sender learns
        # its clock from the receiver, before it goes on.
        carried = 0
        for i in range(self.tokens):
            for k in range(stages + 1):
                if k > 0:
                    clock[k] = max(clock[k], carried + self.latency)
                    pops[k - 1].append(clock[k])
                    if self.depths[k - 1] == 0:
                        clock[k - 1] = clock[k] + self.after[k - 1]
                if k == stages:
                    clock[k] += self.last
                    continue
                clock[k] += self.sent[k]
                capacity = self.depths[k]
                if capacity and i >= capacity:
                    clock[k] = max(clock[k], pops[k][i - capacity])
                carried = clock[k]
                if capacity:
                    clock[k] += self.after[k]
        return max(clock)


@pytest.mark.parametrize("seed", range(40))
def test_random_chains(seed: int) -> None:
    chain = Chain(seed)
    program = chain.program()
    assert program.stats.total_cycles == chain.expected()


def test_figures_by_hand() -> None:
    """Three tokens of 10 cycles through a channel of depth 1 to a stage of 24."""

    def total(depth: int, latency: int = 0) -> int:
        ch = Channel("ch", depth)

        @workload
        def chain():
            for i in P.seq(3):
                send(ch, do(10, i))
            with consume(ch) as t:
                do(24, t)

        program = chain().compile(target="cpu_sim")
        program.set_symbol_u64(LATENCY, latency)
        return program.stats.total_cycles

    # Deep enough: 10, then 3 * 24.
    assert total(3) == 10 + 3 * 24
    assert total(3, latency=5) == 10 + 5 + 3 * 24
    # Depth 0: the sender makes the next one only after the last was taken, at 10, 34 and 58.
    assert total(0) == 10 + 3 * 24
    assert total(0, latency=100) == 110 + 2 * 110 + 24


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_replicated_consumers(count: int, depth: int) -> None:
    tokens = 11
    queue = Channel("queue", depth)

    def generate():
        for i in P.seq(tokens):
            send(queue, do(10, i))

    def work():
        with consume(queue) as t:
            do(24, t)
            do(100, t)

    pipeline = connect(
        [
            process("generate").produces(queue).body(generate),
            replicate(process("work").consumes(queue).body(work), count),
        ]
    )
    clocks = [0] * count
    sender, pops = 0, []
    for i in range(tokens):
        sender += 10
        if i >= depth:
            sender = max(sender, pops[i - depth])
        worker = min(range(count), key=lambda w: (clocks[w], w))
        clocks[worker] = max(clocks[worker], sender)
        pops.append(clocks[worker])
        clocks[worker] += 124
    assert pipeline.compile(target="cpu_sim").stats.total_cycles == max(sender, *clocks)


def test_tasks_around_a_net() -> None:
    ch = Channel("ch", 1)

    @workload
    def part():
        for i in P.seq(2):
            send(ch, do(10, i))
        with consume(ch) as t:
            do(24, t)

    from pto_wsp import sequential, task

    x, y = IN[100], OUT[100]
    before = task(KERNELS[100], [0], [x, y])
    made = sequential(before, part(), before)
    assert made.compile(target="cpu_sim").stats.total_cycles == 100 + (10 + 24 + 24) + 100


def test_the_latency_is_of_the_model_alone() -> None:
    ch = Channel("ch", 1)

    @workload
    def part():
        send(ch, do(10, 0))
        with consume(ch) as t:
            do(24, t)

    with pytest.raises(TypeCheckError, match="the program has no symbol '__pto_wsp_channel"):
        part().compile().set_symbol_u64(LATENCY, 3)
