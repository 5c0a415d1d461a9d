"""Processes and channels: every snippet of the documentation, and that each does what it says."""

from __future__ import annotations

import numpy as np
import pto_wsp
import pytest
from pto_wsp import (
    CancelledError,
    Channel,
    ChannelClosed,
    ChannelError,
    DenseDyn,
    DispatchPolicy,
    DType,
    Event,
    ExecutionError,
    In,
    InOut,
    Out,
    P,
    Tensor,
    Tile,
    combine,
    connect,
    consume,
    for_each,
    kernel,
    process,
    pto,
    record,
    replicate,
    send,
    sequential,
    synchronize,
    task,
    try_send,
    workload,
)

F32 = DType.F32
T = Tile[4, 4, F32]


@kernel
def load(x: In[T], buf: Out[T]):
    pto.store(buf, x)


@kernel
def double(buf: In[T], y: Out[T]):
    pto.store(y, pto.add(buf, buf))


@kernel
def store(result: In[T], output: Out[T]):
    pto.store(output, result)


@kernel
def add_to(x: In[T], total: InOut[T]):
    pto.store(total, pto.add(total, x))


def tiles(*shape: int) -> Tensor:
    """Tiles of different numbers."""
    count = int(np.prod(shape))
    return Tensor(np.arange(count * 16, dtype=np.float32).reshape(*shape, 4, 4))


def zeros(*shape: int) -> Tensor:
    return Tensor(np.zeros((*shape, 4, 4), np.float32))


def check(found: Tensor, wanted: np.ndarray) -> None:
    np.testing.assert_array_equal(found.data, wanted)


def run(made) -> None:
    program = made.compile()
    for _ in range(2):
        program.execute()
        assert program.synchronize(timeout=20)


def test_a_token_carries_an_axis_value() -> None:
    x = tiles(7)
    mid, y = zeros(7), zeros(7)
    ch = Channel(depth=2)

    @workload
    def pipeline():
        for i in P.seq(7):
            send(ch, load[i](x[i], mid[i]))
        with consume(ch) as t:
            double[t](mid[t], y[t])

    made = pipeline()
    assert made.kind == "net"
    assert repr(made) == "Workload[net(load, double), Processes]"
    assert ch.name == "ch"
    run(made)
    check(y, 2 * x.data)


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
def test_the_concise_pipeline(depth: int) -> None:
    """``with P.pipe():`` of the specification, whose token is a tile."""
    data, total = Tensor(tiles(1).data[0] + 1), zeros()

    @workload
    def pipeline(tiles):
        ch = Channel[Tile](depth=depth)
        with P.pipe():
            for i in P.seq(tiles):
                send(ch, load[i](data))
            with consume(ch) as tile:
                add_to(tile, total)

    made = pipeline(9)
    assert "own" in made.dump()
    run(made)
    check(total, 2 * 9 * data.data)


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_the_megakernel_pipeline(depth: int) -> None:
    """Section 8.3: buffers without an index are stored once for each token in flight."""
    count = 9
    input, output = tiles(count), zeros()
    tile_buf, result_buf, total = zeros(), zeros(), zeros()
    l2c = Channel("load_to_compute", depth=depth)
    c2s = Channel("compute_to_store", depth=depth)

    @workload
    def pipeline(num_tiles):
        tiles = DenseDyn(num_tiles)
        with P.pipe():
            for i in P.seq(tiles):
                send(l2c, load[i](x=input[i], buf=tile_buf))
        with consume(l2c) as t:
            send(c2s, double[t](buf=tile_buf, y=result_buf))
        with consume(c2s) as r:
            store[r](result=result_buf, output=output)
            add_to[r](result_buf, total)

    made = pipeline(count)
    assert f"tensor tile_buf: f32[{depth + 1}, 4, 4] own" in made.dump()
    program = made.dispatch(DispatchPolicy.round_robin(1)).compile()
    program.execute()
    program.synchronize()
    check(output, 2 * input.data[-1])
    check(total, 2 * input.data.sum(axis=0))
    assert not tile_buf.data.any()  # what tokens carry is the program's own
    plain = made.compile()
    plain.set_axis_sizes({"tiles": 4})
    plain.execute()
    plain.synchronize()
    check(output, 2 * input.data[3])


def test_processes_of_the_tutorial() -> None:
    x = tiles(6)
    a, b, y = zeros(6), zeros(6), zeros(6)
    tiles_of = DenseDyn(6)
    load_to_compute = Channel(capacity=4)
    compute_to_store = Channel(capacity=4)
    assert load_to_compute.depth == 4

    loader = (
        process("loader")
        .produces(load_to_compute)
        .body(for_each(tiles_of, lambda t: send(load_to_compute, task(load, [t], [x[t], a[t]]))))
    )
    computer = (
        process("computer")
        .consumes(load_to_compute)
        .produces(compute_to_store)
        .body(
            consume(
                load_to_compute,
                lambda t: send(compute_to_store, task(double, [t], [a[t], b[t]])),
            )
        )
    )
    storer = (
        process("storer")
        .consumes(compute_to_store)
        .body(consume(compute_to_store, lambda t: task(store, [t], [b[t], y[t]])))
    )
    pipeline = connect([loader, computer, storer], [load_to_compute, compute_to_store])
    with pytest.raises(ExecutionError, match="join: the pipeline was not started"):
        pipeline.join()
    pipeline.start()
    pipeline.join()
    check(y, 2 * x.data)
    y.data[:] = 0
    pipeline.start()
    assert pipeline.join(timeout=20)
    check(y, 2 * x.data)


def test_declared_tasks_in_a_pipeline() -> None:
    """``task("load", [t], [...])``: the kernels are supplied to the program."""
    x, y = tiles(5), zeros(5)
    ch = Channel(capacity=4)
    loader = (
        process("loader")
        .produces(ch)
        .body(for_each(5, lambda t: send(ch, task("load", [t], [x[t], y[t]]))))
    )
    storer = process("storer").consumes(ch).body(consume(ch, lambda t: task("store", [t], [y[t]])))

    @kernel
    def copy(a: InOut[T], b: InOut[T]):
        pto.store(b, a)

    @kernel
    def twice(a: InOut[T]):
        pto.store(a, pto.add(a, a))

    program = connect([loader, storer], [ch]).compile()
    program.register_kernel("load", copy)
    program.register_kernel("store", twice)
    program.execute()
    program.synchronize()
    check(y, 2 * x.data)


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_replicated_workers_take_each_token_once(depth: int) -> None:
    x = tiles(40)
    y, hits = zeros(40), zeros(40)
    ones = Tensor(np.ones((4, 4), np.float32))
    work_queue = Channel("work_queue", depth=depth)

    def generate():
        for i in P.seq(40):
            send(work_queue, load[i](x[i]))

    def work():
        with consume(work_queue) as t:
            double[t](t, y[t])
            add_to[t](ones, hits[t])

    generator = process("generator").produces(work_queue).body(generate)
    worker = process("worker").consumes(work_queue).body(work)
    pipeline = connect([generator, replicate(worker, 4)], [work_queue])
    assert repr(pipeline) == (
        "Workload[net(generator, worker.1, worker.2, worker.3, worker.4), Processes]"
    )
    pipeline.start()
    assert pipeline.join(timeout=20)
    check(y, 2 * x.data)
    check(hits, np.ones((40, 4, 4), np.float32))


def test_tokens_of_several_channels() -> None:
    x = tiles(10)
    evens, odds = zeros(10), zeros(10)
    ones = Tensor(np.ones((4, 4), np.float32))
    a, b = Channel(depth=2), Channel(depth=1)

    @workload
    def pipeline():
        for i in P.seq(10):
            send(a, load[i](x[i], evens[i]))
        for i in P.seq(10):
            send(b, load[i](x[i], odds[i]))
        with consume(a, b) as t:
            with P.when(t.channel == a):
                add_to[t](x[t], evens[t])
            with P.when(t.channel == b):
                add_to[t](ones, odds[t])

    made = pipeline()
    program = made.compile()
    program.execute()
    assert program.synchronize(timeout=20)
    check(evens, 2 * x.data)
    check(odds, x.data + 1)


def test_tokens_with_several_values_and_a_tile() -> None:
    x, y, z = tiles(2, 3), zeros(2, 3), zeros(2, 3)
    ch = Channel(depth=1)

    @workload
    def pipeline():
        for b in P.seq(2):
            for h in P.seq(3):
                send(ch, load[b, h](x[b, h]))
        with consume(ch) as t:
            b, h = t
            double[b, h](t, y[b, h])
            store[b, h](t, z[b, h])

    run(pipeline())
    check(y, 2 * x.data)
    check(z, x.data)

    def body(b, h):
        double[b, h](x[b, h], y[b, h])

    @workload
    def functional():
        for b in P.seq(2):
            for h in P.seq(3):
                send(ch, load[b, h](x[b, h], z[b, h]))
        consume(ch, body)

    y.data[:] = 0
    run(functional())
    check(y, 2 * x.data)


def test_a_result_of_try_send_chooses(recwarn: pytest.WarningsRecorder) -> None:
    """Where there was no room the sender does the work itself."""
    x, y = tiles(30), zeros(30)
    ch = Channel(depth=1)

    @workload
    def pipeline():
        for i in P.seq(30):
            sent = try_send(ch, load[i](x[i]))
            with P.when(sent == 0):
                double[i](x[i], y[i])
        with consume(ch) as t:
            double[t](t, y[t])

    run(pipeline())
    check(y, 2 * x.data)
    assert not [str(warning.message) for warning in recwarn]


def test_a_channel_that_is_closed_in_a_body() -> None:
    x, y = tiles(8), zeros(8)
    go = Channel(depth=1)

    @workload
    def closing():
        def sender():
            for i in P.seq(8):
                send(go, load[i](x[i], y[i]))
            go.close()

        connect(
            [
                process("sender").produces(go).body(sender),
                process("taker")
                .consumes(go)
                .body(lambda: consume(go, lambda t: add_to[t](x[t], y[t]))),
            ]
        )

    run(closing())
    check(y, 2 * x.data)


def test_sending_to_a_closed_channel() -> None:
    x, y = tiles(4), zeros(4)
    ch = Channel(depth=2)

    @workload
    def pipeline():
        def sender():
            send(ch, load[0](x[0], y[0]))
            ch.close()
            send(ch, load[1](x[1], y[1]))

        connect(
            [
                process("sender").produces(ch).body(sender),
                process("taker").consumes(ch).body(lambda: consume(ch, lambda t: None)),
            ]
        )

    program = pipeline().compile()
    program.execute()
    with pytest.raises(ChannelClosed) as caught:
        program.synchronize(timeout=20)
    assert "ch" in caught.value.text and caught.value.at[0] == __file__
    assert isinstance(caught.value, (ChannelError, RuntimeError))
    ch.close()
    assert not ch.is_open()
    with pytest.raises(ChannelClosed, match="send: channel 'ch' is closed"):
        pipeline()


def test_a_deadlock_is_reported_with_its_cycle() -> None:
    x, y = tiles(4), zeros(4)
    a, b = Channel("a", depth=1), Channel("b", depth=1)

    @workload
    def pipeline():
        def left():
            with consume(b) as t:
                send(a, load[t](x[t], y[t]))

        def right():
            with consume(a) as t:
                send(b, load[t](x[t], y[t]))

        connect(
            [
                process("left").consumes(b).produces(a).body(left),
                process("right").consumes(a).produces(b).body(right),
            ]
        )

    program = pipeline().compile()
    program.execute()
    with pytest.raises(ChannelError) as caught:
        program.synchronize(timeout=20)
    text = str(caught.value)
    for word in ("deadlock", "left", "right", "'a'", "'b'", "empty"):
        assert word.strip("'") in text, text
    with pytest.raises(ChannelError, match='deadlock: process "left" waits for a token of "b"'):
        pipeline().enumerate()


def test_nets_inside_sequences_and_calls() -> None:
    x, mid, y = tiles(5), zeros(5), zeros(5)
    ch = Channel(depth=2)

    @workload
    def part():
        for i in P.seq(5):
            send(ch, load[i](x[i]))
        with consume(ch) as t:
            double[t](t, mid[t])

    @workload
    def both():
        part()
        for i in P(5):
            double[i](mid[i], y[i])

    run(both())
    check(y, 4 * x.data)
    first = part()
    run(sequential(first, part()))
    run(combine(first, first))
    check(mid, 2 * x.data)


def test_enumeration_of_processes() -> None:
    x, y = tiles(5), zeros(5)
    ch = Channel(depth=1)

    @workload
    def pipeline():
        for i in P.seq(5):
            send(ch, load[i](x[i]))
        with consume(ch) as t:
            double[t](t, y[t])
            with P.when(t > 2):
                store[t](t, y[t])

    made = pipeline()
    tasks = made.enumerate()
    assert made.task_count == len(tasks) == 5 + 5 + 2
    assert [each.get("t") for each in tasks if each.kernel.name == "store"] == [3, 4]
    program = made.compile()
    program.execute()
    program.synchronize()
    assert program.stats.task_count == 12
    with pytest.raises(pto_wsp.CompileError, match="graph: the tasks of processes are ordered by"):
        program.graph()


def test_dispatch_keys_name_the_token() -> None:
    x, y = tiles(12), zeros(12)
    ch = Channel(depth=3)

    @workload
    def pipeline():
        for t in P.seq(12):
            send(ch, load[t](x[t]))
        with consume(ch) as t:
            double[t](t, y[t])

    program = pipeline().dispatch(DispatchPolicy.affinity("t % 2")).compile()
    program.execute()
    program.synchronize()
    check(y, 2 * x.data)
    assert "tracked: processes take turns as tokens come" in str(program.explain())


def test_channels_tell_about_themselves() -> None:
    named = Channel("queue", depth=0)
    ch = Channel[Tile[4, 4, F32]]()
    assert (named.name, named.depth, named.capacity) == ("queue", 0, 0)
    assert (ch.name, ch.depth) == ("ch", 1)
    assert repr(ch) == "Channel('ch', depth=1)"
    assert ch.is_open() and ch.empty() and ch.size() == 0 and not ch.full()
    assert named.full()
    assert Channel().name.startswith("channel_")


def test_a_channel_tells_what_is_in_it() -> None:
    x, mid, y = tiles(4), zeros(4), zeros(4)
    full, go, taken = Event("full"), Event("go", depth=0), Event("taken", depth=0)
    ch = Channel("ch", depth=3)

    @workload
    def send_body():
        for i in P.seq(3):
            send(ch, load[i](x[i], mid[i]))
        record(full)
        send(ch, load(x[3], mid[3]))

    @workload
    def take_body():
        synchronize(go)
        with consume(ch) as t:
            double[t](mid[t], y[t])
            record(taken)
            synchronize(go)

    first = connect(
        [
            process("send").produces(ch).body(send_body),
            process("take").consumes(ch).body(take_body),
        ]
    )
    assert (ch.size(), ch.empty(), ch.full()) == (0, True, False)
    program = first.compile()
    program.execute()
    synchronize(full, timeout=60)
    assert (ch.size(), ch.empty(), ch.full()) == (3, False, True)
    for left in (3, 2, 1, 0):
        record(go, timeout=60)
        synchronize(taken, timeout=60)
        assert ch.size() == left
    assert ch.empty()
    record(go, timeout=60)
    program.synchronize()

    # What a run leaves is gone with it.
    program.execute()
    synchronize(full, timeout=60)
    assert ch.full()
    program.cancel()
    with pytest.raises(CancelledError):
        program.synchronize()
    assert ch.empty()
