"""What is wrong with processes and channels, in words, at the line that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import (
    Channel,
    CompileError,
    DType,
    ExecutionError,
    In,
    InOut,
    Out,
    P,
    PtoError,
    Tensor,
    Tile,
    TypeChecker,
    TypeCheckError,
    connect,
    consume,
    kernel,
    process,
    pto,
    replicate,
    send,
    slot_set_u64,
    slot_u64,
    task,
    try_send,
    workload,
)

F32 = DType.F32
T = Tile[4, 4, F32]

x = Tensor(np.ones((8, 4, 4), np.float32))
y = Tensor(np.zeros((8, 4, 4), np.float32))
buffer = Tensor(np.zeros((4, 4), np.float32))


@kernel
def load(a: In[T], b: Out[T]):
    pto.store(b, a)


@kernel
def wide(a: In[Tile[4, 8, F32]], b: Out[Tile[4, 8, F32]]):
    pto.store(b, a)


@kernel
def any_size(a: In[Tensor], b: Out[Tensor]):
    pto.store(b, a)


@kernel
def change(a: InOut[T]):
    pto.store(a, pto.add(a, 1.0))


def fails(kind: type[PtoError], text: str, body: Callable[[], Any]) -> PtoError:
    """Builds and compiles a workload with this body."""
    with pytest.raises(kind) as caught:
        made = workload(fail_on_type_error=True)(body)()
        made.compile()
    assert text.replace("'", '"') in str(caught.value).replace("'", '"'), str(caught.value)
    return caught.value


def test_a_channel_without_a_sender() -> None:
    ch = Channel("ch", 2)

    def body():
        with consume(ch) as t:
            load[t](x[t], y[t])

    found = fails(CompileError, "nothing sends to channel 'ch'", body)
    assert found.at is not None and found.at[0] == __file__
    assert "connect(...) joins processes that are built apart" in found.hint
    checked = TypeChecker().check(workload(body)())
    assert [each.text for each in checked] == ['nothing sends to channel "ch"']


def test_a_channel_without_a_consumer() -> None:
    ch = Channel("ch", 2)

    def body():
        for i in P.seq(8):
            send(ch, load[i](x[i], y[i]))

    fails(CompileError, "nothing consumes channel 'ch'", body)


def test_something_between_the_two_ends() -> None:
    ch = Channel("ch", 2)

    def body():
        for i in P.seq(8):
            send(ch, load[i](x[i], y[i]))
        load[0](x[0], buffer)
        with consume(ch) as t:
            change[t](y[t])

    found = fails(
        CompileError, "nothing consumes channel 'ch', which process 'load' sends to", body
    )
    assert "with no other statement between" in found.hint


def test_one_statement_for_both_ends() -> None:
    ch = Channel("ch", 2)

    def body():
        for _ in P.seq(4):
            for i in P.seq(8):
                send(ch, load[i](x[i], y[i]))
            with consume(ch) as t:
                change[t](y[t])

    fails(
        CompileError,
        "process 'load' sends to channel 'ch' and consumes it until it is closed: it would wait "
        "for itself",
        body,
    )


@pytest.mark.parametrize(("opened", "where"), [("loop", "loop"), ("when", "branch")])
def test_a_net_in_a_loop_or_branch(opened: str, where: str) -> None:
    ch = Channel("ch", 2)

    def pipe():
        with P.pipe():
            for i in P.seq(8):
                send(ch, load[i](x[i], y[i]))
            with consume(ch) as t:
                change[t](y[t])

    def explicit():
        connect(
            [
                process("sender").produces(ch).body(lambda: send(ch, load[0](x[0], y[0]))),
                process("taker").consumes(ch).body(lambda: consume(ch, lambda t: change(y[t]))),
            ]
        )

    def inside(body: Callable[[], Any]) -> Callable[[], None]:
        def around():
            if opened == "loop":
                for _ in P(2):
                    body()
            else:
                with P.when(slot_u64(0) == 0):
                    body()

        return around

    fails(CompileError, f"P.pipe() with processes stands in a {where}", inside(pipe))
    fails(CompileError, f"process 'sender' stands in a {where}", inside(explicit))
    fails(CompileError, f"stands in a {where}", inside(workload(pipe)))


def test_processes_inside_a_process() -> None:
    ch = Channel("ch", 2)

    def nested():
        connect(
            [
                process("outer").body(
                    lambda: connect([process("inner").body(lambda: load(x[0], y[0]))])
                )
            ]
        )

    fails(CompileError, "process 'inner' stands in a process", nested)
    del ch


def test_channels_must_be_declared() -> None:
    ch, other = Channel("ch", 2), Channel("other", 2)

    def sender():
        send(ch, load[0](x[0], y[0]))

    def taker():
        with consume(ch) as t:
            change[t](y[t])

    with pytest.raises(CompileError, match='process "sender" sends to channel "ch", which it does'):
        connect(
            [process("sender").body(sender), process("taker").consumes(ch).body(taker)]
        ).compile()
    with pytest.raises(CompileError, match='process "taker" consumes channel "ch", which it does'):
        connect(
            [process("sender").produces(ch).body(sender), process("taker").body(taker)]
        ).compile()
    both = [
        process("sender").produces(ch).body(sender),
        process("taker").consumes(ch).body(taker),
    ]
    with pytest.raises(CompileError, match="connect: no process uses channel 'other'"):
        connect(both, [ch, other])
    with pytest.raises(
        CompileError, match="connect: process 'sender' uses channel 'ch', which is not in the list"
    ):
        connect(both, [other])
    with pytest.raises(
        CompileError, match='nothing sends to channel "ch", which process "taker" consumes'
    ):
        connect(both[1:], [ch]).compile()


def test_values_that_a_token_does_not_have() -> None:
    ch = Channel("ch", 2)

    def one_of_two():
        for b in P.seq(2):
            for h in P.seq(4):
                send(ch, load[b, h](x[4 * b + h], y[4 * b + h]))
        with consume(ch) as t:
            change[t](y[t])

    found = fails(
        CompileError,
        "a token of channel 'ch' has 2 values (the subscripts of load), here 1 are used",
        one_of_two,
    )
    assert "with consume(channel) as (b, h)" in found.hint

    def two_of_one():
        for i in P.seq(8):
            send(ch, load[i](x[i], y[i]))
        with consume(ch) as t:
            a, b = t
            change[a, b](y[a])

    fails(
        CompileError,
        "a token of channel 'ch' has 1 value (the subscripts of load), here 2",
        two_of_one,
    )


def test_tiles_of_other_types() -> None:
    ch = Channel("ch", 2)

    def two_kernels():
        send(ch, load[0](x[0]))
        send(ch, wide[1](Tensor(np.ones((4, 8), np.float32))))

    fails(
        TypeCheckError,
        "channel 'ch': its tokens carry Tile[4, 4, F32], but b is Tile[4, 8, F32]",
        two_kernels,
    )

    def another_consumer():
        for i in P.seq(8):
            send(ch, load[i](x[i]))
        with consume(ch) as t:
            wide[t](t, Tensor(np.ones((4, 8), np.float32)))

    fails(TypeCheckError, "wide: a: expected", another_consumer)
    typed = Channel[Tile[4, 8, F32]]("typed", 2)

    def declared():
        send(typed, load[0](x[0]))

    fails(TypeCheckError, "channel 'typed': its tokens carry Tile[4, 8, F32], but b is", declared)
    late = Channel("late", 2)

    def not_known_yet():
        with consume(late) as t:
            any_size[t](t, y[0])

    fails(
        TypeCheckError,
        "the tile that a token of channel 'late' carries is not known yet",
        not_known_yet,
    )
    a, b = Channel("a", 2), Channel("b", 2)

    def of_two():
        send(a, load[0](x[0]))
        send(b, load[0](x[0]))
        with consume(a, b) as t:
            load[t](t, y[t])

    fails(
        TypeCheckError, "a token that comes from one of several channels is used as a tile", of_two
    )


def test_a_buffer_of_tokens_that_something_else_uses() -> None:
    ch = Channel("ch", 2)

    def body():
        for i in P.seq(8):
            send(ch, load[i](x[i], buffer))
        with consume(ch) as t:
            load[t](buffer, y[t])
        load(buffer, y[0])

    found = fails(
        CompileError, "load uses buffer, which is stored once for each token of channel 'ch'", body
    )
    assert "buffer[t]" in found.hint


def test_an_output_is_left_out_and_nothing_sent() -> None:
    def body():
        load[0](x[0])

    fails(TypeCheckError, "kernel 'load': missing argument 'b': Out[Tile[4, 4, F32]]", body)
    made = workload(body)()
    assert ["missing argument 'b'" in each.text for each in made.type_errors] == [True]


def test_slots_belong_to_processes() -> None:
    ch = Channel("ch", 2)

    def body():
        slot_set_u64(3, 1)
        for i in P.seq(8):
            send(ch, load[i](x[i], y[i]))
        with consume(ch) as t, P.when(slot_u64(3) == 1):
            change[t](y[t])

    fails(CompileError, "slot 3 is used in process 'change' and filled in the workload", body)

    def taken():
        for i in P.seq(8):
            try_send(ch, load[i](x[i], y[i]))
            slot_set_u64(255, 1)
        with consume(ch) as t:
            change[t](y[t])

    fails(CompileError, "slot_set_u64: slot 255 holds the result of a try_send", taken)


def test_what_is_no_channel_or_call() -> None:
    ch = Channel("ch", 2)
    for depth in (-1, 2**21):
        with pytest.raises(CompileError, match=f"channel .a.: the depth is {depth}, expected 0"):
            Channel("a", depth)
    with pytest.raises(TypeCheckError, match=r"Channel: the depth must be an integer, got 1\.5"):
        Channel("a", 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError, match="Channel: depth is 1 and capacity 2"):
        Channel("a", 1, capacity=2)
    with pytest.raises(TypeCheckError, match="send: expected a Channel, got 3"):
        send(3, None)  # type: ignore[arg-type]
    with pytest.raises(TypeCheckError, match="consume: needs at least one channel"):
        consume()
    with pytest.raises(TypeCheckError, match="send: expected a kernel call, got None"):
        send(ch, None)
    with pytest.raises(CompileError, match="send: the call is in a workload of its own"):
        send(ch, task(load, [0], [x[0], y[0]]))
    with pytest.raises(CompileError, match="is used outside the body of a workload"):
        consume(ch)
    with pytest.raises(TypeCheckError, match="replicate: the count must be an integer >= 1, got 0"):
        replicate(process("a"), 0)
    with pytest.raises(TypeCheckError, match="connect: expected a process, got 3"):
        connect([3])
    with pytest.raises(CompileError, match="process 'a' has no body"):
        connect([process("a")])
    with pytest.raises(TypeCheckError, match="produces: expected a Channel, got 'ch'"):
        process("a").produces("ch")  # type: ignore[arg-type]

    def twice():
        with consume(ch, ch) as t:
            change[t](y[t])

    fails(CompileError, "consume: channel 'ch' is named twice", twice)

    def another_statement():
        call = load[0](x[0], y[0])
        load[1](x[1], y[1])
        send(ch, call)

    fails(CompileError, "send: the call is not the statement right before it", another_statement)

    def as_a_loop():
        for _ in consume(ch):
            pass

    fails(CompileError, "consume(ch) is no loop", as_a_loop)

    def later():
        with consume(ch) as t:
            pass
        change[t](y[0])

    fails(CompileError, "a token is used outside of the body that consumes it", later)

    def early():
        with consume(ch):
            return

    fails(CompileError, "'return' leaves the body of a consume, which is built once for all", early)
    other = Channel("other", 2)

    def elsewhere():
        with consume(ch) as t, P.when(t.channel == other):
            change[t](y[t])

    fails(TypeCheckError, "the token does not come from Channel('other', depth=2)", elsewhere)


def test_rules_and_models_that_do_not_apply() -> None:
    from pto_wsp import DeadTaskPass, FlattenCombinePass, PassManager

    ch = Channel("ch", 2)

    @workload
    def pipeline():
        for i in P.seq(8):
            try_send(ch, load[i](x[i], y[i]))
        with consume(ch) as t:
            change[t](y[t])

    made = pipeline()
    with pytest.raises(CompileError, match="whether try_send finds room depends on how fast"):
        made.enumerate()
    program = made.compile(target="cpu_sim")
    with pytest.raises(ExecutionError, match="total_cycles: whether try_send finds room depends"):
        _ = program.stats.total_cycles
    manager = PassManager()
    manager.add(DeadTaskPass())
    with pytest.raises(PtoError, match="do not apply to a workload with processes"):
        manager.run(made)
    flat = PassManager()
    flat.add(FlattenCombinePass())
    assert flat.run(made).dump() == made.dump()


def test_a_consume_inside_one_of_the_same_channel() -> None:
    ch, other = Channel("ch", 2), Channel("other", 2)

    def body():
        for i in P.seq(8):
            send(ch, load[i](x[i], y[i]))
        with consume(ch), consume(ch) as u:
            change[u](y[u])

    fails(CompileError, "channel 'ch' is consumed inside the body of a token of its own", body)

    def different():
        for i in P.seq(8):
            send(ch, load[i](x[i], y[i]))
        for i in P.seq(8):
            send(other, load[i](x[i], buffer))
        with consume(ch), consume(other) as u:
            change[u](y[u])

    workload(different)().compile()
