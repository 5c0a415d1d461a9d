"""Events between threads and from programs, as the documents show them."""

import threading
import time

import numpy as np
import pytest
from pto_wsp import (
    ChannelError,
    Dense,
    DType,
    Event,
    EventTimeoutError,
    ExecutionError,
    InOut,
    P,
    Tensor,
    Tile,
    TypeCheckError,
    kernel,
    pto,
    query,
    record,
    synchronize,
    workload,
)


@kernel
def heavy(x: InOut[Tile[64, 64, DType.F32]]):
    zeros = pto.fori_loop(0, 200, lambda i, c: pto.tanh(pto.matmul(c, c)), x * 0.0)
    pto.store(x, x + 1.0 + zeros)


def long_program(X: Tensor, rounds: int):
    @workload
    def compute():
        for _ in P.seq(Dense[rounds]):
            heavy(X)

    return compute().compile()


def test_the_snippet_of_the_specification(capsys) -> None:
    event = Event("sync")
    record(event)
    synchronize(event)
    if query(event):
        print("Event signaled")
    assert capsys.readouterr().out == "Event signaled\n"


def test_the_snippet_of_the_tutorial(capsys) -> None:
    X = Tensor(np.zeros((64, 64), np.float32))
    compute_task = long_program(X, 50)
    compute_task.execute()
    completion = Event()
    record(completion, after=compute_task)
    if query(completion):
        print("Compute done!")
    synchronize(completion)
    assert query(completion)
    assert (X.data == 50).all()


def test_a_latched_event_is_pending_again_behind_a_run() -> None:
    X = Tensor(np.zeros((64, 64), np.float32))
    program = long_program(X, 300)
    event = Event()
    record(event, after=program)  # it does not run
    assert query(event)
    program.execute()
    record(event, after=program)
    assert not query(event)
    with pytest.raises(TimeoutError, match=r"event 'event[0-9]+' was not recorded within 0\.001 s"):
        synchronize(event, timeout=0.001)
    synchronize(event, timeout=60)
    assert (X.data == 300).all()


def test_a_rendezvous_meets() -> None:
    event = Event("meeting", depth=0)
    seen = []

    def other() -> None:
        for i in range(20):
            synchronize(event, timeout=60)
            seen.append(i)

    thread = threading.Thread(target=other)
    thread.start()
    for i in range(20):
        record(event)
        assert len(seen) in (i, i + 1)
    thread.join(60)
    assert seen == list(range(20))
    assert not query(event)


def test_a_rendezvous_is_offered_by_a_run() -> None:
    program = long_program(Tensor(np.zeros((64, 64), np.float32)), 2)
    event = Event(depth=0)
    program.execute()
    record(event, after=program)
    synchronize(event)
    assert not query(event)


@pytest.mark.error
def test_nobody_hangs() -> None:
    for depth in (0, 1):
        event = Event("lonely", depth=depth)
        with pytest.raises(
            ChannelError,
            match="synchronize: deadlock: nobody can ever record event 'lonely': there is no "
            "other thread, and no run that would signal",
        ):
            synchronize(event)
    event = Event("lonely", depth=0)
    with pytest.raises(ChannelError, match="nobody can ever synchronize with event 'lonely'"):
        record(event)
    for kind in (TimeoutError, ExecutionError, EventTimeoutError):
        with pytest.raises(kind, match=r"event 'lonely' was not taken within 0\.01 s"):
            record(event, timeout=0.01)
    assert not query(event)


def test_another_thread_may_come_late() -> None:
    event = Event()

    def late() -> None:
        time.sleep(0.3)
        record(event)

    thread = threading.Thread(target=late)
    thread.start()
    synchronize(event)
    thread.join()


@pytest.mark.error
def test_wrong_arguments(fails) -> None:
    fails(ChannelError, lambda: Event(depth=2), "event: the depth is 2", line=0)
    fails(TypeCheckError, lambda: Event(7), "Event: the name must be a str, got 7", line=0)
    fails(TypeCheckError, lambda: query(7), "query: expected an Event, got 7", line=0)
    event = Event("e")
    fails(
        TypeCheckError, lambda: record(event, after=7), "record: after is 7, not a program", line=0
    )
    fails(
        TypeCheckError,
        lambda: synchronize(event, timeout=-1),
        "synchronize: the timeout must be seconds >= 0, got -1",
        line=0,
    )
    assert repr(event) == "Event('e', depth=1)"
