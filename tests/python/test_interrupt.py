"""Ctrl-C ends a process soon, also while much work is in flight."""

import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from helpers import said

WORK = """
import signal
import sys
import numpy as np
from pto_wsp import DType, Dense, InOut, P, Tensor, Tile, kernel, pto, workload

# A shell may have started the tests with interrupts ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

@kernel
def heavy(x: InOut[Tile[64, 64, DType.F32]]):
    zeros = pto.fori_loop(0, 200, lambda i, c: pto.tanh(pto.matmul(c, c)), x * 0.0)
    pto.store(x, x + 1.0 + zeros)

X = Tensor(np.memmap(sys.argv[1], np.float32, shape=(64, 64, 64)))

@workload
def work(rounds):
    for r in P.seq(rounds):
        for i in P(Dense[64]):
            heavy[i](X[i])

program = work(Dense[int(sys.argv[2])]).compile()
program.execute()
print("started", flush=True)
"""


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Callable[[str, int], subprocess.Popen[str]]]:
    """Starts `rounds` of work, then goes on with `script`."""
    np.zeros((64, 64, 64), np.float32).tofile(tmp_path / "X")
    processes = []

    def started(script: str, rounds: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", WORK + script, str(tmp_path / "X"), str(rounds)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        return process

    yield started
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    "script",
    [
        "program.synchronize()",
        "while True: pass",
        "",  # the interpreter waits for the run when it ends
    ],
)
def test_an_interrupt_ends_the_process(start, script: str) -> None:
    process = start(script, 1_000_000)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert ("KeyboardInterrupt" in errors) == bool(script), errors


def test_without_one_the_work_is_finished(start, tmp_path: pathlib.Path) -> None:
    process = start("", 20)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, said(errors)) == (0, [])
    assert (np.fromfile(tmp_path / "X", np.float32) == 20).all()


INTERRUPTED = """
import signal
import time
import numpy as np
from pto_wsp import CancelledError, Dense, DType, InOut, P, Scalar, Tensor, Tile, kernel, workload

signal.signal(signal.SIGINT, signal.default_int_handler)

@kernel(cpp_includes=["<chrono>", "<thread>"], cpp_src='''
for (int r = 0; r < 4; r++) for (int c = 0; c < 4; c++) y(r, c) += 1;
std::this_thread::sleep_for(std::chrono::milliseconds(ms));
''')
def slow(y: InOut[Tile[4, 4, DType.F32]], ms: Scalar[DType.I32]): ...

Y = Tensor(np.zeros((COUNT, 4, 4), np.float32))
OTHER = Tensor(np.zeros((4, 4), np.float32))

@workload
def work():
    for r in P.seq(ROUNDS):
        for i in P(COUNT):
            slow[i](Y[i], MS)

@workload
def beside():
    for r in P.seq(20):
        slow(OTHER, 10)

program, other = work().compile(), beside().compile()
other.execute()
program.execute()
while not Y.data.any():
    time.sleep(0.001)
print("started", flush=True)
try:
    program.synchronize()
except KeyboardInterrupt:
    print(time.monotonic())
try:
    program.synchronize()
    print("went on")
except CancelledError as cancelled:
    print("cancelled")
assert (Y.data == Y.data[:, :1, :1]).all(), "a task was torn"
ran = Y.data[:, 0, 0].sum()
time.sleep(0.1)
assert ran == Y.data[:, 0, 0].sum(), "a task ran after the end"
other.synchronize()
assert (OTHER.data == 20).all(), "another program was cancelled"
print("end")
"""


@pytest.mark.parametrize(
    ("rounds", "count", "ms"),
    [
        pytest.param(1, 100_000, 5, id="static loop"),
        pytest.param(100_000, 3, 5, id="dynamic graph"),
        pytest.param(2, 1, 1500, id="one long task"),
    ],
)
def test_an_interrupt_is_raised_soon_and_leaves_whole_tasks(
    rounds: int, count: int, ms: int
) -> None:
    script = INTERRUPTED
    for name, value in (("ROUNDS", rounds), ("COUNT", count), ("MS", ms)):
        script = script.replace(name, str(value))
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(0.1)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    raised, cancelled, end = output.splitlines()
    # Promised are 0.2 s; the rest is for machines that do other things too.
    assert float(raised) - sent < 1
    assert (cancelled, end) == ("cancelled", "end")
