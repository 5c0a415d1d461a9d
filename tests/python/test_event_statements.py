"""Events in the bodies of workloads: between processes, runs and threads."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from pto_wsp import (
    CancelledError,
    Channel,
    ChannelError,
    CompileError,
    Dense,
    DType,
    Event,
    EventTimeoutError,
    FusePass,
    In,
    InOut,
    Out,
    P,
    Program,
    ScheduleError,
    Tensor,
    Tile,
    TypeCheckError,
    combine,
    connect,
    consume,
    kernel,
    parallel_for,
    process,
    pto,
    query,
    record,
    send,
    sequential,
    synchronize,
    task,
    workload,
)

limit = 60


@kernel
def heavy(x: InOut[Tile[32, 32, DType.F32]]):
    zeros = pto.fori_loop(0, 400, lambda i, c: pto.tanh(pto.matmul(c, c)), x * 0.0)
    pto.store(x, x + 1.0 + zeros)


@kernel
def light(x: InOut[Tile[32, 32, DType.F32]]):
    pto.store(x, x + 1.0)


@kernel
def doubled(x: In[Tile[32, 32, DType.F32]], y: Out[Tile[32, 32, DType.F32]]):
    pto.store(y, x * 2.0)


def tiles(count: int) -> Tensor:
    return Tensor(np.zeros((count, 32, 32), np.float32))


def test_a_record_comes_when_its_tasks_have_ended() -> None:
    """The snippet of the tutorial, in the body of a workload."""
    X, Y = tiles(8), tiles(1)
    completion = Event()

    @workload
    def compute():
        compute_task = heavy(X[0])
        record(completion, after=compute_task)
        for i in P.seq(Dense[2000]):
            heavy[i](Y[0])

    program = compute().compile()
    for run in range(3):
        program.execute()
        synchronize(completion, timeout=limit)
        assert (X.data[0] == run + 1).all()
        assert not program.is_complete(), "it does not wait for other tasks"
        program.cancel()
        with pytest.raises(CancelledError):
            program.synchronize()


def test_a_record_comes_after_all_before_it() -> None:
    X = tiles(64)
    done = Event("done")

    @workload
    def compute():
        for i in P(Dense[64]):
            heavy[i](X[i])
        record(done)

    program = compute().compile()
    for run in range(5):
        program.execute()
        synchronize(done, timeout=limit)
        assert (X.data == run + 1).all()
    program.synchronize()


@pytest.mark.parametrize(
    "statement",
    [
        lambda X: parallel_for(Dense[16], lambda i: task(heavy, [i], [X[i]])),
        lambda X: sequential(*[task(heavy, [], [X[i]]) for i in range(16)]),
        lambda X: combine(*[task(heavy, [], [X[i]]) for i in range(16)]),
        lambda X: [heavy(X[i]) for i in range(16)],
    ],
)
def test_a_record_comes_after_a_part(statement) -> None:
    X, Y = tiles(16), tiles(1)
    done = Event()

    @workload
    def compute():
        part = statement(X)
        for i in P.seq(Dense[2000]):
            heavy[i](Y[0])
        record(done, after=part)

    program = compute().compile()
    program.execute()
    synchronize(done, timeout=limit)
    assert (X.data == 1).all()
    assert not program.is_complete()
    program.cancel()


def test_what_follows_waits_for_a_thread() -> None:
    X = tiles(2)
    go, done = Event("go"), Event("done")

    @workload
    def compute():
        light(X[0])
        record(done)
        synchronize(go)
        light(X[1])

    program = compute().compile()
    program.execute()
    synchronize(done, timeout=limit)
    assert not program.synchronize(timeout=0.05)
    assert (X.data[0] == 1).all()
    assert (X.data[1] == 0).all()
    record(go)
    assert program.synchronize(timeout=limit)
    assert (X.data[1] == 1).all()


def test_a_step_is_over_before_the_next() -> None:
    """Without the event the tasks of the steps, on tiles of their own, would mix."""
    X = tiles(4)
    step, seen = Event("step"), Event("seen", depth=0)

    @workload
    def compute():
        for i in P.seq(Dense[50]):
            for j in P(Dense[4]):
                heavy[i, j](X[j])
            record(step)
            synchronize(step)
            record(seen)

    program = compute().compile()
    program.execute()
    for i in range(50):
        synchronize(seen, timeout=limit)
        assert (X.data >= i + 1).all()
        assert (X.data <= i + 2).all()
    program.synchronize(timeout=limit)


def test_processes_meet() -> None:
    """Between processes order comes from tokens, or from events: here from a rendezvous."""
    X, Y = tiles(1), tiles(20)
    written, read = Event("written", depth=0), Event("read", depth=0)

    @workload
    def writer():
        for i in P.seq(Dense[20]):
            heavy[i](X[0])
            record(written)
            synchronize(read)

    @workload
    def reader():
        for i in P.seq(Dense[20]):
            synchronize(written)
            doubled[i](X[0], Y[i])
            record(read)

    pipeline = connect([process("writer").body(writer), process("reader").body(reader)])
    assert len(list(pipeline.enumerate())) == 40
    for run in range(3):
        pipeline.start()
        assert pipeline.join(limit)
        expected = 2.0 * (20 * run + 1 + np.arange(20, dtype=np.float32))
        assert (Y.data == expected[:, None, None]).all()


def test_a_process_waits_beside_its_channels() -> None:
    X, Y = tiles(16), tiles(16)
    filled = Event("filled")

    @workload
    def load_body():
        for i in P.seq(Dense[16]):
            send(ch, light[i](X[i]))
        record(filled)

    @workload
    def use_body():
        with consume(ch) as t:
            doubled[t](X[t], Y[t])

    @workload
    def after_body():
        synchronize(filled)
        for i in P(Dense[16]):
            light[i](X[i])

    ch = Channel("ch", depth=2)
    first = connect(
        [process("load").produces(ch).body(load_body), process("use").consumes(ch).body(use_body)]
    )
    done = Event()
    first.start()
    record(done, after=first)
    first.join(limit)
    assert query(done)
    record(done, after=connect([process("idle").body(after_body)]))
    assert query(done), "it does not run"
    assert (Y.data == 2).all()
    later = after_body().compile()
    later.execute()
    later.synchronize()
    assert (X.data == 2).all()


def test_programs_wait_for_each_other() -> None:
    X = tiles(1)
    ready = Event("ready")

    @workload
    def first():
        for _ in P.seq(Dense[30]):
            heavy(X[0])
        record(ready)

    @workload
    def second():
        synchronize(ready)
        light(X[0])

    producer, consumer = first().compile(), second().compile()
    for run in range(3):
        producer.execute()
        consumer.execute()
        consumer.synchronize(timeout=limit)
        producer.synchronize(timeout=limit)
        assert (X.data == 31 * (run + 1)).all()


def waiting(go: Event, X: Tensor) -> Program:
    """Of one task, behind an event."""

    @workload
    def waits():
        synchronize(go)
        light(X[0])

    return waits().compile()


@pytest.mark.error
def test_a_deadlock_is_found() -> None:
    X = tiles(1)
    go = Event("go")

    program = waiting(go, X)
    program.execute()
    begun = time.monotonic()
    with pytest.raises(
        ChannelError, match="deadlock: the workload waits for event 'go', which nobody can record"
    ) as caught:
        program.synchronize()
    assert caught.value.at[0] == __file__
    assert time.monotonic() - begun < limit
    # The next run is not hurt by that.
    record(go)
    program.execute()
    program.synchronize()
    assert (X.data == 1).all()

    a, b = Event("a"), Event("b")

    @workload
    def one():
        synchronize(a)
        record(b)

    @workload
    def two():
        synchronize(b)
        record(a)

    both = connect([process("one").body(one), process("two").body(two)])
    both.start()
    with pytest.raises(ChannelError, match="process one waits for event 'a' <- process two waits "):
        both.join()
    with pytest.raises(ChannelError, match='deadlock: process "one" waits for event "a"'):
        list(both.enumerate())


@pytest.mark.error
def test_the_program_is_waited_for_in_vain_no_longer() -> None:
    """A second run, the end of a program and the end of the interpreter wait for the run."""
    go = Event("go")

    def made():
        X = tiles(1)

        program = waiting(go, X)
        program.execute()
        return program

    program = made()
    with pytest.raises(ChannelError, match="deadlock"):
        program.execute()
    made()  # it is gone at once
    text = (
        "import numpy as np\n"
        "from pto_wsp import *\n"
        "go = Event('go')\n"
        "@workload\n"
        "def waits():\n"
        "    synchronize(go)\n"
        "program = waits().compile()\n"
        "program.execute()\n"
    )
    subprocess.run([sys.executable, "-c", text], check=True, timeout=limit)


@pytest.mark.error
def test_timeouts_and_cancellation() -> None:
    X = tiles(1)
    go = Event("go")

    @workload
    def in_time():
        synchronize(go, timeout=0.02)
        light(X[0])

    program = in_time().compile()
    for kind in (EventTimeoutError, TimeoutError):
        program.execute()
        with pytest.raises(kind, match=r"event 'go' was not recorded within 0\.02 s"):
            program.synchronize()

    @workload
    def offers():
        record(meeting, timeout=0.02)

    meeting = Event("meeting", depth=0)
    program = offers().compile()
    program.execute()
    with pytest.raises(EventTimeoutError, match=r"record: event 'meeting' was not taken within"):
        program.synchronize()

    program = waiting(go, X)
    program.execute()
    assert not program.synchronize(timeout=0.05)
    program.cancel()
    with pytest.raises(CancelledError, match="note: the workload waits for event 'go'"):
        program.synchronize()
    assert (X.data == 0).all()


def test_a_late_thread_is_waited_for() -> None:
    X = tiles(1)
    go = Event("go")

    def late() -> None:
        time.sleep(0.3)
        record(go)

    program = waiting(go, X)
    program.execute()
    thread = threading.Thread(target=late)
    thread.start()
    program.synchronize()
    thread.join()
    assert (X.data == 1).all()


@pytest.mark.error
def test_what_is_refused(fails) -> None:
    X = tiles(2)
    event = Event("e")

    @workload
    def asks():
        query(event)

    fails(CompileError, asks, "query: the body of a workload is built once, not run", line=None)

    @workload
    def wrong():
        record(event, after=7)

    fails(TypeCheckError, wrong, "record: after is 7, not a statement of the workload", line=None)
    parts = {}

    @workload
    def other():
        parts["call"] = light(X[0])

    other()

    @workload
    def foreign():
        record(event, after=parts["call"])

    fails(TypeCheckError, foreign, "record: after is a statement of another workload", line=None)

    @workload
    def across():
        def left():
            parts["left"] = light(X[0])

        def right():
            light(X[1])
            record(event, after=parts["left"])

        connect([process("left").body(left), process("right").body(right)])

    fails(
        CompileError,
        across,
        'record: event "e" of process "right" comes after a call of process "left"',
        line=None,
    )

    @workload
    def plain():
        light(X[0])
        record(event)
        synchronize(event)

    made = plain()
    with pytest.raises(ScheduleError, match="do not apply to a workload with events"):
        FusePass().run(made)
    with pytest.raises(CompileError, match='graph: what follows waits for event "e", which'):
        made.compile().graph()
    assert made.kind == "combine"
    assert "synchronize e" in str(made._native)
    assert "record e" in str(made._native)


def test_workloads_with_events_nest() -> None:
    X = tiles(3)
    first, last = Event("first"), Event("last")

    @workload
    def inner():
        t = heavy(X[0])
        heavy(X[1])
        record(first, after=t)

    @workload
    def outer():
        heavy(X[2])
        inner()
        record(last)

    program = outer().compile()
    program.execute()
    synchronize(first, timeout=limit)
    assert (X.data[0] == 1).all()
    synchronize(last, timeout=limit)
    assert (X.data == 1).all()
    program.synchronize()
